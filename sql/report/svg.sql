/*
 * Charts of the HTML report, as inline SVG.
 *
 * Every chart has the same frame: 560 by 306 units, the plot from (76, 14) to (548, 246).  Series are told apart by
 * lightness, by dashes and by hatching, never by hue alone, so that they survive greyscale print.
 */

CREATE FUNCTION facematch_internal.svg_axis(low double precision, high double precision, unit text,
	OUT ticks double precision[], OUT labels text[])
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	step double precision := 1;
BEGIN
	IF unit LIKE 'log%' THEN
		low := floor(low);
		high := greatest(ceil(high), low + 1);
	ELSE
		-- At most five steps, each 1, 2, 2.5 or 5 times a power of ten, and a whole number.
		low := 0;
		high := CASE WHEN high > 0 THEN high ELSE 1 END;
		step := 10 ^ floor(log(high / 5));
		step := ceil(step * (SELECT min(m) FROM unnest('{1,2,2.5,5,10}'::double precision[]) m
			WHERE m * step * 5 >= high * 0.9999));
	END IF;
	ticks := ARRAY(SELECT low + i * step FROM generate_series(0, ceil((high - low) / step - 0.0001)::integer) i);
	labels := ARRAY(
		SELECT CASE
			WHEN unit = 'log%' THEN trim_scale(power(10::numeric, t::numeric + 2)) || '%'
			WHEN unit = 'log' THEN CASE WHEN t = 0 THEN '1' WHEN t <= -6 THEN '1:' || 10 ^ (-t - 6) || 'M'
										WHEN t <= -3 THEN '1:' || 10 ^ (-t - 3) || 'k' ELSE '1:' || 10 ^ -t END
			WHEN unit = '%' THEN t || '%'
			WHEN t >= 1e6 THEN rtrim(to_char(t / 1e6, 'FM999,990.99'), '.') || 'M'
			WHEN t >= 1e5 THEN rtrim(to_char(t / 1e3, 'FM990.9'), '.') || 'k'
			ELSE to_char(t, 'FM99,990') END
		FROM unnest(ticks) t);
END
$$;
COMMENT ON FUNCTION facematch_internal.svg_axis(double precision, double precision, text) IS
	'round numbers for an axis, and their labels: # counts and % percent, from 0 to at least high; log and log% for '
	'logarithms to the base 10 of rates, whole decades from low to high';

/*
 * y has one row for each series, of which NULLs are left out.  Forms: columns, stacked; line, with a point above each
 * label; steps, the outline of a histogram, whose bins begin at the labels; curve, with points at x, both axes
 * logarithmic.
 */
