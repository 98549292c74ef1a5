#!/usr/bin/env python3
"""Settings that every role may change, thresholds that are no numbers, shards, statements prepared before a right was taken away."""
import datetime
import math
import threading
import time

import psycopg

from attack import Attacker, Failure, PREFIX, THRESHOLD, blend, each, expect, main, near, near_miss, similarity, text_of, vector
from test_attacks import granted_calls

# Each changes what text, numbers, names, times, plans or errors inside somebody else's function come to.
SETTINGS = {
    'quote_all_identifiers': 'on', 'standard_conforming_strings': 'off', 'transform_null_equals': 'on', 'extra_float_digits': '-15',
    'bytea_output': 'escape', 'timezone': 'Pacific/Kiritimati', 'datestyle': 'Postgres, DMY', 'intervalstyle': 'sql_standard',
    'plpgsql.extra_errors': 'all', 'plpgsql.print_strict_params': 'on', 'row_security': 'off', 'force_parallel_mode': 'on',
    'debug_parallel_query': 'on', 'plan_cache_mode': 'force_custom_plan',
    'synchronous_commit': 'off', 'search_path': '""'}
NEEDS_TYPE = ('search_path',)


def test_settings_of_a_session(site):
    """No setting makes an answer another one, or a message tell more."""
    for kind in ('operator', 'partner', 'auditor', 'template_reader'):
        attacker = Attacker(site, kind)
        for setting, value in SETTINGS.items():
            if attacker.run('SELECT set_config(%s, %s, false)', [setting, value])[1] is not None:
                continue
            for sql, params in granted_calls(site, kind):
                # Of an auditor's calls the checks of the log and of files are what depends on formats; the many views take seconds.
                if kind == 'auditor' and 'verify_' not in sql:
                    continue
                if setting not in NEEDS_TYPE or '::face_embedding' not in sql:
                    attacker.run(sql, params)
            attacker.allowed(f'RESET {setting}')
        attacker.close()


def test_answers_are_the_same_under_settings(site):
    partner, operator = Attacker(site, 'partner'), Attacker(site, 'operator')
    mate, other = text_of(near(site, 'OWN1 4', 0.97)), text_of(near(site, 'OTHERS 4', 0.97))
    identify = "SELECT reference_id FROM facematch.identify(%s::public.face_embedding, 'OWN1')"
    wanted = operator.allowed(identify, [mate])
    expect('a mate', len(wanted) == 1)
    for setting, value in SETTINGS.items():
        if partner.run('SELECT set_config(%s, %s, false)', [setting, value])[1] is not None:
            continue
        operator.allowed('SELECT set_config(%s, %s, false)', [setting, value])
        matches = [partner.allowed("CALL facematch.ask('OWN1', %s::public.face_embedding)", [probe])[0][0] for probe in (mate, other)]
        expect(f'{setting}: {matches}', matches == [True, False])
        expect(f'{setting}: the same candidates', operator.allowed(identify, [mate]) == wanted)
        partner.refused("CALL facematch.ask('OTHERS', %s::public.face_embedding)", [other])
        operator.refused(identify.replace("'OWN1'", "'OWN1', 10, -1"), [mate])
        for attacker in (partner, operator):
            attacker.allowed(f'RESET {setting}')
    partner.close()
    operator.close()


def test_deadlines_by_no_sessions_clock(site):
    """A month ends in UTC: where the session says it is gives no day more."""
    site.execute("INSERT INTO facematch.retention_class (name, description) VALUES ('monthly', 'a month')")
    site.execute("INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES"
                 " ('monthly', 'monthly', 'reference', '{recorded}', '{1 month}', 'x'), ('monthly/encounter', 'monthly', 'encounter', '{verification}', '{1 month}', 'x')")
    site.stage('OWN1', 'monthly', 'monthly')
    operator = Attacker(site, 'operator')
    site.execute('GRANT INSERT (occurred_at) ON facematch.encounter TO fm_attack_operator')
    probe = text_of(near(site, 'monthly', 0.97))
    for zone in ('UTC', 'Pacific/Kiritimati', 'Etc/GMT+12', 'America/New_York'):
        operator.allowed(f"SET timezone = '{zone}'")
        # In Kiritimati it is March already, whose month has three days more.
        encounter, outcome = operator.allowed("SELECT encounter_id, outcome FROM facematch.record_encounter('OWN1', %s::face_embedding, port => 'P', occurred_at => '2026-02-28 12:00+00')", [probe])[0]
        expect(f'{zone}: {outcome}', outcome == 'match')
        due = site.value("SELECT (purge_after AT TIME ZONE 'UTC')::text FROM facematch.encounter WHERE encounter_id = %s", encounter)
        expect(f'{zone}: {due}', due == '2026-03-28 12:00:00')
    site.execute('REVOKE INSERT (occurred_at) ON facematch.encounter FROM fm_attack_operator')
    operator.close()


