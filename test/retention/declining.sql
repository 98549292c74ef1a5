-- Who may decline: dated law, by class and purpose; opt-outs that the law gives, and that it does not.
\set SHOW_CONTEXT never
INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
	('flight', 'flight', 'two', 0.99, now() + interval '2 hours'), ('next', 'flight', 'two', 0.99, now() + interval '3 hours'),
	('wanted', 'watchlist', 'two', 0.99, NULL);
CREATE FUNCTION subject(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;
CREATE FUNCTION face(n int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[cosd(n * 3), sind(n * 3)]::face_embedding $$;
CREATE FUNCTION stage(gallery text, n int, class text, at timestamptz DEFAULT now()) RETURNS void LANGUAGE sql AS $$
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)
	SELECT gallery_id, subject(n), class, face(n), 's', at FROM facematch.gallery WHERE name = $1 $$;
CREATE FUNCTION staged(n int) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(g.name, ' ' ORDER BY g.name), 'nothing') FROM facematch.reference r JOIN facematch.gallery g USING (gallery_id) WHERE r.subject_id = subject(n) $$;

-- The shipped law, the moment before each date and at it.
SELECT name, retention_class, purpose, may_decline, notice_required, alternative, valid_from, valid_to, citation ~ 'To be confirmed' AS confirm
FROM facematch.decline_rule ORDER BY retention_class, valid_from, name;
SELECT c AS class, p AS purpose, d.may_decline AS before, d.name AS rule_before, e.may_decline AS from_then, e.name AS rule_then
FROM unnest('{us_citizen,exempt_alien,noncitizen,watchlist,unmatched}'::text[]) c, unnest('{flight,watchlist}'::text[]) p,
	 facematch.may_decline(c, p, '2025-12-25 23:59:59.999999+00') d, facematch.may_decline(c, p, '2025-12-26 00:00+00') e ORDER BY 1, 2;

-- A citizen declines by right: templates go, and none comes back, as whatever the person is staged. The watchlist is no matter of choice.
SELECT stage('flight', 1, 'us_citizen'), stage('wanted', 1, 'watchlist');
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(1)) RETURNING answer, rule, retention_class, alternative;
SELECT staged(1), facematch.is_opted_out(subject(1));
SELECT stage('flight', 1, 'us_citizen');
SELECT stage('flight', 1, 'noncitizen');
SELECT stage('wanted', 1, 'watchlist');
SELECT staged(1);

-- An in-scope alien has no right since 26 December 2025: said with the rule, and nothing is removed.
SELECT stage('flight', 2, 'noncitizen');
INSERT INTO facematch.opt_out (subject_id, port) VALUES (subject(2), 'JFK') RETURNING answer, rule, retention_class, alternative;
SELECT staged(2), facematch.is_opted_out(subject(2));
SELECT stage('next', 2, 'noncitizen');
SELECT outcome, reason FROM facematch.record_encounter('flight', face(2), port => 'JFK', subject_id => subject(2));
SELECT outcome, reason FROM facematch.record_encounter('flight', face(40), port => 'JFK', subject_id => subject(2));
SELECT subject_id, state FROM facematch.restage_gallery('flight', ARRAY[subject(1), subject(2)]) ORDER BY 1;

-- Nobody knows yet who this is: it holds, until the person is staged as one who may not decline. It is said once.
INSERT INTO facematch.opt_out (subject_id) VALUES (subject(3)), (subject(4)) RETURNING answer, rule, retention_class;
SELECT facematch.is_opted_out(subject(3)), (SELECT outcome FROM facematch.record_encounter('flight', face(30), port => 'LAX', subject_id => subject(3)));
SELECT stage('flight', 3, 'noncitizen');
SELECT stage('next', 3, 'noncitizen');
SELECT staged(3), facematch.is_opted_out(subject(3));
-- Who turns out to be a citizen is left out, and the answer is settled.
BEGIN;
SET LOCAL facematch.on_opt_out = skip;
SELECT stage('flight', 4, 'us_citizen');
COMMIT;
SELECT stage('next', 4, 'noncitizen');
SELECT subject_id, answer, rule, retention_class FROM facematch.opt_out ORDER BY opt_out_id;
-- Who was taken for an alien is a citizen: what there was of the person goes.
UPDATE facematch.opt_out SET retention_class = 'us_citizen' WHERE subject_id = subject(3);
SELECT staged(3), facematch.is_opted_out(subject(3));

-- An exemption that ended: who had declined by it is asked again, and told so, once.
INSERT INTO facematch.opt_out (subject_id, noticed_at, retention_class) VALUES (subject(6), '2025-12-25 23:59+00', 'exempt_alien'),
	(subject(5), '2025-12-26 00:00+00', 'exempt_alien') RETURNING subject_id, answer, rule;
SELECT stage('flight', 6, 'exempt_alien');
SELECT stage('next', 6, 'exempt_alien');
SELECT staged(6);
SELECT answer, rule FROM facematch.opt_out WHERE subject_id = subject(6);

-- A law of a day to come: a notice cannot be dated ahead to that day. A decline for a flight that is not there is refused.
INSERT INTO facematch.decline_rule (name, retention_class, may_decline, alternative, citation, valid_from)
VALUES ('site/later', 'exempt_alien', true, 'desk', 'site rule', now() + interval '1 year');
INSERT INTO facematch.opt_out (subject_id, noticed_at, retention_class) VALUES (subject(16), now() + interval '2 years', 'exempt_alien')
RETURNING answer, rule, noticed_at <= clock_timestamp() AS by_now;
DELETE FROM facematch.decline_rule WHERE name = 'site/later';
INSERT INTO facematch.opt_out (subject_id, scope, gallery_id) VALUES (subject(16), 'encounter', 999999);

