"""Everything that accuracy functions count, against an independent computation of the same in numpy, to the last count: on the
real faces where they are, and on synthetic and on awkward templates everywhere."""
import math
import os
import statistics
import sys

try:
    import numpy as np
    import psycopg
except ImportError as e:
    print(f'{e} (python3-numpy, python3-psycopg)')
    sys.exit(77)

import scores
from scores import Templates

GRID = np.arange(-1000, 1001) / 1000


def load(conn, table, t):
    conn.execute(f'DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (id bigint, subject bigint, e face_embedding({t.x.shape[1]}))')
    scores.copy_rows(conn, table, [t.ids.astype('i8'), t.subjects.astype('i8')], t.x)


def of(table, where='true'):
    return f'SELECT id, subject, e FROM {table} WHERE {where}'


def one(conn, query, params=()):
    return conn.execute(query, params).fetchone()


def same(what, got, expected):
    if got != expected:
        raise SystemExit(f'{what}: {got} instead of {expected}')


def check_histogram(conn, what, probes, enrolled, a, b, edges):
    """In one set when enrolled is None."""
    rows = conn.execute('SELECT low, high, non_mated, mated FROM facematch.score_histogram(%s, %s, %s)', [probes, enrolled, list(edges)]).fetchall()
    counts = scores.histogram(a, a if b is None else b, edges, within=b is None)
    same(f'{what}: edges', [r[0] for r in rows[1:]], [float(e) for e in edges])
    same(f'{what}: ends', (rows[0][0], rows[-1][1]), (None, None))
    for kind, name in ((0, 'non-mated'), (1, 'mated')):
        got = np.array([r[2 + kind] for r in rows])
        if not np.array_equal(got, counts[kind]):
            k = int(np.nonzero(got != counts[kind])[0][0])
            raise SystemExit(f'{what}: bin {k} has {got[k]} {name} comparisons instead of {counts[kind][k]}')
    return counts


def wilson(errors, trials, confidence):
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    p = errors / trials
    middle = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    return max(0, middle - half), min(1, middle + half)


def near(what, got, expected, tolerance=1e-12):
    if abs(got - expected) > tolerance * max(1, abs(expected)):
        raise SystemExit(f'{what}: {got} instead of {expected}')


def check_det(conn, what, probes, enrolled, counts):
    """FMR, FNMR, intervals and EER from the counts of the histogram over GRID."""
    false_matches = counts[0][::-1].cumsum()[::-1][1:]
    false_non_matches = counts[1].cumsum()[:-1]
    non_mated, mated = counts.sum(axis=1)
    rows = conn.execute('SELECT * FROM facematch.det(%s, %s, confidence => 0.9)', [probes, enrolled]).fetchall()
    same(f'{what}: DET', [(r[0], r[1], r[2], r[6], r[7]) for r in rows],
         [(float(t), int(non_mated), int(f), int(mated), int(n)) for t, f, n in zip(GRID, false_matches, false_non_matches)])
    for r in rows[::37]:
        for errors, trials, rate, lower, upper in ((r[2], r[1], *r[3:6]), (r[7], r[6], *r[8:11])):
            low, high = wilson(errors, trials, 0.9)
            near(f'{what}: rate', rate, errors / trials)
            near(f'{what}: lower end', lower, low)
            near(f'{what}: upper end', upper, high)
    fmr, fnmr = false_matches / non_mated, false_non_matches / mated
    k = int(np.argmax(fnmr >= fmr))
    share = (fmr[k - 1] - fnmr[k - 1]) / ((fmr[k - 1] - fnmr[k - 1]) - (fmr[k] - fnmr[k]))
    eer, threshold = one(conn, 'SELECT * FROM facematch.eer(%s, %s)', [probes, enrolled])
    near(f'{what}: EER', eer, fmr[k - 1] + share * (fmr[k] - fmr[k - 1]), 1e-9)
    near(f'{what}: its threshold', threshold, GRID[k - 1] + share * 0.001, 1e-9)
    return eer


