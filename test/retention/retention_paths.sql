-- Every way a row can come in, change or go meets the guard; and a site's own rules, as docs/retention.md has them.
\set VERBOSITY terse
SET timezone = 'UTC';
SET datestyle = 'ISO';
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('one', 'flight', 'two', 0.5, now() + interval '1 day'), ('other', 'flight', 'two', 0.5, now() + interval '1 day');
SELECT gallery_id AS one FROM facematch.gallery WHERE name = 'one' \gset
SELECT gallery_id AS other FROM facematch.gallery WHERE name = 'other' \gset
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION hours_left(at timestamptz) RETURNS numeric LANGUAGE sql AS $$ SELECT round(extract(epoch FROM at - now()) / 3600) $$;
CREATE TABLE manifest AS SELECT n, subject(n) AS subject_id, 'us_citizen'::text AS class FROM generate_series(1, 20) n;

-- a deadline of one's own choice is not taken, nearer ones are: 36 hours, the departure's 24 and 12
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after) VALUES
	(:one, subject(1), 'us_citizen', '[1,0]', 'insert', 'infinity'), (:one, subject(2), 'us_citizen', '[1,0]', 'insert', now() + interval '1 hour');
COPY facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after) FROM stdin;
1	00000000-0000-8000-8000-000000000003	us_citizen	[1,0]	copy	infinity
1	00000000-0000-8000-8000-000000000004	us_citizen	[1,0]	copy	\N
\.
COPY facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at) FROM stdin;
1	00000000-0000-8000-8000-000000000005	noncitizen	[1,0]	copy	9999-01-01
\.
MERGE INTO facematch.reference r USING (SELECT * FROM manifest WHERE n BETWEEN 4 AND 7) m ON r.subject_id = m.subject_id
WHEN MATCHED THEN UPDATE SET source = 'merge'
WHEN NOT MATCHED THEN INSERT (gallery_id, subject_id, retention_class, embedding, source, purge_after) VALUES (1, m.subject_id, m.class, '[1,0]', 'merge', 'infinity');
SELECT n, retention_class, r.source, hours_left(purge_after) FROM facematch.reference r JOIN manifest USING (subject_id) ORDER BY 1;
INSERT INTO facematch.reference (reference_id, gallery_id, subject_id, retention_class, embedding, source) OVERRIDING SYSTEM VALUE
SELECT reference_id, :one, subject_id, 'us_citizen', '[1,0]', 'conflict' FROM facematch.reference WHERE subject_id = subject(2)
ON CONFLICT (reference_id) DO UPDATE SET source = EXCLUDED.source RETURNING source, hours_left(purge_after);
-- the computed deadline of the new row would push the old one's away
INSERT INTO facematch.reference (reference_id, gallery_id, subject_id, retention_class, embedding, source) OVERRIDING SYSTEM VALUE
SELECT reference_id, :one, subject_id, 'us_citizen', '[1,0]', 'conflict' FROM facematch.reference WHERE subject_id = subject(2)
ON CONFLICT (reference_id) DO UPDATE SET purge_after = EXCLUDED.purge_after;
-- a replica takes the update and not the deadline
SET session_replication_role = replica;
UPDATE facematch.reference SET purge_after = 'infinity', source = 'publisher' WHERE subject_id = subject(2) RETURNING source, hours_left(purge_after);
RESET session_replication_role;
-- a class with a longer clock gives no more time, one with a shorter clock less
UPDATE facematch.reference SET retention_class = 'noncitizen' WHERE subject_id = subject(1) RETURNING hours_left(purge_after);
UPDATE facematch.reference SET retention_class = 'us_citizen' WHERE subject_id = subject(5) RETURNING hours_left(purge_after);
UPDATE facematch.reference SET retention_class = 'nobody' WHERE subject_id = subject(5);

-- an opt-out for one flight: the template of another is not moved there, whoever moves it
INSERT INTO facematch.opt_out (subject_id, scope, gallery_id) VALUES (subject(6), 'encounter', :other);
UPDATE facematch.reference SET gallery_id = :other WHERE subject_id = subject(6);
SET session_replication_role = replica;
UPDATE facematch.reference SET gallery_id = :other WHERE subject_id = subject(6) RETURNING gallery_id;
RESET session_replication_role;
UPDATE facematch.reference SET gallery_id = :other WHERE subject_id = subject(7) RETURNING 'moved';
SELECT facematch.close_gallery('other') <= clock_timestamp() + interval '14 days' AS closed;
UPDATE facematch.reference SET gallery_id = :other WHERE subject_id = subject(5);

