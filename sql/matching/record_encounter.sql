/*
 * record_encounter(): the search, the decision, the record and the start of the
 * retention clock, in one call.
 */

CREATE TYPE facematch.decision AS (
	encounter_id	bigint,
	outcome			text,
	subject_id		uuid,
	reference_id	bigint,
	similarity		double precision,
	threshold		double precision,
	reason			text,
	purge_after		timestamptz
);
COMMENT ON TYPE facematch.decision IS 'what a gate is told of an encounter';
COMMENT ON COLUMN facematch.decision.encounter_id IS 'the encounter';
COMMENT ON COLUMN facematch.decision.outcome IS 'match, no_match or manual_inspection';
COMMENT ON COLUMN facematch.decision.subject_id IS 'pseudonym of the person, if known';
COMMENT ON COLUMN facematch.decision.reference_id IS 'the reference that matched';
COMMENT ON COLUMN facematch.decision.similarity IS 'its cosine similarity, -1 to 1; for roles that may not read '
	'templates its strength, as identify() tells it';
COMMENT ON COLUMN facematch.decision.threshold IS 'the threshold in use';
COMMENT ON COLUMN facematch.decision.reason IS 'why nobody was compared, or nothing is told: opted_out, no_probe, '
	'low_quality, too_many_attempts';
COMMENT ON COLUMN facematch.decision.purge_after IS 'the record''s deadline';

-- The encounter that was recorded under a key, as its caller was told. Another call that has the key by mistake must
-- not get the answer of the first, which may open a gate.
CREATE FUNCTION facematch_internal.recorded_decision(asked facematch.encounter) RETURNS facematch.decision
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	earlier facematch.encounter;
BEGIN
	SELECT e.* INTO earlier FROM facematch.encounter e WHERE e.idempotency_key = asked.idempotency_key;
	IF NOT FOUND THEN
		RETURN NULL;
	ELSIF coalesce(earlier.gallery_id <> asked.gallery_id, earlier.gallery <> asked.gallery)
		OR (earlier.port, earlier.lane, earlier.direction, earlier.mode, earlier.quality)
			IS DISTINCT FROM (asked.port, asked.lane, asked.direction, asked.mode, asked.quality)
		-- An officer may have found out who it was.
		OR earlier.override_reason IS NULL AND coalesce(asked.subject_id <> earlier.subject_id, false)
		-- Of who has declined, no probe was kept.
		OR earlier.reason IS DISTINCT FROM 'opted_out'
			AND (asked.probe IS NULL) <> (earlier.reason IS NOT DISTINCT FROM 'no_probe')
		OR coalesce(facematch_internal.opened(earlier.probe) OPERATOR(@extschema@.<>) asked.probe, false) THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'idempotency_key_names_one_call',
			MESSAGE = format('idempotency key %L was used for another encounter', asked.idempotency_key),
			HINT = 'A key names one call and its retries: the same gallery, place, document and probe.';
	END IF;
	RETURN ROW(earlier.encounter_id, earlier.outcome, earlier.subject_id, earlier.reference_id,
			   facematch_internal.shown_similarity(earlier.similarity, earlier.threshold), earlier.threshold,
			       earlier.reason, earlier.purge_after)::facematch.decision;
END
$$;
COMMENT ON FUNCTION facematch_internal.recorded_decision(facematch.encounter)
	IS 'the encounter recorded under an idempotency key; NULL: none. The key of another call: 22023. The probe is '
	'compared while it is kept';

CREATE FUNCTION facematch.record_encounter(
	gallery text, probe @extschema@.face_embedding DEFAULT NULL, port text DEFAULT NULL, lane text DEFAULT NULL,
	direction text DEFAULT NULL, mode text DEFAULT NULL, subject_id uuid DEFAULT NULL, idempotency_key text DEFAULT NULL,
	max_candidates integer DEFAULT 10, occurred_at timestamptz DEFAULT NULL, quality integer DEFAULT NULL)
	RETURNS SETOF facematch.decision
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
	-- What the guard would leave out is recorded without the probe.
	SET facematch.on_opt_out = 'refuse'
AS $$
DECLARE
	searched facematch.gallery;
	asked facematch.encounter;
	e facematch.encounter;
	told facematch.decision;
	candidates facematch.candidate[] := '{}';
	classes text[];
	refused_by text;
	best facematch.candidate;
	called_at timestamptz := clock_timestamp();
	-- Half of the shortest clock: a gate that was cut off brings its records, and none of them is due when it comes.
	earliest CONSTANT interval := '6 hours';
	persons CONSTANT integer := 10;
	threshold double precision;
	named uuid[] := facematch_internal.aliases(record_encounter.subject_id);
