#!/usr/bin/python3
"""what cells (IVF) would lose: the share of mates that lie in the nearest cells, and the share of templates in those

k-means by numpy over synthetic faces (bench/synthfaces), no server.  A mated probe is another capture of an enrolled subject.
Prints a markdown table: for each number of cells looked into, how many mates are found, and what part of the gallery is read."""
import argparse
import pathlib
import subprocess
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
DIMS = {'full-rank': 512, 'low-rank': 512, 'dlib': 128}
BLOCK = 16384       # rows in one matrix product
SAMPLE = 64         # templates a cell that k-means learns from, at most
WANTED = (0.99, 0.999, 0.9999)


def faces(name, subjects, first=0, capture=0, step=1):
    """Unit vectors, but for the set that is compared by distance."""
    raw = subprocess.run([HERE / 'synthfaces', '--set', name, '--subjects', str(subjects), '--first', str(first), '--step', str(step),
                          '--capture-first', str(capture), '--format', 'f32'], check=True, stdout=subprocess.PIPE).stdout
    x = np.frombuffer(raw, '<f4').reshape(-1, DIMS[name])
    return x if name == 'dlib' else x / np.linalg.norm(x, axis=1, keepdims=True)


def distances(x, centres):
    """Squared Euclidean distances, less what is the same for all centres."""
    return (centres * centres).sum(axis=1) - 2 * x @ centres.T


def nearest(x, centres):
    return np.concatenate([distances(x[i:i + BLOCK], centres).argmin(axis=1) for i in range(0, len(x), BLOCK)])


def k_means(x, cells, rounds, rng):
    """Lloyd's; a cell that becomes empty starts again at a template drawn by lot."""
    x = x[rng.permutation(len(x))[:cells * SAMPLE]]
    centres = x[:cells].copy()
    for _ in range(rounds):
        cell = nearest(x, centres)
        order = np.argsort(cell, kind='stable')
        count = np.bincount(cell, minlength=cells)
        full = count > 0
        starts = np.concatenate(([0], np.cumsum(count)[:-1]))
        centres[full] = np.add.reduceat(x[order], starts[full], axis=0) / count[full, None]
        centres[~full] = x[rng.integers(0, len(x), (~full).sum())]
    return centres


def measure(name, args):
    rng = np.random.default_rng(args.seed)
    x = faces(name, args.rows)
    centres = k_means(x, args.cells, args.rounds, rng)
    cell = nearest(x, centres)
    size = np.bincount(cell, minlength=args.cells)
    step = max(args.rows // args.probes, 1)
    probes = faces(name, args.rows // step, capture=1, step=step)
    order = np.concatenate([distances(probes[i:i + BLOCK], centres).argsort(axis=1) for i in range(0, len(probes), BLOCK)])
    mates = cell[np.arange(len(probes)) * step]
    place = (order == mates[:, None]).argmax(axis=1)
    read = size[order].cumsum(axis=1).mean(axis=0) / len(x)
    found = np.bincount(place, minlength=args.cells).cumsum() / len(probes)

    for n in [n for n in (1 << i for i in range(30)) if n < args.cells]:
        print(f'| {name} | {n} | {100 * found[n - 1]:.2f} % | {100 * read[n - 1]:.2f} % |', flush=True)
    for share in WANTED:
        n = int((found >= share).argmax()) + 1
        print(f'| {name}, for {100 * share:g} % | {n} | {100 * found[n - 1]:.2f} % | {100 * read[n - 1]:.2f} % |', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--set', choices=DIMS, action='append', help='which synthetic faces, more than once (default: all)')
    parser.add_argument('--rows', type=int, default=200_000, help='templates (default 200,000)')
    parser.add_argument('--cells', type=int, default=512, help='(default 512)')
    parser.add_argument('--probes', type=int, default=10_000, help='mated probes (default 10,000)')
    parser.add_argument('--rounds', type=int, default=10, help='of k-means (default 10)')
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    subprocess.run(['make', '-s', '-C', str(HERE), 'synthfaces'], check=True, stdout=sys.stderr)
    print(f'{args.rows:,} templates in {args.cells:,} cells, {args.probes:,} mated probes\n')
    print('| set | nearest cells searched | mates found | templates read |\n|---|---|---|---|')
    for name in args.set or DIMS:
        measure(name, args)


main()
