CREATE TABLE facematch_internal.doomed_key (
	key_id		uuid NOT NULL,
	doomed_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	doomed_in	xid8 NOT NULL DEFAULT pg_current_xact_id(),
	CONSTRAINT doomed_key_pkey PRIMARY KEY (key_id)
);
COMMENT ON TABLE facematch_internal.doomed_key IS 'keys whose photographs are gone: the next purge destroys them';
COMMENT ON COLUMN facematch_internal.doomed_key.key_id IS 'name of the key';
COMMENT ON COLUMN facematch_internal.doomed_key.doomed_at IS 'when its photograph was deleted';
COMMENT ON COLUMN facematch_internal.doomed_key.doomed_in IS 'the transaction that deleted it, which has to be committed first';

CREATE FUNCTION facematch_internal.doom_key() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO facematch_internal.doomed_key (key_id) VALUES (OLD.key_id) ON CONFLICT DO NOTHING;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch_internal.doom_key() IS 'trigger: notes that a photograph''s key is to be destroyed';

---------------------------------------------------------------- storing and reading

CREATE FUNCTION facematch_internal.seal(image bytea, key_id uuid, said text) RETURNS bytea
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'facematch_seal';
COMMENT ON FUNCTION facematch_internal.seal(bytea, uuid, text) IS 'makes a key of that name and seals an image with it; what is said of it is authenticated too. For facematch.store_photograph() only';

CREATE FUNCTION facematch_internal.unseal(sealed bytea, key_id uuid, said text) RETURNS bytea
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'facematch_unseal';
COMMENT ON FUNCTION facematch_internal.unseal(bytea, uuid, text) IS 'the image; NULL: its key has been destroyed. Changed, or another''s: XX001; the key of another database that is there: 55000. For facematch.read_photograph() only';

---------------------------------------------------------------- keys go

CREATE FUNCTION facematch_internal.destroy_key(key_id uuid) RETURNS boolean
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'facematch_destroy_key';
COMMENT ON FUNCTION facematch_internal.destroy_key(uuid) IS 'overwrites, flushes and unlinks a key; whether it was there. The key of another database that is there: 55000. At once, whatever becomes of the transaction: for facematch_internal.destroy_keys() only';

CREATE FUNCTION facematch_internal.key_files() RETURNS TABLE (key_id uuid, database oid, of_this_cluster boolean)
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'facematch_key_files';
COMMENT ON FUNCTION facematch_internal.key_files() IS
	'the keys in facematch.key_directory, the database that made each, which may be gone, and whether that was in this cluster as it is: pg_upgrade makes another';

CREATE FUNCTION facematch_internal.own_keys() RETURNS uuid[]
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_agg(f.key_id), '{}') FROM facematch_internal.key_files() f JOIN pg_database d ON d.oid = f.database
	WHERE f.of_this_cluster AND d.datname = current_database()
$$;
COMMENT ON FUNCTION facematch_internal.own_keys() IS 'the keys in facematch.key_directory that this database has made';

CREATE FUNCTION facematch_internal.anothers_keys() RETURNS uuid[]
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_agg(f.key_id), '{}') FROM facematch_internal.key_files() f JOIN pg_database d ON d.oid = f.database
	WHERE f.of_this_cluster AND d.datname <> current_database()
$$;
COMMENT ON FUNCTION facematch_internal.anothers_keys() IS 'the keys in facematch.key_directory that other databases have made that are there: copies of them neither use nor destroy these';

CREATE FUNCTION facematch_internal.destroy_those(keys uuid[]) RETURNS uuid[]
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	destroyed uuid[] := '{}';
	k uuid;
BEGIN
	FOREACH k IN ARRAY keys LOOP
		BEGIN
			PERFORM facematch_internal.destroy_key(k);
			destroyed := destroyed || k;
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING 'key % is not destroyed: %', k, SQLERRM;
		END;
	END LOOP;
	RETURN destroyed;
END
$$;
COMMENT ON FUNCTION facematch_internal.destroy_those(uuid[]) IS 'those of the keys that are destroyed now: one that cannot be removed is told, and keeps no other';

CREATE FUNCTION facematch_internal.destroy_keys() RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	doomed uuid[];
	destroyed uuid[];
	kept uuid[] := '{}';
	anothers uuid[];
	stray uuid[] := '{}';
	total bigint := 0;
