#!/usr/bin/env python3
"""The stated chance of a miss is honest: facematch.miss_probability raised until misses can be counted.

    test_misses.py [--rows N] [--probes N] [--seed N]

A candidate is missed when its row is not found although it satisfies the threshold.  The probability is stated for one
comparison and for a lower bound on its distance; a row is lost only when that bound lies beyond the threshold, so the
rows looked for are those just within it: for each probe the threshold is a row's own similarity, for rows of all ranks.
Misses may be no more than stated (within 5 standard deviations) and at least a twentieth of it.
"""
import argparse
import sys

import numpy as np

import datasets

try:
    import psycopg
except ImportError:
    print('psycopg 3 is not installed (python3-psycopg)')
    sys.exit(77)

SETS = ['faces 512', 'faces 128', 'full rank 512', 'uniform 256', 'dims 64']
PROBABILITIES = [1e-2, 1e-3]
INDEXES = 6                     # each has a rotation of its own: a template's code is drawn once for all probes
HONEST_SHARE = 20
EXPECTED_AT_LEAST = 20          # misses, before their being few says anything


def count(conn, x, probability, probes, rng):
    """How many of the rows at the threshold were looked for, and how many missed."""
    looked_for = missed = 0
    conn.execute(f'SET facematch.miss_probability = {probability}')
    for _ in range(INDEXES):
        conn.execute('REINDEX INDEX t_face')
        for _ in range(probes // INDEXES):
            p = datasets.text(datasets.probe_near(x, rng))
            conn.execute('SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_seqscan = on')
            rows = conn.execute('SELECT id, face_similarity(e, %s) FROM t ORDER BY 2 DESC', (p,)).fetchall()
            conn.execute('SET enable_indexscan = on; SET enable_bitmapscan = on; SET enable_seqscan = off')
            for rank in np.unique(np.geomspace(1, len(rows) - 1, 40).astype(int)):
                row, threshold = rows[rank]
                found = conn.execute('SELECT id FROM t WHERE face_match(e, %s, %s)', (p, threshold)).fetchall()
                looked_for += 1
                missed += row not in {r[0] for r in found}
    return looked_for, missed


def report(what, missed, looked_for, stated):
    """Says whether so many misses are dishonest: more than stated, or, where that can be told, absurdly few."""
    honest = missed <= stated + 5 * np.sqrt(stated) + 1 and (stated < EXPECTED_AT_LEAST or missed * HONEST_SHARE >= stated)
    print(f'{what}: {missed:.0f} of {looked_for:.0f} missed, {stated:.1f} stated{"" if honest else "  NOT HONEST"}', flush=True)
    return not honest


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rows', type=int, default=400, help='of a set (default 400)')
    parser.add_argument('--probes', type=int, default=18, help='of a set (default 18), 40 searches each')
    parser.add_argument('--seed', type=int, default=1)
    a = parser.parse_args()
    wrong = 0
    totals = np.zeros(3)
    with psycopg.connect(autocommit=True) as conn:
        conn.execute("LOAD 'facematch'; SET jit = off")
        for name in SETS:
            rng = np.random.default_rng(a.seed)
            x = datasets.DATASETS[name][0](a.rows, rng)
            if x is None:
                print(f'SKIP {name}: the real faces are not here (FACES_DIR)')
                continue
            x = datasets.usable(x)
            conn.execute('DROP TABLE IF EXISTS t; CREATE TABLE t (id int, e face_embedding)')
            datasets.seal_own_table(conn, 't')
            with conn.cursor().copy('COPY t (id, e) FROM STDIN') as copy:
                for i, row in enumerate(x):
                    copy.write_row((i, datasets.text(row)))
            conn.execute('CREATE INDEX t_face ON t USING facematch (e); ANALYZE t')
            for probability in PROBABILITIES:
                looked_for, missed = count(conn, x, probability, a.probes, rng)
                stated = looked_for * probability
                wrong += report(f'{name:16} miss_probability {probability:g}', missed, looked_for, stated)
                totals += [missed, looked_for, stated]
    wrong += report('all', *totals)
    sys.exit(1 if wrong or not totals[1] else 0)


if __name__ == '__main__':
    main()
