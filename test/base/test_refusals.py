#!/usr/bin/python3
"""Every refusal has a name: each error of the SQL parts, and of the C files of the domains that refuse, names the rule that was broken; a
name is of one SQLSTATE in the functions; and the reference lists it.

What is left out: errors about values that are no template or no statistics, and about indexes and files, which have the SQLSTATEs of
src/embedding/errors.h and of PostgreSQL; and SQLSTATEs that tell of a fault of the program or the system, not of a refusal."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'test', 'docs'))
import reference

REFUSING = 'keys gallery retention matching access sealing report'.split()
# Internal errors, damaged data, triggers fired in a wrong way, the configuration.
FAULTS = r'INTERNAL_ERROR|DATA_CORRUPTED|E_R_I_E_\w+|CONFIG_FILE_ERROR|OUT_OF_MEMORY'

problems = []


def sql_refusals(text):
    """Condition and name (None: it has none) of each error that an SQL part raises."""
    for condition, rest in re.findall(r'\bRAISE\s+(?!WARNING|NOTICE|LOG|INFO|DEBUG)(\w+)(.*?);\n', text, re.S):
        name = re.search(r"\bCONSTRAINT = '(\w+)'", rest)
        yield condition, name and name.group(1)


def c_refusals(text):
    for found in re.finditer(r'\bereport\((?=ERROR|FATAL)', text):
        call = reference.balanced(text, found.end() - 1)
        name = re.search(r'(?:face_refusal\(|errtableconstraint\([^"]*)"(\w+)"', call)
        relayed = 'face_refusal(TextDatumGetCString' in call
        condition = re.search(r'ERRCODE_(\w+)', call)
        condition = re.sub('^(T_R|E_R_I_E)_', '', condition.group(1)).lower() if condition else 'relayed'
        if not relayed and not re.search(rf'ERRCODE_(?:{FAULTS})\b|errcode_for_file_access', call):
            yield condition, name and name.group(1)


def sources():
    for part in reference.slurp('sql/MANIFEST').split():
        yield 'sql/' + part, sql_refusals(reference.slurp('sql/' + part))
    for domain in REFUSING + ['base', 'embedding', 'accuracy']:
        folder = os.path.join(ROOT, 'src', domain)
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if name.endswith('.c'):
                found = c_refusals(reference.slurp(f'src/{domain}/{name}'))
                yield f'src/{domain}/{name}', [each for each in found if domain in REFUSING or each[1]]


def check_sources():
    known = {}
    for path, found in sources():
        for condition, name in found:
            if name is None:
                problems.append(f'{path}: an error of {condition} does not name what it refuses')
            else:
                known.setdefault(name, {}).setdefault(condition, path)
    for name, conditions in known.items():
        if len(conditions) > 1:
            problems.append(f'{name} has several SQLSTATEs: {conditions}')
    return known


def check_listed(known):
    listed = set(re.findall(r'^- `(\w+)`: ', '\n'.join(reference.errors()), re.M))
    for name in sorted(known.keys() ^ listed):
        problems.append(f'{name} is {"not in the reference" if name in known else "in the reference and not in the sources"}')


def check_itself():
    """What this looks for is found."""
    for text, read, wanted in [
            ("RAISE no_data_found USING\n MESSAGE = 'x';\n", sql_refusals, [('no_data_found', None)]),
            ("RAISE no_data_found USING CONSTRAINT = 'x_exists',\n MESSAGE = 'x';\n", sql_refusals, [('no_data_found', 'x_exists')]),
            ("RAISE EXCEPTION 'x';\n", sql_refusals, [('EXCEPTION', None)]),
            ('ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND), errmsg("x")));', c_refusals, [('no_data_found', None)]),
            ('ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND), face_refusal("y"), errmsg("x")));', c_refusals, [('no_data_found', 'y')]),
            ('ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("x")));', c_refusals, [])]:
        if list(read(text)) != wanted:
            problems.append(f'{text!r} is read as {list(read(text))}')


check_itself()
names = check_sources()
if len(names) < 90:
    problems.append(f'where are the refusals? {len(names)}')
check_listed(names)
for line in problems:
    print(line)
sys.exit(bool(problems))
