-- Several rules at once, in one statement and in one transaction, over rows that exist; and rules that are withdrawn or
-- changed before their date.  What is expected stands beside what is computed: days from the row's recording.
\set VERBOSITY terse
SET timezone = 'UTC';
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('list', 'watchlist', 'two', 0.5);
INSERT INTO facematch.retention_class (name, description) VALUES ('guest', 'x'), ('member', 'x');

-- Five rows of a class.  Recorded yesterday: at its rule's deadline, ten days; brought nearer by hand, to six; due by hand; and
-- held.  And one that its rule made due.
CREATE FUNCTION fresh(class text) RETURNS void LANGUAGE sql AS $$
	ALTER TABLE facematch.retention_rule DISABLE TRIGGER retention_rule_10_check, DISABLE TRIGGER retention_rule_60_rights;
	DELETE FROM facematch.retention_rule WHERE NOT shipped;
	ALTER TABLE facematch.retention_rule ENABLE ALWAYS TRIGGER retention_rule_10_check, ENABLE TRIGGER retention_rule_60_rights;
	UPDATE facematch.hold SET released_at = clock_timestamp() WHERE released_at IS NULL;
	DELETE FROM facematch.reference;
	INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
	SELECT 'first/' || c, c, 'reference', '{recorded}', '{10 days}', 'c', now() - interval '1 year' FROM unnest(ARRAY['guest', 'member']) c;
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at, purge_after)
	SELECT gallery_id, gen_random_uuid(), class, '[1,0]', source, now() - age * interval '1 day', now() + (days - age) * interval '1 day'
	FROM facematch.gallery, (VALUES ('plain', 1, NULL), ('nearer', 1, 6), ('due', 1, 0.5), ('held', 1, NULL), ('over', 11, NULL)) v (source, age, days);
	INSERT INTO facematch.hold (table_name, row_id, reason, authority)
	SELECT 'facematch.reference', reference_id, 'x', 'x' FROM facematch.reference WHERE source = 'held' $$;
CREATE FUNCTION rule(name text, days numeric, lengthens boolean, ahead interval DEFAULT '0', class text DEFAULT 'guest') RETURNS void LANGUAGE sql AS $$
	INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, lengthens, citation, valid_from)
	VALUES ($1, $5, 'reference', '{recorded}', ARRAY[$2 * interval '1 day'], $3, 'c', now() + $4) $$;
CREATE FUNCTION days() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(source || ' ' || round(extract(epoch FROM purge_after - enrolled_at) / 86400, 1), ', ' ORDER BY reference_id) FROM facematch.reference $$;
CREATE FUNCTION logged() RETURNS bigint LANGUAGE sql AS $$
	SELECT coalesce(sum((detail ->> 'rows')::int), 0) FROM facematch.audit_event WHERE action = 'deadline_lengthened' $$;

-- Two that lengthen in one statement take force together: the last of them applies, and each row that moved is logged once.
SELECT fresh('guest');
SELECT logged() AS before \gset
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, lengthens, citation, valid_from) VALUES
	('a', 'guest', 'reference', '{recorded}', '{20 days}', true, 'c', now()), ('b', 'guest', 'reference', '{recorded}', '{30 days}', true, 'c', now());
SELECT days(), 'plain 30.0, nearer 6.0, due 0.5, held 30.0, over 10.0' AS expected, logged() - :before AS logged;
-- One that is said to have been in force since before they were recorded lengthens them the same, and nothing that is due.
SELECT fresh('guest');
SELECT rule('a', 30, true, '-5 days');
SELECT days(), 'plain 30.0, nearer 6.0, due 0.5, held 30.0, over 10.0' AS expected;
SELECT fresh('guest');
SELECT rule('a', 30, false, '-5 days');
SELECT days(), 'plain 10.0, nearer 6.0, due 0.5, held 10.0, over 10.0' AS expected;
SELECT fresh('guest');
SELECT rule('a', 30, true, '-20 days');
SELECT days(), 'plain 30.0, nearer 6.0, due 0.5, held 30.0, over 10.0' AS expected;
-- The other way round the last one is the shorter one.
SELECT fresh('guest');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, lengthens, citation, valid_from) VALUES
	('a', 'guest', 'reference', '{recorded}', '{30 days}', true, 'c', now()), ('b', 'guest', 'reference', '{recorded}', '{20 days}', true, 'c', now());
