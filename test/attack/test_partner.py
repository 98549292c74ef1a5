#!/usr/bin/env python3
"""A partner gets match or no match and a token, about its own flights, as often as it may; all of it is accounted, whatever it tries."""
import threading
import time

import psycopg

from attack import Attacker, Failure, PREFIX, THRESHOLD, blend, connect, expect, main, near_miss, similarity, text_of, vector


def near(site, name, weight=0.9):
    """Another picture of somebody: not a byte of it is in the template."""
    probe = blend(site.templates[name], vector(site.generator), weight)
    return probe, similarity(probe, site.templates[name])


def ask(attacker, gallery, probe):
    return attacker.allowed('CALL facematch.ask(%s, %s::face_embedding)', [gallery, text_of(probe)])[0]


def charged(site, partner='Acme Air'):
    row = site.execute('SELECT charged, refused FROM facematch_internal.partner_budget WHERE partner = %s', partner).fetchone()
    return row or (0, 0)


def accounted(site):
    return site.value('SELECT count(*) FROM facematch.disclosure')


def test_answers(site):
    attacker = Attacker(site, 'partner')
    before = accounted(site)
    tokens = {}
    for name in ('OWN1 1', 'OWN1 2', 'OWN2 1'):
        probe, score = near(site, name)
        expect(f'{score} is a match', score > THRESHOLD)
        match, token = ask(attacker, name.split()[0], probe)
        expect(f'{name} matches', match and token is not None)
        expect('the same person, another picture: the same token', ask(attacker, name.split()[0], near(site, name)[0]) == (True, token))
        tokens[name] = token
    stranger = vector(site.generator)
    expect('a stranger does not', ask(attacker, 'OWN1', stranger) == (False, None))
    far, score = near(site, 'OWN1 1', 0.3)
    expect(f'{score} is below the threshold', score < THRESHOLD)
    expect('below the threshold nothing is told', ask(attacker, 'OWN1', far) == (False, None))
    expect('somebody of another flight does not', ask(attacker, 'OWN1', near(site, 'OWN2 1')[0]) == (False, None))
    expect('each use is accounted once', accounted(site) - before == 9)
    expect('three tokens', len(set(tokens.values())) == 3)
    for name, token in tokens.items():
        expect('a token is no pseudonym', token not in site.subjects.values())
        expect('the token is what the stager hands out',
               token == site.value("SELECT facematch.reference_token('Acme Air', reference_id) FROM facematch.reference WHERE subject_id = %s", site.subjects[name]))
    operator = Attacker(site, 'operator')
    for nobody in ('acme air', None):
        operator.refused('SELECT facematch.reference_token(%s, %s)', [nobody, site.first], states=('P0002',))
    expect('of no reference there is none', operator.allowed("SELECT facematch.reference_token('Acme Air', -1)") == [(None,)])
    operator.close()
    # The same person on another flight, and for another partner.
    site.execute('INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)'
                 " SELECT g.gallery_id, r.subject_id, r.retention_class, r.embedding, 'visa' FROM facematch.reference r, facematch.gallery g"
                 " WHERE r.subject_id = %s AND g.name IN ('OWN2', 'OTHERS')", site.subjects['OWN1 1'])
    again = ask(attacker, 'OWN2', near(site, 'OWN1 1')[0])
    expect('another flight: another token', again[0] and again[1] != tokens['OWN1 1'])
    rival = Attacker(site, 'rival')
    other = ask(rival, 'OTHERS', near(site, 'OWN1 1')[0])
    expect('another partner: another token', other[0] and other[1] not in (tokens['OWN1 1'], again[1]))
    rival.close()
    row = site.execute("SELECT partner, recipient, gallery, subject_id, token, nature <> '' AND purpose <> '' FROM facematch.disclosure"
                       " WHERE answer = 'match' ORDER BY disclosure_id DESC LIMIT 1").fetchone()
    expect('the accounting says what, to whom, of whom, what for',
           row == ('Rival Air', PREFIX + 'rival', 'OTHERS', site.subjects['OWN1 1'], other[1], True))
    attacker.close()


