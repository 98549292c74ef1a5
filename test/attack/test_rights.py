#!/usr/bin/env python3
"""Every object of the extension against every kind of role: what test/attack/rights.txt says it may, and nothing else.

rights.txt is written by hand and knows nothing of facematch_internal.access_right: an object that it does not state is a failure.
Objects are listed from the catalogs.  `--list` prints the lines as the catalogs have them, to be read before they are kept.
"""
import os
import sys

from attack import Attacker, Failure, KINDS, PREFIX, Site, connect, main

RIGHTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'rights.txt')
STATED = ('everyone', 'operator', 'partner', 'auditor', 'template_reader', 'monitor', 'coordinator')
TABLE_PRIVILEGES = ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER')
BY_COLUMN = ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
RELATION_KINDS = {'r': 'table', 'p': 'table', 'v': 'view', 'm': 'view', 'S': 'sequence', 'f': 'table'}


def relations(site):
    return site.execute("SELECT c.oid, c.relname, c.relkind FROM pg_class c WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace)"
                        " AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') ORDER BY 2").fetchall()


def columns(site, oid):
    return [row[0] for row in site.execute('SELECT attname FROM pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attname', oid)]


def routines(site):
    return site.execute("SELECT p.oid, p.proname, p.prokind, p.oid::regprocedure::text, p.prorettype = 'trigger'::regtype, p.provariadic <> 0,"
                        " coalesce((SELECT array_agg(format_type(t, NULL) ORDER BY i) FROM unnest(p.proargtypes) WITH ORDINALITY a (t, i)), '{}')"
                        " FROM pg_proc p WHERE p.pronamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) ORDER BY 2, 4").fetchall()


def held_on_relation(site, role, oid, kind):
    held = set()
    if kind == 'S':
        return {p for p in ('SELECT', 'UPDATE', 'USAGE') if site.value('SELECT has_sequence_privilege(%s, %s::oid, %s)', role, oid, p)}
    for privilege in TABLE_PRIVILEGES:
        if site.value('SELECT has_table_privilege(%s, %s::oid, %s)', role, oid, privilege):
            held.add(privilege)
        elif privilege in BY_COLUMN:
            some = [c for c in columns(site, oid) if site.value('SELECT has_column_privilege(%s, %s::oid, %s, %s)', role, oid, c, privilege)]
            if some:
                held.add(f'{privilege}({",".join(some)})')
    return held


def actual(site):
    """{"table gallery": {"operator": {"SELECT"}}}, as the catalogs have it."""
    roles = {kind: PREFIX + ('visitor' if kind == 'everyone' else kind) for kind in STATED}
    found = {}
    for oid, name, kind in relations(site):
        found[f'{RELATION_KINDS[kind]} {name}'] = {k: held_on_relation(site, role, oid, kind) for k, role in roles.items()}
    for oid, name, _, _, _, _, _ in routines(site):
        entry = found.setdefault(f'function {name}', {k: set() for k in roles})
        for k, role in roles.items():
            if site.value("SELECT has_function_privilege(%s, %s::oid, 'EXECUTE')", role, oid):
                entry[k].add('EXECUTE')
    for entry in found.values():
        for k in STATED[1:]:
            entry[k] = entry[k] - entry['everyone']
    return found


def line(name, entry):
    return ' | '.join([name] + [f'{k} {" ".join(sorted(entry[k]))}' for k in STATED if entry[k]] or [name])


def stated():
    found = {}
    with open(RIGHTS) as lines:
        for text in lines:
            text = text.strip()
            if not text or text.startswith('#'):
                continue
            name, *rights = text.split(' | ')
            if name in found:
                raise Failure(f'rights.txt states {name} twice')
            found[name] = {k: set() for k in STATED}
            for right in rights:
                kind, *privileges = right.split()
                found[name][kind] = set(privileges)
    return found


# A report that is not stated: for auditors, and for nobody else.
def convention(name):
    kind, _, object_name = name.partition(' ')
    entry = {k: set() for k in STATED}
    if not object_name.startswith('report_') or kind not in ('view', 'function'):
        return None
    entry['auditor'] = {'SELECT' if kind == 'view' else 'EXECUTE'}
    return entry


def test_every_object_is_stated(site):
    wanted = stated()
    found = actual(site)
    wrong = []
    for name, entry in found.items():
        expected = wanted.get(name) or convention(name)
        if expected is None:
            wrong.append(f'not stated in rights.txt: {line(name, entry)}')
        elif expected != entry:
            wrong.append(f'stated:  {line(name, expected)}\n      granted: {line(name, entry)}')
    wrong += [f'stated, and not there: {name}' for name in wanted if name not in found]
    if wrong:
        raise Failure('\n    '.join(wrong))


