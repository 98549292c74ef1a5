"""An index that began empty, beside the same one built anew: what late learning of the centre costs."""
import numpy as np

from . import db, faces, report

PROBES = 100
SEARCHES = tuple((kind, limit) for kind in ('mated', 'non-mated') for limit in (1, 10))


def moved(blocks, by):
    """Unit templates, all of them moved into one direction."""
    for ids, galleries, halves in blocks:
        if by:
            x = halves.astype('f4')
            direction = np.random.default_rng(7).normal(size=x.shape[1]).astype('f4')
            x /= np.linalg.norm(x, axis=1)[:, None]
            halves = (x + by * direction / np.linalg.norm(direction)).astype('<f2')
        yield ids, galleries, halves


def query(limit, probe):
    return f'SELECT id FROM faces ORDER BY embedding <=> {probe} LIMIT {limit}'


def looked_at(conn, first, limit):
    """Median over some probes of how many second bits (of few dimensions: refinements) one search looks at."""
    counts = []
    for probe in range(first, first + PROBES // 4):
        conn.execute(query(limit, f'(SELECT embedding FROM probe WHERE id = {probe})')).fetchall()
        counts.append(db.scalar(conn, 'SELECT greatest(planes, refined) FROM facematch.last_scan()'))
    return report.median(counts)


def line(conn, what):
    db.prewarm(conn, 'faces', 'faces_index')
    epochs = conn.execute("SELECT templates, centre_length FROM facematch_internal.index_epochs('faces_index')").fetchall()
    cells = []
    for kind, limit in SEARCHES:
        first = PROBES * (kind == 'non-mated')
        times, _ = db.server_times(conn, query(limit, '$probe'), 'probe', first, first + PROBES)
        cells.append(f'{report.ms(min(times))} / {report.ms(report.median(times))} ({looked_at(conn, first, limit):,.0f})')
    report.row(what, ', '.join(f'{templates:,} ({length:.2f})' for templates, length in epochs), *cells)


def main(args):
    """Templates inserted into an empty index, of which VACUUM sees the first --learn ones, then REINDEX: searches of both."""
    conn = db.connect()
    db.create_extensions(conn)
    db.create_table(conn, 'faces', 'face_embedding', faces.DIMS[args.set])
    conn.execute('CREATE INDEX faces_index ON faces USING facematch (embedding)')
    if args.learn:
        db.copy_rows(conn, 'faces', moved(db.set_blocks(args.set, args.learn), args.mean))
        conn.execute('VACUUM faces')
    then = args.mean + args.shift
    db.copy_rows(conn, 'faces', moved(db.set_blocks(args.set, args.rows - args.learn, first=args.learn), then))
    conn.execute('VACUUM ANALYZE faces')
    conn.execute('SET enable_seqscan = off')
    probes = faces.Probes(args.set, args.rows, PROBES)
    probes.all = next(moved([(None, None, probes.all)], then))[2]
    db.load_probes(conn, probes, 'face_embedding', 'probe')
    report.table(f'{args.rows:,} templates of the {args.set} set inserted into an empty index: least / median ms, and how many are looked at again',
                 'index', 'templates (centre) of each epoch', *(f'{kind} top-{limit}' for kind, limit in SEARCHES))
    line(conn, 'as it grew')
    conn.execute('REINDEX INDEX faces_index')
    line(conn, 'built anew')
