-- Every way in which a row under retention is deleted: one receipt of the table and class says how many and why, names the person
-- to who can, and is in the log; what was not deleted has none.
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET client_min_messages = error;
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
	VALUES ('own', 'us_citizen', 'own', '{recorded}', '{1 day}', 'site rule', '-infinity');
INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 2);
-- A partitioned table, one whose rows go with others' rows, and a class that a site added.
CREATE TABLE flight (flight_id int PRIMARY KEY);
CREATE TABLE own (id int NOT NULL, retention_class text NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now(), subject_id uuid, t face_embedding(2),
	flight_id int REFERENCES flight ON DELETE CASCADE, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE own_1 PARTITION OF own FOR VALUES FROM (0) TO (10);
CREATE TABLE own_2 (flight_id int REFERENCES flight ON DELETE CASCADE, id int NOT NULL, retention_class text NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now(), t face_embedding(2),
	subject_id uuid);
ALTER TABLE own ATTACH PARTITION own_2 FOR VALUES FROM (10) TO (100);
SELECT facematch.retain('own', 'own');
CREATE VIEW seen AS SELECT * FROM own;
CREATE VIEW ruled AS SELECT 1 AS x;
CREATE RULE del AS ON DELETE TO ruled DO INSTEAD DELETE FROM own;
CREATE TABLE fed (x int);
INSERT INTO fed VALUES (1);
CREATE FUNCTION feed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM own; RETURN NULL; END $$;
CREATE TRIGGER feed AFTER DELETE ON fed FOR EACH ROW EXECUTE FUNCTION feed();
CREATE FUNCTION delete_all() RETURNS void LANGUAGE sql AS 'DELETE FROM own';
CREATE PROCEDURE piecemeal() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1 .. 20 LOOP
	BEGIN DELETE FROM own WHERE id = i; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$;

CREATE TABLE way (n int GENERATED ALWAYS AS IDENTITY, name text, statement text);
INSERT INTO way (name, statement) VALUES
	('DELETE', 'DELETE FROM own'), ('DELETE of some', 'DELETE FROM own WHERE id = 1'), ('DELETE from a partition', 'DELETE FROM own_2'),
	('WITH ... DELETE', 'WITH w AS (DELETE FROM own RETURNING 1) SELECT count(*) FROM w'), ('DELETE ... USING', 'DELETE FROM own USING flight WHERE own.flight_id = flight.flight_id'),
	('MERGE', 'MERGE INTO own USING flight ON own.flight_id = flight.flight_id WHEN MATCHED THEN DELETE'),
	('a view', 'DELETE FROM seen'), ('a rule', 'DELETE FROM ruled'), ('a function', 'SELECT delete_all()'), ('a trigger', 'DELETE FROM fed'),
	('a cursor', 'DECLARE c CURSOR FOR SELECT * FROM own_1; MOVE c; DELETE FROM own_1 WHERE CURRENT OF c; CLOSE c'),
	('statements of one transaction', 'DELETE FROM own WHERE id = 1; DELETE FROM own WHERE id = 11'),
	('subtransactions', 'CALL piecemeal()'),
	('a foreign key', 'DELETE FROM flight'), ('a replica', 'SET LOCAL session_replication_role = replica; DELETE FROM own'),
	('prepared', 'PREPARE p AS DELETE FROM own; EXECUTE p; DEALLOCATE p'),
	('what is due', 'UPDATE own SET purge_after = now(); DELETE FROM own'),
	('a gallery, and what is in it', 'DELETE FROM facematch.gallery'), ('references', 'DELETE FROM facematch.reference'), ('an encounter', 'DELETE FROM facematch.encounter'),
	('an opt-out', 'INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1))'),
	('recompute() of who has opted out', 'ALTER TABLE own DISABLE TRIGGER ALL; INSERT INTO facematch.opt_out (subject_id) VALUES (subject(7)); INSERT INTO own (id, retention_class, subject_id, t, purge_after)
		VALUES (7, ''us_citizen'', subject(7), ''[1,0]'', ''infinity''); ALTER TABLE own ENABLE TRIGGER ALL; SELECT facematch.reinstate() > 0 AS mended; CALL facematch.recompute()'),
	('retain() of who has opted out', 'SELECT facematch.release(''own''); INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1)); SELECT facematch.retain(''own'', ''own'')'),
	('a half-detached partition', 'UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = ''own_2''::regclass; DELETE FROM own_2;
		UPDATE pg_inherits SET inhdetachpending = false WHERE inhrelid = ''own_2''::regclass'),
	-- nothing goes
	('into another partition', 'UPDATE own SET id = 50 WHERE id = 1'), ('nothing', 'DELETE FROM own WHERE id = 77'),
	('rolled back', 'SAVEPOINT s; DELETE FROM own; ROLLBACK TO s'), ('rolled back in part', 'SAVEPOINT s; DELETE FROM own WHERE id = 1; ROLLBACK TO s; DELETE FROM own WHERE id = 11'),
	('kept within', 'SAVEPOINT s; DELETE FROM own WHERE id = 1; SAVEPOINT q; DELETE FROM own WHERE id = 11; RELEASE q; RELEASE s');

-- What is there anew for each way; the transaction is committed, since receipts are written then.
CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO flight VALUES (1) ON CONFLICT DO NOTHING;
	INSERT INTO fed SELECT 1 WHERE NOT EXISTS (SELECT FROM fed);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity) SELECT 'g', 'watchlist', 'm', 0.5 WHERE NOT EXISTS (SELECT FROM facematch.gallery);
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
	SELECT gallery_id, subject(n), 'watchlist', '[1,0]', 's' FROM facematch.gallery, generate_series(1, 2) n
	WHERE NOT EXISTS (SELECT FROM facematch.reference f WHERE f.subject_id = subject(n));
	PERFORM facematch.record_encounter('g', '[1,0]', port => 'JFK') WHERE NOT EXISTS (SELECT FROM facematch.encounter WHERE gallery_id IS NOT NULL);
	INSERT INTO own (id, retention_class, subject_id, t, flight_id) VALUES (1, 'us_citizen', subject(1), '[1,0]', 1), (11, 'us_citizen', subject(2), '[1,0]', 1) ON CONFLICT DO NOTHING;
END $$;
CREATE TABLE seen_to AS SELECT 0::bigint AS receipt, 0::bigint AS event;
CREATE FUNCTION told() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s: %s of %s, class %s, persons %s%s%s', r.cause, r.rows_purged, r.table_name, r.retention_class,
		(SELECT array_agg(n) FROM generate_series(1, 9) n, facematch_internal.receipt_persons p WHERE p.receipt_id = r.receipt_id AND facematch_internal.receipt_names(p.salt, p.codes, ARRAY[subject(n)])),
		CASE WHEN NOT EXISTS (SELECT FROM facematch.audit_event e WHERE e.action = 'receipt_written' AND e.detail ->> 'about' = 'receipt:' || r.receipt_id) THEN ', not in the log' END,
		CASE WHEN r.lateness IS NOT NULL THEN ', late' END),
		'; ' ORDER BY r.table_name, r.cause, r.receipt_id)
	FROM facematch.purge_receipt r, seen_to s WHERE r.receipt_id > s.receipt $$;