def check_discard(conn, table, t, threshold):
    """Error versus discard of a measure of quality that knows something: how near a picture is to the mean of its person's."""
    order = np.argsort(t.subjects, kind='stable')
    rows = [g for g in np.split(order, np.nonzero(np.diff(t.subjects[order]))[0] + 1) if len(g) > 1]
    quality = np.full(len(t), -1)
    for group in rows:
        quality[group] = np.clip(100 * (t.unit[group] @ t.unit[group].mean(axis=0)), 0, 100).astype(int)
    pairs = np.array([(a, b) for group in rows for k, a in enumerate(group) for b in group[k + 1:]])
    missed = scores.exact(t, pairs[:, 0], t, pairs[:, 1]) < threshold
    least = quality[pairs].min(axis=1)
    expected = [(int(q), int((least >= q).sum()), int((missed & (least >= q)).sum())) for q in np.unique(least)]
    conn.execute('DROP TABLE IF EXISTS assessed; CREATE TABLE assessed (id bigint, quality bigint)')
    with conn.cursor().copy('COPY assessed FROM STDIN') as copy:
        for row in zip(t.ids.tolist(), quality.tolist()):
            copy.write_row(row)
    query = f'SELECT p.id, p.subject, p.e, nullif(a.quality, -1) FROM {table} p JOIN assessed a USING (id)'
    got = conn.execute('SELECT * FROM facematch.error_versus_discard(%s, %s)', [query, threshold]).fetchall()
    same(f'{table}: error versus discard', [r[:3] for r in got], expected)
    for quality, mated, misses, discarded, fnmr, lower, upper in got:
        near(f'{table}: share left out', discarded, 1 - mated / len(pairs))
        near(f'{table}: FNMR of the others', fnmr, misses / mated)
        low, high = wilson(misses, mated, 0.95)
        near(f'{table}: lower end', lower, low)
        near(f'{table}: upper end', upper, high)
    if not got[0][4] > got[len(got) // 2][4]:
        raise SystemExit(f'{table}: quality makes no difference, so this proves nothing')
    return query


def check_kept_discard(conn, table, query):
    """What calibrate() keeps for the report is the same, at its own thresholds."""
    conn.execute(f"INSERT INTO facematch.model (name, tag, dims) SELECT 'discard', 700, face_dims(e) FROM {table} LIMIT 1")
    kept = conn.execute("SELECT threshold, discard_quality, discard_mated, discard_misses FROM facematch.calibrate('discard', %s, quality => %s)", [of(table), query]).fetchall()
    for threshold, *arrays in kept:
        got = conn.execute('SELECT quality, mated, false_non_matches FROM facematch.error_versus_discard(%s, %s)', [query, threshold]).fetchall()
        same(f'{table}: kept at {threshold}', list(zip(*arrays)), got)
    page = one(conn, "SELECT facematch_internal.page_calibration(facematch_internal.calibration_in_use('discard'), %s)", [kept[1][0]])[0]
    if 'Error versus discard curve' not in page or f'{kept[1][2][0]:,}' not in page:
        raise SystemExit(f'{table}: the report does not show the curve')


def check_searches(conn, what, probes, enrolled, a, b, threshold, rank):
    """Identification rates at a threshold and rank, CMC, and every search one by one."""
    expected = scores.searches(a, b)
    rows = {r[0]: r[1:] for r in conn.execute('SELECT probe_id, compared, mate_similarity, mate_rank, other_similarity FROM facematch.search_set(%s, %s)',
                                              [probes, enrolled])}
    same(f'{what}: searches', rows, {int(i): (len(b), *e) for i, e in zip(a.ids, expected)})
    mated = [e for e in expected if e[1] is not None]
    others = [e for e in expected if e[1] is None]
    misses = sum(e[0] < threshold or e[1] > rank for e in mated)
    positives = sum(e[2] >= threshold for e in others)
    r = one(conn, 'SELECT * FROM facematch.fnir(%s, %s, %s, rank => %s)', [probes, enrolled, threshold, rank])
    same(f'{what}: FNIR', r, (len(mated), misses, misses / len(mated), r[3], r[4]))
    near(f'{what}: FNIR interval', r[4], wilson(misses, len(mated), 0.95)[1])
    r = one(conn, 'SELECT * FROM facematch.fpir(%s, %s, %s)', [probes, enrolled, threshold])
    same(f'{what}: FPIR', r, (len(others), positives, positives / len(others), r[3], r[4]))
    near(f'{what}: FPIR interval', r[3], wilson(positives, len(others), 0.95)[0])
    same(f'{what}: CMC', [r[:3] for r in conn.execute('SELECT * FROM facematch.cmc(%s, %s, 10)', [probes, enrolled])],
         [(k, len(mated), sum(e[1] <= k for e in mated)) for k in range(1, 11)])
    grid = conn.execute('SELECT threshold, false_positives, misses FROM facematch_internal.identification_rates(%s, %s, %s)',
                        [probes, enrolled, [float(t) for t in GRID[::100]]]).fetchall()
    same(f'{what}: rates on a grid', grid, [(float(t), sum(e[2] >= t for e in others), sum(e[0] < t for e in mated)) for t in GRID[::100]])


def check_candidates(conn, what, probes, enrolled, a, b, threshold):
    packed = one(conn, """SELECT coalesce(string_agg(int8send(probe_id) || int8send(enrolled_id) || float8send(similarity) || boolsend(mated), ''), '')
                          FROM facematch.compare_sets(%s, %s, %s)""", [probes, enrolled, threshold])[0]
    found = {(p, e): (s, m) for p, e, s, m in np.frombuffer(packed, '>i8,>i8,>f8,?').tolist()}
    same(f'{what}: candidates', found, scores.candidates(a, a if b is None else b, threshold, within=b is None))
    return len(found)


def splitmix(seed, n):
    z = np.uint64(seed) + np.arange(1, n + 1, dtype='u8') * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def check_bootstrap(conn, what, probes, a, threshold, replicates=200, seed=7, confidence=0.9):
    """The same subjects drawn, and the rates computed from weights of single comparisons."""
    order = np.argsort(a.ids)
    _, first, place = np.unique(a.subjects[order], return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first))[place]           # subjects in the order in which they are met
    subject = np.empty(len(a), int)
    subject[order] = place
    n = len(first)
    mates = scores.candidates(a, a, -1, within=True) if len(a) < 100 else None
    hits = scores.candidates(a, a, threshold, within=True)
    index = {int(i): k for k, i in enumerate(a.ids)}
    false = np.array([(subject[index[p]], subject[index[e]]) for (p, e), (_, m) in hits.items() if not m]).reshape(-1, 2)
    templates = np.bincount(subject, minlength=n)
    pairs = templates * (templates - 1) // 2
    right = np.bincount([subject[index[p]] for (p, e), (_, m) in hits.items() if m], minlength=n)
    if mates is not None:
        same(f'{what}: mated pairs', int(pairs.sum()), sum(m for _, m in mates.values()))
    drawn = ((splitmix(seed, n * replicates) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)
    fmr, fnmr = [], []
    for w in (np.bincount(d, minlength=n) for d in drawn.reshape(replicates, n).astype(int)):
        total = ((w * templates).sum() ** 2 - ((w * templates) ** 2).sum()) / 2
        fmr.append((w[false[:, 0]] * w[false[:, 1]]).sum() / total)
        fnmr.append((w * (pairs - right)).sum() / (w * pairs).sum())
    tail = (1 - confidence) / 2
    low, high = math.floor(tail * (replicates - 1)), math.ceil((1 - tail) * (replicates - 1))
    r = one(conn, 'SELECT * FROM facematch.bootstrap_rates(%s, NULL, %s, %s, %s, %s)', [probes, threshold, replicates, confidence, seed])
    total = (templates.sum() ** 2 - (templates ** 2).sum()) // 2
    same(f'{what}: bootstrap counts', (r[0], r[1], r[2], r[6], r[7]), (n, int(total), len(false), int(pairs.sum()), int((pairs - right).sum())))
    for name, got, value in (('FMR lower', r[4], sorted(fmr)[low]), ('FMR upper', r[5], sorted(fmr)[high]),
                             ('FNMR lower', r[9], sorted(fnmr)[low]), ('FNMR upper', r[10], sorted(fnmr)[high])):
        near(f'{what}: bootstrap {name}', got, value, 1e-9)


def check_published_intervals(conn):
    """Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I, method 3."""
    for errors, trials, lower, upper in ((81, 263, .2553, .3662), (15, 148, .0624, .1605), (0, 20, 0, .1611), (1, 29, .0061, .1718)):
        same(f'Wilson interval of {errors}/{trials}', tuple(round(v, 4) for v in one(conn, 'SELECT lower, upper FROM facematch.rate_interval(%s, %s)', [errors, trials])),
             (lower, upper))
    for confidence in (1e-9, 0.05, 0.4, 0.5, 0.9, 0.95, 0.999, 0.99999):
        for errors, trials in ((0, 20), (3, 100), (5000, 10 ** 6), (7, 7)):
            got = one(conn, 'SELECT lower, upper FROM facematch.rate_interval(%s, %s, %s)', [errors, trials, confidence])
            for side, value, expected in zip(('lower', 'upper'), got, wilson(errors, trials, confidence)):
                near(f'{side} end at {confidence} of {errors}/{trials}', value, expected, 1e-9)
    near('rule of 3', one(conn, 'SELECT below FROM facematch.rate_interval(0, 1000)')[0], 3 / 1000, 1e-5)
    same('rule of 30', [one(conn, 'SELECT sure FROM facematch.rate_interval(%s, %s)', pair)[0] for pair in ((29, 10000), (30, 10000), (980, 1000))], [False, True, False])


def folds_accuracy(fold, mated, score):
    """Ten-fold accuracy by trying every threshold on the training pairs."""
    result = []
    for f in sorted(set(fold)):
        train, test = fold != f, fold == f
        tried = np.unique(score[train])
        m, n = np.sort(score[train & mated]), np.sort(score[train & ~mated])
        right = len(m) - np.searchsorted(m, tried) + np.searchsorted(n, tried)
        best = tried[np.argmax(right)]
        result.append((int(f), float(best), int(test.sum()), int(((score >= best) == mated)[test].sum())))
    return result


def check_folds(conn, t, ordinal):
    pairs = np.loadtxt(scores.faces_dir() / 'pairs.tsv', dtype=int, skiprows=1)
    i, j, mated, fold = pairs[:, 0], pairs[:, 1], pairs[:, 2] == 1, pairs[:, 3]
    score = scores.exact(t, i, t, j)
    expected = folds_accuracy(fold, mated, score)
    conn.execute('CREATE TEMP TABLE pair (a bigint, b bigint, mated boolean, fold int)')
    with conn.cursor().copy('COPY pair FROM STDIN') as copy:
        for row in zip(i, j, mated, fold):
            copy.write_row([v.item() for v in row])
    rows = conn.execute("""SELECT v.fold, v.threshold, v.pairs, v.correct, v.accuracy
        FROM (SELECT array_agg(fold) AS fold, array_agg(p.mated) AS mated, array_agg(face_similarity(a.e, b.e)) AS score
              FROM pair p JOIN face a ON a.id = p.a JOIN face b ON b.id = p.b) x,
             facematch.verification_accuracy(x.fold, x.mated, x.score) v""").fetchall()
    same('10-fold accuracy', [r[:4] for r in rows], expected)
    mean = statistics.mean(r[4] for r in rows)
    near('its mean', mean, statistics.mean(c / n for _, _, n, c in expected))
    print(f'10-fold accuracy {100 * mean:.2f} ± {100 * statistics.stdev(r[4] for r in rows):.2f} % over {len(pairs)} pairs')


def check_small_memory(conn, what, table, t):
    """Blocks that do not fit are read again; the answer does not change.  Nor with other kernels."""
    conn.execute("SET maintenance_work_mem = '1MB'")
    counts = check_histogram(conn, f'{what}, 1 MB', of(table), None, t, None, GRID)
    check_histogram(conn, f'{what}, 1 MB, two sets', of(table), of(table), t, t, GRID[::10])
    conn.execute('RESET maintenance_work_mem')
    conn.execute("SET facematch.simd = 'portable'")
    same('another kernel', check_histogram(conn, what, of(table), None, t, None, GRID).tolist(), counts.tolist())
    conn.execute('RESET facematch.simd')


def awkward(rng, dims, n):
    """Few subjects, equal templates, opposite ones, all lengths; and edges that are scores."""
    x = rng.standard_normal((n, dims)) + 0.7 * rng.standard_normal((7, dims))[rng.integers(0, 7, n)]
    x *= 10.0 ** rng.uniform(-3, 3, (n, 1))
    x = x.astype('f2')
    x[np.abs(x).max(axis=1) == 0] = 1
    x[n // 2] = x[0]
    x[n // 2 + 1] = -x[1]
    return Templates(x, rng.permutation(n) * 3 - 50, rng.integers(0, n // 4 + 1, n))


def check_awkward(conn):
    rng = np.random.default_rng(3)
    for dims in (1, 3, 31, 32, 33, 130, 512, 1030):
        a, b = awkward(rng, dims, 60), awkward(rng, dims, 41)
        load(conn, 'one', a)
        load(conn, 'two', b)
        own = scores.exact(a, rng.integers(0, 60, 50), b, rng.integers(0, 41, 50))
        edges = np.unique(np.concatenate([own, [-1, 0, 1]]))
        check_histogram(conn, f'{dims} dimensions', of('one'), of('two'), a, b, edges)
        check_histogram(conn, f'{dims} dimensions within', of('one'), None, a, None, edges)
        check_candidates(conn, f'{dims} dimensions', of('one'), of('two'), a, b, float(own[0]))
        check_candidates(conn, f'{dims} dimensions within', of('one'), None, a, None, -1.0)
        check_searches(conn, f'{dims} dimensions', of('one'), of('two'), a, b, float(own[0]), 3)
        check_bootstrap(conn, f'{dims} dimensions', of('one'), a, float(own[0]))
    same('nothing', conn.execute('SELECT non_mated, mated FROM facematch.score_histogram(%s, NULL, %s)', [of('one', 'false'), [0.0]]).fetchall(), [(0, 0), (0, 0)])
    same('no errors, no rate', one(conn, 'SELECT fmr, fmr_upper, fnmr FROM facematch.det(%s, thresholds => %s)', [of('one', 'false'), [0.0]]), (None, None, None))


def synthetic(rng):
    """600 subjects with one to four pictures, overlapping as real ones do."""
    subjects = np.repeat(np.arange(600), rng.integers(1, 5, 600))
    x = rng.standard_normal((600, 96))[subjects] + 0.9 * rng.standard_normal((len(subjects), 96))
    return Templates(x.astype('f2'), np.arange(len(subjects)), subjects)


def check_ranks(conn):
    """A bad model, several pictures a person: who stands before all the mates does not fit into memory, and is counted in several passes."""
    rng = np.random.default_rng(11)
    subjects = np.repeat(np.arange(600), 4)
    x = (rng.standard_normal((600, 40))[subjects] + 4 * rng.standard_normal((len(subjects), 40))).astype('f2')
    probe = np.arange(len(x)) % 4 == 0
    t = Templates(x, np.arange(len(x)), subjects)
    load(conn, 'bad', t)
    conn.execute("SET maintenance_work_mem = '1MB'")
    enrolled = ~probe & (subjects < 500)
    check_searches(conn, 'a bad model', of('bad', 'id % 4 = 0'), of('bad', 'id % 4 > 0 AND subject < 500'), t.only(probe), t.only(enrolled), 0.2, 50)
    conn.execute('RESET maintenance_work_mem')


def check_set(conn, table, t, threshold):
    counts = check_histogram(conn, table, of(table), None, t, None, GRID)
    eer = check_det(conn, table, of(table), None, counts)
    found = check_candidates(conn, table, of(table), None, t, None, threshold + 0.1)
    print(f'{table}: {counts[0].sum()} non-mated and {counts[1].sum()} mated comparisons, EER {100 * eer:.3f} %, {found} candidates')


def main():
    with psycopg.connect(f"dbname={os.environ.get('PGDATABASE', 'postgres')}", autocommit=True) as conn:
        check_published_intervals(conn)
        check_awkward(conn)
        made = synthetic(np.random.default_rng(5))
        load(conn, 'made', made)
        check_set(conn, 'made', made, 0.4)
        check_bootstrap(conn, 'made', of('made'), made, 0.3)
        check_ranks(conn)
        check_small_memory(conn, 'made', 'made', made)
        check_kept_discard(conn, 'made', check_discard(conn, 'made', made, 0.4))
        real = scores.real_faces()
        if real is None:
            print('the real faces are not here (FACES_DIR): only synthetic ones were counted')
            return 0
        x, subjects, ordinals = real
        faces = Templates(x, np.arange(len(x)), subjects)
        load(conn, 'face', faces)
        conn.execute('ALTER TABLE face ADD ordinal int')
        check_set(conn, 'face', faces, 0.35)
        check_discard(conn, 'face', faces, 0.45)
        check_folds(conn, faces, ordinals)
        # a gallery of 1,000 subjects, searched with all their other pictures and with 1,500 of people who are not in it
        first = {}
        for row, s in enumerate(subjects):
            first.setdefault(int(s), row)
        gallery = np.array([row for s, row in sorted(first.items()) if s < 1000])
        probes = np.array([row for row in range(len(x)) if row not in set(gallery.tolist()) and (subjects[row] < 1000 or row % 5 == 0)])
        ids = ','.join(map(str, gallery))
        check_searches(conn, 'gallery of 1,000', of('face', f'id = ANY (ARRAY[{",".join(map(str, probes))}])'), of('face', f'id IN ({ids})'),
                       faces.only(probes), faces.only(gallery), 0.42, 5)
    return 0


if __name__ == '__main__':
    sys.exit(main())
