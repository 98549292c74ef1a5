-- A table whose owner is no superuser is not put under retention while something that is initially deferred would fire in a purge, and
-- health_check() names what came later: just what the purge fails for, by its own word, and nothing else.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE facematch_test_owner;
CREATE SCHEMA app AUTHORIZATION facematch_test_owner;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('sightings', 'us_citizen', 'sighting', '{recorded}', '{10 days}', 'site rule', '-infinity');

SET ROLE facematch_test_owner;
CREATE FUNCTION app.idle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
-- A table for each thing that may be deferred.
DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY '{by_delete,by_update,by_update_of_other,by_insert,disabled,immediate,refers,referred,referred_immediate,cascades,cascades_on,
							cascades_to_trigger,cascades_to_part,sets_null,sets_null_trigger,sets_null_key,sets_default,unique_keys,itself,parts,parts_only_one}'::text[] LOOP
		EXECUTE format('CREATE TABLE app.%I (id bigint PRIMARY KEY, retention_class text, recorded_at timestamptz, subject_id uuid, embedding face_embedding(2), other bigint)%s',
					   name, CASE WHEN name LIKE 'parts%' THEN ' PARTITION BY RANGE (id)' END);
		IF name LIKE 'parts%' THEN
			EXECUTE format('CREATE TABLE app.%I PARTITION OF app.%I FOR VALUES FROM (0) TO (10)', name || '_1', name);
			EXECUTE format('CREATE TABLE app.%I PARTITION OF app.%I DEFAULT', name || '_2', name);
		END IF;
		EXECUTE format('INSERT INTO app.%I SELECT n, ''us_citizen'', now() - n * interval ''1 day'', md5(n::text)::uuid, ''[1,0]'' FROM generate_series(1, 20) n', name);
		EXECUTE format('CREATE TABLE app.%I (id bigint UNIQUE DEFAULT 1, other bigint)', 'of_' || name);
		EXECUTE format('INSERT INTO app.%I SELECT n FROM generate_series(1, 20) n', 'of_' || name);
	END LOOP;
END $$;
CREATE TABLE app.of_of (id bigint);
CREATE VIEW app.attachable AS SELECT c.oid::regclass::text AS name FROM pg_class c WHERE c.relnamespace = 'app'::regnamespace AND c.relkind IN ('r', 'p')
	AND NOT c.relispartition AND c.relname NOT LIKE 'of\_%';
RESET ROLE;
SELECT count(facematch.retain(name::regclass, 'sighting')) AS attached FROM app.attachable;

