#!/usr/bin/python3
"""how long each report takes, with a million encounters and five million candidates that are there, and after they were purged"""
import argparse
import time

from facebench import db

DIMS = 512
REPORTS = ('report_daily', 'report_scores', 'report_notice', 'report_differential', 'report_drift', 'report_purge',
           'report_disclosure', 'report_matching', 'report_opt_out', 'report_retention')


def load(conn, args):
    """Encounters of the last four weeks at sixty ports, all of them in groups, with their candidates; past the triggers, to be quick."""
    conn.execute("INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, %s)", [DIMS])
    conn.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) "
                 "SELECT 'g' || n, (ARRAY['flight', 'cruise', 'crossing'])[1 + n % 3], 'm', 0.45, now() + interval '2 hours' FROM generate_series(1, 3000) n")
    conn.execute(f"CREATE TABLE pool AS SELECT n, (SELECT face_with_model(array_agg(random() - 0.5)::real[]::face_embedding, 1) "
                 f"FROM generate_series(1, {DIMS} + 0 * n)) AS probe FROM generate_series(0, 999) n")
    conn.execute('ALTER TABLE facematch.encounter DISABLE TRIGGER ALL')
    conn.execute('ALTER TABLE facematch.candidate DISABLE TRIGGER ALL')
    conn.execute(
        "INSERT INTO facematch.encounter (gallery_id, gallery, occurred_at, port, lane, direction, mode, outcome, reason, subject_id, reference_id, similarity,"
        " threshold, model, probe, retention_class, verified_at, kind, runner_up, latency_ms, groups, override_reason, overridden_by, overridden_at, purge_after) "
        "SELECT g.gallery_id, g.name, e.at, 'port ' || e.n %% 60, 'L' || e.n %% 20, 'exit', (ARRAY['air', 'sea', 'land'])[1 + e.n %% 3], "
        "CASE WHEN r < 0.97 THEN 'match' WHEN r < 0.98 THEN 'manual_inspection' ELSE 'no_match' END, CASE WHEN r >= 0.97 AND r < 0.98 THEN 'opted_out' END, "
        "CASE WHEN r < 0.97 THEN gen_random_uuid() END, CASE WHEN r < 0.97 THEN e.n END, CASE WHEN r < 0.97 THEN 0.46 + random() * 0.5 END, 0.45, 'm', p.probe, "
        "'noncitizen', e.at, g.kind, CASE WHEN r < 0.02 THEN 0.46 END, exp(random() * 3), "
        "jsonb_build_object('age', (ARRAY['under 30', '30 to 59', '60 and over'])[1 + (random() * 2.99)::int %% 3], 'sex', (ARRAY['F', 'M'])[1 + e.n %% 2]), "
        "CASE WHEN r > 0.95 AND r < 0.97 THEN 'document' END, CASE WHEN r > 0.95 AND r < 0.97 THEN 'officer' END, CASE WHEN r > 0.95 AND r < 0.97 THEN e.at END, "
        "e.at + interval '40 days' "
        "FROM (SELECT n, now() - random() * interval '28 days' AS at, random() AS r FROM generate_series(1, %s) n) e "
        "JOIN facematch.gallery g ON g.gallery_id = 1 + e.n %% 3000 JOIN pool p ON p.n = e.n %% 1000", [args.encounters])
    conn.execute("INSERT INTO facematch.candidate (encounter_id, rank, reference_id, subject_id, similarity) "
                 "SELECT e, k, e * 7 + k, gen_random_uuid(), 0.9 - k / 10.0 FROM generate_series(1, %s) e, generate_series(1, %s) k",
                 [args.encounters, args.candidates // args.encounters])
    conn.execute('ALTER TABLE facematch.encounter ENABLE TRIGGER ALL')
    conn.execute('ALTER TABLE facematch.candidate ENABLE TRIGGER ALL')
    for trigger in conn.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = 'facematch.encounter'::regclass AND NOT tgisinternal").fetchall():
        conn.execute(f'ALTER TABLE facematch.encounter ENABLE ALWAYS TRIGGER {trigger[0]}')
    conn.execute("INSERT INTO facematch.purge_receipt (purged_at, cause, table_name, retention_class, rows_purged, earliest_due, latest_due) "
                 "SELECT now() - n * interval '1 minute', 'retention', 'facematch.encounter', 'noncitizen', 500, now() - n * interval '1 minute' - interval '40 s',"
                 " now() - n * interval '1 minute' FROM generate_series(1, 43200) n")
    conn.execute('VACUUM ANALYZE facematch.encounter')
    conn.execute('VACUUM ANALYZE facematch.candidate')
    conn.execute('CHECKPOINT')


def read(conn, query):
    """Every row of a query, read but not looked into: rows, bytes, seconds by the clock and of the backend's CPU."""
    clock, cpu, size = time.perf_counter(), db.cpu_seconds(conn), 0
    with conn.cursor() as cursor:
        with cursor.copy(f'COPY ({query}) TO STDOUT') as copy:
            for block in copy:
                size += len(block)
        return cursor.rowcount, size, time.perf_counter() - clock, db.cpu_seconds(conn) - cpu


def report(conn, rounds, heading):
    """Every report whole, without parallel workers; the least of some rounds."""
    conn.execute('SET max_parallel_workers_per_gather = 0')
    print(f'\n{heading}\n\n| report | rows | seconds | of CPU |\n|---|---|---|---|')
    page = "SELECT facematch.report_html(now() - interval '29 days', now())"
    for name, query in [(r, f'SELECT * FROM facematch.{r}') for r in REPORTS] + [('report_html(), 30 days', page)]:
        rows, size, clock, cpu = (min(column) for column in zip(*(read(conn, query) for _ in range(rounds))))
        print(f'| {name} | {f"{size / 1024:.0f} KB" if query == page else f"{rows:,}"} | {clock:.2f} | {cpu:.2f} |', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--encounters', type=int, default=1000000)
    parser.add_argument('--candidates', type=int, default=5000000)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--loaded', action='store_true', help='the database is loaded from an earlier run')
    parser.add_argument('--purge', action='store_true', help='then purge them all, and report again')
    args = parser.parse_args()
    with db.connect() as conn:
        start = time.perf_counter()
        if not args.loaded:
            load(conn, args)
        size = conn.execute("SELECT pg_size_pretty(pg_table_size('facematch.encounter')), pg_size_pretty(pg_table_size('facematch.candidate'))").fetchone()
        print(f'{args.encounters:,} encounters ({size[0]}), {args.candidates:,} candidates ({size[1]}), ready after {time.perf_counter() - start:.0f} s')
        report(conn, args.rounds, 'While the encounters are there')
        if args.purge:
            conn.execute('ALTER TABLE facematch.encounter DISABLE TRIGGER encounter_20_guard')
            conn.execute("UPDATE facematch.encounter SET purge_after = now() - interval '1 second'")
            conn.execute('ALTER TABLE facematch.encounter ENABLE ALWAYS TRIGGER encounter_20_guard')
            start = time.perf_counter()
            cpu = db.busy(conn, 'CALL facematch.purge()')
            took = time.perf_counter() - start
            print(f'\npurged in {took:.0f} s, {cpu:.0f} s of CPU, with their candidates: {args.encounters / took:,.0f} encounters a second')
            report(conn, args.rounds, 'After they were purged')


if __name__ == '__main__':
    main()
