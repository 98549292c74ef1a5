"""identify() over the extension's own tables: what a caller waits for, checks and candidate list included."""
from . import db, faces, report

PROBES = 500
TOGETHER = 64
TURNS = 9
MODEL = 'synthetic'


def load(conn, args, each=PROBES, indexed=False):
    """Galleries of equal size; their references are staged from a plain table, gallery after gallery."""
    per_gallery = args.rows // args.galleries
    threshold = faces.THRESHOLD[args.set]
    db.create_table(conn, 'staging', 'face_embedding', faces.DIMS[args.set], 'UNLOGGED')
    db.copy_rows(conn, 'staging', ((ids, 1 + ids // per_gallery, x) for ids, _, x in db.set_blocks(args.set, args.rows)))
    conn.execute('INSERT INTO facematch.model (name, tag, dims) VALUES (%s, 1, %s)', [MODEL, faces.DIMS[args.set]])
    conn.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity) "
                 "SELECT 'gallery ' || n, 'flight', %s, %s FROM generate_series(1, %s) n", [MODEL, threshold, args.galleries])
    if not indexed:
        db.drop_face_index(conn)
    seconds = db.timed(conn, "INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) "
                             "SELECT g.gallery_id, md5(s.id::text)::uuid, 'noncitizen', face_with_model(s.embedding, 1), 'document' "
                             "FROM staging s JOIN facematch.gallery g ON g.name = 'gallery ' || s.gallery_id")
    db.log(f'staged {args.rows / seconds:,.0f} references a second')
    conn.execute('VACUUM (FREEZE, ANALYZE) facematch.reference')
    probes = faces.Probes(args.set, args.rows, each)
    db.load_probes(conn, probes, 'face_embedding', 'probe')
    step = max(1, args.rows // each)
    conn.execute(f'UPDATE probe SET gallery_id = 1 + id * {step} / {per_gallery} WHERE id < {len(probes.mates)}')
    conn.execute(f'UPDATE probe SET gallery_id = 1 + id % {args.galleries} WHERE id >= {len(probes.mates)}')
    conn.execute('ALTER TABLE probe ADD gallery text')
    conn.execute("UPDATE probe SET gallery = 'gallery ' || gallery_id")
    conn.execute('VACUUM (FREEZE, ANALYZE) probe')
    return per_gallery, len(probes.mates), len(probes.all)


def searches(conn, who, mates, probes):
    """Median, p99 and the answers, mated and non-mated."""
    answers = []
    for kind, first, last in (('mated', 0, mates), ('non-mated', mates, probes)):
        query = 'SELECT reference_id FROM facematch.identify($probe, p.gallery)'
        times, found = db.server_times(conn, query, 'probe', first, last)
        report.row(f'{who}, {kind}', report.ms(report.median(times)), report.ms(report.p99(times)),
                   f'{sum(map(bool, found)) / len(found):.1%}')
        answers.append(found)
    return answers


SINGLY = """SELECT array_agg(i.reference_id ORDER BY p.id, i.rank) FROM probe p, facematch.identify(p.embedding, 'gallery 1') i
    WHERE p.id BETWEEN %s AND %s"""
TOGETHER_QUERY = """SELECT array_agg(i.reference_id ORDER BY i.probe, i.rank) FROM facematch.identify_many(
    (SELECT array_agg(embedding ORDER BY id) FROM probe WHERE id BETWEEN %s AND %s), 'gallery 1') i"""


def many(args):
    """Processor time a probe of identify_many() beside identify(), in turns, answers compared."""
    args.galleries = 1
    conn = db.connect()
    db.create_extensions(conn)
    load(conn, args, TOGETHER)
    db.create_face_index(conn)
    report.table(f'{TOGETHER} probes in a gallery of {args.rows:,} references of the {args.set} set, processor time a probe',
                 'probes', 'identify() ms', 'identify_many() ms', 'ratio, median of turns')
    for kind, first in (('mated', 0), ('non-mated', TOGETHER)):
        turns = []
        for _ in range(TURNS):
            costs = [db.precise(conn, query, [first, first + TOGETHER - 1]) for query in (SINGLY, TOGETHER_QUERY)]
            if costs[0][1] != costs[1][1]:
                raise RuntimeError('identify_many() gave other candidates than identify()')
            turns.append([cost / TOGETHER for cost, _ in costs])
        singly, together = zip(*turns)
        report.row(kind, report.ms(report.median(singly)), report.ms(report.median(together)),
                   f'{report.median([b / a for a, b in turns]):.2f}')


def main(args):
    """identify() of a gallery's candidates: server time by the shipped index as staging left it, by one built anew, and by btree; answers compared."""
    conn = db.connect()
    db.create_extensions(conn)
    per_gallery, mates, probes = load(conn, args, indexed=True)
    report.table(f'identify() in a gallery of {per_gallery} among {args.rows:,} references of the {args.set} set',
                 'who', 'median ms', 'p99 ms', 'searches with a candidate')
    answers = []
    index = 'facematch.facematch_reference_face_idx'
    for who, change in (('by the index as staged', 'ANALYZE facematch.reference'), ('by the index built anew', f'REINDEX INDEX {index}'),
                        ('by btree', f'DROP INDEX {index}')):
        conn.execute(change)
        db.prewarm(conn, 'facematch.reference', *([] if change.startswith('DROP') else [index]))
        with db.connect() as fresh:
            answers.append(searches(fresh, who, mates, probes))
    if answers[0] != answers[1] or answers[0] != answers[2]:
        raise RuntimeError('the index gave other candidates than the btree')
