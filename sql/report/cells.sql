/*
 * What reports share: a site's settings for them, and counts that are too small to show.
 */

CREATE TABLE facematch.report_setting (
	only_row			boolean NOT NULL DEFAULT true CONSTRAINT report_setting_is_one_row CHECK (only_row),
	least_cell			integer NOT NULL DEFAULT 10
						CONSTRAINT report_setting_least_cell_range CHECK (least_cell BETWEEN 3 AND 1000),
	least_match_rate	double precision
						CONSTRAINT report_setting_least_match_rate_range CHECK (least_match_rate BETWEEN 0 AND 1),
	most_latency_ms		double precision CONSTRAINT report_setting_most_latency_range CHECK (most_latency_ms > 0),
	CONSTRAINT report_setting_pkey PRIMARY KEY (only_row)
);
COMMENT ON TABLE facematch.report_setting IS
	'a site''s settings for reports, at most one row; without a row the defaults apply';
COMMENT ON COLUMN facematch.report_setting.only_row IS 'true';
COMMENT ON COLUMN facematch.report_setting.least_cell IS
	'the smallest count of persons that reports show of a group, 3 to 1000; smaller ones are hidden, and so many others '
	'that nobody can compute them';
COMMENT ON COLUMN facematch.report_setting.least_match_rate IS
	'goal for the share of searches that match, 0 to 1: a week below it is an alert; NULL: no goal';
COMMENT ON COLUMN facematch.report_setting.most_latency_ms IS
	'goal for the response time of 99 % of the encounters, in milliseconds: a week above it is an alert; NULL: no goal';
SELECT pg_catalog.pg_extension_config_dump('facematch.report_setting', '');

CREATE FUNCTION facematch_internal.hidden_cells(counts bigint[], least_cell integer, hidden boolean[] DEFAULT NULL)
	RETURNS boolean[]
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	together bigint := 0;
	smallest integer;
BEGIN
	IF cardinality(counts) = 0 THEN
		RETURN '{}';
	END IF;
	SELECT array_agg(coalesce(hidden[i], false) OR counts[i] > 0 AND counts[i] < least_cell ORDER BY i) INTO hidden
	FROM generate_subscripts(counts, 1) i;
	-- The sum of all is known to readers: what is hidden has to be two cells or more, and together not small.
	LOOP
		SELECT sum(counts[i]) FILTER (WHERE hidden[i]),
			   (array_agg(i ORDER BY counts[i] = 0, counts[i], i) FILTER (WHERE NOT hidden[i]))[1]
			INTO together, smallest
		FROM generate_subscripts(counts, 1) i;
		EXIT WHEN smallest IS NULL OR coalesce(together, 0) = 0
			OR cardinality(array_positions(hidden, true)) > 1 AND together >= least_cell;
		hidden[smallest] := true;
	END LOOP;
	RETURN hidden;
END
$$;
COMMENT ON FUNCTION facematch_internal.hidden_cells(bigint[], integer, boolean[]) IS
	'which counts of a table must not be shown, where the sum of all is known: those from 1 to below least_cell, those '
	'that "hidden" names already, and the smallest others, zeros last, until at least two cells are hidden, with '
	'least_cell or more together';
