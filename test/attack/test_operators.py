#!/usr/bin/env python3
"""What an operator, who searches and stages, gets besides answers: scores, deadlines, watchlists, texts that keep a template."""
import base64
import struct
import uuid

import psycopg

from attack import Attacker, Failure, PREFIX, THRESHOLD, expect, main, near, text_of, vector


def test_operators_scores(site):
    """Basis probes against everybody would read every template, a component a call."""
    operator = Attacker(site, 'operator')
    subjects = site.value('SELECT count(*) FROM facematch.reference')
    for i in range(8):
        basis = text_of([float(i == j) for j in range(64)])
        expect('a basis probe has no candidates', operator.allowed("SELECT similarity FROM facematch.identify(%s::face_embedding, 'OWN1', 100000)", [basis]) == [])
        operator.refused("SELECT similarity FROM facematch.identify(%s::face_embedding, 'OWN1', 100000, -1)", [basis])
        operator.refused("SELECT similarity FROM facematch.identify(%s::face_embedding, 'OWN1', 1, %s)", [basis, THRESHOLD - 0.001])
        operator.refused('SELECT * FROM facematch.verify(%s::face_embedding, %s, min_similarity => -1)', [basis, site.first])
        row = operator.allowed('SELECT match, similarity FROM facematch.verify(%s::face_embedding, %s)', [basis, site.first])[0]
        expect(f'no score without a match: {row}', row == (False, None))
        row = operator.allowed("SELECT outcome, similarity FROM facematch.record_encounter('OWN1', %s::face_embedding, port => 'P')", [basis])[0]
        expect(f'nor at the gate: {row}', row == ('no_match', None))
    expect('candidates have none either', site.value('SELECT count(*) FROM facematch.candidate WHERE similarity < %s', THRESHOLD) == 0)
    for sql in ('SELECT similarity FROM facematch.candidate', 'SELECT similarity FROM facematch.encounter', 'SELECT runner_up FROM facematch.encounter'):
        operator.refused(sql, states=('42501',))
    expect('a mate has a score', operator.allowed("SELECT similarity FROM facematch.identify(%s::face_embedding, 'OWN1')", [text_of(near(site, 'OWN1 2'))])[0][0] > THRESHOLD)
    # A mean with a template of one's own choice would have scores above the threshold that tell of the other's.
    operator.refused("SELECT facematch.merge_references('OWN1', %s)", [site.subjects['OWN1 2']])
    operator.refused("SELECT * FROM facematch.duplicates('OWN1', -1)")
    operator.refused("SELECT * FROM facematch.duplicates('OWN1', -1, 'OWN2')")
    # No gallery with a threshold of one's own.
    operator.refused("INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('LOW', 'flight', 'm', -1)")
    operator.refused('UPDATE facematch.gallery SET min_similarity = -1')
    gallery = operator.allowed("SELECT facematch.stage_gallery('NEXT', 'OWN1', now() + interval '1 day')")[0][0]
    expect('its threshold is the pattern\'s', operator.allowed('SELECT min_similarity FROM facematch.gallery WHERE gallery_id = %s', [gallery])[0][0] == THRESHOLD)
    operator.refused('UPDATE facematch.reference SET gallery_id = %s', [gallery])
    expect('nothing was lost', site.value('SELECT count(*) FROM facematch.reference') == subjects)
    operator.close()


def test_operators_see_no_near_miss(site):
    """How many references an index search looked at more closely tells how near a probe was to those that do not match."""
    operator = Attacker(site, 'operator')
    operator.allowed("SELECT * FROM facematch.identify(%s::face_embedding, 'OWN1')", [text_of(near(site, 'OWN1 1', 0.5))])
    for sql in ('SELECT * FROM facematch.last_scan()', 'SELECT * FROM facematch_internal.search_activity()', 'SELECT * FROM facematch.stats', "SELECT * FROM facematch.index_stats('facematch.facematch_reference_face_idx')"):
        operator.refused(sql)
    operator.close()


