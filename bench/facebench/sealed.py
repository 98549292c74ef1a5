"""Sealed galleries beside plain ones of the same templates: searches, inserts, the WAL they write, and sizes."""
import os

from . import db, faces, report

MODEL = 'synthetic'
PROBES = 300
TURNS = 7
# Further references, which go into the indexed table in as many turns.
INSERTED = 20_000
INDEX = 'CREATE INDEX bench_reference_index ON facematch.reference USING facematch (gallery_id, embedding)'
INSERT = """INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
    SELECT g.gallery_id, md5(s.id::text)::uuid, 'noncitizen', face_with_model(s.embedding, 1), 'document'
    FROM staging s JOIN facematch.gallery g ON g.name = '{kind} ' || s.gallery_id WHERE s.id BETWEEN {first} AND {last}"""
KINDS = ('plain', 'sealed')
SEARCHES = {
    'identify()': "SELECT array_agg(similarity ORDER BY rank) FROM facematch.identify(%s, '{kind} ' || %s)",
    'the nearest 10': """SELECT array_agg(d) FROM (SELECT embedding <=> %s AS d FROM facematch.reference
        WHERE gallery_id = (SELECT gallery_id FROM facematch.gallery WHERE name = '{kind} ' || %s) ORDER BY 1 LIMIT 10) s""",
}


def load(conn, args):
    """Galleries of equal size, each of them twice; returns how many rows of each kind came in a second."""
    per_gallery = args.rows // args.galleries
    threshold = faces.THRESHOLD[args.set]
    dims = faces.DIMS[args.set]
    db.create_table(conn, 'staging', 'face_embedding', dims, 'UNLOGGED')
    db.copy_rows(conn, 'staging', ((ids, 1 + ids // per_gallery % args.galleries, x)
                                   for ids, _, x in db.set_blocks(args.set, args.rows + INSERTED)))
    conn.execute('CREATE INDEX ON staging (id)')
    conn.execute('ANALYZE staging')
    conn.execute('INSERT INTO facematch.model (name, tag, dims) VALUES (%s, 1, %s)', [MODEL, dims])
    speeds = []
    for kind in KINDS:
        conn.execute('INSERT INTO facematch.gallery (name, kind, model, min_similarity, sealed) '
                     "SELECT %s || ' ' || n, 'flight', %s, %s, %s FROM generate_series(1, %s) n",
                     [kind, MODEL, threshold, kind == 'sealed', args.galleries])
        speeds.append(args.rows / db.timed(conn, INSERT.format(kind=kind, first=0, last=args.rows - 1)))
    conn.execute('VACUUM (FREEZE, ANALYZE) facematch.reference')
    return speeds


def load_probes(conn, args):
    """Mated probes with the numbers of their galleries, then non-mated ones; two lists of them."""
    per_gallery = args.rows // args.galleries
    probes = faces.Probes(args.set, args.rows, PROBES)
    db.load_probes(conn, probes, 'face_embedding', 'probe')
    text = [row[0] for row in conn.execute('SELECT embedding::text FROM probe ORDER BY id')]
    mated = [(text[i], str(1 + mate // per_gallery)) for i, mate in enumerate(probes.mates)]
    return {'mated': mated, 'non-mated': [(t, str(1 + i % args.galleries)) for i, t in enumerate(text[len(mated):])]}


def search(conn, args, probes):
    """Processor time of each search by both kinds of gallery, one after the other, answers compared."""
    for what, query in SEARCHES.items():
        for kind, questions in probes.items():
            costs = ([], [])
            for turn, question in enumerate(questions):
                pair = [db.precise(conn, query.format(kind=k), question) for k in KINDS]
                if pair[0][1] != pair[1][1]:
                    raise RuntimeError(f'{what} gave other distances in the sealed gallery')
                for side, (cost, _) in zip(costs, pair):
                    if turn >= 3:
                        side.append(cost)
            line(f'{what}, {kind}, ms', *map(report.median, costs), report.ms)


def line(what, plain, sealed, show='{:,.0f}'.format):
    report.row(what, show(plain), show(sealed), f'{sealed / plain:.2f}')


def inserts(conn, args):
    """Rows into the indexed table, in turns: processor time and WAL of each, and of the index alone."""
    first = args.rows
    each = INSERTED // TURNS
    for what, indexed in (('reference', True), ('reference without its facematch index', False)):
        costs, wal = {k: [] for k in KINDS}, {k: [] for k in KINDS}
        if not indexed:
            conn.execute('DROP INDEX facematch.bench_reference_index')
            conn.execute(f'DELETE FROM facematch.reference r USING staging s WHERE r.subject_id = md5(s.id::text)::uuid AND s.id >= {first}')
            conn.execute('VACUUM facematch.reference')
        conn.execute('CHECKPOINT')
        for turn in range(TURNS):
            for kind in KINDS:
                before = db.scalar(conn, 'SELECT pg_current_wal_insert_lsn()')
                query = INSERT.format(kind=kind, first=first + turn * each, last=first + (turn + 1) * each - 1)
                costs[kind].append(db.busy(conn, query) / each * 1e6)
                wal[kind].append(db.scalar(conn, 'SELECT pg_current_wal_insert_lsn() - %s::pg_lsn', [before]) / each)
        line(f'a row into {what}, µs', *(report.median(costs[k]) for k in KINDS), '{:.1f}'.format)
        line(f'a row into {what}, bytes of WAL', *(float(report.median(wal[k])) for k in KINDS))


def main(args):
    """Sealed galleries beside plain ones of the same templates: searches, inserts and WAL, by turns, with the key directory $KEYS."""
    conn = db.connect()
    conn.execute("LOAD 'facematch'")
    conn.execute(f"ALTER SYSTEM SET facematch.key_directory = '{os.environ['KEYS']}'")
    conn.execute('SELECT pg_reload_conf()')
    conn = db.connect()
    db.create_extensions(conn)
    speeds = load(conn, args)
    probes = load_probes(conn, args)
    report.table(f'Galleries of {args.rows // args.galleries:,} templates of the {args.set} set, {args.rows:,} of each kind, processor time',
                 'what', 'plain', 'sealed', 'ratio')
    line('references staged a second', *speeds)
    seconds = db.timed(conn, INDEX)
    report.row('build of the index over both, s', '', f'{seconds:.1f}', '')
    conn.execute('ANALYZE facematch.reference')
    db.prewarm(conn, 'facematch.reference', 'facematch.bench_reference_index')
    search(conn, args, probes)
    inserts(conn, args)
