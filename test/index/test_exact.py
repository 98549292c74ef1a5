#!/usr/bin/env python3
"""The index's answer is the sequential scan's: every operator, limit, threshold and key, on data easy and hard.

    test_exact.py [--searches N] [--rows N] [--seed N] [--only NAME]

Every set of templates is searched after CREATE INDEX, after the same rows were inserted instead, and after half of them
were deleted, vacuumed away and inserted again.  Rows must be the same and in order; among rows equally far, which the
limit cuts through, any may stand.
"""
import argparse
import itertools
import sys
import zlib

import numpy as np

import datasets

try:
    import psycopg
except ImportError:
    print('psycopg 3 is not installed (python3-psycopg)')
    sys.exit(77)

OPERATORS = ['<=>', '<->', '<#>']
LIMITS = [1, 10, 100, None]
THRESHOLDS = [None, -1.0, -0.3, 0.0, 0.05, 0.2, 0.4, 0.7, 0.9, 0.99, 1.0]
KEYS = ['none', 'one', 'any', 'absent']
PHASES = ['built', 'inserted', 'churned']
GALLERIES = 9
NULLS = 7


class Failure(Exception):
    pass


def insert(conn, table, texts, ids):
    with conn.cursor().copy(f'COPY {table} (id, g, e) FROM STDIN') as copy:
        for i in ids:
            copy.write_row((int(i), int(gallery(i)), None if i >= len(texts) else texts[i]))


def gallery(i):
    """A third of the rows in gallery 0, the others spread."""
    return 0 if i % 3 == 0 else 1 + i % (GALLERIES - 1)


def fill(conn, phase, x, rng):
    everyone = np.arange(len(x) + NULLS)
    some = rng.random(len(everyone)) < 0.5
    texts = [datasets.text(row) for row in x]
    for table, columns in (('plain', 'e'), ('keyed', 'g, e')):
        conn.execute(f'DROP TABLE IF EXISTS {table}')
        conn.execute(f'CREATE TABLE {table} (id int, g int, e face_embedding)')
        datasets.seal_own_table(conn, table)
        if phase == 'inserted':
            conn.execute(f'CREATE INDEX {table}_index ON {table} USING facematch ({columns})')
            insert(conn, table, texts, everyone)
        else:
            insert(conn, table, texts, everyone)
            conn.execute(f'CREATE INDEX {table}_index ON {table} USING facematch ({columns})')
        if phase == 'churned':
            conn.execute(f'DELETE FROM {table} WHERE id = ANY (%s)', (everyone[some].tolist(),))
            conn.execute(f'VACUUM {table}')
            insert(conn, table, texts, everyone[some])
        conn.execute(f'ANALYZE {table}')
        datasets.check_sealed(conn, table)


def sequential(conn, p):
    """What a sequential scan says of every row: id to (gallery, distances by operator, similarity)."""
    conn.execute('SET enable_indexscan = off')
    conn.execute('SET enable_bitmapscan = off')
    conn.execute('SET enable_seqscan = on')
    rows = conn.execute('SELECT id, g, e <=> %(p)s::face_embedding, e <-> %(p)s::face_embedding, e <#> %(p)s::face_embedding, '
                        'face_similarity(e, %(p)s::face_embedding) FROM plain', {'p': p}, binary=True).fetchall()
    conn.execute('SET enable_indexscan = on')
    conn.execute('SET enable_bitmapscan = on')
    conn.execute('SET enable_seqscan = off')
    return {r[0]: (r[1], dict(zip(OPERATORS, r[2:5])), r[5]) for r in rows}


plans = {}


def search(conn, p, operator, limit, threshold, key, galleries, table):
    """The index's answer: (id, distance or None) in order; operator None: no order."""
    distance = f'e {operator} %(p)s::face_embedding' if operator else 'NULL::float8'
    where = []
    if threshold is not None:
        where.append('face_match(e, %(p)s::face_embedding, %(t)s)')
    if key == 'one' or key == 'absent':
        where.append('g = %(g)s')
    elif key == 'any':
        where.append('g = ANY (%(g)s)')
    query = (f'SELECT id, {distance} FROM {table}' + (' WHERE ' + ' AND '.join(where) if where else '') +
             (f' ORDER BY {distance}' if operator else '') + (f' LIMIT {limit}' if limit else ''))
    parameters = {'p': p, 't': threshold, 'g': galleries if key == 'any' else galleries[0]}
    if query not in plans:
        plan = '\n'.join(r[0] for r in conn.execute('EXPLAIN (COSTS OFF) ' + query, parameters))
        if f'{table}_index' not in plan or 'Seq Scan' in plan:
            raise Failure(f'the index is not used:\n{query}\n{plan}')
        plans[query] = plan
    return conn.execute(query, parameters, binary=True).fetchall()


