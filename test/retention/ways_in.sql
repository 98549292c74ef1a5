-- Every way a row can come into a table under retention: it gets the rule's deadline, and of who has opted out none
-- comes in.  Where a way leads past the guard, the health check names it, and CALL recompute() puts it right.  Logical
-- replication itself is in clusters.pl: a session that applies it has the role replica, as here.
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET client_min_messages = error;
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
	VALUES ('mine', 'us_citizen', 'mine', '{recorded}', '{1 day}', 'site rule', '-infinity');
CREATE TABLE mine (id int NOT NULL, retention_class text NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now(), subject_id uuid, t face_embedding(2),
	purge_after timestamptz NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE mine_1 PARTITION OF mine FOR VALUES FROM (0) TO (100);
CREATE TABLE mine_2 PARTITION OF mine FOR VALUES FROM (100) TO (200);
ALTER TABLE mine ADD PRIMARY KEY (id);
SELECT facematch.retain('mine', 'mine');
-- Person 1 may be recorded, person 2 has opted out; row 50 is there.
INSERT INTO facematch.opt_out (subject_id, retention_class) VALUES (subject(2), 'us_citizen');
INSERT INTO mine VALUES (50, 'us_citizen', now(), subject(3), '[1,0]', 'infinity');
-- Where rows come from: of one person, row 1, to be kept for ever.
CREATE TABLE source (LIKE mine);
CREATE VIEW seen AS SELECT * FROM mine;
CREATE VIEW ruled AS SELECT * FROM source;
CREATE RULE write AS ON INSERT TO ruled DO INSTEAD INSERT INTO mine VALUES (NEW.*);
CREATE TABLE fed (LIKE mine);
CREATE FUNCTION feed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO mine VALUES (NEW.*); RETURN NULL; END $$;
CREATE TRIGGER feed BEFORE INSERT ON fed FOR EACH ROW EXECUTE FUNCTION feed();
CREATE TABLE redirected (LIKE mine);
CREATE RULE redirect AS ON INSERT TO redirected DO INSTEAD INSERT INTO mine VALUES (NEW.*);
CREATE EXTENSION postgres_fdw;
DO $$ BEGIN
	EXECUTE format('CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
		(SELECT split_part(setting, ',', 1) FROM pg_settings WHERE name = 'unix_socket_directories'), current_setting('port'), current_database());
END $$;
CREATE USER MAPPING FOR CURRENT_USER SERVER here;
CREATE FOREIGN TABLE mine_from_elsewhere (id int, retention_class text, recorded_at timestamptz, subject_id uuid, t face_embedding, purge_after timestamptz)
	SERVER here OPTIONS (table_name 'mine');

-- What the other session says of the row that it was sent.
CREATE TABLE told (id int, purge_after timestamptz);

CREATE TABLE way (n int GENERATED ALWAYS AS IDENTITY, name text, statement text);
INSERT INTO way (name, statement) VALUES
	('INSERT ... SELECT', 'INSERT INTO mine SELECT * FROM source'),
	('INSERT ... VALUES', $$DO 'DECLARE r source; BEGIN SELECT * INTO r FROM source; INSERT INTO mine VALUES (r.id, r.retention_class, r.recorded_at, r.subject_id, r.t, r.purge_after); END'$$),
	('INSERT into a partition', 'INSERT INTO mine_1 SELECT * FROM source'),
	('WITH ... INSERT', 'WITH w AS (INSERT INTO mine SELECT * FROM source RETURNING id) SELECT count(*) FROM w'),
	('INSERT into a view', 'INSERT INTO seen SELECT * FROM source'),
	('INSERT that a rule rewrites, on a view', 'INSERT INTO ruled SELECT * FROM source'),
	('INSERT that a rule rewrites, on a table', 'INSERT INTO redirected SELECT * FROM source'),
	('INSERT of a trigger', 'INSERT INTO fed SELECT * FROM source'),
	('ON CONFLICT DO NOTHING', 'INSERT INTO mine SELECT * FROM source ON CONFLICT (id) DO NOTHING'),
	('ON CONFLICT DO UPDATE that inserts', 'INSERT INTO mine SELECT * FROM source ON CONFLICT (id) DO UPDATE SET purge_after = EXCLUDED.purge_after'),
	('ON CONFLICT DO UPDATE that updates', 'INSERT INTO mine SELECT 50, retention_class, recorded_at, subject_id, t, purge_after FROM source
		ON CONFLICT (id) DO UPDATE SET subject_id = EXCLUDED.subject_id, t = EXCLUDED.t; UPDATE mine SET id = 1 WHERE id = 50'),
	('MERGE that inserts', 'MERGE INTO mine m USING source s ON m.id = s.id WHEN NOT MATCHED THEN
		INSERT VALUES (s.id, s.retention_class, s.recorded_at, s.subject_id, s.t, s.purge_after)'),
	('MERGE that updates', 'MERGE INTO mine m USING source s ON m.id = 50 WHEN MATCHED THEN UPDATE SET id = s.id, subject_id = s.subject_id, t = s.t'),
	('UPDATE of who it is', 'UPDATE mine SET id = 1, subject_id = s.subject_id FROM source s WHERE mine.id = 50'),
	('UPDATE of the deadline', 'UPDATE mine SET id = 1, subject_id = s.subject_id, purge_after = s.purge_after FROM source s WHERE mine.id = 50'),
	('UPDATE that moves it into another partition', 'UPDATE mine SET id = 150, subject_id = s.subject_id FROM source s WHERE mine.id = 50; UPDATE mine SET id = 1 WHERE id = 150'),
	('COPY', 'COPY mine FROM PROGRAM $copy'),
	('COPY into a partition', 'COPY mine_1 FROM PROGRAM $copy'),
	('a foreign table', 'WITH w AS (INSERT INTO mine_from_elsewhere SELECT * FROM source RETURNING id, purge_after) INSERT INTO told SELECT * FROM w'),
	('a publisher: INSERT as replica', 'SET LOCAL session_replication_role = replica; INSERT INTO mine SELECT * FROM source; SET LOCAL session_replication_role = origin'),
	('a publisher: UPDATE as replica', 'SET LOCAL session_replication_role = replica; UPDATE mine SET id = 1, subject_id = s.subject_id, purge_after = s.purge_after FROM source s
		WHERE mine.id = 50; SET LOCAL session_replication_role = origin'),
	('ATTACH PARTITION', 'ALTER TABLE mine DETACH PARTITION mine_1; ALTER TABLE mine ATTACH PARTITION source FOR VALUES FROM (0) TO (50)'),
	('--disable-triggers', 'ALTER TABLE mine DISABLE TRIGGER ALL; INSERT INTO mine SELECT * FROM source; ALTER TABLE mine ENABLE TRIGGER ALL'),
	('a trigger that is disabled on a partition', 'ALTER TABLE mine_1 DISABLE TRIGGER facematch_20_guard; INSERT INTO mine SELECT * FROM source'),
	('CREATE TABLE AS', 'CREATE TABLE copied AS SELECT * FROM source'),
	('CREATE MATERIALIZED VIEW', 'CREATE MATERIALIZED VIEW copied AS SELECT * FROM source'),
	('CREATE TABLE ... INHERITS', 'CREATE TABLE copied () INHERITS (facematch.reference); INSERT INTO copied (reference_id, gallery_id, subject_id, retention_class, embedding, source,
		purge_after) SELECT 1, 1, subject_id, retention_class, t, ''s'', purge_after FROM source');

-- What became of row 1, and what the health check says: of rows, and of tables that no rule reaches.
CREATE FUNCTION row_1() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce((SELECT CASE WHEN purge_after <= clock_timestamp() THEN 'due' WHEN isfinite(purge_after) THEN round(extract(epoch FROM purge_after - now()) / 3600) || ' hours'
		ELSE 'for ever' END FROM (SELECT id, purge_after FROM mine UNION ALL TABLE told) m WHERE id = 1), 'not there') $$;
CREATE FUNCTION named() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s: %s', h.severity, array_to_string(o.objects, ', ')), '; ' ORDER BY h.severity, o.objects) FROM facematch.health_check() h
	CROSS JOIN LATERAL (SELECT array_agg(o ORDER BY o) AS objects FROM regexp_split_to_table(h.object, ', (?!the first)') o
		WHERE o ~ 'mine|copied' AND o !~ 'elsewhere') o
	WHERE h.severity IN ('error', 'warning') AND o.objects IS NOT NULL $$;
CREATE FUNCTION go(statement text, who int, OUT becomes text, OUT health text, OUT healed text) LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM source;
	INSERT INTO source VALUES (1, 'us_citizen', now(), subject(who), '[1,0]', 'infinity');
	EXECUTE replace(statement, '$copy', format('%L DELIMITER ''|''', format('echo "1|us_citizen|now|%s|[1,0]|infinity"', subject(who))));
	becomes := row_1();
	health := named();
	PERFORM facematch.reinstate();
	CALL facematch.recompute();
	healed := row_1();
	RAISE EXCEPTION USING ERRCODE = 'ZZ999';
EXCEPTION
	WHEN SQLSTATE 'ZZ999' THEN
		RETURN;
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS becomes = CONSTRAINT_NAME;
		becomes := 'refused: ' || coalesce(nullif(becomes, ''), SQLSTATE || ' ' || SQLERRM);
END $$;
\pset null '-'
SELECT w.name AS way_in, g.becomes, g.health, CASE WHEN g.healed <> g.becomes THEN g.healed END AS healed FROM way w, go(w.statement, 1) g ORDER BY w.n;
SELECT w.name AS way_in_of_who_opted_out, g.becomes, g.health, CASE WHEN g.healed <> g.becomes THEN g.healed END AS healed FROM way w, go(w.statement, 2) g ORDER BY w.n;
SELECT row_1(), (SELECT count(*) FROM mine) AS rows;
BEGIN;
SELECT * INTO copied FROM source;
SELECT named() AS select_into;
ROLLBACK;
DROP SERVER here CASCADE;
