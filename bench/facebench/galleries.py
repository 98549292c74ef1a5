"""Identification in one of many galleries, and searches a second while other galleries are staged and purged."""
import pathlib
import re
import subprocess
import tempfile

from . import db, faces, report

PROBES = 500
CLIENTS = 4
# Galleries beyond the searched ones, which the stager fills and empties while the others are searched.
STAGED_GALLERIES = 50
STAGER_REST_MS = 100

SEARCH = ('SELECT id FROM faces WHERE gallery_id = p.gallery_id ORDER BY embedding <=> $probe LIMIT 1')

# Division by zero stops the client: a wrong answer cannot go by unseen.
PGBENCH_SEARCH = """\\set p random(0, {last})
SELECT 1 / (expected = (SELECT id FROM faces WHERE gallery_id = p.gallery_id
                        ORDER BY embedding <=> p.embedding LIMIT 1))::int FROM probe p WHERE p.id = :p;
"""
PGBENCH_STAGER = """\\set g random({first}, {last})
DELETE FROM faces WHERE gallery_id = :g;
INSERT INTO faces SELECT id, :g, embedding FROM spare;
\\sleep {rest} ms
"""


def pgbench(script, clients, seconds, folder, name):
    path = pathlib.Path(folder, name)
    path.write_text(script)
    return subprocess.Popen(['pgbench', '-n', '-M', 'prepared', '-c', str(clients), '-j', '1', '-T', str(seconds), '-f', str(path)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    """Transactions a second and average latency; an error when a client met one (a wrong answer is one)."""
    out, err = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f'pgbench: {err}')
    tps = float(re.search(r'tps = ([\d.]+)', out).group(1))
    latency = float(re.search(r'latency average = ([\d.]+) ms', out).group(1))
    return tps, latency


def load(conn, args):
    per_gallery = args.rows // args.galleries
    db.create_table(conn, 'faces', 'face_embedding', faces.DIMS[args.set])
    # a gallery is staged in one go, so its rows lie together
    db.copy_rows(conn, 'faces', ((ids, 1 + ids // per_gallery, x) for ids, _, x in db.set_blocks(args.set, args.rows)))
    conn.execute('CREATE INDEX faces_btree ON faces (gallery_id)')
    conn.execute('VACUUM (FREEZE, ANALYZE) faces')
    db.create_table(conn, 'spare', 'face_embedding', faces.DIMS[args.set])
    db.copy_rows(conn, 'spare', db.set_blocks(args.set, per_gallery, first=2 * args.rows))

    probes = faces.Probes(args.set, args.rows, PROBES)
    db.load_probes(conn, probes, 'face_embedding', 'probe')
    conn.execute(f'DELETE FROM probe WHERE id >= {len(probes.mates)}')
    conn.execute('ALTER TABLE probe ADD expected bigint')
    step = max(1, args.rows // PROBES)
    conn.execute(f'UPDATE probe SET gallery_id = 1 + id * {step} / {per_gallery}')
    conn.execute('UPDATE probe p SET expected = (SELECT id FROM faces WHERE gallery_id = p.gallery_id '
                 'ORDER BY embedding <=> p.embedding, id LIMIT 1)')
    conn.execute('VACUUM (FREEZE, ANALYZE) probe')
    return per_gallery, len(probes.mates)


def expected_answers(conn):
    return [[e] for (e,) in conn.execute('SELECT expected FROM probe ORDER BY id')]


def latency(conn, who, query, n):
    times, found = db.server_times(conn, query, 'probe', 0, n)
    right = [f == e for f, e in zip(found, expected_answers(conn))]
    report.row(who, report.ms(report.median(times)), report.ms(report.p99(times)), report.percent(right))


def throughput(args, who, probes):
    with tempfile.TemporaryDirectory() as folder:
        search = PGBENCH_SEARCH.format(last=probes - 1)
        stager = PGBENCH_STAGER.format(first=args.galleries + 1, last=args.galleries + STAGED_GALLERIES, rest=STAGER_REST_MS)
        tps, average = finish(pgbench(search, CLIENTS, args.seconds, folder, 'search.sql'))
        report.row(f'{who}, {CLIENTS} clients', report.ms(average), f'{tps:,.0f} searches/s', '100 %')
        staging = pgbench(stager, 1, args.seconds, folder, 'stager.sql')
        tps, average = finish(pgbench(search, CLIENTS, args.seconds, folder, 'search.sql'))
        staged, _ = finish(staging)
        report.row(f'{who}, {CLIENTS} clients, {staged:.1f} galleries purged and staged a second beside them',
                   report.ms(average), f'{tps:,.0f} searches/s', '100 %')


def main(args):
    """The nearest in one gallery of many: server time of one session, then searches a second of several, each answer checked."""
    conn = db.connect()
    db.create_extensions(conn)
    per_gallery, probes = load(conn, args)
    report.table(f'One gallery of {per_gallery} among {args.rows:,} templates of the {args.set} set',
                 'who', 'median ms', 'p99 ms', 'right')
    db.prewarm(conn, 'faces', 'faces_btree')
    latency(conn, 'btree (gallery_id) and sort', SEARCH, probes)
    throughput(args, 'btree (gallery_id) and sort', probes)
    if not db.has_access_method(conn):
        return
    conn.execute('DROP INDEX faces_btree')
    seconds = db.timed(conn, 'CREATE INDEX faces_index ON faces USING facematch (gallery_id, embedding)')
    db.prewarm(conn, 'faces', 'faces_index')
    report.row(f'build {seconds:.1f} s; index {report.megabytes(db.size(conn, "faces_index"))}, '
               f'table {report.megabytes(db.size(conn, "faces"))}', '', '', '')
    latency(conn, 'facematch (gallery_id, embedding)', SEARCH, probes)
    throughput(args, 'facematch (gallery_id, embedding)', probes)