def test_operators_deadlines(site):
    operator = Attacker(site, 'operator')
    watch = site.value("SELECT gallery_id FROM facematch.gallery WHERE name = 'WATCH'")
    own = site.value("SELECT gallery_id FROM facematch.gallery WHERE name = 'OWN1'")
    template = text_of(vector(site.generator))
    for sql in ("UPDATE facematch.reference SET purge_after = 'infinity'", "UPDATE facematch.encounter SET purge_after = 'infinity'", "UPDATE facematch.gallery SET anchor_at = now() + interval '1 year'",
                "UPDATE facematch.gallery SET purge_after = 'infinity'", "INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (gen_random_uuid(), 'x', 'x')",
                "INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, lengthens) VALUES ('x', 'us_citizen', 'reference', '{recorded}', '{100 years}', 'x', true)",
                "UPDATE facematch.retention_rule SET keep = '{100 years}'", 'DELETE FROM facematch.retention_rule', "INSERT INTO facematch.anchor_event (subject_id, event) VALUES (gen_random_uuid(), 'exit')",
                "INSERT INTO facematch.retention_class (name, description) VALUES ('x', 'x')", 'DELETE FROM facematch.opt_out', "UPDATE facematch.opt_out SET until = now()",
                "SELECT facematch.merge_subjects(gen_random_uuid(), gen_random_uuid())", 'CALL facematch.purge()', 'DELETE FROM facematch.decline_rule',
                f"INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after) VALUES ({own}, gen_random_uuid(), 'us_citizen', '{template}', 'x', 'infinity')",
                f"INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at) VALUES ({own}, gen_random_uuid(), 'us_citizen', '{template}', 'x', '2100-01-01')",
                f"INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES ({watch}, gen_random_uuid(), 'watchlist', '{template}', 'x')",
                "UPDATE facematch.encounter SET outcome = 'match'", 'INSERT INTO facematch.audit_event (action) VALUES (\'x\')', "SELECT facematch_internal.write_audit('x', '{}')",
                "INSERT INTO facematch.disclosure (partner, nature, purpose) VALUES ('x', 'x', 'x')", "UPDATE facematch.partner SET per_day = 1000000", "SELECT facematch.set_config('x')"):
        operator.refused(sql, states=('42501', '42883'))
    for anchor in ("'infinity'", 'NULL', "now() + interval '61 days'", "now() - interval '15 days'"):
        operator.refused(f"SELECT facematch.stage_gallery('FAR', 'OWN1', {anchor})", states=('22023',))
    operator.refused("SELECT facematch.stage_gallery('LIST', 'WATCH', now())", states=('22023',))
    operator.allowed(f"INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES ({own}, gen_random_uuid(), 'watchlist', '{template}', 'x')")
    expect('a class of decades ends with its flight', site.value("SELECT max(purge_after) < now() + interval '15 days' FROM facematch.reference WHERE gallery_id = %s", own))
    operator.close()


def test_texts_keep_no_template(site):
    """What is typed in outlives templates: in the log, for five years, in statistics. It takes none."""
    operator, reader = Attacker(site, 'operator'), Attacker(site, 'template_reader')
    parts = vector(site.generator)
    referred = operator.allowed("SELECT encounter_id FROM facematch.record_encounter('OWN1', port => 'P')")[0][0]
    texts = {'a template': text_of(parts), 'its bytes': '\\x' + ''.join(f'{b:02x}' for p in parts for b in struct.pack('e', p)),
             'a list': ' '.join(map(repr, parts)), 'rows': ', '.join(f'({i}, {p!r})' for i, p in enumerate(parts)),
             'base64': base64.urlsafe_b64encode(b''.join(struct.pack('f', p) for p in parts)).decode(), 'a long story': 'x ' * 501}
    for name, text in texts.items():
        for attacker, sql in ((operator, "SELECT facematch.record_disclosure('Acme Air', gen_random_uuid(), %s, 'x')"), (operator, "SELECT facematch.record_disclosure('Acme Air', gen_random_uuid(), 'x', %s)"),
                              (operator, "SELECT facematch.record_disclosure('Acme Air', gen_random_uuid(), 'x', 'x', %s)"),
                              (operator, 'INSERT INTO facematch.opt_out (subject_id, alternative) VALUES (gen_random_uuid(), %s)'),
                              (operator, "SELECT facematch.record_encounter('OWN1', port => 'P', idempotency_key => %s)"),
                              (operator, f"SELECT facematch.resolve_encounter({referred}, gen_random_uuid(), 'us_citizen', %s)"),
                              (operator, "SELECT facematch.record_encounter('OWN1', port => %s)"), (operator, "SELECT facematch.record_encounter('OWN1', port => 'P', lane => %s)"),
                              (reader, "CALL facematch.announce_reading('OWN1', purpose => %s)")):
            attacker.refused(sql, [text], states=('23514',))
            expect(f'the refusal does not repeat {name}: {attacker.message}', text[:40] not in attacker.message)
    for sql in ('INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (gen_random_uuid(), %s, %s)', "UPDATE facematch.partner SET purpose = %s, address = %s WHERE name = 'Acme Air'"):
        try:
            site.execute(sql, texts['a template'], 'x')
            raise Failure(f'an owner wrote a template down: {sql}')
        except psycopg.errors.CheckViolation:
            pass
    said = 'by letter of 2026-11-02, sections 1, 2 and 7; 10.5 % of 3 500'
    operator.allowed("SELECT facematch.record_disclosure('Acme Air', gen_random_uuid(), %s, %s)", [said, said])
    operator.allowed(f"SELECT facematch.resolve_encounter({referred}, gen_random_uuid(), 'us_citizen', %s)", [said])
    operator.allowed("SELECT facematch.record_encounter('OWN1', port => 'P', idempotency_key => %s)", [f'lane 7, {uuid.uuid4()}, {uuid.uuid4()}'])
    operator.close()
    reader.close()


