#!/usr/bin/python3
"""facematch.search_shards() over 1, 2 and 4 clusters of this machine, beside a search of one table

Each cluster is a server of its own with its part of the same synthetic faces; the coordinator is the cluster that PGHOST and
the rest name (script/bench starts one).  All share the machine's cores and memory: on machines of their own, shards do not.
Every answer is compared with that of the one table."""
import argparse
import os
import pathlib
import pwd
import subprocess
import time

import numpy as np
import psycopg

from facebench import db, faces, report

COUNTS = (1, 2, 4)
WARM_UP = 3
SETTINGS = """listen_addresses = ''
unix_socket_directories = '{socket}'
shared_buffers = '1GB'
maintenance_work_mem = '1GB'
jit = off
fsync = off
max_wal_size = '8GB'
autovacuum = off
"""
COLUMNS = "reference_id bigint OPTIONS (column_name 'id'), gallery_id bigint, subject_id uuid, embedding face_embedding, purge_after timestamptz"


class Cluster:
    """A server on a unix socket in the scratch directory, as the user who may run one."""

    def __init__(self, number):
        scratch = pathlib.Path(os.environ['SCRATCH'])
        self.data, self.socket = scratch / f'shard{number}', scratch / 's' / f'shard{number}'
        self.bin = subprocess.run([os.environ['PG_CONFIG'], '--bindir'], check=True, capture_output=True, text=True).stdout.strip()
        self.socket.mkdir()
        if os.getuid() == 0:
            user = pwd.getpwnam('postgres')
            os.chown(self.socket, user.pw_uid, user.pw_gid)
        self.call('initdb', '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync')
        with open(self.data / 'postgresql.conf', 'a', encoding='ascii') as f:
            f.write(SETTINGS.format(socket=self.socket))
        self.call('pg_ctl', '-l', str(self.data) + '.log', '-w', 'start')
        self.conn = psycopg.connect(host=str(self.socket), user='postgres', dbname='postgres', autocommit=True)
        db.create_extensions(self.conn)

    def call(self, program, *args):
        as_user = ['runuser', '-u', 'postgres', '--'] if os.getuid() == 0 else []
        subprocess.run([*as_user, f'{self.bin}/{program}', '-D', str(self.data), *args], check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        self.conn.close()
        self.call('pg_ctl', '-m', 'immediate', '-w', 'stop')


def fill(conn, table, args, first, rows):
    db.create_table(conn, table, 'face_embedding', faces.DIMS[args.set])
    db.copy_rows(conn, table, db.set_blocks(args.set, rows, first=first))
    conn.execute(f"ALTER TABLE {table} ADD subject_id uuid, ADD purge_after timestamptz NOT NULL DEFAULT 'infinity'")
    conn.execute(f'CREATE INDEX {table}_index ON {table} USING facematch (embedding)')
    conn.execute(f'VACUUM (FREEZE, ANALYZE) {table}')
    db.prewarm(conn, table, f'{table}_index')


def make_shards(conn, clusters, args):
    """The faces in equal parts, one a cluster, and nothing else in facematch.shard."""
    n = len(clusters)
    conn.execute('DELETE FROM facematch.shard')
    for i, cluster in enumerate(clusters):
        table, server = f'faces_{n}_{i}', f'shard_{n}_{i}'
        fill(cluster.conn, table, args, i * args.rows // n, args.rows // n)
        conn.execute(f"CREATE SERVER {server} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{cluster.socket}', port '5432', "
                     "dbname 'postgres', extensions 'facematch', async_capable 'true')")
        conn.execute(f"CREATE USER MAPPING FOR CURRENT_USER SERVER {server} OPTIONS (user 'postgres')")
        conn.execute(f"CREATE FOREIGN TABLE {server} ({COLUMNS}) SERVER {server} OPTIONS (schema_name 'public', table_name '{table}')")
        conn.execute("INSERT INTO facematch.shard VALUES (%s, %s::regclass, NULL, -1)", [server, server])


def times(conn, query, probes):
    """Milliseconds by the client's clock, and the answers."""
    took, found = [], []
    for i, row in enumerate(np.concatenate([probes[:WARM_UP], probes])):
        text = '[' + ','.join(repr(float(v)) for v in row) + ']'
        start = time.perf_counter()
        answer = conn.execute(query, {'probe': text}, prepare=True).fetchall()
        if i >= WARM_UP:
            took.append((time.perf_counter() - start) * db.MS)
            found.append([r[0] for r in answer])
    return took, found


def searches(conn, probes, args):
    """Of each kind of search: its name, probes, the query of one table and that of the shards."""
    threshold = faces.THRESHOLD[args.set]
    one = 'SELECT id FROM faces WHERE {}purge_after > clock_timestamp() ORDER BY embedding <=> %(probe)s::face_embedding LIMIT {}'
    above = f'face_match(embedding, %(probe)s::face_embedding, {threshold}) AND '
    all_shards = 'SELECT reference_id FROM facematch.search_shards(%(probe)s::face_embedding, {}, {})'
    for kind, some in (('mated', probes.mated), ('non-mated', probes.non_mated)):
        yield f'{kind}, at most 10 above {threshold}', some, one.format(above, 10), all_shards.format(10, threshold)
        yield f'{kind}, nearest, no threshold', some, one.format('', 1), all_shards.format(1, -1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--set', choices=('full-rank', 'low-rank'), default='full-rank', help='which synthetic faces')
    parser.add_argument('--rows', type=int, default=400_000, help='templates (default 400,000)')
    parser.add_argument('--probes', type=int, default=200, help='mated and as many non-mated probes (default 200)')
    args = parser.parse_args()
    subprocess.run(['make', '-s', '-C', str(pathlib.Path(__file__).resolve().parent)], check=True)
    conn = db.connect()
    db.create_extensions(conn)
    conn.execute('CREATE EXTENSION IF NOT EXISTS postgres_fdw')
    probes = faces.Probes(args.set, args.rows, args.probes)
    fill(conn, 'faces', args, 0, args.rows)
    report.table(f'{args.rows:,} templates of the {args.set} set, by the client\'s clock, {os.cpu_count()} cores for everything',
                 'where', 'search', 'least ms', 'median ms', 'p99 ms', 'as the one table')
    truth = {}
    for name, some, query, _ in searches(conn, probes, args):
        took, truth[name] = times(conn, query, some)
        report.row('one table', name, report.ms(min(took)), report.ms(report.median(took)), report.ms(report.p99(took)), '')
    clusters = []
    try:
        for n in COUNTS:
            while len(clusters) < n:
                clusters.append(Cluster(len(clusters)))
            make_shards(conn, clusters, args)
            for name, some, _, query in searches(conn, probes, args):
                took, found = times(conn, query, some)
                same = sum(a == b for a, b in zip(found, truth[name])) / len(found)
                report.row(f'{n} cluster{"s" * (n > 1)}', name, report.ms(min(took)), report.ms(report.median(took)),
                           report.ms(report.p99(took)), f'{100 * same:.1f} %')
    finally:
        for cluster in clusters:
            cluster.stop()


main()
