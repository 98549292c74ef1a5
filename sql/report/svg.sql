/*
 * Charts of the HTML report, as inline SVG.
 *
 * Every chart has the same frame: 560 by 306 units, the plot from (76, 14) to
 * (548, 246).  Series are told apart by lightness, by dashes and by hatching,
 * never by hue alone, so that they survive greyscale print.
 */

CREATE FUNCTION facematch_internal.svg_ticks(largest double precision) RETURNS double precision[]
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	step double precision;
BEGIN
	IF largest IS NULL OR largest <= 0 THEN
		RETURN '{0,1}';
	END IF;
	-- At most five steps, each 1, 2, 2.5 or 5 times a power of ten, and a whole number.
	step := 10 ^ floor(log(largest / 5));
	step := ceil(step * (SELECT min(m) FROM unnest('{1,2,2.5,5,10}'::double precision[]) m WHERE m * step * 5 >= largest * 0.9999));
	RETURN ARRAY(SELECT i * step FROM generate_series(0, ceil(largest / step - 0.0001)::integer) i);
END
$$;
COMMENT ON FUNCTION facematch_internal.svg_ticks(double precision) IS 'round numbers for an axis of counts, from 0 to at least the largest';

CREATE FUNCTION facematch_internal.svg_xy(x double precision, y double precision) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN round(x::numeric, 1) || ',' || round(y::numeric, 1);
COMMENT ON FUNCTION facematch_internal.svg_xy(double precision, double precision) IS 'a point';

CREATE FUNCTION facematch_internal.svg_count(value double precision) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN value >= 1e6 THEN rtrim(to_char(value / 1e6, 'FM999,990.99'), '.') || 'M' WHEN value >= 1e5 THEN rtrim(to_char(value / 1e3, 'FM990.9'), '.') || 'k'
				ELSE to_char(value, 'FM99,990') END;
COMMENT ON FUNCTION facematch_internal.svg_count(double precision) IS 'a count as an axis has room for it: 20,000, 250k, 1.5M';