def test_whom_the_best_is_not(site):
    """With an operator's help: beside a person somebody of a known score, who is told if the person is farther.  That is told of the person too."""
    attacker = Attacker(site, 'partner')
    probe, score = near(site, 'OWN2 2')
    missing = vector(site.generator)
    expect('a match', score > THRESHOLD)
    decoy = 'INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)' \
            " SELECT gallery_id, gen_random_uuid(), 'us_citizen', %s::face_embedding, 'decoy' FROM facematch.gallery WHERE name = 'OWN2'"

    def attempts(name):
        return site.execute('SELECT count(*), count(*) FILTER (WHERE missed) FROM facematch_internal.attempt WHERE subject_id = %s', site.subjects[name]).fetchone()

    before = attempts('OWN2 2')
    site.execute(decoy, text_of(probe))
    expect('the decoy is the best', ask(attacker, 'OWN2', probe)[0])
    expect('an attempt worth two on who was not', attempts('OWN2 2') == (before[0] + 2, before[1]))
    # Just below the threshold, and the decoy above it: a miss.
    weight = 0.9
    while similarity(blend(site.templates['OWN2 3'], missing, weight), site.templates['OWN2 3']) >= THRESHOLD - 0.01:
        weight -= 0.01
    probe = blend(site.templates['OWN2 3'], missing, weight)
    expect('near', similarity(probe, site.templates['OWN2 3']) >= THRESHOLD - 0.06)
    missed = attempts('OWN2 3')
    site.execute(decoy, text_of(probe))
    expect('a match with the decoy', ask(attacker, 'OWN2', probe)[0])
    expect('and a miss of the other', attempts('OWN2 3') == (missed[0] + 1, missed[1] + 1))
    site.execute("DELETE FROM facematch.reference WHERE source = 'decoy'")
    attacker.close()


def test_only_own_flights(site):
    attacker = Attacker(site, 'partner')
    probe = text_of(near(site, 'OTHERS 1')[0])
    messages = set()
    for gallery in ('OTHERS', 'WATCH', 'YESTERDAY', 'no such gallery', '', "OWN1'; DROP TABLE facematch.reference; --", '%I', 'x' * 5000):
        before = accounted(site)
        attacker.refused('CALL facematch.ask(%s, %s::face_embedding)', [gallery, probe])
        messages.add(attacker.message)
        expect('a refused use is accounted', accounted(site) == before + 1)
    expect(f'one message for all: {messages}', len(messages) == 1)
    expect('its flights', [row[0] for row in attacker.allowed('SELECT gallery FROM facematch.partner_flights() ORDER BY 1')] == ['OWN1', 'OWN2'])
    site.execute("INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_from, valid_until)"
                 " SELECT 'Acme Air', gallery_id, now() - interval '2 days', now() - interval '1 day' FROM facematch.gallery WHERE name = 'OTHERS'")
    site.execute("INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_from, valid_until)"
                 " SELECT 'Acme Air', gallery_id, now() + interval '1 day', now() + interval '2 days' FROM facematch.gallery WHERE name = 'OTHERS'")
    attacker.refused('CALL facematch.ask(%s, %s::face_embedding)', ['OTHERS', probe])
    attacker.close()


def test_who_is_due_or_has_declined(site):
    attacker = Attacker(site, 'partner')
    site.execute('INSERT INTO facematch.opt_out (subject_id) VALUES (%s)', site.subjects['OWN1 5'])
    expect('who declined matches nobody', ask(attacker, 'OWN1', near(site, 'OWN1 5')[0]) == (False, None))
    site.execute("UPDATE facematch.reference SET purge_after = clock_timestamp() WHERE subject_id = %s", site.subjects['OWN1 6'])
    expect('who is due matches nobody', ask(attacker, 'OWN1', near(site, 'OWN1 6')[0]) == (False, None))
    attacker.close()


