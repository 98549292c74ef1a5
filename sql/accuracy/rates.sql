/*
 * Accuracy, in the terms of ISO/IEC 19795-1 and of NIST's evaluations: per comparison FMR and FNMR, per search FPIR
 * and FNIR, with confidence intervals.
 *
 * The intervals hold for independent trials.  Comparisons that share a person are not independent: bootstrap_rates()
 * resamples persons.
 *
 * The functions that take a query have SQL-standard bodies: their names are bound when they are made, so they need no
 * search_path of their own, and the query is read under the caller's.
 */

CREATE FUNCTION facematch.rate_interval(events bigint, trials bigint, confidence double precision DEFAULT 0.95,
	OUT rate double precision, OUT lower double precision, OUT upper double precision, OUT below double precision,
		OUT sure boolean)
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS '$libdir/facematch_accuracy', 'facematch_rate_interval';
COMMENT ON FUNCTION facematch.rate_interval(bigint, bigint, double precision) IS
	'the rate of events in independent trials, with the interval of Wilson (1927); NULL without trials. below: of no '
	'event in n trials, what the rate is below (rule of 3, at 95 % about 3 / n). sure: there were 30 events or more, and '
	'30 other trials, so that the true rate is within 30 % of the measured one with 90 % confidence (rule of 30). '
	'Confidence between 0 and 1, events not more than trials: 22003';

---------------------------------------------------------------- per comparison: FMR, FNMR, DET, EER

CREATE FUNCTION facematch.det(probes text, enrolled text DEFAULT NULL,
	thresholds double precision[] DEFAULT facematch_internal.score_grid(), confidence double precision DEFAULT 0.95)
	RETURNS TABLE (threshold double precision, non_mated bigint, false_matches bigint, fmr double precision,
				   fmr_lower double precision, fmr_upper double precision, mated bigint, false_non_matches bigint,
				   fnmr double precision, fnmr_lower double precision, fnmr_upper double precision)
	LANGUAGE sql VOLATILE ROWS 2000
BEGIN ATOMIC
	WITH histogram AS MATERIALIZED (SELECT h.low, h.non_mated, h.mated FROM facematch.score_histogram($1, $2, $3) h),
	point AS (
		SELECT h.low AS threshold,
			   sum(h.non_mated) OVER ()::bigint AS non_mated,
			   sum(h.non_mated) OVER (ORDER BY h.low DESC NULLS LAST)::bigint AS false_matches,
			   sum(h.mated) OVER ()::bigint AS mated,
			   (sum(h.mated) OVER (ORDER BY h.low NULLS FIRST) - h.mated)::bigint AS false_non_matches
		FROM histogram h)
	SELECT p.threshold, p.non_mated, p.false_matches, m.rate, m.lower, m.upper,
		   p.mated, p.false_non_matches, n.rate, n.lower, n.upper
	FROM point p, facematch.rate_interval(p.false_matches, p.non_mated, $4) m,
		 facematch.rate_interval(p.false_non_matches, p.mated, $4) n
	WHERE p.threshold IS NOT NULL
	ORDER BY p.threshold;
END;
COMMENT ON FUNCTION facematch.det(text, text, double precision[], double precision) IS
	'detection error tradeoff, per comparison: for each threshold how many non-mated comparisons reach it (false '
	'matches, FMR) and how many mated ones do not (false non-matches, FNMR), with Wilson intervals. Counts are exact. '
	'The sets as for score_histogram(): queries of identifier, subject, template; without enrolled all pairs within '
	'probes. One threshold gives the rates at it';

