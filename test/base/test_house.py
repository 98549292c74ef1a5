#!/usr/bin/env python3
"""The house keeps its form: a domain calls only domains below it, in C by what it includes and in SQL by the routines it
names; no header includes itself in a circle; each SQL part needs only parts before it; each table is created once; the
public surface stays small and every object of it has a comment; and no line of SQL is longer than 119 characters."""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# From the ground up; docs/design.md says what lives in each.
DOMAINS = ('base simd keys embedding index redaction audit gallery erasure retention matching sealing access accuracy shard '
           'monitoring report').split()
LEVEL = {domain: level for level, domain in enumerate(DOMAINS)}

MOST_ROUTINES = 80
MOST_TABLES = 30
MOST_EVERYWHERE = 226
LONGEST = 119

problems = []


def problem(text):
    problems.append(text)


def without_comments(sql):
    return re.sub(r"/\*.*?\*/|--[^\n]*", ' ', sql, flags=re.S)


def without_strings(sql):
    return re.sub(r"'(?:[^']|'')*'", "''", sql)


# ---------------------------------------------------------------- C

def includes_of(path):
    """The headers of this tree that a file includes; PostgreSQL has a directory called access as well."""
    found = re.findall(r'^#include "([^"]+)"', path.read_text(), re.M)
    return [ROOT / 'src' / name for name in found if (ROOT / 'src' / name).exists()]


def domain_of(path):
    parts = path.relative_to(ROOT / 'src').parts
    return parts[0] if len(parts) > 1 else None


def check_includes():
    files = sorted((ROOT / 'src').glob('*/*.[ch]'))
    for path in files:
        mine = domain_of(path)
        if mine not in LEVEL:
            problem(f'{path.relative_to(ROOT)}: {mine} is no domain')
            continue
        for header in includes_of(path):
            theirs = domain_of(header)
            if theirs is not None and LEVEL[theirs] > LEVEL[mine]:
                problem(f'{path.relative_to(ROOT)} includes {header.relative_to(ROOT)}: {mine} is below {theirs}')


def check_circles():
    state = {}

    def visit(path, way):
        if state.get(path) == 'done':
            return
        if path in way:
            problem('headers in a circle: ' + ' -> '.join(p.name for p in way[way.index(path):] + [path]))
            return
        for header in includes_of(path):
            visit(header, way + [path])
        state[path] = 'done'

    for path in sorted((ROOT / 'src').glob('*/*.h')):
        visit(path, [])


# ---------------------------------------------------------------- SQL

CREATED = re.compile(r'^CREATE (?:OR REPLACE )?(FUNCTION|PROCEDURE|AGGREGATE|TABLE|VIEW|TYPE|SEQUENCE) '
                     r'((?:facematch|facematch_internal)\.\w+)', re.M)
NAMED = re.compile(r'\b((?:facematch|facematch_internal)\.\w+)')
CALLED = re.compile(r'\b((?:facematch|facematch_internal)\.\w+)\s*\(')


