/*
 * Photographs, if a site keeps them: sealed, each with a key of its own that no copy of
 * the database has (src/sealing/photograph.c, keystore.c). A photograph has the
 * deadline, opt-outs and holds of the reference or encounter that it belongs to, and is
 * deleted with it. Then its key is destroyed, and no copy of the photograph can be read
 * any more.
 */

CREATE TABLE facematch.photograph (
	photograph_id	bigint GENERATED ALWAYS AS IDENTITY,
	encounter_id	bigint,
	reference_id	bigint,
	media_type		text NOT NULL CONSTRAINT photograph_media_type_is_a_name CHECK (facematch_internal.is_name(media_type)),
	key_id			uuid NOT NULL,
	sealed			bytea NOT NULL,
	stored_at		timestamptz NOT NULL DEFAULT clock_timestamp(),
	stored_by		text NOT NULL DEFAULT session_user,
	purge_after		timestamptz NOT NULL,
	CONSTRAINT photograph_pkey PRIMARY KEY (photograph_id),
	CONSTRAINT photograph_has_its_own_key UNIQUE (key_id),
	CONSTRAINT photograph_is_of_one CHECK (num_nonnulls(encounter_id, reference_id) = 1),
	CONSTRAINT photograph_encounter_exists FOREIGN KEY (encounter_id) REFERENCES facematch.encounter ON DELETE CASCADE,
	CONSTRAINT photograph_reference_exists FOREIGN KEY (reference_id) REFERENCES facematch.reference ON DELETE CASCADE
);
ALTER TABLE facematch.photograph ALTER COLUMN sealed SET STORAGE EXTERNAL;
COMMENT ON TABLE facematch.photograph IS
	'photographs of references and encounters, sealed with keys that are not in the database;'
	' facematch.store_photograph() and facematch.read_photograph() write and read it';
COMMENT ON COLUMN facematch.photograph.photograph_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.photograph.encounter_id IS 'the encounter it was taken at; NULL: it is a reference''s';
COMMENT ON COLUMN facematch.photograph.reference_id IS
	'the reference whose template was made from it; NULL: it is an encounter''s';
COMMENT ON COLUMN facematch.photograph.media_type IS 'what it is encoded as, such as image/jpeg';
COMMENT ON COLUMN facematch.photograph.key_id IS 'name of its key, a file in facematch.key_directory';
COMMENT ON COLUMN facematch.photograph.sealed IS
	'version (1 byte), nonce (12), AES-256-GCM ciphertext, tag (16); key_id and media_type are authenticated too';
COMMENT ON COLUMN facematch.photograph.stored_at IS 'when it was stored';
COMMENT ON COLUMN facematch.photograph.stored_by IS 'the session''s user who stored it';
COMMENT ON COLUMN facematch.photograph.purge_after IS 'the deadline of its encounter or reference, which it follows';
CREATE INDEX photograph_encounter_id_idx ON facematch.photograph (encounter_id) WHERE encounter_id IS NOT NULL;
CREATE INDEX photograph_reference_id_idx ON facematch.photograph (reference_id) WHERE reference_id IS NOT NULL;

---------------------------------------------------------------- the life of its row

CREATE FUNCTION facematch_internal.guard_photograph() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	parent text := TG_TABLE_NAME;
	deadline timestamptz;
	row_id bigint;
	statement text;
	has boolean;
	lost boolean := false;
