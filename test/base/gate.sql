-- The same hostile table through every entry point: code of its owner's in each place that a table can have some, which listens, raises, says
-- that it was cancelled, sleeps, sleeps on when it is cancelled, or fills the lock table.  None of it runs with more rights than its owner's,
-- none of it keeps anything from taking force, and nothing waits for it longer than a table may take.
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET client_min_messages = error;
CREATE ROLE facematch_test_owner LOGIN;
CREATE ROLE facematch_test_reader;
CREATE SCHEMA own AUTHORIZATION facematch_test_owner;
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F1', 'flight', 'm', 0.35, now() + interval '2 hours');
INSERT INTO facematch.retention_class (name, description) VALUES ('guest', 'guests'), ('unused', 'nobody');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('guests', 'guest', 'sighting', '{recorded,gallery_anchor,exit}', '{10 days,5 days,1 day}', 'site rule', '-infinity'),
	('guests of a gate', 'guest', 'encounter', '{recorded}', '{10 days}', 'site rule', '-infinity');

SET ROLE facematch_test_owner;
CREATE TABLE own.mode (what text);
INSERT INTO own.mode VALUES ('off');
-- Sequences remember what is rolled back.
CREATE SEQUENCE own.heard;
CREATE SEQUENCE own.heard_as_superuser;
CREATE FUNCTION own.act() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	how text := (SELECT what FROM own.mode);
BEGIN
	IF how = 'off' THEN
		RETURN;
	END IF;
	PERFORM nextval('own.heard');
	IF (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN
		PERFORM nextval('own.heard_as_superuser');
		ALTER ROLE facematch_test_owner SUPERUSER;
	END IF;
	PERFORM set_config('search_path', 'own', false), set_config('facematch.on_opt_out', 'skip', false);
	IF how = 'raise' THEN
		RAISE 'not mine';
	ELSIF how = 'cancelled' THEN
		RAISE query_canceled;
	ELSIF how = 'sleep' THEN
		PERFORM pg_sleep(1000000);
	ELSIF how = 'sleep on' THEN
		BEGIN
			PERFORM pg_sleep(1000000);
		EXCEPTION WHEN query_canceled THEN
			PERFORM pg_sleep(1000000);
		END;
	ELSIF how = 'lock' THEN
		PERFORM pg_advisory_lock(n) FROM generate_series(1, 1000000) n;
	ELSIF how = 'lock here' THEN
		PERFORM pg_advisory_xact_lock(n) FROM generate_series(1, 4000) n;
	ELSIF how = 'constraints' THEN
		SET CONSTRAINTS ALL IMMEDIATE;
	END IF;
END $$;
CREATE FUNCTION own.n(n bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM own.act(); RETURN n; END $$;
-- One that PostgreSQL would put in place of the call.
CREATE FUNCTION own.inlined(n bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT own.n(n) $$;
CREATE FUNCTION own.fired() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM own.act(); RETURN coalesce(NEW, OLD); END $$;
CREATE DOMAIN own.number AS bigint CHECK (own.n(VALUE) >= 0);
CREATE TYPE own.moment AS (at timestamptz);
CREATE FUNCTION own.as_moment(own.moment) RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM own.act(); RETURN $1.at; END $$;
CREATE CAST (own.moment AS timestamptz) WITH FUNCTION own.as_moment AS IMPLICIT;
CREATE TABLE own.plain (id bigint, retention_class text, recorded_at timestamptz, subject_id uuid, gallery_id bigint, e face_embedding(2));

-- Where a table can have code: what makes the place, %1$s being the table.
CREATE TABLE own.place (name text, made text, after text);
INSERT INTO own.place VALUES
	('plain', 'CREATE TABLE %1$s (LIKE own.plain)', NULL),
	('a check', 'CREATE TABLE %1$s (LIKE own.plain, CHECK (own.n(1) > 0), CHECK (own.inlined(id) >= 0))', NULL),
	('a default', 'CREATE TABLE %1$s (LIKE own.plain, n bigint DEFAULT own.n(1))', NULL),
	('a generated column', 'CREATE TABLE %1$s (LIKE own.plain, n bigint GENERATED ALWAYS AS (own.n(id)) STORED)', NULL),
	('a partition key', 'CREATE TABLE %1$s (LIKE own.plain) PARTITION BY RANGE ((id + own.n(0))); CREATE TABLE %2$s PARTITION OF %1$s FOR VALUES FROM (0) TO (1000)', NULL),
	('a partition', 'CREATE TABLE %1$s (LIKE own.plain) PARTITION BY LIST (id); CREATE TABLE %2$s PARTITION OF %1$s DEFAULT;'
		'CREATE TRIGGER a BEFORE UPDATE OR DELETE ON %2$s FOR EACH ROW EXECUTE FUNCTION own.fired()', NULL),
	('a superuser''s partition', 'CREATE TABLE %1$s (LIKE own.plain) PARTITION BY LIST (id); CREATE TABLE %2$s PARTITION OF %1$s DEFAULT;'
		'CREATE TRIGGER a BEFORE UPDATE OR DELETE ON %1$s FOR EACH ROW EXECUTE FUNCTION own.fired()', NULL),
	('a trigger before rows', 'CREATE TABLE %1$s (LIKE own.plain); CREATE TRIGGER a BEFORE UPDATE OR DELETE ON %1$s FOR EACH ROW EXECUTE FUNCTION own.fired()', NULL),
	('a trigger after rows', 'CREATE TABLE %1$s (LIKE own.plain); CREATE TRIGGER a AFTER UPDATE OR DELETE ON %1$s FOR EACH ROW EXECUTE FUNCTION own.fired()', NULL),
	('a trigger before statements', 'CREATE TABLE %1$s (LIKE own.plain); CREATE TRIGGER a BEFORE UPDATE OR DELETE ON %1$s EXECUTE FUNCTION own.fired()', NULL),
	('a trigger after statements', 'CREATE TABLE %1$s (LIKE own.plain); CREATE TRIGGER a AFTER UPDATE OR DELETE ON %1$s EXECUTE FUNCTION own.fired()', NULL),
	('a condition of a trigger', 'CREATE TABLE %1$s (LIKE own.plain); CREATE TRIGGER a BEFORE UPDATE ON %1$s FOR EACH ROW WHEN (own.n(OLD.id) < 0) EXECUTE FUNCTION own.fired()', NULL),
	('a rule', 'CREATE TABLE %1$s (LIKE own.plain)', 'CREATE RULE r AS ON UPDATE TO %1$s DO ALSO SELECT own.n(1)'),
	('row security', 'CREATE TABLE %1$s (LIKE own.plain); ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;'
		'CREATE POLICY p ON %1$s USING (own.n(id) >= 0)', NULL),
	('an index expression', 'CREATE TABLE %1$s (LIKE own.plain); CREATE INDEX ON %1$s (own.n(id))', NULL),
	('an index condition', 'CREATE TABLE %1$s (LIKE own.plain); CREATE INDEX ON %1$s (id) WHERE own.n(id) >= 0 AND own.n(1) > 0', NULL),
	('statistics', 'CREATE TABLE %1$s (LIKE own.plain); CREATE STATISTICS %2$s ON (own.n(id)), (own.n(1)) FROM %1$s', NULL),
	('a domain', 'CREATE TABLE %1$s (LIKE own.plain, n own.number DEFAULT 1)', NULL),
	('a cascade', 'CREATE TABLE %1$s (LIKE own.plain, PRIMARY KEY (id)); CREATE TABLE %2$s (id bigint REFERENCES %1$s ON DELETE CASCADE);'
		'CREATE TRIGGER a BEFORE DELETE ON %2$s FOR EACH ROW EXECUTE FUNCTION own.fired()', NULL),
	('a cast', 'CREATE TABLE %1$s (LIKE own.plain)', 'DROP TRIGGER facematch_20_guard ON %1$s; DROP POLICY facematch_due ON %1$s; DROP INDEX %3$s;'
		'ALTER TABLE %1$s ALTER purge_after TYPE own.moment USING ROW(purge_after)::own.moment'),
	('a key of another type', 'CREATE TABLE %1$s (LIKE own.plain)', 'ALTER TABLE %1$s ALTER id TYPE own.number');
CREATE TABLE own.hostile (place text, name text, after text);
INSERT INTO own.hostile SELECT p.name, 'own.t' || row_number() OVER (), format(p.after, 'own.t' || row_number() OVER (), NULL, 'own.t' || row_number() OVER () || '_purge_after_idx')
FROM own.place p;
\set ECHO none
SELECT format(p.made, h.name, h.name || '_of') FROM own.place p JOIN own.hostile h ON h.place = p.name \gexec
SELECT format('INSERT INTO %s (id, retention_class, recorded_at, subject_id, gallery_id) SELECT n, ''guest'', now(), md5(n::text)::uuid, %s FROM generate_series(1, 5) n',
			  h.name, 1) FROM own.hostile h \gexec
SELECT format('UPDATE %s SET subject_id = lpad(id::text, 32, ''0'')::uuid, e = ''[1,0]''', h.name) FROM own.hostile h \gexec
SELECT format('INSERT INTO %s SELECT n FROM generate_series(1, 5) n', name || '_of') FROM own.hostile WHERE place = 'a cascade' \gexec
\set ECHO all
RESET ROLE;
-- A partition that is somewhere else, an event trigger that calls the owner's function.
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
SELECT format('CREATE FOREIGN TABLE own.elsewhere PARTITION OF %s FOR VALUES IN (77) SERVER nowhere', name) FROM own.hostile WHERE place = 'a partition' \gexec
ALTER FOREIGN TABLE own.elsewhere OWNER TO facematch_test_owner;
-- A superuser's partition of somebody's table fires and folds what is the table's: as the table's owner.
\set ECHO none
SELECT format('ALTER TABLE %s OWNER TO %I', h.name || '_of', session_user) FROM own.hostile h WHERE h.place IN ('a partition key', 'a superuser''s partition') \gexec
\set ECHO all
CREATE FUNCTION own.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM own.act(); END $$;
ALTER FUNCTION own.on_ddl() OWNER TO facematch_test_owner;
CREATE EVENT TRIGGER own_ddl ON ddl_command_end EXECUTE FUNCTION own.on_ddl();
GRANT USAGE ON SCHEMA own TO facematch_test_reader;
\set ECHO none
SELECT format('GRANT SELECT ON %s TO facematch_test_reader', name) FROM own.hostile \gexec
\set ECHO all
GRANT SELECT ON own.hostile TO facematch_test_reader;

-- What whoever searches sees of the tables; code of theirs that is in the way of reading shows nothing.
CREATE FUNCTION seen(condition text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	sum bigint := 0;
	n bigint;
	h own.hostile;
BEGIN
	-- Of one table its owner has dropped the row security.
	FOR h IN SELECT * FROM own.hostile o WHERE o.place <> 'a cast' LOOP
		EXECUTE format('SELECT count(*) FROM %s WHERE %s', h.name, condition) INTO n;
		sum := sum + n;
	END LOOP;
	RETURN sum;
END $$;
CREATE FUNCTION said() RETURNS TABLE (heard boolean, as_superuser boolean, is_superuser boolean, path text, locks bigint) LANGUAGE sql AS $$
	SELECT (SELECT is_called FROM own.heard), (SELECT is_called FROM own.heard_as_superuser),
		   (SELECT rolsuper FROM pg_roles WHERE rolname = 'facematch_test_owner'), current_setting('search_path'),
		   (SELECT count(*) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid()) $$;

---------------------------------------------------------------- attached

UPDATE own.mode SET what = 'listen';
SELECT count(facematch.retain(name::regclass, 'sighting', gallery_column => 'gallery_id')) FROM own.hostile WHERE place <> 'a partition';
SELECT * FROM said();
-- A foreign partition takes no row's deadline: the table cannot be attached with it.
SELECT facematch.retain(name::regclass, 'sighting', gallery_column => 'gallery_id') FROM own.hostile WHERE place = 'a partition';
UPDATE own.mode SET what = 'off';
DROP FOREIGN TABLE own.elsewhere;
UPDATE own.mode SET what = 'listen';
SELECT count(facematch.retain(name::regclass, 'sighting', gallery_column => 'gallery_id')) FROM own.hostile WHERE place = 'a partition';
UPDATE own.mode SET what = 'off';
SET ROLE facematch_test_owner;
\set ECHO none
SELECT unnest(string_to_array(after, ';')) FROM own.hostile WHERE after IS NOT NULL \gexec
\set ECHO all
RESET ROLE;
GRANT ALL ON own.mode TO PUBLIC;
SET ROLE facematch_test_reader;
SELECT seen('true') AS rows_to_begin_with;
RESET ROLE;

---------------------------------------------------------------- what takes force at once

SET facematch.table_timeout = '50ms';
SET facematch.purge_table_timeout = '300ms';
SET statement_timeout = '60s';
CREATE TABLE manner (n int, name text);
INSERT INTO manner VALUES (1, 'listen'), (2, 'raise'), (3, 'cancelled'), (4, 'sleep'), (5, 'sleep on'), (6, 'lock'), (7, 'lock here'), (8, 'constraints');
CREATE TABLE entry (n int, name text, done text, effect text, gone text);
INSERT INTO entry VALUES
	(1, 'an opt-out', 'INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1))', 'SELECT facematch.is_opted_out(subject(1))', 'subject_id = subject(1)'),
	(2, 'a new rule', 'INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES (''shorter'', ''guest'', ''sighting'', ''{recorded}'', ''{0}'', ''law'')',
	 'SELECT EXISTS (SELECT FROM facematch.retention_rule WHERE name = ''shorter'')', 'retention_class = ''guest'''),
	(3, 'the closing of a flight', 'UPDATE facematch.gallery SET anchor_at = now() - interval ''6 days'', closed_at = now() WHERE name = ''F1''',
	 'SELECT closed_at IS NOT NULL FROM facematch.gallery WHERE name = ''F1''', 'gallery_id = 1'),
	(4, 'an exit', 'INSERT INTO facematch.anchor_event (subject_id, event, occurred_at) VALUES (subject(2), ''exit'', now() - interval ''2 days'')',
	 'SELECT EXISTS (SELECT FROM facematch.anchor_event WHERE subject_id = subject(2))', 'subject_id = subject(2)'),
	(5, 'a hold', 'INSERT INTO facematch.hold (table_name, row_id, reason, authority) SELECT name::regclass, ''3'', ''inquiry'', ''court'' FROM own.hostile',
	 'SELECT count(*) = (SELECT count(*) FROM own.hostile) FROM facematch.held', 'false');
\set ECHO none
\pset tuples_only on
SELECT 'BEGIN', format('UPDATE own.mode SET what = %L', m.name), e.done, 'UPDATE own.mode SET what = ''off''',
	   format('CREATE TEMP TABLE force ON COMMIT DROP AS SELECT (%s) AS taken', e.effect), 'GRANT SELECT ON force TO facematch_test_reader',
	   'SET LOCAL ROLE facematch_test_reader', format('SELECT %L, %L, taken, seen(%L) AS still_seen FROM force', m.name, e.name, e.gone), 'ROLLBACK'
FROM manner m CROSS JOIN entry e ORDER BY m.n, e.n \gexec
\pset tuples_only off
\set ECHO all
SELECT * FROM said();
-- What the caller has deferred waits for the commit, and fires as the caller.
CREATE TABLE callers (n int);
CREATE TABLE callers_fired (who name);
GRANT INSERT ON callers_fired TO facematch_test_owner;
CREATE FUNCTION callers_fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.callers_fired VALUES (current_user); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON callers DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION callers_fire();
BEGIN;
UPDATE own.mode SET what = 'constraints';
INSERT INTO callers VALUES (1);
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1));
SELECT count(*) AS fired_too_early FROM callers_fired;
INSERT INTO callers VALUES (2);
SELECT count(*) AS fired_at_once FROM callers_fired;
SET CONSTRAINTS later IMMEDIATE;
SELECT count(*), bool_and(who = current_user) AS as_the_caller FROM callers_fired;
ROLLBACK;
DROP TABLE callers, callers_fired;

---------------------------------------------------------------- what looks

-- A row each: what was asked, and whether it was answered; what cannot be looked at is told, and is no error.
\set ECHO none
SELECT format('UPDATE own.mode SET what = %L', m.name),
	   format('SELECT %L AS code_of_the_tables, (SELECT count(*) > 0 FROM facematch.health_check()) AS health_check, (SELECT count(*) > 0 FROM facematch.purge_lag()) AS purge_lag,'
			  ' (SELECT count(*) > 0 FROM facematch.report_retention) AS report, (SELECT count(*) >= 0 FROM facematch_internal.count_retained() WHERE due_on IS NOT NULL) AS due_soon,'
			  ' (SELECT count(*) > 0 FROM own.hostile h CROSS JOIN LATERAL facematch.verify_erased(h.name::regclass)) AS verified,'
			  ' (SELECT count(*) > 0 FROM own.hostile h CROSS JOIN LATERAL facematch.erase(h.name::regclass)) AS erased', m.name)
FROM manner m ORDER BY m.n \gexec
\set ECHO all
-- One row of one table is its owner's affair: an error that ends.
UPDATE own.mode SET what = 'sleep';
SELECT count(*) FROM own.hostile h CROSS JOIN LATERAL facematch.explain_retention(h.name::regclass, 3) WHERE h.place NOT IN ('a cast', 'row security');
SELECT count(*) FROM own.hostile h CROSS JOIN LATERAL facematch.explain_retention(h.name::regclass, 3) WHERE h.place = 'a cast';
UPDATE own.mode SET what = 'listen';
DELETE FROM facematch.retention_class WHERE name = 'unused';
SELECT * FROM said();

---------------------------------------------------------------- the purge

-- An opt-out that could not reach all tables, and rows that are due; the extension's own go in any case.
UPDATE own.mode SET what = 'off';
CREATE TABLE after_all (LIKE own.plain);
SELECT facematch.retain('after_all', 'sighting');
INSERT INTO after_all (id, retention_class, recorded_at, e) VALUES (1, 'guest', now() - interval '1 year', '[1,0]');
UPDATE own.mode SET what = 'raise';
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1));
INSERT INTO facematch.anchor_event (subject_id, event, occurred_at) VALUES (subject(2), 'exit', now() - interval '2 days');
SELECT count(DISTINCT u.relation) > 5 AS tables_not_reached FROM facematch_internal.unreached u;
SELECT found > 5 AS told FROM facematch.health_check() WHERE finding ~ 'have not been applied';
\set ECHO none
\set VERBOSITY sqlstate
SELECT format('UPDATE own.mode SET what = %L', m.name), 'CALL facematch.purge()', format('SELECT %L AS code_of_the_tables, count(*) AS left_elsewhere FROM after_all', m.name),
	   'INSERT INTO after_all (id, retention_class, recorded_at, e) VALUES (1, ''guest'', now() - interval ''1 year'', ''[1,0]'')'
