/*
 * The row of every search, and attempts: how often searches came near a person.
 * src/matching/account.c writes both, so that they stay even if the transaction fails.
 * Neither holds a probe or a score.
 */

CREATE TABLE facematch.search (
	search_id		uuid NOT NULL,
	searched_at		timestamptz NOT NULL,
	role_name		text NOT NULL,
	kind			text NOT NULL,
	gallery_id		bigint,
	purpose			text,
	candidates		integer NOT NULL,
	persons_near	integer NOT NULL,
	refused			boolean NOT NULL,
	retention_class	text NOT NULL,
	purge_after		timestamptz NOT NULL
);
COMMENT ON TABLE facematch.search IS
	'every search: who, when, gallery, purpose, how many candidates. A row stays even if its transaction is rolled back';
COMMENT ON COLUMN facematch.search.search_id IS 'identifier, random';
COMMENT ON COLUMN facematch.search.searched_at IS 'when';
COMMENT ON COLUMN facematch.search.role_name IS 'the session''s user';
COMMENT ON COLUMN facematch.search.kind IS 'identify, verify, record_encounter, search_shards or ask';
COMMENT ON COLUMN facematch.search.gallery_id IS
	'the gallery, kept when it is deleted; NULL: verification against a reference that does not exist, or shards';
COMMENT ON COLUMN facematch.search.purpose IS 'what for, as the caller said; NULL: not said';
COMMENT ON COLUMN facematch.search.candidates IS 'how many candidates were found; 0: no hit';
COMMENT ON COLUMN facematch.search.persons_near IS
	'how many persons it came near, as facematch.attempts_per_day says; for roles that may read templates, the '
	'candidates';
COMMENT ON COLUMN facematch.search.refused IS 'whether nothing was told, since too many searches had come near one of '
	'them';
COMMENT ON COLUMN facematch.search.retention_class IS 'search';
COMMENT ON COLUMN facematch.search.purge_after IS 'when the next purge deletes the row: by the rule for what = search';
-- src/base/surviving.c fills these indexes: plain columns, no condition, not unique.
CREATE INDEX search_purge_after_idx ON facematch.search (purge_after);
SELECT pg_catalog.pg_extension_config_dump('facematch.search', '');

CREATE TABLE facematch_internal.attempt (
	attempt_id		uuid NOT NULL,
	attempted_at	timestamptz NOT NULL,
	role_name		text NOT NULL,
	subject_id		uuid NOT NULL,
	missed			boolean NOT NULL DEFAULT false,
	withheld_until	timestamptz,
	retention_class	text NOT NULL,
	purge_after		timestamptz NOT NULL
);
COMMENT ON TABLE facematch_internal.attempt IS
	'searches that came near a reference of a person, as facematch.attempts_per_day says, hits and misses; budgets '
	'count them';
COMMENT ON COLUMN facematch_internal.attempt.attempt_id IS 'identifier, random';
COMMENT ON COLUMN facematch_internal.attempt.attempted_at IS 'when';
COMMENT ON COLUMN facematch_internal.attempt.role_name IS 'the session''s user, or a partner as partner:name';
COMMENT ON COLUMN facematch_internal.attempt.subject_id IS 'pseudonym of the person';
COMMENT ON COLUMN facematch_internal.attempt.missed IS 'whether it was a miss';
COMMENT ON COLUMN facematch_internal.attempt.withheld_until IS 'until when the role, or all of them, may '
	'not come near the person again; NULL: it may';
COMMENT ON COLUMN facematch_internal.attempt.retention_class IS 'search';
COMMENT ON COLUMN facematch_internal.attempt.purge_after IS 'when the next purge deletes the row: by the rule for '
	'what = attempt';
-- Without its rows, whoever a person is withheld from could search for that person again after a restore.
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.attempt', '');
CREATE INDEX attempt_subject_id_idx ON facematch_internal.attempt (subject_id);
CREATE INDEX attempt_withheld_until_idx ON facematch_internal.attempt (withheld_until);
CREATE INDEX attempt_purge_after_idx ON facematch_internal.attempt (purge_after);

