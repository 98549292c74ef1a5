/*
 * Pieces of the HTML report: text, numbers, tables.
 *
 * What comes from rows becomes HTML in one place, html_text(), which every
 * table, label and title goes through.  The markup itself is ASCII, so that it
 * is the same in a database of any encoding.
 */

CREATE FUNCTION facematch_internal.html_text(value text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- Control characters, and those of Unicode that are not seen or turn the direction of what stands around them.
	unseen text := CASE WHEN getdatabaseencoding() = 'UTF8'
						THEN '[\x01-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]'
						ELSE '[\x01-\x1f\x7f]' END;
BEGIN
	value := replace(replace(replace(replace(replace(value, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;');
	IF value ~ unseen THEN
		SELECT string_agg(CASE WHEN c ~ unseen THEN format('[U+%s]', lpad(upper(to_hex(ascii(c))), 4, '0')) ELSE c END, '' ORDER BY n)
		INTO value FROM regexp_split_to_table(value, '') WITH ORDINALITY s (c, n);
	END IF;
	-- A name in a script that runs from right to left does not move its neighbours.
	RETURN CASE WHEN value ~ '[^ -~]' THEN '<bdi>' || value || '</bdi>' ELSE coalesce(value, '') END;
END
$$;
COMMENT ON FUNCTION facematch_internal.html_text(text) IS
	'a text as HTML that shows it and does nothing else, in an element''s content: markup is escaped, characters that are not seen or turn the writing direction are spelled out, other scripts are isolated. NULL: empty';

CREATE FUNCTION facematch_internal.html_number(value numeric) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce(to_char(value, 'FM999,999,999,999,999,990'), '&ndash;');
COMMENT ON FUNCTION facematch_internal.html_number(numeric) IS 'a count with commas; NULL: a dash';

CREATE FUNCTION facematch_internal.html_percent(value double precision) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce(to_char(value * 100, CASE WHEN value = 0 OR value >= 0.01 THEN 'FM990.0' WHEN value >= 0.001 THEN 'FM990.00' ELSE 'FM990.0000' END)
					|| '&nbsp;%', '&ndash;');
COMMENT ON FUNCTION facematch_internal.html_percent(double precision) IS 'a share, 0 to 1, in percent; NULL: a dash';

CREATE FUNCTION facematch_internal.html_interval(low double precision, high double precision) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN low IS NULL OR high IS NULL THEN '&ndash;'
				ELSE replace(facematch_internal.html_percent(low), '&nbsp;%', '') || ' to ' || facematch_internal.html_percent(high) END;
COMMENT ON FUNCTION facematch_internal.html_interval(double precision, double precision) IS 'an interval of shares in percent; NULL: a dash';

CREATE FUNCTION facematch_internal.html_score(value double precision) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce(to_char(value, 'FM0.00'), '&ndash;');
COMMENT ON FUNCTION facematch_internal.html_score(double precision) IS 'a similarity with two digits; NULL: a dash';

CREATE FUNCTION facematch_internal.html_duration(value interval) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN s IS NULL THEN '&ndash;'
				WHEN s < 0.9995 THEN to_char(s * 1000, 'FM990') || '&nbsp;ms'
				WHEN s < 99.5 THEN to_char(s, 'FM990') || '&nbsp;s'
				WHEN s < 99.5 * 60 THEN to_char(s / 60, 'FM990') || '&nbsp;min'
				WHEN s < 71.5 * 3600 THEN to_char(s / 3600, 'FM990') || '&nbsp;h'
				WHEN s < 730 * 86400 THEN to_char(s / 86400, 'FM990') || '&nbsp;days'
				ELSE to_char(s / 31557600, 'FM990') || '&nbsp;years' END
	FROM (SELECT extract(epoch FROM $1)) e (s)
$$;
COMMENT ON FUNCTION facematch_internal.html_duration(interval) IS 'a time span in one unit, rounded; NULL: a dash';

CREATE FUNCTION facematch_internal.html_day(value date) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN coalesce(extract(day FROM value) || ' ' || (ARRAY['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August',
		'September', 'October', 'November', 'December'])[extract(month FROM value)::integer] || ' ' || extract(year FROM value), '&ndash;');
COMMENT ON FUNCTION facematch_internal.html_day(date) IS 'a day as people write it; NULL: a dash';

---------------------------------------------------------------- tables

-- Cells are HTML already.  The first of a row is its heading; numbers stand to the right, as do heads that begin with '#'.
CREATE FUNCTION facematch_internal.html_row(VARIADIC cells text[]) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<tr>' || string_agg(CASE WHEN n = 1 THEN '<th scope="row">' || coalesce(c, '') || '</th>'
									 WHEN c ~ '^(&ndash;|[0-9][0-9,.]*( to [0-9][0-9.]*)?(&nbsp;[a-z%]+)?)$' THEN '<td class="n">' || c || '</td>'
									 ELSE '<td>' || coalesce(c, '') || '</td>' END, '' ORDER BY n) || '</tr>' || E'\n'
	FROM unnest($1) WITH ORDINALITY u (c, n)
$$;
COMMENT ON FUNCTION facematch_internal.html_row(text[]) IS 'a row of a table, from cells that are HTML; the first is its heading, numbers stand to the right';

CREATE FUNCTION facematch_internal.html_table(caption text, heads text[], body text, label text DEFAULT NULL) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN $3 IS NULL THEN ''
				ELSE '<div class="data" tabindex="0" role="region" aria-label="' || coalesce($4, $1) || '"><table><caption>' || $1 || '</caption><thead><tr>'
					 || (SELECT string_agg(CASE WHEN h LIKE '#%' THEN '<th scope="col" class="n">' || substr(h, 2) ELSE '<th scope="col">' || h END || '</th>', '' ORDER BY n) FROM unnest($2) WITH ORDINALITY u (h, n))
					 || E'</tr></thead><tbody>\n' || $3 || E'</tbody></table></div>\n' END
$$;
COMMENT ON FUNCTION facematch_internal.html_table(text, text[], text, text) IS 'a table from rows, with heads that are HTML, those of numbers behind a #; no rows: nothing';

CREATE FUNCTION facematch_internal.html_figure(id text, title text, explanation text, chart text, data text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<figure class="chart" id="' || $1 || '"><figcaption><h3>' || $2 || '</h3><p>' || $3 || '</p></figcaption>'
		   || CASE WHEN $4 IS NULL OR $5 = '' THEN '' ELSE '<div class="pair">' || $4 || $5 || '</div>' END || E'</figure>\n'
	WHERE $4 IS NOT NULL AND $5 <> ''
	UNION ALL
	SELECT '<div class="nothing" id="' || $1 || '"><h3>' || $2 || '</h3><p>There is nothing to show here for this period.</p></div>' || E'\n'
	LIMIT 1
$$;
COMMENT ON FUNCTION facematch_internal.html_figure(text, text, text, text, text) IS 'a chart with the table of its numbers beside it; without numbers, a sentence that says so';