def test_operators_assign_flights_only(site):
    """A partner that an operator gives a watchlist could ask who is on it."""
    operator = Attacker(site, 'operator')
    assign = "INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_until) SELECT 'Rival Air', gallery_id, now() + interval '1 day' FROM facematch.gallery WHERE name = %s"
    operator.refused(assign, ['WATCH'])
    operator.refused(assign.replace('INSERT INTO', 'WITH g AS (SELECT 1) INSERT INTO').replace("name = %s", "name = %s ON CONFLICT DO NOTHING"), ['WATCH'])
    operator.refused("UPDATE facematch.partner_gallery SET gallery_id = (SELECT gallery_id FROM facematch.gallery WHERE name = 'WATCH')")
    operator.allowed(assign, ['OWN2'])
    expect('it sees what is assigned', operator.allowed("SELECT count(*) FROM facematch.partner_gallery WHERE partner = 'Rival Air'")[0][0] == 2)
    operator.allowed("UPDATE facematch.partner_gallery SET valid_until = now() WHERE partner = 'Rival Air' AND gallery_id = (SELECT gallery_id FROM facematch.gallery WHERE name = 'OWN2')")
    operator.close()


def test_operators_end_no_watchlist(site):
    """Nor empty one, nor turn one into a gallery whose references are due in days and that a partner may be given."""
    site.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('BRIEF', 'watchlist', 'm', %s, now() + interval '1 day')", THRESHOLD)
    site.stage('BRIEF', 'briefly watched', 'watchlist')
    site.execute("INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_from, valid_until) SELECT 'Rival Air', gallery_id, now() - interval '2 days',"
                 " now() - interval '1 day' FROM facematch.gallery WHERE name = 'WATCH'")
    state = ("SELECT array_agg((g.name, g.anchor_at, g.closed_at, g.purge_after, r.reference_id, r.purge_after)::text ORDER BY r.reference_id) FROM facematch.gallery g"
             " JOIN facematch.reference r USING (gallery_id) WHERE g.kind = 'watchlist'")
    before = site.value(state)
    operator, rival = Attacker(site, 'operator'), Attacker(site, 'rival')
    for name in ('WATCH', 'BRIEF'):
        operator.refused('SELECT facematch.close_gallery(%s)', [name])
        operator.refused("SELECT * FROM facematch.restage_gallery(%s, '{}')", [name])
        operator.refused("SELECT * FROM facematch.restage_gallery(%s, ARRAY[gen_random_uuid()])", [name])
        operator.refused("SELECT facematch.stage_gallery('LIKE IT', %s, now())", [name], states=('22023',))
        operator.refused("INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_until) SELECT 'Rival Air', gallery_id, now() + interval '1 day'"
                         ' FROM facematch.gallery WHERE name = %s', [name])
        operator.refused("INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT gallery_id, gen_random_uuid(),"
                         " 'watchlist', %s::face_embedding, 'x' FROM facematch.gallery WHERE name = %s", [text_of(vector(site.generator)), name])
    for until in ("now() + interval '10 years'", "'infinity'", 'NULL', 'now()'):
        operator.refused(f"UPDATE facematch.partner_gallery SET valid_until = {until} WHERE gallery_id = (SELECT gallery_id FROM facematch.gallery WHERE name = 'WATCH')", states=('42501', '23502'))
    for table in ('gallery', 'reference', 'partner_gallery'):
        operator.refused(f'DELETE FROM facematch.{table}')
    operator.refused('UPDATE facematch.gallery SET anchor_at = now()')
    operator.refused('UPDATE facematch.reference SET purge_after = now()')
    rival.refused('CALL facematch.ask(%s, %s::face_embedding)', ['WATCH', text_of(site.templates['watched'])])
    expect('watchlists are as they were', site.value(state) == before)
    # Of a flight's, an operator does all of it, and what goes is in the log.
    operator.allowed("SELECT facematch.stage_gallery('ENDS', 'OWN1', now() + interval '1 day')")
    site.stage('ENDS', 'leaves')
    logged = "SELECT count(*) FROM facematch.audit_event WHERE action = 'gallery_restaged' AND detail ->> 'about' = 'gallery:' || (SELECT gallery_id FROM facematch.gallery WHERE name = 'ENDS')"
    expect('removed', operator.allowed("SELECT state FROM facematch.restage_gallery('ENDS', '{}')") == [('removed',)])
    operator.allowed("SELECT state FROM facematch.restage_gallery('ENDS', '{}')")
    expect('logged once', site.value(logged) == 1)
    operator.allowed("SELECT facematch.close_gallery('ENDS')")
    # Who may put references anywhere ends watchlists too.
    expect('an owner may', site.value("SELECT facematch.close_gallery('BRIEF') < now() + interval '15 days'"))
    operator.close()
    rival.close()


