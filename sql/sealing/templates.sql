/*
 * Sealed templates: rows are sealed as they are stored, keys are destroyed after their
 * last row is deleted, and rotated (docs/sealing.md).
 */

CREATE FUNCTION facematch_internal.seal_template() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_seal_template';
COMMENT ON FUNCTION facematch_internal.seal_template() IS
	'trigger behind the guard: seals the template of a sealed gallery''s row with the key of its class and term, '
	'and seals it again when these change. No place for keys: 55000; facematch.key_command failed: 38000';

-- After the guard, which gives the row its deadline.
CREATE TRIGGER reference_25_seal BEFORE INSERT OR UPDATE OR DELETE ON facematch.reference
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.seal_template('embedding');
CREATE TRIGGER encounter_25_seal BEFORE INSERT OR UPDATE OR DELETE ON facematch.encounter
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.seal_template('probe');
ALTER TABLE facematch.reference ENABLE ALWAYS TRIGGER reference_25_seal;
ALTER TABLE facematch.encounter ENABLE ALWAYS TRIGGER encounter_25_seal;

-- Which rows are under a key; of a site that seals nothing they are empty.
CREATE INDEX reference_sealed_by_idx ON facematch.reference (facematch_internal.sealed_by(embedding))
	WHERE facematch_internal.sealed_by(embedding) IS NOT NULL;
CREATE INDEX encounter_sealed_by_idx ON facematch.encounter (facematch_internal.sealed_by(probe))
	WHERE facematch_internal.sealed_by(probe) IS NOT NULL;
-- The planner needs to know nothing of keys.
ALTER INDEX facematch.reference_sealed_by_idx ALTER COLUMN 1 SET STATISTICS 0;
ALTER INDEX facematch.encounter_sealed_by_idx ALTER COLUMN 1 SET STATISTICS 0;

---------------------------------------------------------------- keys go

CREATE FUNCTION facematch_internal.template_key_is_used(key_id uuid) RETURNS boolean
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM facematch.reference r WHERE facematch_internal.sealed_by(r.embedding) = $1)
		OR EXISTS (SELECT FROM facematch.encounter e WHERE facematch_internal.sealed_by(e.probe) = $1)
$$;
COMMENT ON FUNCTION facematch_internal.template_key_is_used(uuid) IS
	'whether a row is under a key, as newest committed';

CREATE FUNCTION facematch_internal.leave_due_keys() RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	k uuid;
BEGIN
	FOR k IN SELECT t.key_id FROM facematch_internal.template_key t
			 WHERE t.destroyed_at IS NULL AND t.due <= clock_timestamp() AND facematch_internal.keys_are_possible() LOOP
		BEGIN
			UPDATE facematch.reference r SET embedding = r.embedding WHERE facematch_internal.sealed_by(r.embedding) = k;
			UPDATE facematch.encounter e SET probe = e.probe WHERE facematch_internal.sealed_by(e.probe) = k;
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING 'rows under key % are not sealed again: %', k, SQLERRM;
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch_internal.leave_due_keys() IS
	'seals again the rows that are held although their key is due: the trigger puts them under a key of their own. The'
	' purge calls it, and commits before it destroys keys: a template must not come back to a key that is gone';

CREATE FUNCTION facematch_internal.destroy_template_keys() RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	destroyed uuid[] := '{}';
	k record;