SET ROLE facematch_test_owner;
CREATE CONSTRAINT TRIGGER late AFTER DELETE ON app.by_delete DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.idle();
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON app.by_update DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.idle();
CREATE CONSTRAINT TRIGGER late AFTER UPDATE OF other ON app.by_update_of_other DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.idle();
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON app.by_insert DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.idle();
CREATE CONSTRAINT TRIGGER late AFTER DELETE ON app.disabled DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.idle();
ALTER TABLE app.disabled DISABLE TRIGGER late;
CREATE CONSTRAINT TRIGGER late AFTER DELETE OR UPDATE ON app.immediate DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION app.idle();
ALTER TABLE app.refers ADD CONSTRAINT key FOREIGN KEY (other) REFERENCES app.of_refers (id) DEFERRABLE INITIALLY DEFERRED;
DELETE FROM app.of_referred WHERE id > 5;
ALTER TABLE app.of_referred ADD CONSTRAINT key FOREIGN KEY (id) REFERENCES app.referred DEFERRABLE INITIALLY DEFERRED;
DELETE FROM app.of_referred_immediate WHERE id > 5;
ALTER TABLE app.of_referred_immediate ADD CONSTRAINT key FOREIGN KEY (id) REFERENCES app.referred_immediate DEFERRABLE INITIALLY IMMEDIATE;
ALTER TABLE app.of_cascades ADD CONSTRAINT key FOREIGN KEY (id) REFERENCES app.cascades ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE app.of_cascades_on ADD CONSTRAINT key FOREIGN KEY (id) REFERENCES app.cascades_on ON DELETE CASCADE;
ALTER TABLE app.of_of ADD CONSTRAINT "Key 2" FOREIGN KEY (id) REFERENCES app.of_cascades_on (id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE app.of_cascades_to_trigger ADD CONSTRAINT key FOREIGN KEY (id) REFERENCES app.cascades_to_trigger ON DELETE CASCADE;
CREATE CONSTRAINT TRIGGER late AFTER DELETE ON app.of_cascades_to_trigger DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.idle();
DROP TABLE app.of_cascades_to_part;
CREATE TABLE app.of_cascades_to_part (id bigint REFERENCES app.cascades_to_part ON DELETE CASCADE) PARTITION BY RANGE (id);
CREATE TABLE app.of_cascades_to_part_1 PARTITION OF app.of_cascades_to_part DEFAULT;
INSERT INTO app.of_cascades_to_part SELECT n FROM generate_series(1, 20) n;
CREATE CONSTRAINT TRIGGER late AFTER DELETE ON app.of_cascades_to_part_1 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.idle();
ALTER TABLE app.of_sets_null ADD CONSTRAINT key FOREIGN KEY (id) REFERENCES app.sets_null ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED;
CREATE CONSTRAINT TRIGGER late AFTER DELETE OR UPDATE OF other ON app.of_sets_null DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.idle();
ALTER TABLE app.of_sets_null_trigger ADD CONSTRAINT key FOREIGN KEY (id) REFERENCES app.sets_null_trigger ON DELETE SET NULL;
CREATE CONSTRAINT TRIGGER late AFTER UPDATE OF id ON app.of_sets_null_trigger DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.idle();
ALTER TABLE app.of_sets_null_key ADD CONSTRAINT key FOREIGN KEY (id) REFERENCES app.sets_null_key ON DELETE SET NULL;
ALTER TABLE app.of_of ADD CONSTRAINT key_3 FOREIGN KEY (id) REFERENCES app.of_sets_null_key (id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE app.of_sets_default DROP CONSTRAINT of_sets_default_id_key;
ALTER TABLE app.of_sets_default ADD CONSTRAINT key FOREIGN KEY (id) REFERENCES app.sets_default ON DELETE SET DEFAULT DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE app.unique_keys ADD CONSTRAINT key UNIQUE (id, other) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE app.itself ADD CONSTRAINT key FOREIGN KEY (other) REFERENCES app.itself DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE app.of_parts ADD CONSTRAINT key FOREIGN KEY (other) REFERENCES app.parts DEFERRABLE INITIALLY DEFERRED;
CREATE CONSTRAINT TRIGGER late AFTER DELETE ON app.parts_only_one_2 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.idle();
RESET ROLE;

-- Named, whether or not anything is due.
CREATE VIEW named AS SELECT object, regexp_replace(finding, '.* constraint of (.*) is initially.*', '\1') AS of_table, remedy
FROM facematch_internal.retention_findings() WHERE severity = 'error' AND finding ~ 'initially deferred';
SELECT * FROM named ORDER BY object COLLATE "C", of_table COLLATE "C";

-- What the purge says, table by table, and a rule.
CALL facematch.purge();
BEGIN;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation)
VALUES ('sightings, shorter', 'us_citizen', 'sighting', '{recorded}', '{9 days}', 'site rule');
ROLLBACK;

-- Detached, the same are not attached again, and all the others are.
SELECT count(facematch.release(name::regclass)) AS released FROM app.attachable;
CREATE FUNCTION attach(name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM facematch.retain(name::regclass, 'sighting');
	RETURN 'attached';
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	RETURN 'refused';
END $$;
SELECT name, attach(name) FROM app.attachable ORDER BY name COLLATE "C";
SELECT facematch.retain('app.cascades_on', 'sighting');
SELECT count(*) FROM named;
-- The hint does as it says.
ALTER TABLE app.of_of ALTER CONSTRAINT "Key 2" DEFERRABLE INITIALLY IMMEDIATE;
SELECT attach('app.cascades_on');
-- A superuser's own table may defer: that fires with the rows.
ALTER TABLE app.by_delete OWNER TO CURRENT_USER;
SELECT attach('app.by_delete');
CALL facematch.purge();
SELECT count(*) FROM app.by_delete;
SELECT count(*) FROM named;

SELECT count(facematch.release(table_name)) > 0 AS released FROM facematch.attached;
DROP VIEW named;
DROP SCHEMA app CASCADE;
DROP ROLE facematch_test_owner;
