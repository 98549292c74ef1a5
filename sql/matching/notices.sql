/*
 * Privacy notices: what travelers were shown, where, and when.  They are evidence:
 * once a notice has been posted neither its texts nor its dates change; a new
 * version follows it.  One row has all languages of a version.
 */

---------------------------------------------------------------- notices

CREATE TABLE facematch.notice (
	name		text NOT NULL CONSTRAINT notice_name_is_a_name CHECK (facematch_internal.is_name(name)),
	version		integer NOT NULL CONSTRAINT notice_version_counts CHECK (version > 0),
	texts		jsonb NOT NULL,
	valid_from	timestamptz NOT NULL DEFAULT now(),
	valid_to	timestamptz NOT NULL DEFAULT 'infinity',
	CONSTRAINT notice_pkey PRIMARY KEY (name, version),
	CONSTRAINT notice_validity CHECK (valid_from < valid_to)
);
COMMENT ON TABLE facematch.notice IS
	'privacy notices shown to travelers, all languages of a version in one row. A version never changes once it '
	'has been posted: INSERT the next one';
COMMENT ON COLUMN facematch.notice.name IS 'what it is called';
COMMENT ON COLUMN facematch.notice.version IS 'from 1; if it is not given, the next one of the name';
COMMENT ON COLUMN facematch.notice.texts IS
	'the text in each language, such as {"en": "You may decline.", "es": "Puede negarse."}; languages are BCP 47 '
	'tags';
COMMENT ON COLUMN facematch.notice.valid_from IS
	'from when the version is in force; the version before it is in force until then';
COMMENT ON COLUMN facematch.notice.valid_to IS 'until when the version is in force, if no later version comes';

CREATE TABLE facematch.notice_posting (
	posting_id	bigint GENERATED ALWAYS AS IDENTITY,
	notice		text NOT NULL,
	version		integer NOT NULL,
	port		text NOT NULL CONSTRAINT notice_posting_port_is_a_name CHECK (facematch_internal.is_name(port)),
	lane		text CONSTRAINT notice_posting_lane_is_a_name CHECK (facematch_internal.is_name(lane)),
	posted_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	removed_at	timestamptz,
	CONSTRAINT notice_posting_pkey PRIMARY KEY (posting_id),
	CONSTRAINT notice_posting_notice_exists FOREIGN KEY (notice, version) REFERENCES facematch.notice (name, version)
		ON UPDATE RESTRICT,
	CONSTRAINT notice_posting_times CHECK (removed_at >= posted_at)
);
COMMENT ON TABLE facematch.notice_posting IS
	'where and when a version of a notice was shown, in all its languages; to take it down, UPDATE removed_at';
COMMENT ON COLUMN facematch.notice_posting.posting_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.notice_posting.notice IS 'the notice';
COMMENT ON COLUMN facematch.notice_posting.version IS
	'its version; if it is not given, the one in force when it is posted, or otherwise the newest';
COMMENT ON COLUMN facematch.notice_posting.port IS 'the port';
COMMENT ON COLUMN facematch.notice_posting.lane IS 'the lane; NULL: all lanes of the port';
COMMENT ON COLUMN facematch.notice_posting.posted_at IS
	'when it was put up: while its version is in force, and not later than now, but for who may write notices';
COMMENT ON COLUMN facematch.notice_posting.removed_at IS 'when it was taken down; NULL while it hangs';
CREATE INDEX notice_posting_port_idx ON facematch.notice_posting (port, lane);
CREATE INDEX notice_posting_notice_idx ON facematch.notice_posting (notice, version);

CREATE VIEW facematch_internal.notice_in_force AS
	SELECT n.name, n.version, n.texts, n.valid_from, least(n.valid_to,
		(SELECT min(l.valid_from) FROM facematch.notice l WHERE l.name = n.name AND l.version > n.version)) AS valid_to
	FROM facematch.notice n;
COMMENT ON VIEW facematch_internal.notice_in_force IS
	'versions of notices, each until it ends or a later version takes its place';
COMMENT ON COLUMN facematch_internal.notice_in_force.name IS 'the notice';
COMMENT ON COLUMN facematch_internal.notice_in_force.version IS 'its version';
COMMENT ON COLUMN facematch_internal.notice_in_force.texts IS 'the text in each language';
COMMENT ON COLUMN facematch_internal.notice_in_force.valid_from IS 'from when the text is right';
COMMENT ON COLUMN facematch_internal.notice_in_force.valid_to IS 'until when it is; before valid_from: never';

