#!/usr/bin/python3
"""docs/accuracy.md as it stands: every statement of it runs on the demonstration's faces and galleries, in order, and what the page
says of the results holds."""
import os
import pathlib
import re
import sys

try:
    import numpy as np
    import psycopg
except ImportError as e:
    print(f'{e} (python3-numpy, python3-psycopg)')
    sys.exit(77)

import scores

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEAST_STATEMENTS = 12           # the page has more; with fewer, this did not find them
MAY_BE_EMPTY = ('duplicates',)          # when nobody is enrolled twice
TARGET = 0.001


def statements():
    """What stands indented by four spaces or more after an empty line, up to each semicolon."""
    blocks = re.findall(r'\n\n((?: {4,}\S.*\n)+)', (ROOT / 'docs/accuracy.md').read_text())
    return [s.strip() for block in blocks for s in re.findall(r'[^;]+;', block)]


def staging():
    """How the demonstration stages its galleries."""
    return next(s for s in re.findall(r"<<'SQL'\n(.*?)\nSQL\n", (ROOT / 'script/demo').read_text(), re.S) if 'INSERT INTO facematch.model' in s)


def synthetic():
    """1,100 people with two pictures and 1,500 with one, of 160 of the 512 dimensions."""
    rng = np.random.default_rng(11)
    subjects = np.concatenate([np.repeat(np.arange(1100), 2), np.arange(1100, 2600)])
    ordinals = np.concatenate([np.tile([0, 1], 1100), np.zeros(1500, int)])
    x = rng.standard_normal((2600, 160))[subjects] + 0.75 * rng.standard_normal((len(subjects), 160))
    return (x @ (rng.standard_normal((160, 512)) / 22)).astype('f2'), subjects, ordinals


def load(conn, x, subjects, ordinals):
    conn.execute('CREATE TABLE faces (row_id int, subject int, ordinal int, embedding face_embedding(512,1))')
    scores.copy_rows(conn, 'faces', [np.arange(len(x), dtype='i4'), subjects.astype('i4'), ordinals.astype('i4')], x)
    conn.execute(staging())


def main():
    found = statements()
    if len(found) < LEAST_STATEMENTS:
        raise SystemExit(f'only {len(found)} statements found in docs/accuracy.md')
    with psycopg.connect(f"dbname={os.environ.get('PGDATABASE', 'postgres')}", autocommit=True) as conn:
        load(conn, *(scores.real_faces() or synthetic()))
        results = {}
        for statement in found:
            try:
                cursor = conn.execute(statement)
            except psycopg.Error as e:
                raise SystemExit(f'{statement}\n{e}')
            rows = cursor.fetchall() if cursor.description else None
            if rows == [] and not any(name in statement for name in MAY_BE_EMPTY):
                raise SystemExit(f'{statement}\nreturns nothing')
            for name in re.findall(r'facematch\.(\w+)', statement):
                results[name] = rows
        searches, positives, fpir, lower, _ = results['fpir'][0]
        if searches < 400 or lower > TARGET:
            raise SystemExit(f'a target FPIR of {TARGET}, tried on people set aside: {positives} false positives in {searches} searches, {lower} at the least')
        mated, misses, fnir, *_ = results['fnir'][0]
        if mated < 90 or fnir > 0.3:
            raise SystemExit(f'{misses} misses in {mated} searches of enrolled people')
        if not any(basis == 'measured' for row in results['calibrate'] for basis in row):
            raise SystemExit(f'nothing was measured: {results["calibrate"]}')
        print(f'{len(found)} statements; people set aside: FPIR {positives}/{searches}, FNIR {misses}/{mated}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
