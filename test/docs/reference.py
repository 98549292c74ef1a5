#!/usr/bin/python3
"""docs/reference.md, from the comments in the catalogs of a database that has the extension, and from the errors in the sources.

    reference.py        prints the page for the database that PGHOST, PGDATABASE and so on lead to

script/reference makes a server for that and writes the page; test_docs.py fails when the page is not what this prints.
"""
import json
import os
import re
import subprocess
import textwrap

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WIDTH = 116

ROUTINES = """
SELECT p.proname AS name, n.nspname AS schema, p.prokind::text AS kind, p.prokind <> 'p' AND p.proretset AS many,
       pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result, obj_description(p.oid, 'pg_proc') AS about,
       (SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                                          'about', col_description(a.attrelid, a.attnum)) ORDER BY a.attnum)
        FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE t.oid = p.prorettype AND t.typtype = 'c') AS columns
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'facematch'
WHERE n.nspname = 'facematch' OR n.nspname <> 'facematch_internal' AND p.proname ~ '^(avg|face_(similarity|match|probe|dims|model|norm|with_model))$'
ORDER BY p.proname, pg_get_function_arguments(p.oid)"""

OPERATORS = """
SELECT o.oprname AS name, format_type(o.oprleft, NULL) AS lhs, format_type(o.oprright, NULL) AS rhs, format_type(o.oprresult, NULL) AS result,
       obj_description(o.oid, 'pg_operator') AS about
FROM pg_operator o JOIN pg_depend d ON d.classid = 'pg_operator'::regclass AND d.objid = o.oid AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'facematch'
ORDER BY o.oprname"""

TYPES = """
SELECT t.typname AS name, obj_description(t.oid, 'pg_type') AS about
FROM pg_type t JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'facematch'
WHERE t.typtype = 'b' AND t.typnamespace NOT IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) ORDER BY t.typname"""

RELATIONS = """
SELECT c.relname AS name, c.relkind = 'v' AS view, obj_description(c.oid, 'pg_class') AS about,
       (SELECT json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'needed', a.attnotnull,
                                          'value', CASE WHEN a.attidentity <> '' THEN 'given by the database' WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
                                          'about', col_description(c.oid, a.attnum)) ORDER BY a.attnum)
        FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT json_agg(json_build_object('name', k.conname, 'type', k.contype, 'rule', pg_get_constraintdef(k.oid)) ORDER BY k.contype <> 'p', k.conname)
        FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'f', 'c', 'x')) AS constraints
FROM pg_class c WHERE c.relnamespace = 'facematch'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') ORDER BY c.relname"""

SETTINGS = """
SELECT name, boot_val AS value, unit, context, short_desc AS about, extra_desc AS more, enumvals AS values
FROM pg_settings WHERE name LIKE 'facematch.%' ORDER BY name"""

# What may change a setting, as pg_settings calls it.
CONTEXTS = {'user': 'anybody, for a session', 'superuser': 'superusers, for a session', 'sighup': 'the configuration file', 'postmaster': 'the configuration file, at a start'}

# The constraints that an error can name, with its SQLSTATE.
STATES = {'c': '23514', 'f': '23503', 'u': '23505', 'p': '23505', 'x': '23P01'}


def rows(query):
    done = subprocess.run(['psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-c', "LOAD 'facematch'", '-c', "SET search_path = pg_catalog, public",
                           '-c', f'SELECT json_agg(to_json(q)) FROM ({query}) q'], stdout=subprocess.PIPE, encoding='utf-8', check=True)
    return json.loads(done.stdout.strip() or 'null') or []


def slurp(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        return file.read()


def wrapped(text, first='', rest=''):
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False)


def prose(text):
    """A comment as Markdown: its first letter large, a full stop at its end."""
    text = re.sub(r'([*<])(?=\w)|(?<=\w)\*', lambda m: '\\' + m.group(0), ' '.join((text or 'NO COMMENT').split()))
    return text[0].upper() + text[1:] + ('' if text.endswith('.') else '.')


