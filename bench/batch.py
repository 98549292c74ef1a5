#!/usr/bin/python3
"""Batch comparison beside plain sgemm of the same shape, both in CPU time: script/bench batch.py [--rows N]"""
import argparse
import ctypes
import glob
import pathlib
import subprocess
import time

import numpy as np

from facebench import db, faces

DIMS = 512
COLUMNS = 512           # of a strip of the plain sgemm: all scores at once would be 400 MB to write


def sgemm_seconds(a, b):
    """The same multiplication by the same library, scores thrown away strip by strip."""
    blas = ctypes.CDLL(glob.glob('/usr/lib/*/openblas-serial/libopenblas.so.0')[0])
    out = np.empty((len(a), COLUMNS), 'f4')
    pointer = ctypes.POINTER(ctypes.c_float)
    start = time.process_time()
    for first in range(0, len(b), COLUMNS):
        strip = b[first:first + COLUMNS]
        blas.cblas_sgemm(101, 111, 112, len(a), len(strip), DIMS, ctypes.c_float(1), a.ctypes.data_as(pointer), DIMS,
                         strip.ctypes.data_as(pointer), DIMS, ctypes.c_float(0), out.ctypes.data_as(pointer), COLUMNS)
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', type=int, default=10_000)
    parser.add_argument('--rounds', type=int, default=3)
    args = parser.parse_args()
    subprocess.run(['make', '-s', '-C', pathlib.Path(__file__).parent, 'synthfaces'], check=True)
    with db.connect() as conn:
        conn.execute("SET maintenance_work_mem = '512MB'")
        for table, first in (('probe', 0), ('enrolled', args.rows)):
            db.create_table(conn, table, 'face_embedding', DIMS)
            db.copy_rows(conn, table, db.set_blocks('low-rank', args.rows, first=first))
        a, b = (faces.rows('low-rank', args.rows, first=f).astype('f4') for f in (0, args.rows))
        work = 2e-9 * args.rows * args.rows * DIMS
        plain = min(sgemm_seconds(a, b) for _ in range(args.rounds))
        print(f'{args.rows:,} x {args.rows:,} x {DIMS}, one core')
        print(f'plain sgemm                       {plain:6.2f} s  {work / plain:5.0f} GFLOP/s')
        sets = "'SELECT id, id, embedding FROM probe', 'SELECT id, id, embedding FROM enrolled'"
        for what, query in (('score_histogram, 2,001 thresholds', f'SELECT sum(non_mated) FROM facematch.score_histogram({sets})'),
                            ('compare_sets above 0.48', f'SELECT count(*) FROM facematch.compare_sets({sets}, 0.48)'),
                            ('search_set', f'SELECT count(*) FROM facematch.search_set({sets})')):
            took = min(db.busy(conn, query) for _ in range(args.rounds))
            print(f'{what:<34}{took:6.2f} s  {work / took:5.0f} GFLOP/s  {100 * plain / took:3.0f} % of sgemm')


main()
