"""A target FPIR of 1:1,000 on real galleries of 100, 420 and 3,000 references, calibrated on some subjects and probed with others:
the rate holds within its interval, and what identify() answers is what numpy says at the threshold that numpy finds.  And of 1:100 on a
gallery of persons with four pictures each, which a calibration counts as persons."""
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
GRID = np.arange(-1000, 1001) / 1000
SIZES = (100, 420, 3000)
PROBE_SUBJECTS = 844            # what 3,844 subjects leave when 3,000 are enrolled
PICTURES = 4
PERSONS_TARGET = 0.01
SPLITS = 6


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


def person_matches(t, pictures, lowest):
    """Of pairs of a picture and another person: how many reach each threshold with the best of so many pictures, expected over all choices of these."""
    subject, place, count = np.unique(t.subjects, return_inverse=True, return_counts=True)
    enough = count >= pictures
    comparisons = int(sum(len(t) - n for n in count[enough]))
    columns = np.nonzero(enough[place])[0]
    pairs, found = [], []
    for i, score, _, mated in scores.strips(t, t.only(columns)):
        rows, cols = np.nonzero((score > lowest - scores.NEAR) & ~mated)
        pairs.append(i[rows] * len(subject) + place[columns[cols]])
        found.append(scores.exact(t, i[rows], t, columns[cols]))
    pairs, pair = np.unique(np.concatenate(pairs), return_inverse=True)
    found, size = np.concatenate(found), count[pairs % len(subject)]
    matches = np.zeros(len(GRID))
    for k in np.nonzero(GRID >= lowest)[0]:
        # Of a person's n pictures c reach the threshold: the best of m does unless all m are of the others.
        reach = np.bincount(pair[found >= GRID[k]], minlength=len(pairs))
        for c, n in zip(reach[reach > 0].tolist(), size[reach > 0].tolist()):
            matches[k] += 1 - math.comb(n - c, pictures) / math.comb(n, pictures)
    return comparisons, matches


def of_persons(t, seed):
    """One half of the subjects calibrates.  Of the other, who has enough pictures is enrolled with them, and the others are searched for."""
    rng = np.random.default_rng(seed)
    subjects = rng.permutation(np.unique(t.subjects))
    calibrates = np.isin(t.subjects, subjects[:len(subjects) // 2])
    count = np.unique(t.subjects, return_counts=True)[1][np.searchsorted(np.unique(t.subjects), t.subjects)]
    enrolled = np.concatenate([rng.permutation(np.nonzero(t.subjects == s)[0])[:PICTURES] for s in np.unique(t.subjects[~calibrates & (count >= PICTURES)])])
    return t.only(np.nonzero(calibrates)[0]), t.only(enrolled), t.only(np.nonzero(~calibrates & (count < PICTURES))[0])


def check_matches(conn, calibrates, rate):
    """What calibrate() has counted of persons, and the threshold for a rate of them."""
    stored = conn.execute("SELECT threshold, comparisons, matches FROM facematch_internal.calibration_person WHERE pictures = %s ORDER BY threshold", [PICTURES]).fetchall()
    lowest = stored[0][0] - 0.001
    comparisons, matches = person_matches(calibrates, PICTURES, lowest)
    same('comparisons with persons', {r[1] for r in stored}, {comparisons})
    for threshold, _, count in stored:
        near(f'matches of persons at {threshold}', count, matches[int(np.nonzero(GRID == threshold)[0][0])], 1e-6)
    return float(next(g for g, m in zip(GRID, matches) if g > lowest and m <= rate * comparisons))


def check_persons(conn, t, seed):
    """Searches, and false positives at the threshold for as many references as persons, for these persons, and for as many as pictures."""
    calibrates, enrolled, probes = of_persons(t, seed)
    persons = len(enrolled) // PICTURES
    ids = lambda which: [int(i) for i in which.ids]
    conn.execute('DELETE FROM facematch.gallery; DELETE FROM facematch_internal.calibration')
    conn.execute("SELECT count(*) FROM facematch.calibrate('m', %s)", [f'SELECT id, subject, e FROM template WHERE id IN ({str(ids(calibrates))[1:-1]})'])
    gallery_id = one(conn, "INSERT INTO facematch.gallery (name, kind, model, target_fpir) VALUES ('persons', 'watchlist', 'm', %s) RETURNING gallery_id", [PERSONS_TARGET])[0]
    conn.execute("""INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
        SELECT %s, md5(subject::text)::uuid, 'watchlist', e, 'test' FROM template WHERE id = ANY (%s)""", [gallery_id, ids(enrolled)])
    threshold, *size = one(conn, 'SELECT threshold, live_references, live_persons FROM facematch.report_operating_point WHERE gallery_id = %s', [gallery_id])
    same('the gallery', size, [len(enrolled), persons])
    best = np.array([e[2] for e in scores.searches(probes, enrolled)])
    if seed == 1:
        near('threshold of persons', threshold, check_matches(conn, calibrates, 1 - (1 - PERSONS_TARGET) ** (1 / persons)))
        positives, = one(conn, "SELECT count(*) FILTER (WHERE EXISTS (SELECT FROM facematch.identify(t.e, 'persons', 1))) FROM template t WHERE t.id = ANY (%s)", [ids(probes)])
        same('persons: false positives by identify()', positives, int((best >= threshold).sum()))
    by_size = [one(conn, "SELECT threshold FROM facematch.threshold_for('m', %s, %s)", [PERSONS_TARGET, n])[0] for n in (persons, len(enrolled))]
    if not by_size[0] < threshold <= by_size[1]:
        raise SystemExit('persons: the threshold is not between the two')
    return np.array([len(probes), *((best >= at).sum() for at in (by_size[0], threshold, by_size[1]))])


def check_all_persons(conn, t):
    searches, *positives = sum(check_persons(conn, t, seed) for seed in range(1, SPLITS + 1))
    rates = [wilson(int(p), int(searches), 0.95) for p in positives]
    print(f'persons of {PICTURES} pictures, {searches} searches, target {PERSONS_TARGET}: FPIR by as many references as persons, by persons, by as many references as pictures:',
          ', '.join(f'{p / searches:.4f} [{low:.4f}, {high:.4f}]' for p, (low, high) in zip(positives, rates)))
    if not rates[0][0] > PERSONS_TARGET:
        raise SystemExit('persons: counting them as references would do as well, so this proves nothing')
    if rates[1][0] > PERSONS_TARGET:
        raise SystemExit('persons: the FPIR is above the target')
    if not positives[1] > positives[2]:
        raise SystemExit('persons: not nearer to the target than by counting pictures')


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
        calibration = calibrated(conn, others)
        for size in SIZES:
            check_gallery(conn, size, calibration, probes, enrolled)
        check_all_persons(conn, t)
    return 0


if __name__ == '__main__':
    sys.exit(main())
