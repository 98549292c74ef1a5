"""Templates to search among: real, synthetic, and built to be hard for codes.  Each set is rows x dimensions, in half precision."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SYNTHFACES = REPOSITORY / 'bench' / 'synthfaces'


def seal_own_table(conn, table):
    """With SEALED=1, from then on the templates that are written into the table are sealed."""
    if os.environ.get('SEALED'):
        if conn.execute("SELECT to_regproc('seal_own_table') IS NULL").fetchone()[0]:
            conn.execute((REPOSITORY / 'test' / 'lib' / 'own_table.sql').read_text(encoding='ascii'))
        conn.execute('SELECT seal_own_table(%s::regclass, %s)', (table, 'e'))


def check_sealed(conn, table):
    """With SEALED=1, that all of them are."""
    if os.environ.get('SEALED'):
        query = f'SELECT bool_and(facematch_internal.sealed_by(e) IS NOT NULL) FROM {table} WHERE e IS NOT NULL'
        assert conn.execute(query).fetchone()[0], f'the templates of {table} are not sealed'


def real(name, rows, rng):
    """Some of the real faces, or None where they are not."""
    directory = pathlib.Path(os.environ.get('FACES_DIR', REPOSITORY.parent / 'shared' / 'faces'))
    path = directory / f'{name}.f16'
    if not path.is_file():
        return None
    x = np.fromfile(path, '<f2').reshape(-1, int(name.rsplit('_', 1)[1]))
    return x[np.sort(rng.permutation(len(x))[:rows])]


def synthetic(face_set, rows):
    """Two captures of each synthetic subject, by bench/synthfaces."""
    with tempfile.TemporaryDirectory() as scratch:
        program = SYNTHFACES
        if not program.is_file():
            program = pathlib.Path(scratch) / 'synthfaces'
            compiler = shutil.which('cc') or shutil.which('gcc') or 'clang'
            subprocess.run([compiler, '-O2', '-std=gnu11', '-o', program, f'{SYNTHFACES}.c', SYNTHFACES.with_name('face_sets.c'), '-lm'], check=True)
        raw = subprocess.run([program, f'--set={face_set}', f'--subjects={rows // 2}', '--captures=2', '--format=f32'],
                             check=True, stdout=subprocess.PIPE).stdout
    return np.frombuffer(raw, '<f4').reshape(2 * (rows // 2), -1).astype('f2')


def gaussian(rows, dims, rng):
    return rng.standard_normal((rows, dims)).astype('f2')


def uniform(rows, dims, rng):
    return rng.uniform(-1, 1, (rows, dims)).astype('f2')


def duplicates(rows, dims, rng):
    """Few different templates, each many times."""
    return gaussian(max(rows // 25, 1), dims, rng)[rng.integers(0, max(rows // 25, 1), rows)]


def families(rows, dims, rng):
    """Clusters within clusters, down to members that differ in the last bits."""
    x = np.zeros((rows, dims))
    for depth, spread in enumerate([1, 0.5, 0.1, 0.01, 0.001]):
        clusters = 4 ** (depth + 1)
        x += spread * rng.standard_normal((clusters, dims))[np.arange(rows) % clusters]
    return x.astype('f2')


def one_hot(rows, dims, rng):
    """Nothing but one component, a few of them with a second."""
    x = np.zeros((rows, dims))
    x[np.arange(rows), rng.integers(0, dims, rows)] = rng.choice([-1, 1], rows)
    two = rng.random(rows) < 0.3
    x[two, rng.integers(0, dims, rows)[two]] += 0.5
    x[np.abs(x).sum(axis=1) == 0, 0] = 1
    return x.astype('f2')


def at_the_centre(rows, dims, rng):
    """A huge common mean: many templates equal to it, the others a rounding away."""
    centre = rng.standard_normal(dims)
    noise = rng.choice([0, 0, 1e-4, 1e-3, 1e-2], (rows, 1)) * rng.standard_normal((rows, dims))
    return (centre + noise).astype('f2')


def opposites(rows, dims, rng):
    """Every template and its negative: their mean is nothing."""
    half = gaussian((rows + 1) // 2, dims, rng)
    return np.concatenate([half, -half])[:rows]


def norms(rows, dims, rng):
    """Lengths from 1e-4 to 6e4."""
    x = rng.standard_normal((rows, dims))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x *= 10.0 ** rng.uniform(-4, np.log10(6e4), (rows, 1))
    return x.astype('f2')


# name: (maker, does it defeat random projections)
DATASETS = {
    'faces 512': (lambda n, rng: real('mobilefacenet_512', n, rng), False),
    'faces 128': (lambda n, rng: real('dlib_128', n, rng), False),
    'full rank 512': (lambda n, rng: synthetic('full-rank', n), False),
    'low rank 512': (lambda n, rng: synthetic('low-rank', n), False),
    'uniform 256': (lambda n, rng: uniform(n, 256, rng), False),
    'duplicates 512': (lambda n, rng: duplicates(n, 512, rng), False),
    'families 192': (lambda n, rng: families(n, 192, rng), False),
    'dims 1': (lambda n, rng: gaussian(n // 2, 1, rng), False),
    'dims 2': (lambda n, rng: gaussian(n // 2, 2, rng), False),
    'dims 3': (lambda n, rng: gaussian(n // 2, 3, rng), False),
    'dims 31': (lambda n, rng: gaussian(n, 31, rng), False),
    'dims 64': (lambda n, rng: gaussian(n, 64, rng), False),
    'dims 129': (lambda n, rng: gaussian(n, 129, rng), False),
    'dims 1024': (lambda n, rng: gaussian(n // 2, 1024, rng), False),
    'dims 2000': (lambda n, rng: gaussian(n // 4, 2000, rng), False),
    'one-hot 512': (lambda n, rng: one_hot(n, 512, rng), True),
    'one-hot 64': (lambda n, rng: one_hot(n, 64, rng), True),
    'at the centre 128': (lambda n, rng: at_the_centre(n, 128, rng), True),
    'opposites 128': (lambda n, rng: opposites(n, 128, rng), True),
    'norms 64': (lambda n, rng: norms(n, 64, rng), True),
    'norms 512': (lambda n, rng: norms(n, 512, rng), True),
}


def usable(x):
    """Without rows that the type refuses: nothing but zeros in half precision, or not finite."""
    return x[np.isfinite(x).all(axis=1) & (x != 0).any(axis=1)]


def text(x):
    return '[' + ','.join(repr(float(v)) for v in x) + ']'


def probe(x, rng):
    """A probe for templates x: near one, one itself, its opposite, the middle of all, or far from everything."""
    row = x[rng.integers(len(x))].astype('f8')
    scale = np.abs(row).mean() + 1e-3
    kind = rng.choice(['near', 'near', 'near', 'same', 'opposite', 'mean', 'stranger', 'long', 'short'])
    p = {'near': lambda: row + rng.choice([0.01, 0.3, 1]) * scale * rng.standard_normal(len(row)),
         'same': lambda: row,
         'opposite': lambda: -row,
         'mean': lambda: x.astype('f8').mean(axis=0),
         'stranger': lambda: scale * rng.standard_normal(len(row)),
         'long': lambda: row / np.abs(row).max() * 6e4 / max(1, np.sqrt(len(row))),
         'short': lambda: row / np.abs(row).max() * 1e-4}[kind]()
    p = usable(p.astype('f2')[None, :])
    return p[0] if len(p) else x[0]


def probe_near(x, rng):
    """A probe as a second capture of one of the templates would be."""
    row = x[rng.integers(len(x))].astype('f8')
    return (row + 0.5 * np.abs(row).mean() * rng.standard_normal(len(row))).astype('f2')