SELECT days(), 'plain 20.0, nearer 6.0, due 0.5, held 20.0, over 10.0' AS expected;
-- One that lengthens and one that does not, in one statement: only what the first allows.
SELECT fresh('guest');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, lengthens, citation, valid_from) VALUES
	('a', 'guest', 'reference', '{recorded}', '{20 days}', true, 'c', now()), ('b', 'guest', 'reference', '{recorded}', '{30 days}', false, 'c', now());
SELECT days(), 'plain 20.0, nearer 6.0, due 0.5, held 20.0, over 10.0' AS expected;
-- Longer now, shorter from the day after tomorrow, in one statement: the later rule decides, from its date at the earliest.
SELECT fresh('guest');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, lengthens, citation, valid_from) VALUES
	('a', 'guest', 'reference', '{recorded}', '{20 days}', true, 'c', now()),
	('b', 'guest', 'reference', '{recorded}', '{1 day}', false, 'c', now() + interval '2 days');
SELECT days(), 'plain 3.0, nearer 3.0, due 0.5, held 3.0, over 10.0' AS expected;
-- Of two classes in one statement each gets its own.
SELECT fresh('guest');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
SELECT gallery_id, gen_random_uuid(), 'member', '[1,0]', 'member', now() - interval '1 day' FROM facematch.gallery;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, lengthens, citation, valid_from) VALUES
	('a', 'guest', 'reference', '{recorded}', '{20 days}', true, 'c', now()), ('b', 'member', 'reference', '{recorded}', '{30 days}', true, 'c', now());
SELECT days(), 'plain 20.0, nearer 6.0, due 0.5, held 20.0, over 10.0, member 30.0' AS expected;

-- Statements of one transaction, each over what the one before it left.
SELECT fresh('guest');
SELECT logged() AS before \gset
BEGIN;
SELECT rule('a', 20, true);
SELECT days(), 'plain 20.0, nearer 6.0, due 0.5, held 20.0, over 10.0' AS expected;
SELECT rule('b', 30, true);
SELECT days(), 'plain 30.0, nearer 6.0, due 0.5, held 30.0, over 10.0' AS expected;
SELECT rule('c', 8, false);
SELECT days(), 'plain 8.0, nearer 6.0, due 0.5, held 8.0, over 10.0' AS expected;
-- What the rules themselves brought nearer, a rule may take along again; what was brought nearer by hand, never.
SELECT rule('d', 12, true);
SELECT days(), 'plain 12.0, nearer 6.0, due 0.5, held 12.0, over 10.0' AS expected;
SELECT rule('e', 5, false);
SELECT days(), 'plain 5.0, nearer 5.0, due 0.5, held 5.0, over 10.0' AS expected;
SELECT rule('f', 40, false);
SELECT days(), 'plain 5.0, nearer 5.0, due 0.5, held 5.0, over 10.0' AS expected;
COMMIT;
SELECT days(), logged() - :before AS logged;
-- Ending one that lengthened lets nothing go farther that had been brought nearer meanwhile.
SELECT fresh('guest');
SELECT rule('a', 20, true);
UPDATE facematch.reference SET purge_after = enrolled_at + interval '15 days' WHERE source = 'plain';
UPDATE facematch.retention_rule SET valid_to = now() + interval '1 hour' WHERE name = 'a';
SELECT days(), 'plain 15.0, nearer 6.0, due 0.5, held 20.0, over 10.0' AS expected;
-- A savepoint takes back what its rules did, and the rules that this session remembers.
SELECT fresh('guest');
BEGIN;
SELECT rule('a', 20, true);
SAVEPOINT s;
SELECT rule('b', 4, false);
SELECT days(), 'plain 4.0, nearer 4.0, due 0.5, held 4.0, over 10.0' AS expected;
ROLLBACK TO s;
SELECT days(), 'plain 20.0, nearer 6.0, due 0.5, held 20.0, over 10.0' AS expected;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, gen_random_uuid(), 'guest', '[1,0]', 'new' FROM facematch.gallery;
COMMIT;
SELECT days(), 'plain 20.0, nearer 6.0, due 0.5, held 20.0, over 10.0, new 20.0' AS expected;

