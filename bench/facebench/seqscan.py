"""ORDER BY ... LIMIT 1 by sequential scan, facematch beside pgvector's halfvec, in turns in one cluster."""
from . import db, faces, report

ROUNDS = 15


def once(conn, table, column, probes, i):
    return db.client_times(conn, f'SELECT id FROM {table} ORDER BY embedding <=> $probe LIMIT 1',
                           [probes.all[i]] * 4, column)[0]


def main(args):
    conn = db.connect()
    db.create_extensions(conn)
    contenders = {'facematch': ('faces', 'face_embedding')}
    if db.has_pgvector(conn):
        contenders['pgvector halfvec'] = ('halves', 'halfvec')
    else:
        db.log('SKIP pgvector: not installed')
    probes = faces.Probes(args.set, args.rows, ROUNDS)
    for table, column in contenders.values():
        db.create_table(conn, table, column, faces.DIMS[args.set])
        db.copy_rows(conn, table, db.set_blocks(args.set, args.rows), column)
        conn.execute(f'VACUUM (FREEZE, ANALYZE) {table}')
        db.prewarm(conn, table)
    report.table(f'ORDER BY embedding <=> probe LIMIT 1 by sequential scan, {args.rows:,} templates of the {args.set} set',
                 'who', 'parallel workers', 'median ms', 'least ms', 'most ms', 'table')
    for workers in (0, 1):
        conn.execute(f'SET max_parallel_workers_per_gather = {workers}')
        times = {who: [] for who in contenders}
        for i in range(ROUNDS):
            for who, (table, column) in contenders.items():
                times[who].append(once(conn, table, column, probes, i))
        for who, (table, _) in contenders.items():
            report.row(who, workers, report.ms(report.median(times[who])), report.ms(min(times[who])),
                       report.ms(max(times[who])), report.megabytes(db.size(conn, table)))
        if len(times) == 2:
            ours, theirs = (report.median(t) for t in times.values())
            report.row('ratio', workers, '%.2f' % (ours / theirs), '', '', '')