def test_thresholds_that_are_no_numbers(site):
    operator = Attacker(site, 'operator')
    probe = text_of(near(site, 'OWN1 1', 0.3))
    for value in ('NaN', 'Infinity', '-Infinity', '-1.0000001', '1e308', '-1e-308'):
        for sql, params in (("SELECT similarity FROM facematch.identify(%s::face_embedding, 'OWN1', 100, %s)", [probe, value]),
                            (f'SELECT similarity FROM facematch.verify(%s::face_embedding, {site.first}, min_similarity => %s)', [probe, value])):
            operator.refused(sql, params, states=('22003', '42501'))
    for value in (0, -1, -2147483648, None):
        operator.refused("SELECT similarity FROM facematch.identify(%s::face_embedding, 'OWN1', %s)", [probe, value], states=('22023',))
    expect('as many as there are', operator.allowed("SELECT similarity FROM facematch.identify(%s::face_embedding, 'OWN1', 2147483647)", [probe]) == [])
    operator.close()


def test_shards(site):
    """Basis probes by way of a shard, whose table is read with the owner's rights."""
    site.execute("INSERT INTO facematch.shard (name, reference_table, gallery_table, min_similarity) VALUES ('here', 'facematch.reference', 'facematch.shard_gallery', %s)", THRESHOLD)
    search = 'SELECT similarity FROM facematch.search_shards(%s::face_embedding, 100000'
    operator = Attacker(site, 'operator', hears_everything=True)
    basis = text_of([float(j == 5) for j in range(64)])
    for sql in (search + ')', search + ", gallery => 'OWN1')", search + ", partial => true)"):
        expect('a basis probe has no candidates', operator.allowed(sql, [basis]) == [])
        for low in (THRESHOLD - 0.001, 0, -1):
            operator.refused(sql[:-1] + f', min_similarity => {low})', [basis])
        operator.allowed('EXPLAIN (ANALYZE, VERBOSE) ' + sql, [basis])
    expect('a mate has a score', operator.allowed(search + ", gallery => 'OWN1')", [text_of(near(site, 'OWN1 2'))])[0][0] > THRESHOLD)
    expect('who is due is nobody\'s candidate', operator.allowed(search + ')', [text_of(near(site, 'due', 0.97))]) == [])
    for name in ("x' UNION SELECT embedding FROM facematch.reference --", 'own1', 'OWN_', '%', '', "OWN1'"):
        operator.refused(search + ', gallery => %s)', [basis, name], states=('P0002',))
    operator.refused(search.replace('100000', 'NULL') + ')', [basis], states=('22023',))
    for sql in ("UPDATE facematch.shard SET min_similarity = -1", "UPDATE facematch.shard SET reference_table = 'pg_class'", "DELETE FROM facematch.shard",
                "INSERT INTO facematch.shard VALUES ('low', 'facematch.reference', 'facematch.shard_gallery', -1)",
                "SELECT facematch.operating_point(1)", "SELECT * FROM facematch.shard_gallery", "SELECT facematch_internal.above_thresholds(NULL, NULL)",
                "SELECT facematch_internal.check_shard_thresholds(NULL)",
                "SELECT facematch_internal.shards_query(NULL, 1)", "SELECT facematch_internal.shard_parts(NULL, NULL, -1)"):
        operator.refused(sql)
    operator.close()
    for kind, attacker in each(site):
        if kind != 'operator':
            attacker.refused(search.replace('%s', "'[1,2]'") + ')')
    site.execute('DELETE FROM facematch.shard')


