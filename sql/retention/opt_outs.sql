/*
 * Opt-outs, exemptions and holds: what a person, a law or a court says about rows.
 */

---------------------------------------------------------------- opt-outs

CREATE TABLE facematch.opt_out (
	opt_out_id	bigint GENERATED ALWAYS AS IDENTITY,
	subject_id	uuid NOT NULL,
	scope		text NOT NULL DEFAULT 'standing' CONSTRAINT opt_out_scope_is_known
		CHECK (scope IN ('encounter', 'until', 'standing')),
	gallery_id	bigint,
	until		timestamptz,
	alternative	text NOT NULL DEFAULT 'manual document inspection' CONSTRAINT opt_out_alternative_is_said
		CHECK (alternative <> ''),
	noticed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	recorded_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	recorded_by	text NOT NULL DEFAULT session_user,
	revoked_at	timestamptz,
	CONSTRAINT opt_out_pkey PRIMARY KEY (opt_out_id),
	CONSTRAINT opt_out_encounter_names_its_gallery CHECK ((scope = 'encounter') = (gallery_id IS NOT NULL)),
	CONSTRAINT opt_out_until_names_its_end CHECK ((scope = 'until') = (until IS NOT NULL))
);
COMMENT ON TABLE facematch.opt_out IS 'subjects who decline: their templates go in the inserting transaction, and '
	'none can be added while it stands';
COMMENT ON COLUMN facematch.opt_out.opt_out_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.opt_out.subject_id IS 'pseudonym of the person, from facematch.subject_id()';
COMMENT ON COLUMN facematch.opt_out.scope IS 'standing: everywhere until it is revoked; until: everywhere until a '
	'date; encounter: at the flight or crossing of one gallery';
COMMENT ON COLUMN facematch.opt_out.gallery_id IS 'the gallery of scope encounter; kept when the gallery is gone';
COMMENT ON COLUMN facematch.opt_out.until IS 'the end of scope until';
COMMENT ON COLUMN facematch.opt_out.alternative IS 'what is done instead of a photograph';
COMMENT ON COLUMN facematch.opt_out.noticed_at IS 'when the person gave notice, in advance or at the gate';
COMMENT ON COLUMN facematch.opt_out.recorded_at IS 'when the row was inserted';
COMMENT ON COLUMN facematch.opt_out.recorded_by IS 'the session''s user who inserted it';
COMMENT ON COLUMN facematch.opt_out.revoked_at IS 'when the person revoked it; NULL while it stands';
CREATE INDEX opt_out_subject_id_idx ON facematch.opt_out (subject_id);
SELECT pg_catalog.pg_extension_config_dump('facematch.opt_out', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.opt_out_opt_out_id_seq', '');

CREATE FUNCTION facematch_internal.keep_opt_out() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		IF OLD.revoked_at IS NULL AND (OLD.until IS NULL OR OLD.until > clock_timestamp()) THEN
			RAISE integrity_constraint_violation USING
				MESSAGE = 'an opt-out that stands cannot be deleted',
				HINT = 'If the person revokes it, UPDATE revoked_at.';
		END IF;
		RETURN OLD;
	ELSIF (to_jsonb(NEW) - 'revoked_at') IS DISTINCT FROM (to_jsonb(OLD) - 'revoked_at') OR OLD.revoked_at IS NOT NULL
		OR NEW.revoked_at > clock_timestamp() THEN
		RAISE integrity_constraint_violation USING
			MESSAGE = 'of an opt-out only revoked_at can be set, once, and not ahead of time',
			HINT = 'Insert another opt-out for another scope.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch_internal.keep_opt_out() IS 'trigger: an opt-out can be revoked, not rewritten, and '
	'deleted when it stands no more (23000)';

CREATE FUNCTION facematch_internal.remove_opted_out() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_opted_out';
COMMENT ON FUNCTION facematch_internal.remove_opted_out() IS 'trigger: removes the subject''s templates from every '
	'table under retention; held ones become due. A user''s table that refuses is warned of';

CREATE TRIGGER opt_out_10_keep BEFORE UPDATE OR DELETE ON facematch.opt_out
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.keep_opt_out();
CREATE TRIGGER opt_out_20_remove AFTER INSERT ON facematch.opt_out
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.remove_opted_out();
ALTER TABLE facematch.opt_out ENABLE ALWAYS TRIGGER opt_out_10_keep, ENABLE ALWAYS TRIGGER opt_out_20_remove;
SELECT facematch_internal.keep_as_record('facematch.opt_out', changes => true, remarks => '{alternative}',
	log => '{opt_out,opt_out_id,"subject_id,scope,gallery_id,until,noticed_at,revoked_at","recorded,revoked,deleted"}');

CREATE FUNCTION facematch.is_opted_out(subject_id uuid, gallery_id bigint DEFAULT NULL) RETURNS boolean
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM facematch.opt_out o
				   WHERE o.subject_id = ANY (facematch_internal.aliases($1)) AND o.revoked_at IS NULL
				       AND (o.until IS NULL OR o.until > clock_timestamp())
					 AND (o.gallery_id IS NULL OR o.gallery_id = $2))
$$;
COMMENT ON FUNCTION facematch.is_opted_out(uuid, bigint) IS 'whether a subject''s person has an opt-out that stands: '
	'everywhere, or for this gallery';
