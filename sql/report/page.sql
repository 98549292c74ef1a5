/*
 * report_html(): the whole page, and its texts in other languages.
 *
 * One self-contained document: no script, no font, no image, nothing fetched; its own Content-Security-Policy forbids
 * them. Where it comes from and what its words mean stands at its end.
 */

---------------------------------------------------------------- other languages

CREATE TABLE facematch.report_text (
	language	text NOT NULL CONSTRAINT report_text_language_is_a_tag
		CHECK (language ~ '^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$'),
	english		text NOT NULL CONSTRAINT report_text_english_is_said CHECK (english <> ''),
	translation	text NOT NULL CONSTRAINT report_text_translation_is_said CHECK (translation <> ''),
	CONSTRAINT report_text_pkey PRIMARY KEY (language, english)
);
COMMENT ON TABLE facematch.report_text IS
	'translations of the HTML report''s texts by the site; texts without a row stay English. '
	'facematch_internal.page_texts() lists what a page says';
COMMENT ON COLUMN facematch.report_text.language IS 'a BCP 47 tag, such as es';
COMMENT ON COLUMN facematch.report_text.english IS 'the text of the page between two tags, with # for each number';
COMMENT ON COLUMN facematch.report_text.translation IS
	'the translation, with # for each number in the same order; shown as text';
SELECT pg_catalog.pg_extension_config_dump('facematch.report_text', '');
SELECT facematch_internal.keep_as_record('facematch.report_text', changes => true, remarks => '{english,translation}');

