#!/usr/bin/python3
"""what the retention triggers cost a row, how fast a purge is, and what searches notice of it"""
import argparse
import threading
import time

import psycopg

VALUES = 'gallery_id, subject_id, retention_class, embedding, source'
COLUMNS = f'({VALUES})'
DIMS = 512
GALLERY = 400
WARM_UP = 20        # searches that plan and read, not counted


def prepare(conn, rows, overdue):
    """A staging table of random templates in galleries of 400, in order of the gallery as manifests come."""
    conn.execute("INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, %s)", [DIMS])
    conn.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) "
                 "SELECT 'g' || n, 'flight', 'm', 0.5, now() + CASE WHEN n <= %s THEN interval '-1 day' ELSE interval '2 hours' END "
                 'FROM generate_series(1, %s) n', [overdue // GALLERY, rows // GALLERY + 1])
    conn.execute(f"CREATE UNLOGGED TABLE staging AS SELECT 1 + n / {GALLERY} AS gallery_id, gen_random_uuid() AS subject_id, "
                 "'us_citizen'::text AS retention_class, (SELECT face_with_model(array_agg(random() - 0.5)::real[]::face_embedding, 1) "
                 f"FROM generate_series(1, {DIMS} + 0 * n)) AS embedding, 'passport'::text AS source FROM generate_series(0, {rows - 1}) n")
    conn.execute('VACUUM ANALYZE staging')


def backend_cpu(pid):
    """Seconds of CPU that a backend has used."""
    with open(f'/proc/{pid}/schedstat', encoding='ascii') as f:
        return int(f.read().split()[0]) / 1e9


def inserting(conn, table, guard):
    """CPU of inserting what is staged, in microseconds a row."""
    if guard:
        conn.execute(f'ALTER TABLE {table} {guard} TRIGGER reference_20_guard')
    conn.execute(f'VACUUM {table}')
    with conn.transaction(force_rollback=True):
        before = backend_cpu(conn.info.backend_pid)
        rows = conn.execute(f'INSERT INTO {table} {COLUMNS} SELECT {VALUES} FROM staging').rowcount
        return (backend_cpu(conn.info.backend_pid) - before) / rows * 1e6


def triggers(conn, args):
    """CPU of inserting into a bare table and into the real one, in turns: the difference is what is asked for."""
    prepare(conn, args.rows, 0)
    for name, keys in (('bare', ''), ('bare_keys', ', FOREIGN KEY (gallery_id, model_tag, dims) REFERENCES facematch.gallery (gallery_id, model_tag, dims)')):
        conn.execute(f'CREATE TABLE {name} (LIKE facematch.reference INCLUDING ALL{keys})')
        conn.execute(f"ALTER TABLE {name} ALTER purge_after SET DEFAULT now() + interval '14 hours'")
    steps = (('bare table: columns, checks and the same indexes', 'bare', None),
             ('with the gallery\'s foreign key', 'bare_keys', None),
             ('facematch.reference', 'facematch.reference', 'ENABLE ALWAYS'))
    for opt_outs in (0, args.opt_outs):
        conn.execute('INSERT INTO facematch.opt_out (subject_id) SELECT gen_random_uuid() FROM generate_series(1, %s)', [opt_outs])
        took = [[inserting(conn, table, guard) for _, table, guard in steps] for _ in range(args.rounds)]
        print(f'{opt_outs:,} opt-outs; us of CPU a row: minimum and median of {args.rounds} rounds, and the difference from a table without retention (median)')
        for i, (label, _, _) in enumerate(steps):
            column = sorted(row[i] for row in took)
            above = sorted(row[i] - row[0] for row in took)
            print(f'{label:50s} {column[0]:6.2f} {column[len(column) // 2]:6.2f} {above[len(above) // 2]:+6.2f}')


# The clock, and how long this process had a processor or waited for one (Linux).
SEARCHES = """CREATE FUNCTION searches(probe face_embedding, gallery text, n int, OUT took float8, OUT queued float8) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz;
	waited bigint;
BEGIN
	FOR i IN 1 .. n LOOP
		waited := split_part(pg_read_file('/proc/self/schedstat'), ' ', 2);
		began := clock_timestamp();
		PERFORM FROM facematch.identify(probe, gallery);
		took := extract(epoch FROM clock_timestamp() - began) * 1000;
		queued := (split_part(pg_read_file('/proc/self/schedstat'), ' ', 2)::bigint - waited) / 1e6;
		RETURN NEXT;
	END LOOP;
END $$"""


def search_until(stop, took):
    """identify() in a loop, from a connection of its own: milliseconds in the server, and of these waiting for a processor."""
    with psycopg.connect(autocommit=True) as conn:
        probe = conn.execute('SELECT embedding FROM staging ORDER BY gallery_id DESC LIMIT 1').fetchone()[0]
        gallery = conn.execute('SELECT g.name FROM facematch.gallery g WHERE gallery_id = (SELECT max(gallery_id) FROM staging)').fetchone()[0]
        while not stop.is_set():
            took += conn.execute('SELECT * FROM searches(%s::face_embedding, %s, 20)', [probe, gallery], prepare=True).fetchall()


def percentiles(times):
    times = sorted(times)
    return f'median {times[len(times) // 2]:6.2f} ms, 99th percentile {times[len(times) * 99 // 100]:6.2f} ms'


def searches(seconds, work=None):
    """Search times while a piece of work is done, or for some seconds."""
    stop, took = threading.Event(), []
    thread = threading.Thread(target=search_until, args=(stop, took))
    thread.start()
    while len(took) < WARM_UP and thread.is_alive():
        time.sleep(0.01)
    del took[:]
    work() if work else time.sleep(seconds)
    stop.set()
    thread.join()
    return f'{len(took):6d} searches, {percentiles(t for t, _ in took)}; without waiting for a processor {percentiles(max(t - q, 0) for t, q in took)}'


def purge(conn, args):
    """Purges the overdue rows among the others, with the index, and searches meanwhile."""
    prepare(conn, args.rows, args.due)
    conn.execute(f'INSERT INTO facematch.reference {COLUMNS} SELECT {VALUES} FROM staging')
    conn.execute('VACUUM ANALYZE facematch.reference')
    conn.execute(SEARCHES)
    conn.execute('CHECKPOINT')
    print('alone:            ', searches(5))
    took = []

    def call():
        start, cpu = time.perf_counter(), backend_cpu(conn.info.backend_pid)
        conn.execute('CALL facematch.purge()')
        took.extend((time.perf_counter() - start, backend_cpu(conn.info.backend_pid) - cpu))
    print('while purging:    ', searches(0, call))
    gone = conn.execute("SELECT sum(rows_purged) FROM facematch.purge_receipt WHERE cause = 'retention'").fetchone()[0]
    print(f'{gone:,} of {args.rows:,} rows purged, {float(gone) / took[0]:,.0f} a second, {float(gone) / took[1]:,.0f} a second of CPU')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('what', choices=('triggers', 'purge'))
    parser.add_argument('--rows', type=int, default=100000)
    parser.add_argument('--due', type=int, default=40000, help='of the rows, for purge')
    parser.add_argument('--opt-outs', type=int, default=20000)
    parser.add_argument('--rounds', type=int, default=9)
    args = parser.parse_args()
    with psycopg.connect(autocommit=True) as conn:
        {'triggers': triggers, 'purge': purge}[args.what](conn, args)


if __name__ == '__main__':
    main()
