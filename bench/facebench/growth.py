"""How the cost of a search grows with the number of templates: the index alone, one row a size."""
from . import db, faces, onetomany, report

# What a size is measured with: kind of probe, what is asked (None is the threshold).
SEARCHES = (('mated', 1), ('mated', None), ('non-mated', 1), ('mated', 10))


def name(kind, limit):
    return f'{kind} top-{limit}' if limit else f'{kind} above the threshold'


def size(args, rows):
    """One row: medians of the searches, each also for every million templates, and how many answers were the exact ones."""
    args.rows = rows
    run = onetomany.Run(args)
    onetomany.load(run, 'faces', 'face_embedding', 'probe')
    build = db.timed(run.conn, 'CREATE INDEX faces_index ON faces USING facematch (embedding)')
    db.prewarm(run.conn, 'faces', 'faces_index')
    plain = onetomany.plain_pass(onetomany.sketch_bytes(run)).median
    run.conn.execute('SET enable_seqscan = off')
    cells, shares = [], []
    for kind, limit in SEARCHES:
        first, last = run.kinds[kind]
        query = run.top('faces', limit) if limit else run.above('faces')
        times, found = db.server_times(run.conn, query, 'probe', first, last)
        shares += run.shares(first, found, limit)
        cells.append(f'{report.ms(min(times))} / {report.ms(report.median(times))}')
        if (kind, limit) == SEARCHES[0]:
            per_million = report.median(times) * 1e6 / rows
    report.row(f'{rows:,}', report.ms(plain), *cells, report.ms(per_million), f'{build:.1f}',
               report.megabytes(db.size(run.conn, 'faces_index')), report.percent(shares))
    run.conn.execute('DROP TABLE faces')
    run.conn.close()


def main(args):
    """Searches of tables of several sizes: least and median ms in the server; the whole cost should grow as the table does."""
    with db.connect() as conn:
        db.create_extensions(conn)
    report.table(f'The {args.set} set, {faces.DIMS[args.set]} dimensions: least / median ms', 'templates', 'plain pass',
                 *(name(*search) for search in SEARCHES), f'{name(*SEARCHES[0])}, median a million', 'build s', 'index', 'right')
    for rows in args.sizes:
        size(args, rows)