def allowed_columns(held, privilege, every):
    if privilege in held:
        return set(every)
    for right in held:
        if right.startswith(privilege + '('):
            return set(right[len(privilege) + 1:-1].split(','))
    return set()


def attack_relation(site, attacker, held, oid, name, kind, every):
    table = site.value('SELECT %s::oid::regclass::text', oid)
    if kind == 'S':
        attacker.refused(f"SELECT nextval('{table}')")
        attacker.refused(f"SELECT setval('{table}', 1)")
        attacker.refused(f'SELECT last_value FROM {table}')
        return
    readable = allowed_columns(held, 'SELECT', every)
    for column in every:
        for sql in (f'SELECT {column} FROM {table}', f'COPY (SELECT {column} FROM {table}) TO STDOUT'):
            if sql.startswith('SELECT') and column in readable:
                attacker.allowed(sql)
            elif column not in readable:
                attacker.refused(sql)
    if set(every) != readable:
        for sql in (f'SELECT * FROM {table}', f'SELECT t FROM {table} t', f'SELECT row_to_json(t) FROM {table} t', f'TABLE {table}',
                    f'COPY {table} TO STDOUT', f'EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM {table}', f'DECLARE c CURSOR WITH HOLD FOR SELECT * FROM {table}',
                    f'PREPARE p_{name} AS SELECT * FROM {table}; EXECUTE p_{name}', f'CREATE TEMP TABLE copied AS TABLE {table}',
                    f'CREATE TEMP VIEW seen AS SELECT * FROM {table}; SELECT * FROM seen', f'SELECT count(t) FROM {table} t',
                    f'DO $$ DECLARE r record; BEGIN FOR r IN SELECT * FROM {table} LOOP RAISE NOTICE \'%\', r; END LOOP; END $$'):
            attacker.refused(sql)
            attacker.run('DROP VIEW IF EXISTS pg_temp.seen')
    # A computed column, or a view that joins, is written by nobody.
    unwritable = ('42501', '428C9', '0A000', '55000')
    insertable = allowed_columns(held, 'INSERT', every)
    updatable = allowed_columns(held, 'UPDATE', every)
    for column in every:
        if column not in insertable:
            attacker.refused(f'INSERT INTO {table} ({column}) OVERRIDING SYSTEM VALUE VALUES (NULL)', states=unwritable)
        if column not in updatable:
            attacker.refused(f'UPDATE {table} SET {column} = NULL', states=unwritable)
    # PostgreSQL takes any right to write for a right to lock.
    if not held & {'UPDATE', 'DELETE', 'TRUNCATE'}:
        attacker.refused(f'LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE', states=('42501', '25P01', '42809'))
    if 'DELETE' not in held:
        attacker.refused(f'DELETE FROM {table}', states=unwritable)
    # A view or a sequence is of the wrong kind before anybody asks for rights.
    for sql in (f'TRUNCATE {table}', f'CREATE TRIGGER t BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
                f'CREATE RULE r AS ON SELECT TO {table} DO INSTEAD SELECT 1', f'CREATE RULE r AS ON INSERT TO {table} DO ALSO NOTIFY x',
                f'ALTER TABLE {table} ADD COLUMN stolen int', f'ALTER TABLE {table} DISABLE TRIGGER ALL', f'ALTER TABLE {table} DISABLE ROW LEVEL SECURITY',
                f'ALTER TABLE {table} OWNER TO CURRENT_USER', f'DROP TABLE {table}', f'CREATE POLICY p ON {table} USING (true)',
                f'CREATE INDEX ON {table} (({every[0]}::text))', f'CREATE STATISTICS {name}_s ON {every[0]}, {every[-1]} FROM {table}',
                f'GRANT SELECT ON {table} TO PUBLIC', f'COMMENT ON TABLE {table} IS NULL', f'REFRESH MATERIALIZED VIEW {table}',
                f'CLUSTER {table}', f'REINDEX TABLE {table}', f'CREATE PUBLICATION stolen FOR TABLE {table}',
                f'CREATE TEMP TABLE child () INHERITS ({table})', f'CREATE TEMP TABLE child (x int REFERENCES {table})',
                f'CREATE TEMP TABLE p (LIKE {table}) PARTITION BY LIST ({every[0]}); ALTER TABLE p ATTACH PARTITION {table} DEFAULT'):
        if 'GRANT' in sql or 'ANALYZE' in sql:
            # Where one holds a right without its grant option, GRANT is a warning that nothing was granted.
            attacker.run(sql)
            continue
        attacker.refused(sql, states=('42501', '42809', '42804', '42830', '42P16', '0A000'))


