-- Every statement that drops, detaches, attaches, renames, moves, truncates, rewrites or alters a table under retention,
-- while a hold keeps a row of it: it is refused, or the row is there, found by the hold, and the table still guarded; and
-- where it is not, the health check names it.  What passes without a hold, and the extension itself, is in keep.sql.
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET client_min_messages = error;
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
	VALUES ('own', 'us_citizen', 'own', '{recorded}', '{1 day}', 'site rule', '-infinity');
CREATE SCHEMA app;
CREATE ROLE facematch_ways_clerk;
GRANT USAGE ON SCHEMA app TO PUBLIC;
CREATE TABLE app.own (id int NOT NULL, retention_class text NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now(), subject_id uuid, t face_embedding(2)) PARTITION BY RANGE (id);
CREATE TABLE app.own_1 PARTITION OF app.own FOR VALUES FROM (0) TO (10);
CREATE TABLE app.own_2 PARTITION OF app.own FOR VALUES FROM (10) TO (100);
CREATE INDEX own_1_id ON app.own_1 (id);
SELECT facematch.retain('app.own', 'own');
CREATE TABLE app.whole (LIKE app.own);
SELECT facematch.retain('app.whole', 'own');
INSERT INTO app.own (id, retention_class, subject_id, t) VALUES (1, 'us_citizen', subject(1), '[1,0]'), (11, 'us_citizen', subject(11), '[1,0]');
INSERT INTO app.whole (id, retention_class, recorded_at, subject_id, t) VALUES (2, 'us_citizen', now(), subject(1), '[1,0]');
ALTER TABLE app.own OWNER TO facematch_ways_clerk;
ALTER TABLE app.own_1 OWNER TO facematch_ways_clerk;
ALTER TABLE app.own_2 OWNER TO facematch_ways_clerk;
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(1), 'inquiry', 'court');
CREATE TABLE app.other (LIKE app.own);
INSERT INTO app.other VALUES (150, 'us_citizen', now(), subject(1), '[1,0]', 'infinity');

CREATE TABLE way (n int GENERATED ALWAYS AS IDENTITY, statement text);
INSERT INTO way (statement) VALUES
	-- drop
	('DROP TABLE app.own'), ('DROP TABLE app.own_1'), ('DROP TABLE app.whole CASCADE'), ('DROP SCHEMA app CASCADE'), ('DROP OWNED BY facematch_ways_clerk CASCADE'),
	('DROP TYPE face_embedding CASCADE'), ('ALTER TABLE app.own DROP COLUMN t'), ('ALTER TABLE app.own DROP COLUMN id CASCADE'), ('ALTER TABLE app.whole DROP COLUMN subject_id'),
	('ALTER TABLE app.whole DROP COLUMN purge_after'), ('ALTER TABLE app.whole DROP COLUMN retention_class'), ('ALTER TABLE app.whole DROP COLUMN recorded_at'),
	-- detach, attach, inherit
	('ALTER TABLE app.own DETACH PARTITION app.own_1'), ('ALTER TABLE app.own ATTACH PARTITION app.other FOR VALUES FROM (100) TO (200)'),
	('CREATE TABLE app.heir () INHERITS (app.whole)'), ('ALTER TABLE app.other INHERIT app.whole'),
	-- rename, move
	('ALTER TABLE app.own RENAME TO renamed'), ('ALTER TABLE app.own_1 RENAME TO renamed'), ('ALTER SCHEMA app RENAME TO renamed'), ('ALTER TABLE app.own SET SCHEMA public'),
	('ALTER TABLE app.own RENAME t TO face'), ('ALTER TABLE app.own RENAME id TO number'), ('ALTER TABLE app.own RENAME subject_id TO person'),
	('ALTER TABLE app.own RENAME purge_after TO due'), ('ALTER TABLE app.own RENAME retention_class TO class'), ('ALTER TABLE app.own RENAME recorded_at TO at'),
	('ALTER TABLE app.own_1 SET TABLESPACE pg_default'),
	-- truncate, delete
	('TRUNCATE app.own'), ('TRUNCATE app.own_1'), ('TRUNCATE app.whole CASCADE'), ('DELETE FROM app.own'), ('DELETE FROM ONLY app.own_1'),
	('UPDATE app.own SET t = NULL'), ('UPDATE app.own SET id = id + 1'), ('UPDATE app.own SET subject_id = NULL'), ('UPDATE app.own SET id = id + 50'),
	-- rewrite
	('ALTER TABLE app.own ALTER t TYPE face_embedding'), ('ALTER TABLE app.own ALTER t TYPE text USING NULL'), ('ALTER TABLE app.whole ALTER t TYPE face_embedding(2) USING ''[0,1]'''),
	('ALTER TABLE app.whole ALTER id TYPE bigint USING id + 1'), ('ALTER TABLE app.whole ALTER purge_after TYPE timestamptz USING ''infinity'''),
	('ALTER TABLE app.whole ALTER purge_after TYPE date'), ('ALTER TABLE app.whole ALTER subject_id TYPE uuid USING NULL'),
	('ALTER TABLE app.whole ALTER subject_id TYPE text'), ('ALTER TABLE app.whole SET UNLOGGED'), ('ALTER TABLE app.whole SET ACCESS METHOD heap'),
	('ALTER TABLE app.whole ADD COLUMN more int DEFAULT random()'), ('CLUSTER app.own_1 USING own_1_id'),
	-- alter: what guards it
	('ALTER TABLE app.own DISABLE TRIGGER ALL'), ('ALTER TABLE app.own DISABLE TRIGGER facematch_20_guard'), ('ALTER TABLE app.own_1 DISABLE TRIGGER USER'),
	('ALTER TABLE app.own ENABLE REPLICA TRIGGER facematch_20_guard'), ('DROP TRIGGER facematch_20_guard ON app.own'), ('DROP TRIGGER facematch_20_guard ON app.whole'),
	('ALTER TRIGGER facematch_20_guard ON app.whole RENAME TO z'), ('ALTER TABLE app.whole DISABLE ROW LEVEL SECURITY'), ('DROP POLICY facematch_due ON app.whole'),
	('ALTER POLICY facematch_due ON app.whole USING (true)'), ('ALTER POLICY facematch_due ON app.whole RENAME TO p'), ('CREATE POLICY p ON app.whole USING (true)'),
	('CREATE RULE r AS ON DELETE TO app.whole DO INSTEAD NOTHING'), ('CREATE RULE r AS ON INSERT TO app.whole DO INSTEAD INSERT INTO app.other VALUES (NEW.*)'),
	('CREATE TRIGGER z_last BEFORE INSERT OR UPDATE ON app.whole FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()'),
	('ALTER TABLE app.whole ALTER purge_after DROP NOT NULL'), ('ALTER TABLE app.whole ALTER purge_after SET DEFAULT ''infinity'''), ('ALTER TABLE app.whole OWNER TO facematch_ways_clerk'),
	('ALTER TABLE app.whole REPLICA IDENTITY NOTHING'), ('SELECT facematch.release(''app.whole'')');