def test_thresholds_of_shards(site):
    """A threshold that is calibrated, or higher than the shard's: basis probes tell no template, digits round no threshold, and mates are found."""
    site.execute("INSERT INTO facematch_internal.calibration (model, non_mated, mated) VALUES ('m', 1000000, 1000)")
    site.execute('INSERT INTO facematch_internal.calibration_point VALUES (1, 0.8, 0, 0), (1, -1, 1000000, 0)')
    site.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity, target_fpir, anchor_at) VALUES ('FPIR', 'flight', 'm', NULL, 0.01, now() + interval '2 hours'),"
                 " ('FLOOR', 'flight', 'm', 0.1, 0.01, now() + interval '2 hours'), ('HIGH', 'flight', 'm', 0.95, NULL, now() + interval '2 hours')")
    for gallery in ('FPIR', 'FLOOR', 'HIGH'):
        for i in range(3):
            site.stage(gallery, f'{gallery} {i}')
    site.learn()
    # As low as the galleries' thresholds leave it to be.
    site.execute("INSERT INTO facematch.shard (name, reference_table, gallery_table, min_similarity) VALUES ('here', 'facematch.reference', 'facematch.shard_gallery', -1)")
    operator = Attacker(site, 'operator', hears_everything=True)
    search = 'SELECT gallery_id, similarity FROM facematch.search_shards(%s::face_embedding, {}, {}, {}, {})'
    identify = 'SELECT similarity FROM facematch.identify(%s::face_embedding, {}, 1000)'
    basis = text_of([float(j == 7) for j in range(64)])
    mates = {gallery: text_of(near(site, f'{gallery} 1', 0.9)) for gallery in ('FPIR', 'FLOOR', 'HIGH')}
    for partial in ('false', 'true', 'NULL'):
        for gallery in ('FPIR', 'FLOOR', 'HIGH', None):
            name = f"'{gallery}'" if gallery else 'NULL'
            expect(f'{gallery}: a basis probe has no candidates', operator.allowed(search.format(1000, 'NULL', name, partial), [basis]) == [])
            for low in (-1, 0, 0.1, 0.59):
                if gallery:
                    operator.refused(search.format(1000, low, name, partial), [basis])
                else:
                    expect(f'none above {low} either', operator.allowed(search.format(1000, low, name, partial), [basis]) == [])
            for none in ("'NaN'", "'-Infinity'", '-2'):
                operator.refused(search.format(1000, none, name, partial), [basis], states=('22003',))
        for digits in (-15, 0, 3):
            operator.allowed(f'SET extra_float_digits = {digits}')
            for gallery, probe in mates.items():
                found = [row[1] for row in operator.allowed(search.format(1000, 'NULL', f"'{gallery}'", partial), [probe])]
                wanted = [row[0] for row in operator.allowed(identify.format(f"'{gallery}'"), [probe])]
                expect(f'{gallery}: {found} are the candidates of identify(), {wanted}', found == wanted)
        operator.allowed('RESET extra_float_digits')
        expect('a mate is found, and only above its gallery\'s threshold',
               [len(operator.allowed(search.format(1000, 'NULL', 'NULL', partial), [mates[g]])) for g in ('FPIR', 'FLOOR', 'HIGH')]
               == [len(operator.allowed(identify.format(f"'{g}'"), [mates[g]])) for g in ('FPIR', 'FLOOR', 'HIGH')])
    expect('as many as an integer goes', len(operator.allowed(search.format(2147483647, 'NULL', "'FPIR'", 'false'), [mates['FPIR']])) == 1)
    for most in (2147483648, 0, -2147483648):
        operator.refused(search.format(most, 'NULL', 'NULL', 'false'), [basis], states=('22023', '42883'))
    # A table of galleries that says nothing, or no number, in the place of a threshold.
    for value in ('NULL', "'NaN'", "'-Infinity'", '-7'):
        site.execute(f'CREATE VIEW public.galleries AS SELECT gallery_id, name, {value}::double precision AS threshold FROM facematch.gallery')
        site.execute("UPDATE facematch.shard SET gallery_table = 'public.galleries'")
        for low in ('NULL', -1, 0.99):
            operator.refused(search.format(1000, low, "'FPIR'", 'false'), [basis], states=('55000',))
        operator.refused(search.format(1000, 'NULL', 'NULL', 'false'), [basis], states=('55000',))
        site.execute("UPDATE facematch.shard SET gallery_table = 'facematch.shard_gallery'")
        site.execute('DROP VIEW public.galleries')
    site.execute('UPDATE facematch.shard SET gallery_table = NULL')
    operator.refused(search.format(1000, 'NULL', 'NULL', 'false'), [basis])
    site.execute('DELETE FROM facematch.shard')
    operator.close()


def test_attempts_by_way_of_shards(site):
    """A search of shards is accounted for as identify() is, its scores are as rounded, and a near miss is an attempt."""
    site.attempts(4)
    site.execute("INSERT INTO facematch.shard (name, reference_table, gallery_table, min_similarity) VALUES ('here', 'facematch.reference', 'facematch.shard_gallery', %s)", THRESHOLD)
    operator = Attacker(site, 'operator')
    probe = text_of(near(site, 'OWN1 9'))
    parts = near_miss(site, 'OWN1 9')
    searches = ("SELECT similarity FROM facematch.search_shards(%s::face_embedding)", "SELECT similarity FROM facematch.search_shards(%s::face_embedding, gallery => 'OWN1')")
    rows = site.value("SELECT count(*) FROM facematch.search WHERE kind = 'search_shards'")
    for sql in searches:
        score = operator.allowed(sql, [probe])[0][0]
        expect(f'{score} is the least of a strength', any(math.isclose(score, 1 - (1 - THRESHOLD) / 2 ** n) for n in range(20)))
        expect('as a miss none', operator.allowed(sql, [text_of(parts)]) == [])
    for sql in searches + ("SELECT similarity FROM facematch.identify(%s::face_embedding, 'OWN1')",):
        operator.refused(sql, [probe], states=('53400',))
        operator.refused(sql, [text_of(parts)], states=('53400',))
    expect('each search has left a row, those that were refused too', site.value("SELECT count(*) FROM facematch.search WHERE kind = 'search_shards' AND gallery_id IS NULL") == rows + 8)
    # Nor does anything else of the person tell more: a second name of the shard, its rows by another pseudonym of the person.
    site.execute("CREATE VIEW public.second AS SELECT r.reference_id, r.gallery_id, %s::uuid AS subject_id, r.embedding, r.purge_after"
                 " FROM facematch.reference r WHERE r.subject_id = '{}'".replace('%s', "'11111111-1111-8111-8111-111111111111'").format(site.subjects['OWN1 9']))
    site.execute("INSERT INTO facematch.shard (name, reference_table, gallery_table, min_similarity) VALUES ('second', 'public.second', 'facematch.shard_gallery', %s)", THRESHOLD)
    site.execute("INSERT INTO facematch.subject_merge (kept, merged) VALUES (%s, '11111111-1111-8111-8111-111111111111')", site.subjects['OWN1 9'])
    for sql in searches + ("SELECT similarity FROM facematch.search_shards(%s::face_embedding, partial => true)",
                           "SELECT similarity FROM facematch.identify(%s::face_embedding, 'OWN1')"):
        for sent in (probe, text_of(parts), text_of(vector(site.generator))):
            operator.refused(sql, [sent], states=('53400',))
            expect(f'its constraint name: {operator.constraint}', operator.constraint == 'subject_attempts_are_left')
    site.execute("DELETE FROM facematch.shard WHERE name = 'second'")
    # Somebody else is told as before.
    other = text_of(near(site, 'OWN1 8'))
    for sql in searches:
        expect('somebody else', len(operator.allowed(sql, [other])) == 1)
    # A threshold of one's own is that of a stronger match: asking with others tells no more than the score.
    site.attempts(1000000, 1000000)
    operator.close()
    operator = Attacker(site, 'operator')
    exact = similarity(near_parts := near(site, 'OWN1 10', 0.8), site.templates['OWN1 10'])
    levels = [1 - (1 - THRESHOLD) / 2 ** n for n in range(20)]
    strong = max(level for level in levels if level <= exact)
    for low in [exact + step / 1000 for step in range(-9, 10)] + [THRESHOLD + 0.001, strong - 0.001, strong + 0.001]:
        hit = exact >= next(level for level in levels if level >= low)
        for sql in ("facematch.search_shards(%s::face_embedding, 10, {}, 'OWN1')", "facematch.identify(%s::face_embedding, 'OWN1', 10, {})"):
            told = operator.allowed('SELECT similarity FROM ' + sql.format(low), [text_of(near_parts)])
            expect(f'{low}, {exact}', [math.isclose(row[0], strong) for row in told] == [True] * hit)
    site.execute('DELETE FROM facematch.shard')
    operator.close()


