"""Clients through pgbouncer in transaction mode: prepared statements, 200 connections, settings, timeouts, cancels."""
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

try:
    import psycopg
except ImportError:
    print('psycopg 3 is not installed (python3-psycopg)')
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
# not in everybody's PATH
PGBOUNCER = shutil.which('pgbouncer') or '/usr/sbin/pgbouncer'
PORT = 6432
POOL = 8            # connections to the server
CLIENTS = 200
SEARCHES = 5        # of each client
DIMS = 128
REFERENCES = 3000
PATIENCE = 30       # seconds after which something hangs
SETTINGS = f"""
[databases]
* = host={{host}} port={{port}} user={{user}} pool_size={POOL}
[pgbouncer]
listen_addr =
unix_socket_dir = {{directory}}
listen_port = {PORT}
auth_type = any
pool_mode = transaction
max_client_conn = {CLIENTS + 50}
# the JDBC driver sends it
ignore_startup_parameters = extra_float_digits
logfile = {{directory}}/log
"""
SEARCH = 'SELECT reference_id FROM facematch.identify(%s::face_embedding, %s, 3)'
# Long enough to be interrupted: every reference as the probe of a search.
LONG_SEARCH = ('SELECT count(*) FROM facematch.reference r, generate_series(1, 1000) n, '
               "LATERAL facematch.identify(r.embedding, 'G', 1000, -1) WHERE n > 0")


def fill():
    """A gallery, and the probes: (template, its reference)."""
    with psycopg.connect(autocommit=True) as conn:
        conn.execute("INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, %s)", [DIMS])
        conn.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) "
                     "VALUES ('G', 'flight', 'm', 0.5, now() + interval '1 day')")
        conn.execute('INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) '
                     "SELECT gallery_id, gen_random_uuid(), 'us_citizen', (SELECT array_agg(random() - 0.5)::real[]::face_embedding "
                     f"FROM generate_series(1, {DIMS} + 0 * n)), 'passport' FROM facematch.gallery, generate_series(1, {REFERENCES}) n")
        return conn.execute('SELECT embedding::text, reference_id FROM facematch.reference ORDER BY reference_id LIMIT %s', [CLIENTS]).fetchall()


def start(directory):
    settings = directory / 'pgbouncer.ini'
    settings.write_text(SETTINGS.format(host=os.environ['PGHOST'], port=os.environ.get('PGPORT', '5432'),
                                        user=os.environ.get('PGUSER', 'postgres'), directory=directory), encoding='ascii')
    command = [PGBOUNCER, str(settings)]
    if os.getuid() == 0:
        # It refuses to run as root.
        user = pwd.getpwnam('postgres')
        os.chown(directory, user.pw_uid, user.pw_gid)
        command[1:1] = ['-u', 'postgres']
    pooler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + PATIENCE
    while not (directory / f'.s.PGSQL.{PORT}').exists():
        assert pooler.poll() is None and time.monotonic() < end, 'pgbouncer does not start'
        time.sleep(0.05)
    return pooler


def connect(directory, **more):
    # psycopg prepares on the server what it is asked often, and the next transaction may be on another: that is switched off.
    return psycopg.connect(host=str(directory), port=PORT, autocommit=True, prepare_threshold=None, **more)


def check_many(directory, probes):
    """200 clients at once over 8 connections: everybody's own mate, by statements with parameters."""
    faults = []
    together = threading.Barrier(CLIENTS)

    def client(probe, mate):
        try:
            with connect(directory) as conn:
                together.wait(PATIENCE)
                for _ in range(SEARCHES):
                    found = conn.execute(SEARCH, [probe, 'G']).fetchall()
                    assert found[0] == (mate,), f'{mate}: {found}'
        except Exception as e:
            faults.append(e)

    threads = [threading.Thread(target=client, args=p) for p in probes]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not faults, faults[:3]
    with connect(directory) as conn:
        used = conn.execute('SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()').fetchone()[0]
        assert used <= POOL, f'{used} connections to the server'


