---------------------------------------------------------------- encounters

CREATE FUNCTION facematch_internal.groups_fault(groups jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE
		WHEN jsonb_typeof(groups) <> 'object' THEN 'groups is no object'
		WHEN (SELECT count(*) > 16 OR bool_or(length(g.key) NOT BETWEEN 1 AND 100 OR jsonb_typeof(g.value) <> 'string'
											  OR length(g.value #>> '{}') NOT BETWEEN 1 AND 100)
			  FROM jsonb_each(CASE jsonb_typeof(groups) WHEN 'object' THEN groups END) g)
			THEN 'groups is not up to 16 attributes, each with a text of 1 to 100 characters'
		-- Statistics count them for years.
		WHEN facematch_internal.redacted(groups::text) <> groups::text THEN 'groups reads as a template'
	END;
COMMENT ON FUNCTION facematch_internal.groups_fault(jsonb) IS 'what makes an object of groups impossible; NULL if '
	'nothing does';

-- As with references: a trigger says what is wrong without printing the row, which holds a template; the constraint is
-- for rows that bypass triggers.  The planner inlines it, so that groups_fault() is called for rows with groups only.
CREATE FUNCTION facematch_internal.encounter_fault(gallery text, occurred_at timestamptz, port text, lane text,
	direction text, mode text, outcome text, threshold double precision, model text, retention_class text,
	override_reason text, runner_up double precision, latency_ms double precision, groups jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE
		WHEN gallery IS NULL THEN 'gallery is NULL'
		WHEN occurred_at IS NULL OR NOT isfinite(occurred_at) THEN 'occurred_at is not a moment'
		WHEN port IS NULL OR port = '' OR port <> btrim(port) THEN 'port is not a name'
		WHEN lane = '' OR lane <> btrim(lane) THEN 'lane is not a name'
		WHEN direction NOT IN ('entry', 'exit') THEN 'direction is neither entry nor exit'
		WHEN mode NOT IN ('air', 'sea', 'land') THEN 'mode is neither air, sea nor land'
		WHEN outcome IS NULL OR outcome NOT IN ('match', 'no_match', 'manual_inspection')
			THEN 'outcome is neither match, no_match nor manual_inspection'
		WHEN threshold IS NULL OR threshold NOT BETWEEN -1 AND 1 THEN 'threshold is outside -1 to 1'
		WHEN model IS NULL THEN 'model is NULL'
		WHEN retention_class IS NULL THEN 'retention_class is NULL'
		WHEN override_reason = '' THEN 'override_reason is empty'
		WHEN runner_up NOT BETWEEN -1 AND 1 THEN 'runner_up is outside -1 to 1'
		WHEN latency_ms NOT BETWEEN 0 AND 86400000 THEN 'latency_ms is outside 0 to a day'
		WHEN groups IS NOT NULL THEN facematch_internal.groups_fault(groups)
	END;
COMMENT ON FUNCTION facematch_internal.encounter_fault(text, timestamptz, text, text, text, text, text,
	double precision,
	text, text, text, double precision, double precision, jsonb) IS
	'what makes a row of facematch.encounter impossible; NULL if nothing does';

CREATE TABLE facematch.encounter (
	encounter_id	bigint GENERATED ALWAYS AS IDENTITY,
	idempotency_key	text,
	gallery_id		bigint,
	gallery			text NOT NULL,
	occurred_at		timestamptz NOT NULL DEFAULT clock_timestamp(),
	port			text NOT NULL,
	lane			text,
	direction		text,
	mode			text,
	outcome			text NOT NULL,
	referred		boolean NOT NULL GENERATED ALWAYS AS (outcome <> 'match') STORED,
	reason			text,
	subject_id		uuid,
	reference_id	bigint,
	similarity		double precision,
	threshold		double precision NOT NULL,
	model			text NOT NULL,
	posting_id		bigint,
	probe			@extschema@.face_embedding,
	retention_class	text NOT NULL,
	verified_at		timestamptz,
	override_reason	text,
	overridden_by	text,
	overridden_at	timestamptz,
	recorded_by		text NOT NULL DEFAULT session_user,
	purge_after		timestamptz NOT NULL,
	kind			text,
	runner_up		double precision,
	latency_ms		double precision,
	groups			jsonb,
	quality			smallint CONSTRAINT encounter_quality_range CHECK (quality BETWEEN 0 AND 100),
	CONSTRAINT encounter_pkey PRIMARY KEY (encounter_id),
	CONSTRAINT encounter_idempotency_key_key UNIQUE (idempotency_key),
	CONSTRAINT encounter_gallery_exists FOREIGN KEY (gallery_id) REFERENCES facematch.gallery ON DELETE SET NULL,
	CONSTRAINT encounter_posting_exists FOREIGN KEY (posting_id) REFERENCES facematch.notice_posting,
	CONSTRAINT encounter_is_whole CHECK (facematch_internal.encounter_fault(gallery, occurred_at, port, lane, direction,
		mode, outcome, threshold, model, retention_class, override_reason, runner_up, latency_ms, groups) IS NULL),
	CONSTRAINT encounter_match_is_a_match CHECK (outcome <> 'match' OR subject_id IS NOT NULL
		AND ((reference_id IS NOT NULL AND similarity IS NOT NULL AND similarity >= threshold)
			OR override_reason IS NOT NULL)),
	CONSTRAINT encounter_override_is_attributed CHECK ((override_reason IS NULL) = (overridden_by IS NULL)
		AND (override_reason IS NULL) = (overridden_at IS NULL))
);
-- Statistics would keep texts of rows that are gone; a key is unique, which is what the planner needs to know of it.
ALTER TABLE facematch.encounter ALTER COLUMN idempotency_key SET STATISTICS 0,
	ALTER COLUMN override_reason SET STATISTICS 0,
	ALTER COLUMN groups SET STATISTICS 0;
COMMENT ON TABLE facematch.encounter IS 'what happened at a gate: the search, the decision, and the model and '
	'threshold behind it';
COMMENT ON COLUMN facematch.encounter.encounter_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.encounter.idempotency_key IS 'the caller''s name for the call, so that a retry does not '
	'record twice';
COMMENT ON COLUMN facematch.encounter.gallery_id IS 'the gallery that was searched; NULL when it is deleted';
COMMENT ON COLUMN facematch.encounter.gallery IS 'its name';
COMMENT ON COLUMN facematch.encounter.occurred_at IS 'when the probe was taken';
COMMENT ON COLUMN facematch.encounter.port IS 'port';
COMMENT ON COLUMN facematch.encounter.lane IS 'gate or lane';
COMMENT ON COLUMN facematch.encounter.direction IS 'entry or exit. A match on the way out writes the event '
	'exit, but not if the INSERT gives purge_after, as a dump does';
COMMENT ON COLUMN facematch.encounter.mode IS 'air, sea or land';
COMMENT ON COLUMN facematch.encounter.outcome IS 'match; no_match, which refers the traveler to an officer; or '
	'manual_inspection: no photograph was to be compared, or an officer decided';
COMMENT ON COLUMN facematch.encounter.referred IS 'whether an officer has to look at the document: true unless it is '
	'a match';
COMMENT ON COLUMN facematch.encounter.reason IS 'why no photograph was compared: opted_out, no_probe, '
	'low_quality';
COMMENT ON COLUMN facematch.encounter.subject_id IS 'pseudonym of the person, once known: as the document '
	'names it, else of the reference that matched; after an officer''s decision, whom the officer has seen';
COMMENT ON COLUMN facematch.encounter.reference_id IS 'the reference that matched; it may have been deleted since. On '
	'a watchlist it may be of another person than the document names';
COMMENT ON COLUMN facematch.encounter.similarity IS 'cosine similarity of the best candidate, -1 to 1; NULL: none was '
	'above the threshold';
COMMENT ON COLUMN facematch.encounter.threshold IS 'the threshold in use';
COMMENT ON COLUMN facematch.encounter.model IS 'name of the model in use';
COMMENT ON COLUMN facematch.encounter.posting_id IS 'the posting of the privacy notice that hung there, in all its '
	'languages; NULL: no posting in force is on record';
COMMENT ON COLUMN facematch.encounter.probe IS 'the template of the photograph; NULL: none was taken, or the person '
	'has opted out since';
COMMENT ON COLUMN facematch.encounter.retention_class IS 'the class whose rules apply: the matched person''s, else '
	'unmatched';
COMMENT ON COLUMN facematch.encounter.verified_at IS 'when identity was verified, by the match or by an officer';
COMMENT ON COLUMN facematch.encounter.override_reason IS 'why an officer made it a match against the comparison';
COMMENT ON COLUMN facematch.encounter.overridden_by IS 'the session''s user who did, filled in';
COMMENT ON COLUMN facematch.encounter.overridden_at IS 'when, filled in';
COMMENT ON COLUMN facematch.encounter.recorded_by IS 'the session''s user who recorded it';
COMMENT ON COLUMN facematch.encounter.purge_after IS 'from this time on only the owner sees the row, whether or not '
	'it has been purged. Computed from the retention rules';
COMMENT ON COLUMN facematch.encounter.kind IS 'the gallery''s kind, filled in: the gallery may be deleted before the '
	'encounter';
COMMENT ON COLUMN facematch.encounter.runner_up IS 'cosine similarity of the best candidate of another subject, -1 to '
	'1; NULL: none was above the threshold';
COMMENT ON COLUMN facematch.encounter.latency_ms IS 'milliseconds from the call of record_encounter() to the '
	'decision, in the server, the search included, up to a day; NULL: not measured';
COMMENT ON COLUMN facematch.encounter.groups IS 'groups that a site records the traveler in, to look for differences '
	'between them: an object of attribute and value, such as {"age": "60-69"}; they are deleted with the row, and '
	'statistics count the values';
COMMENT ON COLUMN facematch.encounter.quality IS
	'quality of the photograph, 0 to 100, in the same measure as facematch.reference.quality; NULL: not assessed';
CREATE INDEX encounter_gallery_id_idx ON facematch.encounter (gallery_id);
CREATE INDEX encounter_subject_id_idx ON facematch.encounter (subject_id) WHERE subject_id IS NOT NULL;
CREATE INDEX encounter_posting_id_idx ON facematch.encounter (posting_id) WHERE posting_id IS NOT NULL;
CREATE INDEX encounter_purge_after_idx ON facematch.encounter (purge_after) WHERE purge_after < 'infinity';

CREATE TABLE facematch.candidate (
	encounter_id	bigint NOT NULL,
	rank			integer NOT NULL CONSTRAINT candidate_rank_range CHECK (rank >= 1),
	reference_id	bigint NOT NULL,
	subject_id		uuid NOT NULL,
	similarity		double precision NOT NULL,
	CONSTRAINT candidate_pkey PRIMARY KEY (encounter_id, rank),
	CONSTRAINT candidate_encounter_exists FOREIGN KEY (encounter_id) REFERENCES facematch.encounter ON DELETE CASCADE
);
COMMENT ON TABLE facematch.candidate IS 'the candidate list of an encounter; it is deleted with the encounter';
COMMENT ON COLUMN facematch.candidate.encounter_id IS 'the encounter';
COMMENT ON COLUMN facematch.candidate.rank IS 'place in the list, from 1';
COMMENT ON COLUMN facematch.candidate.reference_id IS 'the reference; it may have been deleted since';
COMMENT ON COLUMN facematch.candidate.subject_id IS 'pseudonym of its person';
COMMENT ON COLUMN facematch.candidate.similarity IS 'cosine similarity, -1 to 1';

---------------------------------------------------------------- nobody turns a referral into a match unseen

CREATE FUNCTION facematch_internal.attribute_override() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	compared boolean := NEW.reference_id IS NOT NULL AND coalesce(NEW.similarity >= NEW.threshold, false);
	fault text := coalesce(facematch_internal.encounter_fault(NEW.gallery, NEW.occurred_at, NEW.port, NEW.lane,
		NEW.direction, NEW.mode, NEW.outcome, NEW.threshold, NEW.model, NEW.retention_class, NEW.override_reason,
		NEW.runner_up, NEW.latency_ms, NEW.groups),
		CASE WHEN NEW.quality NOT BETWEEN 0 AND 100 THEN 'quality is outside 0 to 100' END);
BEGIN
	IF NEW.port IS NULL OR NEW.port = '' THEN
		RAISE check_violation USING CONSTRAINT = 'encounter_names_its_port',
			MESSAGE = 'the row is not an encounter: port is missing',
			HINT = 'Name the port where the photograph was taken.';
	END IF;
	IF fault IS NOT NULL THEN
		RAISE check_violation USING
			MESSAGE = 'the row is not an encounter: ' || fault,
			HINT = 'The comments on the columns of facematch.encounter say what each holds.',
			SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, CONSTRAINT = 'encounter_is_whole';
	END IF;
	IF TG_OP = 'UPDATE' THEN
		IF (NEW.similarity, NEW.threshold, NEW.reference_id, NEW.model, NEW.kind, NEW.runner_up, NEW.latency_ms, NEW.quality)
			IS DISTINCT FROM (OLD.similarity, OLD.threshold, OLD.reference_id, OLD.model, OLD.kind, OLD.runner_up,
				OLD.latency_ms, OLD.quality)
			OR OLD.override_reason IS NOT NULL AND (NEW.override_reason, NEW.overridden_by, NEW.overridden_at)
												   IS DISTINCT FROM (OLD.override_reason, OLD.overridden_by, OLD.overridden_at) THEN
			RAISE integrity_constraint_violation USING CONSTRAINT = 'encounter_is_a_record',
				MESSAGE = 'what an encounter was decided with is a record',
				HINT = 'An officer''s decision sets outcome, subject_id and override_reason.';
		END IF;
	END IF;
	IF NEW.outcome = 'match' AND NEW.subject_id IS NULL THEN
		RAISE integrity_constraint_violation USING CONSTRAINT = 'encounter_match_names_its_subject',
			MESSAGE = 'a match names its subject',
			HINT = 'Set subject_id.';
	ELSIF NEW.outcome = 'match' AND NOT compared AND NEW.override_reason IS NULL THEN
		RAISE integrity_constraint_violation USING CONSTRAINT = 'encounter_match_was_compared',
			MESSAGE = 'the comparison did not match: the traveler has to be referred',
			HINT = 'An officer who verified the identity gives override_reason; it is recorded with the user''s name.';
	END IF;
	-- A row that brings its attribution and its deadline comes from a dump, and what the encounter caused comes from
	-- there too. When note_exit() sees the row, the guard has given it a deadline. All rows of a statement come from
	-- one place.
	IF TG_OP = 'INSERT' AND NEW.direction = 'exit' THEN
		PERFORM set_config('facematch_internal.exit_arrives', (NEW.purge_after IS NOT NULL)::text, true);
	END IF;
	IF NEW.override_reason IS NULL THEN
		NEW.overridden_by := NULL;
		NEW.overridden_at := NULL;
	ELSIF TG_OP = 'UPDATE' AND OLD.override_reason IS NULL
		OR TG_OP = 'INSERT' AND (NEW.overridden_by IS NULL OR NEW.overridden_at IS NULL OR NEW.purge_after IS NULL) THEN
		NEW.overridden_by := session_user;
		NEW.overridden_at := clock_timestamp();
	END IF;
	IF TG_OP = 'INSERT' AND NEW.kind IS NULL THEN
		NEW.kind := (SELECT g.kind FROM facematch.gallery g WHERE g.gallery_id = NEW.gallery_id);
	END IF;
	IF NEW.outcome = 'match' AND NEW.verified_at IS NULL THEN
		NEW.verified_at := CASE WHEN compared THEN NEW.occurred_at ELSE clock_timestamp() END;
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch_internal.attribute_override() IS 'trigger: refuses an impossible row without printing '
	'it (23514); no match without a comparison above the threshold or a recorded, attributed reason (23000); scores '
	'and thresholds are never changed (23000)';

CREATE TRIGGER encounter_10_override BEFORE INSERT OR UPDATE ON facematch.encounter
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.attribute_override();
CREATE TRIGGER encounter_20_guard BEFORE INSERT OR UPDATE OR DELETE ON facematch.encounter
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.guard('what=encounter', 'key=encounter_id',
		'class=retention_class', 'recorded=occurred_at',
		'purge=purge_after', 'subject=subject_id', 'template=probe', 'gallery=gallery_id', 'verified=verified_at');
CREATE TRIGGER encounter_30_skipped AFTER INSERT ON facematch.encounter
	FOR EACH STATEMENT EXECUTE FUNCTION facematch_internal.guard();
CREATE TRIGGER encounter_70_deleted AFTER DELETE ON facematch.encounter
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.guard();
ALTER TABLE facematch.encounter ENABLE ALWAYS TRIGGER encounter_10_override, ENABLE ALWAYS TRIGGER encounter_20_guard,
	ENABLE ALWAYS TRIGGER encounter_70_deleted;

-- One exit for each encounter that shows one, once the person is known: by an automatic match, or from an officer. A
-- hit on a watchlist is for an officer to look at first.
CREATE FUNCTION facematch_internal.note_exit() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'INSERT' AND current_setting('facematch_internal.exit_arrives', true) = 'true' THEN
		RETURN NULL;
	END IF;
	INSERT INTO facematch.anchor_event (subject_id, event, occurred_at)
	SELECT NEW.subject_id, 'exit', NEW.occurred_at
	WHERE NOT EXISTS (SELECT FROM facematch.anchor_event e
					  WHERE e.subject_id = NEW.subject_id AND e.event = 'exit' AND e.occurred_at = NEW.occurred_at);
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch_internal.note_exit() IS 'trigger: a person who matched on the way out has left; '
	'deadlines count from it. An INSERT that gives the deadline writes no event: it comes from a dump, as the event '
	'does';
CREATE TRIGGER encounter_35_exit AFTER INSERT ON facematch.encounter
	FOR EACH ROW WHEN (NEW.direction = 'exit' AND NEW.outcome = 'match'
		AND (NEW.kind IS DISTINCT FROM 'watchlist' OR NEW.override_reason IS NOT NULL))
	EXECUTE FUNCTION facematch_internal.note_exit();
CREATE TRIGGER encounter_36_exit AFTER UPDATE ON facematch.encounter
	FOR EACH ROW WHEN (NEW.direction = 'exit' AND NEW.outcome = 'match'
		AND (NEW.kind IS DISTINCT FROM 'watchlist' OR NEW.override_reason IS NOT NULL)
		AND (OLD.outcome <> 'match' OR OLD.override_reason IS NULL AND NEW.override_reason IS NOT NULL))
	EXECUTE FUNCTION facematch_internal.note_exit();
SELECT facematch_internal.keep_as_record('facematch.encounter', changes => true);

ALTER TABLE facematch.encounter ENABLE ROW LEVEL SECURITY;
CREATE POLICY facematch_open ON facematch.encounter USING (true) WITH CHECK (true);
CREATE POLICY facematch_due ON facematch.encounter AS RESTRICTIVE FOR ALL
	USING (purge_after > clock_timestamp()) WITH CHECK (true);
COMMENT ON POLICY facematch_open ON facematch.encounter IS 'what is granted may be used';
COMMENT ON POLICY facematch_due ON facematch.encounter IS 'except rows that are due';
ALTER TABLE facematch.candidate ENABLE ROW LEVEL SECURITY;
CREATE POLICY facematch_due ON facematch.candidate
	USING (EXISTS (SELECT FROM facematch.encounter e WHERE e.encounter_id = candidate.encounter_id
		AND e.purge_after > clock_timestamp()))
	WITH CHECK (true);
COMMENT ON POLICY facematch_due ON facematch.candidate IS 'a candidate list is seen with its encounter';

INSERT INTO facematch_internal.retained (table_name, what, key_column, class_column, recorded_column, subject_column,
	template_column,
								gallery_column, verified_column, keeps_row, shipped) VALUES
	('facematch.encounter', 'encounter', 'encounter_id', 'retention_class', 'occurred_at', 'subject_id', 'probe',
	 'gallery_id', 'verified_at', true, true);
SELECT pg_catalog.pg_extension_config_dump('facematch.encounter', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.encounter_encounter_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.candidate', '');
CREATE TRIGGER encounter_50_log_override AFTER UPDATE ON facematch.encounter
	FOR EACH ROW WHEN (OLD.override_reason IS NULL AND NEW.override_reason IS NOT NULL)
	EXECUTE FUNCTION facematch_internal.log_row('override', 'encounter_id',
		'outcome,subject_id,overridden_by,overridden_at', 'added,recorded,deleted');
CREATE TRIGGER encounter_60_log_override AFTER INSERT ON facematch.encounter
	FOR EACH ROW WHEN (NEW.override_reason IS NOT NULL)
	EXECUTE FUNCTION facematch_internal.log_row('override', 'encounter_id',
		'outcome,subject_id,overridden_by,overridden_at', 'recorded,changed,deleted');
-- Ports outlive encounters in statistics; keys and reasons outlive the probe, when its subject declines.  Short ones,
-- as all are, hold no template and cost nothing.
CREATE TRIGGER encounter_05_remarks BEFORE INSERT OR UPDATE OF port, lane, idempotency_key, override_reason
	ON facematch.encounter
	FOR EACH ROW WHEN (length(NEW.port) > 50 OR length(NEW.lane) > 50 OR length(NEW.idempotency_key) > 50
		OR length(NEW.override_reason) > 50)
	EXECUTE FUNCTION facematch_internal.check_remarks('port', 'lane', 'idempotency_key', 'override_reason');
ALTER TABLE facematch.encounter ENABLE ALWAYS TRIGGER encounter_05_remarks;
/*
 * Statistics of encounters, which outlive the encounters.
 *
 * An encounter is purged within hours or days, and a report is asked for months
 * later.  So what is counted of rows is added up when they are deleted, by
 * whatever statement: totals of a day and a place, histograms of scores and of
 * response times, and groups by month.  No cell names a person, a gallery or a
 * moment, and gates never wait for a counter: only deletions write here.
 *
 * A statistic is always the rows that are there plus these tables.  Both come
 * from one query (counting_queries), over the table in one case and over the deleted
 * rows in the other, so a total does not change when a purge runs.  It reads
 * the rows once, whatever is asked of them: histograms are aggregates.
 */

---------------------------------------------------------------- what an encounter is counted by

