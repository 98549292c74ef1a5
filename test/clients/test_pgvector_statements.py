"""The table "Statement by statement" of docs/howto-pgvector.md: every line is run, beside pgvector where it is installed."""
import json
import math
import os
import re
import sys

try:
    import psycopg
except ImportError:
    print('psycopg 3 is not installed (python3-psycopg)')
    sys.exit(77)

PAGE = 'docs/howto-pgvector.md'
ROWS = "(1, 'a', '[1,2,3]'), (2, 'a', '[4,5,6]'), (3, 'b', '[3,1,2]'), (4, 'b', '[-1,0.5,2]'), (5, NULL, NULL)"
LEAST_STATEMENTS = 20


def statements():
    """(pgvector's statement, verdict, SQLSTATE or what to write) of each line."""
    section = open(PAGE, encoding='utf-8').read().split('## Statement by statement')[1].split('\n## ')[0]
    for line in section.splitlines():
        if not line.startswith('| `'):
            continue
        theirs, ours = [c.strip() for c in re.split(r'(?<!\\)\|', line)[1:3]]
        verdict = re.match(r'same|write `([^`]+)`|refused (\w{5}): ', ours)
        assert verdict, line
        plain = [t and t.replace('\\|', '|') for t in (theirs.strip('`'), verdict[1], verdict[2])]
        yield plain[0], verdict[0].split()[0], plain[1] or plain[2]


def number(value):
    if isinstance(value, str) and value.startswith('['):
        return json.loads(value)
    return value


def equal(a, b):
    a, b = number(a), number(b)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-3)
    return a == b


def run(conn, schema, statement):
    """The statement's rows and the table after it, then everything as it was; or the SQLSTATE."""
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(f'SET LOCAL search_path = {schema}, public')
            cursor = conn.execute(statement)
            rows = cursor.fetchall() if cursor.description else None
            return rows, conn.execute('SELECT * FROM items ORDER BY id').fetchall()
    except psycopg.Error as e:
        return e.sqlstate


def migrate(conn):
    """A column of each of pgvector's types with its index, converted as the page says."""
    for column, operators in (('vector(3)', 'vector_cosine_ops'), ('halfvec(3)', 'halfvec_cosine_ops')):
        conn.execute(f'CREATE TABLE old (id bigint PRIMARY KEY, category text, e {column})')
        conn.execute(f'INSERT INTO old VALUES {ROWS}')
        conn.execute(f'CREATE INDEX old_index ON old USING hnsw (e {operators})')
        nearest = conn.execute("SELECT id FROM old ORDER BY e <=> '[3,1,2]', id").fetchall()
        conn.execute('DROP INDEX old_index')
        conn.execute('ALTER TABLE old ALTER COLUMN e TYPE face_embedding(3, 1) USING e::real[]::face_embedding(3, 1)')
        conn.execute('CREATE INDEX ON old USING facematch (e)')
        assert conn.execute("SELECT id FROM old ORDER BY e <=> '[3,1,2]', id").fetchall() == nearest
        conn.execute('DROP TABLE old')


def main():
    with psycopg.connect(f"dbname={os.environ.get('PGDATABASE', 'postgres')}", autocommit=True) as conn:
        beside = conn.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'").fetchone()[0] == 1
        schemas = {'ours': 'face_embedding(3)'}
        if beside:
            conn.execute('CREATE EXTENSION vector')
            schemas['theirs'] = 'vector(3)'
            migrate(conn)
        for schema, column in schemas.items():
            conn.execute(f'CREATE SCHEMA {schema}')
            conn.execute(f'CREATE TABLE {schema}.items (id bigint PRIMARY KEY, category text, embedding {column})')
            conn.execute(f'INSERT INTO {schema}.items VALUES {ROWS}')

        count = 0
        for statement, verdict, detail in statements():
            ours = run(conn, 'ours', detail if verdict == 'write' else statement)
            if verdict == 'refused':
                # Without pgvector there is no type of its own that could be cast to.
                assert ours == ('42704' if not beside and '::halfvec' in statement else detail), (statement, ours)
            else:
                assert not isinstance(ours, str), (statement, ours)
            if beside:
                theirs = run(conn, 'theirs', statement)
                assert not isinstance(theirs, str), (statement, theirs)
                assert verdict == 'refused' or equal(ours, theirs), (statement, ours, theirs)
                if verdict == 'write':
                    assert isinstance(run(conn, 'ours', statement), str), f'{statement} need not be written differently'
            count += 1
        assert count >= LEAST_STATEMENTS, count
        print(f'{count} statements, ' + ('beside pgvector' if beside else 'without pgvector, which is not installed'))


main()
