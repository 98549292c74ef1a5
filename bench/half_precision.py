#!/usr/bin/python3
"""Does storing templates in half precision change decisions? Counts them on real and synthetic faces (script/bench half_precision.py)

Three comparisons, each at the thresholds of FMR 1e-3, 1e-4 and 1e-5, which are taken from every non-mated pair of the set:
  as given   real faces as the data set has them (already halves): the type's score against float64 of the same numbers
  rotated    the same faces under a random rotation, which changes no score and gives every component all its digits:
             the type's score of the rounded template against float64 of the unrounded one
  synthetic  float32 templates of bench/synthfaces, likewise
Through the type go the pairs of the development protocol; the numbers of all pairs come from numpy in double precision.
Needs python3-psycopg, numpy and, for the first two, the real faces in FACES_DIR.  Prints a markdown table."""
import argparse
import csv
import os
import pathlib
import subprocess

import numpy as np
import psycopg

FMRS = (1e-3, 1e-4, 1e-5)
BLOCK = 1000
BENCH = pathlib.Path(__file__).resolve().parent


class Cosine:
    """Accept at a similarity of at least the threshold."""
    expression = 'face_similarity(a, b)'

    @staticmethod
    def prepare(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    @staticmethod
    def matrix(a, b):
        return a @ b.T

    @staticmethod
    def accepts(scores, threshold):
        return scores >= threshold

    @staticmethod
    def threshold(non_mated, accepted):
        """The score that `accepted` of the non-mated pairs reach."""
        return np.partition(non_mated, len(non_mated) - accepted)[len(non_mated) - accepted]


class Euclidean:
    """Accept at a distance of at most the threshold."""
    expression = 'a <-> b'

    @staticmethod
    def prepare(x):
        return x

    @staticmethod
    def matrix(a, b):
        squared = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * (a @ b.T)
        return np.sqrt(np.maximum(squared, 0))

    @staticmethod
    def accepts(scores, threshold):
        return scores <= threshold

    @staticmethod
    def threshold(non_mated, accepted):
        return np.partition(non_mated, accepted - 1)[accepted - 1]


def all_pairs(metric, x, subject):
    """Scores and matedness of every pair of different rows."""
    x = metric.prepare(x)
    scores, mated = [], []
    for start in range(0, len(x), BLOCK):
        stop = min(start + BLOCK, len(x))
        above = np.arange(len(x))[None, :] > np.arange(start, stop)[:, None]
        scores.append(metric.matrix(x[start:stop], x)[above])
        mated.append((subject[start:stop, None] == subject[None, :])[above])
    return np.concatenate(scores), np.concatenate(mated)


def of_pairs(metric, x, pairs):
    x = metric.prepare(x)
    return np.concatenate([np.diagonal(metric.matrix(x[part[:, 0]], x[part[:, 1]])) for part in np.array_split(pairs, max(1, len(pairs) // BLOCK))])


def by_type(conn, metric, x, pairs):
    """The type's scores: templates written as text, rounded by the type itself."""
    with conn.transaction():
        conn.execute('CREATE TEMP TABLE template (row_id int PRIMARY KEY, e face_embedding) ON COMMIT DROP')
        conn.execute('CREATE TEMP TABLE pair (n int, row_a int, row_b int) ON COMMIT DROP')
        with conn.cursor().copy('COPY template FROM STDIN') as copy:
            for row in np.unique(pairs):
                copy.write_row((int(row), '[' + ','.join(map(repr, x[row].tolist())) + ']'))
        with conn.cursor().copy('COPY pair FROM STDIN') as copy:
            for n, (a, b) in enumerate(pairs.tolist()):
                copy.write_row((n, a, b))
        rows = conn.execute(f'''SELECT {metric.expression} FROM
            (SELECT n, x.e AS a, y.e AS b FROM pair JOIN template x ON x.row_id = row_a JOIN template y ON y.row_id = row_b) s
            ORDER BY n''').fetchall()
    return np.array([r[0] for r in rows])


def report(conn, name, metric, exact, subject, pairs):
    """One line per threshold: decisions that differ between the exact values and their halves."""
    rounded = exact.astype('f4').astype('f2').astype('f8')
    scores, mated = all_pairs(metric, exact, subject)
    halves, _ = all_pairs(metric, rounded, subject)
    through_type = by_type(conn, metric, exact, pairs)
    reference = of_pairs(metric, exact, pairs)
    for fmr in FMRS:
        accepted = round(fmr * np.count_nonzero(~mated))
        threshold = metric.threshold(scores[~mated], accepted)
        before, after = metric.accepts(scores, threshold), metric.accepts(halves, threshold)
        flips = before != after
        differing = np.count_nonzero(metric.accepts(reference, threshold) != metric.accepts(through_type, threshold))
        print(f'| {name} | {fmr:.0e} | {threshold:.4f} | {differing} of {len(pairs):,} | {np.abs(through_type - reference).max():.1e} '
              f'| {np.count_nonzero(flips & ~mated):,} of {np.count_nonzero(~mated):,} | {np.count_nonzero(after & ~mated) / np.count_nonzero(~mated):.3e} '
              f'| {np.count_nonzero(flips & mated):,} of {np.count_nonzero(mated):,} '
              f'| {1 - np.mean(before[mated]):.4f} / {1 - np.mean(after[mated]):.4f} |', flush=True)


def real(conn, rng):
    faces = os.environ.get('FACES_DIR')
    if not faces:
        print('SKIP the real faces: FACES_DIR names no folder that has them')
        return
    faces = pathlib.Path(faces)
    with open(faces / 'faces.tsv') as f:
        subject = np.array([int(r['subject']) for r in csv.DictReader(f, delimiter='\t')])
    with open(faces / 'pairs.tsv') as f:
        pairs = np.array([(int(r['row_a']), int(r['row_b'])) for r in csv.DictReader(f, delimiter='\t')])
    for model, dims, metric in ('mobilefacenet_512', 512, Cosine), ('dlib_128', 128, Euclidean):
        x = np.fromfile(faces / f'{model}.f16', '<f2').reshape(-1, dims).astype('f8')
        report(conn, f'{model}, as given', metric, x, subject, pairs)
        rotation, _ = np.linalg.qr(rng.standard_normal((dims, dims)))
        report(conn, f'{model}, rotated', metric, x @ rotation, subject, pairs)


def synthetic(conn, rng, subjects):
    subprocess.run(['make', '-s', '-C', str(BENCH), 'synthfaces'], check=True)
    for name, dims, metric in ('full-rank', 512, Cosine), ('low-rank', 512, Cosine), ('dlib', 128, Euclidean):
        raw = subprocess.run([BENCH / 'synthfaces', '--set', name, '--subjects', str(subjects), '--captures', '2', '--seed', '7', '--format', 'f32'],
                             check=True, capture_output=True).stdout
        x = np.frombuffer(raw, '<f4').reshape(-1, dims).astype('f8')
        subject = np.repeat(np.arange(subjects), 2)
        mated = np.arange(len(x)).reshape(-1, 2)[:2000]
        non_mated = rng.integers(0, subjects, (2000, 2))
        non_mated = non_mated[non_mated[:, 0] != non_mated[:, 1]] * 2
        report(conn, f'synthetic {name}, float32', metric, x, subject, np.vstack([mated, non_mated]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--subjects', type=int, default=4000, help='synthetic subjects, of two captures each (default 4000)')
    args = parser.parse_args()
    rng = np.random.default_rng(20260101)
    print('| templates | FMR | threshold | decisions that differ, type / float64, protocol pairs | largest score difference there '
          '| non-mated decisions that differ, all pairs | FMR with halves | mated decisions that differ, all pairs | FNMR float64 / halves |')
    print('|---|---|---|---|---|---|---|---|---|')
    with psycopg.connect('', autocommit=True) as conn:
        conn.execute('CREATE EXTENSION IF NOT EXISTS facematch CASCADE')
        real(conn, rng)
        synthetic(conn, rng, args.subjects)


if __name__ == '__main__':
    main()