CREATE FUNCTION facematch.eer(probes text, enrolled text DEFAULT NULL,
	thresholds double precision[] DEFAULT facematch_internal.score_grid(),
	OUT eer double precision, OUT threshold double precision)
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	WITH point AS (
		SELECT d.threshold, d.fmr, d.fnmr, lag(d.threshold) OVER w AS t0, lag(d.fmr) OVER w AS fmr0,
			lag(d.fnmr) OVER w AS fnmr0
		FROM facematch.det($1, $2, $3) d WINDOW w AS (ORDER BY d.threshold)),
	-- The two rates as straight lines between the last point where FMR is above FNMR and the next.
	crossing AS (
		SELECT p.*, coalesce((p.fmr0 - p.fnmr0) / nullif((p.fmr0 - p.fnmr0) - (p.fmr - p.fnmr), 0), 1) AS share
		FROM point p WHERE p.fnmr >= p.fmr ORDER BY p.threshold LIMIT 1)
	SELECT coalesce(c.fmr0 + c.share * (c.fmr - c.fmr0), c.fmr), coalesce(c.t0 + c.share * (c.threshold - c.t0),
		c.threshold)
	FROM crossing c;
END;
COMMENT ON FUNCTION facematch.eer(text, text, double precision[]) IS
	'equal error rate: where FMR and FNMR cross, by straight lines between the thresholds; NULL if they do not. The sets '
	'as for score_histogram()';

CREATE FUNCTION facematch.bootstrap_rates(probes text, enrolled text, threshold double precision,
	replicates integer DEFAULT 1000, confidence double precision DEFAULT 0.95, seed bigint DEFAULT 1,
										  OUT subjects bigint, OUT non_mated bigint, OUT false_matches bigint, OUT fmr double precision,
										  OUT fmr_lower double precision, OUT fmr_upper double precision,
										  OUT mated bigint, OUT false_non_matches bigint, OUT fnmr double precision,
										  OUT fnmr_lower double precision, OUT fnmr_upper double precision)
	LANGUAGE C VOLATILE CALLED ON NULL INPUT COST 1000000 AS '$libdir/facematch_accuracy', 'facematch_bootstrap_rates';
COMMENT ON FUNCTION facematch.bootstrap_rates(text, text, double precision, integer, double precision,
	bigint) IS
	'FMR and FNMR at a threshold, with percentile intervals from resampling subjects (bootstrap): wider, and more '
	'honest, than Wilson''s where few people give many comparisons. The same seed gives the same intervals. The sets as '
	'for score_histogram(); enrolled NULL: all pairs within probes. replicates 1 to 100000, confidence between 0 and 1, '
	'threshold -1 to 1: 22003; more false matches than maintenance_work_mem holds: 54000';

---------------------------------------------------------------- per search: FPIR, FNIR, CMC

CREATE FUNCTION facematch_internal.identification_rates(probes text, enrolled text,
	thresholds double precision[] DEFAULT facematch_internal.score_grid(), rank bigint DEFAULT NULL,
	confidence double precision DEFAULT 0.95)
	RETURNS TABLE (threshold double precision, non_mated_searches bigint, false_positives bigint, fpir double precision,
				   fpir_lower double precision, fpir_upper double precision, mated_searches bigint, misses bigint,
				   fnir double precision, fnir_lower double precision, fnir_upper double precision)
	LANGUAGE sql VOLATILE ROWS 2000
BEGIN ATOMIC
	WITH search AS MATERIALIZED (
		SELECT s.mate_id IS NOT NULL AS mated,
			   -- how many thresholds the search passes: with a candidate who is no mate, or with its mate within the rank
			   width_bucket(CASE WHEN s.mate_id IS NULL THEN s.other_similarity
								 WHEN s.mate_rank <= coalesce($4, s.mate_rank) THEN s.mate_similarity END, $3) AS passed
		FROM facematch.search_set($1, $2) s),
	counted AS (SELECT s.mated, coalesce(s.passed, 0) AS passed, count(*) AS searches FROM search s GROUP BY 1, 2),
	point AS (
		SELECT t.threshold, t.n,
			   coalesce(sum(c.searches) FILTER (WHERE NOT c.mated), 0)::bigint AS non_mated_searches,
			   coalesce(sum(c.searches) FILTER (WHERE NOT c.mated AND c.passed >= t.n), 0)::bigint AS false_positives,
			   coalesce(sum(c.searches) FILTER (WHERE c.mated), 0)::bigint AS mated_searches,
			   coalesce(sum(c.searches) FILTER (WHERE c.mated AND c.passed < t.n), 0)::bigint AS misses
		FROM unnest($3) WITH ORDINALITY t (threshold, n) LEFT JOIN counted c ON true GROUP BY t.threshold, t.n)
	SELECT p.threshold, p.non_mated_searches, p.false_positives, f.rate, f.lower, f.upper,
		   p.mated_searches, p.misses, m.rate, m.lower, m.upper
	FROM point p, facematch.rate_interval(p.false_positives, p.non_mated_searches, $5) f,
		 facematch.rate_interval(p.misses, p.mated_searches, $5) m
	ORDER BY p.n;
