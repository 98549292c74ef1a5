"""What the attack tests share: the site they attack, sessions of each kind of role, and the eye for leaks.

Every statement that an attacker runs goes through Attacker.run(), which looks at all that comes back: rows, errors with their
details and contexts, notices, and what the server prints at client_min_messages = debug5.  A fragment of a stored template in
any form that PostgreSQL prints bytes or numbers in is a leak, whatever the test was about.
"""
import os
import random
import struct
import sys
import uuid

import psycopg

DIMS = 64
THRESHOLD = 0.6
PREFIX = 'fm_attack_'
KINDS = ('stranger', 'visitor', 'operator', 'partner', 'rival', 'auditor', 'template_reader', 'monitor')
# A coordinator reads templates: test_rights.py compares what it has been granted, and it attacks nothing.
ROLES = KINDS + ('coordinator',)
PASSWORD_OF_NOBODY = 'no role has one'


class Failure(Exception):
    pass


def connect(user='postgres', **options):
    settings = {'client_min_messages': 'notice'}
    return psycopg.connect(user=user, autocommit=True, options=' '.join(f'-c {k}={v}' for k, v in settings.items()), **options)


def vector(generator):
    """A template whose components are all different and exact in half precision, so that its text is known."""
    parts = [struct.unpack('e', struct.pack('e', generator.gauss(0, 1)))[0] for _ in range(DIMS)]
    norm = sum(p * p for p in parts) ** 0.5
    return [struct.unpack('e', struct.pack('e', p / norm))[0] for p in parts]


def text_of(parts):
    return '[' + ','.join(repr(p) for p in parts) + ']'


def blend(a, b, weight):
    return [x * weight + y * (1 - weight) for x, y in zip(a, b)]


def similarity(a, b):
    dot = sum(x * y for x, y in zip(a, b))
    return dot / (sum(x * x for x in a) ** 0.5 * sum(y * y for y in b) ** 0.5)


def signed(data):
    return [b - 256 if b > 127 else b for b in data]