\pset null '-'
\pset format unaligned
SELECT 'CALL fill()', 'UPDATE seen_to SET receipt = (SELECT coalesce(max(receipt_id), 0) FROM facematch.purge_receipt)', format('BEGIN; %s; COMMIT', statement),
	format('SELECT %L AS way, told()', name), 'UPDATE facematch.opt_out SET revoked_at = now() WHERE revoked_at IS NULL', 'UPDATE own SET id = 1 WHERE id = 50'
FROM way ORDER BY n \gexec
-- The purge writes its own, once; TRUNCATE is refused, and DROP TABLE is an event of its own.
CALL fill();
UPDATE own SET purge_after = now();
UPDATE seen_to SET receipt = (SELECT max(receipt_id) FROM facematch.purge_receipt);
CALL facematch.purge();
SELECT told();
TRUNCATE own;
-- For who asks: whether it was deleted, why, and whether its bytes are gone.
SELECT DISTINCT detail ->> 'cause' AS cause, detail ->> 'erased' IS NOT NULL AS erased FROM facematch.subject_report(subject(1)) WHERE part = 'deleted' AND source = 'public.own' ORDER BY 1;
-- Without the trigger there is none: the health check says so, and reinstate() mends it.
ALTER TABLE own DISABLE TRIGGER facematch_70_deleted;
SELECT severity, finding, object FROM facematch.health_check() WHERE object LIKE 'facematch_70%' ORDER BY 3;
SELECT facematch.reinstate() > 0 AS mended;
SELECT count(*) FROM facematch.health_check() WHERE object LIKE 'facematch_70%';
-- Nor of a table that is released, or gone by the commit.
CALL fill();
UPDATE seen_to SET receipt = (SELECT max(receipt_id) FROM facematch.purge_receipt);
BEGIN;
DELETE FROM own_1;
SELECT facematch.release('own');
DELETE FROM own_2;
COMMIT;
SELECT told();
DROP TABLE own CASCADE;
-- A deletion by the purge or an opt-out takes more rows of the same table along: by a key of the table to itself, or a trigger of its own.
CREATE TABLE kin (id int PRIMARY KEY, parent int REFERENCES kin ON DELETE CASCADE, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, t face_embedding(2));
CREATE FUNCTION take_along() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	BEGIN DELETE FROM kin WHERE id = OLD.id + 10; EXCEPTION WHEN division_by_zero THEN NULL; END; RETURN NULL; END $$;
CREATE TRIGGER take_along AFTER DELETE ON kin FOR EACH ROW EXECUTE FUNCTION take_along();
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
	VALUES ('own, noncitizens', 'noncitizen', 'own', '{recorded}', '{1 day}', 'site rule', '-infinity');
