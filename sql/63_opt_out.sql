/*
 * Opt-outs, exemptions and holds: what a person, a law or a court says about rows.
 */

---------------------------------------------------------------- opt-outs

CREATE TABLE facematch.opt_out (
	opt_out_id	bigint GENERATED ALWAYS AS IDENTITY,
	subject_id	uuid NOT NULL,
	scope		text NOT NULL DEFAULT 'standing' CONSTRAINT opt_out_scope_is_known CHECK (scope IN ('encounter', 'until', 'standing')),
	gallery_id	bigint,
	until		timestamptz,
	alternative	text NOT NULL DEFAULT 'manual document inspection' CONSTRAINT opt_out_alternative_is_said CHECK (alternative <> ''),
	noticed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	recorded_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	recorded_by	text NOT NULL DEFAULT session_user,
	revoked_at	timestamptz,
	CONSTRAINT opt_out_pkey PRIMARY KEY (opt_out_id),
	CONSTRAINT opt_out_encounter_names_its_gallery CHECK ((scope = 'encounter') = (gallery_id IS NOT NULL)),
	CONSTRAINT opt_out_until_names_its_end CHECK ((scope = 'until') = (until IS NOT NULL))
);
COMMENT ON TABLE facematch.opt_out IS 'subjects who decline: their templates go in the inserting transaction, and none can be added while it stands';
COMMENT ON COLUMN facematch.opt_out.opt_out_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.opt_out.subject_id IS 'pseudonym of the person, from facematch.subject_id()';
COMMENT ON COLUMN facematch.opt_out.scope IS 'standing: everywhere until it is revoked; until: everywhere until a date; encounter: at the flight or crossing of one gallery';
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

CREATE FUNCTION facematch.keep_opt_out() RETURNS trigger
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
COMMENT ON FUNCTION facematch.keep_opt_out() IS 'trigger: an opt-out can be revoked, not rewritten, and deleted when it stands no more (23000)';

CREATE FUNCTION facematch.remove_opted_out() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_opted_out';
COMMENT ON FUNCTION facematch.remove_opted_out() IS 'trigger: removes the subject''s templates from every table under retention; held ones become due. A user''s table that refuses is warned of';

CREATE TRIGGER opt_out_10_keep BEFORE UPDATE OR DELETE ON facematch.opt_out
	FOR EACH ROW EXECUTE FUNCTION facematch.keep_opt_out();
CREATE TRIGGER opt_out_20_remove AFTER INSERT ON facematch.opt_out
	FOR EACH ROW EXECUTE FUNCTION facematch.remove_opted_out();
CREATE TRIGGER opt_out_30_truncate BEFORE TRUNCATE ON facematch.opt_out
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change();
ALTER TABLE facematch.opt_out ENABLE ALWAYS TRIGGER opt_out_10_keep, ENABLE ALWAYS TRIGGER opt_out_20_remove,
	ENABLE ALWAYS TRIGGER opt_out_30_truncate;

CREATE FUNCTION facematch.is_opted_out(subject_id uuid, gallery_id bigint DEFAULT NULL) RETURNS boolean
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM facematch.opt_out o
				   WHERE o.subject_id = $1 AND o.revoked_at IS NULL AND (o.until IS NULL OR o.until > clock_timestamp())
					 AND (o.gallery_id IS NULL OR o.gallery_id = $2))
$$;
COMMENT ON FUNCTION facematch.is_opted_out(uuid, bigint) IS 'whether a subject has an opt-out that stands: everywhere, or for this gallery';
REVOKE ALL ON FUNCTION facematch.is_opted_out(uuid, bigint) FROM PUBLIC;

---------------------------------------------------------------- exemptions

CREATE TABLE facematch.exemption (
	name		text NOT NULL CONSTRAINT exemption_name_is_a_name CHECK (facematch.is_name(name)),
	description	text NOT NULL,
	citation	text NOT NULL CONSTRAINT exemption_is_cited CHECK (citation <> ''),
	valid_from	timestamptz NOT NULL DEFAULT now(),
	valid_to	timestamptz NOT NULL DEFAULT 'infinity',
	shipped		boolean NOT NULL DEFAULT false,
	CONSTRAINT exemption_pkey PRIMARY KEY (name),
	CONSTRAINT exemption_validity CHECK (valid_from < valid_to)
);
COMMENT ON TABLE facematch.exemption IS 'grounds on which the law exempts a person from being photographed, with the dates it was the law';
COMMENT ON COLUMN facematch.exemption.name IS 'the ground';
COMMENT ON COLUMN facematch.exemption.description IS 'who is exempt';
COMMENT ON COLUMN facematch.exemption.citation IS 'the law';
COMMENT ON COLUMN facematch.exemption.valid_from IS 'from when it is the law';
COMMENT ON COLUMN facematch.exemption.valid_to IS 'until when it was the law';
COMMENT ON COLUMN facematch.exemption.shipped IS 'true for the rows that come with the extension, which a dump leaves to it';