def test_it_counts_whatever_is_rolled_back(site):
    attacker = Attacker(site, 'partner')
    probe = text_of(near(site, 'OWN1 1')[0])
    call = f"CALL facematch.ask('OWN1', '{probe}')"
    before, uses = accounted(site), charged(site)[0]
    # Where it could not commit it does not start.
    attacker.run('BEGIN')
    attacker.refused(call, states=('25001',))
    attacker.run('ROLLBACK')
    for isolation in ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'):
        attacker.run(f'BEGIN ISOLATION LEVEL {isolation}')
        attacker.run('SAVEPOINT s')
        attacker.refused(call, states=('25001',))
        attacker.run('ROLLBACK')
    attacker.refused(f'{call}; SELECT 1/0', states=('25001',))
    attacker.refused(f"DO $$ DECLARE m bool; t uuid; BEGIN CALL facematch.ask('OWN1', '{probe}', m, t); EXCEPTION WHEN division_by_zero THEN NULL; END $$",
                     states=('25001',))
    attacker.allowed(f"CREATE FUNCTION pg_temp.sneak(OUT m bool, OUT t uuid) LANGUAGE plpgsql AS $$ BEGIN CALL facematch.ask('OWN1', '{probe}', m, t); END $$")
    attacker.refused('SELECT * FROM pg_temp.sneak()', states=('25001',))
    attacker.allowed(f"CREATE PROCEDURE pg_temp.sneak2() LANGUAGE plpgsql SET work_mem = '1MB' AS $$ DECLARE m bool; t uuid; BEGIN CALL facematch.ask('OWN1', '{probe}', m, t); END $$")
    attacker.refused('CALL pg_temp.sneak2()', states=('25001',))
    attacker.refused('SET default_transaction_read_only = on; RESET ALL; ' + call, states=('25001',))
    expect('nothing was asked', (before, uses) == (accounted(site), charged(site)[0]))
    # Where it answered, it counted: an error afterwards takes nothing back.
    attacker.run(f"DO $$ DECLARE m bool; t uuid; BEGIN CALL facematch.ask('OWN1', '{probe}', m, t); RAISE NOTICE '% %', m, t; PERFORM 1/0; END $$")
    expect('answered, then failed: accounted', (accounted(site), charged(site)[0]) == (before + 1, uses + 1))
    for isolation in ('repeatable read', 'serializable'):
        attacker.allowed(f"SET default_transaction_isolation = '{isolation}'")
        expect('at every isolation level', attacker.allowed(call)[0][0])
    attacker.allowed('RESET ALL')
    attacker.allowed('SET default_transaction_read_only = on')
    attacker.refused(call, states=('25006',))
    attacker.allowed('RESET ALL')
    attacker.allowed('SET synchronous_commit = off')
    attacker.allowed(call)
    expect('and each was', (accounted(site), charged(site)[0]) == (before + 4, uses + 4))
    # What is wrong with the probe is found after the charge.
    attacker.refused("CALL facematch.ask('OWN1', '[1,2,3]')", states=('22023',))
    attacker.refused('CALL facematch.ask(%s, face_with_model(%s::face_embedding, 2))', ['OWN1', probe], states=('22023',))
    attacker.refused('CALL facematch.ask(NULL, %s::face_embedding)', [probe], states=('22004',))
    attacker.refused("CALL facematch.ask('OWN1', NULL)", states=('22004',))
    expect('errors are charged', charged(site)[0] == uses + 6)
    attacker.close()