BEGIN
	SELECT g.* INTO searched FROM facematch.gallery g WHERE g.name = record_encounter.gallery;
	asked.idempotency_key := record_encounter.idempotency_key;
	asked.gallery_id := searched.gallery_id;
	asked.gallery := record_encounter.gallery;
	asked.port := record_encounter.port;
	asked.lane := record_encounter.lane;
	asked.direction := record_encounter.direction;
	asked.mode := record_encounter.mode;
	asked.subject_id := record_encounter.subject_id;
	asked.probe := record_encounter.probe;
	asked.quality := record_encounter.quality;
	IF asked.idempotency_key IS NOT NULL THEN
		-- A record that is due answers nobody.
		UPDATE facematch.encounter t SET idempotency_key = NULL
		WHERE t.idempotency_key = asked.idempotency_key AND t.purge_after <= clock_timestamp();
		told := facematch_internal.recorded_decision(asked);
		IF told.encounter_id IS NOT NULL THEN
			RETURN NEXT told;
			RETURN;
		END IF;
	END IF;
	e := asked;
	PERFORM facematch_internal.check_gallery(searched, gallery, to_stage => false);
	IF occurred_at < called_at - earliest AND NOT has_column_privilege(session_user,
		'facematch.encounter'::regclass, 'occurred_at', 'INSERT') THEN
		RAISE insufficient_privilege USING CONSTRAINT = 'encounter_is_recent',
			MESSAGE = format('occurred_at is more than %s hours ago', extract(hour FROM earliest)),
			DETAIL = 'Deadlines count from it.',
			HINT = 'Older encounters need the privilege INSERT (occurred_at) ON facematch.encounter.';
	END IF;

	-- Who has declined is not compared, and a photograph that was taken all the same is not kept.
	e.reason := CASE WHEN facematch.is_opted_out(record_encounter.subject_id, searched.gallery_id) THEN 'opted_out'
					 WHEN probe IS NULL THEN 'no_probe'
					 WHEN quality < searched.min_quality THEN 'low_quality' END;
	e.outcome := 'manual_inspection';
	threshold := facematch_internal.gallery_threshold(searched);
	IF e.reason IS NULL THEN
		-- Persons enough for the best other one, and for those who are as similar as the best.
		BEGIN
			SELECT coalesce(array_agg(ROW(NULL, i.rank, i.reference_id, i.subject_id, i.similarity)::facematch.candidate
				ORDER BY i.rank), '{}'), array_agg(i.retention_class ORDER BY i.rank)
			INTO candidates, classes
			FROM facematch_internal.find_candidates(probe, gallery, greatest(max_candidates, persons), threshold, 'subject',
				coalesce(nullif(current_setting('facematch.purpose'), ''), 'encounter'), 'record_encounter') i;
			e.outcome := CASE WHEN candidates = '{}' THEN 'no_match' ELSE 'match' END;
		EXCEPTION WHEN configuration_limit_exceeded THEN
			e.reason := 'too_many_attempts';
		END;
		-- Of persons who are equally similar, the one whom the document names is the one who matches.
		SELECT c.* INTO best FROM unnest(candidates) c
		WHERE c.similarity = candidates[1].similarity ORDER BY c.subject_id = ANY (named) DESC NULLS LAST, c.rank LIMIT 1;
		-- A document that names another person than the best candidate is for an officer to look at. On a watchlist,
		-- where no_match lets the traveler pass, the hit counts whoever the document names: it may be a false one.
		IF searched.kind <> 'watchlist' AND best.subject_id <> ALL (named) THEN
			e.outcome := 'no_match';
		ELSIF best.rank IS NOT NULL THEN
			e.subject_id := coalesce(e.subject_id, best.subject_id);
			e.reference_id := best.reference_id;
		END IF;
		-- In hundredths: exact scores of enough probes reveal a template to readers of encounters.
		e.similarity := CASE WHEN best.rank IS NOT NULL THEN greatest(round(best.similarity * 100) / 100, threshold) END;
		e.runner_up := (SELECT greatest(round(max(c.similarity) * 100) / 100, threshold) FROM unnest(candidates) c
						WHERE c.subject_id <> ALL (facematch_internal.aliases(best.subject_id)) HAVING count(*) > 0);
	END IF;

	-- A clock that is set back gives no time.
	e.latency_ms := greatest(extract(epoch FROM clock_timestamp() - called_at) * 1000, 0);

	e.occurred_at := least(coalesce(record_encounter.occurred_at, clock_timestamp()), clock_timestamp());
	e.verified_at := CASE e.outcome WHEN 'match' THEN e.occurred_at END;
	-- As the search saw it: the reference may be newer than this transaction's snapshot, or gone by now.
	e.retention_class := CASE WHEN e.reference_id IS NULL THEN 'unmatched' ELSE classes[best.rank] END;
	e.posting_id := (SELECT p.posting_id FROM facematch.notice_posting p
					 JOIN facematch_internal.notice_in_force n ON (n.name, n.version) = (p.notice, p.version)
						AND n.valid_from <= e.occurred_at AND e.occurred_at < n.valid_to
					 WHERE p.port = record_encounter.port AND (p.lane IS NULL OR p.lane = record_encounter.lane)
					   AND p.posted_at <= e.occurred_at AND (p.removed_at IS NULL OR p.removed_at > e.occurred_at)
					 ORDER BY p.lane IS NULL, p.posted_at DESC, p.posting_id DESC LIMIT 1);
	e.probe := CASE WHEN e.reason IS NULL THEN asked.probe END;
	LOOP
		BEGIN
			INSERT INTO facematch.encounter (idempotency_key, gallery_id, gallery, occurred_at, port, lane, direction, mode,
				outcome, reason, subject_id, reference_id, similarity, threshold, model, posting_id, probe, retention_class,
				verified_at, kind, runner_up, latency_ms, quality)
			VALUES (e.idempotency_key, e.gallery_id, e.gallery, e.occurred_at, e.port, e.lane, e.direction, e.mode,
				e.outcome, e.reason, e.subject_id, e.reference_id, e.similarity, threshold, searched.model, e.posting_id, e.probe,
				e.retention_class, e.verified_at, searched.kind, e.runner_up, e.latency_ms, e.quality)
			ON CONFLICT ON CONSTRAINT encounter_idempotency_key_key DO NOTHING
			RETURNING encounter.encounter_id, encounter.purge_after INTO e.encounter_id, e.purge_after;
			EXIT;
		EXCEPTION WHEN integrity_constraint_violation THEN
			GET STACKED DIAGNOSTICS refused_by = CONSTRAINT_NAME;
			IF refused_by <> 'subject_has_not_opted_out' OR e.reason = 'opted_out' THEN
				RAISE;
			END IF;
		END;
		-- The person has declined since the search, or since this transaction's snapshot.
		e.reason := 'opted_out';
		e.outcome := 'manual_inspection';
		e.subject_id := asked.subject_id;
		e.reference_id := NULL;
		e.similarity := NULL;
		e.runner_up := NULL;
		e.verified_at := NULL;
		e.probe := NULL;
		e.retention_class := 'unmatched';
		candidates := '{}';
	END LOOP;
	IF e.encounter_id IS NULL THEN
		-- The same call came in twice at once: the other one has just been committed.
		told := facematch_internal.recorded_decision(asked);
		IF told.encounter_id IS NULL AND asked.idempotency_key IS NOT NULL THEN
			RAISE serialization_failure USING CONSTRAINT = 'encounter_is_recorded_once',
				MESSAGE = 'the same encounter is being recorded by another session',
				HINT = 'Retry the call.';
		ELSIF told.encounter_id IS NULL THEN
			RAISE integrity_constraint_violation USING CONSTRAINT = 'encounter_is_recorded',
				MESSAGE = 'a trigger has left the encounter out',
				HINT = 'Nothing is recorded: let an officer look at the document.';
		END IF;
		RETURN NEXT told;
		RETURN;
	END IF;
	INSERT INTO facematch.candidate (encounter_id, rank, reference_id, subject_id, similarity)
	SELECT e.encounter_id, c.rank, c.reference_id, c.subject_id, greatest(round(c.similarity * 100) / 100, threshold)
	FROM unnest(candidates) c WHERE c.rank <= max_candidates;
	RETURN NEXT ROW(e.encounter_id, e.outcome, e.subject_id, e.reference_id,
		facematch_internal.shown_similarity(e.similarity, threshold), threshold, e.reason,
			e.purge_after)::facematch.decision;