def fragments(parts, texts):
    """How a run of components shows: as text, as bytes in hexadecimal, as the decimal bytes of a printed plan."""
    found = set()
    # The beginning, which a print that is cut off has too, and two other places.
    for i in (0, DIMS // 3, DIMS - 8):
        run = parts[i:i + 4]
        for text in texts:
            found.add(','.join(text[i:i + 3]))
        for code in ('<e', '>e', '<f', '>f', '<d', '>d'):
            data = b''.join(struct.pack(code, p) for p in run)
            found.add(data.hex())
            found.add(' '.join(str(b) for b in signed(data)))
    return found


class Site:
    """Galleries of three flights and a watchlist, with what each kind of role must not see."""

    def __init__(self, connection):
        self.admin = connection
        self.generator = random.Random(20261123)
        self.templates = {}
        self.subjects = {}
        self.secrets = set()

    def execute(self, sql, *params):
        return self.admin.execute(sql, params or None)

    def value(self, sql, *params):
        return self.execute(sql, *params).fetchone()[0]

    def stage(self, gallery, name, retention_class='us_citizen', enrolled='now()'):
        parts = vector(self.generator)
        subject = uuid.uuid5(uuid.NAMESPACE_URL, name)
        reference = self.value(
            'INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, enrolled_at)'
            f" SELECT g.gallery_id, %s, %s, %s::face_embedding, 'passport', {enrolled} FROM facematch.gallery g WHERE g.name = %s"
            ' RETURNING reference_id', subject, retention_class, text_of(parts), gallery)
        self.templates[name] = parts
        self.subjects[name] = subject
        return reference

    def create(self):
        for kind in ROLES:
            role = PREFIX + kind
            if self.execute('SELECT FROM pg_roles WHERE rolname = %s', role).fetchall():
                self.execute(f'DROP OWNED BY {role}')
                self.execute(f'DROP ROLE {role}')
            self.execute(f'CREATE ROLE {role} LOGIN')
        self.execute("INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, %s)", DIMS)
        for name in ('OWN1', 'OWN2', 'OTHERS'):
            self.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at)"
                         " VALUES (%s, 'flight', 'm', %s, now() + interval '2 hours')", name, THRESHOLD)
        self.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('WATCH', 'watchlist', 'm', %s)", THRESHOLD)
        self.first = self.stage('OWN1', 'first')
        for gallery, count in (('OWN1', 12), ('OWN2', 4), ('OTHERS', 12)):
            for i in range(count):
                self.stage(gallery, f'{gallery} {i}')
        self.watched = self.stage('WATCH', 'watched', 'watchlist')
        # Due, and not purged: no role but the owner sees it.
        self.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at)"
                     " VALUES ('YESTERDAY', 'flight', 'm', %s, now() - interval '3 days')", THRESHOLD)
        self.due = self.stage('YESTERDAY', 'due', enrolled="now() - interval '4 days'")
        self.execute("INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (%s, 'released secret', 'court')", self.subjects['OWN1 3'])
        self.execute('UPDATE facematch.hold SET released_at = clock_timestamp()')
        self.execute("SELECT facematch.record_encounter('OWN1', %s::face_embedding, port => 'PORT1')", text_of(self.templates['OWN1 1']))
        self.execute("SELECT facematch.grant_operator('%soperator')" % PREFIX)
        self.execute("SELECT facematch.grant_partner('%spartner', 'Acme Air', per_minute => 100000, per_day => 1000000)" % PREFIX)
        self.execute("SELECT facematch.grant_partner('%srival', 'Rival Air')" % PREFIX)
        self.execute("SELECT facematch.grant_auditor('%sauditor')" % PREFIX)
        self.execute("SELECT facematch.grant_monitor('%smonitor')" % PREFIX)
        self.execute("SELECT facematch.grant_template_reader('%stemplate_reader')" % PREFIX)
        self.execute("SELECT facematch.grant_template_reader('%scoordinator', for_shards => true)" % PREFIX)
        self.execute('GRANT USAGE ON SCHEMA facematch, facematch_internal TO %svisitor' % PREFIX)
        self.execute("INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_until)"
                     " SELECT 'Acme Air', gallery_id, now() + interval '1 day' FROM facematch.gallery WHERE name IN ('OWN1', 'OWN2')")
        self.execute("INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_until)"
                     " SELECT 'Rival Air', gallery_id, now() + interval '1 day' FROM facematch.gallery WHERE name = 'OTHERS'")
        self.execute('ANALYZE')
        self.learn()
        self.attempts(1000000, 1000000)
        return self

    def attempts(self, per_day=None, per_week=None):
        """How often sessions that connect from now on come near one person: the shipped budgets, unless said otherwise.

        Tests that are not about budgets try the same person hundreds of times."""
        for setting, most in (('day', per_day), ('week', per_week)):
            change = f'RESET facematch.attempts_per_{setting}' if most is None else f'SET facematch.attempts_per_{setting} = {most}'
            self.execute('DO $$ BEGIN EXECUTE format(%L, current_database()); END $$'.replace('%L', f"'ALTER DATABASE %I {change}'"))

    def learn(self):
        """What no answer may contain."""
        shown = {}
        for name, parts in self.templates.items():
            row = self.execute('SELECT e::text, e::real[]::text, e::float8[]::text FROM (SELECT %s::face_embedding) v (e)', text_of(parts)).fetchone()
            shown[name] = [text.strip('[]{}').split(',') for text in row]
        self.leaks = set()
        for name, parts in self.templates.items():
            self.leaks |= fragments(parts, shown[name])
        self.pseudonyms = set()
        for subject in self.subjects.values():
            data = subject.bytes
            self.pseudonyms |= {str(subject), subject.hex, ' '.join(str(b) for b in signed(data))}


