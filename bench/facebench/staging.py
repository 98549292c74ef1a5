"""What staging a flight costs with the face index that is shipped, beside a database where it was dropped."""
import statistics
import uuid

from . import db, faces, report

MODEL = 'synthetic'
OPERATOR = 'bench_operator'
FLIGHT = 400
TURNS = 21
LARGE_TURNS = 5
# As many galleries take a large manifest's rows by turns.
GALLERIES = 250
SUBJECTS = 20_000
COLUMNS = 'INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)'
SOURCE = "md5(id::text)::uuid, 'noncitizen', face_with_model(embedding, 1), 'document' FROM spare"


def prepare(name, indexed, args):
    """A database with the extension, a model, galleries, and templates to stage; the session that stages there."""
    db.connect().execute(f'CREATE DATABASE {name}')
    conn = db.connect(dbname=name)
    conn.execute('SET client_min_messages = warning')
    db.create_extensions(conn)
    if not indexed:
        db.drop_face_index(conn)
    dims = faces.DIMS[args.set]
    db.create_table(conn, 'spare', 'face_embedding', dims)
    db.copy_rows(conn, 'spare', db.set_blocks(args.set, SUBJECTS))
    conn.execute('ALTER TABLE spare ADD PRIMARY KEY (id)')
    conn.execute('VACUUM (FREEZE, ANALYZE) spare')
    db.prewarm(conn, 'spare')
    conn.execute('INSERT INTO facematch.model (name, tag, dims) VALUES (%s, 1, %s)', [MODEL, dims])
    conn.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) SELECT 'flight ' || n, 'flight', "
                 f"%s, 0.5, now() + interval '3 hours' FROM generate_series(0, {GALLERIES}) n", [MODEL])
    conn.execute(f'GRANT SELECT ON spare TO {OPERATOR}')
    conn.execute('SELECT facematch.grant_operator(%s::regrole)', [OPERATOR])
    return conn


def stage(conn):
    return db.scalar(conn, "SELECT facematch.stage_gallery(%s, 'flight 0', now() + interval '3 hours')", [str(uuid.uuid4())])


def one_statement(conn):
    """INSERT ... SELECT of a flight by the owner."""
    conn.execute(f'{COLUMNS} SELECT %s, {SOURCE} WHERE id < %s', [stage(conn), FLIGHT])


def manifest(conn):
    """What an operator's client does: stage_gallery(), and a prepared INSERT for each passenger."""
    with conn.transaction():
        conn.execute(f'SET LOCAL ROLE {OPERATOR}')
        gallery = stage(conn)
        for i in range(FLIGHT):
            conn.execute(f'{COLUMNS} SELECT %s, {SOURCE} WHERE id = %s', [gallery, i], prepare=True)


def one_gallery(conn):
    conn.execute(f'{COLUMNS} SELECT %s, {SOURCE}', [stage(conn)])


def by_turns(conn):
    """Rows that go to many galleries by turns."""
    conn.execute(f"{COLUMNS} SELECT g.gallery_id, {SOURCE} JOIN facematch.gallery g ON g.name = 'flight ' || 1 + id %% %s",
                 [GALLERIES])


WAYS = (
    (f'{FLIGHT} by one INSERT ... SELECT', one_statement, FLIGHT, TURNS),
    (f'{FLIGHT} by an operator, stage_gallery() and {FLIGHT} INSERTs', manifest, FLIGHT, TURNS),
    (f'{SUBJECTS:,} into one gallery, INSERT ... SELECT', one_gallery, SUBJECTS, LARGE_TURNS),
    (f'{SUBJECTS:,} into {GALLERIES} galleries by turns', by_turns, SUBJECTS, LARGE_TURNS),
)


def cost(conn, way):
    """Milliseconds by the client's clock and of the backend's processor, and bytes of WAL."""
    lsn = db.scalar(conn, 'SELECT pg_current_wal_insert_lsn()')
    wall, cpu = db.spent(conn, lambda: way(conn))
    return wall, cpu, float(db.scalar(conn, 'SELECT pg_current_wal_insert_lsn() - %s::pg_lsn', [lsn]))


def main(args):
    """A flight staged with the shipped index and without it, in paired turns: time, processor time and WAL."""
    db.connect().execute(f'CREATE ROLE {OPERATOR}')
    conns = [prepare(name, indexed, args) for name, indexed in (('indexed', True), ('bare', False))]
    report.table(f'References of the {args.set} set staged, medians of paired turns: with the index, without, ratio',
                 'what', 'ms', 'processor ms', 'processor µs a row more', 'WAL bytes a row')
    for what, way, rows, turns in WAYS:
        for conn in conns:
            conn.execute('CHECKPOINT')
            way(conn)
        pairs = []
        for turn in range(turns):
            order = (0, 1) if turn % 2 else (1, 0)
            costs = {side: cost(conns[side], way) for side in order}
            pairs.append((costs[0], costs[1]))
        wall, cpu, wal = ([[side[i] for side in pair] for pair in pairs] for i in range(3))
        report.row(what, *(ratio(x) for x in (wall, cpu)), f'{statistics.median(a - b for a, b in cpu) * 1e3 / rows:.1f}',
                   '{:,.0f}, {:,.0f}'.format(*(statistics.median(x) / rows for x in zip(*wal))))


def ratio(pairs):
    with_index, without = map(statistics.median, zip(*pairs))
    return f'{with_index:,.1f}, {without:,.1f}, {statistics.median(a / b for a, b in pairs):.2f}'
