/*
 * Opt-outs: who has declined, whether the law gives them the right, and which opt-outs
 * are in force.
 */

CREATE TABLE facematch.opt_out (
	opt_out_id	bigint GENERATED ALWAYS AS IDENTITY,
	subject_id	uuid NOT NULL,
	scope		text NOT NULL DEFAULT 'standing' CONSTRAINT opt_out_scope_is_known
		CHECK (scope IN ('encounter', 'until', 'standing')),
	gallery_id	bigint,
	until		timestamptz,
	alternative	text NOT NULL CONSTRAINT opt_out_alternative_is_said CHECK (alternative <> ''),
	noticed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	recorded_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	recorded_by	text NOT NULL DEFAULT session_user,
	revoked_at	timestamptz,
	port		text CONSTRAINT opt_out_port_is_a_name CHECK (facematch_internal.is_name(port)),
	retention_class text,
	answer		text NOT NULL CONSTRAINT opt_out_answer_is_known CHECK (answer IN ('by_right', 'without_right',
		'class_not_known')),
	rule		text,
	CONSTRAINT opt_out_pkey PRIMARY KEY (opt_out_id),
	CONSTRAINT opt_out_class_exists FOREIGN KEY (retention_class) REFERENCES facematch.retention_class ON UPDATE RESTRICT,
	CONSTRAINT opt_out_rule_exists FOREIGN KEY (rule) REFERENCES facematch.decline_rule ON UPDATE RESTRICT,
	CONSTRAINT opt_out_encounter_names_its_gallery CHECK ((scope = 'encounter') = (gallery_id IS NOT NULL)),
	CONSTRAINT opt_out_until_names_its_end CHECK ((scope = 'until') = (until IS NOT NULL))
);
COMMENT ON TABLE facematch.opt_out IS
	'subjects who decline. If they may by law, the inserting transaction deletes their templates, and none can be '
	'added while the opt-out stands; otherwise the row says so, and nothing is deleted';
COMMENT ON COLUMN facematch.opt_out.opt_out_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.opt_out.subject_id IS 'pseudonym of the person, from facematch.subject_id()';
COMMENT ON COLUMN facematch.opt_out.scope IS 'standing: everywhere until it is revoked; until: everywhere until a '
	'date; encounter: at the flight or crossing of one gallery';
COMMENT ON COLUMN facematch.opt_out.gallery_id IS 'the gallery of scope encounter; kept when the gallery is deleted';
COMMENT ON COLUMN facematch.opt_out.until IS 'the end of scope until';
COMMENT ON COLUMN facematch.opt_out.alternative IS 'what is done instead of a photograph; filled in from the rule; '
	'none, if the law gives none';
COMMENT ON COLUMN facematch.opt_out.noticed_at IS
	'when the person gave notice, in advance or at the gate; a time that lies ahead becomes now';
COMMENT ON COLUMN facematch.opt_out.recorded_at IS 'when the row was inserted';
COMMENT ON COLUMN facematch.opt_out.recorded_by IS 'the session''s user who inserted it';
COMMENT ON COLUMN facematch.opt_out.revoked_at IS 'when the person revoked it; NULL while it stands';
COMMENT ON COLUMN facematch.opt_out.port IS 'where the person asked; NULL: in advance';
COMMENT ON COLUMN facematch.opt_out.retention_class IS
	'the person''s class, on which the law depends: from the document, as the user who records the opt-out states '
	'it, or otherwise from the staged reference; NULL: not known yet';
COMMENT ON COLUMN facematch.opt_out.answer IS
	'by_right; without_right: the law does not give it, and nothing was removed; class_not_known: it applies until '
	'the person is staged, and is decided then';
COMMENT ON COLUMN facematch.opt_out.rule IS 'the rule of facematch.decline_rule, with its citation; NULL: no rule '
	'applies to the class, so the person may decline';