END
$$;
COMMENT ON FUNCTION facematch.record_encounter(text, @extschema@.face_embedding, text, text, text, text, uuid, text,
	integer, timestamptz, integer) IS
	'an encounter at a gate, in one transaction: searches the gallery, decides (match; no_match, which refers the '
	'traveler unless the gallery is a watchlist; manual_inspection without a probe, for a photograph below the '
	'gallery''s minimum quality, and for a person who has opted out). A document that names another person than the '
	'face does makes a no_match, on a watchlist a match all the same. Records it with candidates, threshold, model '
	'and notice, and starts the retention clock. One row. PostgreSQL may call it before it joins or filters: a query '
	'over many travelers takes them from a MATERIALIZED CTE that has no others. The same idempotency_key again: the '
	'recorded answer; with another gallery, place, document, quality or probe: 22023. No such gallery: P0002; port '
	'missing, or a key or port that looks like a template: 23514; occurred_at more than 6 hours ago, without the '
	'privilege to insert it: 42501; other errors as identify()';

CREATE FUNCTION facematch.resolve_encounter(encounter_id bigint, subject_id uuid, retention_class text, reason text)
	RETURNS facematch.decision
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	e facematch.encounter;
BEGIN
	IF num_nulls(encounter_id, subject_id, retention_class, reason) > 0 THEN
		RAISE null_value_not_allowed USING CONSTRAINT = 'resolution_is_whole',
			MESSAGE = format('%s is NULL', CASE WHEN encounter_id IS NULL THEN 'encounter_id' WHEN subject_id IS NULL
				THEN 'subject_id' WHEN retention_class IS NULL THEN 'retention_class' ELSE 'reason' END),
			HINT = 'The officer who has looked at the document says of which encounter, who it is, in which class, and why.';
	END IF;
	UPDATE facematch.encounter t
	SET outcome = 'match', subject_id = resolve_encounter.subject_id, retention_class = resolve_encounter.retention_class,
		verified_at = coalesce(t.verified_at, clock_timestamp()), override_reason = resolve_encounter.reason,
		probe = CASE WHEN facematch.is_opted_out(resolve_encounter.subject_id, t.gallery_id) THEN NULL ELSE t.probe END
	WHERE t.encounter_id = resolve_encounter.encounter_id AND t.purge_after > clock_timestamp()
	  AND (t.outcome <> 'match' OR t.kind = 'watchlist' AND t.override_reason IS NULL)
	RETURNING t.* INTO e;
	IF NOT FOUND THEN
		RAISE no_data_found USING CONSTRAINT = 'encounter_is_referred',
			MESSAGE = format('encounter %s is not there to resolve', encounter_id),
			HINT = 'Only a referred encounter or a watchlist match, once, and not when it is due: '
				'facematch.open_referral has them.';
	END IF;
	RETURN ROW(e.encounter_id, e.outcome, e.subject_id, e.reference_id,
		facematch_internal.shown_similarity(e.similarity, e.threshold), e.threshold, e.reason,
			e.purge_after)::facematch.decision;