def test_a_search_shows_nothing_of_its_work(site):
    """Hit, near miss and stranger count the same rows, pages and log, as the statistics that every role may read have it."""
    operator = Attacker(site, 'operator')
    work = ("SELECT array_agg(ARRAY[s.relid::bigint, s.seq_scan, s.seq_tup_read, s.idx_scan, s.idx_tup_fetch, s.n_tup_ins] ORDER BY s.relid)"
            " FROM pg_stat_xact_all_tables s WHERE s.schemaname ~ '^facematch' AND s.relname NOT IN ('search', 'gallery', 'retention_rule', 'encounter', 'candidate')")
    probes = [near(site, 'OWN1 1'), near_miss(site, 'OWN1 1'), near(site, 'OWN1 1', 0.5), vector(site.generator)]
    calls = ("SELECT count(*) FROM facematch.identify({}, 'OWN1')", "SELECT count(*) FROM facematch.identify_many(ARRAY[{}], 'OWN1')",
             f"SELECT count(*) FROM facematch.verify({{}}, {site.value('SELECT reference_id FROM facematch.reference WHERE subject_id = %s', site.subjects['OWN1 1'])})")
    for call in calls:
        seen, plans = set(), set()
        sql = call.format('%s::face_embedding')
        operator.allowed(sql, [text_of(probes[0])])
        for parts in probes:
            operator.allowed('BEGIN')
            first = operator.allowed(work)
            operator.allowed(sql, [text_of(parts)])
            seen.add(str([[row[0]] + [(count or 0) - (before or 0) for count, before in zip(row[1:], was[1:])] for row, was in
                          zip(operator.allowed(work)[0][0], first[0][0]) if row != was]))
            operator.allowed('COMMIT')
            plans.add(repr([row for row in operator.allowed('EXPLAIN (ANALYZE, BUFFERS, WAL, TIMING OFF, SUMMARY OFF, COSTS OFF) ' + sql, [text_of(parts)])
                            if 'WAL' in row[0]]))
        expect(f'{call}: {seen}', len(seen) == 1)
        expect(f'{call}: {plans}', len(plans) == 1)
    operator.close()


