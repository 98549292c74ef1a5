-- A column of another type than the one that retain() found: its owner may give it any. Each column, with each type, under each thing that is
-- done to the table: what cannot be done is an error, or a warning of that table alone, and no value is read as what it is not.
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET client_min_messages = error;
CREATE ROLE facematch_test_owner LOGIN;
CREATE SCHEMA own AUTHORIZATION facematch_test_owner;
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
INSERT INTO facematch.retention_class (name, description) VALUES ('guest', 'guests'), ('unused', 'nobody');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
VALUES ('guests', 'guest', 'sighting', '{recorded}', '{10 days}', 'site rule', '-infinity');
CREATE TABLE own.plain (id bigint, retention_class text, recorded_at timestamptz, subject_id uuid, gallery_id bigint, verified_at timestamptz,
	anchor_at timestamptz, e face_embedding(2), purge_after timestamptz);
ALTER TABLE own.plain OWNER TO facematch_test_owner;
CREATE TABLE own.other_type (name text, value text);
INSERT INTO own.other_type VALUES ('integer', '7'), ('bigint', '4096'), ('name', '''guest'''), ('bytea', '''\x00''');

CREATE FUNCTION says(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
-- One table, altered by its owner, and another one of his whose trigger deletes from it.
CREATE FUNCTION meet(nth int, changed name, type text, value text, guarded boolean) RETURNS TABLE (entry text, answer text) LANGUAGE plpgsql AS $$
DECLARE
	step text;
BEGIN
	SET LOCAL ROLE facematch_test_owner;
	CREATE TABLE own.t (LIKE own.plain);
	CREATE TABLE own.first (LIKE own.plain);
	INSERT INTO own.t SELECT n, 'guest', now() - interval '11 days', subject(3 * nth + n), NULL, NULL, NULL, '[1,0]' FROM generate_series(1, 3) n;
	INSERT INTO own.first SELECT n, 'guest', now() - interval '11 days', subject(3 * nth + n), NULL, NULL, NULL, '[1,0]' FROM generate_series(1, 3) n;
	RESET ROLE;
	PERFORM facematch.retain(t::regclass, 'sighting', gallery_column => 'gallery_id', verified_column => 'verified_at', anchor_column => 'anchor_at')
	FROM unnest('{own.t,own.first}'::text[]) t;
	SET LOCAL ROLE facematch_test_owner;
	CREATE FUNCTION own.along() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM own.t WHERE id = OLD.id; RETURN OLD; END';
	CREATE TRIGGER along BEFORE DELETE ON own.first FOR EACH ROW EXECUTE FUNCTION own.along();
	DROP POLICY facematch_due ON own.t;
	DROP INDEX own.t_purge_after_idx;
	IF NOT guarded THEN
		ALTER TABLE own.t DISABLE TRIGGER facematch_20_guard;
	END IF;
	EXECUTE format('ALTER TABLE own.t ALTER %I TYPE %s USING %s', changed, type, value);
	RESET ROLE;
	FOREACH step IN ARRAY ARRAY['DELETE FROM own.t WHERE ctid = ''(0,1)''', 'UPDATE own.t SET e = e',
		'INSERT INTO facematch.opt_out (subject_id) VALUES (subject(' || 3 * nth + 2 || '))',
		'INSERT INTO facematch.anchor_event (subject_id, event, occurred_at) VALUES (subject(' || 3 * nth + 3 || '), ''exit'', now())',
		'INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES (''own.t'', ''3'', ''inquiry'', ''court'')',
		'UPDATE facematch.hold SET released_at = clock_timestamp() WHERE released_at IS NULL',
		'SELECT count(*) FROM facematch.due_soon(''30 days'')',
		'SELECT count(*) FROM facematch_internal.late_rows(''own.t'')', 'SELECT count(*) FROM facematch.explain_retention(''own.t'', ''3'')',
		'DELETE FROM facematch.retention_class WHERE name = ''unused''',
		'CALL facematch.recompute()', 'CALL facematch.purge()', 'SELECT facematch.release(''own.t'')']
	LOOP
		entry := regexp_replace(substring(step FROM '^\w+ (?:FROM |INTO |count\(\*\) FROM )?[\w.]+'), 'count\(\*\) FROM ', '');
		answer := says(step);
		RETURN NEXT;
	END LOOP;
	entry := 'rows of the other table';
	answer := (SELECT count(*)::text FROM own.first);
	RETURN NEXT;
	PERFORM facematch.release(to_regclass('own.first'));
	DROP TABLE own.t, own.first;
	DROP FUNCTION own.along;
	INSERT INTO facematch.retention_class (name, description) VALUES ('unused', 'nobody') ON CONFLICT DO NOTHING;
END $$;

SELECT m.entry, string_agg(DISTINCT m.answer, ' ' ORDER BY m.answer) AS with_the_guard
FROM (SELECT row_number() OVER () AS nth, c.column_name, t.* FROM information_schema.columns c CROSS JOIN own.other_type t
	WHERE (c.table_schema, c.table_name) = ('own', 'plain') AND c.column_name IN ('retention_class', 'recorded_at', 'subject_id', 'gallery_id', 'purge_after')) c
CROSS JOIN LATERAL meet(c.nth::int, c.column_name, c.name, c.value, true) m GROUP BY m.entry ORDER BY m.entry;
SELECT m.entry, string_agg(DISTINCT m.answer, ' ' ORDER BY m.answer) AS without_it
FROM (SELECT row_number() OVER () + 100 AS nth, c.column_name, t.* FROM information_schema.columns c CROSS JOIN own.other_type t
	WHERE (c.table_schema, c.table_name) = ('own', 'plain') AND c.column_name IN ('retention_class', 'recorded_at', 'subject_id', 'gallery_id', 'purge_after')) c
CROSS JOIN LATERAL meet(c.nth::int, c.column_name, c.name, c.value, false) m GROUP BY m.entry ORDER BY m.entry;
DROP SCHEMA own CASCADE;
DROP ROLE facematch_test_owner;
