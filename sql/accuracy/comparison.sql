/*
 * Batch comparison (src/accuracy): all comparisons between two sets of templates, or within one, by matrix
 * multiplication; bounded by maintenance_work_mem, cancellable, exact.  A module of its own: a backend that only
 * searches never loads OpenBLAS.
 *
 * A set is a query, which runs with the caller's privileges, under the caller's snapshot and row security.  Its first
 * three columns are an identifier (an integer, unique within the set), the subject (any type: equal text is the same
 * person) and the template.
 */

CREATE FUNCTION facematch_internal.score_grid(step double precision DEFAULT 0.001) RETURNS double precision[]
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	steps integer;
BEGIN
	IF step IS NULL OR step NOT BETWEEN 0.0001 AND 1 THEN
		RAISE numeric_value_out_of_range USING CONSTRAINT = 'score_step_range',
			MESSAGE = format('the step of a grid of scores is %s', coalesce(step::text, 'NULL')),
			HINT = 'It is between 0.0001 and 1.';
	END IF;
	-- Divided, not added up: the grid has the doubles that a person would write.
	steps := round(1 / step)::integer;
	RETURN (SELECT array_agg(i / steps::double precision ORDER BY i) FROM generate_series(-steps, steps) i);
END
$$;
COMMENT ON FUNCTION facematch_internal.score_grid(double precision) IS
	'thresholds from -1 to 1 in equal steps (the nearest that divides 1), 0.001 unless given, 0.0001 to 1 (22003)';

CREATE FUNCTION facematch_internal.checked_set(name text, query text, columns integer) RETURNS text
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS '$libdir/facematch_accuracy', 'facematch_checked_set';
COMMENT ON FUNCTION facematch_internal.checked_set(text, text, integer) IS
	'the text of a set, for functions that put it into a query of their own: what does not begin as a query, such as a '
	'table''s name, is refused (22023) by the argument''s name and the number of its columns, 3, or 4 with the quality';

CREATE FUNCTION facematch.score_histogram(probes text, enrolled text DEFAULT NULL,
	edges double precision[] DEFAULT facematch_internal.score_grid())
	RETURNS TABLE (low double precision, high double precision, non_mated bigint, mated bigint)
	LANGUAGE C VOLATILE CALLED ON NULL INPUT COST 1000000 ROWS 2000 AS '$libdir/facematch_accuracy',
		'facematch_count_scores';
COMMENT ON FUNCTION facematch.score_histogram(text, text, double precision[]) IS
	'counts all comparisons of two sets by cosine similarity: one row for each interval low <= similarity < high between '
	'the edges, which ascend, and one at each end (low or high NULL). probes and enrolled are queries of identifier, '
	'subject, template; without enrolled: each pair within probes once. Exact. NULL in a set: 22004; other dimensions: '
	'22000; other models, edges out of order, identifiers not unique, a query that may give other rows each time '
	'(random(), LIMIT without ORDER BY, TABLESAMPLE without REPEATABLE): 22023; no serial OpenBLAS: 58P01';

CREATE FUNCTION facematch.compare_sets(probes text, enrolled text, min_similarity double precision)
	RETURNS TABLE (probe_id bigint, enrolled_id bigint, similarity double precision, mated boolean)
	LANGUAGE C VOLATILE CALLED ON NULL INPUT COST 1000000 ROWS 1000 AS '$libdir/facematch_accuracy',
		'facematch_compare_sets';
COMMENT ON FUNCTION facematch.compare_sets(text, text, double precision) IS
	'all comparisons of two sets with a cosine similarity of at least min_similarity, -1 to 1 (22003), in no order. The '
	'sets as for score_histogram(); with enrolled NULL each pair within probes once, probe_id < enrolled_id';

CREATE FUNCTION facematch.search_set(probes text, enrolled text)
	RETURNS TABLE (probe_id bigint, compared bigint, mate_id bigint, mate_similarity double precision, mate_rank bigint,
				   other_id bigint, other_similarity double precision)
	LANGUAGE C VOLATILE STRICT COST 1000000 ROWS 1000 AS '$libdir/facematch_accuracy', 'facematch_search_set';
COMMENT ON FUNCTION facematch.search_set(text, text) IS
	'every probe as a search (1:N) of the enrolled: how many templates it was compared with; its best mate, if enrolled, '
	'the mate''s cosine similarity and its place in a list of one line a person, as identify() gives it (ties by '
	'identifier); and the best of all others. From it follow FNIR, FPIR and CMC. The sets as for score_histogram()';