FROM manner m WHERE m.name <> 'listen' ORDER BY m.n \gexec
\set ECHO all
\set VERBOSITY terse
-- What lets go is reached: the cast's table has lost its guard, the key's type is another than it was.
UPDATE own.mode SET what = 'listen';
RESET facematch.table_timeout;
RESET facematch.purge_table_timeout;
CALL facematch.purge();
SELECT h.place, count(*) FROM facematch_internal.unreached u JOIN own.hostile h ON h.name::regclass = u.relation GROUP BY 1 ORDER BY 1;
UPDATE own.mode SET what = 'off';
SET ROLE facematch_test_reader;
SELECT seen('subject_id = subject(1)') AS declined, seen('subject_id = subject(2)') AS left_the_country;
RESET ROLE;
SELECT * FROM said();

---------------------------------------------------------------- what foreign keys lead to

-- Another's table behind the key of a superuser's, and of somebody else's.
CREATE ROLE facematch_test_other;
CREATE SCHEMA other AUTHORIZATION facematch_test_other;
GRANT USAGE ON SCHEMA other TO facematch_test_owner;
SET ROLE facematch_test_owner;
GRANT USAGE ON SCHEMA own TO facematch_test_other;
GRANT SELECT ON own.plain TO facematch_test_other;
RESET ROLE;
CREATE TABLE referred (LIKE own.plain, PRIMARY KEY (id));
SET ROLE facematch_test_other;
CREATE TABLE other.referred (LIKE own.plain, PRIMARY KEY (id));
GRANT REFERENCES ON other.referred TO facematch_test_owner;
RESET ROLE;
GRANT REFERENCES ON referred TO facematch_test_owner;
SELECT facematch.retain('referred', 'sighting'), facematch.retain('other.referred', 'sighting');
INSERT INTO referred SELECT n, 'guest', now(), subject(100 + n), 1, '[1,0]' FROM generate_series(1, 5) n;
INSERT INTO other.referred TABLE referred;
SET ROLE facematch_test_owner;
CREATE TABLE own.refers (id bigint REFERENCES referred ON DELETE CASCADE, n bigint DEFAULT own.n(1), CHECK (own.n(id) > 0));
CREATE TABLE own.refers_to_other (id bigint REFERENCES other.referred ON DELETE SET NULL, CHECK (own.inlined(id) > 0));
INSERT INTO own.refers SELECT n FROM generate_series(1, 5) n;
INSERT INTO own.refers_to_other SELECT n FROM generate_series(1, 5) n;
CREATE TABLE own.later (n int);
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON own.later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION own.fired();
CREATE FUNCTION own.leave() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO own.later VALUES (1); RETURN OLD; END $$;
RESET ROLE;
CREATE FUNCTION left_of(n int) RETURNS TABLE (of_superuser bigint, of_other bigint) LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM referred WHERE subject_id = subject(n)), (SELECT count(*) FROM other.referred WHERE subject_id = subject(n)) $$;
CREATE VIEW not_fired AS SELECT object, finding, remedy FROM facematch.health_check() WHERE finding ~ '^foreign keys lead|several roles' ORDER BY 1, 2;
-- Before rows, checks and defaults: as its owner.
SET ROLE facematch_test_owner;
CREATE TRIGGER a BEFORE DELETE ON own.refers FOR EACH ROW EXECUTE FUNCTION own.fired();
CREATE TRIGGER a BEFORE UPDATE ON own.refers_to_other FOR EACH ROW EXECUTE FUNCTION own.fired();
RESET ROLE;
UPDATE own.mode SET what = 'listen';
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(101));
UPDATE own.mode SET what = 'off';
SELECT * FROM left_of(101);
SELECT * FROM said();
SELECT * FROM not_fired;
-- Of a superuser's table, too, the code behind its keys takes no lock that outlives what is rolled back.
BEGIN;
UPDATE own.mode SET what = 'lock';
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(102));
ROLLBACK;
SELECT * FROM said();
-- Nothing is left to the commit there, where it would run as who commits.
SET ROLE facematch_test_owner;
CREATE TRIGGER b BEFORE DELETE ON own.refers FOR EACH ROW EXECUTE FUNCTION own.leave();
RESET ROLE;
SET client_min_messages = warning;
UPDATE own.mode SET what = 'listen';
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(102));
UPDATE own.mode SET what = 'off';
SET client_min_messages = error;
SELECT * FROM left_of(102);
DROP TRIGGER b ON own.refers;
-- After rows, and after statements: refused.
SET ROLE facematch_test_owner;
CREATE TRIGGER c AFTER DELETE ON own.refers FOR EACH ROW EXECUTE FUNCTION own.fired();
CREATE TRIGGER c AFTER UPDATE ON own.refers_to_other EXECUTE FUNCTION own.fired();
RESET ROLE;
SET client_min_messages = warning;
UPDATE own.mode SET what = 'listen';
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(103));
UPDATE own.mode SET what = 'off';
SET client_min_messages = error;
SELECT * FROM left_of(103);
SELECT * FROM not_fired;
SELECT facematch.release('referred');
SELECT facematch.retain('referred', 'sighting');
SELECT * FROM said();
DROP TRIGGER c ON own.refers;
-- A rule leads to more of them.
CREATE RULE d AS ON DELETE TO own.refers DO ALSO DELETE FROM own.later;
SELECT facematch.retain('referred', 'sighting');
DROP RULE d ON own.refers;
SELECT facematch.retain('referred', 'sighting');
DROP TRIGGER c ON own.refers_to_other;
UPDATE own.mode SET what = 'listen';
CALL facematch.purge();
UPDATE own.mode SET what = 'off';
SELECT * FROM left_of(103);
SELECT * FROM not_fired;
SELECT facematch.release('referred'), facematch.release('other.referred');
-- Behind the extension's own tables: those that a deletion leads to say nothing of an update.
GRANT USAGE ON SCHEMA facematch TO facematch_test_owner;
GRANT REFERENCES ON facematch.reference, facematch.encounter TO facematch_test_owner;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(110), 'us_citizen', '[1,0]', 's' FROM facematch.gallery WHERE name = 'F1';
INSERT INTO facematch.encounter (gallery_id, gallery, port, outcome, threshold, model, retention_class, subject_id, probe)
SELECT gallery_id, name, 'JFK', 'no_match', 0.9, 'm', 'unmatched', subject(111), '[1,0]' FROM facematch.gallery WHERE name = 'F1';
SET ROLE facematch_test_owner;
CREATE TABLE own.of_encounter (id bigint REFERENCES facematch.encounter ON DELETE CASCADE);
CREATE TRIGGER c AFTER DELETE ON own.of_encounter FOR EACH ROW EXECUTE FUNCTION own.fired();
CREATE TABLE own.of_reference (id bigint REFERENCES facematch.reference ON DELETE CASCADE);
CREATE TRIGGER c AFTER DELETE ON own.of_reference FOR EACH ROW EXECUTE FUNCTION own.fired();
RESET ROLE;
SELECT * FROM not_fired;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(111));
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(110));
SELECT facematch.is_opted_out(subject(110)), count(*) AS left FROM facematch.reference WHERE subject_id = subject(110);
DROP TABLE own.of_encounter, own.of_reference;
CALL facematch.purge();
SELECT count(*) FROM not_fired;
SELECT count(e.probe), (SELECT count(*) FROM facematch.reference WHERE subject_id = subject(110)) AS refs
FROM facematch.encounter e WHERE e.subject_id = subject(111);
SELECT * FROM said();