def test_shards_that_lie(site):
    """A shard answers what it likes: others than the gallery's, who are below the threshold, more than was asked for."""
    site.execute("CREATE SCHEMA liar")
    site.execute("CREATE VIEW liar.reference AS SELECT r.reference_id, NULL::bigint AS gallery_id, r.subject_id, r.embedding, 'infinity'::timestamptz AS purge_after FROM facematch.reference r")
    operator = Attacker(site, 'operator')
    probe = text_of(near(site, 'OWN1 2'))
    for number in ('NULL', '1), (NULL', '1), (2', '1), (1'):
        site.execute(f"CREATE OR REPLACE VIEW liar.gallery AS SELECT v.gallery_id::bigint, name, 0.6::double precision AS threshold FROM facematch.gallery g, (VALUES ({number})) v (gallery_id)")
        site.execute("INSERT INTO facematch.shard (name, reference_table, gallery_table, min_similarity) VALUES ('liar', 'liar.reference', 'liar.gallery', 0.6)")
        operator.refused("SELECT * FROM facematch.search_shards(%s::face_embedding, gallery => 'OWN1')", [probe], states=('55000',))
        site.execute('DELETE FROM facematch.shard')
    site.execute('DROP SCHEMA liar CASCADE')
    # What comes back is held against what was asked.
    row = "ROW('s', {}, 1, gen_random_uuid(), {}, 0.1)::facematch_internal.shard_candidate"
    check = "SELECT cardinality(facematch_internal.asked_candidates(ARRAY[ROW('s', NULL, {}, 0.6)::facematch_internal.shard_part], array_fill({}, ARRAY[{}]), {}))"
    for gallery, of, similarity, count, most, told in ((1, 1, 0.6, 3, 3, 3), (1, 2, 0.9, 3, 3, 0), (1, 'NULL', 0.9, 3, 3, 0), ('NULL', 5, 0.9, 3, 3, 3), (1, 1, 0.599, 3, 3, 0),
                                                       (1, 1, 'NULL', 3, 3, 0)):
        expect(f'{of}, {similarity}', site.value(check.format(gallery, row.format(of, similarity), count, most)) == told)
    try:
        site.value(check.format(1, row.format(1, 0.1), 4, 3))
        raise Failure('more than was asked for')
    except psycopg.Error as error:
        expect(str(error), error.sqlstate == '55000')
    operator.close()


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def sized_gallery(site, name):
    """A gallery of one, at a threshold of 0.2, and what fills it up to ten, at 0.5."""
    if not site.value("SELECT count(*) FROM facematch.model WHERE name = 'sized'"):
        site.execute("INSERT INTO facematch.model (name, tag, dims) VALUES ('sized', 2, 64)")
        calibration = site.value("INSERT INTO facematch_internal.calibration (model, non_mated, mated) VALUES ('sized', 1000000, 1000) RETURNING calibration_id")
        for threshold, false_matches in ((0.8, 0), (0.5, 5500), (0.2, 50000), (-1, 1000000)):
            site.execute('INSERT INTO facematch_internal.calibration_point VALUES (%s, %s, %s, 0)', calibration, threshold, false_matches)
    site.execute("INSERT INTO facematch.gallery (name, kind, model, target_fpir, anchor_at) VALUES (%s, 'flight', 'sized', 0.05, now() + interval '2 hours')", name)
    site.stage(name, f'{name} 0')
    return lambda: [site.stage(name, f'{name} {i}') for i in range(1, 10)]


def while_waiting(site, run, meanwhile):
    """Runs a statement that takes advisory lock 77 in its middle, and something else while it waits there."""
    site.execute('SELECT pg_advisory_lock(77)')
    thread = threading.Thread(target=run)
    thread.start()
    while not site.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND NOT granted"):
        expect('it waits', thread.is_alive())
        time.sleep(0.01)
    meanwhile()
    site.execute('SELECT pg_advisory_unlock(77)')
    thread.join()


