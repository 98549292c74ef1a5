"""A target FPIR of 1:1,000 on real galleries of 100, 420 and 3,000 references, calibrated on some subjects and probed with others:
the rate holds within its interval, and what identify() answers is what numpy says at the threshold that numpy finds."""
import math
import os
import sys

try:
    import numpy as np
    import psycopg
except ImportError as e:
    print(f'{e} (python3-numpy, python3-psycopg)')
    sys.exit(77)

import scores
from scores import Templates
from test_accuracy import load, near, one, same, wilson

TARGET = 0.001
SIZES = (100, 420, 3000)
PROBE_SUBJECTS = 844            # what 3,844 subjects leave when 3,000 are enrolled


def calibrated(conn, t):
    """The calibration's DET by numpy, and that the extension has the same."""
    grid = np.arange(-1000, 1001) / 1000
    counts = scores.histogram(t, t, grid, within=True)
    conn.execute("INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, %s)", [t.x.shape[1]])
    rows = conn.execute("SELECT fmr, threshold, basis, false_matches, false_non_matches FROM facematch.calibrate('m', 'SELECT id, subject, e FROM calibrate')").fetchall()
    false_matches, false_non_matches = counts[0][::-1].cumsum()[::-1][1:], counts[1].cumsum()[:-1]
    total = int(counts[0].sum())
    for fmr, threshold, basis, matches, non_matches in rows:
        allowed = math.floor(fmr * total)
        k = int(np.argmax(false_matches <= allowed))
        same(f'basis at FMR {fmr}', basis, 'measured' if fmr * total >= 30 else 'sparse' if fmr * total >= 1 else 'extrapolated')
        if basis != 'extrapolated':
            same(f'threshold at FMR {fmr}', (threshold, matches, non_matches), (float(grid[k]), int(false_matches[k]), int(false_non_matches[k])))
    return grid, false_matches, total


def expected_threshold(calibration, size):
    """By the counts themselves; None where fewer than one false match may happen."""
    grid, false_matches, total = calibration
    allowed = (1 - (1 - TARGET) ** (1 / size)) * total
    return float(grid[int(np.argmax(false_matches <= math.floor(allowed)))]) if allowed >= 1 else None


def check_gallery(conn, size, calibration, probes, enrolled):
    name = f'gallery of {size}'
    gallery_id = one(conn, "INSERT INTO facematch.gallery (name, kind, model, target_fpir) VALUES (%s, 'watchlist', 'm', %s) RETURNING gallery_id", [name, TARGET])[0]
    thresholds = []
    # grows in two steps: the threshold follows
    for part in (enrolled.ids[:size // 2], enrolled.ids[size // 2:size]):
        conn.execute("""INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
            SELECT %s, md5(subject::text)::uuid, 'watchlist', e, 'test' FROM template WHERE id = ANY (%s)""", [gallery_id, [int(i) for i in part]])
        thresholds.append(one(conn, 'SELECT threshold FROM facematch.report_operating_point WHERE gallery_id = %s', [gallery_id])[0])
        at = size // 2 if len(thresholds) == 1 else size
        expected = expected_threshold(calibration, at)
        if expected is not None:
            near(f'{name}: threshold at {at}', thresholds[-1], expected)
    if not thresholds[0] < thresholds[1]:
        raise SystemExit(f'{name}: the threshold does not grow: {thresholds}')
    positives, = one(conn, """SELECT count(*) FILTER (WHERE EXISTS (SELECT FROM facematch.identify(t.e, %s, 1)))
        FROM template t WHERE t.id = ANY (%s)""", [name, [int(i) for i in probes.ids]])
    best = np.array([e[2] for e in scores.searches(probes, enrolled.only(slice(0, size)))])
    same(f'{name}: false positives by identify()', positives, int((best >= thresholds[1]).sum()))
    lower, upper = wilson(positives, len(probes), 0.95)
    print(f'{name}: threshold {thresholds[1]:.3f}, {positives} false positives in {len(probes)} searches, FPIR {positives / len(probes):.5f} [{lower:.5f}, {upper:.5f}]')
    # what a threshold for one comparison would do: the check can fail
    blind = one(conn, "SELECT (facematch_internal.threshold_at_fmr(facematch_internal.calibration_in_use('m'), %s)).threshold", [TARGET])[0]
    if not wilson(int((best >= blind).sum()), len(probes), 0.95)[0] > TARGET:
        raise SystemExit(f'{name}: a threshold of FMR {TARGET} would do as well, so this proves nothing')
    if lower > TARGET:
        raise SystemExit(f'{name}: the FPIR is above {TARGET}')


def split(t, seed):
    """Probes of some subjects; one reference of each of the others, most of whom calibrate as well, with all their pictures."""
    rng = np.random.default_rng(seed)
    subjects = rng.permutation(np.unique(t.subjects))
    probe = np.isin(t.subjects, subjects[:PROBE_SUBJECTS])
    rest = np.nonzero(~probe)[0]
    _, first = np.unique(t.subjects[rest], return_index=True)
    return t.only(np.nonzero(probe)[0]), t.only(rest), t.only(rng.permutation(rest[first]))


def main():
    real = scores.real_faces()
    if real is None:
        print('the real faces are not here (FACES_DIR)')
        return 77
    t = Templates(real[0], np.arange(len(real[0])), real[1])
    probes, others, enrolled = split(t, 1)
    with psycopg.connect(f"dbname={os.environ.get('PGDATABASE', 'postgres')}", autocommit=True) as conn:
        load(conn, 'template', t)
        conn.execute('CREATE TABLE calibrate AS SELECT * FROM template WHERE id = ANY (%s)', [[int(i) for i in others.ids]])
        conn.execute('CREATE INDEX ON facematch.reference USING facematch (gallery_id, embedding)')
        calibration = calibrated(conn, others)
        for size in SIZES:
            check_gallery(conn, size, calibration, probes, enrolled)
    return 0


if __name__ == '__main__':
    sys.exit(main())