-- Rows of subject 1 with their template; whether a row that comes now is given a deadline; what the health check says that it did not before.
CREATE FUNCTION rows_held() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	SELECT string_agg(format('%s %s', k.table_name, k.rows), ', ' ORDER BY k.table_name) INTO found FROM facematch.held h, jsonb_each_text(h.keeps) k (table_name, rows);
	RETURN found;
END $$;
CREATE FUNCTION guarded() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	due timestamptz;
	t facematch_internal.retained;
	found text[] := '{}';
BEGIN
	FOR t IN SELECT r.* FROM facematch_internal.retained r JOIN pg_class c ON c.oid = r.table_name WHERE NOT r.shipped ORDER BY c.relname LOOP
		BEGIN
			EXECUTE format('INSERT INTO %s (%I, %I, %I, %I, purge_after) VALUES (5, ''us_citizen'', now(), %L, ''infinity'') RETURNING purge_after', t.table_name, t.key_column,
				t.class_column, t.recorded_column, t.subject_column, subject(3)) INTO due;
			found := found || CASE WHEN due < now() + interval '2 days' THEN 'yes' ELSE 'no' END;
		EXCEPTION WHEN OTHERS THEN
			found := found || SQLSTATE::text;
		END;
	END LOOP;
	RETURN array_to_string(found, ', ');
END $$;
CREATE FUNCTION says() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s: %s', h.severity, h.finding) FROM facematch.health_check() h WHERE h.severity IN ('error', 'warning') $$;
CREATE TABLE said AS SELECT says() AS it;
CREATE FUNCTION go(statement text, OUT becomes text, OUT held text, OUT guarded text, OUT health text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	becomes := 'passes';
	held := rows_held();
	guarded := guarded();
	health := (SELECT string_agg(s, '; ' ORDER BY s) FROM says() s WHERE s NOT IN (SELECT it FROM said));
	RAISE EXCEPTION USING ERRCODE = 'ZZ999';
EXCEPTION
	WHEN SQLSTATE 'ZZ999' THEN
		RETURN;
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS becomes = CONSTRAINT_NAME;
		becomes := 'refused: ' || coalesce(nullif(becomes, ''), SQLSTATE || ' ' || SQLERRM);
		held := NULL;
		guarded := NULL;
		health := NULL;
END $$;
SELECT rows_held(), guarded();
DELETE FROM app.own WHERE id = 5;
DELETE FROM app.whole WHERE id = 5;
\pset null '-'
\pset format unaligned
SELECT w.statement, g.* FROM way w, go(w.statement) g ORDER BY w.n;
SELECT rows_held(), (SELECT count(*) FROM app.own) AS own, (SELECT count(*) FROM app.whole) AS whole;
UPDATE facematch.hold SET released_at = clock_timestamp();
SELECT facematch.release('app.own'), facematch.release('app.whole');
DROP SCHEMA app CASCADE;
DROP OWNED BY facematch_ways_clerk;
DROP ROLE facematch_ways_clerk;