def test_errors_are_accounted(site):
    """A name that reads as a template, a probe of another model: charged, and told by an error, so accounted first."""
    attacker = Attacker(site, 'partner')
    probe = text_of(vector(site.generator))
    site.execute("INSERT INTO facematch.gallery (name, kind, model, target_fpir, anchor_at) VALUES ('UNMEASURED', 'flight', 'm', 0.01, now() + interval '1 hour')")
    site.execute("INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_until) SELECT 'Acme Air', gallery_id, now() + interval '1 hour' FROM facematch.gallery WHERE name = 'UNMEASURED'")
    for gallery, sent, state, kept in (('[' + ','.join(f'{part:.4f}' for part in vector(site.generator)[:14]) + ']', probe, '42501', None), ('x' * 1500, probe, '42501', None), ('a\nb', probe, '42501', None),
                                       ('OWN1', '[1,2,3]', '22023', 'OWN1'), ('OWN1', '7:' + probe, '22023', 'OWN1'), ('UNMEASURED', probe, '55000', 'UNMEASURED')):
        before, uses = accounted(site), charged(site)[0]
        attacker.refused('CALL facematch.ask(%s, %s::face_embedding)', [gallery, sent], states=(state,))
        expect(f'{gallery[:20]}: charged', charged(site)[0] == uses + 1)
        expect(f'{gallery[:20]}: accounted', accounted(site) == before + 1)
        row = site.execute('SELECT answer, gallery, subject_id, token FROM facematch.disclosure ORDER BY disclosure_id DESC LIMIT 1').fetchone()
        expect(f'as refused: {row}', row == ('refused', kept, None, None))
    attacker.close()


def test_cancelled_uses_count(site):
    attacker = Attacker(site, 'partner')
    probe = text_of(near(site, 'OWN1 1')[0])
    before, uses = accounted(site), charged(site)[0]
    blocker = connect()
    blocker.execute('BEGIN')
    # The answer waits to be accounted; who gives up has been charged, and has learned nothing.
    blocker.execute('LOCK TABLE facematch.disclosure IN SHARE MODE')
    attacker.allowed("SET statement_timeout = '200ms'")
    for _ in range(3):
        attacker.refused(f"CALL facematch.ask('OWN1', '{probe}')", states=('57014',))
    blocker.execute('ROLLBACK')
    blocker.close()
    expect('charged', charged(site)[0] == uses + 3)
    expect('nothing disclosed', accounted(site) == before)
    attacker.close()