def test_thresholds_of_who_empties_a_gallery(site):
    """Scores of everybody, at the threshold of a gallery of one, for who removes all others and rolls back."""
    others = sized_gallery(site, 'SIZED')()
    site.learn()
    site.execute("INSERT INTO facematch.shard (name, reference_table, gallery_table, min_similarity) VALUES ('here', 'facematch.reference', 'facematch.shard_gallery', -1)")
    # 0.2 would be enough for it, and 0.5 is not.
    while True:
        parts = blend(site.templates['SIZED 5'], vector(site.generator), 0.3)
        if 0.25 < similarity(parts, site.templates['SIZED 5']) < 0.45:
            break
    probe = text_of(parts)
    operator = Attacker(site, 'operator')
    stay = site.subjects['SIZED 5']
    remove = {'restaged': ("SELECT count(*) FROM facematch.restage_gallery('SIZED', ARRAY[%s::uuid])", [stay]),
              'restaged, of nobody': ("SELECT count(*) FROM facematch.restage_gallery('SIZED', '{}')", None),
              'opted out': ("INSERT INTO facematch.opt_out (subject_id) SELECT subject_id FROM facematch.reference WHERE subject_id <> %s"
                            " AND gallery_id = (SELECT gallery_id FROM facematch.gallery WHERE name = 'SIZED')", [stay]),
              'closed': ("SELECT facematch.close_gallery('SIZED')", None)}
    searches = {'identify': "SELECT count(*) FROM facematch.identify(%s::face_embedding, 'SIZED', 100)",
                'search_shards': "SELECT count(*) FROM facematch.search_shards(%s::face_embedding, 100, NULL, 'SIZED')",
                'record_encounter': "SELECT count(similarity) FROM facematch.record_encounter('SIZED', %s::face_embedding, port => 'P')",
                'record_encounter without a face': "SELECT (threshold < 0.5)::int FROM facematch.record_encounter('SIZED', port => 'P', subject_id => md5(%s::text)::uuid)",
                'verify': f"SELECT count(similarity) FROM facematch.verify(%s::face_embedding, {others[4]})"}

    # A closed gallery takes no encounter.
    meanwhile = {how: [name for name in searches if how != 'closed' or 'encounter' not in name] for how in remove}

    def nothing_is_told(when, names=searches):
        for name in names:
            sql = searches[name]
            expect(f'{name}, {when}: no score', operator.allowed(sql, [probe])[0][0] == 0)

    nothing_is_told('before')
    for how, (sql, params) in remove.items():
        operator.allowed('BEGIN')
        operator.allowed(sql, params)
        nothing_is_told(f'{how}, to be rolled back', meanwhile[how])
        operator.allowed('ROLLBACK')
        nothing_is_told(f'{how} and rolled back')
        operator.allowed('BEGIN')
        operator.allowed('SAVEPOINT s')
        operator.allowed(sql, params)
        nothing_is_told(f'{how} in a savepoint', meanwhile[how])
        operator.allowed('ROLLBACK TO s')
        nothing_is_told(f'{how} in a savepoint, and rolled back')
        operator.allowed('ROLLBACK')
        # In one statement of the client.
        literal = sql if params is None else sql.replace('%s', f"'{params[0]}'")
        tries = {name: f"EXECUTE {quoted(searches[name].replace('%s', quoted(probe)))} INTO more; told := told + more;" for name in searches}
        operator.allowed(f"""DO $$
            DECLARE told bigint := 0; more bigint;
            BEGIN
                BEGIN
                    EXECUTE {quoted(literal)};
                    {' '.join(tries[name] for name in meanwhile[how])}
                    RAISE EXCEPTION USING ERRCODE = 'ZZ001';
                EXCEPTION WHEN SQLSTATE 'ZZ001' THEN NULL;
                END;
                {' '.join(tries.values())}
                RAISE NOTICE 'told %', told;
            END $$""")
        expect(f'{how}, in one statement: {operator.heard}', any('told 0' in heard for heard in operator.heard))
    # Gone for good is another matter: the threshold is that of who is left.
    operator.allowed(*remove['restaged'])
    expect('a gallery of one', operator.allowed(searches['identify'], [probe])[0][0] == 1)
    site.execute('DELETE FROM facematch.shard')
    operator.close()


def test_thresholds_of_what_comes_meanwhile(site):
    """A statement that searched while a gallery was small searches it again when it is filled."""
    for kind, gallery, call in (('operator', 'GROWS', "SELECT count(*) > 0 INTO told FROM facematch.identify('{}', 'GROWS');"),
                                ('operator', 'GROWS AT THE GATE', "SELECT outcome = 'match' INTO told FROM facematch.record_encounter('GROWS AT THE GATE', '{}', port => 'P');"),
                                ('partner', 'GROWS ELSEWHERE', "CALL facematch.ask('GROWS ELSEWHERE', '{}', told, token);")):
        fill = sized_gallery(site, gallery)
        site.execute("INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_until) SELECT 'Acme Air', gallery_id, now() + interval '1 hour' FROM facematch.gallery WHERE name = %s", gallery)
        call = call.format(text_of(blend(site.templates[f'{gallery} 0'], vector(site.generator), 0.3)))
        attacker = Attacker(site, kind)
        block = f"""DO $$ DECLARE told boolean; token uuid; BEGIN
            {call} RAISE NOTICE 'alone: %', told;
            PERFORM pg_advisory_lock(77); PERFORM pg_advisory_unlock(77);
            told := NULL; token := NULL;
            {call} RAISE NOTICE 'with others: %', told;
        END $$"""
        while_waiting(site, lambda: attacker.connection.execute(block), fill)
        expect(f'{gallery}: {attacker.heard}', any('alone: t' in h for h in attacker.heard) and any('with others: f' in h for h in attacker.heard))
        attacker.close()


def test_changes_are_logged(site):
    """What decides who learns what: thresholds of shards, rates and flights of partners, the list of rights, its shipped lines too."""
    changes = (
        ("INSERT INTO facematch.shard (name, reference_table, gallery_table, min_similarity) VALUES ('l', 'facematch.reference', 'facematch.shard_gallery', 0.5)", 'shard_added'),
        ('UPDATE facematch.shard SET min_similarity = -1', 'shard_changed'), ('DELETE FROM facematch.shard', 'shard_deleted'),
        ("INSERT INTO facematch.partner (name, purpose) VALUES ('Third Air', 'boarding')", 'partner_added'),
        ("UPDATE facematch.partner SET per_minute = 1000000 WHERE name = 'Third Air'", 'partner_changed'),
        ("INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_until) SELECT 'Third Air', gallery_id, now() + interval '1 day' FROM facematch.gallery WHERE name = 'OWN1'", 'assignment_added'),
        ("UPDATE facematch.partner_gallery SET valid_until = valid_until + interval '1 year' WHERE partner = 'Third Air'", 'assignment_changed'),
        ("DELETE FROM facematch.partner_gallery WHERE partner = 'Third Air'", 'assignment_deleted'),
        ("DELETE FROM facematch.partner WHERE name = 'Third Air'", 'partner_deleted'),
        ("INSERT INTO facematch_internal.access_right VALUES ('partner', 'table', 'reference', 'SELECT', NULL, true)", 'right_added'),
        ("UPDATE facematch_internal.access_right SET columns = '{embedding}' WHERE (kind, object_name) = ('partner', 'reference')", 'right_changed'),
        ("DELETE FROM facematch_internal.access_right WHERE (kind, object_name) = ('partner', 'reference')", 'right_deleted'))
    for sql, action in changes:
        before = site.value('SELECT coalesce(max(event_id), 0) FROM facematch.audit_event')
        site.execute(sql)
        expect(f'{action} is logged, once', site.execute('SELECT action FROM facematch.audit_event WHERE event_id > %s', before).fetchall() == [(action,)])