END;
COMMENT ON FUNCTION facematch_internal.identification_rates(text, text, double precision[], bigint,
	double precision) IS
	'errors per search of a set, at each threshold (ascending): FPIR, the share of searches of people who are not '
	'enrolled that still give a candidate; and FNIR, the share of searches of enrolled people whose mate is not in '
	'the candidate list, because it is below the threshold or beyond the rank (NULL: any), which counts persons. '
	'With Wilson intervals; counts are exact. The sets as for score_histogram()';

CREATE FUNCTION facematch.fpir(probes text, enrolled text, threshold double precision,
	confidence double precision DEFAULT 0.95,
							   OUT searches bigint, OUT false_positives bigint, OUT fpir double precision,
							   OUT lower double precision, OUT upper double precision)
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT r.non_mated_searches, r.false_positives, r.fpir, r.fpir_lower, r.fpir_upper
	FROM facematch_internal.identification_rates($1, $2, ARRAY[$3], NULL, $4) r;
END;
COMMENT ON FUNCTION facematch.fpir(text, text, double precision, double precision) IS
	'false positive identification rate at a threshold: of the searches of people who are not enrolled, how many give a '
	'candidate. As identification_rates()';

CREATE FUNCTION facematch.fnir(probes text, enrolled text, threshold double precision, rank bigint DEFAULT NULL,
							   confidence double precision DEFAULT 0.95,
							   OUT searches bigint, OUT misses bigint, OUT fnir double precision,
							   OUT lower double precision, OUT upper double precision)
	LANGUAGE sql VOLATILE
BEGIN ATOMIC
	SELECT r.mated_searches, r.misses, r.fnir, r.fnir_lower, r.fnir_upper
	FROM facematch_internal.identification_rates($1, $2, ARRAY[$3], $4, $5) r;
END;
COMMENT ON FUNCTION facematch.fnir(text, text, double precision, bigint, double precision) IS
	'false negative identification rate at a threshold and rank: of the searches of enrolled people, how many do not '
	'return the mate. As identification_rates()';

CREATE FUNCTION facematch.cmc(probes text, enrolled text, max_rank integer DEFAULT 20,
	confidence double precision DEFAULT 0.95)
	RETURNS TABLE (rank integer, searches bigint, found bigint, share double precision, lower double precision,
		upper double precision)
	LANGUAGE sql VOLATILE ROWS 20
BEGIN ATOMIC
	WITH search AS MATERIALIZED (SELECT s.mate_rank FROM facematch.search_set($1, $2) s WHERE s.mate_id IS NOT NULL),
	point AS (
		SELECT k.rank, count(s.mate_rank) AS searches, count(*) FILTER (WHERE s.mate_rank <= k.rank) AS found
		FROM generate_series(1, $3) k (rank) LEFT JOIN search s ON true GROUP BY k.rank)
	SELECT p.rank, p.searches, p.found, r.rate, r.lower, r.upper
	FROM point p, facematch.rate_interval(p.found, p.searches, $4) r ORDER BY p.rank;
END;
COMMENT ON FUNCTION facematch.cmc(text, text, integer, double precision) IS
	'cumulative match characteristic: of the searches of enrolled people, how many have the mate among the first so many '
	'persons of the candidate list, whatever the threshold. As identification_rates()';