def sqlstate(conn, query, *args):
    try:
        conn.execute(query, *args)
    except psycopg.Error as e:
        return e.sqlstate
    return None


def check_timeouts(directory, probes):
    with connect(directory) as conn:
        start_time = time.monotonic()
        with conn.transaction(force_rollback=True):
            conn.execute("SET LOCAL statement_timeout = '200ms'")
            assert sqlstate(conn, LONG_SEARCH) == '57014'
        assert time.monotonic() - start_time < PATIENCE / 2
        assert conn.execute(SEARCH, [probes[0][0], 'G']).fetchone() == (probes[0][1],)


def check_cancel(directory, probes):
    """A client's cancel goes through the pooler to whichever connection runs its search, and harms nobody else's."""
    with connect(directory) as conn, connect(directory) as other:
        state = []
        thread = threading.Thread(target=lambda: state.append(sqlstate(conn, LONG_SEARCH)))
        thread.start()
        running = "SELECT count(*) FROM pg_stat_activity WHERE query = %s AND state = 'active'"
        end = time.monotonic() + PATIENCE
        while other.execute(running, [LONG_SEARCH]).fetchone()[0] != 1:
            assert time.monotonic() < end, 'the search does not run'
            time.sleep(0.02)
        assert other.execute(SEARCH, [probes[1][0], 'G']).fetchone() == (probes[1][1],)
        conn.cancel()
        thread.join(PATIENCE)
        assert state == ['57014'], state
        assert conn.execute(SEARCH, [probes[2][0], 'G']).fetchone() == (probes[2][1],)
        assert other.execute(running, [LONG_SEARCH]).fetchone()[0] == 0


def check_settings(directory):
    """SET LOCAL ends with its transaction; of a role or database, a setting holds on every connection."""
    shown = 'SHOW facematch.miss_probability'
    with connect(directory) as conn:
        conn.execute("SELECT '[1]'::face_embedding")
        with conn.transaction():
            conn.execute('SET LOCAL facematch.miss_probability = 0')
            assert conn.execute(shown).fetchone() == ('0',)
        conns = [connect(directory) for _ in range(POOL)]
        # A transaction each, so all the server's connections.
        for c in conns:
            c.execute('BEGIN')
            c.execute("SELECT '[1]'::face_embedding")
            assert c.execute(shown).fetchone() == ('1e-09',)
        for c in conns:
            c.close()


def check_prepared(directory):
    """A statement that a client prepares on the server is not there, or somebody else's: so docs/clients.md says to switch it off."""
    with connect(directory) as one, connect(directory) as two:
        one.execute('PREPARE kept AS SELECT 1')
        with one.transaction():
            one.execute('SELECT 1')
            assert sqlstate(two, 'EXECUTE kept') == '26000'


def run_client(command, directory, **more):
    done = subprocess.run(command, env={**os.environ, 'PGHOST': str(directory), 'PGPORT': str(PORT), **more}, timeout=PATIENCE * 4,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(f'{command[-1]}: {done.stdout[-2000:]}')
    assert done.returncode in (0, 77), f'{command} failed'


def check_other_clients(directory):
    """The tests of the other clients, through the pooler.  Each makes a table of that name."""
    for command in (['node', str(HERE / 'test_node_pg.js')], [sys.executable, str(HERE / 'test_jdbc.py')],
                    [sys.executable, str(HERE / 'test_pgvector_python.py')]):
        if shutil.which(command[0]):
            run_client(command, directory, POOLED='1')
            with psycopg.connect(autocommit=True) as conn:
                conn.execute('DROP TABLE IF EXISTS face')


def main():
    if not shutil.which(PGBOUNCER):
        print('pgbouncer is not installed')
        return 77
    probes = fill()
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        pooler = start(directory)
        try:
            check_many(directory, probes)
            check_timeouts(directory, probes)
            check_cancel(directory, probes)
            check_settings(directory)
            check_prepared(directory)
            check_other_clients(directory)
        finally:
            pooler.send_signal(signal.SIGINT)
            pooler.wait(PATIENCE)
    return 0


sys.exit(main())