BEGIN
	-- The row has changed, and its photographs follow.
	IF parent <> 'photograph' THEN
		IF parent = 'reference' THEN
			row_id := NEW.reference_id;
			has := EXISTS (SELECT FROM facematch.photograph p WHERE p.reference_id = NEW.reference_id);
		ELSE
			row_id := NEW.encounter_id;
			has := EXISTS (SELECT FROM facematch.photograph p WHERE p.encounter_id = NEW.encounter_id);
			lost := NEW.probe IS NULL;
		END IF;
		statement := format(CASE WHEN lost THEN 'DELETE FROM facematch.photograph WHERE %I = %s'
			ELSE 'UPDATE facematch.photograph SET purge_after = ''infinity'' WHERE %I = %s' END, parent || '_id', row_id);
		-- A transaction with one snapshot may not see what was stored since: there this is refused, with 40001.
		IF current_setting('transaction_isolation') <> 'read committed' THEN
			PERFORM FROM facematch_internal.ask_table('facematch.photograph', statement) a (n integer);
		ELSIF has THEN
			EXECUTE statement;
		END IF;
		RETURN NULL;
	ELSIF TG_WHEN = 'AFTER' THEN
		INSERT INTO facematch_internal.doomed_key (key_id) VALUES (OLD.key_id) ON CONFLICT DO NOTHING;
		RETURN NULL;
	ELSIF TG_OP = 'DELETE' THEN
		parent := CASE WHEN OLD.encounter_id IS NULL THEN 'reference' ELSE 'encounter' END;
		-- With the newest holds, whatever snapshot the transaction has. One that goes with its row is not asked about.
		IF (EXISTS (SELECT FROM facematch.reference r WHERE r.reference_id = OLD.reference_id)
			OR EXISTS (SELECT FROM facematch.encounter e WHERE e.encounter_id = OLD.encounter_id))
			AND EXISTS (SELECT FROM facematch_internal.ask_table(format('facematch.%I', parent)::regclass,
				format('SELECT true FROM facematch.%1$I d WHERE d.%2$I = %3$s AND NOT (true%4$s)', parent, parent || '_id',
					coalesce(OLD.encounter_id, OLD.reference_id),
					facematch_internal.not_held(format('facematch.%I', parent)::regclass))) a (held boolean)) THEN
			RAISE integrity_constraint_violation USING CONSTRAINT = 'photograph_is_not_held',
				MESSAGE = 'the photograph is of a held row and cannot be deleted',
				HINT = 'facematch.held says why and until when.';
		END IF;
		RETURN OLD;
	END IF;
	IF TG_OP = 'UPDATE' AND (NEW.photograph_id, NEW.encounter_id, NEW.reference_id, NEW.media_type, NEW.key_id,
		NEW.stored_at, NEW.stored_by, NEW.sealed)
		IS DISTINCT FROM (OLD.photograph_id, OLD.encounter_id, OLD.reference_id, OLD.media_type, OLD.key_id, OLD.stored_at,
			OLD.stored_by, OLD.sealed) THEN
		RAISE integrity_constraint_violation USING CONSTRAINT = 'photograph_is_never_changed',
			MESSAGE = 'a photograph is never changed',
			HINT = 'Delete it, and store another.';
	END IF;
	-- Who is changing the row's deadline, or removing its template, comes before or after this, and not beside it.
	IF NEW.encounter_id IS NULL THEN
		SELECT r.purge_after INTO deadline FROM facematch.reference r WHERE r.reference_id = NEW.reference_id FOR SHARE;
	ELSE
		SELECT e.purge_after INTO deadline FROM facematch.encounter e
		WHERE e.encounter_id = NEW.encounter_id AND e.probe IS NOT NULL FOR SHARE;
	END IF;
	-- One whose template is gone has no deadline to follow, and hinders no other of the statement.
	IF deadline IS NULL AND TG_OP = 'UPDATE' THEN
		RETURN NULL;
	ELSIF deadline IS NULL THEN
		RAISE foreign_key_violation USING CONSTRAINT = 'photograph_is_beside_a_template',
			MESSAGE = 'a photograph needs a template: there is no such encounter or reference, or its template is'
				' gone',
			HINT = 'Store the photograph of an encounter with a probe, or of a reference.';
	END IF;
	NEW.purge_after := deadline;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch_internal.guard_photograph() IS
	'trigger: a photograph has its row''s deadline (stored without a row with a template: 23503), follows it when it'
	' changes,'
	' goes with the row''s template (stored beside a transaction with one snapshot: 40001), is never changed, nor'
	' deleted while its row is held (23000); once it is deleted, its key is doomed';