---------------------------------------------------------------- error versus discard

CREATE FUNCTION facematch.error_versus_discard(probes text, threshold double precision,
	confidence double precision DEFAULT 0.95)
	RETURNS TABLE (quality integer, mated bigint, false_non_matches bigint, discarded double precision,
				   fnmr double precision, fnmr_lower double precision, fnmr_upper double precision)
	LANGUAGE plpgsql VOLATILE STRICT ROWS 100
AS $$
BEGIN
	-- The query is the caller's, with the caller's privileges and search_path.
	RETURN QUERY EXECUTE pg_catalog.format(E'
	WITH picture AS MATERIALIZED (
		SELECT q.id, q.subject, q.template, q.quality::integer AS quality
		FROM (\n%s\n) q (id, subject, template, quality)),
	pair AS (
		SELECT least(a.quality, b.quality) AS quality, @extschema@.face_similarity(a.template, b.template) >= $1 AS matched
		FROM picture a JOIN picture b ON b.subject = a.subject AND b.id > a.id
		WHERE a.quality IS NOT NULL AND b.quality IS NOT NULL),
	kept AS (
		SELECT DISTINCT p.quality, count(*) OVER w AS mated, count(*) FILTER (WHERE NOT p.matched) OVER w AS misses,
			   count(*) OVER () AS whole
		FROM pair p WINDOW w AS (ORDER BY p.quality DESC))
	SELECT k.quality, k.mated, k.misses, 1 - k.mated / k.whole::double precision, i.rate, i.lower, i.upper
	FROM kept k, facematch.rate_interval(k.misses, k.mated, $2) i ORDER BY k.quality',
	facematch_internal.checked_set('probes', probes, 4))
	USING threshold, confidence;
END
$$;
COMMENT ON FUNCTION facematch.error_versus_discard(text, double precision, double precision) IS
	'error versus discard, as in ISO/IEC 29794-1: for each minimum quality, the share of mated comparisons that is '
	'left out because the poorer of its two pictures is below it, and the false non-match rate of the others at '
	'the threshold, with Wilson intervals. A quality measure is useful if the rate falls. probes is a query of '
	'identifier, subject, template and quality (0 to 100); comparisons without a quality do not count. It runs '
	'with the caller''s privileges';

---------------------------------------------------------------- whose probes err

-- A rate hides who: a person who is enrolled under a second pseudonym errs in every search, and is one error of the
-- set.
CREATE FUNCTION facematch.probe_errors(probes text, enrolled text, threshold double precision, most integer DEFAULT 20)
	RETURNS TABLE (subject text, searches bigint, false_positives bigint, misses bigint, share_of_errors double precision,
				   other_subject text, other_errors bigint, other_similarity double precision)
	LANGUAGE plpgsql VOLATILE ROWS 20
AS $$
BEGIN
	-- The queries stand on lines of their own, and before the names that tables of theirs may have, as in
	-- facematch_internal.person_matches().
	RETURN QUERY EXECUTE format($query$
		WITH facematch_probe AS MATERIALIZED (SELECT q.id::bigint, q.subject::text FROM (
			%1$s
			) q (id, subject, template)),
		reference AS MATERIALIZED (SELECT q.id::bigint, q.subject::text FROM (
			%2$s
			) q (id, subject, template)),
		search AS (
			SELECT p.subject, r.subject AS other, s.other_similarity,
				   s.mate_id IS NULL AND s.other_similarity >= $3 AS false_positive, s.mate_id IS NOT NULL
				       AND s.mate_similarity < $3 AS miss
			FROM facematch.search_set($1, $2) s JOIN facematch_probe p ON p.id = s.probe_id
			LEFT JOIN reference r ON r.id = s.other_id),
		erring AS (
			SELECT e.subject, count(*) AS searches, count(*) FILTER (WHERE e.false_positive) AS false_positives,
				   count(*) FILTER (WHERE e.miss) AS misses
			FROM search e GROUP BY 1 HAVING bool_or(e.false_positive OR e.miss))
		SELECT e.subject, e.searches, e.false_positives, e.misses,
			   (e.false_positives + e.misses) / sum(e.false_positives + e.misses) OVER ()::double precision, o.other,
			       o.n, o.similarity
		FROM erring e LEFT JOIN LATERAL (
			SELECT f.other, count(*) AS n, max(f.other_similarity) AS similarity FROM search f
			WHERE f.subject = e.subject AND f.false_positive GROUP BY 1 ORDER BY 2 DESC, 3 DESC, 1 LIMIT 1) o ON true
		ORDER BY e.false_positives + e.misses DESC, e.subject LIMIT $4 $query$,
		facematch_internal.checked_set('probes', coalesce(probes, ''), 3),
		facematch_internal.checked_set('enrolled', coalesce(enrolled, ''), 3))
	USING probes, enrolled, threshold, most;
