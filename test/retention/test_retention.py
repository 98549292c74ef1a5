#!/usr/bin/env python3
"""Random operations from several sessions against an independent model: visible, matchable and due rows are the model's.

test_retention.py [OPERATIONS [SEED]]: 3,000 by default, or as many as a minute allows; a failure prints the seed and the
operations before it.
"""
import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from datetime import datetime, timedelta, timezone

from retention_model import LONG_AGO, NEVER, Model, Refused, Row, Rule

try:
    import psycopg
except ImportError:
    print('psycopg 3 is not installed (python3-psycopg)')
    sys.exit(77)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SUBJECTS = [uuid.UUID(int=0x8000 << 64 | 0x8000000000000000 | n) for n in range(24)]
CLASSES = ['us_citizen', 'noncitizen', 'resident', 'member']
TABLES = {'reference': 'facematch.reference', 'encounter': 'facematch.encounter'}
# The latest deadline that a Python datetime can tell.
LAST = datetime(9999, 12, 31, tzinfo=timezone.utc)
# Rows come as one text for each kind, which is much faster to take apart in Python than rows are: number, deadline in
# seconds, template there, due, gallery.
LOOK_OWNER = """
    SELECT 'reference', string_agg(concat(reference_id, ' ', extract(epoch FROM least(purge_after, '9999-12-31')), ' ', (embedding IS NOT NULL)::int, ' ',
                                          (purge_after <= clock_timestamp())::int), ',') FROM facematch.reference
    UNION ALL
    SELECT 'encounter', string_agg(concat(encounter_id, ' ', extract(epoch FROM least(purge_after, '9999-12-31')), ' ', (probe IS NOT NULL)::int, ' ',
                                          (purge_after <= clock_timestamp())::int), ',') FROM facematch.encounter
    UNION ALL SELECT 'gallery', string_agg(gallery_id::text, ',') FROM facematch.gallery"""
LOOK_APP = """
    SELECT 'reference', string_agg(reference_id::text, ',') FROM facematch.reference
    UNION ALL SELECT 'encounter', string_agg(encounter_id::text, ',') FROM facematch.encounter"""
LOOK_MATCHES = """
    UNION ALL SELECT 'match', string_agg(concat(g.gallery_id, ' ', i.reference_id), ',')
    FROM facematch.gallery g, LATERAL facematch.identify(%s, g.name, 100000, -1, 'reference') i WHERE g.gallery_id = ANY (%s::bigint[])"""
# Seconds after which a run without arguments ends on a machine that is too slow for all its operations.
PATIENCE = 60
# A deadline that depends on the moment of an operation is known this well.
SLACK = 10

# The shipped rules that the test uses (DOMAIN.md's numbers), and two classes of its own.
RULES = [
    Rule('s1', 'us_citizen', 'encounter', [('verification', 12 * HOUR)], ('recorded', 12 * HOUR)),
    Rule('s2', 'noncitizen', 'encounter', [('verification', 14 * DAY)], ('recorded', 14 * DAY)),
    Rule('s3', 'unmatched', 'encounter', [('recorded', 12 * HOUR)]),
    Rule('s4', 'us_citizen', 'reference', [('gallery_anchor', 12 * HOUR), ('recorded', 14 * DAY)], follows=True),
    Rule('s5', 'noncitizen', 'reference', [('gallery_anchor', 14 * DAY)], ('recorded', 14 * DAY), follows=True),
    Rule('s6', 'gallery', 'gallery', [('gallery_anchor', 14 * DAY)], follows=True)]
OWN_RULES = [
    Rule('resident/reference', 'resident', 'reference', [('exit', 2 * DAY)], ('recorded', 20 * DAY), follows=True),
    Rule('resident/encounter', 'resident', 'encounter', [('exit', 2 * DAY), ('verification', 4 * DAY)], ('recorded', 10 * DAY), take='latest'),
    Rule('member/reference', 'member', 'reference', [('recorded', 9 * DAY)]),
    Rule('member/encounter', 'member', 'encounter', [('verification', 6 * DAY)])]


