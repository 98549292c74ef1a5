"""The database side of the benchmarks: connections, bulk loads, timing in the server and in a client."""
import os
import sys
import time

import numpy as np
import psycopg

from . import faces

MS = 1000.0


def connect(**more):
    return psycopg.connect('', autocommit=True, **more)


def log(*words):
    print(*words, file=sys.stderr, flush=True)


def scalar(conn, query, params=None):
    return conn.execute(query, params).fetchone()[0]


def has_pgvector(conn):
    return scalar(conn, "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')")


def has_access_method(conn):
    if scalar(conn, "SELECT EXISTS (SELECT FROM pg_am WHERE amname = 'facematch')"):
        return True
    log('SKIP the index: this build has no access method')
    return False


def drop_face_index(conn):
    conn.execute('DROP INDEX facematch.facematch_reference_face_idx')


def create_face_index(conn):
    """The shipped one again, built over the rows; returns how long it took."""
    seconds = timed(conn, 'CREATE INDEX facematch_reference_face_idx ON facematch.reference USING facematch (gallery_id, embedding)')
    conn.execute('ANALYZE facematch.reference')
    prewarm(conn, 'facematch.reference', 'facematch.facematch_reference_face_idx')
    return seconds


def create_extensions(conn, facematch=True):
    if facematch:
        conn.execute('CREATE EXTENSION IF NOT EXISTS facematch CASCADE')
    if has_pgvector(conn):
        conn.execute('CREATE EXTENSION IF NOT EXISTS vector')


def timed(conn, query):
    """Seconds of one statement, by the client's clock."""
    start = time.perf_counter()
    conn.execute(query)
    return time.perf_counter() - start