def test_operators_see_no_watchlist(site):
    """A pseudonym can be computed from a document: who is on a watchlist would be told without a face."""
    operator, partner, monitor, auditor = (Attacker(site, kind) for kind in ('operator', 'partner', 'monitor', 'auditor'))
    site.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('MEMBERS', 'enrolment', 'm', %s)", THRESHOLD)
    enrolled = site.stage('MEMBERS', 'a member', 'watchlist')
    own = site.value("SELECT gallery_id FROM facematch.gallery WHERE name = 'OWN1'")
    for sql in ('SELECT subject_id FROM facematch.reference', 'SELECT subject_id FROM facematch.reference r JOIN facematch.gallery g USING (gallery_id)',
                'SELECT max(subject_id::text) FROM facematch.reference GROUP BY gallery_id'):
        seen = {str(row[0]) for row in operator.allowed(sql)}
        expect(f'nobody of a watchlist, nor of a gallery without an anchor: {sql}', not seen & {str(site.subjects[name]) for name in ('watched', 'a member')})
        expect('flights are seen', sql.startswith('SELECT max') or str(site.subjects['OWN1 1']) in seen)
    for name, reference in (('watched', site.watched), ('a member', enrolled)):
        expect('not by the pseudonym', operator.allowed('SELECT count(*) FROM facematch.reference WHERE subject_id = %s', [site.subjects[name]])[0][0] == 0)
        expect('not by the number', operator.allowed('SELECT count(*) FROM facematch.reference WHERE reference_id = %s', [reference])[0][0] == 0)
        expect('not by a join', operator.allowed('SELECT count(*) FROM (VALUES (%s::uuid)) v (s) JOIN facematch.reference r ON r.subject_id = v.s', [site.subjects[name]])[0][0] == 0)
        # Nor by a verification without the face: whoever is named, the answer, or the error, is the same.
        for target in (('WATCH', 'MEMBERS')[name == 'a member'], reference):
            for more in ('', ', min_similarity => -2', ", purpose => 'asked'"):
                said = set()
                for who in (site.subjects[name], uuid.uuid4()):
                    answer = operator.run(f'SELECT * FROM facematch.verify(%s::face_embedding, %s, %s::uuid{more})', [text_of(vector(site.generator)), target, who])
                    said.add(str((answer, operator.message)))
                expect(f'not by a verification{more}: {said}', len(said) == 1)
        expect('nor by why it is kept', operator.allowed("SELECT * FROM facematch.explain_retention('facematch.reference', %s)", [reference]) == [])
        expect('an auditor is told', len(auditor.allowed("SELECT rule FROM facematch.explain_retention('facematch.reference', %s)", [reference])) == 1)
        row = operator.allowed('SELECT match, similarity, matched_subject FROM facematch.verify(%s::face_embedding, %s)', [text_of(vector(site.generator)), reference])[0]
        expect(f'nor by a face that is not theirs: {row}', row == (False, None, None))
        row = operator.allowed('SELECT match, matched_subject FROM facematch.verify(%s::face_embedding, %s)', [text_of(near(site, name)), reference])[0]
        expect(f'a face that is, matches: {row}', row == (True, site.subjects[name]))
    row = operator.allowed('SELECT match, matched_subject FROM facematch.verify(%s::face_embedding, %s)', [text_of(vector(site.generator)), site.first])[0]
    expect(f'on a flight the subject is told: {row}', row == (False, site.subjects['first']))
    # A policy that hides rows of INSERT … RETURNING would refuse them.
    stage = ("INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (%s, gen_random_uuid(), 'us_citizen', %s::face_embedding, 'visa')"
             ' RETURNING reference_id, gallery_id')
    row = operator.allowed(stage, [own, text_of(vector(site.generator))])[0]
    expect('what is staged is returned', row[1] == own)
    site.execute('DELETE FROM facematch.reference WHERE reference_id = %s', row[0])
    # Which galleries are flights, or are none.
    galleries = [row[0] for row in site.execute('SELECT gallery_id FROM facematch.gallery').fetchall()]
    expect('an operator may stage some', {row[0] for row in operator.allowed('SELECT facematch_internal.may_stage(g) FROM unnest(%s::bigint[]) g', [galleries])} == {True, False})
    for attacker in (partner, monitor, auditor):
        expect(f'{attacker.kind}: none is told', {row[0] for row in attacker.allowed('SELECT facematch_internal.may_stage(g) FROM unnest(%s::bigint[]) g', [galleries])} == {False})
        expect(f'{attacker.kind}: nor which are unseen', attacker.allowed('SELECT facematch_internal.unseen_galleries()')[0][0] == [])
    # Who may read templates, or insert anywhere, works with all of them; a role that acts for another, with what that one may.
    reads = "SELECT count(*) FROM facematch.reference WHERE subject_id IN (%s, %s)"
    for right in ('SELECT (embedding)', 'INSERT'):
        site.execute(f'GRANT {right} ON facematch.reference TO {PREFIX}operator')
        expect(f'{right}: they are seen', operator.allowed(reads, [site.subjects['watched'], site.subjects['a member']])[0][0] == 2)
        site.execute(f'REVOKE {right} ON facematch.reference FROM {PREFIX}operator')
        site.execute('SELECT facematch.reinstate()')
    site.execute(f'GRANT {PREFIX}operator TO {PREFIX}visitor')
    site.execute(f'ALTER ROLE {PREFIX}visitor NOINHERIT')
    visitor = Attacker(site, 'visitor')
    visitor.allowed(f'SET ROLE {PREFIX}operator')
    told = visitor.connection.execute(reads, [site.subjects['watched'], site.subjects['a member']]).fetchone()[0]
    expect('SET ROLE shows no more', told == 0)
    expect('and flights as before', visitor.connection.execute('SELECT count(*) FROM facematch.reference WHERE gallery_id = %s', [own]).fetchone()[0] > 0)
    row = visitor.connection.execute(stage, [own, text_of(vector(site.generator))]).fetchone()
    site.execute('DELETE FROM facematch.reference WHERE reference_id = %s', row[0])
    visitor.close()
    site.execute(f'ALTER ROLE {PREFIX}visitor INHERIT')
    site.execute(f'REVOKE {PREFIX}operator FROM {PREFIX}visitor')
    site.execute("DELETE FROM facematch.gallery WHERE name = 'MEMBERS'")
    for attacker in (operator, partner, monitor, auditor):
        attacker.close()