-- The style sheet is no text; what a page quotes in attributes is the caption of a table.
CREATE FUNCTION facematch_internal.page_texts(html text, language text DEFAULT 'en')
	RETURNS TABLE (place bigint, tag text, english text, numbers text[], said text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
	WITH piece AS (
		SELECT p.place, p.piece[1] AS tag, p.piece[2] AS said, CASE WHEN p.piece[1] !~ '^<style'
			THEN nullif(btrim(regexp_replace(p.piece[2], '(?<![#0-9])[0-9]+([.,][0-9]+)*', '#', 'g'), E' \n'), '')
			END AS english,
			ARRAY(SELECT n[1] FROM regexp_matches(p.piece[2], '(?<![#0-9])[0-9]+(?:[.,][0-9]+)*', 'g') n) AS numbers
		FROM regexp_matches($1, '(<[^>]*>)([^<]*)', 'g') WITH ORDINALITY p (piece, place))
	SELECT p.place, p.tag, p.english, p.numbers,
		CASE WHEN r.translation IS NULL THEN p.said ELSE substring(p.said FROM E'^[ \\n]*') || (
			-- Word by word: a part of the translation, then a number.
			SELECT string_agg(replace(replace(html_text(w.part), '<bdi>', ''), '</bdi>', '') || CASE
				WHEN w.n <= cardinality(p.numbers) THEN p.numbers[w.n] ELSE '' END, '' ORDER BY w.n)
			FROM string_to_table(r.translation, '#') WITH ORDINALITY w (part, n)) || substring(p.said FROM E'[ \\n]*$') END
	FROM piece p LEFT JOIN facematch.report_text r ON r.language = $2 AND r.english = p.english
	ORDER BY p.place
$$;
COMMENT ON FUNCTION facematch_internal.page_texts(text, text) IS
	'the tags of an HTML page in order, each with the text behind it, in which # stands for each number, and with what'
	' facematch.report_text has for it in a language';

CREATE FUNCTION facematch.report_html(since date DEFAULT (now() AT TIME ZONE 'UTC')::date - 29,
	until date DEFAULT (now() AT TIME ZONE 'UTC')::date, title text DEFAULT 'Face matching at the gates',
	language text DEFAULT 'en')
	RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
DECLARE
	-- Drift looks at whole weeks, and at the four before each.
	whole record;
	counts encounter_count[];
	histograms encounter_histogram[];
	kept facematch.report_retention[];
	page text;
	style CONSTANT text := $css$
:root{--ink:#16202b;--soft:#4a5764;--line:#d3dae1;--wash:#f3f6f9;--dark:#16365c;--mid:#6b9ac9;--pale:#d4e2f0;
--alert:#8c1d04}
*{box-sizing:border-box} html{-webkit-text-size-adjust:100%}
body{margin:0;background:#fff;color:var(--ink);
font:17px/1.55 "Helvetica Neue",Helvetica,Arial,"Liberation Sans","DejaVu Sans",sans-serif}
header,main,footer{max-width:1120px;margin:0 auto;padding:0 28px} header{padding-top:52px}
header::after{content:"";display:block;border-bottom:3px solid var(--dark);margin-top:24px}
section:first-child h2{border-top:0}
h1{font-size:38px;line-height:1.15;margin:0 0 10px;letter-spacing:-.4px;overflow-wrap:anywhere}
header p{margin:0;color:var(--soft)} header .period{color:var(--ink);font-size:19px}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:4px 22px;margin:20px 0 0;padding:0;font-size:15px}
a{color:var(--dark);text-underline-offset:3px}
a:focus-visible,.data:focus-visible{outline:3px solid var(--mid);outline-offset:2px} section{padding:34px 0 10px}
h2{font-size:26px;line-height:1.2;margin:0 0 14px;padding-top:12px;border-top:1px solid var(--line)}
h3{font-size:18px;margin:26px 0 6px} p{margin:0 0 12px;max-width:74ch}
.tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:16px;margin:6px 0 26px}
.tile{background:var(--wash);border-left:5px solid var(--dark);padding:16px 18px 12px}
.tile .big{font-size:34px;line-height:1.1;font-weight:700;margin:0 0 6px;color:var(--dark);
font-variant-numeric:tabular-nums}
.tile p{font-size:15px;line-height:1.4;margin:0}
.answers{display:grid;grid-template-columns:minmax(190px,250px) 1fr;gap:0 32px;margin:0}
.answers dt{font-weight:700;padding:12px 0;border-top:1px solid var(--line)}
.answers dd{margin:0;padding:12px 0;border-top:1px solid var(--line)} figure{margin:8px 0 20px}
figcaption h3{margin-top:8px}
.pair{display:grid;grid-template-columns:minmax(0,3fr) minmax(0,2fr);gap:8px 34px;align-items:start;margin-top:6px}
.pair .data{max-height:372px;overflow:auto} .drawing svg[role=img]{display:block;width:100%;height:auto}
svg text{font:13px "Helvetica Neue",Helvetica,Arial,"Liberation Sans","DejaVu Sans",sans-serif;fill:var(--soft)}
svg text.mark{fill:var(--ink);font-weight:700} svg .grid{stroke:var(--line);stroke-width:1}
svg .axis{stroke:var(--ink);stroke-width:1.2} svg .mark{stroke:var(--ink);stroke-width:1.6} svg text.mark{stroke:none}
svg .s1{fill:#16365c} svg .s2{fill:#6b9ac9} svg .s3{fill:#d4e2f0;stroke:#16365c;stroke-width:.8}
svg polyline{fill:none;stroke-linejoin:round} svg .l1,svg .l2,svg .l3,svg .l4{stroke-linecap:butt}
svg .l1{stroke:#9dbbd9;stroke-width:6} svg .l2{stroke:#16202b;stroke-width:2.2}
svg .l3{stroke:#4a5764;stroke-width:2.2;stroke-dasharray:7 4}
svg .l4{stroke:#16202b;stroke-width:2.4;stroke-dasharray:2 3} svg .p1{fill:#9dbbd9}
svg .p2,svg .p3,svg .p4{fill:#16202b}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 22px;margin:4px 0 0;padding:0 0 0 76px;font-size:14px;
color:var(--soft)}
.legend li{display:flex;align-items:center;gap:8px} .legend svg{width:26px;height:14px}
.data{overflow-x:auto;background:linear-gradient(to right,#fff 30%,rgba(255,255,255,0)) left/36px 100% no-repeat local,
linear-gradient(to left,#fff 30%,rgba(255,255,255,0)) right/36px 100% no-repeat local,
linear-gradient(to right,rgba(22,32,43,.16),rgba(22,32,43,0)) left/11px 100% no-repeat scroll,
linear-gradient(to left,rgba(22,32,43,.16),rgba(22,32,43,0)) right/11px 100% no-repeat scroll}
table{border-collapse:collapse;width:100%;font-size:14.5px;line-height:1.4;font-variant-numeric:tabular-nums}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
thead th{position:sticky;top:0;background:#fff;text-align:left;vertical-align:bottom;font-weight:700;
border-bottom:2px solid var(--ink);padding:6px 14px 6px 0}
tbody th{font-weight:400;text-align:left;vertical-align:top;padding:5px 14px 5px 0;
border-bottom:1px solid var(--line);overflow-wrap:break-word;min-width:12ch}
.pair tbody th{min-width:9ch}
td{vertical-align:top;padding:5px 14px 5px 0;border-bottom:1px solid var(--line);overflow-wrap:break-word}
td.n,th.n{text-align:right!important;padding-left:8px} td.n{white-space:nowrap}
.pair td small{display:block;white-space:nowrap} #rules th[scope=row]{min-width:20ch}
#rules td:nth-child(2){min-width:15ch} #rules td:nth-child(3){min-width:30ch} #rules td:nth-child(4){min-width:32ch}
.note,.nothing p{color:var(--soft);font-size:15px} .nothing{background:var(--wash);padding:4px 18px;margin:10px 0 18px}
.alert{color:var(--alert)} small{font-size:13px;color:var(--soft)}
footer{padding-top:22px;padding-bottom:60px;color:var(--soft);font-size:15px}
@media screen and (max-width:820px){
body{font-size:16px} header,main,footer{padding-left:18px;padding-right:18px} header{padding-top:30px}
h1{font-size:29px} h2{font-size:23px} .tiles{grid-template-columns:repeat(2,1fr);gap:10px}
.tile{padding:12px 12px 10px;border-left-width:4px} .tile .big{font-size:26px} .tile p{font-size:14px}
.answers{grid-template-columns:1fr} .answers dt{padding-bottom:0} .answers dd{border-top:0;padding-top:4px}
.pair{grid-template-columns:minmax(0,1fr)} .pair .data{max-height:260px} svg text{font-size:18px}
.legend{padding-left:0} #rules thead{display:none}
#rules tr,#rules tbody th,#rules td{display:block;min-width:0!important;border:0;padding:0}
#rules tr{border-bottom:1px solid var(--line);padding:8px 0} #rules tbody th{font-weight:700}
}
@media print{
@page{margin:16mm 14mm} body{font-size:10.5pt} header{padding-top:0}
header,main,footer{max-width:none;padding-left:0;padding-right:0} nav{display:none} section{padding:10px 0 0}
h2,h3{break-after:avoid} figure,.tile,.answers dt,.answers dd,tr,.nothing{break-inside:avoid}
.pair .data,.data{max-height:none;overflow:visible;background:none} thead th{position:static}
table{font-size:8pt;line-height:1.25} th,td{padding-top:2.5pt!important;padding-bottom:2.5pt!important}
small,.note,.nothing p,footer,.legend,.tile p,header p,header .period{font-size:8pt} .tiles{gap:8pt}
.tile .big{font-size:17pt} .tile{padding:8pt} h1{font-size:22pt} h2{font-size:15pt}
h3{font-size:11.5pt;margin-top:12pt} #rules th,#rules td{min-width:0!important} section{padding-top:4pt}
.legend{padding-left:40pt} tbody th,td{overflow-wrap:anywhere} .data table{min-width:0}
.tile{border:1px solid var(--ink);border-left-width:5px;background:#fff}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
}
$css$;
BEGIN
	IF since IS NULL OR until IS NULL OR NOT isfinite(since) OR NOT isfinite(until) OR until - since NOT BETWEEN 0
		AND 36525 THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'report_period',
			MESSAGE = 'a report needs a period, from a day to the same day or a later one, of at most a hundred years',
			HINT = 'SELECT facematch.report_html(''2026-11-01'', ''2026-11-30'') is of November.';
	END IF;
	SELECT p.* INTO whole FROM count_period(date_trunc('week', since::timestamp)::date - 28,
															   date_trunc('week', until::timestamp)::date + 6) p;
	counts := ARRAY(SELECT c FROM unnest(whole.counts) c WHERE c.day_utc BETWEEN since AND until);
	histograms := ARRAY(SELECT h FROM unnest(whole.histograms) h WHERE h.day_utc BETWEEN since AND until);
	kept := ARRAY(SELECT r FROM facematch.report_retention r);
	IF language IS NULL OR language !~ '^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$' THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'report_language',
			MESSAGE = 'a report needs a language',
			HINT = 'Name it as BCP 47 does: en, es, zh-Hant.';
	END IF;
	page := E'<!DOCTYPE html>\n<html lang="' || language || '"><head><meta charset="utf-8">'
		'<meta name="viewport" content="width=device-width,initial-scale=1">'
		'<meta http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;; style-src '
		'&#39;unsafe-inline&#39;"><title>'
		|| replace(replace(html_text(title), '<bdi>', ''), '</bdi>', '') || '</title><style>'
		|| style || E'</style></head>\n<body><header><h1>' || html_text(title)
		|| '</h1><p class="period">' || to_char(since, 'FMDD FMMonth YYYY')
		|| CASE WHEN since < until THEN ' to ' || to_char(until, 'FMDD FMMonth YYYY') ELSE '' END
		|| '</p><nav aria-label="Contents"><ul><li><a href="#brief">In brief</a></li><li><a href="#kept">What is '
			'kept</a></li><li><a href="#purged">What was purged</a></li><li><a href="#gates">At the gates</a></li><li><a '
			'href="#speed">Speed</a></li><li><a href="#accuracy">Accuracy</a></li><li><a href="#drift">Drift</a></li><li><a '
			'href="#groups">Groups</a></li><li><a href="#choices">Choices and disclosures</a></li><li><a '
			'href="#controls">Controls</a></li>'
		|| E'<li><a href="#words">Words</a></li></ul></nav></header>\n<main>\n'
		|| page_summary(counts, kept, since, until)
		|| page_kept(kept)
		|| page_purged(since, until)
		|| page_gates(counts, histograms, since, until)
		|| page_accuracy(histograms)
		|| page_drift(whole.counts, whole.histograms, since, until)
		|| page_choices(counts, since, until)
		|| '<section id="words"><h2>Words and methods</h2><dl class="answers"><dt>Template</dt><dd>The numbers that'
			' represent a face. People are named by pseudonyms; no template, photograph, name or document number is in this '
			'report.</dd><dt>Comparison score, threshold</dt><dd>How similar two templates are, and how similar they have to '
			'be. The score here is the cosine similarity, from &minus;1 to 1.</dd><dt>FMR and FNMR</dt><dd>False match rate '
			'and false non-match rate, per comparison (ISO/IEC 19795-1): how often two pictures of different people reach the '
			'threshold, and how often two of the same person do not. A lower rate of one means a higher rate of the other;'
				' the DET curve shows the trade-off.</dd><dt>95&nbsp;% interval</dt><dd>The range that holds the true rate'
				' in 95 of 100 such measurements '
			'(Wilson 1927). With few travelers the interval is wide.</dd><dt>What is counted</dt><dd>Encounters that still'
				' exist, and those that were purged: the purge adds their numbers up by day and place, never by person or'
				' flight. Days '
			'are UTC. Response times are rounded up by at most 19&nbsp;%. In purges each record counts as late as the first '
			'one of its '
		|| E'batch.</dd></dl></section>\n</main>\n<footer><p>Made by facematch.report_html() on '
		|| to_char(clock_timestamp() AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY "at" HH24:MI') || ' UTC, in database '
		|| html_text(current_database()) || ', by ' || html_text(session_user)
		|| E'. Every number is from that database and can be queried: the views '
			'facematch.report_&hellip;</p></footer></body></html>\n';
	RETURN CASE language WHEN 'en' THEN page ELSE (
		SELECT string_agg(t.tag || t.said, '' ORDER BY t.place) FROM page_texts(page, language) t) END;
END
$$;
COMMENT ON FUNCTION facematch.report_html(date, date, text, text) IS
	'a report for the public and for inspectors, for the days (UTC) from since to until: one HTML page without '
	'other files. Without a template, a name or a pseudonym; the title is shown as text. In another language than '
	'English as far as facematch.report_text has it. Days out of order or beyond a hundred years, no language: '
	'22023';
