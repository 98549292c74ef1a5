"""One search by one core and by several: medians in the server, the share of one core's time, and whether answers agree."""
from . import db, faces, onetomany, report

SEARCHES = (('mated', 1), ('mated', None), ('non-mated', 1), ('mated', 10))


def search(run, kind, limit, workers):
    run.conn.execute(f'SET max_parallel_workers_per_gather = {workers}')
    query = run.top('faces', limit) if limit else run.above('faces')
    times, found = db.server_times(run.conn, query, 'probe', *run.kinds[kind])
    return times, [sorted(ids) for ids in found]


def main(args):
    """Searches of one large table with and without workers, which the planner uses by itself where they pay."""
    with db.connect() as conn:
        db.create_extensions(conn)
    run = onetomany.Run(args)
    # answers are compared with those of one core, which `search` compares with the exact ones
    run.answers = onetomany.NoAnswers
    onetomany.load(run, 'faces', 'face_embedding', 'probe')
    run.conn.execute('CREATE INDEX faces_index ON faces USING facematch (embedding)')
    db.prewarm(run.conn, 'faces', 'faces_index')
    run.conn.execute('SET enable_seqscan = off')
    report.table(f'One search of {run.rows:,} templates of the {args.set} set, {faces.DIMS[args.set]} dimensions, by 1 core and by {args.workers + 1}',
                 'what', 'plain passes', 'one core: least / median ms', 'several: least / median ms', 'share of the time', 'same answers')
    for kind, limit in SEARCHES:
        with run.beside_plain_passes():
            alone, expected = search(run, kind, limit, 0)
            shared, found = search(run, kind, limit, args.workers)
        report.row(f'{kind} top-{limit}' if limit else f'{kind} above {run.threshold}',
                   *('%.1f / %.1f' % (report.median(alone) / run.plain, report.median(shared) / run.plain),
                     f'{report.ms(min(alone))} / {report.ms(report.median(alone))}',
                     f'{report.ms(min(shared))} / {report.ms(report.median(shared))}',
                     '%.2f' % (report.median(shared) / report.median(alone)),
                     report.percent([a == b for a, b in zip(expected, found)])))