def test_operators_backdate_no_encounter(site):
    """Its record would be due at once, and an exit of long ago would bring the subject's deadlines nearer."""
    operator = Attacker(site, 'operator')
    probe = text_of(near(site, 'OWN1 2', 0.97))
    record = "SELECT encounter_id, purge_after > now() FROM facematch.record_encounter('OWN1', %s::face_embedding, port => 'P', direction => 'exit', occurred_at => {})"
    events = site.value('SELECT count(*) FROM facematch.anchor_event')
    for moment in ("'2020-01-01'", "'-infinity'", "now() - interval '6 hours 1 minute'"):
        operator.refused(record.format(moment), [probe])
    expect('nothing left', site.value('SELECT count(*) FROM facematch.anchor_event') == events)
    encounter, kept = operator.allowed(record.format("now() - interval '5 hours 59 minutes'"), [probe])[0]
    expect('what a gate that was cut off brings is not due', kept)
    operator.refused('UPDATE facematch.encounter SET occurred_at = now() WHERE encounter_id = %s', [encounter])
    operator.close()


if __name__ == '__main__':
    main(test_operators_scores, test_operators_see_no_near_miss, test_operators_deadlines, test_texts_keep_no_template,
         test_operators_assign_flights_only, test_operators_end_no_watchlist, test_operators_see_no_watchlist, test_operators_backdate_no_encounter)
