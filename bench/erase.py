#!/usr/bin/python3
"""how fast removed rows become zero bytes, what readers notice, and what it costs when there is nothing to do"""
import argparse
import random
import threading
import time

import psycopg

ROUNDS = 5              # of a measurement with something beside it


def prepare(conn, megabytes, dead):
    """A table of templates of which some are deleted, on all pages; everything in the buffer pool."""
    conn.execute('CREATE EXTENSION IF NOT EXISTS pg_prewarm')
    conn.execute('DROP TABLE IF EXISTS t')
    conn.execute('CREATE TABLE t (id int, gallery int, e face_embedding) WITH (autovacuum_enabled = off)')
    conn.execute('CREATE TEMP TABLE IF NOT EXISTS original AS SELECT k, array_agg(random() - 0.5)::real[]::face_embedding AS e '
                 'FROM generate_series(0, 999) k, generate_series(1, 512) GROUP BY k')
    rows = int(megabytes * 2**20 / 8192) * 7
    conn.execute(f'INSERT INTO t SELECT n, n / 500, e FROM generate_series(0, {rows - 1}) n JOIN original ON k = n % 1000')
    conn.execute('ALTER TABLE t ADD PRIMARY KEY (id)')
    conn.execute('VACUUM ANALYZE t')
    conn.execute('DELETE FROM t WHERE id %% %s = 0', [round(1 / dead)])
    conn.execute("SELECT pg_prewarm('t'), pg_prewarm('t_pkey')")
    return rows


def read_until(stop, rows, stamps, errors):
    """Rows by their key, from a connection of its own; when each was there."""
    with psycopg.connect(autocommit=True) as conn:
        while not stop.is_set():
            try:
                conn.execute('SELECT e FROM t WHERE id = %s', [random.randrange(rows)], prepare=True).fetchall()
            except psycopg.Error as e:
                errors.append(e)
            stamps.append(time.perf_counter())


def backend_cpu(conn):
    """Seconds of CPU that the connection's backend has used."""
    with open(f'/proc/{conn.info.backend_pid}/schedstat', encoding='ascii') as f:
        return int(f.read().split()[0]) / 1e9


def timed(conn, statement):
    """Seconds, seconds of CPU, rows."""
    start, cpu = time.perf_counter(), backend_cpu(conn)
    result = conn.execute(statement).fetchall()
    return time.perf_counter() - start, backend_cpu(conn) - cpu, result


def erase(conn, what):
    megabytes = conn.execute("SELECT pg_table_size('t') / 2.0^20").fetchone()[0]
    before = conn.execute('SELECT pg_current_wal_insert_lsn()').fetchone()[0]
    seconds, cpu, result = timed(conn, "SELECT relation::text, pages, pages_cleared, removed FROM facematch_internal.erase_pages('t')")
    wal = conn.execute('SELECT pg_current_wal_insert_lsn() - %s::pg_lsn', [before]).fetchone()[0] / 2**20
    removed = {name: removed for name, _, _, removed in result}
    print(f'{what:46s} {seconds:6.2f} s, {float(megabytes) / seconds:6.0f} MB/s; {cpu:6.2f} s of CPU, {float(megabytes) / cpu:6.0f} MB/s; '
          f'{removed["t"]:,} rows, {wal:,.0f} MB of WAL')


def beside_reader(conn, rows, every):
    """Several erasures, each of as many rows, with a second of undisturbed reading before."""
    stop, stamps, errors, shares = threading.Event(), [], [], []
    reader = threading.Thread(target=read_until, args=(stop, rows, stamps, errors))
    reader.start()
    for round_ in range(ROUNDS):
        if round_ > 0:
            conn.execute('DELETE FROM t WHERE id %% %s = %s', [every, round_])
        time.sleep(1.5)
        start = time.perf_counter()
        erase(conn, 'erase beside a reader')
        end = time.perf_counter()
        alone = sum(start - 1 <= s < start for s in stamps)
        beside = sum(start <= s < end for s in stamps) / (end - start)
        shares.append(beside / alone)
        print(f'    reader: {alone:,} rows a second alone, {beside:,.0f} beside it')
    stop.set()
    reader.join()
    print(f'readers keep {sorted(shares)[ROUNDS // 2]:.0%} (median), with {len(errors)} errors')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--megabytes', type=int, default=1024)
    parser.add_argument('--dead', type=float, default=0.1)
    args = parser.parse_args()
    with psycopg.connect(autocommit=True) as conn:
        rows = prepare(conn, args.megabytes, args.dead)
        erase(conn, 'erase')
        conn.execute('SET max_parallel_workers_per_gather = 0')
        conn.execute('SET enable_indexonlyscan = off')
        seconds, cpu, _ = min(timed(conn, 'SELECT count(*) FROM t') for _ in range(3))
        print(f'{"reading it: SELECT count(*)":46s} {seconds:6.2f} s; {cpu:6.2f} s of CPU')
        erase(conn, 'erase, nothing to do')
        conn.execute('VACUUM t')
        erase(conn, 'erase after VACUUM')
        erase(conn, 'erase after VACUUM, nothing to do')
        seconds, cpu, _ = timed(conn, "SELECT facematch_internal.verify_pages('t')")
        print(f'{"verify_pages":46s} {seconds:6.2f} s; {cpu:6.2f} s of CPU')

        rows = prepare(conn, args.megabytes, args.dead)
        conn.execute('CHECKPOINT')
        erase(conn, 'erase, first change after a checkpoint')

        rows = prepare(conn, args.megabytes, args.dead)
        beside_reader(conn, rows, round(1 / args.dead))
        prepare(conn, args.megabytes, args.dead)
        conn.execute('VACUUM t')
        conn.execute('CREATE INDEX t_face ON t USING facematch (gallery, e)')
        conn.execute('DELETE FROM t WHERE id %% %s = 1', [round(1 / args.dead)])
        conn.execute("SELECT pg_prewarm('t_face')")
        erase(conn, 'erase, with a face index')


if __name__ == '__main__':
    main()