def template(subject):
    return '[' + ','.join('1' if s == subject else '0' for s in SUBJECTS) + ']'


class Database:
    """Three sessions of the owner, two of an application's role that owns nothing."""

    def __init__(self, name):
        self.owners = [psycopg.connect(dbname=name, autocommit=True) for _ in range(3)]
        self.apps = [psycopg.connect(dbname=name, user='retention_app', autocommit=True) for _ in range(2)]

    def close(self):
        for session in self.owners + self.apps:
            session.close()


def set_up(conn):
    conn.execute("INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, %s)", [len(SUBJECTS)])
    conn.execute("INSERT INTO facematch.retention_class (name, description) VALUES ('resident', 'r'), ('member', 'm')")
    # Who may decline is another test's (declining.sql): here everybody may.
    conn.execute("INSERT INTO facematch.decline_rule (name, retention_class, may_decline, alternative, citation, valid_from)"
                 " VALUES ('site/noncitizen', 'noncitizen', true, 'desk', 'site rule', '-infinity')")
    insert_rules(conn, OWN_RULES)
    if not conn.execute("SELECT FROM pg_roles WHERE rolname = 'retention_app'").fetchall():
        conn.execute('CREATE ROLE retention_app LOGIN')
    conn.execute('GRANT USAGE ON SCHEMA facematch, facematch_internal TO retention_app')
    conn.execute('GRANT SELECT ON facematch.gallery, facematch.reference, facematch.encounter, facematch.candidate TO retention_app')
    conn.execute('GRANT INSERT ON facematch.reference TO retention_app')
    conn.execute('GRANT EXECUTE ON FUNCTION facematch.record_encounter, facematch.identify TO retention_app')
    conn.execute('GRANT INSERT (occurred_at) ON facematch.encounter TO retention_app')


def insert_rules(conn, rules):
    values = []
    for rule in rules:
        anchor, keep = rule.fallback or (None, None)
        values += [rule.name, rule.cls, rule.what, [a for a, _ in rule.terms], [k for _, k in rule.terms], rule.take, anchor, keep,
                   rule.follows, rule.lengthens, None if rule.since == LONG_AGO else rule.since]
    conn.execute(
        'INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, take, fallback_anchor, fallback_keep,'
        ' follows_anchor, lengthens, citation, valid_from) VALUES ' +
        ', '.join(["(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'test', coalesce(%s, timestamptz '-infinity'))"] * len(rules)), values)