-- A site's rule goes before the shipped ones, for its dates and its purpose; rules that have taken force are a record.
INSERT INTO facematch.decline_rule (name, retention_class, purpose, may_decline, alternative, citation, valid_from)
VALUES ('site/crew', 'noncitizen', 'cruise', true, 'crew desk', 'site rule', now());
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('ship', 'cruise', 'two', 0.99, now() + interval '2 hours');
SELECT stage('ship', 7, 'noncitizen'), stage('flight', 7, 'noncitizen');
INSERT INTO facematch.opt_out (subject_id, scope, gallery_id, port) SELECT subject(7), 'encounter', gallery_id, 'MIA' FROM facematch.gallery WHERE name = 'ship'
RETURNING answer, rule, alternative;
SELECT staged(7);
UPDATE facematch.decline_rule SET may_decline = false, alternative = NULL WHERE name = 'site/crew';
DELETE FROM facematch.decline_rule WHERE name = 'site/crew';
UPDATE facematch.decline_rule SET valid_to = now() WHERE name = 'cbp/noncitizen/2025';
\set VERBOSITY terse
INSERT INTO facematch.decline_rule (name, retention_class, may_decline, citation) VALUES ('site/none', 'nobody', false, 'x');
INSERT INTO facematch.decline_rule (name, retention_class, may_decline, citation) VALUES ('site/none', 'us_citizen', true, 'x');
INSERT INTO facematch.decline_rule (name, retention_class, may_decline, citation) VALUES ('site/none', 'us_citizen', false, '');
\set VERBOSITY default
-- The answer is the law's: nobody writes it.
UPDATE facematch.opt_out SET answer = 'by_right' WHERE subject_id = subject(2);
SELECT answer, rule FROM facematch.opt_out WHERE subject_id = subject(2);

-- A table of a site's own: what it is attached as is the purpose.
CREATE TABLE visa (id int PRIMARY KEY, subject_id uuid, class text, at timestamptz NOT NULL DEFAULT now(), face face_embedding);
INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES
	('visa/n', 'noncitizen', 'visa', '{recorded}', '{1 day}', 'x'), ('visa/e', 'exempt_alien', 'visa', '{recorded}', '{10 years}', 'x'), ('visa/c', 'us_citizen', 'visa', '{recorded}', '{1 day}', 'x');
SELECT facematch.retain('visa', 'visa', class_column => 'class', recorded_column => 'at', subject_column => 'subject_id', template_column => 'face');
INSERT INTO visa VALUES (8, subject(8), 'noncitizen', now(), face(8)), (9, subject(9), 'us_citizen', now(), face(9));
INSERT INTO facematch.opt_out (subject_id, retention_class) VALUES (subject(8), 'noncitizen'), (subject(9), NULL);
SELECT id FROM visa ORDER BY 1;
INSERT INTO visa VALUES (18, subject(8), 'noncitizen', now(), face(8));
INSERT INTO visa VALUES (19, subject(9), 'us_citizen', now(), face(9));
-- The law of the later day, of the notice and of the record, on both sides of the date.
INSERT INTO visa SELECT n, subject(n), 'exempt_alien', CASE WHEN n % 2 = 0 THEN timestamptz '2025-12-25 23:59:59.999999+00' ELSE '2025-12-26 00:00+00' END, face(n)
FROM generate_series(20, 25) n;
INSERT INTO facematch.opt_out (subject_id, retention_class, noticed_at)
SELECT subject(n), 'exempt_alien', CASE WHEN n < 22 THEN timestamptz '2025-12-25 23:59:59.999999+00' ELSE '2025-12-26 00:00+00' END
FROM generate_series(20, 23) n RETURNING subject_id, answer, rule;
SELECT id, at < '2025-12-26 00:00+00' AS recorded_before FROM visa WHERE id >= 20 ORDER BY 1;
CALL facematch.recompute();
SELECT id FROM visa ORDER BY 1;
SELECT severity, finding FROM facematch.health_check() WHERE finding ~ 'opted out';
-- A rule for a purpose that nothing has: a word that is misspelt. Kinds of gallery and words of tables are known.
BEGIN;
INSERT INTO facematch.decline_rule (name, retention_class, purpose, may_decline, citation) VALUES
	('site/misspelt', 'us_citizen', 'wachtlist', false, 'c'), ('site/kind', 'us_citizen', 'cruise', false, 'c'), ('site/table', 'us_citizen', 'visa', false, 'c'),
	('site/own', 'us_citizen', 'reference', false, 'c');
SELECT severity, finding, object FROM facematch.health_check() WHERE object ~ 'decline rule';
INSERT INTO facematch.gallery_kind (name, description) VALUES ('wachtlist', 'as it is called here');
SELECT severity, finding, object FROM facematch.health_check() WHERE object ~ 'decline rule';
ROLLBACK;

-- An auditor, by SQL alone: how many declined by right and how many asked without one, by port.
SELECT coalesce(port, 'in advance') AS port, sum(by_right) AS by_right, sum(without_right) AS without_right, sum(class_not_known) AS not_known
FROM facematch.report_opt_out GROUP BY 1 ORDER BY 1;
SELECT action, detail ->> 'about' AS about, detail -> 'changed' AS changed FROM facematch.audit_event WHERE action = 'opt_out_decided' ORDER BY event_id;
SELECT intact FROM facematch.verify_audit();
