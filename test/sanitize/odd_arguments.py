#!/usr/bin/python3
"""Every routine of the extension, called with odd arguments by every kind of role: nothing crashes, and no error is an internal one.

odd_arguments.py [NAME...]: all routines that are members of the extension, or those whose name matches one of the regular expressions.
Needs psycopg and a superuser (PGHOST, PGUSER); makes a database, odd_arguments, and drops it.

Each argument in turn takes each value of its type (NULL, the ends of the range, one outside it, relations of every kind), while the
others have a plain one; then all are NULL.  What a call changed is rolled back; procedures commit.  An error of class XX fails
the test, and so does a connection that ends."""
import collections
import itertools
import re
import sys

import psycopg

ROLES = ('superuser', 'operator', 'partner', 'auditor', 'reader', 'monitor', 'owner', 'nobody')
EMBEDDING = "'[1,0,0]'::face_embedding"
UNKNOWN_KEY = '11111111-2222-4333-8444-555555555555'

# The first value is the plain one.
VALUES = {
    'bigint': ['1', '0', '-1', '9223372036854775807', '-9223372036854775808'],
    'integer': ['1', '0', '-1', '2147483647', '-2147483648'],
    'smallint': ['1', '0', '-1', '32767', '-32768'],
    'oid': ["'facematch.reference'::regclass::oid", '0', '4294967295', '1'],
    'real': ['0.5', "'NaN'", "'Infinity'", "'-Infinity'", '0', '1e38'],
    'double precision': ['0.5', "'NaN'", "'Infinity'", "'-Infinity'", '0', '-1e308', '1e308'],
    'boolean': ['true', 'false'],
    'text': ["'flight'", "''", "'no such thing'", "repeat('x', 100000)", "E'\\t\\n\\\"'' %s %n \\\\'", "'facematch.reference'", "'us_citizen'", "'subject'"],
    'name': ["'flight'", "''"],
    'cstring': ["'[1,0,0]'", "''", "'1:[1e999]'"],
    'bytea': ["'\\x00'", "''", "decode(repeat('ff', 5000), 'hex')"],
    'uuid': ["'00000000-0000-8000-8000-000000000001'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"],
    'date': ['current_date', "'infinity'", "'-infinity'", "'5874897-12-31'", "'4713-01-01 BC'"],
    'timestamp with time zone': ['now()', "'infinity'", "'-infinity'", "'294276-12-31 23:59:59+00'", "'4713-01-02 BC'"],
    'interval': ["interval '1 day'", "interval '-1 day'", "interval '178000000 years'", "interval '2147483647 days'", "interval '0'",
                 "interval '-178000000 years'"],
    'jsonb': ["'{}'", "'[]'", "'null'", "'{\"a\": {\"b\": [1e100, null]}}'"],
    'json': ["'{}'", "'[]'"],
    'regclass': ["'facematch.reference'"] + [f"'odd.{kind}'" for kind in (
        'plain', 'parted', 'part', 'heir', 'seen', 'kept', 'far', 'counted', 'plain_pkey', 'plain_face', 'made', 'unlogged', 'toasted', 'bare')] + [
        "(SELECT reltoastrelid FROM pg_class WHERE oid = 'odd.toasted'::regclass)", "'temporary'", "'pg_class'", "'pg_class_oid_index'", "'pg_database'", "'pg_largeobject'",
        "'information_schema.tables'", "'facematch.encounter'", "'facematch.audit_event'", "'facematch.report_search'", '0', '4294967295', '2830'],
    'regtype': ["'face_embedding'", "'integer'", '0', '4294967295'],
    'regprocedure': ["'facematch.purge_lag()'", '0', '4294967295'],
    'face_embedding': [EMBEDDING, "'1:[0,1,0]'", "'32767:[65504,-65504,65504]'", "'[6e-8,0,0]'", "('[' || repeat('1,', 3839) || '1]')::face_embedding", "'[1]'",
                       # sealed: as it is stored where there is a place for keys, and under a key that never was
                       '(SELECT embedding FROM facematch.reference LIMIT 1)', f"'sealed:1:3:{UNKNOWN_KEY}:{'A' * 51}='", f"'sealed:0:3:{UNKNOWN_KEY}:{'A' * 51}='"],
    'vector': ["'[1,0,0]'"],
}
KINDS = """
CREATE SCHEMA odd;
GRANT USAGE, CREATE ON SCHEMA odd TO odd_owner;
GRANT USAGE ON SCHEMA odd TO PUBLIC;
CREATE EXTENSION IF NOT EXISTS postgres_fdw;
CREATE SERVER odd_far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname 'nowhere', connect_timeout '1');
GRANT USAGE ON FOREIGN SERVER odd_far TO odd_owner;
SET SESSION AUTHORIZATION odd_owner;
CREATE TABLE odd.plain (id bigint PRIMARY KEY, subject_id uuid, retention_class text, enrolled_at timestamptz, purge_after timestamptz,
	embedding face_embedding(3), CHECK (id <> -7));
CREATE INDEX plain_face ON odd.plain USING facematch (embedding);
INSERT INTO odd.plain SELECT n, gen_random_uuid(), 'us_citizen', now(), 'infinity', ARRAY[n, 1, 0]::real[]::face_embedding FROM generate_series(1, 20) n;
CREATE TABLE odd.parted (LIKE odd.plain) PARTITION BY RANGE (id);
CREATE TABLE odd.part PARTITION OF odd.parted FOR VALUES FROM (0) TO (100);
CREATE TABLE odd.heir () INHERITS (odd.plain);
CREATE VIEW odd.seen AS SELECT * FROM odd.plain;
CREATE MATERIALIZED VIEW odd.kept AS SELECT * FROM odd.plain;
CREATE FOREIGN TABLE odd.far (id bigint, purge_after timestamptz) SERVER odd_far;
CREATE SEQUENCE odd.counted;
CREATE TYPE odd.made AS (id bigint, purge_after timestamptz);
CREATE UNLOGGED TABLE odd.unlogged (LIKE odd.plain);
CREATE TABLE odd.toasted (id bigint PRIMARY KEY, note text, purge_after timestamptz);
INSERT INTO odd.toasted SELECT n, string_agg(md5(m::text), ''), 'infinity' FROM generate_series(1, 3) n, generate_series(1, 500) m GROUP BY n;
CREATE TABLE odd.bare ();
RESET SESSION AUTHORIZATION;
"""
SITE = """
INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 3);
INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('flight', 'flight', 'm', 0.9, now() + interval '1 day');
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT gallery_id, ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid, 'us_citizen', ARRAY[n, 1, 0]::real[]::face_embedding, 'passport'
FROM facematch.gallery, generate_series(1, 20) n;
SELECT facematch.grant_operator('odd_operator'), facematch.grant_partner('odd_partner', 'Odd Air', purpose => 'odd'),
	facematch.grant_auditor('odd_auditor'), facematch.grant_template_reader('odd_reader'), facematch.grant_monitor('odd_monitor');
"""
ROUTINES = """
SELECT p.oid::regprocedure::text, p.prokind, quote_ident(n.nspname) || '.' || quote_ident(p.proname), p.proname,
	ARRAY(SELECT format_type(t.oid, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY a (type, place) JOIN pg_type t ON t.oid = a.type ORDER BY a.place),
	p.prorettype::regtype::text
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'facematch' ORDER BY 1
"""


