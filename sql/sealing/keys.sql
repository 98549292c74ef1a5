/*
 * The keys of photographs: one file each, outside the data directory and its backups
 * (src/sealing/keystore.c). When a photograph is deleted, its key is marked for
 * destruction. After the commit a purge destroys the key, and no copy of the photograph
 * can be read any more (src/sealing/README.md).
 */

CREATE TABLE facematch_internal.doomed_key (
	key_id		uuid NOT NULL,
	doomed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	doomed_in	xid8 NOT NULL DEFAULT pg_current_xact_id(),
	CONSTRAINT doomed_key_pkey PRIMARY KEY (key_id)
);
COMMENT ON TABLE facematch_internal.doomed_key IS 'keys whose photographs have been deleted: the next purge destroys '
	'them';
COMMENT ON COLUMN facematch_internal.doomed_key.key_id IS 'name of the key';
COMMENT ON COLUMN facematch_internal.doomed_key.doomed_at IS 'when its photograph was deleted';
COMMENT ON COLUMN facematch_internal.doomed_key.doomed_in IS
	'the transaction that deleted it, which has to be committed first';

---------------------------------------------------------------- storing and reading

CREATE FUNCTION facematch_internal.seal_photograph(image bytea, key_id uuid, said text) RETURNS bytea
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'facematch_seal';
COMMENT ON FUNCTION facematch_internal.seal_photograph(bytea, uuid, text) IS
	'makes a key of that name and seals an image with it; what is said of it is authenticated too. For'
	' facematch.store_photograph() only';

CREATE FUNCTION facematch_internal.unseal_photograph(sealed bytea, key_id uuid, said text) RETURNS bytea
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'facematch_unseal';
COMMENT ON FUNCTION facematch_internal.unseal_photograph(bytea, uuid, text) IS
	'the image; NULL: its key has been destroyed. Changed, or another''s: XX001; the key of another database that '
	'exists: 55000. For facematch.read_photograph() only';

---------------------------------------------------------------- keys go

CREATE FUNCTION facematch_internal.destroy_key(key_id uuid, what text) RETURNS boolean
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'facematch_destroy_key';
COMMENT ON FUNCTION facematch_internal.destroy_key(uuid, text) IS
	'destroys a key (what: photograph or template), in the directory or by the command; whether it was there. The key of'
	' another database that is there: 55000. At once, whatever becomes of the transaction; backends drop it when that is'
	' committed. For facematch_internal.destroy_keys() and destroy_template_keys() only';

CREATE FUNCTION facematch_internal.key_files()
	RETURNS TABLE (key_id uuid, database oid, of_this_cluster boolean, what text, is_empty boolean)
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'facematch_key_files';
COMMENT ON FUNCTION facematch_internal.key_files() IS
	'the keys in facematch.key_directory, the database that made each, which may be gone, whether that was in this'
	' cluster as it is: pg_upgrade makes another, what they are of: photograph or template, and whether a crash left'
	' the file empty: it is taken for this database''s then';

CREATE FUNCTION facematch_internal.destroy_keys() RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	doomed uuid[];
	destroyed uuid[];
	kept uuid[] := '{}';
	anothers uuid[];
	stray boolean := false;
	total bigint := 0;
	k uuid;
BEGIN
	IF coalesce(current_setting('facematch.key_directory', true), '') = '' THEN
		IF EXISTS (SELECT FROM facematch_internal.doomed_key) THEN
			RAISE WARNING 'keys of photographs wait to be destroyed, and facematch.key_directory is not set';
		END IF;
		RETURN 0;
	END IF;
	IF EXISTS (SELECT FROM facematch_internal.doomed_key) THEN
		anothers := ARRAY(SELECT f.key_id FROM facematch_internal.key_files() f JOIN pg_database d ON d.oid = f.database
						  WHERE f.what = 'photograph' AND f.of_this_cluster AND d.datname <> current_database());
	END IF;
	LOOP
		-- Committed deletions only: a key does not come back. What the database that made it may need waits until that is
		-- gone.
		doomed := ARRAY(SELECT d.key_id FROM facematch_internal.doomed_key d
						WHERE d.doomed_in <> pg_current_xact_id() AND d.key_id <> ALL (anothers) AND d.key_id <> ALL (kept)
						LIMIT 1000 FOR UPDATE SKIP LOCKED);
		stray := doomed = '{}';
		-- At last, what a crash has left: nobody is storing a photograph while this lock is held, so a key without a row
		-- is nobody's. An older snapshot would not show the newest rows.
		IF stray AND current_setting('transaction_isolation') = 'read committed' THEN
			BEGIN
				LOCK TABLE facematch.photograph IN SHARE MODE NOWAIT;
				doomed := ARRAY(SELECT f.key_id FROM facematch_internal.key_files() f JOIN pg_database d ON d.oid = f.database
								WHERE f.what = 'photograph' AND f.of_this_cluster AND d.datname = current_database()
								  AND NOT EXISTS (SELECT FROM facematch.photograph p WHERE p.key_id = f.key_id)
								  AND NOT EXISTS (SELECT FROM facematch_internal.doomed_key d WHERE d.key_id = f.key_id) ORDER BY 1);
			EXCEPTION WHEN lock_not_available THEN
				NULL;	-- the next purge looks again
			END;
		END IF;
		destroyed := '{}';
		FOREACH k IN ARRAY doomed LOOP
			-- One that cannot be removed keeps no other.
			BEGIN
				PERFORM facematch_internal.destroy_key(k, 'photograph');
				destroyed := destroyed || k;
			EXCEPTION WHEN OTHERS THEN
				kept := kept || k;
				RAISE WARNING 'key % is not destroyed: %', k, SQLERRM;
			END;
		END LOOP;
		DELETE FROM facematch_internal.doomed_key d WHERE d.key_id = ANY (destroyed);
		IF destroyed <> '{}' THEN
			PERFORM facematch_internal.write_audit('keys_destroyed', jsonb_strip_nulls(jsonb_build_object(
				'count', cardinality(destroyed), 'keys', to_jsonb(destroyed), 'stray', nullif(stray, false))));
		END IF;
		total := total + cardinality(destroyed);
		EXIT WHEN stray;
	END LOOP;
	RETURN total;
END
$$;
COMMENT ON FUNCTION facematch_internal.destroy_keys() IS
	'destroys the keys of deleted photographs, and of transactions that a crash ended; logged, with the keys'' '
	'names. One that cannot be removed is a WARNING and keeps no other. Returns how many. The purge calls it; the '
	'deletions have to be committed';

SELECT pg_catalog.pg_extension_config_dump('facematch_internal.doomed_key', '');