-- Partitions of two roles: what one of them has made would run as the other.
CREATE TABLE tree (LIKE own.plain) PARTITION BY LIST (id);
GRANT ALL ON tree TO facematch_test_owner, facematch_test_other;
SET ROLE facematch_test_other;
CREATE TABLE other.part (LIKE own.plain);
RESET ROLE;
SET ROLE facematch_test_owner;
CREATE TABLE own.part (LIKE own.plain);
CREATE TABLE own.part_ran (who name);
GRANT ALL ON own.part_ran TO PUBLIC;
CREATE FUNCTION own.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO own.part_ran VALUES (current_user); RETURN coalesce(NEW, OLD); END $$;
CREATE TRIGGER a BEFORE UPDATE OR DELETE ON own.part FOR EACH ROW EXECUTE FUNCTION own.note();
RESET ROLE;
ALTER TABLE tree ATTACH PARTITION other.part FOR VALUES IN (1);
ALTER TABLE tree ATTACH PARTITION own.part FOR VALUES IN (2);
SELECT facematch.retain('tree', 'sighting');
ALTER TABLE tree DETACH PARTITION own.part;
SELECT facematch.retain('tree', 'sighting');
ALTER TABLE own.part ADD purge_after timestamptz NOT NULL DEFAULT now() + interval '1 day';
INSERT INTO own.part SELECT 2, 'guest', now(), subject(104), 1, '[1,0]';
ALTER TABLE tree ATTACH PARTITION own.part FOR VALUES IN (2);
TRUNCATE own.part_ran;
SET client_min_messages = warning;
UPDATE own.mode SET what = 'listen';
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(104));
UPDATE own.mode SET what = 'off';
SET client_min_messages = error;
SELECT * FROM not_fired;
-- What is due goes from each partition as its owner.
INSERT INTO tree (id, retention_class, recorded_at, e) VALUES (2, 'guest', now() - interval '1 year', '[1,0]');
CALL facematch.purge();
SELECT subject_id = subject(104) AS to_be_reached FROM tree;
SELECT DISTINCT who FROM own.part_ran;
BEGIN;
SELECT facematch.release('tree');
DROP TABLE tree;
ROLLBACK;
ALTER TABLE other.part OWNER TO facematch_test_owner;
SELECT count(*) FROM not_fired;
INSERT INTO tree (id, retention_class, recorded_at, subject_id, e) VALUES (2, 'guest', now(), subject(105), '[1,0]');
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(105));
SELECT count(*) FROM tree WHERE subject_id = subject(105);
SELECT DISTINCT who FROM own.part_ran;
SELECT facematch.release('tree');
DROP TABLE tree;
SELECT * FROM said();
-- An ordinary role's table with a partition of another's: what calls no function of theirs reaches its rows.
SET ROLE facematch_test_owner;
CREATE TABLE own.tree (LIKE own.plain) PARTITION BY LIST (id);
CREATE TABLE own.tree_1 PARTITION OF own.tree FOR VALUES IN (1);
CREATE TABLE own.tree_2 PARTITION OF own.tree FOR VALUES IN (2);
RESET ROLE;
SELECT facematch.retain('own.tree', 'sighting');
ALTER TABLE own.tree_2 OWNER TO facematch_test_other;
INSERT INTO own.tree SELECT p, 'guest', now(), subject(n), 1, '[1,0]' FROM generate_series(1, 2) p, generate_series(106, 107) n;
INSERT INTO own.tree (id, retention_class, recorded_at, e) SELECT p, 'guest', now() - interval '1 year', '[1,0]' FROM generate_series(1, 2) p;
SET client_min_messages = warning;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(106));
SET client_min_messages = error;
CALL facematch.purge();
SELECT id, count(*), bool_and(subject_id = subject(107)) AS of_107 FROM own.tree GROUP BY id ORDER BY id;
SELECT rule, count(*) FROM facematch.explain_retention('own.tree', 2) GROUP BY rule;
-- One that a partition has would run as the table's owner as soon as a statement is planned.
SET ROLE facematch_test_other;
CREATE SEQUENCE other.ran;
GRANT ALL ON SEQUENCE other.ran TO PUBLIC;
GRANT USAGE ON SCHEMA other TO PUBLIC;
CREATE FUNCTION other.n(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM nextval('other.ran'); RETURN n; END $$;
CREATE FUNCTION other.inlined(n int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT other.n(n) $$;
ALTER TABLE own.tree_2 ADD CONSTRAINT c CHECK (other.inlined(1) > 0);
ALTER SEQUENCE other.ran RESTART;
RESET ROLE;
SET client_min_messages = warning;
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(107));
SET client_min_messages = error;
SELECT rule FROM facematch.explain_retention('own.tree', 2);
SELECT is_called AS ran FROM other.ran;
SELECT id, count(*) FROM own.tree GROUP BY id ORDER BY id;
ALTER SEQUENCE other.ran RESTART;
-- It can go, and be released.
BEGIN;
ALTER TABLE own.tree DETACH PARTITION own.tree_2;
SELECT detail ->> 'rows' AS rows FROM facematch.audit_event WHERE action = 'partition_detached' ORDER BY event_id DESC LIMIT 1;
ROLLBACK;
BEGIN;
DROP TABLE own.tree_2;
ROLLBACK;
SELECT facematch.release('own.tree');
SELECT is_called AS ran FROM other.ran;
DROP TABLE own.tree;
SELECT * FROM said();

---------------------------------------------------------------- what does not end

-- Code that catches every cancel ends its session, once, and none of it runs after that; somebody else's purge goes on.
CREATE EXTENSION dblink;
SET ROLE facematch_test_owner;
CREATE TABLE own.endless (LIKE own.plain);
CREATE FUNCTION own.endless() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		BEGIN
			PERFORM pg_sleep(1000000);
		EXCEPTION WHEN query_canceled THEN
			PERFORM 1;
		END;
	END LOOP;
END $$;
CREATE TRIGGER a BEFORE DELETE ON own.endless FOR EACH ROW EXECUTE FUNCTION own.endless();
RESET ROLE;
SELECT facematch.retain('own.endless', 'sighting');
INSERT INTO own.endless (id, retention_class, recorded_at, e) VALUES (1, 'guest', now() - interval '1 year', '[1,0]');
CREATE FUNCTION other(time_of_table text) RETURNS text LANGUAGE sql AS $$
	SELECT format('host=%s port=%s user=%s dbname=%L options=''-c facematch.purge_table_timeout=%s -c client_min_messages=error''',
				  (SELECT split_part(setting, ',', 1) FROM pg_settings WHERE name = 'unix_socket_directories'), current_setting('port'), session_user, current_database(),
				  time_of_table) $$;
CREATE FUNCTION elsewhere(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	-- Enough for a slow machine to be in the trigger by then.
	PERFORM dblink_exec(other('2s'), statement);
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN 'ended: ' || split_part(SQLERRM, chr(10), 1);
END $$;
SELECT elsewhere('CALL facematch.purge()') ~ 'code of own.endless has taken longer than it may and cannot be stopped' AS ended;
SELECT q.relation::regclass FROM facematch_internal.quarantined q;
DELETE FROM after_all;
INSERT INTO after_all (id, retention_class, recorded_at, e) VALUES (1, 'guest', now() - interval '1 year', '[1,0]');
SELECT elsewhere('CALL facematch.purge()') ~ 'could not be purged:.*own.endless' AS told;
SELECT count(*) AS left_elsewhere FROM after_all;
SELECT severity, finding FROM facematch.health_check() WHERE object = 'own.endless' AND finding ~ 'stopped' ORDER BY finding;
SELECT facematch.release('own.endless');
SELECT count(*) FROM facematch_internal.quarantined;
-- Once for a table with all its partitions.
SET ROLE facematch_test_owner;
CREATE TABLE own.endless_parts (LIKE own.plain) PARTITION BY LIST (id);
CREATE TABLE own.endless_1 PARTITION OF own.endless_parts FOR VALUES IN (1);
CREATE TABLE own.endless_2 PARTITION OF own.endless_parts FOR VALUES IN (2);
CREATE TRIGGER a BEFORE DELETE ON own.endless_parts FOR EACH ROW EXECUTE FUNCTION own.endless();
RESET ROLE;
SELECT facematch.retain('own.endless_parts', 'sighting');
INSERT INTO own.endless_parts (id, retention_class, recorded_at, e) SELECT n, 'guest', now() - interval '1 year', '[1,0]' FROM generate_series(1, 2) n;
SELECT elsewhere('CALL facematch.purge()') ~ 'cannot be stopped' AS ended;
SELECT elsewhere('CALL facematch.purge()') ~ 'could not be purged:.*own.endless' AS told;
SELECT q.relation::regclass FROM facematch_internal.quarantined q;
SELECT facematch.release('own.endless_parts');
SELECT count(*) FROM facematch_internal.quarantined;

-- A caller's cancel ends all, whether the limit's has come before or a trigger catches both.
SET ROLE facematch_test_owner;
CREATE TABLE own.catches (LIKE own.plain);
CREATE FUNCTION own.catch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN 1..40 LOOP
		BEGIN
			PERFORM pg_sleep(1000000);
		EXCEPTION WHEN query_canceled THEN
			PERFORM 1;
		END;
	END LOOP;
	RETURN OLD;
END $$;
CREATE TRIGGER a BEFORE DELETE ON own.catches FOR EACH ROW EXECUTE FUNCTION own.catch();
RESET ROLE;
SELECT facematch.retain('own.catches', 'sighting');
INSERT INTO own.catches (id, retention_class, recorded_at, e) VALUES (1, 'guest', now() - interval '1 year', '[1,0]');
SELECT dblink_connect('other', other('300ms'));
SELECT pid AS other FROM dblink('other', 'SELECT pg_backend_pid()') d (pid int) \gset
SELECT dblink_send_query('other', 'CALL facematch.purge()');
SELECT pg_sleep(0.7) FROM pg_sleep(0) WHERE pg_sleep(0.7) IS NOT NULL AND pg_cancel_backend(:other);
SELECT * FROM dblink_get_result('other') d (nothing text);
SELECT dblink_disconnect('other');
SELECT facematch.release('own.catches');

-- The time of a table is that of all its partitions.
SET ROLE facematch_test_owner;
CREATE TABLE own.parts (LIKE own.plain) PARTITION BY LIST (id);
\set ECHO none
SELECT format('CREATE TABLE own.part_%s PARTITION OF own.parts FOR VALUES IN (%s)', n, n) FROM generate_series(1, 10) n \gexec
\set ECHO all
CREATE FUNCTION own.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1000000); RETURN OLD; END $$;
RESET ROLE;
SELECT facematch.retain('own.parts', 'sighting');
INSERT INTO own.parts (id, retention_class, recorded_at, e) SELECT n, 'guest', now() - interval '1 year', '[1,0]' FROM generate_series(1, 10) n;
CREATE TRIGGER a BEFORE DELETE ON own.parts FOR EACH ROW EXECUTE FUNCTION own.wait();
SET facematch.purge_table_timeout = '1s';
SELECT clock_timestamp() AS begun \gset
\set VERBOSITY sqlstate
CALL facematch.purge();
\set VERBOSITY terse
SELECT clock_timestamp() - :'begun' < interval '5 s' AS in_time_of_one;
SELECT facematch.release('own.parts');

---------------------------------------------------------------- and detached

\set ECHO none
SET facematch.table_timeout = '50ms';
SELECT format('UPDATE own.mode SET what = %L', m.name), 'CALL facematch.erase_table(''' || h.name || ''')'
FROM manner m CROSS JOIN own.hostile h ORDER BY m.n, h.name \gexec
\set ECHO all
UPDATE own.mode SET what = 'raise';
SELECT facematch.release(name::regclass) FROM own.hostile WHERE place = 'a partition key';
UPDATE own.mode SET what = 'listen';
SELECT count(facematch.release(name::regclass)) FROM own.hostile;
SELECT * FROM said();
UPDATE own.mode SET what = 'off';
DROP EVENT TRIGGER own_ddl;
DROP SCHEMA own CASCADE;
CALL facematch.purge();
SELECT count(*) FROM facematch_internal.unreached u JOIN pg_class c ON c.oid = u.relation;
DROP TABLE referred, other.referred CASCADE;
DROP SCHEMA other CASCADE;
DROP OWNED BY facematch_test_owner, facematch_test_reader, facematch_test_other;
DROP ROLE facematch_test_owner, facematch_test_reader, facematch_test_other;