INSERT INTO facematch.exemption (name, description, citation, valid_from, valid_to, shipped) VALUES
	('age', 'under 14 or over 79 on the date of departure', '8 CFR 215.8(a)(2), before 90 FR 48604', '-infinity', '2025-12-26 00:00:00+00', true),
	('diplomat', 'visas A-1, A-2, C-3 (not servants), G-1 to G-4, NATO-1 to NATO-6, certain Taiwan E-1', '8 CFR 215.8(a)(2), before 90 FR 48604', '-infinity', '2025-12-26 00:00:00+00', true),
	('canadian', 'visa-exempt citizens of Canada', '8 CFR 215.8(a)(2), before 90 FR 48604', '-infinity', '2025-12-26 00:00:00+00', true);

CREATE TABLE facematch.exempt_subject (
	subject_id	uuid NOT NULL,
	exemption	text NOT NULL,
	noted_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	until		timestamptz NOT NULL DEFAULT 'infinity',
	CONSTRAINT exempt_subject_pkey PRIMARY KEY (subject_id, exemption),
	CONSTRAINT exempt_subject_exemption_exists FOREIGN KEY (exemption) REFERENCES facematch.exemption ON UPDATE RESTRICT
);
COMMENT ON TABLE facematch.exempt_subject IS 'who is exempt, and on what ground; holds while the ground is the law';
COMMENT ON COLUMN facematch.exempt_subject.subject_id IS 'pseudonym of the person';
COMMENT ON COLUMN facematch.exempt_subject.exemption IS 'the ground, a row of facematch.exemption';
COMMENT ON COLUMN facematch.exempt_subject.noted_at IS 'when it was noted';
COMMENT ON COLUMN facematch.exempt_subject.until IS 'until when the ground holds for the person';
SELECT pg_catalog.pg_extension_config_dump('facematch.exemption', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('facematch.exempt_subject', '');

CREATE FUNCTION facematch.is_exempt(subject_id uuid) RETURNS boolean
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM facematch.exempt_subject s JOIN facematch.exemption e ON e.name = s.exemption
				   WHERE s.subject_id = $1 AND s.until > clock_timestamp()
					 AND e.valid_from <= clock_timestamp() AND clock_timestamp() < e.valid_to)
$$;
COMMENT ON FUNCTION facematch.is_exempt(uuid) IS 'whether the law exempts a subject from being photographed today';
REVOKE ALL ON FUNCTION facematch.is_exempt(uuid) FROM PUBLIC;

---------------------------------------------------------------- holds

CREATE TABLE facematch.hold (
	hold_id		bigint GENERATED ALWAYS AS IDENTITY,
	table_name	regclass,
	row_id		text COLLATE "C",
	subject_id	uuid,
	reason		text NOT NULL CONSTRAINT hold_reason_is_said CHECK (reason <> ''),
	authority	text NOT NULL CONSTRAINT hold_authority_is_said CHECK (authority <> ''),
	until		timestamptz,
	placed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	placed_by	text NOT NULL DEFAULT session_user,
	released_at	timestamptz,
	released_by	text,
	CONSTRAINT hold_pkey PRIMARY KEY (hold_id),
	CONSTRAINT hold_names_a_row_or_a_subject CHECK ((table_name IS NULL) = (row_id IS NULL) AND (row_id IS NULL) <> (subject_id IS NULL)),
	CONSTRAINT hold_release_is_attributed CHECK ((released_at IS NULL) = (released_by IS NULL))
);
COMMENT ON TABLE facematch.hold IS 'suspends the deletion of a row or of all rows of a subject; a held row that is due is still no candidate';
COMMENT ON COLUMN facematch.hold.hold_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.hold.table_name IS 'the table of the row, one of facematch.retained; NULL with a subject';
COMMENT ON COLUMN facematch.hold.row_id IS 'the row''s key, as text; NULL with a subject';
COMMENT ON COLUMN facematch.hold.subject_id IS 'pseudonym of the person whose rows are held; NULL with a row';
COMMENT ON COLUMN facematch.hold.reason IS 'why';
COMMENT ON COLUMN facematch.hold.authority IS 'who ordered it';
COMMENT ON COLUMN facematch.hold.until IS 'when it ends by itself; NULL: when it is released';
COMMENT ON COLUMN facematch.hold.placed_at IS 'when the row was inserted';
COMMENT ON COLUMN facematch.hold.placed_by IS 'the session''s user who inserted it';
COMMENT ON COLUMN facematch.hold.released_at IS 'when it was released; NULL while it stands';
COMMENT ON COLUMN facematch.hold.released_by IS 'the session''s user who released it, filled in';
CREATE INDEX hold_row_idx ON facematch.hold (table_name, row_id);
CREATE INDEX hold_subject_id_idx ON facematch.hold (subject_id);
SELECT pg_catalog.pg_extension_config_dump('facematch.hold', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.hold_hold_id_seq', '');

-- The type of the column that holds name rows of a table by; NULL: the table is not under retention.
CREATE FUNCTION facematch.key_type(table_name regclass) RETURNS regtype
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT a.atttypid FROM facematch.retained r JOIN pg_attribute a ON a.attrelid = r.table_name AND a.attname = r.key_column
	WHERE r.table_name = $1 AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'text'::regtype, 'varchar'::regtype, 'uuid'::regtype)