CREATE INDEX opt_out_subject_id_idx ON facematch.opt_out (subject_id);
CREATE INDEX opt_out_retention_class_idx ON facematch.opt_out (retention_class);
CREATE INDEX opt_out_rule_idx ON facematch.opt_out (rule);
SELECT pg_catalog.pg_extension_config_dump('facematch.opt_out', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.opt_out_opt_out_id_seq', '');

CREATE FUNCTION facematch_internal.law_gives(opt_out facematch.opt_out, retention_class text, purpose text,
	recorded timestamptz) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	moment CONSTANT timestamptz := greatest(($1).noticed_at, $4);
BEGIN
	-- A citizen does not lose the right by being staged as something else; nor do classes that no rule is about.
	RETURN coalesce(greatest((facematch.may_decline($2, $3, moment)).may_decline,
		(facematch.may_decline(($1).retention_class, $3, moment)).may_decline), true);
END
$$;
COMMENT ON FUNCTION facematch_internal.law_gives(facematch.opt_out, text, text, timestamptz) IS
	'whether the law gives an opt-out for templates of a class, for a purpose, that were recorded at a time: by their '
	'class or the person''s';

CREATE FUNCTION facematch_internal.keep_opt_out() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	purpose text;
	decided timestamptz;
	law facematch.decline_rule;
BEGIN
	IF TG_OP = 'DELETE' THEN
		IF OLD.revoked_at IS NULL AND (OLD.until IS NULL OR OLD.until > clock_timestamp()) THEN
			RAISE integrity_constraint_violation USING CONSTRAINT = 'opt_out_stands',
				MESSAGE = 'an opt-out that stands cannot be deleted',
				HINT = 'If the person revokes it, UPDATE revoked_at.';
		END IF;
		RETURN OLD;
	ELSIF TG_OP = 'INSERT' THEN
		-- It was answered already: a row from a dump or a publisher.
		IF NEW.answer IS NOT NULL THEN
			RETURN NEW;
		END IF;
		-- The law of a day to come answers nobody today.
		NEW.noticed_at := least(NEW.noticed_at, clock_timestamp());
		decided := NEW.noticed_at;
	ELSIF (to_jsonb(NEW) - '{revoked_at,retention_class,answer,rule}'::text[]) IS DISTINCT
		FROM (to_jsonb(OLD) - '{revoked_at,retention_class,answer,rule}'::text[])
		OR OLD.revoked_at IS NOT NULL OR NEW.revoked_at > clock_timestamp() THEN
		RAISE integrity_constraint_violation USING CONSTRAINT = 'opt_out_is_only_revoked',
			MESSAGE = 'of an opt-out only revoked_at can be set, once, and not ahead of time',
			HINT = 'Insert another opt-out for another scope.';
	ELSIF (NEW.retention_class, NEW.answer, NEW.rule) IS NOT DISTINCT FROM (OLD.retention_class, OLD.answer, OLD.rule)
		THEN
		RETURN NEW;
	ELSE
		-- The answer follows from the class and the law of today, so a written answer is replaced.
		decided := greatest(NEW.noticed_at, clock_timestamp());
	END IF;
	purpose := (SELECT g.kind FROM facematch.gallery g WHERE g.gallery_id = NEW.gallery_id);
	IF TG_OP = 'INSERT' AND NEW.gallery_id IS NOT NULL AND purpose IS NULL THEN
		RAISE foreign_key_violation USING CONSTRAINT = 'opt_out_gallery_exists',
			MESSAGE = format('the opt-out names gallery %s, which is not there', NEW.gallery_id),
			HINT = 'SELECT gallery_id, name FROM facematch.gallery; without a gallery, scope standing is for all of them.',
			SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
	END IF;
	IF NEW.retention_class IS NULL THEN
		NEW.retention_class := (
			SELECT s.retention_class FROM (
				SELECT r.retention_class FROM facematch.reference r
					WHERE r.subject_id = ANY (facematch_internal.aliases(NEW.subject_id))
				  AND (NEW.gallery_id IS NULL OR r.gallery_id = NEW.gallery_id) AND r.purge_after > clock_timestamp()
				UNION ALL
				SELECT e.retention_class FROM facematch.encounter e
					WHERE e.subject_id = ANY (facematch_internal.aliases(NEW.subject_id))
				  AND e.purge_after > clock_timestamp()
				  -- The class of one on a watchlist is not that of the document's holder.
				  AND (e.kind IS DISTINCT FROM 'watchlist' OR e.override_reason IS NOT NULL)) s,
				facematch.may_decline(s.retention_class, purpose, decided) d
			WHERE d.name IS NOT NULL ORDER BY d.may_decline DESC, s.retention_class LIMIT 1);
	END IF;
	law := facematch.may_decline(NEW.retention_class, purpose, decided);
	NEW.rule := law.name;
	NEW.answer := CASE WHEN NEW.retention_class IS NULL THEN 'class_not_known' WHEN NOT law.may_decline
		THEN 'without_right' ELSE 'by_right' END;
	NEW.alternative := coalesce(NEW.alternative, law.alternative,
		CASE NEW.answer WHEN 'without_right' THEN 'none' ELSE 'manual document inspection' END);
	IF NEW.answer = 'without_right' THEN
		RAISE WARNING USING
			MESSAGE = format('by law, class %s may not decline: opt-out %s is recorded, and removes nothing',
				NEW.retention_class, NEW.opt_out_id),
			DETAIL = format('Rule %s: %s', law.name, law.citation),
			HINT = 'If the class is wrong, revoke this opt-out and insert one with the right retention_class.';
	END IF;
	IF TG_OP = 'INSERT' AND NEW.until <= clock_timestamp() THEN
		RAISE WARNING USING
			MESSAGE = format('opt-out %s has ended already: it removes nothing', NEW.opt_out_id),
			HINT = 'Its time until has passed: insert one with a later time.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch_internal.keep_opt_out() IS
	'trigger: answers an opt-out by the law of the person''s class; it can be revoked, not rewritten, and deleted '
	'once it is no longer in force (23000). It may not name a gallery that is not there (23503)';

CREATE TRIGGER opt_out_10_keep BEFORE INSERT OR UPDATE OR DELETE ON facematch.opt_out
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.keep_opt_out();
CREATE TRIGGER opt_out_20_remove AFTER INSERT ON facematch.opt_out
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.carry_out('opt_out');
CREATE TRIGGER opt_out_21_remove AFTER UPDATE ON facematch.opt_out
	FOR EACH ROW WHEN (OLD.answer = 'without_right' AND NEW.answer = 'by_right')
		EXECUTE FUNCTION facematch_internal.carry_out('opt_out');
ALTER TABLE facematch.opt_out ENABLE ALWAYS TRIGGER opt_out_10_keep, ENABLE ALWAYS TRIGGER opt_out_20_remove,
	ENABLE ALWAYS TRIGGER opt_out_21_remove;
SELECT facematch_internal.keep_as_record('facematch.opt_out', changes => true, remarks => '{alternative}',
	log => '{opt_out,opt_out_id,"subject_id,scope,gallery_id,until,noticed_at,revoked_at","recorded,revoked,deleted"}');
CREATE CONSTRAINT TRIGGER opt_out_60_rights AFTER INSERT OR UPDATE OR DELETE ON facematch.opt_out
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION facematch_internal.write_right('opt_out', 'opt_out_id', 'opt_out_id',
		'd.subject_id = n.subject_id AND (d.recorded_at, d.recorded_by) = (n.recorded_at, n.recorded_by)', 'revoked_at');
CREATE TRIGGER opt_out_60_answer_log AFTER UPDATE ON facematch.opt_out
	FOR EACH ROW WHEN (OLD.answer IS DISTINCT FROM NEW.answer)
	EXECUTE FUNCTION facematch_internal.log_row('opt_out', 'opt_out_id', 'retention_class,answer,rule',
		'recorded,decided,deleted');

-- The guard asks once it has found an opt-out; one that this transaction's snapshot does not show stands.
CREATE FUNCTION facematch_internal.declines(subject_id uuid, gallery_id bigint, retention_class text, purpose text,
	recorded timestamptz) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	o facematch.opt_out;
	given boolean;
	known text;
	wanted text := coalesce(declines.purpose, (SELECT g.kind FROM facematch.gallery g
		WHERE g.gallery_id = declines.gallery_id));
BEGIN
	FOR o IN SELECT t.* FROM facematch.opt_out t
			 WHERE t.subject_id = ANY (facematch_internal.aliases(declines.subject_id)) AND t.revoked_at IS NULL
			   AND (t.until IS NULL OR t.until > clock_timestamp()) AND (t.gallery_id IS NULL
			       OR t.gallery_id = declines.gallery_id)
			 ORDER BY t.opt_out_id LOOP
		given := facematch_internal.law_gives(o, declines.retention_class, wanted, recorded);
		-- The person's class is known now, or is another that may decline, or the right has ended. A replica is sent
		-- what was decided. A template that is older than the opt-out, as a restore brings it, was there when it was
		-- answered.
		known := CASE WHEN given OR o.answer = 'class_not_known' THEN declines.retention_class ELSE o.retention_class END;
		IF (o.answer = 'class_not_known' OR (given <> (o.answer = 'by_right') AND recorded >= o.recorded_at))
			AND current_setting('session_replication_role') <> 'replica'
			AND (facematch.may_decline(known, (SELECT g.kind FROM facematch.gallery g
				WHERE g.gallery_id = o.gallery_id), recorded)).may_decline
				= given THEN
			UPDATE facematch.opt_out t SET retention_class = known, answer = 'class_not_known'
			WHERE t.opt_out_id IN (SELECT s.opt_out_id FROM facematch.opt_out s
				WHERE s.opt_out_id = o.opt_out_id FOR UPDATE SKIP LOCKED);
		END IF;
		IF given THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN given IS NULL;
END
$$;
COMMENT ON FUNCTION facematch_internal.declines(uuid, bigint, text, text, timestamptz) IS
	'whether an opt-out that stands forbids a template of a subject; an opt-out whose class was not known is decided '
	'by the template''s. Purpose NULL: the gallery''s kind';

CREATE FUNCTION facematch.is_opted_out(subject_id uuid, gallery_id bigint DEFAULT NULL) RETURNS boolean
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'facematch_is_opted_out';
COMMENT ON FUNCTION facematch.is_opted_out(uuid, bigint) IS
	'whether a person has an opt-out in force, everywhere or for this gallery, to which the law gives a right today';