def code(text):
    return wrapped(text, '    ', '        ')


def short(text):
    """Types and values as people write them."""
    for long, brief in (('timestamp with time zone', 'timestamptz'), ('double precision', 'float8'), ('facematch_internal.', ''), ('DEFAULT ', '= ')):
        text = text.replace(long, brief)
    return re.sub(r"'::(text|name|interval|jsonb)\b", "'", text).replace('NULL::text', 'NULL')


### where things are defined

def domains():
    """The domains in reading order, and of each public name the domain that creates it."""
    order, home = [], {}
    for part in slurp('sql/MANIFEST').split():
        domain = part.split('/')[0]
        if '/' in part and domain not in order:
            order.append(domain)
        for name in re.findall(r'^CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE|AGGREGATE|TABLE|VIEW) ((?:facematch|@extschema@)\.)?(\w+)', slurp('sql/' + part), re.M):
            home.setdefault(name[1], domain)
    return order, home


def of_domain(found, home, domain):
    return [one for one in found if home.get(one['name']) == domain]


### routines, tables, views

def routine(one):
    schema = one['schema'] + '.' if one['schema'] == 'facematch' else ''
    result = short(one['result'] or '')
    call = 'CALL ' if one['kind'] == 'p' else ''
    lines = [f"#### {schema}{one['name']}", '', code(f"{call}{schema}{one['name']}({short(one['arguments'])})" + (f' -> {result}' if result else '')), '', wrapped(prose(one['about']))]
    if one['columns']:
        lines += [''] + columns(one['columns'])
    return lines + ['']


def columns(found):
    lines = []
    for one in found:
        kind = short(one['type'])
        if one.get('needed'):
            kind += ', not null'
        if one.get('value'):
            kind += ', ' + (one['value'] if one['value'] == 'given by the database' else f"default `{short(one['value'])}`")
        about = f": {one['about']}" if one['about'] else ''
        lines.append(wrapped(re.sub(r'([*<])(?=\w)', r'\\\1', f"`{one['name']}` {kind}{about}"), '- ', '  '))
    return lines


def relation(one):
    lines = [f"#### facematch.{one['name']}", '', wrapped(prose(one['about'])), ''] + columns(one['columns'])
    if one['constraints']:
        lines += ['', 'Constraints:', '']
        for each in one['constraints']:
            lines.append(wrapped(f"`{each['name']}` ({STATES[each['type']]}): `{short(each['rule'])}`", '- ', '  '))
    return lines + ['']


def section(title, found, home, order, show):
    lines = [f'## {title}', '']
    for domain in order:
        for number, one in enumerate(of_domain(found, home, domain)):
            lines += ([f'### {title} of {domain}', ''] if number == 0 else []) + show(one)
    return lines


### settings

def setting(one):
    unit = f" ({one['unit']})" if one['unit'] else ''
    value = one['value'] if one['value'] != '' else "''"
    values = f" One of {', '.join(one['values'])}." if one['values'] else ''
    return [f"#### {one['name']}", '', wrapped(f"Default `{value}`{unit}. Set by {CONTEXTS[one['context']]}.{values} {one['about']} {one['more'] or ''}".strip()), '']


### errors: what the sources raise

def literals(text):
    """The first string literal of an SQL expression, or the ones that C joins; conversions become dots."""
    found = re.match(r"[^',;]*'((?:[^']|''|'\s*\n\s*')*)'", text)
    if not found:
        return None
    whole = re.sub(r"'\s*\n\s*'", '', found.group(1))
    said = re.sub(r'%(\d+\$)?[sIL]|@extschema@', '…', whole.replace("''", "'").replace('%%', '%'))
    # What is joined to it by || stands for itself.
    return said + ('…' if said.endswith(' ') else '')