CREATE FUNCTION facematch_internal.keep_notice() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- What is sent or replayed has been through this where it was written.
	arrives CONSTANT boolean := current_setting('session_replication_role') = 'replica'
		OR coalesce(current_setting('facematch.right_arrives', true), '') = 'on';
BEGIN
	-- The posting locks the notice's row, and who changes that waits here. The newest postings count, which the
	-- transaction's snapshot may not show.
	IF TG_OP <> 'INSERT' AND EXISTS (SELECT FROM facematch_internal.ask_table('facematch.notice_posting',
		format('SELECT true FROM facematch.notice_posting p WHERE (p.notice, p.version) = (%L, %s)', OLD.name,
			OLD.version)) a (posted boolean)) THEN
		RAISE integrity_constraint_violation USING CONSTRAINT = 'notice_posted_is_kept',
			MESSAGE = format('version %s of notice %L has been posted: it is evidence of what was shown', OLD.version,
				OLD.name),
			HINT = 'INSERT the next version, with its own valid_from; from then on this version is no longer in force.';
	ELSIF TG_OP = 'DELETE' THEN
		RETURN OLD;
	END IF;
	IF NEW.version IS NULL THEN
		NEW.version := 1 + coalesce((SELECT max(n.version) FROM facematch.notice n WHERE n.name = NEW.name), 0);
	END IF;
	IF jsonb_typeof(NEW.texts) IS DISTINCT FROM 'object' OR NEW.texts = '{}' OR NEW.texts ? ''
		OR jsonb_path_exists(NEW.texts, 'strict $.* ? (@.type() != "string" || @ == "")')
		OR facematch_internal.redacted(NEW.texts) <> NEW.texts THEN
		RAISE check_violation USING
			MESSAGE = format('texts of notice %L are not texts by language, or one looks like a template or an image',
				NEW.name),
			HINT = 'Such as ''{"en": "You may decline.", "es": "Puede negarse."}''.',
			SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, CONSTRAINT = 'notice_texts_by_language';
	END IF;
	IF TG_OP = 'UPDATE' AND (NEW.name, NEW.version, NEW.valid_from) = (OLD.name, OLD.version, OLD.valid_from)
		OR NEW.valid_from >= now() OR arrives THEN
		RETURN NEW;
	END IF;
	-- Who is posting an earlier version comes before this, and is seen, or comes after it.
	PERFORM FROM facematch_internal.ask_table('facematch.notice',
		format('SELECT true FROM facematch.notice n WHERE n.name = %L AND n.version < %s ORDER BY n.version'
			' FOR NO KEY UPDATE', NEW.name, NEW.version)) a (earlier boolean);
	IF EXISTS (SELECT FROM facematch_internal.ask_table('facematch.notice_posting',
		format('SELECT true FROM facematch.notice_posting p WHERE p.notice = %L AND p.version < %s', NEW.name,
			NEW.version)) a (posted boolean)) THEN
		RAISE integrity_constraint_violation USING CONSTRAINT = 'notice_begins_not_in_the_past',
			MESSAGE = format('notice %L has been posted: no version of it begins in the past', NEW.name),
			HINT = 'A version that was posted stays in force until now: set valid_from to now, or later.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch_internal.keep_notice() IS
	'trigger: numbers versions; a version that has been posted is neither changed nor deleted, and no later one begins'
	' before now (23000); texts are by language and hold no template (23514)';

CREATE FUNCTION facematch_internal.keep_posting() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- What is sent or replayed has been through this where it was written.
	arrives CONSTANT boolean := current_setting('session_replication_role') = 'replica'
		OR coalesce(current_setting('facematch.right_arrives', true), '') = 'on';
	-- As for encounters: facematch.record_encounter().
	earliest CONSTANT interval := '6 hours';
	begins timestamptz;
	ends timestamptz;