BEGIN
	IF coalesce(current_setting('facematch.key_directory', true), '') = '' THEN
		IF EXISTS (SELECT FROM facematch_internal.doomed_key) THEN
			RAISE WARNING 'keys of photographs wait to be destroyed, and facematch.key_directory is not set';
		END IF;
		RETURN 0;
	END IF;
	IF EXISTS (SELECT FROM facematch_internal.doomed_key) THEN
		anothers := facematch_internal.anothers_keys();
	END IF;
	LOOP
		-- Committed deletions only: a key does not come back. What the database that made it may need waits until that is gone.
		doomed := ARRAY(SELECT k.key_id FROM facematch_internal.doomed_key k
						WHERE k.doomed_in <> pg_current_xact_id() AND k.key_id <> ALL (anothers) AND k.key_id <> ALL (kept)
						LIMIT 1000 FOR UPDATE SKIP LOCKED);
		EXIT WHEN doomed = '{}';
		destroyed := facematch_internal.destroy_those(doomed);
		kept := kept || ARRAY(SELECT d FROM unnest(doomed) d WHERE d <> ALL (destroyed));
		CONTINUE WHEN destroyed = '{}';
		DELETE FROM facematch_internal.doomed_key d WHERE d.key_id = ANY (destroyed);
		PERFORM facematch_internal.write_audit('keys_destroyed', jsonb_build_object('count', cardinality(destroyed), 'keys', to_jsonb(destroyed)));
		total := total + cardinality(destroyed);
	END LOOP;
	-- What a crash has left: nobody is storing a photograph while this lock is held, so a key without a row is nobody's.
	-- An older snapshot would not show the newest rows.
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RETURN total;
	END IF;
	BEGIN
		LOCK TABLE facematch.photograph IN SHARE MODE NOWAIT;
		stray := ARRAY(SELECT k FROM unnest(facematch_internal.own_keys()) k
					   WHERE NOT EXISTS (SELECT FROM facematch.photograph p WHERE p.key_id = k)
						 AND NOT EXISTS (SELECT FROM facematch_internal.doomed_key d WHERE d.key_id = k) ORDER BY k);
	EXCEPTION WHEN lock_not_available THEN
		NULL;	-- the next purge looks again
	END;
	IF stray <> '{}' THEN
		stray := facematch_internal.destroy_those(stray);
	END IF;
	IF stray <> '{}' THEN
		PERFORM facematch_internal.write_audit('keys_destroyed', jsonb_build_object('count', cardinality(stray), 'keys', to_jsonb(stray), 'stray', true));
	END IF;
	RETURN total + cardinality(stray);
END
$$;
COMMENT ON FUNCTION facematch_internal.destroy_keys() IS
	'destroys the keys of photographs that are gone, and of transactions that a crash ended; logged, with the keys'' names. One that cannot be removed is a WARNING and keeps no other. Returns how many. The purge calls it; the deletions have to be committed';

CREATE FUNCTION facematch_internal.key_findings() RETURNS TABLE (severity text, object text, finding text, remedy text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	keys uuid[];
	databases oid[];
	ours boolean[];
	here oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
BEGIN
	object := 'photographs';
	IF coalesce(current_setting('facematch.key_directory', true), '') <> '' THEN
		BEGIN
			SELECT array_agg(f.key_id), array_agg(f.database), array_agg(f.of_this_cluster) INTO keys, databases, ours FROM facematch_internal.key_files() f;
		EXCEPTION WHEN object_not_in_prerequisite_state THEN
			severity := 'error'; finding := SQLERRM; remedy := 'a directory of the server''s user, with mode 0700, outside of what is backed up';
			RETURN NEXT;
		END;
	END IF;
	RETURN QUERY
	SELECT 'error', 'photographs', format('%s keys wait to be destroyed, the oldest for %s', count(*), date_trunc('second', clock_timestamp() - min(d.doomed_at))),
		   'CALL facematch.purge(), with facematch.key_directory set'
	FROM facematch_internal.doomed_key d
	WHERE NOT EXISTS (SELECT FROM unnest(keys, databases, ours) k (id, database, ours) JOIN pg_database b ON b.oid = k.database
					  WHERE k.id = d.key_id AND k.ours AND k.database <> here)
	HAVING min(d.doomed_at) < clock_timestamp() - interval '1 hour';
	RETURN QUERY
	SELECT 'warning', 'photographs', format('%s keys of photographs that were here are those of database %I, of which this one is a copy: they go when its photographs go', count(*), b.datname),
		   format('CALL facematch.purge() in %I, or DROP DATABASE what is not needed', b.datname)
	FROM facematch_internal.doomed_key d JOIN unnest(keys, databases, ours) k (id, database, ours) ON k.id = d.key_id AND k.ours AND k.database <> here
	JOIN pg_database b ON b.oid = k.database GROUP BY b.datname ORDER BY 3;
	RETURN QUERY
	SELECT 'warning', 'photographs', format('%s keys are of databases that are gone: with them, dumps and backups of those can be read', count(*)),
		   'facematch_internal.key_files() names them: overwrite and remove (shred -u) those that no restored database needs'
	FROM unnest(keys, databases) k (id, database)
	WHERE NOT EXISTS (SELECT FROM pg_database b WHERE b.oid = k.database) AND NOT EXISTS (SELECT FROM facematch.photograph p WHERE p.key_id = k.id)
	  AND NOT EXISTS (SELECT FROM facematch_internal.doomed_key d WHERE d.key_id = k.id) HAVING count(*) > 0;
	-- Whoever is storing a photograph has the lock, and the key before the row.
	RETURN QUERY
	SELECT 'warning', 'photographs', format('%s keys of this database have no photograph', count(*)),
		   CASE WHEN bool_and(k.ours) THEN 'CALL facematch.purge(): a crash has left them'
				ELSE 'facematch_internal.key_files() names them: made before pg_upgrade, or by another cluster; overwrite and remove (shred -u) the former' END
	FROM unnest(keys, databases, ours) k (id, database, ours)
	WHERE k.database = here AND NOT EXISTS (SELECT FROM facematch.photograph p WHERE p.key_id = k.id)
	  AND NOT EXISTS (SELECT FROM facematch_internal.doomed_key d WHERE d.key_id = k.id)
	  AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.database = here AND l.relation = 'facematch.photograph'::regclass AND l.mode = 'RowExclusiveLock') HAVING count(*) > 0;
END
$$;
COMMENT ON FUNCTION facematch_internal.key_findings() IS
	'what is wrong with the keys of photographs: a directory that cannot be used, keys that wait to be destroyed, are those of a database of which this one is a copy, of databases that are gone, or of no photograph; for facematch.health_check()';
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.doomed_key', '');
