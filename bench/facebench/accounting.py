"""What it costs that a search leaves a row: identify() by an operator, with facematch.account_searches on and off."""
import random
import statistics
import subprocess
import tempfile

from . import db, identify, report

OPERATOR = 'accounted_gate'
BLOCK = 500
TURNS = 40
CLIENTS = 4
PGBENCH_TURNS = 8
PGBENCH_SECONDS = 3
SEARCH = 'SELECT i.* FROM probe p, facematch.identify(p.embedding, p.gallery) i WHERE p.id = '


def switch(conn, accounted):
    conn.execute(f"ALTER ROLE {OPERATOR} SET facematch.account_searches = {'on' if accounted else 'off'}")


def block(conn, strangers, seed):
    """The same searches for both, each a transaction of its own."""
    chosen = random.Random(seed)
    for _ in range(BLOCK):
        conn.execute(SEARCH + '%s', [chosen.randrange(*strangers)], prepare=True)


def together(script):
    """Searches a second of several clients."""
    said = subprocess.run(['pgbench', '-n', '-M', 'prepared', '-U', OPERATOR, '-c', str(CLIENTS), '-j', str(CLIENTS), '-T', str(PGBENCH_SECONDS),
                           '-f', script], check=True, capture_output=True, text=True).stdout
    return next(float(line.split()[2]) for line in said.splitlines() if line.startswith('tps'))


def in_turns(turns, work):
    """Pairs of what work(accounted, turn) gives, now the one first and now the other."""
    pairs = []
    for turn in range(turns):
        given = {accounted: work(accounted, turn) for accounted in ((True, False) if turn % 2 else (False, True))}
        pairs.append((given[True], given[False]))
    return pairs


def main(args):
    """What a row for each search costs: processor time of the backend, commit included, and searches a second, in paired turns."""
    conn = db.connect()
    db.create_extensions(conn)
    # Mates would soon have used up the budgets of attempts near one person.
    per_gallery, *strangers = identify.load(conn, args, indexed=True)
    db.prewarm(conn, 'facematch.reference', 'facematch.facematch_reference_face_idx')
    conn.execute(f'CREATE ROLE {OPERATOR} LOGIN')
    conn.execute('SELECT facematch.grant_operator(%s::regrole)', [OPERATOR])
    conn.execute(f'GRANT SELECT ON probe TO {OPERATOR}')
    sides = {}
    for accounted in (True, False):
        switch(conn, accounted)
        sides[accounted] = db.connect(user=OPERATOR)
        block(sides[accounted], strangers, -1)
    processor = in_turns(TURNS, lambda accounted, turn: db.spent(sides[accounted], lambda: block(sides[accounted], strangers, turn))[1] * 1e3 / BLOCK)
    report.table(f'identify() in galleries of {per_gallery} among {args.rows:,} references, {TURNS} turns of {BLOCK} searches of one session',
                 'µs of the backend a search', 'accounted', 'not', 'difference, median of turns', 'least of each')
    report.row('', *(f'{statistics.median(side):.1f}' for side in zip(*processor)), f'{statistics.median(a - b for a, b in processor):.1f}',
               '{:.1f}, {:.1f}'.format(*(min(side) for side in zip(*processor))))

    def rate(accounted, _):
        switch(conn, accounted)
        return together(script.name)

    with tempfile.NamedTemporaryFile('w', suffix='.sql') as script:
        script.write(f'\\set n random({strangers[0]}, {strangers[1] - 1})\n{SEARCH}:n\n')
        script.flush()
        rates = in_turns(PGBENCH_TURNS, rate)
    report.table(f'The same by {CLIENTS} clients of pgbench, {PGBENCH_TURNS} turns of {PGBENCH_SECONDS} s',
                 'searches a second', 'accounted', 'not', 'ratio, median of turns', 'most of each')
    report.row('', *(f'{statistics.median(side):,.0f}' for side in zip(*rates)), f'{statistics.median(a / b for a, b in rates):.2f}',
               '{:,.0f}, {:,.0f}'.format(*(max(side) for side in zip(*rates))))
