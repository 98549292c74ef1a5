"""What is read from the disk: searches after a restart, VACUUM, erase() and verify_erased() of what no buffer holds."""
import os
import pathlib
import subprocess

from . import db, faces, report

GALLERIES = 100
WARM_UP_ROWS = 100
FILES = ('faces', 'faces_index', 'faces_pkey')


class Server:
    """The bench's own server, which this stops and starts; it runs on this machine."""

    def __init__(self):
        self.conn = db.connect()
        db.create_extensions(self.conn)
        self.data = db.scalar(self.conn, "SELECT current_setting('data_directory')")
        self.as_user = ['runuser', '-u', 'postgres', '--'] if os.getuid() == 0 else []

    def restart(self):
        """With empty shared buffers; the new connection has loaded the library and read the catalogs."""
        self.conn.execute('CHECKPOINT')
        self.conn.close()
        subprocess.run([*self.as_user, 'pg_ctl', '-D', self.data, '-l', self.data + '.log', '-w', '-m', 'fast', 'restart'],
                       check=True, stdout=subprocess.DEVNULL)
        self.conn = db.connect()
        self.conn.execute('SET enable_seqscan = off')
        probe = '(SELECT embedding FROM probe WHERE id = 0)'
        self.conn.execute(f'SELECT id FROM small WHERE face_match(embedding, {probe}, 0.4) ORDER BY embedding <=> {probe}')
        self.conn.execute("SELECT * FROM facematch.erase('small')")
        self.conn.execute("SELECT * FROM facematch.verify_erased('small')")

    def files(self):
        for name in FILES:
            path = pathlib.Path(self.data, db.scalar(self.conn, 'SELECT pg_relation_filepath(%s)', [name]))
            yield from path.parent.glob(path.name + '*')

    def forget(self):
        """And the system has them on the disk only."""
        self.restart()
        for path in self.files():
            with open(path, 'rb') as f:
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def cached(self):
        """The system has them in its cache."""
        self.restart()
        for path in self.files():
            path.read_bytes()

    def ways(self):
        return ('in the system\'s cache', self.cached), ('on the disk', self.forget)


def load(server, args):
    conn = server.conn
    for table, rows, first in ('faces', args.rows, 0), ('small', WARM_UP_ROWS, args.rows):
        db.create_table(conn, table, 'face_embedding', faces.DIMS[args.set])
        per_gallery = max(1, rows // GALLERIES)
        # a gallery is enrolled in one go, so its rows lie together
        db.copy_rows(conn, table, ((ids, (ids - first) // per_gallery, x) for ids, _, x in db.set_blocks(args.set, first + rows, first=first)))
        conn.execute(f'ALTER TABLE {table} ADD PRIMARY KEY (id)')
        conn.execute(f'CREATE INDEX {table}_index ON {table} USING facematch (embedding)')
        conn.execute(f'VACUUM (FREEZE, ANALYZE) {table}')
    probes = faces.Probes(args.set, args.rows, args.turns * 2)
    db.load_probes(conn, probes, 'face_embedding', 'probe')
    conn.execute('VACUUM (FREEZE, ANALYZE) probe')
    return len(probes.mates)


def search(operator, threshold, limit):
    where = f'WHERE face_match(embedding, $1, {threshold})' if threshold else ''
    return f'SELECT id FROM faces {where} ORDER BY embedding {operator} $1 LIMIT {limit}'


def searches(server, args, mates):
    operator, threshold = faces.OPERATOR[args.set], faces.THRESHOLD[args.set]
    cases = [('nearest of a mated probe', search(operator, None, 1), 0),
             (f'nearest above {threshold}, mated probe', search(operator, threshold, 1), 0),
             ('ten nearest of a non-mated probe', search(operator, None, 10), mates)]
    for what, query, first in cases:
        for where, empty in server.ways():
            times, again = [], []
            for turn in range(args.turns):
                empty()
                embedding = db.scalar(server.conn, 'SELECT embedding::text FROM probe WHERE id = %s', [first + turn])
                server.conn.execute(f'PREPARE q(face_embedding) AS {query}')
                times.append(db.timed(server.conn, f"EXECUTE q('{embedding}')") * db.MS)
                again.append(db.timed(server.conn, f"EXECUTE q('{embedding}')") * db.MS)
            report.row(f'{what}, first after a start', where, report.ms(min(times)), report.ms(report.median(times)))
            report.row(f'{what}, again', where, report.ms(min(again)), report.ms(report.median(again)))


def maintenance(server, args):
    """Each turn purges the next gallery: its rows lie together, so most of what is read is the index, or all of the table."""
    gallery = 0
    # so few dead rows would otherwise not make VACUUM look at an index
    for what, statement in (('VACUUM after a purge of 1 %', 'VACUUM (INDEX_CLEANUP ON) faces'),
                            ('erase() after a purge of 1 %', "SELECT * FROM facematch.erase('faces')"),
                            ('verify_erased()', "SELECT * FROM facematch.verify_erased('faces')")):
        for where, empty in server.ways():
            times = []
            for _ in range(args.turns):
                if 'purge' in what:
                    server.conn.execute('DELETE FROM faces WHERE gallery_id = %s', [gallery])
                    gallery += 1
                empty()
                times.append(db.timed(server.conn, statement) * db.MS)
            report.row(what, where, report.ms(min(times)), report.ms(report.median(times)))


def main(args):
    """What waits for the disk: the first search after a start, VACUUM, erase() and the like, in and out of the system's cache."""
    server = Server()
    mates = load(server, args)
    table, index = (report.megabytes(db.size(server.conn, name)) for name in ('faces', 'faces_index'))
    version = db.scalar(server.conn, "SELECT split_part(current_setting('server_version'), ' ', 1)")
    report.table(f'Cold: {args.rows:,} templates of the {args.set} set, table {table}, index {index}, PostgreSQL {version}',
                 'what', 'pages are', 'least ms', 'median ms')
    searches(server, args, mates)
    maintenance(server, args)