-- A record: it goes when it is due, and only a new rule changes when that is.
CREATE TRIGGER search_10_is_a_record BEFORE DELETE ON facematch.search
	FOR EACH ROW WHEN (OLD.purge_after > clock_timestamp()) EXECUTE FUNCTION facematch_internal.refuse_change();
CREATE TRIGGER search_15_is_a_record BEFORE UPDATE OF search_id, searched_at, role_name, kind, gallery_id, purpose,
	candidates,
	persons_near, refused, retention_class ON facematch.search FOR EACH ROW
		EXECUTE FUNCTION facematch_internal.refuse_change();
CREATE TRIGGER attempt_10_is_a_record BEFORE DELETE ON facematch_internal.attempt
	FOR EACH ROW WHEN (OLD.purge_after > clock_timestamp()) EXECUTE FUNCTION facematch_internal.refuse_change();
CREATE TRIGGER attempt_15_is_a_record BEFORE UPDATE OF attempt_id, attempted_at, role_name, subject_id, missed,
	withheld_until, retention_class
	ON facematch_internal.attempt FOR EACH ROW EXECUTE FUNCTION facematch_internal.refuse_change();
CREATE TRIGGER search_20_guard BEFORE INSERT OR UPDATE OR DELETE ON facematch.search
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.guard('what=search', 'key=search_id', 'class=retention_class',
		'recorded=searched_at', 'purge=purge_after');
SELECT facematch_internal.keep_as_record('facematch.search', changes => true);
CREATE TRIGGER attempt_20_guard BEFORE INSERT OR UPDATE OR DELETE ON facematch_internal.attempt
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.guard('what=attempt', 'key=attempt_id', 'class=retention_class',
		'recorded=attempted_at', 'purge=purge_after');
SELECT facematch_internal.keep_as_record('facematch_internal.attempt', changes => true);
ALTER TABLE facematch.search ENABLE ALWAYS TRIGGER search_10_is_a_record, ENABLE ALWAYS TRIGGER search_15_is_a_record,
	ENABLE ALWAYS TRIGGER search_20_guard;
ALTER TABLE facematch_internal.attempt ENABLE ALWAYS TRIGGER attempt_10_is_a_record,
	ENABLE ALWAYS TRIGGER attempt_15_is_a_record,
	ENABLE ALWAYS TRIGGER attempt_20_guard;

-- Due means gone for everyone but the owner, who purges.
ALTER TABLE facematch.search ENABLE ROW LEVEL SECURITY;
CREATE POLICY facematch_open ON facematch.search USING (true) WITH CHECK (true);
CREATE POLICY facematch_due ON facematch.search AS RESTRICTIVE
	USING (purge_after > clock_timestamp()) WITH CHECK (true);
COMMENT ON POLICY facematch_open ON facematch.search IS 'what is granted may be used';
COMMENT ON POLICY facematch_due ON facematch.search IS 'except rows that are due';
ALTER TABLE facematch_internal.attempt ENABLE ROW LEVEL SECURITY;
CREATE POLICY facematch_open ON facematch_internal.attempt USING (true) WITH CHECK (true);
CREATE POLICY facematch_due ON facematch_internal.attempt AS RESTRICTIVE
	USING (purge_after > clock_timestamp()) WITH CHECK (true);
COMMENT ON POLICY facematch_open ON facematch_internal.attempt IS 'what is granted may be used';
COMMENT ON POLICY facematch_due ON facematch_internal.attempt IS 'except rows that are due';

---------------------------------------------------------------- digests

-- What a later deadline changes is not of it.
CREATE VIEW facematch_internal.search_day AS
	SELECT (s.searched_at AT TIME ZONE 'UTC')::date AS day_utc, count(*) AS searches,
		   encode(sha256(string_agg(sha256(convert_to(jsonb_build_array(s.search_id, extract(epoch FROM s.searched_at)::text,
			   s.role_name, s.kind, s.gallery_id, s.purpose, s.candidates, s.persons_near, s.refused)::text, 'UTF8')), ''
			   ORDER BY s.search_id)), 'hex') AS digest
	FROM facematch.search s GROUP BY 1;
COMMENT ON VIEW facematch_internal.search_day IS
	'searches by day, with the SHA-256 of their hashes in order of search_id: what the log has of each day';
