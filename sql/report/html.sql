/*
 * Pieces of the HTML report: text, numbers, tables.
 *
 * What comes from rows becomes HTML in one place, html_text(), which every table, label and title goes through.  The
 * markup itself is ASCII, so that it is the same in a database of any encoding.
 */

CREATE FUNCTION facematch_internal.html_text(value text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- Control characters, and those of Unicode that are invisible or turn the direction of what stands around them.
	unseen text := CASE WHEN getdatabaseencoding() = 'UTF8'
						THEN '[\x01-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]'
						ELSE '[\x01-\x1f\x7f]' END;
BEGIN
	value := replace(replace(replace(replace(replace(value, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'),
		'''', '&#39;');
	IF value ~ unseen THEN
		SELECT string_agg(CASE WHEN c ~ unseen THEN format('[U+%s]', lpad(upper(to_hex(ascii(c))), 4, '0')) ELSE c END,
			'' ORDER BY n)
		INTO value FROM regexp_split_to_table(value, '') WITH ORDINALITY s (c, n);
	END IF;
	-- A name in a script that runs from right to left does not move its neighbours.
	RETURN CASE WHEN value ~ '[^ -~]' THEN '<bdi>' || value || '</bdi>' ELSE coalesce(value, '') END;
END
$$;
COMMENT ON FUNCTION facematch_internal.html_text(text) IS
	'a text as HTML that shows it and does nothing else, in an element''s content: markup is escaped, characters that '
	'are invisible or turn the writing direction are spelled out, other scripts are isolated. NULL: empty';

-- Units: # a count, % a share (0 to 1) in percent, score a similarity, s a time in seconds.
CREATE FUNCTION facematch_internal.html_number(value double precision, unit text DEFAULT '#') RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN value IS NULL THEN '&ndash;'
		WHEN unit = '#' THEN to_char(value, 'FM999,999,999,999,999,990')
		WHEN unit = 'score' THEN to_char(value, 'FM0.00')
		WHEN unit = '%' THEN to_char(value * 100, CASE WHEN value = 0 OR value >= 0.01 THEN 'FM990.0'
													   WHEN value >= 0.001 THEN 'FM990.00' ELSE 'FM990.0000' END) || '&nbsp;%'
		WHEN s < 0.0000005 THEN '0&nbsp;ms'
		-- Below ten milliseconds two digits that count.
		WHEN s < 0.00995 THEN trim_scale(round(s * 1000, 1 - floor(log(s * 1000))::integer)) || '&nbsp;ms'
		WHEN s < 0.9995 THEN to_char(s * 1000, 'FM990') || '&nbsp;ms'
		WHEN s < 99.5 THEN to_char(s, 'FM990') || '&nbsp;s'
		WHEN s < 99.5 * 60 THEN to_char(s / 60, 'FM990') || '&nbsp;min'
		WHEN s < 71.5 * 3600 THEN to_char(s / 3600, 'FM990') || '&nbsp;h'
		WHEN s < 730 * 86400 THEN to_char(s / 86400, 'FM990') || '&nbsp;days'
		ELSE to_char(s / 31557600, 'FM990') || '&nbsp;years' END
	FROM (SELECT $1, $2, $1::numeric) v (value, unit, s)
$$;
COMMENT ON FUNCTION facematch_internal.html_number(double precision, text) IS
	'a number as HTML, rounded for people: # a count, % a share, score a similarity, s a time in seconds. NULL: a dash';

/*
 * Rows are arrays of values.  A head says behind a bar what its column holds: a unit of html_number(), or html;
 * without one it is text.  In a column of shares an array of two is an interval, an array of three a share with its
 * interval.
 */
CREATE FUNCTION facematch_internal.html_table(caption text, heads text[], rows jsonb, nothing text DEFAULT '')
	RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
	WITH head AS (
		SELECT h.n, split_part(h.head, '|', 1) AS name, split_part(h.head, '|', 2) AS unit,
			   CASE WHEN split_part(h.head, '|', 2) IN ('', 'html') THEN '' ELSE ' class="n"' END AS class
		FROM unnest($2) WITH ORDINALITY h (head, n)),
	cell AS (
		SELECT r.n AS row, h.n, h.class, CASE
			WHEN c.value #>> '{}' IS NULL THEN '&ndash;'
			WHEN h.unit = '' THEN html_text(c.value #>> '{}')
			WHEN h.unit = 'html' THEN c.value #>> '{}'
			WHEN jsonb_typeof(c.value) = 'array' THEN (
				SELECT CASE WHEN i.rate IS NULL THEN i.range ELSE i.rate || ' <small>' || i.range || '</small>' END
				FROM (SELECT CASE jsonb_array_length(c.value) WHEN 3 THEN html_number((c.value ->> 0)::float8, '%') END,
							 CASE WHEN c.value ->> -1 IS NULL THEN '&ndash;'
								  ELSE replace(html_number((c.value ->> -2)::float8, '%'), '&nbsp;%', '')
									   || ' to ' || html_number((c.value ->> -1)::float8, '%') END) i (rate, range))
			ELSE html_number((c.value #>> '{}')::float8, h.unit) END AS html
		FROM jsonb_array_elements($3) WITH ORDINALITY r (cells, n),
			 jsonb_array_elements(r.cells) WITH ORDINALITY c (value, n) JOIN head h ON h.n = c.n),
	body AS (
		SELECT c.row, '<tr>' || string_agg(CASE c.n WHEN 1 THEN '<th scope="row">' || c.html || '</th>'
														ELSE '<td' || c.class || '>' || c.html || '</td>' END, '' ORDER BY c.n) AS html
		FROM cell c GROUP BY c.row)
	SELECT CASE WHEN $3 IS NULL THEN $4 ELSE
		format('<div class="data" tabindex="0" role="region" aria-label="%1$s"><table><caption>%1$s</caption><thead><tr>',
			$1)
		|| (SELECT string_agg('<th scope="col"' || h.class || '>' || h.name || '</th>', '' ORDER BY h.n) FROM head h)
		|| E'</tr></thead><tbody>\n' || (SELECT string_agg(b.html || E'</tr>\n', '' ORDER BY b.row) FROM body b)
		|| E'</tbody></table></div>\n' END
$$;
COMMENT ON FUNCTION facematch_internal.html_table(text, text[], jsonb, text) IS
	'a table: heads are HTML, with the unit of the column behind a bar; rows are arrays of values, the first the row''s '
	'heading. No rows: nothing, which is HTML';

CREATE FUNCTION facematch_internal.html_figure(id text, title text, explanation text, chart text, data text)
	RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN chart IS NULL OR data = ''
		THEN '<div class="nothing" id="' || id || '"><h3>' || title
			|| '</h3><p>There is nothing to show here for this period.</p></div>'
		ELSE '<figure class="chart" id="' || id || '"><figcaption><h3>' || title || '</h3><p>' || explanation
			 || '</p></figcaption><div class="pair">' || chart || data || '</div></figure>' END || E'\n';
COMMENT ON FUNCTION facematch_internal.html_figure(text, text, text, text, text) IS
	'a chart with the table of its numbers beside it; without numbers, a sentence that says so';