-- The axes: where their labels stand, 0 to 1 along each, and what they say.
CREATE FUNCTION facematch_internal.svg_axes(x_at double precision[], x_labels text[], y_at double precision[], y_labels text[], x_title text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT (SELECT string_agg(format('<line class="grid" x1="76" x2="548" y1="%1$s" y2="%1$s"/><text x="70" y="%2$s" text-anchor="end">%3$s</text>',
									 round((246 - 232 * at)::numeric, 1), round((250.5 - 232 * at)::numeric, 1), label), '')
			FROM unnest($3, $4) y (at, label))
		|| (SELECT string_agg(format('<text x="%s" y="272" text-anchor="%s">%s</text>', round((76 + 472 * at)::numeric, 1), CASE WHEN at > 0.97 THEN 'end' ELSE 'middle' END, label), '')
			FROM unnest($1, $2) x (at, label) WHERE label <> '')
		|| '<line class="axis" x1="76" x2="548" y1="246" y2="246"/><text class="title" x="312" y="298" text-anchor="middle">' || $5 || '</text>'
$$;
COMMENT ON FUNCTION facematch_internal.svg_axes(double precision[], text[], double precision[], text[], text) IS 'grid lines, axes and their labels, which are HTML';

CREATE FUNCTION facematch_internal.svg_chart(id text, title text, description text, body text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('<svg viewBox="0 0 560 306" role="img" aria-labelledby="%1$s-t %1$s-d"><title id="%1$s-t">%2$s</title><desc id="%1$s-d">%3$s</desc>%4$s</svg>',
				  $1, $2, $3, $4)
$$;
COMMENT ON FUNCTION facematch_internal.svg_chart(text, text, text, text) IS 'an SVG element that screen readers name and describe';

CREATE FUNCTION facematch_internal.svg_legend(names text[], marks text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN count(*) < 2 THEN '' ELSE '<ul class="legend">' || string_agg(format('<li><svg viewBox="0 0 26 14" aria-hidden="true">%s</svg>%s</li>',
		CASE $2 WHEN 'columns' THEN format('<rect class="s%s" x="1" y="1" width="24" height="12"/>', n)
				ELSE format('<line class="l%s" x1="0" x2="26" y1="7" y2="7"/>', n) END, name), '' ORDER BY n) || '</ul>' END
	FROM unnest($1) WITH ORDINALITY u (name, n) WHERE name <> ''
$$;
COMMENT ON FUNCTION facematch_internal.svg_legend(text[], text) IS 'what the series of a chart are: names are HTML, marks columns or lines; of one series nothing';

-- Labels of the x axis: at most seven of them, so that they stay apart on a phone.
CREATE FUNCTION facematch_internal.svg_thin(labels text[], most integer DEFAULT 7) RETURNS text[]
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT array_agg(CASE WHEN (n - 1) % ceil(cardinality($1) / $2::double precision)::integer = 0 THEN label ELSE '' END ORDER BY n)
	FROM unnest($1) WITH ORDINALITY u (label, n)
$$;
COMMENT ON FUNCTION facematch_internal.svg_thin(text[], integer) IS 'every second label, or every third and so on, the others empty';

CREATE FUNCTION facematch_internal.svg_label(value text, most integer) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN facematch_internal.html_text(CASE WHEN length(value) > most THEN left(value, most - 1) ELSE value END) || CASE WHEN length(value) > most THEN '&hellip;' ELSE '' END;
COMMENT ON FUNCTION facematch_internal.svg_label(text, integer) IS 'a name as a label of a chart, cut to so many characters; the table beside the chart has it whole';

-- Stacked columns: one row of values for each series.
CREATE FUNCTION facematch_internal.svg_columns(id text, title text, description text, labels text[], names text[], counts double precision[], x_title text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	columns integer := cardinality(labels);
	series integer := cardinality(names);
	width double precision := 472.0 / greatest(columns, 1);
	drawn double precision := least(width * 0.72, 90);
	body text := '';
	ticks double precision[];
	top double precision;
	upto double precision;
BEGIN
	IF coalesce(columns, 0) = 0 THEN
		RETURN NULL;
	END IF;
	ticks := facematch_internal.svg_ticks((SELECT max(total) FROM (SELECT sum(counts[s][c]) AS total FROM generate_series(1, columns) c, generate_series(1, series) s
													  GROUP BY c) t));
	top := ticks[cardinality(ticks)];
	body := facematch_internal.svg_axes(ARRAY(SELECT (c - 0.5) / columns FROM generate_series(1, columns) c), facematch_internal.svg_thin(labels),
							   ARRAY(SELECT t / top FROM unnest(ticks) t), ARRAY(SELECT facematch_internal.svg_count(t) FROM unnest(ticks) t), x_title);
	FOR c IN 1 .. columns LOOP
		upto := 0;
		FOR s IN 1 .. series LOOP
			CONTINUE WHEN counts[s][c] IS NULL OR counts[s][c] <= 0;
			body := body || format('<rect class="s%s" x="%s" y="%s" width="%s" height="%s"/>', s,
				round((76 + width * (c - 1) + (width - drawn) / 2)::numeric, 1), round((246 - 232 * (upto + counts[s][c]) / top)::numeric, 1),
				round(drawn::numeric, 1), round((232 * counts[s][c] / top)::numeric, 1));
			upto := upto + counts[s][c];
		END LOOP;
	END LOOP;
	RETURN '<div class="drawing">' || facematch_internal.svg_chart(id, title, description, body) || facematch_internal.svg_legend(names, 'columns') || '</div>';
END
$$;
COMMENT ON FUNCTION facematch_internal.svg_columns(text, text, text, text[], text[], double precision[], text) IS
	'stacked columns: labels and names are HTML, counts one row for each series. No columns: NULL';

-- Lines through points that stand from 0 to 1 on both axes; one row for each series; a NULL is left out.
CREATE FUNCTION facematch_internal.svg_lines(id text, title text, description text, x double precision[], y double precision[], names text[],
									axes text, marks text DEFAULT '') RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	body text := axes;
	points text;
BEGIN
	IF coalesce(cardinality(x), 0) = 0 THEN
		RETURN NULL;
	END IF;
	FOR s IN 1 .. cardinality(names) LOOP
		SELECT string_agg(facematch_internal.svg_xy(76 + 472 * x[i], 246 - 232 * y[s][i]), ' ' ORDER BY i) INTO points
		FROM generate_subscripts(x, 1) i WHERE x[i] IS NOT NULL AND y[s][i] IS NOT NULL;
		CONTINUE WHEN points IS NULL;
		body := body || format('<polyline class="l%s" points="%s"/>', s, points);
		-- A lone point makes no line.
		IF points !~ ' ' THEN
			body := body || format('<circle class="p%s" cx="%s" cy="%s" r="5"/>', s, split_part(points, ',', 1), split_part(points, ',', 2));
		END IF;
	END LOOP;
	RETURN '<div class="drawing">' || facematch_internal.svg_chart(id, title, description, body || marks) || facematch_internal.svg_legend(names, 'lines') || '</div>';
END
$$;
COMMENT ON FUNCTION facematch_internal.svg_lines(text, text, text, double precision[], double precision[], text[], text, text) IS
	'lines: points from 0 to 1 along both axes, one row of y for each series, over axes; a NULL is left out; marks are drawn on top. No points: NULL';

CREATE FUNCTION facematch_internal.svg_mark(x double precision, label text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN format('<line class="mark" x1="%1$s" x2="%1$s" y1="14" y2="246"/><text class="mark" x="%2$s" y="28" text-anchor="%3$s">%4$s</text>',
				  round((76 + 472 * x)::numeric, 1), round((76 + 472 * x + CASE WHEN x > 0.6 THEN -7 ELSE 7 END)::numeric, 1),
				  CASE WHEN x > 0.6 THEN 'end' ELSE 'start' END, label);
COMMENT ON FUNCTION facematch_internal.svg_mark(double precision, text) IS 'a vertical line at x, 0 to 1, with a label, which is HTML';
