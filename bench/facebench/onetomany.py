"""1:N search over one large table: the index, its peers, and the plain pass over as many bytes.

Warm, one client, one core.  Times are the server's unless the row says otherwise; every answer is compared with the exact
one.  A row's last column says how often: for top-1 and top-10 the share of the true nearest found, for a threshold the
share of searches whose candidates were exactly the right ones."""
import collections
import contextlib
import pathlib
import re
import subprocess
import time

from . import db, faces, report

PLAIN_PASS = pathlib.Path(__file__).resolve().parent.parent / 'plain_pass'
EF_SEARCH = (40, 100, 200, 400)
# A sequential scan takes too long for hundreds of probes, and varies little.
SCAN_PROBES = 15


class Run:
    def __init__(self, args):
        self.set, self.rows, self.args = args.set, args.rows, args
        self.conn = db.connect()
        # one core, whatever the planner would take
        self.conn.execute('SET max_parallel_workers_per_gather = 0')
        self.operator = faces.OPERATOR[self.set]
        self.threshold = faces.THRESHOLD[self.set]
        self.dims = faces.DIMS[self.set]
        self.probes = faces.Probes(self.set, self.rows, args.probes)
        self.answers = faces.ExactAnswers(self.probes, self.threshold)
        # probe numbers of each kind
        self.kinds = {'mated': (0, len(self.probes.mated)), 'non-mated': (len(self.probes.mated), len(self.probes.all))}
        self.plain = None

    def top(self, table, limit):
        return f'SELECT id FROM {table} ORDER BY embedding {self.operator} $probe LIMIT {limit}'

    def above(self, table):
        return f'SELECT id FROM {table} WHERE face_match(embedding, $probe, {self.threshold})'

    def above_as_written(self, table):
        """The ways people write a threshold that are not face_match()."""
        score = f'1 - (embedding <=> $probe) >= {self.threshold}'
        return {'1 - distance': f'SELECT id FROM {table} WHERE {score}',
                'similarity': f'SELECT id FROM {table} WHERE face_similarity($probe, embedding) >= {self.threshold}',
                'distance, ordered': f'SELECT id FROM {table} WHERE embedding <=> $probe <= {1 - self.threshold:.2f} '
                                     'ORDER BY embedding <=> $probe LIMIT 50'}

    def shares(self, first, found, limit):
        if limit is None:
            return [self.answers.right_above(first + i, ids) for i, ids in enumerate(found)]
        return [self.answers.right(first + i, ids, limit) for i, ids in enumerate(found)]

    def measure(self, who, what, query, probe_table, kind, limit, most=None, client_column=None):
        first, last = self.kinds[kind]
        last = min(last, first + most) if most else last
        with self.beside_plain_passes():
            times, found = db.server_times(self.conn, query, probe_table, first, last)
        self.print(who, f'{kind} {what}', times, report.percent(self.shares(first, found, limit)))
        if client_column:
            with self.beside_plain_passes():
                times = db.client_times(self.conn, query, self.probes.all[first:last], client_column)
            self.print(who, f'{kind} {what}, by the client\'s clock', times, '')

    @contextlib.contextmanager
    def beside_plain_passes(self):
        """What is timed in this context is compared with plain passes before and after it: memory is not always as fast."""
        before = plain_pass(sketch_bytes(self))
        yield
        self.plain = (before.median + plain_pass(sketch_bytes(self)).median) / 2

    def print(self, who, what, times, right):
        bar = '%.1f' % (report.median(times) / self.plain) if self.plain else ''
        report.row(who, what, report.ms(min(times)), report.ms(report.median(times)), report.ms(report.p99(times)), bar, right)


def load(run, table, column, probe_table):
    conn = run.conn
    start = time.perf_counter()
    answers = None if run.answers.count else run.answers
    db.create_table(conn, table, column, run.dims)
    db.load_probes(conn, run.probes, column, probe_table)
    db.copy_rows(conn, table, db.set_blocks(run.set, run.rows, answers=answers), column)
    conn.execute(f'VACUUM (FREEZE, ANALYZE) {table}')
    db.log(f'loaded {run.rows} {column} templates{", computed exact answers" if answers else ""}: {time.perf_counter() - start:.0f} s')


Pass = collections.namedtuple('Pass', 'median p99 speed')


def plain_pass(size):
    """Milliseconds and GB/s of summing so many bytes."""
    out = subprocess.run([str(PLAIN_PASS), str(size)], capture_output=True, text=True, check=True).stdout
    return Pass(*map(float, re.search(r'median ([\d.]+) ms\s+p99 ([\d.]+) ms\s+([\d.]+) GB/s', out).groups()))