class Attacker:
    def __init__(self, site, kind, hears_everything=False):
        self.site = site
        self.kind = kind
        self.heard = []
        # What is printed must hide nothing by itself: with templates taken out of messages, no leak into one would show.
        if hears_everything:
            site.execute(f'ALTER ROLE {PREFIX}{kind} SET facematch.redact_log = off')
        self.connection = connect(PREFIX + kind)
        if hears_everything:
            site.execute(f'ALTER ROLE {PREFIX}{kind} RESET facematch.redact_log')
        self.connection.add_notice_handler(lambda d: self.heard.append(' '.join(
            str(f) for f in (d.message_primary, d.message_detail, d.message_hint, d.context, d.internal_query) if f)))
        if hears_everything:
            trees = ['debug_print_parse', 'debug_print_rewritten', 'debug_print_plan']
            if self.connection.info.server_version >= 190000:
                trees.append('debug_print_raw_parse')
            for setting in trees:
                self.connection.execute(f'SET {setting} = on')
            self.connection.execute('SET client_min_messages = debug5')
            self.heard.clear()

    def close(self):
        self.connection.close()

    def look(self, told, sql):
        known = self.site.leaks if self.kind != 'template_reader' else set()
        secrets = set(known) | self.site.secrets
        if self.kind in ('stranger', 'visitor', 'partner', 'rival', 'monitor'):
            secrets |= self.site.pseudonyms
        for secret in secrets:
            if secret in told:
                at = told.index(secret)
                raise Failure(f'{self.kind}: LEAK of {secret!r} by: {sql[:300]}\n    …{told[max(at - 200, 0):at + 100]}…')

    def run(self, sql, params=None, own=()):
        """Runs it; (rows, None) or (None, SQLSTATE).  "own": what the attacker sent himself and may hear again."""
        self.heard.clear()
        rows, state, told = None, None, []
        try:
            cursor = self.connection.execute(sql, params)
            if cursor.description:
                try:
                    rows = cursor.fetchall()
                except (NotImplementedError, psycopg.DataError):
                    # Dates of another DateStyle, or before year 1, which psycopg does not read.
                    result = cursor.pgresult
                    rows = [tuple((result.get_value(r, c) or b'').decode() for c in range(result.nfields)) for r in range(result.ntuples)]
                told.append(repr(rows))
                told += [str(value) for row in rows for value in row]
                told += [value.hex() for row in rows for value in row if isinstance(value, (bytes, bytearray))]
            else:
                rows = []
        except psycopg.Error as error:
            state = error.sqlstate or 'none'
            diag = error.diag
            self.constraint = diag.constraint_name
            told.append(' '.join(str(f) for f in (error, diag.message_detail, diag.message_hint, diag.context, diag.internal_query) if f))
        self.message = told[0] if state else ''
        # A printed plan is wrapped: a line's end may stand between two bytes.
        everything = ' '.join('\n'.join(told + self.heard).split())
        for sent in own:
            everything = everything.replace(sent, '')
        self.look(everything, str(sql))
        return rows, state

    def refused(self, sql, params=None, states=('42501',)):
        rows, state = self.run(sql, params)
        if state not in states:
            raise Failure(f'{self.kind}: {"allowed" if state is None else "failed with " + state + " " + self.message}, and must be refused with '
                          f'{"/".join(states)}: {sql[:300]}')

    def allowed(self, sql, params=None):
        rows, state = self.run(sql, params)
        if state is not None:
            raise Failure(f'{self.kind}: refused with {state}, and must be allowed: {sql[:300]}\n    {self.message}')
        return rows


def expect(what, condition):
    if not condition:
        raise Failure(what)


def near(site, name, weight=0.9):
    return blend(site.templates[name], vector(site.generator), weight)


def near_miss(site, name):
    """Below the threshold, and near enough to be an attempt."""
    while True:
        probe = near(site, name, 0.42)
        if THRESHOLD - 0.055 < similarity(probe, site.templates[name]) < THRESHOLD - 0.005:
            return probe


def each(site, **options):
    for kind in KINDS:
        attacker = Attacker(site, kind, **options)
        yield kind, attacker
        attacker.close()


def main(*tests):
    """Runs the tests on a new site; counts statements, so that a test that tried nothing shows."""
    admin = connect()
    site = Site(admin).create()
    tried = [0]
    run = Attacker.run

    def counting(self, *args, **kwargs):
        tried[0] += 1
        return run(self, *args, **kwargs)

    Attacker.run = counting
    failures = 0
    try:
        for test in tests:
            before = tried[0]
            try:
                test(site)
                print(f'ok   {test.__name__}: {tried[0] - before} tries')
            except Failure as failure:
                failures += 1
                print(f'FAIL {test.__name__}: {failure}')
    finally:
        for kind in ROLES:
            admin.execute(f'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s', [PREFIX + kind])
        for kind in ROLES:
            admin.execute(f'DROP OWNED BY {PREFIX}{kind} CASCADE')
            admin.execute(f'DROP ROLE {PREFIX}{kind}')
    print(f'{tried[0]} tries, {failures} tests failed')
    sys.exit(1 if failures else 0)
