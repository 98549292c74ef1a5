/*
 * Accuracy, in the terms of ISO/IEC 19795-1 and of NIST's evaluations: per
 * comparison FMR and FNMR, per search FPIR and FNIR, with confidence intervals.
 *
 * Rates have the intervals of Wilson (1927), which hold for independent trials.
 * Comparisons that share a person are not independent: facematch.bootstrap_rates()
 * resamples persons.  Of zero errors in n trials a rate below 3/n follows with
 * 95 % confidence (rule of 3); 30 errors or more make a rate known to 30 %
 * with 90 % confidence (rule of 30).
 *
 * The functions that take a query have SQL-standard bodies: their names are
 * bound when they are made, so they need no search_path of their own, and the
 * query is read under the caller's.
 */

CREATE FUNCTION facematch.wilson_interval(errors bigint, trials bigint, confidence double precision DEFAULT 0.95,
										  OUT lower double precision, OUT upper double precision)
	LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	z double precision := facematch.normal_quantile((1 + confidence) / 2);
	n double precision := trials;
	p double precision;
	half double precision;
BEGIN
	IF errors < 0 OR trials < errors THEN
		RAISE numeric_value_out_of_range USING
			MESSAGE = format('%s errors in %s trials', errors, trials),
			HINT = 'There are as many trials as errors, or more.';
	ELSIF trials = 0 THEN
		RETURN;
	END IF;
	p := errors / n;
	half := z * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
	lower := CASE WHEN errors = 0 THEN 0 ELSE (p + z * z / (2 * n) - half) / (1 + z * z / n) END;
	upper := CASE WHEN errors = trials THEN 1 ELSE (p + z * z / (2 * n) + half) / (1 + z * z / n) END;
END
$$;
COMMENT ON FUNCTION facematch.wilson_interval(bigint, bigint, double precision) IS
	'the interval of Wilson (1927) for a rate of errors in independent trials; NULL without trials. confidence is between 0 and 1; more errors than trials: 22003';

CREATE FUNCTION facematch.rule_of_3(trials bigint, confidence double precision DEFAULT 0.95) RETURNS double precision
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN CASE WHEN trials > 0 THEN 1 - power(1 - confidence, 1 / trials::double precision) END;
COMMENT ON FUNCTION facematch.rule_of_3(bigint, double precision) IS
	'what a rate is below, with that confidence, when there was no error in so many independent trials: at 95 % about 3 / trials. NULL without trials';

CREATE FUNCTION facematch.rule_of_30(errors bigint, trials bigint) RETURNS boolean
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN least(errors, trials - errors) >= 30;
COMMENT ON FUNCTION facematch.rule_of_30(bigint, bigint) IS
	'whether there were 30 errors and 30 successes or more, so that the true rate is within 30 % of the measured one with 90 % confidence (Doddington''s rule of 30)';

---------------------------------------------------------------- per comparison: FMR, FNMR, DET, EER

CREATE FUNCTION facematch.det(probes text, enrolled text DEFAULT NULL, thresholds double precision[] DEFAULT facematch.score_grid(),
							  confidence double precision DEFAULT 0.95)
	RETURNS TABLE (threshold double precision, non_mated bigint, false_matches bigint, fmr double precision,
				   fmr_lower double precision, fmr_upper double precision, mated bigint, false_non_matches bigint,
				   fnmr double precision, fnmr_lower double precision, fnmr_upper double precision)
	LANGUAGE sql VOLATILE ROWS 2000
BEGIN ATOMIC
	WITH histogram AS MATERIALIZED (SELECT h.low, h.non_mated, h.mated FROM facematch.score_histogram($1, $2, $3) h),
	point AS (
		SELECT h.low AS threshold,
			   sum(h.non_mated) OVER ()::bigint AS non_mated, sum(h.non_mated) OVER (ORDER BY h.low DESC NULLS LAST)::bigint AS false_matches,
			   sum(h.mated) OVER ()::bigint AS mated, (sum(h.mated) OVER (ORDER BY h.low NULLS FIRST) - h.mated)::bigint AS false_non_matches
		FROM histogram h)
	SELECT p.threshold, p.non_mated, p.false_matches, p.false_matches / nullif(p.non_mated, 0)::double precision, m.lower, m.upper,
		   p.mated, p.false_non_matches, p.false_non_matches / nullif(p.mated, 0)::double precision, n.lower, n.upper
	FROM point p, facematch.wilson_interval(p.false_matches, p.non_mated, $4) m, facematch.wilson_interval(p.false_non_matches, p.mated, $4) n
	WHERE p.threshold IS NOT NULL
	ORDER BY p.threshold;
END;
COMMENT ON FUNCTION facematch.det(text, text, double precision[], double precision) IS
	'detection error tradeoff, per comparison: for each threshold how many non-mated comparisons reach it (false matches, FMR) and how many mated ones do not (false non-matches, FNMR), with Wilson intervals. Counts are exact. The sets as for score_histogram(): queries of identifier, subject, template; without enrolled all pairs within probes. One threshold gives the rates at it';