-- Before its date: a rule that shortens counts already, and what it brought nearer stays when it is withdrawn.
SELECT fresh('guest');
SELECT rule('ahead', 3, false, '1 day');
SELECT days(), 'plain 3.0, nearer 3.0, due 0.5, held 3.0, over 10.0' AS expected;
DELETE FROM facematch.retention_rule WHERE name = 'ahead';
SELECT days(), 'plain 3.0, nearer 3.0, due 0.5, held 3.0, over 10.0' AS expected;
-- One recorded since then knows nothing of it.
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
SELECT gallery_id, gen_random_uuid(), 'guest', '[1,0]', 'new', now() - interval '1 day' FROM facematch.gallery;
SELECT days(), 'plain 3.0, nearer 3.0, due 0.5, held 3.0, over 10.0, new 10.0' AS expected;
-- A rule that lengthens before its date is logged; withdrawn, its deadlines come nearer again, each to what is right without it.
SELECT fresh('guest');
SELECT logged() AS before \gset
SELECT rule('ahead', 30, true, '1 day');
SELECT days(), 'plain 30.0, nearer 6.0, due 0.5, held 30.0, over 10.0' AS expected, logged() - :before AS logged;
DELETE FROM facematch.retention_rule WHERE name = 'ahead';
SELECT days(), 'plain 10.0, nearer 6.0, due 0.5, held 10.0, over 10.0' AS expected;
-- Two that shorten, withdrawn one after the other and together; the one that is left counts.
SELECT fresh('guest');
SELECT rule('ahead/1', 7, false, '1 day'), rule('ahead/2', 4, false, '1 day');
SELECT days(), 'plain 4.0, nearer 4.0, due 0.5, held 4.0, over 10.0' AS expected;
DELETE FROM facematch.retention_rule WHERE name = 'ahead/2';
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
SELECT gallery_id, gen_random_uuid(), 'guest', '[1,0]', 'new', now() - interval '1 day' FROM facematch.gallery;
SELECT days(), 'plain 4.0, nearer 4.0, due 0.5, held 4.0, over 10.0, new 7.0' AS expected;
SELECT rule('ahead/2', 5, false, '1 day');
DELETE FROM facematch.retention_rule WHERE name LIKE 'ahead/%';
SELECT days(), 'plain 4.0, nearer 4.0, due 0.5, held 4.0, over 10.0, new 5.0' AS expected;
-- Withdrawing one that shortened does not let one that lengthens take along what it had brought nearer.
SELECT rule('later', 30, true);
SELECT days(), 'plain 4.0, nearer 4.0, due 0.5, held 4.0, over 10.0, new 5.0' AS expected;

-- Changed before its date: shorter at once; longer changes nothing that exists, unless it says so.
SELECT fresh('guest');
SELECT rule('ahead', 5, false, '1 day');
UPDATE facematch.retention_rule SET keep = '{4 days}' WHERE name = 'ahead';
SELECT days(), 'plain 4.0, nearer 4.0, due 0.5, held 4.0, over 10.0' AS expected;
UPDATE facematch.retention_rule SET keep = '{8 days}' WHERE name = 'ahead';
SELECT days(), 'plain 4.0, nearer 4.0, due 0.5, held 4.0, over 10.0' AS expected;
-- To another class: that one's rows come nearer, the first one's stay.
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
SELECT gallery_id, gen_random_uuid(), 'member', '[1,0]', 'member', now() - interval '1 day' FROM facematch.gallery;
UPDATE facematch.retention_rule SET retention_class = 'member' WHERE name = 'ahead';
SELECT days(), 'plain 4.0, nearer 4.0, due 0.5, held 4.0, over 10.0, member 8.0' AS expected;
-- It may be put off, or put into the past: then it has taken force, and stands.
UPDATE facematch.retention_rule SET valid_from = now() + interval '3 days' WHERE name = 'ahead';
SELECT days(), 'plain 4.0, nearer 4.0, due 0.5, held 4.0, over 10.0, member 8.0' AS expected;
UPDATE facematch.retention_rule SET valid_from = now() - interval '1 day' WHERE name = 'ahead';
UPDATE facematch.retention_rule SET keep = '{1 day}' WHERE name = 'ahead';
SELECT days(), 'plain 4.0, nearer 4.0, due 0.5, held 4.0, over 10.0, member 8.0' AS expected;