def connect(role, database='odd_arguments'):
    session = psycopg.connect(dbname=database, autocommit=True)
    session.execute("SET statement_timeout = '20s'; SET client_min_messages = error; SET lock_timeout = '2s'")
    session.execute('CREATE TEMPORARY TABLE temporary (id bigint PRIMARY KEY, purge_after timestamptz)')
    if role != 'superuser':
        session.execute(f'SET SESSION AUTHORIZATION odd_{role}')
    return session


def values_of(kind):
    if kind.endswith('[]'):
        inner = values_of(kind[:-2])
        return [f'ARRAY[{inner[0]}]::{kind}', f"'{{}}'::{kind}", f'ARRAY[NULL]::{kind}', f'ARRAY[[{inner[0]}],[{inner[-1]}]]::{kind}']
    plain = kind.split('.')[-1]
    values = VALUES.get(kind) or VALUES.get(plain)
    if values:
        return [f'({value})::{kind}' for value in values]
    # Rows, ranges and the like; pseudo-types have only NULL.
    return [f'NULL::{kind}'] if kind not in ('internal', '"any"', 'anyelement', 'trigger', 'event_trigger', 'record', 'table_am_handler', 'index_am_handler') else ['NULL']


def calls(kind, name, types):
    lists = [values_of(t) for t in types]
    plain = [values[0] for values in lists]
    given = [plain] + [plain[:i] + [value] + plain[i + 1:] for i, values in enumerate(lists) for value in values[1:] + ['NULL']]
    given += [['NULL'] * len(types)] + [[values[-1] for values in lists]]
    # Of each value with its neighbours, some.
    given += [list(pair) for pair in itertools.islice(itertools.product(*[values[:3] for values in lists]), 1, 9)]
    for arguments in dict.fromkeys(tuple(a) for a in given):
        yield f'CALL {name}({", ".join(arguments)})' if kind == 'p' else f'SELECT {name}({", ".join(arguments)})'