def test_statements_prepared_before(site):
    """What was prepared, or opened with a plan of its own, while a right was there is refused when it is gone."""
    statements = {'operator': "SELECT count(*) FROM facematch.identify('%s'::face_embedding, 'OWN1')" % text_of(near(site, 'OWN1 1')),
                  'auditor': 'SELECT count(*) FROM facematch.audit_event', 'monitor': 'SELECT searches FROM facematch.stats',
                  'template_reader': "SELECT count(*) FROM facematch.read_templates('OWN2')"}
    for kind, sql in statements.items():
        attacker = Attacker(site, kind)
        if kind == 'template_reader':
            attacker.allowed("CALL facematch.announce_reading('OWN2', purpose => 'test')")
        attacker.allowed('SET plan_cache_mode = force_generic_plan')
        attacker.allowed(f'PREPARE kept AS {sql}')
        attacker.allowed('EXECUTE kept')
        attacker.allowed(f"CREATE FUNCTION pg_temp.kept() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN ({sql}); END $$")
        attacker.allowed('SELECT pg_temp.kept()')
        attacker.allowed('BEGIN')
        site.execute(f"SELECT facematch.revoke_access('{PREFIX}{kind}')")
        attacker.refused('EXECUTE kept')
        attacker.allowed('ROLLBACK')
        attacker.refused('EXECUTE kept')
        attacker.refused('SELECT pg_temp.kept()')
        site.execute(f"SELECT facematch.grant_{kind}('{PREFIX}{kind}')")
        attacker.allowed('EXECUTE kept')
        attacker.close()


def test_conditions_on_templates(site):
    """Some columns of a table are an operator's: no clause, whole row or join gets at the others."""
    operator = Attacker(site, 'operator')
    for table, column in (('reference', 'embedding'), ('encounter', 'probe')):
        for sql in ('SELECT t FROM {t} t', 'SELECT t::text FROM {t} t', 'SELECT to_jsonb(t) FROM {t} t', 'SELECT row_to_json(t) FROM {t} t', 'SELECT (t).{c} FROM {t} t',
                    'SELECT count(t) FROM {t} t', 'SELECT hash_record(t) FROM {t} t', 'SELECT 1 FROM {t} WHERE {c} IS NOT NULL', 'SELECT 1 FROM {t} ORDER BY {c}', 'SELECT 1 FROM {t} GROUP BY {c}',
                    'SELECT count(*) FROM {t} a JOIN {t} b USING ({c})', 'SELECT count(*) FROM {t} a NATURAL JOIN {t} b', 'SELECT 1 FROM {t} t WHERE t = t', 'SELECT array_agg(t) FROM {t} t',
                    'SELECT 1 FROM {t} t WHERE EXISTS (SELECT t.{c})', 'SELECT 1 FROM {t} t, LATERAL (SELECT t.*) u', 'SELECT 1 FROM {t} FOR UPDATE',
                    'DELETE FROM {t} WHERE {c} IS NULL', 'SELECT ctid FROM {t} t WHERE t.{c} < t.{c}', 'COPY {t} ({c}) TO STDOUT', 'COPY {t} TO STDOUT',
                    'CREATE TEMP TABLE x AS TABLE {t}', 'SELECT pg_column_size({c}) FROM {t}', 'SELECT 1 FROM {t} TABLESAMPLE system (100) WHERE {c} = {c}'):
            operator.refused(sql.format(t=f'facematch.{table}', c=column))
    operator.close()


def test_flights_of_partners(site):
    """What an operator may write of a partner's flights is a flight and an end."""
    operator = Attacker(site, 'operator')
    for column, value in (('partner', "'Rival Air'"), ('gallery_id', '0'), ('valid_from', "'-infinity'"), ('assigned_by', "'postgres'")):
        operator.refused(f'UPDATE facematch.partner_gallery SET {column} = {value}')
    own = site.value("SELECT gallery_id FROM facematch.gallery WHERE name = 'OWN2'")
    assign = 'INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_until{}) VALUES ({})'
    operator.refused(assign.format(', assigned_by', f"'Rival Air', {own}, now(), 'postgres'"))
    operator.refused(assign.format('', f"'Rival Air', {own}, 'infinity'"), states=('23514',))
    operator.refused(assign.format('', f"'Rival Air', {own}, NULL"), states=('23502',))
    operator.refused(assign.format('', f"'Nobody', {own}, now()"), states=('23503',))
    # A gallery that is not there must not be one that a policy hides.
    operator.refused(assign.format('', "'Rival Air', -1, now()"))
    operator.refused('DELETE FROM facematch.partner_gallery')
    operator.refused('TRUNCATE facematch.partner_gallery')
    operator.close()