CREATE TRIGGER photograph_10_guard BEFORE INSERT OR UPDATE OR DELETE ON facematch.photograph
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.guard_photograph();
CREATE TRIGGER photograph_20_doom AFTER DELETE ON facematch.photograph
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.guard_photograph();
CREATE TRIGGER encounter_70_photographs AFTER UPDATE ON facematch.encounter
	FOR EACH ROW WHEN (OLD.purge_after IS DISTINCT FROM NEW.purge_after OR (OLD.probe IS NOT NULL AND NEW.probe IS NULL))
	EXECUTE FUNCTION facematch_internal.guard_photograph();
CREATE TRIGGER reference_70_photographs AFTER UPDATE ON facematch.reference
	FOR EACH ROW WHEN (OLD.purge_after IS DISTINCT FROM NEW.purge_after)
	EXECUTE FUNCTION facematch_internal.guard_photograph();
ALTER TABLE facematch.photograph ENABLE ALWAYS TRIGGER photograph_10_guard, ENABLE ALWAYS TRIGGER photograph_20_doom;
ALTER TABLE facematch.encounter ENABLE ALWAYS TRIGGER encounter_70_photographs;
ALTER TABLE facematch.reference ENABLE ALWAYS TRIGGER reference_70_photographs;
SELECT facematch_internal.keep_as_record('facematch.photograph', changes => true);

ALTER TABLE facematch.photograph ENABLE ROW LEVEL SECURITY;
CREATE POLICY facematch_due ON facematch.photograph USING (purge_after > clock_timestamp()) WITH CHECK (true);
COMMENT ON POLICY facematch_due ON facematch.photograph IS 'what is granted may be used, except rows that are due';

CREATE FUNCTION facematch.store_photograph(image bytea, encounter_id bigint DEFAULT NULL,
	reference_id bigint DEFAULT NULL,
										   media_type text DEFAULT 'image/jpeg') RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own_key uuid := gen_random_uuid();
	stored bigint;
BEGIN
	IF image IS NULL OR octet_length(image) NOT BETWEEN 1 AND 20000000 THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'photograph_image_size',
			MESSAGE = 'the photograph is missing, empty or larger than 20 MB',
			HINT = 'Give it as bytea, encoded as JPEG or the like.';
	ELSIF EXISTS (SELECT FROM facematch.encounter e WHERE e.encounter_id = store_photograph.encounter_id
		AND e.purge_after <= clock_timestamp())
		OR EXISTS (SELECT FROM facematch.reference r WHERE r.reference_id = store_photograph.reference_id
			AND r.purge_after <= clock_timestamp()) THEN
		RAISE no_data_found USING CONSTRAINT = 'photograph_row_is_not_due',
			MESSAGE = 'the encounter or reference is due',
			HINT = 'Nothing is kept beyond its deadline.';
	END IF;
	-- Before the key: a search for stray keys waits for sessions that are making keys.
	LOCK TABLE facematch.photograph IN ROW EXCLUSIVE MODE;
	INSERT INTO facematch.photograph (encounter_id, reference_id, media_type, key_id, sealed, purge_after)
	VALUES (store_photograph.encounter_id, store_photograph.reference_id, store_photograph.media_type, own_key,
			facematch_internal.seal_photograph(image, own_key, store_photograph.media_type), '-infinity')
	RETURNING photograph.photograph_id INTO stored;
	RETURN stored;
END
$$;
COMMENT ON FUNCTION facematch.store_photograph(bytea, bigint, bigint, text) IS
	'seals a photograph of an encounter or of a reference with a new key, and stores it under that row''s deadline;'
	' returns its photograph_id. Up to 20 MB, else 22023; a row that is due: P0002; none, or without a template:'
	' 23503; no facematch.key_directory: 55000';

SELECT pg_catalog.pg_extension_config_dump('facematch.photograph', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.photograph_photograph_id_seq', '');