def sql_errors(text):
    for condition, rest in re.findall(r'RAISE (?!WARNING|NOTICE|EXCEPTION)([a-z_]+) USING(.*?);\n', text, re.S):
        message, hint = (re.search(r"\b%s = (.*(?:\n\s*'.*)*)" % word, rest) for word in ('MESSAGE', 'HINT'))
        alternatives = re.findall(r"(?:THEN|ELSE) ('(?:[^']|'')*')", message.group(1)) if message and 'CASE' in message.group(1) else None
        for each in alternatives or [message.group(1) if message else '']:
            if literals(each):
                rule = re.search(r"\bCONSTRAINT = '(\w+)'", rest)
                yield condition, literals(each), literals(hint.group(1)) if hint and 'CASE' not in hint.group(1) else None, rule and rule.group(1)


def balanced(text, begin):
    """The text from an opening parenthesis to the one that closes it, strings aside."""
    depth = 0
    for found in re.finditer(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[()]', text[begin:]):
        depth += {'(': 1, ')': -1}.get(found.group(0), 0)
        if depth == 0:
            return text[begin:begin + found.end()]
    raise ValueError('unbalanced')


def c_string(call, word):
    """The text of errmsg, errhint and the like; of errmsg_plural and errhint_plural the one for many."""
    literal = r'(?:\s*(?:"(?:\\.|[^"\\])*"|[A-Z0-9_]+_FORMAT|PRI\w+))+'
    found = re.search(rf'\b{word}(?:\(|_plural\({literal},)({literal})', call)
    if not found:
        return None
    text = re.sub(r'\b(\w+_FORMAT|PRI\w+)\b', '"%d"', found.group(1))
    text = ''.join(re.findall(r'"((?:\\.|[^"\\])*)"', text))
    return re.sub(r'%%|%[-+ #0]*[\d.*]*(?:ll|l|z)?[sdugfxXcm]', lambda m: '%' if m.group(0) == '%%' else '…', text.replace('\\"', '"').replace('\\\\', '\\')).replace('……', '…')


def c_errors(text):
    for name, value in re.findall(r'^#define (\w+)(?:\s|\\\n)+(".*")$', text, re.M):
        text = text.replace(f'errhint({name})', f'errhint({value})')
    for found in re.finditer(r'\bereport\((?=ERROR|FATAL)|\bface_input_error\(', text):
        call = balanced(text, found.end() - 1)
        for state in re.findall(r'errcode\((?:[^()]*\?\s*)?ERRCODE_(\w+)', call):
            message, hint = c_string(call, 'errmsg') or '…', c_string(call, 'errhint')
            if 'errhint' in call and not hint:
                raise SystemExit(f'this hint would be lost: {call}')
            rule = re.search(r'(?:face_refusal\(|errtableconstraint\([\w>-]+, )"(\w+)"', call)
            if message != '…' or rule:
                yield re.sub('^(T_R|E_R_I_E)_', '', state).lower(), message, hint, rule and rule.group(1)


def sources():
    for part in slurp('sql/MANIFEST').split():
        yield sql_errors, slurp('sql/' + part)
    for folder, _, names in sorted(os.walk(os.path.join(ROOT, 'src'))):
        for name in sorted(names):
            if name.endswith('.c'):
                yield c_errors, slurp(os.path.join(folder, name))


def sqlstates(conditions):
    """The SQLSTATE of each condition, as the server knows it."""
    # pg_temp: the function is gone with the session.
    make = """CREATE FUNCTION pg_temp.state(condition text) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
        EXECUTE format('DO $d$ BEGIN RAISE %I; END $d$', condition); EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN RETURN SQLSTATE; END $f$"""
    wanted = ', '.join(f"'{one}'" for one in sorted(conditions))
    done = subprocess.run(['psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-c', make, '-c', f"SELECT c, pg_temp.state(c) FROM unnest(ARRAY[{wanted}]) c"],
                          stdout=subprocess.PIPE, encoding='utf-8', check=True)
    states = dict(line.split('|') for line in done.stdout.split())
    unknown = [one for one, state in states.items() if state == '42704' and one != 'undefined_object']
    if unknown:
        raise SystemExit(f'PL/pgSQL knows no such conditions: {unknown}')
    return states


def errors():
    found = {}
    for read, text in sources():
        for condition, message, hint, rule in read(text):
            found.setdefault(condition, {}).setdefault((rule or '', message), hint)
    states = sqlstates(found)
    lines = ['## Errors', '', wrapped('What the extension itself raises, by SQLSTATE: `name`: message / hint, where … stands for a name or a number. The name is the '
                                      'rule that was broken; drivers show it as the name of a constraint (`PG_DIAG_CONSTRAINT_NAME`). By it and the SQLSTATE an '
                                      'application tells every refusal from every other, without reading English: [examples/refusals](../examples/refusals/README.md) '
                                      'does. Errors without a name are about a value that is no template, a damaged file or an index. Constraints of '
                                      'tables stand above, with theirs. PostgreSQL raises its own errors too, such as 42501 where a right is missing.'), '']
    for condition in sorted(found, key=lambda one: states[one]):
        lines += [f'#### {states[condition]} {condition}', '']
        for (rule, message), hint in sorted(found[condition].items(), key=lambda one: (one[0][0], one[0][1].lower())):
            text = re.sub(r'([*<_])(?=\w)', r'\\\1', message + (f' / {hint}' if hint else ''))
            lines.append(wrapped((f'`{rule}`: ' if rule else '') + text, '- ', '  '))
        lines.append('')
    return lines


def page():
    order, home = domains()
    routines, relations = rows(ROUTINES), rows(RELATIONS)
    lost = [one['name'] for one in routines + relations if one['name'] not in home]
    if lost:
        raise SystemExit(f'no SQL part of sql/MANIFEST creates these: {lost}')
    lines = ['# Reference', '', '<!-- Made by script/reference from the comments in the catalogs and the errors in the sources: change those. -->', '',
             wrapped('Every public type, function, table, view, setting and error, in the order of the domains ([design](design.md)). What is not here, in '
                     'schema `facematch_internal`, is nobody\'s to call. `psql` shows the same: `\\df+ facematch.*`, `\\d+ facematch.reference`.'), '',
             ' · '.join(f'[{one}](#{one.lower()})' for one in ('Types', 'Operators', 'Functions', 'Tables')) + ' ·',
             ' · '.join(f'[{one}](#{one.lower()})' for one in ('Views', 'Settings', 'Errors')), '',
             '## Types', '']
    for one in rows(TYPES):
        lines += [f"#### {one['name']}", '', wrapped(prose(one['about'])), '']
    lines += ['## Operators', '']
    for one in rows(OPERATORS):
        lines.append(wrapped(f"`{one['lhs']} {one['name']} {one['rhs']}` -> {short(one['result'])}: {one['about']}", '- ', '  '))
    lines += [''] + section('Functions', routines, home, order, routine)
    lines += section('Tables', [one for one in relations if not one['view']], home, order, relation)
    lines += section('Views', [one for one in relations if one['view']], home, order, relation)
    lines += ['## Settings', '',
              wrapped('PostgreSQL knows these settings in sessions that have loaded the library. Before that, `SHOW` and `ALTER SYSTEM` answer '
                      '`unrecognized configuration parameter` (42704), and `SET`, `ALTER DATABASE` and `ALTER ROLE` take any value, unchecked. '
                      "`LOAD 'facematch';` loads it; so does `shared_preload_libraries` for all sessions. Lines in `postgresql.conf` need neither."), '']
    for one in rows(SETTINGS):
        lines += setting(one)
    return '\n'.join(lines + errors()).rstrip() + '\n'


if __name__ == '__main__':
    print(page(), end='')