def test_rates_hold_in_a_race(site):
    """Eight sessions at once, at mixed isolation levels: answers never exceed what the budget had."""
    site.execute("UPDATE facematch.partner SET per_minute = 6, per_day = 40 WHERE name = 'Rival Air'")
    site.execute("DELETE FROM facematch_internal.partner_budget WHERE partner = 'Rival Air'")
    probe = text_of(vector(site.generator))
    states = []
    start = time.monotonic()

    def hammer(isolation):
        session = psycopg.connect(user=PREFIX + 'rival', autocommit=True)
        session.execute(f"SET default_transaction_isolation = '{isolation}'")
        for _ in range(10):
            try:
                session.execute('CALL facematch.ask(%s, %s::face_embedding)', ['OTHERS', probe])
                states.append(None)
            except psycopg.Error as error:
                states.append(error.sqlstate)
        session.close()

    before = accounted(site)
    threads = [threading.Thread(target=hammer, args=(('read committed', 'repeatable read', 'serializable')[i % 3],)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answered = states.count(None)
    refill = int((time.monotonic() - start) * 6 / 60) + 1
    expect(f'80 tries: {answered} answers of 6, {refill} came back meanwhile', 6 <= answered <= 6 + refill and len(states) == 80)
    expect(f'the others were refused: {set(states)}', set(states) <= {None, '53400', '40001'} and '53400' in states)
    expect('and accounted', accounted(site) - before == answered)
    expect('the counter agrees', charged(site, 'Rival Air')[0] == answered)
    # The clock does not help who sets it back; a day's rate is another bucket.
    site.execute("UPDATE facematch_internal.partner_budget SET minute_left = 6, day_left = 0.5, counted_at = clock_timestamp() + interval '1 hour' WHERE partner = 'Rival Air'")
    rival = Attacker(site, 'rival')
    rival.refused("CALL facematch.ask('OTHERS', %s::face_embedding)", [probe], states=('53400',))
    expect(f'it says when to come back: {rival.message}', 'seconds' in rival.message)
    rival.close()


def test_attempts_on_one_person(site):
    """Ten a day near one person, hits and misses, whatever the rate is; then no answer depends on that person, and of others it is told."""
    site.attempts()
    attacker, other = Attacker(site, 'partner'), Attacker(site, 'operator')
    name, probe = 'OWN1 7', near(site, 'OWN1 7')[0]
    miss = near_miss(site, name)
    for i in range(9):
        expect('a match', ask(attacker, 'OWN1', probe)[0])
    # One, of which a week has few.
    expect('a near miss', ask(attacker, 'OWN1', miss) == (False, None))
    before, uses = accounted(site), charged(site)[0]
    for sent in (probe, miss):
        attacker.refused("CALL facematch.ask('OWN1', %s::face_embedding)", [text_of(sent)], states=('53400',))
        expect(f'nobody is named: {attacker.message}', 'one person' in attacker.message)
    expect('charged and accounted', (accounted(site), charged(site)[0]) == (before + 2, uses + 2))
    expect('as refused', site.value('SELECT answer FROM facematch.disclosure ORDER BY disclosure_id DESC LIMIT 1') == 'refused')
    # Otherwise a refusal would tell that a probe came near, as often as one asks: 2,000 such answers tell a template.
    for _ in range(12):
        attacker.refused("CALL facematch.ask('OWN1', %s::face_embedding)", [text_of(vector(site.generator))], states=('53400',))
    expect('another flight is asked about as before', ask(attacker, 'OWN2', vector(site.generator)) == (False, None))
    expect('and so is somebody else', ask(attacker, 'OWN1', near(site, 'OWN1 8')[0])[0])
    expect('an operator has attempts of its own', other.allowed("SELECT similarity > %s FROM facematch.identify(%s::face_embedding, 'OWN1')", [THRESHOLD, text_of(probe)]) == [(True,)])
    # All roles together, in a week.
    for session in (attacker, other):
        session.close()
    site.attempts(1000000, 13)
    attacker, other = Attacker(site, 'partner'), Attacker(site, 'operator')
    for _ in range(2):
        other.allowed("SELECT FROM facematch.identify(%s::face_embedding, 'OWN1')", [text_of(probe)])
    attacker.refused("CALL facematch.ask('OWN1', %s::face_embedding)", [text_of(probe)], states=('53400',))
    other.refused("SELECT FROM facematch.identify(%s::face_embedding, 'OWN1')", [text_of(probe)], states=('53400',))
    site.attempts(1000000, 1000000)
    attacker.close()
    other.close()


def test_an_answer_shows_nothing_of_the_work(site):
    """Match, near miss and miss read the same number of rows, as the statistics that every role may read have it."""
    attacker = Attacker(site, 'partner')
    work = ("SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_all_tables WHERE schemaname = 'facematch' AND relname = 'reference'")

    def rows_read(probe):
        attacker.allowed('SELECT pg_stat_force_next_flush()')
        first = attacker.allowed(work)[0][0]
        ask(attacker, 'OWN1', probe)
        attacker.allowed('SELECT pg_stat_force_next_flush()')
        return attacker.allowed(work)[0][0] - first

    probes = [near(site, 'OWN1 1')[0], near_miss(site, 'OWN1 1'), near(site, 'OWN1 1', 0.5)[0], vector(site.generator), near(site, 'OWN1 2')[0]]
    rows_read(probes[0])
    seen = {rows_read(p) for p in probes}
    expect(f'rows read: {seen}', len(seen) == 1)
    attacker.close()


def test_nothing_sent_is_kept(site):
    attacker = Attacker(site, 'partner')
    probe, _ = near(site, 'OWN1 1')
    ask(attacker, 'OWN1', probe)
    # One number alone may be part of another's.
    mark = ','.join(site.value('SELECT %s::face_embedding::text', text_of(probe)).strip('[]').split(',')[7:10])
    for table in site.execute("SELECT oid::regclass::text FROM pg_class WHERE relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND relkind = 'r'").fetchall():
        kept = site.value(f'SELECT count(*) FROM {table[0]} t WHERE strpos(t::text, %s) > 0', mark)
        expect(f'{kept} rows of {table[0]} have it', kept == 0)
    attacker.close()


def test_who_asks_is_the_sessions_user(site):
    """A colleague's login that is a member of the partner's role asks for it; one of two partners, or a superuser, does not."""
    admin = connect()
    role = PREFIX + 'stranger'
    probe = text_of(vector(site.generator))
    for setting in ('SET ROLE ' + PREFIX + 'partner', "SET SESSION \"facematch.partner\" = 'Acme Air'"):
        fresh = connect()
        try:
            fresh.execute(setting)
        except psycopg.Error:
            pass
        try:
            fresh.execute('CALL facematch.ask(%s, %s::face_embedding)', ['OWN1', probe])
            raise Failure('a superuser is no partner')
        except psycopg.errors.InsufficientPrivilege:
            pass
        fresh.close()
    admin.execute(f'GRANT {PREFIX}partner TO {role}')
    member = Attacker(site, 'stranger')
    expect('a member asks', ask(member, 'OWN1', vector(site.generator)) == (False, None))
    admin.execute(f'GRANT {PREFIX}rival TO {role}')
    member.refused('CALL facematch.ask(%s, %s::face_embedding)', ['OWN1', probe])
    member.allowed(f'SET ROLE {PREFIX}partner')
    member.refused('CALL facematch.ask(%s, %s::face_embedding)', ['OWN1', probe])
    member.close()
    admin.execute(f'REVOKE {PREFIX}partner, {PREFIX}rival FROM {role}')
    admin.close()


def test_partners_do_not_hinder_each_other(site):
    """Before PostgreSQL 16 a role may make others members of itself; then a rival would be of two partners."""
    partner, rival = Attacker(site, 'partner'), Attacker(site, 'rival')
    _, state = partner.run(f'GRANT {PREFIX}partner TO {PREFIX}rival')
    expect(f'it may or may not: {state}', state in (None, '42501'))
    if state is not None:
        site.execute(f'GRANT {PREFIX}partner TO {PREFIX}rival')
    expect('the rival asks on', ask(rival, 'OTHERS', vector(site.generator)) == (False, None))
    rival.refused('CALL facematch.ask(%s, %s::face_embedding)', ['OWN1', text_of(vector(site.generator))])
    expect('as itself', site.value('SELECT partner FROM facematch.disclosure ORDER BY disclosure_id DESC LIMIT 1') == 'Rival Air')
    expect('and it is told of', site.value("SELECT count(*) FROM facematch.health_check() WHERE severity = 'error' AND finding LIKE %s", f'%may act as role {PREFIX}partner%') == 1)
    site.execute(f'REVOKE {PREFIX}partner FROM {PREFIX}rival')
    partner.close()
    rival.close()


def test_disclosures_stay(site):
    for sql in ('DELETE FROM facematch.disclosure', "UPDATE facematch.disclosure SET purpose = 'other'", 'TRUNCATE facematch.disclosure'):
        try:
            site.execute(sql)
            raise Failure(f'even the owner: {sql}')
        except psycopg.errors.IntegrityConstraintViolation:
            pass


def test_revoked_at_once(site):
    attacker = Attacker(site, 'partner')
    probe = text_of(vector(site.generator))
    attacker.allowed('CALL facematch.ask(%s, %s::face_embedding)', ['OWN1', probe])
    expect('there was something to revoke', site.value('SELECT facematch.revoke_access(%s::text::regrole)', PREFIX + 'partner'))
    attacker.refused('CALL facematch.ask(%s, %s::face_embedding)', ['OWN1', probe])
    attacker.refused('SELECT * FROM facematch.partner_flights()')
    expect('and now nothing', not site.value('SELECT facematch.revoke_access(%s::text::regrole)', PREFIX + 'partner'))
    attacker.close()


if __name__ == '__main__':
    main(test_answers, test_only_own_flights, test_partners_do_not_hinder_each_other, test_who_is_due_or_has_declined, test_it_counts_whatever_is_rolled_back, test_errors_are_accounted,
         test_cancelled_uses_count, test_rates_hold_in_a_race, test_an_answer_shows_nothing_of_the_work, test_nothing_sent_is_kept, test_attempts_on_one_person,
         test_who_asks_is_the_sessions_user, test_disclosures_stay, test_revoked_at_once)