def expected(truth, operator, threshold, key, galleries):
    rows = [(i, d[operator] if operator else None) for i, (g, d, s) in truth.items()
            if (key == 'none' or g in galleries[:None if key == 'any' else 1]) and
            (threshold is None or (s is not None and s >= threshold))]
    return sorted(rows, key=lambda r: (r[1] is None, r[1]))


def compare(found, wanted, operator, limit):
    if limit is not None and operator is None and len(wanted) > limit:
        wanted_ids = {r[0] for r in wanted}
        if len(found) != limit or len({r[0] for r in found}) != limit or not wanted_ids >= {r[0] for r in found}:
            return 'other rows than the sequential scan'
        return None
    everything = dict(wanted)
    top = wanted[:limit]
    if len({r[0] for r in found}) != len(found):
        return 'a row twice'
    if any(i not in everything for i, d in found):
        return 'a row too many'
    if any(everything[i] != d for i, d in found):
        return 'another distance'
    if [d for i, d in found] != [d for i, d in top] and operator:
        missing = [(i, d) for i, d in top if i not in dict(found)]
        return f'other distances: {len(found)} rows instead of {len(top)}, {len(missing)} missing, first {missing[:3]}'
    if len(found) != len(top):
        return f'{len(found)} rows instead of {len(top)}'
    return None


def combinations():
    for operator, limit, threshold, key in itertools.product(OPERATORS, LIMITS, THRESHOLDS, KEYS):
        yield operator, limit, threshold, key
    for threshold, key in itertools.product(THRESHOLDS[1:], KEYS):
        yield None, None, threshold, key


class Driver:
    def __init__(self, conn, rng):
        self.conn, self.rng = conn, rng
        self.searches = 0
        self.failures = []

    def one(self, what, x, truth, p, combination):
        operator, limit, threshold, key = combination
        galleries = self.rng.permutation(GALLERIES)[:3].tolist() if key != 'absent' else [99]
        table = 'keyed' if key != 'none' or self.rng.random() < 0.5 else 'plain'
        self.searches += 1
        try:
            found = search(self.conn, datasets.text(p), operator, limit, threshold, key, galleries, table)
            problem = compare(found, expected(truth, operator, threshold, key, galleries), operator, limit)
        except psycopg.Error as e:
            problem = str(e)
        if problem:
            self.failures.append(f'{what}: {operator} LIMIT {limit} threshold {threshold} key {key} {galleries} on {table}: {problem}')

    def run(self, what, x, share):
        """About `share` searches, several to each probe."""
        every = list(combinations())
        done = 0
        while done < share:
            p = datasets.probe(x, self.rng)
            truth = sequential(self.conn, datasets.text(p))
            for i in self.rng.permutation(len(every))[:min(100, share - done)]:
                self.one(what, x, truth, p, every[i])
                done += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--searches', type=int, default=3000, help='in all (default 3000)')
    parser.add_argument('--rows', type=int, default=800, help='of a set (default 800)')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--only', help='sets whose name contains this')
    a = parser.parse_args()

    names = [n for n in datasets.DATASETS if not a.only or a.only in n]
    share = max(1, a.searches // (len(names) * len(PHASES)))
    with psycopg.connect(autocommit=True) as conn:
        conn.execute('SET enable_sort = off')
        conn.execute('SET jit = off')
        conn.execute("LOAD 'facematch'")
        driver = Driver(conn, np.random.default_rng(a.seed))
        for name in names:
            make, hard = datasets.DATASETS[name]
            rng = np.random.default_rng([a.seed, zlib.crc32(name.encode())])
            x = make(a.rows, rng)
            if x is None:
                print(f'SKIP {name}: the real faces are not here (FACES_DIR)')
                continue
            x = datasets.usable(x)
            conn.execute(f'SET facematch.miss_probability = {0 if hard else "default"}')
            for phase in PHASES:
                plans.clear()
                fill(conn, phase, x, rng)
                before = len(driver.failures)
                driver.run(f'{name}, {phase}', x, share)
                print(f'{name:20} {phase:10} {len(x):6} rows, {share} searches, {len(driver.failures) - before} wrong', flush=True)
    for failure in driver.failures[:40]:
        print(failure)
    print(f'{driver.searches} searches, {len(driver.failures)} wrong')
    sys.exit(1 if driver.failures or not driver.searches else 0)


if __name__ == '__main__':
    main()