$$;
COMMENT ON FUNCTION facematch.key_type(regclass) IS 'type of the key column of a table under retention; NULL for other tables';
REVOKE ALL ON FUNCTION facematch.key_type(regclass) FROM PUBLIC;

CREATE FUNCTION facematch.keep_hold() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'INSERT' THEN
		NEW.table_name := coalesce(pg_partition_root(NEW.table_name), NEW.table_name);
		-- Holds are looked up by the text of the key: however it was written, it becomes what the row's own key reads.
		IF facematch.key_type(NEW.table_name) IS NOT NULL THEN
			EXECUTE format('SELECT $1::%s::text', facematch.key_type(NEW.table_name)) INTO NEW.row_id USING NEW.row_id;
		END IF;
		RETURN NEW;
	ELSIF TG_OP = 'DELETE' THEN
		IF OLD.released_at IS NULL AND (OLD.until IS NULL OR OLD.until > clock_timestamp()) THEN
			RAISE integrity_constraint_violation USING
				MESSAGE = 'a hold that stands cannot be deleted',
				HINT = 'Release it: UPDATE released_at.';
		END IF;
		RETURN OLD;
	ELSIF (to_jsonb(NEW) - '{released_at,released_by}'::text[]) IS DISTINCT FROM (to_jsonb(OLD) - '{released_at,released_by}'::text[])
		OR OLD.released_at IS NOT NULL OR NEW.released_at > clock_timestamp() THEN
		RAISE integrity_constraint_violation USING
			MESSAGE = 'of a hold only released_at can be set, once, and not ahead of time',
			HINT = 'Insert another hold for other rows or another end.';
	END IF;
	NEW.released_by := session_user;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch.keep_hold() IS 'trigger: writes the row''s key as the row has it; a hold can be released, not rewritten, and deleted when it stands no more (23000)';

CREATE FUNCTION facematch.place_hold() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch.retained;
	found_one int;
BEGIN
	SELECT r.* INTO t FROM facematch.retained r WHERE r.table_name = NEW.table_name;
	-- A dump may load holds before the list of the tables they are about.
	IF NOT FOUND THEN
		IF NEW.table_name IS NOT NULL THEN
			RAISE WARNING 'table % is not under retention: the hold keeps nothing until it is', NEW.table_name;
		END IF;
		RETURN NULL;
	END IF;
	-- Whoever is deleting the row is waited for; from now on the guard refuses.
	SELECT a.found_one INTO found_one FROM facematch.ask_table(NEW.table_name,
		format('SELECT 1 FROM %s WHERE %I = $4::%s FOR KEY SHARE', NEW.table_name, t.key_column, facematch.key_type(NEW.table_name)),
		NEW.row_id) a (found_one int);
	IF found_one IS NULL THEN
		RAISE WARNING 'the row that the hold names is not in %', NEW.table_name;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch.place_hold() IS 'trigger: waits for whoever is deleting the row, and warns if it is gone';
REVOKE ALL ON FUNCTION facematch.place_hold() FROM PUBLIC;

CREATE TRIGGER hold_10_keep BEFORE INSERT OR UPDATE OR DELETE ON facematch.hold
	FOR EACH ROW EXECUTE FUNCTION facematch.keep_hold();
CREATE TRIGGER hold_20_place AFTER INSERT ON facematch.hold
	FOR EACH ROW EXECUTE FUNCTION facematch.place_hold();
CREATE TRIGGER hold_30_truncate BEFORE TRUNCATE ON facematch.hold
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change();
ALTER TABLE facematch.hold ENABLE ALWAYS TRIGGER hold_10_keep, ENABLE ALWAYS TRIGGER hold_30_truncate;

CREATE VIEW facematch.held AS
	SELECT h.hold_id, h.table_name, h.row_id, h.subject_id, h.reason, h.authority, h.until, h.placed_at, h.placed_by
	FROM facematch.hold h
	WHERE h.released_at IS NULL AND (h.until IS NULL OR h.until > clock_timestamp());
COMMENT ON VIEW facematch.held IS 'holds that stand: what is held, and why';
COMMENT ON COLUMN facematch.held.hold_id IS 'identifier of the hold';
COMMENT ON COLUMN facematch.held.table_name IS 'the table of the row; NULL with a subject';
COMMENT ON COLUMN facematch.held.row_id IS 'the row''s key; NULL with a subject';
COMMENT ON COLUMN facematch.held.subject_id IS 'the person whose rows are held; NULL with a row';
COMMENT ON COLUMN facematch.held.reason IS 'why';
COMMENT ON COLUMN facematch.held.authority IS 'who ordered it';
COMMENT ON COLUMN facematch.held.until IS 'when it ends by itself; NULL: when it is released';
COMMENT ON COLUMN facematch.held.placed_at IS 'when it was placed';
COMMENT ON COLUMN facematch.held.placed_by IS 'who placed it';