END
$$;
COMMENT ON FUNCTION facematch.resolve_encounter(bigint, uuid, text, text) IS
	'an officer has looked at the document of a referred traveler, or of one who matched a watchlist: records who '
	'it is, the reason and the officer''s user name, and applies the class''s rules. The deadline is never later than '
	'before: place a hold to keep the encounter. Not referred, due or '
	'deleted: P0002; one of the four NULL: 22004; a reason that looks like a template: 23514';

CREATE FUNCTION facematch.note_groups(encounter_id bigint, groups jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE facematch.encounter e SET groups = note_groups.groups
	WHERE e.encounter_id = note_groups.encounter_id AND e.purge_after > clock_timestamp();
	IF NOT FOUND THEN
		RAISE no_data_found USING CONSTRAINT = 'encounter_is_not_due',
			MESSAGE = format('encounter %s is not there to note groups of', encounter_id),
			HINT = 'Groups are noted while the encounter is not due.';
	END IF;
END
$$;
COMMENT ON FUNCTION facematch.note_groups(bigint, jsonb) IS
	'notes the groups that a site records a traveler in, such as {"age": "60-69", "sex": "F"}, so that differences '
	'between groups can be seen; NULL removes them. They are deleted with the encounter. Due or deleted: P0002; no '
	'such object: 23514';