COMMENT ON COLUMN facematch_internal.search_day.day_utc IS 'day, in UTC';
COMMENT ON COLUMN facematch_internal.search_day.searches IS 'how many';
COMMENT ON COLUMN facematch_internal.search_day.digest IS
	'SHA-256, in hexadecimal, of the SHA-256 of each row, but for its deadline, as a JSON array in UTF-8';

-- A day is digested an hour after it is over. If the clock said later that it was more than an hour earlier, the day
-- may not have been over: such a digest says nothing, and the day is digested again.
CREATE VIEW facematch_internal.digested_day AS
	SELECT s.chain, s.event_id, (s.detail ->> 'day')::date AS day_utc, (s.detail ->> 'searches')::bigint AS searches,
		   s.detail ->> 'digest' AS digest
	FROM (
		SELECT e.chain, e.event_id, e.action, e.detail, c.said,
			   least(clock_timestamp(), min(c.said) OVER (ORDER BY e.event_id DESC)) AS said_later
		FROM facematch.audit_event e CROSS JOIN LATERAL (
			SELECT CASE jsonb_typeof(e.detail -> 'clock') WHEN 'number'
				THEN to_timestamp((e.detail ->> 'clock')::double precision) ELSE e.at END AS said) c
		WHERE e.action = 'searches_digested' OR e.detail ? 'clock') s
	WHERE s.action = 'searches_digested' AND s.said_later >= s.said - interval '1 hour';
COMMENT ON VIEW facematch_internal.digested_day IS
	'the digests of days in the log, but for those that were written while the clock was ahead';
COMMENT ON COLUMN facematch_internal.digested_day.chain IS 'chain of the event';
COMMENT ON COLUMN facematch_internal.digested_day.event_id IS 'number of the event';
COMMENT ON COLUMN facematch_internal.digested_day.day_utc IS 'day, in UTC';
COMMENT ON COLUMN facematch_internal.digested_day.searches IS 'how many searches it had';
COMMENT ON COLUMN facematch_internal.digested_day.digest IS 'their digest, as facematch_internal.search_day has it';

CREATE FUNCTION facematch_internal.digest_searches() RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
AS $$
DECLARE
	-- A search of the last moment of a day writes its row in the first of the next.
	finished CONSTANT date := (clock_timestamp() - interval '1 hour')::date - 1;
	days date[];
BEGIN
	-- The purge asks often. The whole log is read once a day, unless the clock has been set back.
	IF EXISTS (SELECT FROM facematch.audit_event e WHERE e.detail ? 'about' AND e.detail ->> 'about' = 'searches:'
		|| finished AND e.at <= clock_timestamp() AND NOT EXISTS (
			SELECT FROM facematch.audit_event l WHERE l.detail ? 'clock' AND l.event_id > e.event_id)) THEN
		RETURN;
	END IF;
	days := ARRAY(SELECT (s.searched_at)::date FROM facematch.search s WHERE (s.searched_at)::date <= finished
				  -- So that a day without a search is not looked for again.
				  UNION SELECT finished WHERE EXISTS (SELECT FROM facematch_internal.digested_day)
				  EXCEPT SELECT d.day_utc FROM facematch_internal.digested_day d);
	PERFORM facematch_internal.write_audit('searches_digested', jsonb_build_object('about', 'searches:' || d.day_utc,
		'day', d.day_utc, 'searches', d.searches, 'digest', d.digest))
	FROM (SELECT u.day_utc, coalesce(s.searches, 0) AS searches, s.digest FROM unnest(days) u (day_utc)
		  LEFT JOIN (SELECT n.* FROM facematch_internal.search_day n WHERE n.day_utc = ANY (days)) s USING (day_utc)
		  ORDER BY 1) d;
END
$$;
COMMENT ON FUNCTION facematch_internal.digest_searches() IS
	'writes to the log how many searches each day had that is over, and their digest; the purge calls it. Then'
	' facematch.verify_audit() says when a day''s rows are others, while they are kept';

INSERT INTO facematch_internal.retained (table_name, what, key_column, class_column, recorded_column, shipped) VALUES
	('facematch.search', 'search', 'search_id', 'retention_class', 'searched_at', true),
	('facematch_internal.attempt', 'attempt', 'attempt_id', 'retention_class', 'attempted_at', true);