class Run:
    def __init__(self, name, seed):
        # What is looked at does not change what is done: a seed's operations are the same wherever the restore falls.
        self.random, self.looks = random.Random(seed), random.Random(seed + 1)
        self.name = name
        with psycopg.connect(dbname=name, autocommit=True) as conn:
            set_up(conn)
        self.db = Database(name)
        self.model = Model(RULES + OWN_RULES)
        self.start = self.now()
        self.history = []
        self.count = self.top = 0
        self.names, self.on_opt_out, self.done = {}, {}, Counter()

    def owner(self):
        return self.random.choice(self.db.owners)

    def now(self):
        """The server is on this machine and has this clock."""
        return datetime.now(timezone.utc)

    def moment(self, low, high):
        """Half an hour off the hours of all rules, so that nothing becomes due while the test runs."""
        return self.start + self.random.randint(low, high) * HOUR + HOUR / 2

    def a_gallery(self):
        return self.random.choice(sorted(self.model.galleries)) if self.model.galleries else None

    def a_row(self):
        rows = self.model.rows()
        return self.random.choice(rows) if rows else None

    # ------------------------------------------------------------ operations: (statement of the database, then of the model)

    def op_gallery(self, conn):
        anchor = self.random.choice([None, self.moment(-360, 48), self.moment(-20, 48), self.moment(-2, 400)])
        now = self.now()
        id, = conn.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at)"
                           " VALUES (%s, 'flight', 'm', 0.5, %s) RETURNING gallery_id", [f'g{self.count}', anchor]).fetchone()
        self.names[id] = f'g{self.count}'
        self.model.add_gallery(id, anchor, now)

    def op_stage(self, conn):
        gallery = self.a_gallery()
        if gallery is None:
            return
        wanted = [(self.random.choice(SUBJECTS), self.random.choice(CLASSES), self.random.choice([self.moment(-480, -1), self.moment(-12, -1)]))
                  for _ in range(self.random.randint(1, 4))]
        skip = self.random.random() < 0.4
        now = self.now()
        declined = [self.model.opted_out(s, gallery, now) for s, _, _ in wanted]
        rows = [(gallery, s, c, template(s), 'passport', at) for s, c, at in wanted]
        columns = 'facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)'
        by_copy = self.random.random() < 0.3
        session = conn if by_copy or conn.info.transaction_status else self.random.choice([conn] + self.db.apps)
        if self.on_opt_out.get(session) != skip:
            session.execute("SELECT set_config('facematch.on_opt_out', %s, false)", ['skip' if skip else 'refuse'])
            self.on_opt_out[session] = skip
        expected = None
        # The first row that is refused tells why: due on arrival though enrolled after the departure, or declined.
        for (s, c, at), d in zip(wanted, declined):
            due = self.model.by_rules(Row('reference', None, gallery, s, c, at))[0]
            anchor = self.model.anchors.get(gallery)
            if due <= now and anchor is not None and at >= anchor:
                expected = Refused('55000')
            elif d and not skip:
                expected = Refused('23000')
            if expected is not None:
                break
        try:
            if by_copy:
                with session.cursor().copy(f'COPY {columns} FROM STDIN') as copy:
                    for row in rows:
                        copy.write_row(row)
            else:
                session.execute(f'INSERT INTO {columns} VALUES ' + ', '.join(['(%s, %s, %s, %s, %s, %s)'] * len(rows)),
                                [v for row in rows for v in row])
        except psycopg.Error as e:
            if expected is None:
                raise
            assert e.sqlstate == expected.sqlstate, e
            raise Refused(expected.sqlstate) from None
        assert expected is None, 'a template was staged that had to be refused'
        ids = [r[0] for r in conn.execute('SELECT reference_id FROM facematch.reference WHERE reference_id > %s ORDER BY 1', [self.top])]
        self.top = max([self.top] + ids)
        staged = [w for w, d in zip(wanted, declined) if not d]
        assert len(ids) == len(staged), f'{len(ids)} of {len(staged)} rows staged'
        for id, (subject, cls, at) in zip(ids, staged):
            self.model.stage(Row('reference', id, gallery, subject, cls, at))

    def op_match(self, conn):
        gallery = self.a_gallery()
        if gallery is None:
            return
        probe = self.random.choice(SUBJECTS + [None])
        named = self.random.choice([None, None, probe, self.random.choice(SUBJECTS)])
        at = self.random.choice([self.moment(-400, -1), self.moment(-10, -1)])
        direction = self.random.choice(['entry', 'exit', None])
        now = self.now()
        outcome, reference = self.model.encounter(gallery, probe, named, now)
        session = conn if conn.info.transaction_status else self.random.choice([conn] + self.db.apps)
        key = f'k{self.count}'
        call = ("SELECT encounter_id, outcome, reference_id FROM facematch.record_encounter(%s, %s, 'JFK', 'B1', %s, 'air', %s, %s, 10, %s)",
                [self.names[gallery], probe and template(probe), direction, named, key, at])
        got = session.execute(*call).fetchone()
        assert got[1:] == (outcome, reference and reference.id), f'{got} instead of {outcome} with {reference and reference.id}'
        row = Row('encounter', got[0], gallery, reference.subject if reference else named, reference.cls if reference else 'unmatched',
                  at, at if reference else None, template=probe is not None and outcome != 'manual_inspection')
        if reference is not None and direction == 'exit':
            self.model.happen(row.subject, 'exit', at, now)
        self.model.record(row)
        if row.due > now and self.random.random() < 0.3:
            assert session.execute(*call).fetchone() == got, 'a retry was answered otherwise'

    def op_opt_out(self, conn):
        subject = self.random.choice(SUBJECTS)
        scope = self.random.choice(['standing', 'until', 'encounter'])
        gallery = self.a_gallery() if scope == 'encounter' else None
        if scope == 'encounter' and gallery is None:
            return
        until = self.moment(-48, 48) if scope == 'until' else None
        now = self.now()
        id, = conn.execute('INSERT INTO facematch.opt_out (subject_id, scope, gallery_id, until) VALUES (%s, %s, %s, %s) RETURNING opt_out_id',
                           [subject, scope, gallery, until]).fetchone()
        self.model.opt_out(id, subject, gallery, until, now)

    def op_revoke(self, conn):
        standing = [i for i, o in self.model.opt_outs.items() if not o['revoked']]
        for id in self.random.sample(standing, min(2, len(standing))):
            conn.execute('UPDATE facematch.opt_out SET revoked_at = clock_timestamp() WHERE opt_out_id = %s', [id])
            self.model.opt_outs[id]['revoked'] = True

    def op_hold(self, conn):
        row = self.a_row()
        if row is None:
            return
        by_subject = row.subject is not None and self.random.random() < 0.4
        until = self.random.choice([None, self.moment(-48, 48)])
        hold = {'row': None if by_subject else (row.what, row.id), 'subject': row.subject if by_subject else None, 'until': until, 'released': False}
        id, = conn.execute("INSERT INTO facematch.hold (table_name, row_id, subject_id, until, reason, authority, placed_at)"
                           " VALUES (%s::regclass, %s, %s, %s, 'inquiry', 'court',"
                           " least(clock_timestamp(), %s::timestamptz - interval '1 microsecond')) RETURNING hold_id",
                           [None if by_subject else TABLES[row.what], None if by_subject else str(row.id), hold['subject'], until, until]).fetchone()
        self.model.holds[id] = hold

    def op_release(self, conn):
        standing = [i for i, h in self.model.holds.items() if not h['released']]
        for id in self.random.sample(standing, min(2, len(standing))):
            conn.execute('UPDATE facematch.hold SET released_at = clock_timestamp() WHERE hold_id = %s', [id])
            self.model.holds[id]['released'] = True

    def op_rule(self, conn):
        """One rule or several in one statement, for one class or two."""
        if len(self.model.rules) > 80:
            return
        now, rules = self.now(), []
        for n in range(self.random.choice([1, 1, 2, 3])):
            what = self.random.choice(['reference', 'encounter'])
            since = self.random.choice([now, now, self.moment(-48, -1), self.moment(24, 96)])
            anchor = self.random.choice(['recorded', 'verification']) if what == 'encounter' else 'recorded'
            rules.append(Rule(f'r{self.count:06}.{n}', 'member', what, [(anchor, self.random.randint(1, 400) * HOUR)], ('recorded', 300 * HOUR),
                              lengthens=self.random.random() < 0.4, since=since))
        insert_rules(conn, rules)
        self.model.add_rules(rules, now)

    def op_rule_ends(self, conn):
        """A rule that has taken force ends; one that has not is withdrawn, as no other can be."""
        own = [r for r in self.model.rules if r.name[0] == 'r' and '.' in r.name and r.until == NEVER]
        if not own:
            return
        rule, now = self.random.choice(own), self.now()
        if rule.since <= now and self.random.random() < 0.5:
            conn.execute('UPDATE facematch.retention_rule SET valid_to = %s WHERE name = %s', [now + timedelta(minutes=1), rule.name])
            self.model.end_rule(rule, now + timedelta(minutes=1))
            return
        try:
            conn.execute('DELETE FROM facematch.retention_rule WHERE name = %s', [rule.name])
        except psycopg.Error as e:
            assert rule.since <= now and e.sqlstate == '23000', e
            raise Refused('23000') from None
        assert rule.since > now, 'a rule that has taken force was deleted'
        self.model.withdraw_rule(rule, now)

    def op_departure(self, conn):
        gallery = self.a_gallery()
        if gallery is None:
            return
        anchor = self.random.choice([None, self.moment(-360, 48), self.moment(-12, 48), self.moment(-2, 400)])
        now = self.now()
        conn.execute('UPDATE facematch.gallery SET anchor_at = %s WHERE gallery_id = %s', [anchor, gallery])
        self.model.move_departure(gallery, anchor, now)

    def op_event(self, conn):
        subject, at, now = self.random.choice(SUBJECTS), self.moment(-200, 100), self.now()
        conn.execute("INSERT INTO facematch.anchor_event (subject_id, event, occurred_at) VALUES (%s, 'exit', %s)", [subject, at])
        self.model.happen(subject, 'exit', at, now)

    def op_nearer(self, conn):
        row = self.a_row()
        if row is None or row.cls == 'member':
            return
        at, now = self.moment(-20, 200), self.now()
        statement = (f'UPDATE {TABLES[row.what]} SET purge_after = %s WHERE {row.what}_id = %s', [at, row.id])
        if at > row.due:
            try:
                conn.execute(*statement)
            except psycopg.Error as e:
                assert e.sqlstate == '23000', e
                raise Refused('23000') from None
            raise AssertionError('a deadline was pushed away')
        conn.execute(*statement)
        row.due = min(at, self.model.by_rules(row)[0], row.due)

    def op_delete(self, conn):
        row = self.a_row()
        if row is None:
            return
        held = self.model.held(row, self.now())
        try:
            conn.execute(f'DELETE FROM {TABLES[row.what]} WHERE {row.what}_id = %s', [row.id])
        except psycopg.Error as e:
            assert held and e.sqlstate == '23000', e
            raise Refused('23000') from None
        assert not held, 'a held row was deleted'
        self.model.delete(row, self.now())

    def op_purge(self, conn):
        conn.execute('CALL facematch.purge(%s)' % self.random.choice([4, 30, 10000]))
        self.model.purge(self.now())

    WEIGHTS = {'gallery': 4, 'stage': 24, 'match': 16, 'opt_out': 5, 'revoke': 4, 'hold': 5, 'release': 4, 'rule': 2, 'rule_ends': 2, 'departure': 5,
               'event': 4, 'nearer': 5, 'delete': 3, 'purge': 3}

    # ------------------------------------------------------------ one step, and what must be seen after it

    def step(self):
        self.count += 1
        name = self.random.choices(list(self.WEIGHTS), list(self.WEIGHTS.values()))[0]
        conn = self.owner()
        fate = self.random.choices(['commit', 'rollback', 'savepoint'], [8, 1, 1])[0]
        self.history.append(f'{self.count} {name} {fate}')
        saved = self.model.copy() if fate != 'commit' else None
        if fate != 'commit':
            conn.execute('BEGIN')
        if fate == 'savepoint':
            conn.execute('SAVEPOINT s')
        try:
            getattr(self, 'op_' + name)(conn)
            self.done[name] += 1
        except Refused:
            self.done[name + ' refused'] += 1
        if fate == 'savepoint':
            conn.execute('ROLLBACK TO s')
            conn.execute('COMMIT')
        elif fate == 'rollback':
            conn.execute('ROLLBACK')
        if saved is not None:
            self.model = saved
            self.on_opt_out.pop(conn, None)

    def look(self, session, rows, galleries):
        """Everything that a session is shown, in one statement: by kind, a list of what is told of each row."""
        flat = '[' + ','.join(['1'] * len(SUBJECTS)) + ']'
        return {kind: [row.split() for row in (text or '').split(',') if row] for kind, text in
                session.execute(rows + LOOK_MATCHES, [flat, galleries], prepare=True)}

    def explain(self, row):
        due, rule, longer = self.model.by_rules(row)
        return f'{vars(row)}, facts {self.model.facts(row)}, by rule {rule.name} {due}, lengthened {longer}'

    def check(self):
        model = self.model
        galleries = sorted(model.galleries)
        if self.count % 25:
            galleries = self.looks.sample(galleries, min(3, len(galleries)))
        owned = self.look(self.looks.choice(self.db.owners), LOOK_OWNER, galleries)
        shown = self.look(self.looks.choice(self.db.apps), LOOK_APP, galleries)
        now = self.now()
        for what in TABLES:
            want = {str(r.id): r for r in model.rows() if r.what == what}
            there = {row[0] for row in owned[what]}
            assert there == set(want), f'{what}: rows {there ^ set(want)} are there or not'
            for id, due, has, is_due in owned[what]:
                row = want[id]
                assert abs(float(due) - min(row.due, LAST).timestamp()) < SLACK, f'{what} {id}: due {due}, the model says {row.due}: {self.explain(row)}'
                assert has == str(int(row.template)), f'{what} {id}: template there {has}'
                assert is_due == str(int(row.due <= now)), f'{what} {id}: due {is_due}'
            seen, visible = sorted(int(id) for id, in shown[what]), model.visible(what, now)
            assert seen == visible, f'{what}: {set(seen) ^ set(visible)} visible or not'
        assert sorted(int(id) for id, in owned['gallery']) == sorted(model.galleries), 'galleries'
        matchable = sorted([str(gallery), str(id)] for gallery in galleries for id in model.matchable(gallery, now))
        for found in (owned['match'], shown['match']):
            assert sorted(found) == matchable, f'matchable {sorted(found)}, not {matchable}'

    def check_sum(self):
        """What is dearer to look at, and needs no look after each step."""
        conn = self.owner()
        assert conn.execute('SELECT intact FROM facematch.verify_audit()').fetchone() == (True,)
        held = {r[0] for r in conn.execute('SELECT hold_id FROM facematch.held')}
        now = self.now()
        assert held == {i for i, h in self.model.holds.items() if not h['released'] and (h['until'] is None or h['until'] > now)}
        purged, = conn.execute("SELECT count(*) FROM facematch.purge_receipt WHERE cause = 'retention'").fetchone()
        assert purged > 0

    def restore(self):
        """A dump, restored into an empty database, where everything goes on."""
        new = self.name + '_restored'
        self.db.close()
        admin = psycopg.connect(dbname='postgres', autocommit=True)
        admin.execute(f'DROP DATABASE IF EXISTS "{new}"')
        admin.execute(f'CREATE DATABASE "{new}"')
        admin.close()
        dump = subprocess.run(['pg_dump', '-d', self.name], check=True, stdout=subprocess.PIPE)
        restored = subprocess.run(['psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-o', os.devnull, '-d', new], input=dump.stdout, stderr=subprocess.PIPE)
        assert restored.returncode == 0, restored.stderr.decode()
        self.db = Database(new)
        self.on_opt_out = {}


def main():
    operations = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    run = Run(os.environ['PGDATABASE'], seed)
    began, restored = time.monotonic(), False
    try:
        while run.count < operations and (len(sys.argv) > 1 or time.monotonic() - began < PATIENCE):
            run.step()
            run.check()
            if not restored and (run.count >= operations // 2 or time.monotonic() - began > PATIENCE / 2):
                restored = True
                run.restore()
                run.check()
        run.check_sum()
    except BaseException:
        print(f'seed {seed}; the last operations:', *run.history[-12:], sep='\n  ')
        raise
    finally:
        run.db.close()
    print(f'{run.count} operations, seed {seed}: as the model says')
    print(', '.join(f'{name} {run.done[name]}' for name in sorted(run.done)))
    missing = set(Run.WEIGHTS) - set(run.done)
    assert not missing or run.count < 1000, f'never done: {missing}'


if __name__ == '__main__':
    main()