BEGIN
	IF TG_OP = 'DELETE' THEN
		RAISE integrity_constraint_violation USING CONSTRAINT = 'notice_posting_is_kept',
			MESSAGE = 'a posting is evidence of what was shown: it cannot be deleted',
			HINT = 'When it is taken down, UPDATE removed_at.';
	ELSIF TG_OP = 'UPDATE' THEN
		IF (to_jsonb(NEW) - 'removed_at') IS DISTINCT FROM (to_jsonb(OLD) - 'removed_at') OR OLD.removed_at IS NOT NULL
			OR NEW.removed_at > greatest(clock_timestamp(), OLD.posted_at) AND NOT arrives THEN
			RAISE integrity_constraint_violation USING CONSTRAINT = 'notice_posting_is_only_removed',
				MESSAGE = 'of a posting only removed_at can be set, once, and not ahead of time',
				HINT = 'Insert another posting for another place or notice.';
		END IF;
	ELSE
		IF NEW.version IS NULL THEN
			PERFORM FROM facematch.notice n WHERE n.name = NEW.notice ORDER BY n.version FOR SHARE;
			NEW.version := (SELECT n.version FROM facematch_internal.notice_in_force n WHERE n.name = NEW.notice
				ORDER BY n.valid_from <= NEW.posted_at AND NEW.posted_at < n.valid_to DESC, n.version DESC LIMIT 1);
		END IF;
		SELECT n.valid_from, n.valid_to INTO begins, ends FROM facematch.notice n
		WHERE n.name = NEW.notice AND n.version = NEW.version FOR SHARE;
		IF NOT FOUND THEN
			RAISE foreign_key_violation USING
				MESSAGE = format('there is no such version of notice %L', NEW.notice),
				HINT = 'SELECT name, version FROM facematch.notice.',
				SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, CONSTRAINT = 'notice_posting_notice_exists';
		ELSIF NOT arrives AND (NEW.posted_at < begins OR ends <= NEW.posted_at) THEN
			RAISE integrity_constraint_violation USING CONSTRAINT = 'notice_posting_is_of_a_version_in_force',
				MESSAGE = format('version %s of notice %L is not in force when it is posted', NEW.version, NEW.notice),
				HINT = 'Post the version that is in force at posted_at; if there is none, INSERT its next version into'
					' facematch.notice.';
		-- A dump brings what was posted while the clock was wrong.
		ELSIF NOT arrives AND greatest(NEW.posted_at, NEW.removed_at) > clock_timestamp()
			AND NOT has_table_privilege(session_user, 'facematch.notice'::regclass, 'INSERT') THEN
			RAISE integrity_constraint_violation USING CONSTRAINT = 'notice_posting_is_not_ahead_of_time',
				MESSAGE = 'a posting is recorded when the notice hangs, and not ahead of time',
				HINT = 'Leave posted_at out: it is now then.';
		END IF;
	END IF;
	IF NOT arrives AND clock_timestamp() - earliest > (CASE TG_OP WHEN 'INSERT' THEN NEW.posted_at
			ELSE NEW.removed_at END)
		AND NOT has_table_privilege(session_user, 'facematch.notice'::regclass, 'INSERT') THEN
		RAISE insufficient_privilege USING CONSTRAINT = 'notice_posting_is_recent',
			MESSAGE = format('posted_at or removed_at is more than %s hours ago', extract(hour FROM earliest)),
			HINT = 'Older times need the privilege INSERT ON facematch.notice.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch_internal.keep_posting() IS
	'trigger: what is posted is in force then, of a posting only removed_at is set, once, and not ahead of time, and'
	' none is deleted (23000); to post ahead of time (23000), and times of more than 6 hours ago (42501), are for who'
	' may write notices';

CREATE TRIGGER notice_10_keep BEFORE INSERT OR UPDATE OR DELETE ON facematch.notice
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.keep_notice();
ALTER TABLE facematch.notice ENABLE ALWAYS TRIGGER notice_10_keep;
CREATE TRIGGER notice_posting_10_keep BEFORE INSERT OR UPDATE OR DELETE ON facematch.notice_posting
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.keep_posting();
ALTER TABLE facematch.notice_posting ENABLE ALWAYS TRIGGER notice_posting_10_keep;
SELECT facematch_internal.keep_as_record('facematch.notice', changes => true,
	log => '{notice,"name,version","name,version,texts,valid_from,valid_to","added,changed,deleted"}');
SELECT facematch_internal.keep_as_record('facematch.notice_posting', changes => true,
	log => '{posting,posting_id,"notice,version,port,lane,posted_at,removed_at","hung,removed,deleted"}');
CREATE CONSTRAINT TRIGGER notice_60_rights AFTER INSERT OR UPDATE OR DELETE ON facematch.notice
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION facematch_internal.write_right('notice', 'name,version', '',
		'(d.name, d.version) = (n.name, n.version)', '');
CREATE CONSTRAINT TRIGGER notice_posting_60_rights AFTER INSERT OR UPDATE OR DELETE ON facematch.notice_posting
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION facematch_internal.write_right('posting', 'posting_id', 'posting_id',
		'(d.notice, d.version, d.port, d.posted_at) = (n.notice, n.version, n.port, n.posted_at)'
		' AND d.lane IS NOT DISTINCT FROM n.lane', 'removed_at');

SELECT pg_catalog.pg_extension_config_dump('facematch.notice', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.notice_posting', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.notice_posting_posting_id_seq', '');