-- A rule is in force from its date on and until its end, to the microsecond: a row recorded at that moment falls under the new one.
SELECT fresh('guest');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from, valid_to) VALUES
	('past', 'guest', 'reference', '{recorded}', '{20 days}', 'c', '2026-01-01 00:00+00', '2026-02-01 00:00+00'),
	('past/2', 'guest', 'reference', '{recorded}', '{30 days}', 'c', '2026-02-01 00:00+00', '2026-03-01 00:00+00');
SELECT at, expected, (facematch_internal.retention_due('reference', 'guest', at, NULL, NULL, NULL, NULL)).rule FROM (VALUES
	(timestamptz '2025-12-31 23:59:59.999999+00', 'first/guest'), ('2026-01-01 00:00+00', 'past'), ('2026-01-31 23:59:59.999999+00', 'past'),
	('2026-02-01 00:00+00', 'past/2'), ('2026-02-28 23:59:59.999999+00', 'past/2'), ('2026-03-01 00:00+00', 'first/guest')) v (at, expected);
-- One that has ended does not reach who was recorded after its end, short as it was.
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from, valid_to) VALUES
	('brief', 'member', 'reference', '{recorded}', '{1 hour}', 'c', '2026-01-01 00:00+00', '2026-02-01 00:00+00');
SELECT at, expected, (facematch_internal.retention_due('reference', 'member', at, NULL, NULL, NULL, NULL)).rule FROM (VALUES
	(timestamptz '2026-01-31 23:59:59.999999+00', 'brief'), ('2026-02-01 00:00+00', 'first/member'), ('2026-03-01 00:00+00', 'first/member')) v (at, expected);

-- A period ends where times do: what would wrap around is refused, and so is what leads past the last timestamp.
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES ('wraps', 'us_citizen', 'sight', '{recorded}', '{213503983 days}', 'law');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, fallback_anchor, fallback_keep, citation)
VALUES ('falls back', 'us_citizen', 'sight', '{exit}', '{1 day}', 'recorded', '2000000000 days', 'law');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, notice_before, citation) VALUES ('tells', 'us_citizen', 'sight', '{recorded}', '{1 day}', '2000000000 hours', 'law');
BEGIN;
ALTER TABLE facematch.retention_rule DROP CONSTRAINT retention_rule_periods_end;
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
SELECT format('%s', row_number() OVER ()), 'us_citizen', 'sight ' || row_number() OVER (), '{recorded}', ARRAY[k], 'law', '-infinity'
FROM unnest('{213503983 days,2147483647 days,1 month 2147483647 days,200000 years,2147483647 months,2562047788 hours,106751990 days 2562047788 hours}'::interval[]) k;
CREATE FUNCTION due(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT d.due FROM facematch_internal.retention_due('sight ' || n, 'us_citizen', '2026-01-01', NULL, NULL, NULL, NULL) d);
EXCEPTION WHEN datetime_field_overflow THEN
	RETURN 'refused';
END $$;
SELECT n, due(n) FROM generate_series(1, 7) n;
ROLLBACK;

-- What weakens a guarantee is a superuser's to set, within what can be added to a time.
CREATE ROLE facematch_test_somebody;
SHOW facematch.sweep_interval;
SELECT min_val, max_val, unit FROM pg_settings WHERE name = 'facematch.sweep_interval';
-- Not in words: from PostgreSQL 19 on they have the unit.
\set VERBOSITY sqlstate
SET facematch.sweep_interval = 2147483647;
\set VERBOSITY terse
SET ROLE facematch_test_somebody;
SET facematch.sweep_interval = 1;
SET facematch.purge_erases = off;
SET facematch.table_timeout = 0;
SET facematch.miss_probability = 0.1;
SET facematch.miss_probability = 0;
RESET ROLE;
SET facematch.miss_probability = 0.1;
RESET facematch.miss_probability;
DROP ROLE facematch_test_somebody;
