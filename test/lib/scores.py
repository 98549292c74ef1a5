"""The type's similarity computed without any code of the extension, to the last bit: src/simd/README.md says in which order a
comparison adds and where it rounds.  And counts of errors from such scores.  Imported by the tests of accuracy."""
import os
import pathlib

import numpy as np

LANES = 32
# Double-precision scores lie this near to the type's; what lies nearer to an edge is computed bit by bit.  Checked.
NEAR = 4e-6


def faces_dir():
    here = pathlib.Path(__file__).resolve().parents[2]
    return pathlib.Path(os.environ.get('FACES_DIR', here.parent / 'shared' / 'faces'))


def real_faces():
    """Templates, subjects, ordinals; None where the real faces are not."""
    path = faces_dir() / 'mobilefacenet_512.f16'
    if not path.is_file():
        return None
    table = np.loadtxt(faces_dir() / 'faces.tsv', dtype=int, skiprows=1)
    return np.fromfile(path, '<f2').reshape(-1, 512), table[:, 1], table[:, 2]


def kernel_dot(a, b):
    """Inner products of rows of halves, as the kernels define them."""
    short = -a.shape[1] % LANES
    if short:
        a, b = (np.pad(x, ((0, 0), (0, short))) for x in (a, b))
    a, b = (x.astype('f4').reshape(len(x), -1, LANES) for x in (a, b))
    lanes = np.zeros((len(a), LANES), 'f4')
    for step in range(a.shape[1]):
        lanes += a[:, step] * b[:, step]
    lanes = lanes.astype('f8')
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes[:, 0]


def stored_norms(x):
    squared = kernel_dot(x, x)
    norms = np.sqrt(squared).astype('f4')
    return np.where(norms.astype('f8') ** 2 > squared, np.nextafter(norms, np.float32(0)), norms).astype('f8')


def copy_rows(conn, table, integers, x):
    """Rows of columns of integers, numpy arrays as wide as the table's, and a template, by COPY in binary: as text most of a test would be that."""
    fields = [('columns', '>i2')]
    for k, column in enumerate(integers):
        fields += [(f'size{k}', '>i4'), (f'value{k}', f'>i{column.itemsize}')]
    rows = np.zeros(len(x), np.dtype(fields + [('size', '>i4'), ('dims', '>i2'), ('model', '>i2'), ('x', '>f4', (x.shape[1],))]))
    rows['columns'], rows['size'], rows['dims'], rows['x'] = len(integers) + 1, 4 + 4 * x.shape[1], x.shape[1], x
    for k, column in enumerate(integers):
        rows[f'size{k}'], rows[f'value{k}'] = column.itemsize, column
    with conn.cursor().copy(f'COPY {table} FROM STDIN (FORMAT binary)') as copy:
        copy.write(b'PGCOPY\n\xff\r\n\0' + bytes(8) + rows.tobytes() + b'\xff\xff')


class Templates:
    def __init__(self, x, ids, subjects):
        self.x, self.ids, self.subjects = x, np.asarray(ids), np.asarray(subjects)
        self.norms = stored_norms(x)
        self.unit = x.astype('f8') / self.norms[:, None]

    def __len__(self):
        return len(self.x)

    def only(self, which):
        return Templates(self.x[which], self.ids[which], self.subjects[which])


def exact(a, i, b, j):
    """The type's similarity of pairs."""
    score = np.empty(len(i))
    for first in range(0, len(i), 20_000):
        part = slice(first, first + 20_000)
        score[part] = kernel_dot(a.x[i[part]], b.x[j[part]]) / (a.norms[i[part]] * b.norms[j[part]])
    return np.clip(score, -1, 1)


def strips(a, b, within=False, rows=500):
    """All comparisons, in strips of probes: row numbers, scores in double precision, which are counted, which are mated."""
    for first in range(0, len(a), rows):
        i = np.arange(first, min(first + rows, len(a)))
        if within and (a.ids[i][:, None] >= b.ids[None, :]).all():
            continue
        counted = np.ones((len(i), len(b)), bool)
        if within:
            counted = a.ids[i][:, None] < b.ids[None, :]
        yield i, np.clip(a.unit[i] @ b.unit.T, -1, 1), counted, a.subjects[i][:, None] == b.subjects[None, :]


def histogram(a, b, edges, within=False):
    """Counts of non-mated and mated comparisons between edges, as score_histogram() has them."""
    edges = np.concatenate([[-np.inf], np.asarray(edges, 'f8'), [np.inf]])
    counts = np.zeros((2, len(edges) - 1), 'i8')
    for i, score, counted, mated in strips(a, b, within):
        rows, columns = np.nonzero(counted)
        flat, is_mated = score[rows, columns], mated[rows, columns]
        bins = np.searchsorted(edges, flat, side='right') - 1
        near = np.nonzero((flat - edges[bins] < NEAR) | (edges[bins + 1] - flat < NEAR))[0]
        better = exact(a, i[rows[near]], b, columns[near])
        assert not len(near) or np.abs(better - flat[near]).max() < NEAR / 2, 'the double-precision scores are not near enough'
        bins[near] = np.searchsorted(edges, better, side='right') - 1
        for kind in (0, 1):
            counts[kind] += np.bincount(bins[is_mated == kind], minlength=len(edges) - 1)
    return counts


def candidates(a, b, threshold, within=False):
    """Pairs of ids that reach a threshold, with the type's score and whether they are mated."""
    found = {}
    for i, score, counted, mated in strips(a, b, within):
        rows, columns = np.nonzero(counted & (score > threshold - NEAR))
        for r, c, s in zip(rows, columns, exact(a, i[rows], b, columns)):
            if s >= threshold:
                found[int(a.ids[i[r]]), int(b.ids[c])] = (float(s), bool(mated[r, c]))
    return found


def searches(a, b):
    """Of each probe: mate's score and rank among persons (None: not enrolled), best other's score."""
    result = []
    for i, score, _, mated in strips(a, b):
        for r, row in enumerate(i):
            # in double precision first; whatever might be level with the best or with the mate, bit by bit
            s = score[r].copy()
            level = [s[m].max() for m in (mated[r], ~mated[r]) if m.any()]
            near = np.nonzero(np.min([np.abs(s - v) for v in level], axis=0) < NEAR)[0]
            s[near] = exact(a, np.full(len(near), row), b, near)
            order = np.lexsort((b.ids, -s))
            mates, others = order[mated[r][order]], order[~mated[r][order]]
            rank = len(np.unique(b.subjects[order[:np.nonzero(order == mates[0])[0][0]]])) + 1 if len(mates) else None
            result.append((float(s[mates[0]]) if len(mates) else None, rank, float(s[others[0]]) if len(others) else None))
    return result
