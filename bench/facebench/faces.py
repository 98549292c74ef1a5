"""Synthetic templates, from bench/synthfaces, and the exact answers to compare with (numpy, no PostgreSQL)."""
import pathlib
import subprocess

import numpy as np

SYNTHFACES = pathlib.Path(__file__).resolve().parent.parent / 'synthfaces'
SEED = 1
CHUNK = 50_000

# Similarity thresholds of FMR 1e-5: the full-rank and the low-rank set.  For dlib's templates a distance is what counts;
# the cosine similarity of their common mean makes a similarity threshold as good as meaningless.
THRESHOLD = {'full-rank': 0.40, 'low-rank': 0.49, 'dlib': 0.95}
DIMS = {'full-rank': 512, 'low-rank': 512, 'dlib': 128}
# The comparison each model is used with: operator, and the operator class of pgvector's HNSW.
OPERATOR = {'full-rank': '<=>', 'low-rank': '<=>', 'dlib': '<->'}
HNSW_CLASS = {'<=>': 'halfvec_cosine_ops', '<->': 'halfvec_l2_ops'}


def command(face_set, subjects, first=0, capture=0, step=1):
    args = dict(set=face_set, subjects=subjects, first=first, step=step, capture_first=capture, seed=SEED, format='f32')
    return [str(SYNTHFACES)] + [f'--{k.replace("_", "-")}={v}' for k, v in args.items()]


def chunks(face_set, subjects, **which):
    """Arrays of at most CHUNK rows, rounded to half precision as both extensions store them."""
    dims = DIMS[face_set]
    with subprocess.Popen(command(face_set, subjects, **which), stdout=subprocess.PIPE) as p:
        while raw := p.stdout.read(CHUNK * dims * 4):
            yield np.frombuffer(raw, '<f4').reshape(-1, dims).astype('<f2')
    if p.returncode:
        raise RuntimeError(f'synthfaces failed with {p.returncode}')


def rows(face_set, subjects, **which):
    return np.concatenate(list(chunks(face_set, subjects, **which)))


class Probes:
    """Mated probes: second captures of subjects spread over the enrolled ones.  Non-mated: subjects beyond them."""

    def __init__(self, face_set, enrolled, each):
        step = max(1, enrolled // each)
        self.face_set = face_set
        self.mates = [i * step for i in range(min(each, enrolled))]
        self.mated = rows(face_set, len(self.mates), step=step, capture=1)
        self.non_mated = rows(face_set, each, first=enrolled, capture=1)
        self.all = np.concatenate([self.mated, self.non_mated])


class ExactAnswers:
    """The ten nearest and everything above the threshold, by brute force in float32 over the same half values."""
    KEEP = 10
    # scores this near to a threshold may round to either side of it
    MARGIN = 1e-6

    def __init__(self, probes, threshold):
        self.operator = OPERATOR[probes.face_set]
        self.threshold = threshold
        self.p = probes.all.astype('f4')
        self.pn = np.sqrt((self.p.astype('f8') ** 2).sum(1)).astype('f4')
        n = len(self.p)
        self.nearest = np.zeros((n, 0), 'i8')
        self.score = np.zeros((n, 0), 'f4')     # larger is nearer
        self.above = [[] for _ in range(n)]
        self.count = 0

    def add(self, templates):
        x = templates.astype('f4')
        xn = np.sqrt(np.einsum('ij,ij->i', x, x, dtype='f8')).astype('f4')
        dot = self.p @ x.T
        similarity = dot / self.pn[:, None] / xn[None, :]
        for i, j in zip(*np.nonzero(similarity > self.threshold - self.MARGIN)):
            self.above[i].append((self.count + int(j), float(similarity[i, j])))
        score = similarity if self.operator == '<=>' else 2 * dot - (xn * xn)[None, :]
        keep = min(self.KEEP, score.shape[1])
        best = np.argpartition(-score, keep - 1, axis=1)[:, :keep]
        self.nearest = np.concatenate([self.nearest, best + self.count], axis=1)
        self.score = np.concatenate([self.score, np.take_along_axis(score, best, 1)], axis=1)
        order = np.argsort(-self.score, axis=1, kind='stable')[:, :self.KEEP]
        self.nearest = np.take_along_axis(self.nearest, order, 1)
        self.score = np.take_along_axis(self.score, order, 1)
        self.count += len(x)

    def right(self, probe, found, limit):
        """How many of the `limit` nearest were found (equal scores count as found)."""
        want = self.nearest[probe, :limit]
        return len(set(want.tolist()) & set(found)) / len(want)

    def right_above(self, probe, found):
        """True when all above the threshold were found and nothing below it, but for scores on the edge."""
        must = {i for i, s in self.above[probe] if s > self.threshold + self.MARGIN}
        may = {i for i, _ in self.above[probe]}
        return must <= set(found) <= may
