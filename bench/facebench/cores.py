"""One search by one core and by several: how much of the time is left, and whether the answers are the same."""
from . import db, onetomany, report

SEARCHES = (('mated', 1), ('mated', None), ('non-mated', 1), ('mated', 10))


def search(run, kind, limit, workers):
    """Milliseconds and ids, as a set: rows above a threshold come in any order."""
    query = run.top('faces', limit) if limit else run.above('faces')
    times, found = db.server_times(run.conn, query, 'probe', *run.kinds[kind], workers)
    return times, [sorted(ids) for ids in found]


def main(args):
    """Searches of one large table by the session alone and with workers, in turns; the planner takes them by itself."""
    with db.connect() as conn:
        db.create_extensions(conn)
    run = onetomany.Run(args)
    run.answers.count = run.rows    # not computed: `search` compares those of one core with the exact ones
    onetomany.load(run, 'faces', 'face_embedding', 'probe')
    seconds = db.timed(run.conn, 'CREATE INDEX faces_index ON faces USING facematch (embedding)')
    print(f'\nThe index was built in {seconds:.1f} s.')
    measure(run, args)


def measure(run, args):
    db.prewarm(run.conn, 'faces', 'faces_index')
    run.conn.execute('SET enable_seqscan = off')
    report.table(f'One search of {run.rows:,} templates of the {run.set} set, {run.dims} dimensions, by 1 core and by {args.workers + 1}',
                 'what', 'one core: least / median ms', 'several: least / median ms', 'share of the least / median', 'same answers')
    for kind, limit in SEARCHES:
        times, answers = ([], []), ([], [])
        for _ in range(args.turns):
            for which, workers in enumerate((0, args.workers)):
                more, found = search(run, kind, limit, workers)
                times[which].extend(more)
                answers[which].extend(found)
        alone, several = times
        report.row(f'{kind} top-{limit}' if limit else f'{kind} above {run.threshold}',
                   f'{report.ms(min(alone))} / {report.ms(report.median(alone))}',
                   f'{report.ms(min(several))} / {report.ms(report.median(several))}',
                   '%.2f / %.2f' % (min(several) / min(alone), report.median(several) / report.median(alone)),
                   report.percent([a == b for a, b in zip(*answers)]))
