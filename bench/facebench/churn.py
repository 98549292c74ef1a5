"""What keeping the index costs: inserts, deletes, VACUUM, and many turns of both."""
import time

from . import db, faces, report

INDEX = 'CREATE INDEX {table}_index ON {table} USING facematch (gallery_id, embedding)'
GALLERIES = 1000
SINGLE_ROWS = 2000
SEARCHES = 100
# Half of every gallery, and half of the galleries: what a cycle deletes, in turns.
HALVES = (f'(id / {GALLERIES}) % 2 = {{0}}', 'gallery_id % 2 = {0}')


def fresh(conn, table, args, first=0, rows=None):
    db.create_table(conn, table, 'face_embedding', faces.DIMS[args.set])
    db.copy_rows(conn, table, db.set_blocks(args.set, args.rows if rows is None else rows, GALLERIES, first=first))
    conn.execute(f'VACUUM (FREEZE, ANALYZE) {table}')


def single_inserts(conn, table):
    """Median milliseconds of a transaction that inserts one row, template included, by the client's clock."""
    times = []
    query = (f'INSERT INTO {table} SELECT id, gallery_id, embedding FROM spare WHERE id = %s')
    for i in range(SINGLE_ROWS):
        start = time.perf_counter()
        conn.execute(query, [i], prepare=True)
        times.append((time.perf_counter() - start) * db.MS)
    return times


def inserts(args):
    """Rows a second of one INSERT ... SELECT and of COPY, and single-row transactions, with and without the index."""
    conn = db.connect()
    db.create_extensions(conn)
    # further subjects, to insert from
    fresh(conn, 'spare', args, first=args.rows)
    conn.execute(f'UPDATE spare SET id = id - {args.rows}')
    conn.execute('CREATE INDEX ON spare (id)')
    conn.execute('VACUUM (FREEZE, ANALYZE) spare')
    db.prewarm(conn, 'spare')
    report.table(f'Inserts into {args.rows:,} templates of the {args.set} set in {GALLERIES:,} galleries',
                 'index', 'rows a second, INSERT ... SELECT', 'rows a second, COPY', 'single-row transaction, median ms', 'p99 ms')
    for index in (None, INDEX):
        fresh(conn, 'faces', args)
        if index:
            conn.execute(index.format(table='faces'))
        conn.execute('CHECKPOINT')
        seconds = db.timed(conn, 'INSERT INTO faces SELECT * FROM spare')
        conn.execute('CHECKPOINT')
        copied = db.copy_seconds(conn, 'faces', db.set_blocks(args.set, min(args.rows, faces.CHUNK), GALLERIES, first=2 * args.rows))
        conn.execute('CHECKPOINT')
        times = single_inserts(conn, 'faces')
        report.row('yes' if index else 'no', f'{args.rows / seconds:,.0f}', f'{min(args.rows, faces.CHUNK) / copied:,.0f}',
                   report.ms(report.median(times)), report.ms(report.p99(times)))


def vacuum(args):
    """DELETE of every other template, then VACUUM, with and without the index."""
    conn = db.connect()
    db.create_extensions(conn)
    report.table(f'Half of {args.rows:,} templates of the {args.set} set deleted',
                 'index', 'build s', 'DELETE s', 'VACUUM s', 'index size before', 'after')
    for index in (None, INDEX):
        fresh(conn, 'faces', args)
        build = db.timed(conn, index.format(table='faces')) if index else 0
        before = db.size(conn, 'faces_index') if index else 0
        delete = db.timed(conn, 'DELETE FROM faces WHERE ' + HALVES[0].format(0))
        seconds = db.timed(conn, 'VACUUM faces')
        after = db.size(conn, 'faces_index') if index else 0
        report.row('yes' if index else 'no', f'{build:.1f}', f'{delete:.2f}', f'{seconds:.2f}',
                   report.megabytes(before), report.megabytes(after))


def search_times(conn, probes):
    """Median milliseconds of the nearest in the mate's gallery, and of the nearest of all."""
    medians = []
    for where in ('WHERE gallery_id = p.gallery_id', ''):
        query = f'SELECT id FROM faces {where} ORDER BY embedding <=> $probe LIMIT 1'
        times, _ = db.server_times(conn, query, 'probe', 0, probes)
        medians.append(report.median(times))
    return medians


def cycles(args):
    """Turns of: delete half, VACUUM, refill with the same templates; index size and search time after each."""
    conn = db.connect()
    db.create_extensions(conn)
    fresh(conn, 'faces', args)
    conn.execute('DROP TABLE IF EXISTS spare')
    conn.execute('CREATE TABLE spare AS SELECT * FROM faces')
    probes = faces.Probes(args.set, args.rows, SEARCHES)
    db.load_probes(conn, probes, 'face_embedding', 'probe')
    step = max(1, args.rows // SEARCHES)
    conn.execute(f'UPDATE probe SET gallery_id = 1 + id * {step} % {GALLERIES}')
    build = db.timed(conn, INDEX.format(table='faces'))
    report.table(f'Delete half, VACUUM, refill: {args.rows:,} templates of the {args.set} set in {GALLERIES:,} galleries',
                 'cycle', 'delete s', 'vacuum s', 'refill s', 'index', 'table', 'search a gallery, median ms', 'search all, median ms')

    def line(name, *seconds):
        db.prewarm(conn, 'faces', 'faces_index')
        report.row(name, *seconds, report.megabytes(db.size(conn, 'faces_index')), report.megabytes(db.size(conn, 'faces')),
                   *(report.ms(t) for t in search_times(conn, len(probes.mates))))

    line('fresh', '', '', f'{build:.1f} (build)')
    for cycle in range(args.cycles):
        half = HALVES[cycle % 2].format(cycle // 2 % 2)
        delete = db.timed(conn, f'DELETE FROM faces WHERE {half}')
        vacuumed = db.timed(conn, 'VACUUM faces')
        refill = db.timed(conn, f'INSERT INTO faces SELECT * FROM spare WHERE {half}')
        line(cycle + 1, f'{delete:.2f}', f'{vacuumed:.2f}', f'{refill:.2f}')
    conn.execute('REINDEX INDEX faces_index')
    line('REINDEX', '', '', '')