-- a hold, however its key is written, keeps the row, what it is known by, and its template
INSERT INTO facematch.hold (table_name, row_id, reason, authority)
SELECT 'facematch.reference', ' 0' || reference_id, 'inquiry', 'court' FROM facematch.reference WHERE subject_id = subject(1);
SELECT r.reference_id::text = h.row_id AS as_the_row_has_it FROM facematch.held h, facematch.reference r WHERE r.subject_id = subject(1);
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('facematch.reference', 'x', 'inquiry', 'court');
INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('manifest', '1', 'inquiry', 'court');
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(2), 'inquiry', 'court');
DELETE FROM facematch.reference WHERE subject_id = subject(1);
UPDATE facematch.reference SET reference_id = DEFAULT WHERE subject_id = subject(1);
UPDATE facematch.reference SET embedding = '[0,1]' WHERE subject_id = subject(1);
UPDATE facematch.reference SET subject_id = subject(20) WHERE subject_id = subject(2);
MERGE INTO facematch.reference r USING (VALUES (subject(2))) m (subject_id) ON r.subject_id = m.subject_id WHEN MATCHED THEN DELETE;
DELETE FROM facematch.gallery WHERE name = 'one';
UPDATE facematch.reference SET quality = 5, source = 'still' WHERE subject_id = subject(2) RETURNING quality;
-- a replica keeps it, and goes on
SET session_replication_role = replica;
DELETE FROM facematch.reference WHERE subject_id IN (subject(1), subject(3)) RETURNING subject_id = subject(3) AS third;
RESET session_replication_role;

-- what a view of the owner's would show, and what a hold does not keep
CREATE VIEW seen AS SELECT reference_id FROM facematch.reference;
CREATE VIEW seen_by_reader WITH (security_invoker) AS SELECT reference_id FROM facematch.reference;
CREATE MATERIALIZED VIEW copied AS SELECT reference_id FROM facematch.reference;
SELECT severity, object, finding FROM facematch.health_check() WHERE object !~ '^(purge$|galleries$|role |database )';
DROP VIEW seen, seen_by_reader;
DROP MATERIALIZED VIEW copied;

-- a match on a watchlist is recorded, on the shortest clock
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('watchlist', 'watchlist', 'two', 0.5);
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(15), 'watchlist', '[1,0]', 'bulletin' FROM facematch.gallery WHERE name = 'watchlist';
SELECT outcome, hours_left(purge_after) FROM facematch.record_encounter('watchlist', '[1,0]', port => 'JFK');

-- an encounter that says it is verified next week is verified now
INSERT INTO facematch.encounter (gallery_id, gallery, port, outcome, subject_id, threshold, model, retention_class, verified_at, override_reason)
SELECT gallery_id, name, 'JFK', 'match', subject(15), 0.5, 'two', 'us_citizen', now() + interval '7 days', 'passport seen' FROM facematch.gallery WHERE name = 'one'
RETURNING hours_left(purge_after);
-- a hold keeps what is there of who has declined, and lets nothing more in
INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (subject(14), 'inquiry', 'court');
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(14));
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (:one, subject(14), 'us_citizen', '[1,0]', 'insert');
-- from a dump, what it keeps is due for ever
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after) VALUES (:one, subject(14), 'us_citizen', '[1,0]', 'dump', now() - interval '1 hour')
RETURNING hours_left(purge_after);

-- a rule that lengthens takes along what stood at the rules' own deadline, not what had come nearer before
INSERT INTO facematch.retention_class (name, description) VALUES ('guest', 'guests of the airline');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from) VALUES
	('guest', 'guest', 'reference', '{recorded}', '{24 hours}', 'contract', '-infinity');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, subject(n), 'guest', '[1,0]', 'app' FROM facematch.gallery, generate_series(16, 17) n WHERE name = 'watchlist';
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, lengthens) VALUES
	('guest/2', 'guest', 'reference', '{recorded}', '{72 hours}', 'contract', true);