def test_every_relation(site):
    wanted = stated()
    for kind in KINDS:
        attacker = Attacker(site, kind)
        for oid, name, relkind in relations(site):
            entry = wanted.get(f'{RELATION_KINDS[relkind]} {name}') or convention(f'{RELATION_KINDS[relkind]} {name}')
            stands_for = 'partner' if kind == 'rival' else kind
            held = entry.get(stands_for, set()) | (entry['everyone'] if kind != 'stranger' else set())
            attack_relation(site, attacker, held, oid, name, relkind, columns(site, oid))
        attacker.close()
    if site.execute("SELECT * FROM facematch_internal.actual_access a WHERE a.role_id = 0 AND a.clause ~ 'ON TABLE'").fetchall():
        raise Failure('somebody granted PUBLIC something')


def test_every_routine(site):
    wanted = stated()
    for kind in KINDS:
        attacker = Attacker(site, kind)
        attacker.run('CREATE TEMP TABLE own (gallery_id bigint, subject_id uuid, revoked_at timestamptz)')
        for _, name, prokind, signature, is_trigger, variadic, types in routines(site):
            entry = wanted.get(f'function {name}') or convention(f'function {name}')
            may = kind != 'stranger' and 'EXECUTE' in entry.get('partner' if kind == 'rival' else kind, set()) | entry['everyone']
            if is_trigger:
                attacker.refused(f'CREATE TRIGGER t AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION {signature}')
                continue
            arguments = [f'NULL::{t}' for t in types if t != 'internal']
            # Not as constants: of a strict function nothing would be left to execute.
            given = f" FROM (SELECT {', '.join(f'{a} AS a{i}' for i, a in enumerate(arguments))} OFFSET 0) v" if arguments else ''
            routine = signature[:signature.index('(')]
            call = (f"CALL {routine}({', '.join(arguments)})" if prokind == 'p' else
                    f"SELECT {routine}({', '.join(('VARIADIC ' if variadic and i == len(arguments) - 1 else '') + f'a{i}' for i in range(len(arguments)))}){given}")
            if may:
                _, state = attacker.run(call)
                if state == '42501' and 'permission denied for function' in attacker.message:
                    raise Failure(f'{kind}: refused, and must be allowed: {call}')
            else:
                attacker.refused(call)
            attacker.refused(f'ALTER ROUTINE {signature} SET search_path = public')
            attacker.refused(f'ALTER ROUTINE {signature} OWNER TO CURRENT_USER')
            attacker.refused(f'DROP ROUTINE {signature}')
        attacker.close()


def test_functions_of_the_type_see_only_arguments(site):
    """What stands in the type's schema is PUBLIC's: it takes values and reads nothing."""
    readers = site.execute(
        "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'"
        " JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'facematch'"
        " WHERE p.pronamespace NOT IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND (p.prosecdef OR p.provolatile = 'v' AND p.oid::regprocedure::text NOT LIKE '%handler(internal)')").fetchall()
    if readers:
        raise Failure(f'{readers} may do more than compute')


def test_owners_rights_are_fenced(site):
    loose = site.execute(
        "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND p.prosecdef"
        " AND (NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search_path=%, pg_temp')"
        "      OR NOT coalesce('debug_print_plan=off' = ANY (p.proconfig), false))").fetchall()
    if loose:
        raise Failure(f'search_path or debug_print_plan not set: {loose}')
    loose = site.execute("SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND c.relkind = 'v'"
                         " AND NOT coalesce('security_barrier=true' = ANY (c.reloptions), false)").fetchall()
    if loose:
        raise Failure(f'no security barrier: {loose}')
    leaky = site.execute("SELECT p.proname FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'"
                         " JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'facematch' WHERE p.proleakproof ORDER BY 1").fetchall()
    # Each was looked at: none of them has a reason to fail.
    stated_leakproof = ['face_dims', 'face_embedding_cmp', 'face_embedding_eq', 'face_embedding_ge', 'face_embedding_gt', 'face_embedding_hash',
                        'face_embedding_hash_extended', 'face_embedding_le', 'face_embedding_lt', 'face_embedding_may_match_probe', 'face_embedding_ne',
                        'face_model',
                        'face_probe_cmp', 'face_probe_eq', 'face_probe_ge', 'face_probe_gt', 'face_probe_hash', 'face_probe_hash_extended',
                        'face_probe_le', 'face_probe_lt', 'face_probe_ne']
    if [row[0] for row in leaky] != stated_leakproof:
        raise Failure(f'LEAKPROOF: {[row[0] for row in leaky]}')


if __name__ == '__main__':
    if '--list' in sys.argv:
        for stated_name, stated_entry in sorted(actual(Site(connect()).create()).items()):
            print(line(stated_name, stated_entry))
    else:
        main(test_every_object_is_stated, test_every_relation, test_every_routine, test_functions_of_the_type_see_only_arguments,
             test_owners_rights_are_fenced)
