#!/usr/bin/env python3
"""examples/refusals: an application that knows only SQLSTATEs and constraint names does the right thing for every refusal."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'examples', 'refusals'))

try:
    import psycopg
except ImportError:
    print('psycopg 3 is not installed (python3-psycopg)')
    sys.exit(77)

import desk

ROLE = f'example_refusals_{os.getpid()}'
failures = 0


def subject(number):
    return f'00000000-0000-8000-8000-{number:012d}'


def expect(what, answer, action='', why='', value=None):
    global failures
    if (answer.action, answer.why) != (action, why) or (value is not None and answer.value != value):
        failures += 1
        print(f'{what}: {answer}, expected {action or value} by {why or "its value"}')


def stage(owner):
    owner.execute(f'''
        CREATE ROLE {ROLE} LOGIN;
        SELECT facematch.grant_operator('{ROLE}');
        INSERT INTO facematch.model (name, tag, dims) VALUES ('refusals 1', 901, 2), ('refusals 2', 902, 2);
        INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, min_quality, purpose_required) VALUES
            ('open', 'flight', 'refusals 1', 0.9, now() + interval '1 hour', NULL, false),
            ('good', 'flight', 'refusals 1', 0.9, now() + interval '1 hour', 50, false),
            ('asks', 'flight', 'refusals 1', 0.9, now() + interval '1 hour', NULL, true),
            ('shut', 'flight', 'refusals 1', 0.9, now() + interval '1 hour', NULL, false),
            ('gone', 'flight', 'refusals 1', 0.9, now() - interval '20 days', NULL, false),
            ('list', 'watchlist', 'refusals 1', 0.9, NULL, NULL, false);
        SELECT facematch.close_gallery('shut')''')


def check_enrolment(owner, gate):
    expect('enrolled', gate.enrol('open', subject(1), '[1,0]', 'us_citizen', 'passport'))
    expect('a good picture', gate.enrol('good', subject(1), '[1,0]', 'us_citizen', 'passport', 50))
    expect('a misspelt gallery', gate.enrol('opne', subject(1), '[1,0]', 'us_citizen', 'passport'), desk.CORRECT, 'gallery_exists')
    expect('a closed gallery', gate.enrol('shut', subject(1), '[1,0]', 'us_citizen', 'passport'), desk.CORRECT, 'gallery_is_open')
    expect('a departed flight', gate.enrol('gone', subject(1), '[1,0]', 'us_citizen', 'passport'), desk.CORRECT, 'gallery_has_not_departed')
    expect('a watchlist', gate.enrol('list', subject(1), '[1,0]', 'us_citizen', 'passport'), desk.OPERATOR, 'gallery_may_be_staged')
    expect('an unknown class', gate.enrol('open', subject(1), '[1,0]', 'martian', 'passport'), desk.OPERATOR, 'retention_rule_is_in_force')
    expect('another model', gate.enrol('open', subject(1), '902:[1,0]', 'us_citizen', 'passport'), desk.CORRECT, 'reference_is_of_its_gallerys_model')
    expect('other dimensions', gate.enrol('open', subject(1), '[1,0,0]', 'us_citizen', 'passport'), desk.CORRECT, 'reference_is_of_its_gallerys_model')
    expect('no template', gate.enrol('open', subject(1), None, 'us_citizen', 'passport'), desk.CORRECT, 'reference_is_whole')
    expect('no subject', gate.enrol('open', None, '[1,0]', 'us_citizen', 'passport'), desk.CORRECT, 'reference_is_whole')
    expect('no such quality', gate.enrol('open', subject(1), '[1,0]', 'us_citizen', 'passport', 101), desk.CORRECT, 'reference_is_whole')
    expect('a poor picture', gate.enrol('good', subject(1), '[1,0]', 'us_citizen', 'passport', 49), desk.CORRECT, 'reference_is_of_its_gallerys_quality')
    expect('a picture not assessed', gate.enrol('good', subject(1), '[1,0]', 'us_citizen', 'passport'), desk.CORRECT, 'reference_is_of_its_gallerys_quality')
    expect('no template at all', gate.enrol('open', subject(1), '[0,0]', 'us_citizen', 'passport'), desk.CORRECT, '22000')
    gate.call('INSERT INTO facematch.opt_out (subject_id) VALUES (%s) RETURNING opt_out_id', subject(2))
    expect('a person who declined', gate.enrol('open', subject(2), '[1,0]', 'us_citizen', 'passport'), desk.DOCUMENT, 'subject_has_not_opted_out')
    held = gate.enrol('open', subject(3), '[0,1]', 'us_citizen', 'passport').value
    owner.execute("INSERT INTO facematch.hold (table_name, row_id, reason, authority, until) VALUES ('facematch.reference', %s, 'inquiry', 'a court', 'infinity')", (str(held),))
    expect('a held reference', desk.Desk(owner).remove(held), desk.LATER, 'row_is_not_held')


def check_searches(gate):
    expect('found', gate.search('open', '[1,0]'))
    expect('search of no gallery', gate.search('opne', '[1,0]'), desk.CORRECT, 'gallery_exists')
    expect('probe of another model', gate.search('open', '902:[1,0]'), desk.CORRECT, 'probe_is_of_its_gallerys_model')
    expect('no probe', gate.search('open', None), desk.CORRECT, 'probe_is_given')
    expect('no purpose', gate.search('asks', '[1,0]'), desk.CORRECT, 'search_has_a_purpose')
    expect('a purpose', gate.search('asks', '[1,0]', 'boarding'))
    expect('a long purpose', gate.search('asks', '[1,0]', 'boarding' * 20), desk.CORRECT, 'search_purpose_length')
    expect('no port', gate.board('open', '[1,0]', None), desk.CORRECT, 'encounter_names_its_port')
    expect('boarded', gate.board('open', '[1,0]', 'JFK'), value='match')
    expect('a poor probe', gate.board('good', '[1,0]', 'JFK', quality=49), value='manual_inspection: low_quality')
    expect('a good probe', gate.board('good', '[1,0]', 'JFK', quality=50), value='match')
    expect('a person who declined, at the gate', gate.board('open', '[1,0]', 'JFK', subject(2)), value='manual_inspection: opted_out')


def check_verification(owner, gate):
    owner.execute("UPDATE facematch.reference r SET purge_after = now() - interval '1 second' FROM facematch.gallery g"
                  " WHERE g.gallery_id = r.gallery_id AND g.name = 'good'")
    expect('verified', gate.verify('open', '[1,0]', subject(1)), value='true')
    expect('not the person', gate.verify('open', '[0,1]', subject(1)), value='false')
    expect('declined', gate.verify('open', '[1,0]', subject(2)), value='declined')
    expect('never was', gate.verify('open', '[1,0]', subject(9)), value='not_enrolled')
    expect('expired', gate.verify('good', '[1,0]', subject(1)), value='expired')
    expect('a watchlist tells nothing', gate.verify('list', '[1,0]', subject(9)), value='false')


def check_budget(gate):
    for _ in range(200):
        answer = gate.search('open', '[1,0]')
        if answer.refused:
            break
    expect('too many searches', answer, desk.DOCUMENT, 'subject_attempts_are_left')
    expect('the gate too', gate.board('open', '[1,0]', 'JFK'), value='manual_inspection: too_many_attempts')


def check_names():
    """Each name that the example knows is one that the sources have."""
    sources = ''
    for folder, _, names in list(os.walk(os.path.join(ROOT, 'src'))) + list(os.walk(os.path.join(ROOT, 'sql'))):
        for name in names:
            if name.endswith(('.c', '.sql')):
                with open(os.path.join(folder, name), encoding='utf-8') as file:
                    sources += file.read()
    for name in desk.BY_NAME:
        if not re.search(rf'''["']{name}["']|CONSTRAINT {name}\b''', sources):
            expect(f'{name} is in no source', desk.Answer(action='?'))


def main():
    with psycopg.connect(autocommit=True) as owner:
        stage(owner)
        try:
            with psycopg.connect(user=ROLE, autocommit=True) as connection:
                gate = desk.Desk(connection)
                check_enrolment(owner, gate)
                check_searches(gate)
                check_verification(owner, gate)
                check_budget(gate)
            check_names()
        finally:
            owner.execute(f'DROP OWNED BY {ROLE}; DROP ROLE {ROLE}')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
