-- Rights that arrive from another site: what that site knows otherwise, or this one lacks, stops nothing and is lost to nobody;
-- each event says what became of it here.
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET timezone = 'UTC';
CREATE FUNCTION site(letter text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-8000-8000-00000000000' || letter)::uuid $$;
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
UPDATE facematch_internal.site SET site = site('b'), rules_from = site('a');
CREATE TABLE arriving (LIKE facematch.rights_event);
-- The next event of a site, an hour ago.
CREATE FUNCTION arrives(letter text, what text, before jsonb, after jsonb) RETURNS text LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
	TRUNCATE arriving;
	INSERT INTO arriving SELECT site(letter), coalesce(max(e.number), 0) + 1, now() - interval '1 hour', 'clerk', what, before, after
	FROM facematch.rights_event e WHERE e.site = site(letter);
	RETURN (SELECT r.done FROM facematch.replay_rights('arriving') r);
END $$;
CREATE FUNCTION opt_out(n int, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('subject_id', subject(n), 'scope', 'standing', 'alternative', 'manual document inspection', 'noticed_at', '2026-01-01', 'recorded_at', '2026-01-01',
		'recorded_by', 'clerk', 'revoked_at', NULL, 'retention_class', 'us_citizen', 'answer', 'by_right', 'rule', 'cbp/us_citizen') || more $$;
CREATE FUNCTION hold(n int, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('table_name', NULL, 'row_id', NULL, 'subject_id', subject(n), 'reason', 'inquiry', 'authority', 'court', 'placed_at', '2026-01-01', 'placed_by', 'clerk',
		'released_at', NULL, 'released_by', NULL, 'may_be_told', false) || more $$;
CREATE FUNCTION merge(kept int, merged int, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('kept', subject(kept), 'merged', subject(merged), 'merged_at', '2026-01-01', 'merged_by', 'clerk', 'undone_at', NULL, 'undone_by', NULL) || more $$;
CREATE FUNCTION notice(version int, t text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('name', 'gate', 'version', version, 'texts', jsonb_build_object('en', t), 'valid_from', '2026-01-01T00:00:00+00:00'::text, 'valid_to', 'infinity') || more $$;
CREATE FUNCTION posting(version int, port text, t text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('notice', 'gate', 'version', version, 'port', port, 'lane', NULL, 'posted_at', '2026-02-01', 'removed_at', NULL, 'texts', jsonb_build_object('en', t)) || more $$;
\set revoked '\'{"revoked_at": "2026-02-01"}\''
\set released '\'{"released_at": "2026-02-01", "released_by": "clerk"}\''
\set undone '\'{"undone_at": "2026-02-01", "undone_by": "clerk"}\''
\set removed '\'{"removed_at": "2026-03-01"}\''
CREATE VIEW opt_outs AS SELECT ltrim(right(subject_id::text, 3), '0') AS subject, scope, retention_class, answer, rule, revoked_at IS NOT NULL AS revoked FROM facematch.opt_out;
CREATE VIEW merges AS SELECT ltrim(right(kept::text, 3), '0') AS kept, ltrim(right(merged::text, 3), '0') AS merged, merged_by, undone_at IS NOT NULL AS undone FROM facematch.subject_merge;
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('UA1', 'flight', 'two', 0.9, now() + interval '1 day');

-- An opt-out by a class and a law that only its site has: here without them, with its answer.
SELECT arrives('c', 'opt_out', NULL, opt_out(1, '{"retention_class": "guest", "rule": "site/guest"}'));
SELECT * FROM opt_outs WHERE subject = '1';
SELECT after ->> 'retention_class' AS as_it_was_written FROM facematch.rights_event WHERE after ->> 'subject_id' = subject(1)::text;
SELECT arrives('c', 'opt_out', opt_out(1, '{"retention_class": "guest", "rule": "site/guest"}'), opt_out(1, '{"retention_class": "guest", "rule": "site/guest", "revoked_at": "2026-02-01"}'));

-- Two sites merge the same two while they do not hear each other: they are one person until both merges are undone.
SELECT facematch.merge_subjects(subject(10), subject(11)) AS mine \gset
SELECT arrives('c', 'subjects', NULL, merge(11, 10));
SELECT facematch.merge_subjects(subject(10), subject(11)) = :mine AS the_same;
SELECT * FROM merges ORDER BY merged_by;
SELECT arrives('c', 'subjects', merge(11, 10), merge(11, 10, :undone));
SELECT merged_by, undone, cardinality(facematch_internal.aliases(subject(10))) AS subjects FROM merges ORDER BY merged_by;
-- One that was undone and is deleted there is not the one that stands here.
SELECT arrives('c', 'subjects', merge(11, 10, :undone), NULL);
UPDATE facematch.subject_merge SET undone_at = clock_timestamp();
SELECT undone, cardinality(facematch_internal.aliases(subject(10))) AS subjects FROM merges;
-- Undone at one site and deleted at another, whose event comes first.
SELECT arrives('c', 'subjects', NULL, merge(12, 13));
SELECT arrives('c', 'subjects', merge(12, 13, :undone), NULL);
SELECT arrives('a', 'subjects', merge(12, 13), merge(12, 13, :undone));
SELECT * FROM merges WHERE kept = '12';

-- Classes and kinds of events that are deleted where rules come from, and in use here.
SELECT arrives('a', 'class', NULL, '{"name": "crew", "description": "crews", "shipped": false}');
SELECT arrives('a', 'event_kind', NULL, '{"name": "landing", "description": "landed", "shipped": false}');
INSERT INTO facematch.opt_out (subject_id, retention_class) VALUES (subject(20), 'crew');
INSERT INTO facematch.anchor_event (subject_id, event) VALUES (subject(20), 'landing');
SELECT arrives('a', 'class', '{"name": "crew", "description": "crews", "shipped": false}', NULL);
SELECT arrives('a', 'event_kind', '{"name": "landing", "description": "landed", "shipped": false}', NULL);
SELECT name FROM facematch.retention_class WHERE NOT shipped;
-- There again, it is here what it is there.
SELECT arrives('a', 'class', NULL, '{"name": "crew", "description": "crews and staff", "shipped": false}');
SELECT name, description FROM facematch.retention_class WHERE NOT shipped;
-- A name that this site has given itself is never overwritten.
SELECT arrives('a', 'class', NULL, '{"name": "us_citizen", "description": "mine", "shipped": false}');

-- Ends that come before their beginnings: in one transaction, as in the first copy of a table, which has no order between sites.
SELECT pg_replication_origin_create('facematch_test') IS NOT NULL AS created;
SELECT pg_replication_origin_session_setup('facematch_test');
BEGIN;
INSERT INTO facematch.rights_event VALUES
	(site('d'), 1, now(), 'clerk', 'opt_out', opt_out(30), opt_out(30, :revoked)),
	(site('d'), 2, now(), 'clerk', 'hold', hold(30), hold(30, :released)),
	(site('d'), 3, now(), 'clerk', 'subjects', merge(30, 31), merge(30, 31, :undone)),
	(site('d'), 4, now(), 'clerk', 'subjects', merge(30, 31, :undone), NULL),
	(site('d'), 5, now(), 'clerk', 'posting', posting(1, 'EWR', 'Hello'), posting(1, 'EWR', 'Hello', :removed));
INSERT INTO facematch.rights_event SELECT site('e'), row_number() OVER (), now(), 'clerk', v.* FROM (VALUES
	('notice', NULL::jsonb, notice(1, 'Hello')),
	('opt_out', NULL, opt_out(30)), ('opt_out', NULL, opt_out(31)), ('opt_out', NULL, opt_out(30, '{"recorded_by": "another"}')),
	('hold', NULL, hold(30)), ('hold', NULL, hold(31)), ('subjects', NULL, merge(30, 31)), ('subjects', NULL, merge(30, 32)),
	('posting', NULL, posting(1, 'EWR', 'Hello')), ('posting', NULL, posting(1, 'JFK', 'Hello'))) v;
COMMIT;
SELECT pg_replication_origin_session_reset();
SELECT pg_replication_origin_drop('facematch_test');
SELECT o.*, recorded_by FROM opt_outs o JOIN facematch.opt_out t ON right(t.subject_id::text, 2) = o.subject AND t.revoked_at IS NOT NULL = o.revoked WHERE subject IN ('30', '31') ORDER BY 1, recorded_by;
SELECT right(subject_id::text, 2) AS subject, released_at IS NOT NULL AS released FROM facematch.hold ORDER BY 1;
SELECT * FROM merges WHERE kept = '30' ORDER BY 2;
SELECT port, removed_at IS NOT NULL AS removed FROM facematch.notice_posting ORDER BY 1;

-- Two sites that each write the next version of a notice: both are evidence, and each site keeps its own.
INSERT INTO facematch.notice (name, texts) VALUES ('gate', '{"en": "Here"}');
INSERT INTO facematch.notice_posting (notice, port) VALUES ('gate', 'JFK');
SELECT arrives('c', 'notice', NULL, notice(2, 'There'));
SELECT arrives('c', 'notice', notice(2, 'There'), notice(2, 'There now'));
SELECT arrives('c', 'posting', NULL, posting(2, 'EWR', 'There now'));
SELECT arrives('c', 'posting', posting(2, 'EWR', 'There now'), posting(2, 'EWR', 'There now', :removed));
SELECT arrives('c', 'posting', NULL, posting(2, 'BOS', 'Here', jsonb_build_object('posted_at', now())));
SELECT arrives('c', 'posting', NULL, posting(9, 'BOS', 'Never'));
SELECT version, texts FROM facematch.notice ORDER BY version;
SELECT version, port FROM facematch.notice_posting ORDER BY version, port;
-- One that hangs here already, and is changed or deleted there.
SELECT arrives('c', 'notice', NULL, notice(3, 'Draft'));
SELECT arrives('c', 'notice', notice(3, 'Draft'), notice(3, 'Draft 2'));
INSERT INTO facematch.notice_posting (notice, version, port) VALUES ('gate', 3, 'JFK');
SELECT arrives('c', 'notice', notice(3, 'Draft 2'), notice(3, 'Draft 3'));
SELECT arrives('d', 'notice', notice(3, 'Draft 2'), NULL);
SELECT version, texts FROM facematch.notice WHERE version = 3;
SELECT severity, finding, replace(object, site('c')::text, 'c') AS object FROM facematch.health_check() WHERE severity <> 'verdict' AND finding ~ 'notice' ORDER BY object;
SELECT arrives('c', 'notice', notice(2, 'There now'), NULL);

-- An opt-out that is decided at its site, once the person is staged there.
SELECT arrives('c', 'opt_out', NULL, opt_out(n, '{"retention_class": null, "answer": "class_not_known", "rule": null}')) FROM generate_series(60, 62) n;
UPDATE facematch.opt_out SET retention_class = 'exempt_alien' WHERE subject_id = subject(61);
SELECT arrives('c', 'opt_out', opt_out(n, '{"retention_class": null, "answer": "class_not_known", "rule": null}'),
	opt_out(n, jsonb_build_object('retention_class', CASE n WHEN 62 THEN 'guest' ELSE 'noncitizen' END, 'answer', 'without_right', 'rule', 'cbp/noncitizen/2025'))) FROM generate_series(60, 62) n;
SELECT * FROM opt_outs WHERE subject LIKE '6_' ORDER BY subject;

-- What is about a gallery that is gone there names no gallery here.
SELECT arrives('c', 'opt_out', NULL, opt_out(70, jsonb_build_object('scope', 'encounter', 'gallery_id', gallery_id))) FROM facematch.gallery;
SELECT arrives('c', 'hold', NULL, hold(70, jsonb_build_object('subject_id', NULL, 'table_name', 'facematch.gallery', 'row_id', gallery_id::text))) FROM facematch.gallery;
SELECT arrives('c', 'opt_out', NULL, opt_out(70, '{"scope": "encounter", "gallery_id": 77, "gallery": "UA1", "gallery_until": "infinity"}'));
SELECT o.subject, o.scope, g.name FROM opt_outs o, facematch.gallery g JOIN facematch.opt_out t USING (gallery_id) WHERE o.subject = '70';

-- A hold of this site's own on a row that was lost with the restore: whoever gets its number later is not held.
SELECT arrives('b', 'hold', NULL, hold(0, '{"subject_id": null, "table_name": "facematch.reference", "row_id": "1"}'));
SELECT arrives('b', 'hold', NULL, hold(0, jsonb_build_object('subject_id', NULL, 'table_name', 'facematch.gallery', 'row_id', gallery_id::text))) FROM facematch.gallery;
SELECT table_name, placed_at FROM facematch.hold WHERE table_name IS NOT NULL;
SELECT count(*) FROM facematch.verify_audit() WHERE NOT intact;