def test_names_of_flights(site):
    """Nothing that only looks like a name, or is a pattern, is a flight: one message, accounted."""
    partner = Attacker(site, 'partner')
    probe = text_of(near(site, 'OWN1 1'))
    partner.refused("CALL facematch.ask('NO SUCH', %s::face_embedding)", [probe])
    one = partner.message
    before = site.value("SELECT count(*) FROM facematch.disclosure WHERE answer = 'refused'")
    names = ('own1', 'OWN1 ', ' OWN1', 'OWN_', 'OWN%', '%', '', 'OWN1\n', 'OWN1\u200b', '\uff2f\uff37\uff2e1', 'O\u0301WN1', "OWN1'--", 'OTHERS', 'WATCH', 'YESTERDAY', '1', 'x' * 100000)
    for name in names:
        partner.refused('CALL facematch.ask(%s, %s::face_embedding)', [name, probe])
        expect(f'{name[:20]!r}: one message: {partner.message}', partner.message == one)
    expect('accounted', site.value("SELECT count(*) FROM facematch.disclosure WHERE answer = 'refused'") == before + len(names))
    partner.close()


def test_keys_of_encounters(site):
    """A key answers its own call again, of no other gallery, and not once the record is due."""
    operator = Attacker(site, 'operator')
    record = "SELECT encounter_id, subject_id::text FROM facematch.record_encounter(%s, %s::face_embedding, port => 'P', idempotency_key => 'K', occurred_at => %s)"
    probe = text_of(near(site, 'OWN1 6'))
    long_ago = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    site.execute('GRANT INSERT (occurred_at) ON facematch.encounter TO fm_attack_operator')
    first = operator.allowed(record, ['OWN1', probe, long_ago])[0]
    expect('matched', first[1] == str(site.subjects['OWN1 6']))
    site.execute('REVOKE INSERT (occurred_at) ON facematch.encounter FROM fm_attack_operator')
    again = operator.allowed(record, ['OWN1', None, None])[0]
    expect('a record that is due answers nobody', again[0] != first[0] and again[1] is None)
    expect('its own does', operator.allowed(record, ['OWN1', None, None])[0] == again)
    operator.refused(record, ['OWN1', probe, None], states=('22023',))
    operator.refused(record, ['OTHERS', probe, None], states=('22023',))
    expect('no pseudonym in the message', str(site.subjects['OWN1 6']) not in operator.message)
    operator.close()
    for kind, attacker in each(site):
        if kind != 'operator':
            attacker.refused("SELECT * FROM facematch.record_encounter('OWN1', port => 'P', idempotency_key => 'K')")


def test_verification_reads_no_bytes(site):
    """An auditor has files looked through that nobody else may read, and gets counts."""
    auditor = Attacker(site, 'auditor')
    for relation in ('facematch.reference', 'facematch.encounter', 'facematch.pseudonym_key', 'pg_authid', 'pg_statistic', 'pg_largeobject'):
        for row in auditor.allowed(f"SELECT v.pages, v.dead_tuples, v.fading_tuples, v.stray_bytes, v.padding_bytes, v.kept_keys, v.unwritten_pages, v.clean FROM facematch.verify_erased('{relation}') v"):
            expect('counts', all(value is None or isinstance(value, int) for value in row))
        auditor.allowed(f"SELECT v.note FROM facematch.verify_erased('{relation}') v")
    for relation in ('facematch.held', 'facematch.facematch_reference_face_idx', 'facematch_internal.audit_event_id_seq', 'facematch.decision'):
        rows, state = auditor.run(f"SELECT * FROM facematch.verify_erased('{relation}')")
        expect(f'{relation}: refused, or counted: {state}', state in (None, '42809'))
    for sql in ("SELECT facematch.erase('facematch.reference')", "SELECT facematch_internal.verify_pages('facematch.reference')",
                "SELECT facematch_internal.erase_pages('facematch.reference')", "SELECT facematch_internal.forget_statistics('facematch.reference')", 'SELECT facematch_internal.wal_files()'):
        auditor.refused(sql)
    auditor.close()


if __name__ == '__main__':
    main(test_settings_of_a_session, test_answers_are_the_same_under_settings, test_deadlines_by_no_sessions_clock, test_thresholds_that_are_no_numbers, test_shards, test_thresholds_of_shards, test_attempts_by_way_of_shards, test_a_search_shows_nothing_of_its_work,
         test_shards_that_lie, test_thresholds_of_who_empties_a_gallery, test_thresholds_of_what_comes_meanwhile, test_changes_are_logged, test_statements_prepared_before, test_conditions_on_templates, test_flights_of_partners, test_names_of_flights, test_keys_of_encounters, test_verification_reads_no_bytes)