END
$$;
COMMENT ON FUNCTION facematch.probe_errors(text, text, double precision, integer) IS
	'the probes that cause errors at a threshold, the most errors first: false positives (not enrolled, but a '
	'candidate) and misses (the mate is below the threshold), the share of all errors, and the enrolled subject '
	'whom most of the false positives found: one person under two pseudonyms shows as a subject with nearly all of '
	'them and one such other. The sets as for score_histogram()';

---------------------------------------------------------------- a fixed list of pairs

CREATE FUNCTION facematch.verification_accuracy(folds integer[], mated boolean[], scores double precision[])
	RETURNS TABLE (fold integer, threshold double precision, pairs bigint, correct bigint, accuracy double precision)
	LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF cardinality(folds) <> cardinality(mated) OR cardinality(folds) <> cardinality(scores)
		OR array_position(folds, NULL) IS NOT NULL OR array_position(mated, NULL) IS NOT NULL
			OR array_position(scores, NULL) IS NOT NULL THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'pairs_are_whole',
			MESSAGE = 'folds, mated and scores are not of the same pairs',
			HINT = 'Aggregate the three over the same rows, without NULL.';
	END IF;
	RETURN QUERY
	WITH pair AS (SELECT * FROM unnest(folds, verification_accuracy.mated, scores) u (fold, mated, score)),
	tested AS (SELECT DISTINCT p.fold FROM pair p),
	training AS (
		SELECT t.fold, p.score, count(*) FILTER (WHERE p.mated) AS mated, count(*) FILTER (WHERE NOT p.mated) AS non_mated
		FROM tested t JOIN pair p ON p.fold <> t.fold GROUP BY 1, 2),
	judged AS (
		SELECT t.fold, t.score, sum(t.mated) OVER (PARTITION BY t.fold ORDER BY t.score DESC)
								+ sum(t.non_mated) OVER (PARTITION BY t.fold ORDER BY t.score) - t.non_mated AS correct
		FROM training t),
	chosen AS (SELECT DISTINCT ON (j.fold) j.fold, j.score AS threshold FROM judged j ORDER BY j.fold, j.correct DESC,
		j.score)
	SELECT c.fold, c.threshold, count(*), count(*) FILTER (WHERE p.mated = (p.score >= c.threshold)),
		   count(*) FILTER (WHERE p.mated = (p.score >= c.threshold)) / count(*)::double precision
	FROM chosen c JOIN pair p ON p.fold = c.fold GROUP BY c.fold, c.threshold ORDER BY c.fold;
END
$$;
COMMENT ON FUNCTION facematch.verification_accuracy(integer[], boolean[], double precision[]) IS
	'cross-validated accuracy over a list of pairs, as in the protocol of Labeled Faces in the Wild: for each '
	'fold, the score of the other folds'' pairs that as a threshold gets most of them right (the lowest of '
	'several) is tried on the fold. The mean of accuracy is the figure that is published. Arrays of unequal '
	'length, or with NULL: 22023';