BEGIN
	IF NOT facematch_internal.keys_are_possible() THEN
		IF EXISTS (SELECT FROM facematch_internal.template_key t WHERE t.destroyed_at IS NULL) THEN
			RAISE WARNING 'keys of sealed templates are not destroyed: neither facematch.key_directory nor'
				' facematch.key_command is set';
		END IF;
		RETURN 0;
	END IF;
	-- An older snapshot would not show the newest rows, and what this transaction has moved or deleted may come back,
	-- while a key does not: left to the purge.
	IF current_setting('transaction_isolation') <> 'read committed' OR pg_current_xact_id_if_assigned() IS NOT NULL THEN
		RETURN 0;
	END IF;
	FOR k IN SELECT t.key_id, false AS stray, false AS is_back FROM facematch_internal.template_key t
			 WHERE t.destroyed_at IS NULL
			 UNION ALL
			 -- What a crash has left: its row was not committed. And what an older copy of the directory has brought back.
			 SELECT f.key_id, true, EXISTS (SELECT FROM facematch_internal.template_key t WHERE t.key_id = f.key_id)
			 FROM facematch_internal.key_files() f JOIN pg_database d ON d.oid = f.database
			 WHERE current_setting('facematch.key_command') = '' AND f.what = 'template' AND f.of_this_cluster
			   AND d.datname = current_database()
			   AND NOT EXISTS (SELECT FROM facematch_internal.template_key t
							   WHERE t.key_id = f.key_id AND t.destroyed_at IS NULL) LOOP
		-- Who puts a row under the key has a lock on it; the second look sees what was committed meanwhile.
		CONTINUE WHEN NOT k.is_back AND facematch_internal.template_key_is_used(k.key_id)
			OR NOT facematch_internal.own_template_key(k.key_id)
			OR NOT k.is_back AND facematch_internal.template_key_is_used(k.key_id)
			OR k.stray AND EXISTS (SELECT FROM facematch_internal.template_key t
								   WHERE t.key_id = k.key_id AND t.destroyed_at IS NULL);
		-- One that cannot be destroyed keeps no other.
		BEGIN
			PERFORM facematch_internal.destroy_key(k.key_id, 'template');
			UPDATE facematch_internal.template_key t SET destroyed_at = clock_timestamp() WHERE t.key_id = k.key_id;
			destroyed := destroyed || k.key_id;
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING 'key % is not destroyed: %', k.key_id, SQLERRM;
		END;
	END LOOP;
	IF destroyed <> '{}' THEN
		PERFORM facematch_internal.write_audit('template_keys_destroyed',
			jsonb_build_object('count', cardinality(destroyed), 'keys', to_jsonb(destroyed)));
	END IF;
	RETURN cardinality(destroyed);
END
$$;
COMMENT ON FUNCTION facematch_internal.destroy_template_keys() IS
	'destroys the keys that no row is under any more, and those that a crash left. Logged, with the keys'' names. One'
	' that cannot be destroyed is a WARNING. Returns how many. The purge calls it. None in a transaction that has changed'
	' anything: the deletions have to be committed';

---------------------------------------------------------------- rotation

CREATE FUNCTION facematch_internal.rotate_some(gallery text, batch integer) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	id bigint := (SELECT g.gallery_id FROM facematch.gallery g WHERE g.name = rotate_some.gallery);
	retired uuid[];
	moved bigint;
	more bigint;
BEGIN
	retired := ARRAY(SELECT t.key_id FROM facematch_internal.template_key t
					 WHERE t.retired_at IS NOT NULL AND t.destroyed_at IS NULL AND (gallery IS NULL OR t.gallery_id = id));
	IF gallery IS NULL AND retired = '{}' THEN
		RETURN 0;
	END IF;
	UPDATE facematch.reference r SET embedding = r.embedding
	WHERE r.ctid = ANY (ARRAY(SELECT t.ctid FROM facematch.reference t
							  WHERE facematch_internal.sealed_by(t.embedding) = ANY (retired)
							  LIMIT batch FOR UPDATE SKIP LOCKED));
	GET DIAGNOSTICS moved = ROW_COUNT;
	UPDATE facematch.encounter e SET probe = e.probe
	WHERE e.ctid = ANY (ARRAY(SELECT t.ctid FROM facematch.encounter t
							  WHERE facematch_internal.sealed_by(t.probe) = ANY (retired)
							  LIMIT batch - moved FOR UPDATE SKIP LOCKED));
	GET DIAGNOSTICS more = ROW_COUNT;
	moved := moved + more;
	-- Templates from before their gallery was sealed.
	IF gallery IS NOT NULL AND moved < batch THEN
		UPDATE facematch.reference r SET embedding = r.embedding
		WHERE r.ctid = ANY (ARRAY(SELECT t.ctid FROM facematch.reference t JOIN facematch.gallery g USING (gallery_id)
								  WHERE g.gallery_id = id AND g.sealed
									AND facematch_internal.sealed_by(t.embedding) IS NULL
								  LIMIT batch - moved FOR UPDATE OF t SKIP LOCKED));
		GET DIAGNOSTICS more = ROW_COUNT;
		moved := moved + more;
		UPDATE facematch.encounter e SET probe = e.probe
		WHERE e.ctid = ANY (ARRAY(SELECT t.ctid FROM facematch.encounter t JOIN facematch.gallery g USING (gallery_id)
								  WHERE g.gallery_id = id AND g.sealed AND t.probe IS NOT NULL
									AND facematch_internal.sealed_by(t.probe) IS NULL
								  LIMIT batch - moved FOR UPDATE OF t SKIP LOCKED));
		GET DIAGNOSTICS more = ROW_COUNT;
		moved := moved + more;
	END IF;
	RETURN moved;