SELECT facematch.retain('kin', 'own');
-- The person of the first goes with it, twice, and once with another class.
INSERT INTO kin (id, parent, retention_class, subject_id) VALUES (1, NULL, 'us_citizen', subject(1)), (2, 1, 'us_citizen', subject(2)), (3, 1, 'us_citizen', subject(1)),
	(4, 2, 'noncitizen', subject(1)), (5, NULL, 'us_citizen', subject(5)), (11, NULL, 'us_citizen', subject(3)), (15, NULL, 'noncitizen', NULL), (16, NULL, 'us_citizen', subject(6));
UPDATE kin SET purge_after = now() WHERE id IN (1, 5);
UPDATE seen_to SET receipt = (SELECT max(receipt_id) FROM facematch.purge_receipt);
CALL facematch.purge();
SELECT told();
SELECT count(*) FROM kin;
-- Where all of them are due, some go by the one and some by the other, and each is counted once.
INSERT INTO kin (id, parent, retention_class, subject_id) SELECT 20 + n, CASE WHEN n > 1 THEN 20 + n / 2 END, 'us_citizen', subject(n % 3) FROM generate_series(1, 40) n;
UPDATE kin SET purge_after = now();
UPDATE seen_to SET receipt = (SELECT max(receipt_id) FROM facematch.purge_receipt);
CALL facematch.purge(7);
SELECT count(*), (SELECT sum(rows_purged) FROM facematch.purge_receipt r, seen_to s WHERE r.receipt_id > s.receipt) AS of_receipts FROM kin;
UPDATE seen_to SET receipt = (SELECT max(receipt_id) FROM facematch.purge_receipt);
INSERT INTO kin (id, parent, retention_class, subject_id, t) VALUES (1, NULL, 'us_citizen', subject(1), '[1,0]'), (2, 1, 'us_citizen', subject(2), '[1,0]'), (4, 2, 'noncitizen', NULL, '[1,0]'),
	(11, NULL, 'us_citizen', subject(3), '[1,0]');
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1));
SELECT told();
UPDATE facematch.opt_out SET revoked_at = now() WHERE revoked_at IS NULL;
DROP TABLE kin;
-- Of more tables than are usual, in subtransactions.
DO $$ BEGIN FOR i IN 1 .. 12 LOOP
	EXECUTE format('CREATE TABLE many_%s (id int, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, t face_embedding(2))', i);
	PERFORM facematch.retain(format('many_%s', i)::regclass, 'own');
	EXECUTE format('INSERT INTO many_%s (id, retention_class, subject_id) SELECT n, ''us_citizen'', subject(n) FROM generate_series(1, 100) n', i);
END LOOP; END $$;
UPDATE seen_to SET receipt = (SELECT max(receipt_id) FROM facematch.purge_receipt);
DO $$ BEGIN FOR n IN 1 .. 100 LOOP FOR i IN 1 .. 12 LOOP
	BEGIN
		EXECUTE format('DELETE FROM many_%s WHERE id = %s', i, n);
		IF n % 10 = 0 THEN RAISE division_by_zero; END IF;
	EXCEPTION WHEN division_by_zero THEN NULL; END;
END LOOP; END LOOP; END $$;
SELECT count(*), sum(r.rows_purged) AS rows, min(octet_length(p.codes)) / 8 AS persons FROM facematch.purge_receipt r JOIN facematch_internal.receipt_persons p USING (receipt_id), seen_to s WHERE r.receipt_id > s.receipt;