CREATE FUNCTION facematch_internal.svg_chart(id text, title text, description text, form text, labels text[],
	names text[], y double precision[], x_title text, unit text DEFAULT '#', x double precision[] DEFAULT NULL,
	mark double precision DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
DECLARE
	slots CONSTANT integer := array_length(y, 2);
	across double precision[];		-- where labels stand along x
	low double precision := 0;
	wide double precision := slots;
	up double precision[];			-- and along y
	up_labels text[];
	high double precision;
	body text;
	points text;
BEGIN
	IF slots IS NULL THEN
		RETURN NULL;
	END IF;
	SELECT a.ticks, a.labels, a.ticks[cardinality(a.ticks)] - a.ticks[1] INTO up, up_labels, high
	FROM (SELECT min(y[s][c]), max(CASE WHEN form <> 'columns' THEN y[s][c]
										ELSE (SELECT sum(y[k][c]) FROM generate_subscripts(y, 1) k) END)
		  FROM generate_subscripts(y, 1) s, generate_series(1, slots) c) v (low, high),
		 LATERAL svg_axis(v.low, v.high, unit) a;
	IF form = 'curve' THEN
		SELECT a.ticks, a.labels, a.ticks[1], a.ticks[cardinality(a.ticks)] - a.ticks[1] INTO across, labels, low, wide
		FROM (SELECT min(v), max(v) FROM unnest(x) v) v (low, high), LATERAL svg_axis(v.low, v.high, 'log') a;
	ELSE
		x := ARRAY(SELECT c - CASE form WHEN 'steps' THEN 1 ELSE 0.5 END FROM generate_series(1, slots) c);
		across := x;
		-- At most seven labels, so that they stay apart on a phone.
		labels := ARRAY(SELECT CASE WHEN (n - 1) % ceil(slots / 7.0)::integer = 0 THEN label ELSE '' END
						FROM unnest(labels) WITH ORDINALITY l (label, n) ORDER BY n);
	END IF;

	body := (SELECT string_agg(format('<line class="grid" x1="76" x2="548" y1="%1$s" y2="%1$s"/>'
				'<text x="70" y="%2$s" text-anchor="end">%3$s</text>', round(g.at, 1), round(g.at + 4.5, 1), g.label), '')
			 FROM (SELECT (246 - 232 * (u.tick - up[1]) / high)::numeric, u.label
				   FROM unnest(up, up_labels) u (tick, label)) g (at, label))
		|| (SELECT string_agg(format('<text x="%s" y="272" text-anchor="%s">%s</text>', round((76 + 472 * g.at)::numeric, 1),
				CASE WHEN g.at > 0.97 THEN 'end' ELSE 'middle' END, g.label), '')
			FROM (SELECT (a.tick - low) / wide, a.label FROM unnest(across, labels) a (tick, label)) g (at, label)
			WHERE g.label <> '')
		|| '<line class="axis" x1="76" x2="548" y1="246" y2="246"/><text class="title" x="312" y="298" text-anchor="middle">'
		|| x_title || '</text>';
	FOR s IN 1 .. array_length(y, 1) LOOP
		IF form = 'columns' THEN
			body := body || coalesce((
				SELECT string_agg(format('<rect class="s%s" x="%s" y="%s" width="%s" height="%s"/>', s,
					round((76 + 472 * x[c] / wide - w / 2)::numeric, 1), round((246 - 232 * n / high)::numeric, 1),
					round(w::numeric, 1), round((232 * y[s][c] / high)::numeric, 1)), '')
				FROM generate_series(1, slots) c,
					 LATERAL (SELECT least(472 / wide * 0.72, 90), sum(y[k][c]) FROM generate_series(1, s) k) r (w, n)
				WHERE y[s][c] > 0), '');
		ELSE
			SELECT string_agg(round((76 + 472 * (x[c] + e - low) / wide)::numeric, 1) || ','
							  || round((246 - 232 * (y[s][c] - up[1]) / high)::numeric, 1), ' ' ORDER BY c, e) INTO points
			FROM generate_series(1, slots) c, generate_series(0, (form = 'steps')::integer) e WHERE y[s][c] IS NOT NULL;
			body := body || coalesce(format('<polyline class="l%s" points="%s"/>', CASE form WHEN 'curve' THEN 2 ELSE s END,
				points), '');
			-- A lone point makes no line.
			IF points !~ ' ' THEN
				body := body || format('<circle class="p%s" cx="%s" cy="%s" r="5"/>', s, split_part(points, ',', 1),
					split_part(points, ',', 2));
			END IF;
		END IF;
	END LOOP;
	IF mark IS NOT NULL THEN
		body := body || (
			SELECT format('<line class="mark" x1="%1$s" x2="%1$s" y1="14" y2="246"/>'
						  '<text class="mark" x="%2$s" y="28" text-anchor="%3$s">threshold</text>', round(m.at, 1),
						  round(m.at + CASE WHEN m.at > 359 THEN -7 ELSE 7 END, 1), CASE WHEN m.at > 359 THEN 'end' ELSE 'start' END)
			FROM (SELECT (76 + 472 * mark / wide)::numeric) m (at));
	END IF;
	RETURN format('<div class="drawing"><svg viewBox="0 0 560 306" role="img" aria-labelledby="%1$s-t %1$s-d">'
				  '<title id="%1$s-t">%2$s</title><desc id="%1$s-d">%3$s</desc>%4$s</svg>', id, title, description, body)
		|| (SELECT CASE WHEN count(*) < 2 THEN '' ELSE '<ul class="legend">' || string_agg(format(
				CASE form WHEN 'columns' THEN '<li><svg viewBox="0 0 26 14" aria-hidden="true">'
						  '<rect class="s%s" x="1" y="1" width="24" height="12"/></svg>%s</li>'
					 ELSE '<li><svg viewBox="0 0 26 14" aria-hidden="true">'
						  '<line class="l%s" x1="0" x2="26" y1="7" y2="7"/></svg>%s</li>' END, n, name), '' ORDER BY n) || '</ul>' END
			FROM unnest(names) WITH ORDINALITY l (name, n)) || '</div>';
END
$$;
COMMENT ON FUNCTION facematch_internal.svg_chart(text, text, text, text, text[], text[], double precision[], text,
	text, double precision[], double precision) IS
	'a chart with its legend; title, labels and names of the series are HTML; mark is where the threshold stands, in '
	'bins. Without points: NULL';
