#!/usr/bin/python3
"""Figures of searches, inserts and VACUUM, beside pgvector's: script/bench measure.py search --help

Runs in the cluster that PGHOST and the rest name (script/bench starts one).  Needs python3-psycopg and numpy; pgvector and
python3-faiss are compared with when they are there.  Prints markdown tables to standard output, progress to standard error."""
import argparse
import pathlib
import subprocess

from facebench import accounting, churn, cold, cores, galleries, grown, growth, identify, onetomany, sealed, seqscan, staging

SETS = ('full-rank', 'low-rank', 'dlib')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def command(name, function, rows, summary):
        p = commands.add_parser(name, help=summary, description=function.__doc__)
        if rows:
            p.add_argument('--rows', type=int, default=rows, help=f'templates (default {rows:,})')
        p.add_argument('--set', choices=SETS, default='full-rank', help='which synthetic faces (bench/synthfaces)')
        p.set_defaults(function=function)
        return p

    p = command('search', onetomany.main, 1_048_576, '1:N search of one large table, beside its peers')
    p.add_argument('--probes', type=int, default=500, help='mated and as many non-mated probes (default 500)')
    p.add_argument('--peers-only', action='store_true', help='without facematch')
    p.add_argument('--no-pgvector', action='store_true')
    p.add_argument('--no-hnsw', action='store_true', help='pgvector by sequential scan only')
    p.add_argument('--no-faiss', action='store_true')
    p = command('growth', growth.main, None, 'searches of tables of several sizes')
    p.add_argument('--sizes', type=int, nargs='+', default=[10_000, 100_000, 1_000_000], help='templates (default 10,000 100,000 1,000,000)')
    p.add_argument('--probes', type=int, default=200, help='mated and as many non-mated probes (default 200)')
    p = command('grown', grown.main, 1_000_000, 'an index that began empty beside the same one built anew')
    p.add_argument('--learn', type=int, default=0, help='templates that are there at the first VACUUM (default 0: all)')
    p.add_argument('--mean', type=float, default=0, help='how far all templates are moved into one direction (default 0)')
    p.add_argument('--shift', type=float, default=0, help='how much farther those after the first VACUUM are (default 0)')
    p = command('cores', cores.main, 4_194_304, 'one search by one core and by several')
    p.add_argument('--probes', type=int, default=100, help='mated and as many non-mated probes (default 100)')
    p.add_argument('--workers', type=int, default=1, help='processes beside the session (default 1)')
    p.add_argument('--turns', type=int, default=3, help='of one core and several, in turns (default 3)')
    command('seqscan', seqscan.main, 200_000, 'sequential scan beside pgvector halfvec')
    p = command('galleries', galleries.main, 1_000_000, 'identification in one of many galleries, and searches a second')
    p.add_argument('--galleries', type=int, default=2500)
    p.add_argument('--seconds', type=int, default=20, help='of pgbench')
    p = command('identify', identify.main, 100_000, 'candidates by identify() from the tables of facematch')
    p.add_argument('--galleries', type=int, default=250)
    p = command('accounting', accounting.main, 400_000, 'what it costs that a search leaves a row, in paired turns')
    p.add_argument('--galleries', type=int, default=1000)
    command('many', identify.many, 1_000_000, 'identify_many() beside identify() for each probe, in one gallery')
    p = command('sealed', sealed.main, 100_000, 'sealed galleries beside plain ones of the same templates')
    p.add_argument('--galleries', type=int, default=250)
    command('staging', staging.main, None, 'a flight staged with the shipped index and without')
    command('inserts', churn.inserts, 200_000, 'inserts with and without the index')
    command('vacuum', churn.vacuum, 1_000_000, 'VACUUM after deleting half')
    p = command('cycles', churn.cycles, 200_000, 'delete, vacuum, refill: size and search time')
    p.add_argument('--cycles', type=int, default=10)
    p = command('cold', cold.main, 300_000, 'what waits for the disk: the first search after a start, VACUUM, erase')
    p.add_argument('--turns', type=int, default=5, help='of each, with a restart of the server before it (default 5)')

    args = parser.parse_args()
    subprocess.run(['make', '-s', '-C', str(pathlib.Path(__file__).resolve().parent)], check=True)
    args.function(args)


if __name__ == '__main__':
    main()
