/*
 * Holds: rows that a court or an inquiry keeps from being purged.
 */

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
	may_be_told	boolean NOT NULL DEFAULT false,
	CONSTRAINT hold_pkey PRIMARY KEY (hold_id),
	CONSTRAINT hold_names_a_row_or_a_subject CHECK ((table_name IS NULL) = (row_id IS NULL)
		AND (row_id IS NULL) <> (subject_id IS NULL)),
	CONSTRAINT hold_ends_after_it_begins CHECK (until > placed_at),
	CONSTRAINT hold_release_is_attributed CHECK ((released_at IS NULL) = (released_by IS NULL))
);
COMMENT ON TABLE facematch.hold IS 'suspends the deletion of a row, of a gallery with all that is in it, or of all '
	'rows of a subject; a held row that is due is not a candidate';
COMMENT ON COLUMN facematch.hold.hold_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.hold.table_name IS 'the table of the row, one of facematch_internal.retained; of '
	'facematch.gallery: the gallery and all that is in it; NULL with a subject';
COMMENT ON COLUMN facematch.hold.row_id IS 'the row''s key, as text; NULL with a subject';
COMMENT ON COLUMN facematch.hold.subject_id IS 'pseudonym of the person whose rows are held; NULL with a row';
COMMENT ON COLUMN facematch.hold.reason IS 'why';
COMMENT ON COLUMN facematch.hold.authority IS 'who ordered it';
COMMENT ON COLUMN facematch.hold.until IS 'when it ends by itself; NULL: when it is released';
COMMENT ON COLUMN facematch.hold.placed_at IS 'when the row was inserted';
COMMENT ON COLUMN facematch.hold.placed_by IS 'the session''s user who inserted it';
COMMENT ON COLUMN facematch.hold.released_at IS 'when it was released; NULL while it stands';
COMMENT ON COLUMN facematch.hold.released_by IS 'the session''s user who released it, filled in';
COMMENT ON COLUMN facematch.hold.may_be_told IS
	'whether the person may be told of it: facematch.subject_report() leaves out the other holds, and rows that '
	'exist only because of them';