def settle(session):
    if session.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        session.execute('ROLLBACK')


def try_routine(sessions, role, routine, faults, states):
    signature, kind, name, proname, types, _ = routine
    tried = 0
    for sql in calls(kind, name, types):
        if sessions.get(role) is None or sessions[role].closed:
            sessions[role] = connect(role)
        session = sessions[role]
        tried += 1
        try:
            if kind != 'p':
                session.execute('BEGIN')
            session.execute(sql)
            states['done'] += 1
        except psycopg.OperationalError as e:
            states[e.sqlstate] += 1
            if session.closed or session.broken:
                faults.append(f'{role}: the connection ended: {sql[:300]}: {e}')
                wait_for_server()
        except psycopg.Error as e:
            states[e.sqlstate] += 1
            states['missed'] += e.sqlstate == '42883' and f'function {name}' in str(e) and 'internal' not in types
            if (e.sqlstate or '').startswith('XX'):
                faults.append(f'{role}: {e.sqlstate} {str(e).splitlines()[0]}: {sql[:300]}')
        if not session.closed:
            settle(session)
    return tried


def wait_for_server():
    import time
    for _ in range(100):
        try:
            psycopg.connect(dbname='postgres').close()
            return
        except psycopg.OperationalError:
            time.sleep(0.2)


def make_site():
    with psycopg.connect(dbname='postgres', autocommit=True) as admin:
        admin.execute('DROP DATABASE IF EXISTS odd_arguments WITH (FORCE)')
        admin.execute('CREATE DATABASE odd_arguments')
        for role in ROLES[1:]:
            admin.execute(f"DO $$ BEGIN CREATE ROLE odd_{role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    with psycopg.connect(dbname='odd_arguments', autocommit=True) as admin:
        admin.execute('SET client_min_messages = error; CREATE EXTENSION facematch CASCADE')
        admin.execute(SITE)
        admin.execute(KINDS)
        return admin.execute(ROUTINES).fetchall()


def drop_site(roles):
    with psycopg.connect(dbname='odd_arguments', autocommit=True) as admin:
        admin.execute("SET client_min_messages = error")
        admin.execute("CALL facematch.decommission('the test is over')")
        admin.execute('DROP EXTENSION facematch CASCADE')
        for role in roles:
            admin.execute(f'DROP OWNED BY odd_{role} CASCADE')
    with psycopg.connect(dbname='postgres', autocommit=True) as admin:
        admin.execute('DROP DATABASE odd_arguments WITH (FORCE)')
        for role in roles:
            admin.execute(f'DROP OWNED BY odd_{role}; DROP ROLE odd_{role}')


def main():
    routines = make_site()
    faults, tried, sessions, states = [], 0, {}, collections.Counter()
    wanted = [re.compile(word) for word in sys.argv[1:]]
    chosen = [r for r in routines if not wanted or any(w.search(r[3]) for w in wanted)]
    for role in ROLES:
        for routine in chosen:
            before = len(faults)
            tried += try_routine(sessions, role, routine, faults, states)
            for fault in faults[before:before + 3]:
                print('FAIL', fault, flush=True)
    for session in sessions.values():
        session.close()
    drop_site(ROLES[1:])
    print(f'{len(chosen)} routines, {len(ROLES)} roles, {tried} calls, {len(faults)} faults')
    # Calls that no routine was found for test nothing; what takes or gives type internal, no statement can call.
    missed = states['missed']
    print(f'{states["done"]} answered, {states["42501"]} without the right, {missed} not called')
    sys.exit(1 if faults or not states['done'] or missed else 0)


if __name__ == '__main__':
    main()