def cpu_seconds(conn):
    """CPU time of the connection's backend so far, to a hundredth; the server is on this machine."""
    with open(f'/proc/{conn.info.backend_pid}/stat') as f:
        user, system = f.read().rsplit(')', 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf('SC_CLK_TCK')


def busy(conn, query):
    """CPU seconds of one statement: what it takes on a machine that does nothing else."""
    start = cpu_seconds(conn)
    conn.execute(query)
    return cpu_seconds(conn) - start


def spent(conn, work):
    """Milliseconds of some work by the client's clock, and of the backend's processor as the scheduler counts them."""
    def processor():
        with open(f'/proc/{conn.info.backend_pid}/schedstat') as f:
            return int(f.read().split()[0]) / 1e6
    start, busy_before = time.perf_counter(), processor()
    work()
    return (time.perf_counter() - start) * MS, processor() - busy_before


def precise(conn, query, params):
    """Milliseconds of processor time of one statement that has one value; and the value."""
    values = []
    return spent(conn, lambda: values.append(scalar(conn, query, params)))[1], values[0]


COPY_HEADER = b'PGCOPY\n\xff\r\n\0' + b'\0' * 8
COPY_TRAILER = b'\xff\xff'


def copy_block(ids, galleries, halves, column):
    """COPY BINARY tuples (bigint, integer, template) of an array of half-precision rows.

    face_embedding takes float4 components, halfvec takes halves; the rest of their binary form is the same."""
    dims = halves.shape[1]
    component = '>f4' if column == 'face_embedding' else '>f2'
    size = np.dtype(component).itemsize
    block = np.zeros(len(halves), [('fields', '>i2'), ('l1', '>i4'), ('id', '>i8'), ('l2', '>i4'), ('gallery', '>i4'),
                                   ('l3', '>i4'), ('dims', '>i2'), ('tag', '>i2'), ('x', component, (dims,))])
    block['fields'], block['l1'], block['l2'], block['l3'] = 3, 8, 4, 4 + size * dims
    block['id'], block['gallery'], block['dims'] = ids, galleries, dims
    block['x'] = halves
    return block.tobytes()


def copy_bytes(conn, table, pieces):
    with conn.cursor().copy(f'COPY {table} (id, gallery_id, embedding) FROM STDIN BINARY') as copy:
        copy.write(COPY_HEADER)
        for piece in pieces:
            copy.write(piece)
        copy.write(COPY_TRAILER)


def copy_rows(conn, table, blocks, column='face_embedding'):
    """blocks: (ids, gallery ids, half-precision rows)."""
    copy_bytes(conn, table, (copy_block(*block, column) for block in blocks))


def copy_seconds(conn, table, blocks):
    """What COPY takes when its data is at hand."""
    pieces = [copy_block(*block, 'face_embedding') for block in blocks]
    start = time.perf_counter()
    copy_bytes(conn, table, pieces)
    return time.perf_counter() - start


def set_blocks(face_set, subjects, galleries=1, answers=None, first=0):
    """Blocks of the first captures of a set's subjects; feeds `answers` on the way."""
    start = first
    for halves in faces.chunks(face_set, subjects, first=first):
        ids = np.arange(start, start + len(halves))
        if answers is not None:
            answers.add(halves)
        yield ids, 1 + ids % galleries, halves
        start += len(halves)


def column_type(column, dims):
    return f'{column}({dims})'


def create_table(conn, table, column, dims, options=''):
    conn.execute(f'DROP TABLE IF EXISTS {table}')
    conn.execute(f'CREATE {options} TABLE {table} (id bigint NOT NULL, gallery_id integer NOT NULL, '
                 f'embedding {column_type(column, dims)} NOT NULL)')
    if column == 'halfvec':
        conn.execute(f'ALTER TABLE {table} ALTER embedding SET STORAGE PLAIN')


def load_probes(conn, probes, column, table):
    """Probe i of `probes.all` is row i."""
    create_table(conn, table, column, probes.all.shape[1])
    n = len(probes.all)
    copy_rows(conn, table, [(np.arange(n), np.ones(n, int), probes.all)], column)
    conn.execute(f'ALTER TABLE {table} ADD PRIMARY KEY (id)')


def uses_index(conn, query, index):
    return any(index in line for (line,) in conn.execute('EXPLAIN ' + query))


def server_times(conn, query, probe_table, first, last, workers=0):
    """Run `query`, which names the probe as $probe, for probes first..last - 1 inside the server.

    Returns the milliseconds and the ids found of each.  The query is planned as any prepared statement is: plpgsql keeps
    its plan, which is of one process.  With workers it may have them, and is planned each time: that is how plpgsql runs
    what it does not know before.  The first three runs warm the caches and the plan, and are not counted."""
    conn.execute(f'SET max_parallel_workers_per_gather = {workers}')
    search = f"EXECUTE $q$SELECT ARRAY({query.replace('$probe', '$1')})$q$ INTO ids USING p.embedding;" if workers else \
        f"ids := ARRAY({query.replace('$probe', 'p.embedding')});"
    conn.execute(f"""
        CREATE OR REPLACE FUNCTION pg_temp.timed_search(OUT ms float8, OUT ids bigint[]) RETURNS SETOF record
        LANGUAGE plpgsql AS $body$
        DECLARE
            p record;
            start timestamptz;
            warm_up integer := 3;
        BEGIN
            FOR p IN (SELECT * FROM {probe_table} WHERE id BETWEEN {first} AND {last - 1} ORDER BY id LIMIT warm_up)
                     UNION ALL (SELECT * FROM {probe_table} WHERE id BETWEEN {first} AND {last - 1} ORDER BY id)
            LOOP
                start := clock_timestamp();
                {search}
                ms := extract(epoch FROM clock_timestamp() - start) * 1000;
                IF warm_up > 0 THEN
                    warm_up := warm_up - 1;
                    CONTINUE;
                END IF;
                RETURN NEXT;
            END LOOP;
        END
        $body$""")
    rows = conn.execute('SELECT ms, ids FROM pg_temp.timed_search()').fetchall()
    return [ms for ms, _ in rows], [ids for _, ids in rows]


def client_times(conn, query, templates, column):
    """Milliseconds a client waits, statement prepared, the probe sent as text."""
    query = query.replace('$probe', f'%s::{column}')
    times = []
    for i, row in enumerate(templates):
        text = '[' + ','.join(f'{v:.7g}' for v in row.astype('f4')) + ']'
        start = time.perf_counter()
        conn.execute(query, [text], prepare=True).fetchall()
        if i >= 3:
            times.append((time.perf_counter() - start) * MS)
    return times


def size(conn, relation):
    return scalar(conn, 'SELECT pg_relation_size(%s::regclass)', [relation])


def prewarm(conn, *relations):
    """Into shared buffers, as a busy server has them."""
    conn.execute('CREATE EXTENSION IF NOT EXISTS pg_prewarm')
    for relation in relations:
        conn.execute('SELECT pg_prewarm(%s::regclass)', [relation])