def scans(run, who, table, probe_table):
    db.prewarm(run.conn, table)
    run.measure(f'{who} sequential scan', 'top-1', run.top(table, 1), probe_table, 'mated', 1, SCAN_PROBES)
    if table == 'faces':
        run.measure(f'{who} sequential scan', f'above {run.threshold}', run.above(table), probe_table, 'mated', None, SCAN_PROBES)


def sketch_bytes(run):
    """The bare sketches: one bit a dimension."""
    return run.rows * ((run.dims + 7) // 8)


def index_searches(run):
    conn = run.conn
    seconds = db.timed(conn, 'CREATE INDEX faces_index ON faces USING facematch (embedding)')
    db.prewarm(conn, 'faces', 'faces_index')
    plain = plain_pass(sketch_bytes(run))
    report.row('plain pass', f'{sketch_bytes(run):,} bytes, {plain.speed} GB/s', '', report.ms(plain.median), report.ms(plain.p99), '1.0', '')
    planned = run.top('faces', 1).replace('$probe', '(SELECT embedding FROM probe LIMIT 1)')
    who = 'facematch index'
    if not db.uses_index(conn, planned, 'faces_index'):
        conn.execute('SET enable_seqscan = off')
        who += ' (the planner prefers the sequential scan)'
    for kind in run.kinds:
        run.measure(who, 'top-1', run.top('faces', 1), 'probe', kind, 1, client_column='face_embedding')
        run.measure(who, 'top-10', run.top('faces', 10), 'probe', kind, 10)
        run.measure(who, f'above {run.threshold}', run.above('faces'), 'probe', kind, None)
        for way, query in run.above_as_written('faces').items():
            run.measure(who, f'above {run.threshold}, by {way}', query, 'probe', kind, None)
    conn.execute('RESET enable_seqscan')
    index, table = db.size(conn, 'faces_index'), db.size(conn, 'faces')
    report.row('facematch index', f'build {seconds:.1f} s; {report.megabytes(index)}, {100 * index / table:.0f} % of the table',
               '', '', '', '', '')
    conn.execute('DROP INDEX faces_index')


def hnsw_searches(run):
    conn = run.conn
    seconds = db.timed(conn, f'CREATE INDEX halves_index ON halves USING hnsw (embedding {faces.HNSW_CLASS[run.operator]})')
    db.prewarm(conn, 'halves', 'halves_index')
    for ef in EF_SEARCH:
        conn.execute(f'SET hnsw.ef_search = {ef}')
        for kind in run.kinds:
            run.measure(f'pgvector HNSW, ef {ef}', 'top-1', run.top('halves', 1), 'half_probe', kind, 1)
    report.row('pgvector HNSW', f'build {seconds:.0f} s; {report.megabytes(db.size(conn, "halves_index"))}', '', '', '', '', '')
    conn.execute('DROP INDEX halves_index')


def faiss_flat(run):
    try:
        import faiss
    except ImportError:
        db.log('SKIP FAISS: python3-faiss is not installed')
        return
    faiss.omp_set_num_threads(1)
    flat = (faiss.IndexFlatIP if run.operator == '<=>' else faiss.IndexFlatL2)(run.dims)
    for chunk in faces.chunks(run.set, run.rows):
        flat.add(chunk.astype('f4'))
    first, last = run.kinds['mated']
    times, found = [], []
    for probe in run.probes.all[first:min(last, first + SCAN_PROBES)].astype('f4'):
        start = time.perf_counter()
        _, ids = flat.search(probe.reshape(1, -1), 1)
        times.append((time.perf_counter() - start) * db.MS)
        found.append(ids[0].tolist())
    run.plain = None
    run.print('FAISS flat, float32, in memory', 'mated top-1', times, report.percent(run.shares(first, found, 1)))


def ours(run):
    load(run, 'faces', 'face_embedding', 'probe')
    if db.has_access_method(run.conn):
        index_searches(run)
    scans(run, 'facematch', 'faces', 'probe')


def pgvector(run):
    load(run, 'halves', 'halfvec', 'half_probe')
    scans(run, 'pgvector halfvec', 'halves', 'half_probe')
    if not run.args.no_hnsw:
        hnsw_searches(run)


def main(args):
    """Top-1, top-10 and all above the threshold, mated and non-mated, beside pgvector, FAISS flat and a plain pass."""
    run = Run(args)
    db.create_extensions(run.conn, not args.peers_only)
    report.table(f'1:N over {run.rows:,} templates of the {run.set} set, {run.dims} dimensions',
                 'who', 'what', 'least ms', 'median ms', 'p99 ms', 'plain passes', 'right')
    if not args.peers_only:
        ours(run)
    if not args.no_pgvector and db.has_pgvector(run.conn):
        pgvector(run)
    if not args.no_faiss:
        faiss_flat(run)