UPDATE facematch.reference SET purge_after = now() + interval '48 hours' WHERE subject_id = subject(17);
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, lengthens) VALUES
	('guest/3', 'guest', 'reference', '{recorded}', '{96 hours}', 'contract', true);
SELECT n, hours_left(purge_after) FROM facematch.reference JOIN manifest USING (subject_id) WHERE retention_class = 'guest' ORDER BY 1;
UPDATE facematch.retention_rule SET valid_to = now() WHERE name = 'guest';
SELECT n, hours_left(purge_after) FROM facematch.reference JOIN manifest USING (subject_id) WHERE retention_class = 'guest' ORDER BY 1;
SELECT detail ->> 'rows' AS rows, detail ->> 'cause' AS cause FROM facematch.audit_event WHERE action = 'deadline_lengthened' ORDER BY event_id;

-- The European Entry/Exit System, Regulation (EU) 2017/2226 art. 34: docs/retention.md.
INSERT INTO facematch.retention_class (name, description) VALUES ('eu_visitor', 'third-country nationals on a short stay');
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, fallback_anchor, fallback_keep, notice_before,
									  follows_anchor, citation, valid_from) VALUES
	('ees/file', 'eu_visitor', 'reference', '{exit}', '{3 years 1 day}', 'stay_expiry', '5 years', '3 months',
	 true, 'Regulation (EU) 2017/2226 art. 34(2), (3)', '-infinity'),
	('ees/record', 'eu_visitor', 'encounter', '{exit}', '{3 years}', 'stay_expiry', '5 years', '3 months',
	 true, 'Regulation (EU) 2017/2226 art. 34(1), (3)', '-infinity');
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('EES', 'enrolment', 'two', 0.5);
-- the stay ended four years and ten months ago, or ends in 30 days
SELECT date_trunc('day', now()) - interval '3 years' AS past, date_trunc('day', now()) + interval '30 days' AS ahead,
	   date_trunc('day', now()) - interval '10 days' AS left_once, date_trunc('day', now()) - interval '1 day' AS left_again \gset
INSERT INTO facematch.anchor_event (subject_id, event, occurred_at) VALUES
	(subject(18), 'stay_expiry', :'ahead'), (subject(19), 'stay_expiry', :'ahead'), (subject(20), 'stay_expiry', timestamptz :'past' - interval '1 year 10 months');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
SELECT gallery_id, subject(n), 'eu_visitor', '[1,0]', 'border', now() - interval '50 days' FROM facematch.gallery, generate_series(18, 20) n WHERE name = 'EES';
-- nobody has left: five years from the end of the stay
SELECT n, purge_after = timestamptz :'ahead' + interval '5 years' AS five_years FROM facematch.reference JOIN manifest USING (subject_id)
WHERE retention_class = 'eu_visitor' AND n < 20 ORDER BY 1;
-- one leaves: three years and a day from then; comes back and leaves again: from the last exit
INSERT INTO facematch.anchor_event (subject_id, event, occurred_at) VALUES (subject(18), 'exit', :'left_once');
SELECT n, purge_after = timestamptz :'left_once' + interval '3 years 1 day' AS three_years FROM facematch.reference JOIN manifest USING (subject_id)
WHERE retention_class = 'eu_visitor' AND n < 20 ORDER BY 1;
INSERT INTO facematch.anchor_event (subject_id, event, occurred_at) VALUES (subject(18), 'exit', :'left_again');
SELECT n, x.rule, x.citation, x.anchor, x.keep, x.purge_after = timestamptz :'left_again' + interval '3 years 1 day' AS from_last_exit
FROM facematch.reference r JOIN manifest USING (subject_id), facematch.explain_retention('facematch.reference', r.reference_id) x WHERE n IN (18, 19) ORDER BY n;
-- advance notice, three months ahead: to who overstayed
SELECT n, d.rule FROM facematch.due_soon() d JOIN manifest USING (subject_id) WHERE d.retention_class = 'eu_visitor' ORDER BY 1;
-- departure control records the exit by itself
SELECT outcome FROM facematch.record_encounter('EES', '[1,0]', port => 'FRA', direction => 'exit', subject_id => subject(18));
SELECT count(*) AS exits FROM facematch.anchor_event WHERE event = 'exit' AND subject_id = subject(18);