def check_parts():
    manifest = (ROOT / 'sql' / 'MANIFEST').read_text().split()
    there = {str(p.relative_to(ROOT / 'sql')) for p in (ROOT / 'sql').rglob('*.sql')}
    for part in sorted(there ^ set(manifest)):
        problem(f'sql/{part} is not both a file and a line of sql/MANIFEST')
    place, kind = {}, {}
    for number, part in enumerate(manifest):
        text = without_comments((ROOT / 'sql' / part).read_text())
        for what, name in CREATED.findall(text):
            if what == 'TABLE' and name in kind:
                problem(f'{name} is created twice')
            place.setdefault(name, number)
            kind.setdefault(name, what)
        if re.search(r'ALTER TABLE [^;$]*\bADD (COLUMN|CONSTRAINT)\b', without_strings(text)) and 'format(' not in text:
            problem(f'sql/{part} adds to a table that could be created whole')
    for number, part in enumerate(manifest):
        mine = part.split('/')[0]
        if mine not in LEVEL:
            continue
        text = without_comments((ROOT / 'sql' / part).read_text())
        text = re.sub(r"COMMENT ON[^;]*?IS\s*'(?:[^']|'')*'(?:\s*'(?:[^']|'')*')*;", '', text, flags=re.S)
        # A remedy or hint names what somebody calls; a body between $$ calls.
        code = re.sub(r"(?<!\$)'(?:[^'$]|'')*'", lambda m: '' if ' ' in m.group(0) else m.group(0), text)
        for name in sorted(set(CALLED.findall(code))):
            if kind.get(name) not in ('FUNCTION', 'PROCEDURE', 'AGGREGATE'):
                continue
            theirs = manifest[place[name]].split('/')[0]
            if LEVEL[theirs] > LEVEL[mine]:
                problem(f'sql/{part} calls {name}: {mine} is below {theirs}')
        # Outside of bodies, everything named has to be there already.
        outside = re.sub(r'\$(\w*)\$.*?\$\1\$', '', without_strings(text), flags=re.S)
        for name in sorted(set(NAMED.findall(outside))):
            if place.get(name, -1) > number:
                problem(f'sql/{part} needs {name}, which comes later, in sql/{manifest[place[name]]}')


def check_lines():
    """Of the parts, and of examples.  Not of test/*/*.sql, whose lines pg_regress prints again in expected/; test_docs.py
    has Markdown, where only a table's rows and what a program printed may be longer."""
    for path in sorted([*(ROOT / 'sql').rglob('*.sql'), *(ROOT / 'examples').rglob('*.sql'), *(ROOT / 'contrib').rglob('*.sql')]):
        for number, line in enumerate(path.read_text().split('\n'), 1):
            if len(line) > LONGEST:
                problem(f'{path.relative_to(ROOT)}:{number}: {len(line)} characters')


# ---------------------------------------------------------------- the surface

def ask(sql):
    run = subprocess.run(['psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-c', sql], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(run.stderr)
    return run.stdout.split('\n')[:-1]


def check_surface():
    routines = ask("SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'facematch'::regnamespace")
    tables = ask("SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'facematch'::regnamespace AND c.relkind IN ('r', 'p')")
    everything = ask("SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace IN"
                     " ('facematch'::regnamespace, 'facematch_internal'::regnamespace)")
    print(f'{len(routines)} routines and {len(tables)} tables in schema facematch;'
          f' {len(everything)} routines with facematch_internal')
    if len(routines) > MOST_ROUTINES:
        problem(f'{len(routines)} routines in schema facematch, at most {MOST_ROUTINES} are for users')
    if len(everything) > MOST_EVERYWHERE:
        problem(f'{len(everything)} routines in both schemas, at most {MOST_EVERYWHERE}: fold one before another is added')
    if len(tables) > MOST_TABLES:
        problem(f'{len(tables)} tables in schema facematch, at most {MOST_TABLES} are for users')
    for name in ask("""
        SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
            AND d.deptype = 'e' JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'facematch'
        WHERE obj_description(p.oid, 'pg_proc') IS NULL
        UNION ALL
        SELECT format('%s.%s', c.oid::regclass, a.attname) FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = 'facematch'::regnamespace AND c.relkind IN ('r', 'p', 'v')
            AND col_description(c.oid, a.attnum) IS NULL
        UNION ALL
        SELECT c.oid::regclass::text FROM pg_class c
        WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND c.relkind IN ('r', 'p', 'v')
            AND obj_description(c.oid, 'pg_class') IS NULL"""):
        problem(f'{name} has no comment')
    for name in ask("SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'facematch'::regnamespace"
                    " AND p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype)"):
        problem(f'{name} is a trigger: nobody calls it, so it belongs into facematch_internal')


check_includes()
check_circles()
check_parts()
check_lines()
if os.environ.get('PGHOST'):
    check_surface()
for text in problems:
    print(text)
sys.exit(1 if problems else 0)