END
$$;
COMMENT ON FUNCTION facematch_internal.rotate_some(text, integer) IS
	'seals again a batch of rows that are under retired keys, and, with a gallery, rows that are not sealed; '
	'returns how many. For facematch.rotate_keys() and the purge, which commit it';

CREATE FUNCTION facematch_internal.retire_keys(gallery text) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	id bigint := (SELECT g.gallery_id FROM facematch.gallery g WHERE g.name = retire_keys.gallery);
	retired bigint := 0;
BEGIN
	IF gallery IS NOT NULL AND id IS NULL THEN
		RAISE no_data_found USING CONSTRAINT = 'gallery_exists',
			MESSAGE = format('there is no gallery %L', gallery),
			HINT = 'SELECT name FROM facematch.gallery lists the galleries that are staged.';
	END IF;
	-- An interrupted rotation goes on with the keys that it had retired.
	IF NOT EXISTS (SELECT FROM facematch_internal.template_key t
				   WHERE t.retired_at IS NOT NULL AND t.destroyed_at IS NULL AND (gallery IS NULL OR t.gallery_id = id)
					 AND facematch_internal.template_key_is_used(t.key_id)) THEN
		UPDATE facematch_internal.template_key t SET retired_at = clock_timestamp()
		WHERE t.retired_at IS NULL AND t.destroyed_at IS NULL
		  AND CASE WHEN gallery IS NULL THEN t.due = 'infinity' AND t.made_at < clock_timestamp() - interval '6 days'
			  ELSE t.gallery_id = id END;
		GET DIAGNOSTICS retired = ROW_COUNT;
		PERFORM facematch_internal.write_audit('keys_rotated', jsonb_strip_nulls(jsonb_build_object(
			'gallery', gallery, 'retired', retired,
			'wrapped', CASE WHEN gallery IS NULL AND EXISTS (SELECT FROM facematch_internal.template_key)
					   THEN facematch_internal.rotate_wrapping_key() END)));
	END IF;
	RETURN retired;
END
$$;
COMMENT ON FUNCTION facematch_internal.retire_keys(text) IS
	'begins a rotation: no row goes any more under the keys of a gallery, or, without one, under those without a'
	' deadline that are a week old, and the wrapping key is another. Logged. No such gallery: P0002. For'
	' facematch.rotate_keys() and the purge';

-- Without a setting of its own, so that it can commit.
CREATE PROCEDURE facematch.rotate_keys(gallery text DEFAULT NULL, batch integer DEFAULT 1000)
	LANGUAGE plpgsql
AS $$
BEGIN
	IF (batch OPERATOR(pg_catalog.>) 0) IS NOT TRUE THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'rotation_batch_range',
			MESSAGE = 'a batch must be at least 1 row',
			HINT = 'Rows are sealed again and committed in batches.';
	END IF;
	PERFORM facematch_internal.retire_keys(gallery);
	COMMIT;
	WHILE facematch_internal.rotate_some(gallery, batch) OPERATOR(pg_catalog.>) 0 LOOP
		COMMIT;
	END LOOP;
	PERFORM facematch_internal.leave_due_keys();
	COMMIT;
	PERFORM facematch_internal.destroy_template_keys();
END
$$;
COMMENT ON PROCEDURE facematch.rotate_keys(text, integer) IS
	'seals the templates of a gallery again with new keys and destroys the old keys, without new photographs; also '
	'seals templates from before the gallery was sealed. Without a gallery: all keys without a deadline that are a '
	'week old, and the wrapping key of facematch.key_directory. Commits after every batch of rows, in a '
	'transaction block: 2D000. After an interruption, the next call continues. No such gallery: P0002; a batch '
	'below 1: 22023';