CREATE INDEX hold_row_idx ON facematch.hold (table_name, row_id);
CREATE INDEX hold_subject_id_idx ON facematch.hold (subject_id);
SELECT pg_catalog.pg_extension_config_dump('facematch.hold', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.hold_hold_id_seq', '');

CREATE FUNCTION facematch_internal.kept_by(hold_id bigint) RETURNS jsonb
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	h facematch.hold;
	t facematch_internal.retained_now;
	condition text;
	found bigint;
	kept jsonb := '{}';
BEGIN
	SELECT o.* INTO h FROM facematch.hold o WHERE o.hold_id = kept_by.hold_id;
	FOR t IN SELECT r.* FROM facematch_internal.retained_now r ORDER BY r.table_name::text LOOP
		-- The row, those of the gallery, or those of the subject's person, as a condition for ask_table().
		condition := CASE
			WHEN h.table_name = t.table_name THEN format('d.%I = $4::%s', t.key_column, coalesce(t.key_type, 'text'))
			WHEN h.table_name = 'facematch.gallery'::regclass THEN 'd.' || quote_ident(t.gallery_column) || ' = $4::bigint'
			WHEN h.subject_id IS NOT NULL THEN 'd.' || quote_ident(t.subject_column) || ' = ANY ($4::uuid[])' END;
		CONTINUE WHEN condition IS NULL;
		BEGIN
			SELECT sum(a.found) INTO found FROM facematch_internal.retained_part p
			CROSS JOIN LATERAL facematch_internal.ask_table(p.relation,
				format('SELECT count(*) FROM %s d WHERE %s', p.relation, condition),
				coalesce(h.row_id, facematch_internal.aliases(h.subject_id)::text)) a (found bigint)
			WHERE p.table_name = t.table_name AND p.is_named;
		EXCEPTION WHEN OTHERS THEN
			kept := kept || jsonb_build_object(t.table_name, NULL);
			CONTINUE;
		END;
		IF found > 0 THEN
			kept := kept || jsonb_build_object(t.table_name, found);
		END IF;
	END LOOP;
	-- Photographs are kept with the row that they are of.
	SELECT count(*) INTO found
	FROM facematch.photograph p LEFT JOIN facematch.encounter e ON e.encounter_id = p.encounter_id
	LEFT JOIN facematch.reference r ON r.reference_id = p.reference_id
	WHERE CASE h.table_name
			WHEN 'facematch.encounter'::regclass THEN e.encounter_id::text = h.row_id
			WHEN 'facematch.reference'::regclass THEN r.reference_id::text = h.row_id
			WHEN 'facematch.gallery'::regclass THEN coalesce(e.gallery_id, r.gallery_id)::text = h.row_id
			ELSE coalesce(e.subject_id, r.subject_id) = ANY (facematch_internal.aliases(h.subject_id)) END;
	IF found > 0 THEN
		kept := kept || jsonb_build_object('facematch.photograph', found);
	END IF;
	RETURN kept;
END
$$;
COMMENT ON FUNCTION facematch_internal.kept_by(bigint) IS
	'how many rows of each table under retention a hold keeps, and photographs of them; null: the table cannot be '
	'read';

CREATE FUNCTION facematch_internal.keep_hold() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch_internal.retained_now;
	found_one bigint;
	-- A dump loads holds before the rows that they are about, and before the list of tables. Its rows bring the time
	-- when they were placed. So do those of the stream, after a restore: what was lost with it is not held.
	dumped CONSTANT boolean := NEW.placed_at < now()
		AND current_setting('facematch.right_arrives', true) IS DISTINCT FROM 'on';
BEGIN
	IF TG_WHEN = 'BEFORE' AND TG_OP = 'INSERT' THEN
		NEW.table_name := coalesce((SELECT p.table_name FROM facematch_internal.retained_part p
			WHERE p.relation = NEW.table_name), NEW.table_name);
		-- Holds are looked up by the text of the key: however it was written, it becomes what the row's own key reads.
		SELECT r.* INTO t FROM facematch_internal.retained_now r WHERE r.table_name = NEW.table_name;
		IF t.key_type IS NOT NULL THEN
			EXECUTE format('SELECT $1::%s::text', t.key_type) INTO NEW.row_id USING NEW.row_id;
		END IF;
		RETURN NEW;
	ELSIF TG_OP = 'DELETE' THEN
		IF OLD.released_at IS NULL AND (OLD.until IS NULL OR OLD.until > clock_timestamp()) THEN
			RAISE integrity_constraint_violation USING CONSTRAINT = 'hold_stands',
				MESSAGE = 'a hold that stands cannot be deleted',
				HINT = 'Release it: UPDATE released_at.';
		END IF;
		RETURN OLD;
	ELSIF TG_OP = 'UPDATE' AND ((to_jsonb(NEW) - '{released_at,released_by}'::text[]) IS DISTINCT
		FROM (to_jsonb(OLD) - '{released_at,released_by}'::text[])
		OR OLD.released_at IS NOT NULL OR NEW.released_at > clock_timestamp()) THEN
		RAISE integrity_constraint_violation USING CONSTRAINT = 'hold_is_only_released',
			MESSAGE = 'of a hold only released_at can be set, once, and not ahead of time',
			HINT = 'Insert another hold for other rows or another end.';
	ELSIF TG_OP = 'UPDATE' THEN
		NEW.released_by := session_user;
		RETURN NEW;
	END IF;

	-- After an INSERT: the row that it names has to be there.
	SELECT r.* INTO t FROM facematch_internal.retained_now r WHERE r.table_name = NEW.table_name;
	IF NOT FOUND THEN
		IF NEW.table_name IS NOT NULL AND NOT dumped THEN
			RAISE foreign_key_violation USING
				MESSAGE = format('table %s is not under retention: a hold would keep nothing there', NEW.table_name),
				HINT = format('SELECT facematch.retain(%L, ...) puts it under retention.', NEW.table_name),
				SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, CONSTRAINT = 'hold_row_exists';
		END IF;
		RETURN NULL;
	END IF;
	-- Waits for sessions that are deleting the row; from now on the guard refuses. No table of a user's prevents a
	-- hold.
	BEGIN
		SELECT sum(a.found_one) INTO found_one FROM facematch_internal.retained_part p
		CROSS JOIN LATERAL facematch_internal.ask_table(p.relation,
			format('SELECT count(*) FROM (SELECT FROM %s d WHERE d.%I = $4::%s FOR KEY SHARE) k', p.relation, t.key_column,
				coalesce(t.key_type, 'text')), NEW.row_id) a (found_one bigint)
		WHERE p.table_name = NEW.table_name AND p.is_named;
	EXCEPTION WHEN OTHERS THEN
		IF t.shipped THEN
			RAISE;
		END IF;
		RAISE WARNING 'the row that the hold names cannot be looked for in %: %', NEW.table_name, SQLERRM;
		RETURN NULL;
	END;
	IF found_one = 0 AND NOT dumped THEN
		RAISE foreign_key_violation USING
			MESSAGE = format('the row that the hold names is not in %s', NEW.table_name),
			HINT = 'A hold names a row by its key, a gallery and all that is in it, or a subject.',
			SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, CONSTRAINT = 'hold_row_exists';
	END IF;
	-- So of those who are deleting what is in the gallery.
	IF NEW.table_name = 'facematch.gallery'::regclass THEN
		PERFORM FROM facematch.reference r WHERE r.gallery_id = NEW.row_id::bigint FOR KEY SHARE;
		PERFORM FROM facematch.encounter e WHERE e.gallery_id = NEW.row_id::bigint FOR KEY SHARE;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch_internal.keep_hold() IS 'trigger: writes the row''s key in the form that the row has; '
	'a hold can be released, not rewritten, and deleted once it is no longer in force (23000). After an INSERT it waits '
	'for a session that is deleting the row, and refuses a hold on a row that is not there (23503), unless it comes '
	'from a dump';

CREATE TRIGGER hold_10_keep BEFORE INSERT OR UPDATE OR DELETE ON facematch.hold
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.keep_hold();
CREATE TRIGGER hold_20_place AFTER INSERT ON facematch.hold
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.keep_hold();
ALTER TABLE facematch.hold ENABLE ALWAYS TRIGGER hold_10_keep;
SELECT facematch_internal.keep_as_record('facematch.hold', changes => true, remarks => '{reason,authority,row_id}',
	log => '{hold,hold_id,"table_name,row_id,subject_id,until,released_at","placed,released,deleted"}');
CREATE CONSTRAINT TRIGGER hold_60_rights AFTER INSERT OR UPDATE OR DELETE ON facematch.hold
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION facematch_internal.write_right('hold', 'hold_id', 'hold_id', '(d.placed_at, d.placed_by) ='
		' (n.placed_at, n.placed_by) AND (d.table_name, d.subject_id) IS NOT DISTINCT FROM (n.table_name, '
		'n.subject_id)', 'released_at');

CREATE VIEW facematch.held AS
	SELECT h.hold_id, h.table_name, h.row_id, h.subject_id, h.reason, h.authority, h.until, h.placed_at, h.placed_by,
		   facematch_internal.kept_by(h.hold_id) AS keeps
	FROM facematch.hold h
	WHERE h.released_at IS NULL AND (h.until IS NULL OR h.until > clock_timestamp());
COMMENT ON VIEW facematch.held IS 'holds in force: what is held, and why';
COMMENT ON COLUMN facematch.held.hold_id IS 'identifier of the hold';
COMMENT ON COLUMN facematch.held.table_name IS 'the table of the row; NULL with a subject';
COMMENT ON COLUMN facematch.held.row_id IS 'the row''s key; NULL with a subject';
COMMENT ON COLUMN facematch.held.subject_id IS 'the person whose rows are held; NULL with a row';
COMMENT ON COLUMN facematch.held.reason IS 'why';
COMMENT ON COLUMN facematch.held.authority IS 'who ordered it';
COMMENT ON COLUMN facematch.held.until IS 'when it ends by itself; NULL: when it is released';
COMMENT ON COLUMN facematch.held.placed_at IS 'when it was placed';
COMMENT ON COLUMN facematch.held.placed_by IS 'who placed it';
COMMENT ON COLUMN facematch.held.keeps IS 'how many rows of each table it keeps now; null: the table cannot be read';
