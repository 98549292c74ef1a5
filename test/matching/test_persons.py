#!/usr/bin/env python3
"""identify() by person equals numpy's list, to the last place and score, by the best of a person's references and by the mean of all:
persons of 1 to 8 references, ties, persons who were merged, by the face index, by B-tree and by sequential scan; on synthetic templates, and on the real faces where they are.

    test_persons.py [--searches N]      in all (default 600; 20,000 with LONG=1)
"""
import argparse
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

MOST = 8                        # references of a person
THRESHOLDS = (-1.0, 0.0, 0.2, 0.4, 0.4, 0.6, None, None)       # None: the gallery's, 0.3
AT_ONCE = 500                   # searches whose scores numpy computes together
LIMITS = (1, 2, 10, 10, 10, 100)
PLANS = {'B-tree': 'enable_seqscan', 'sequential scan': 'enable_indexscan enable_bitmapscan', 'face index': 'enable_seqscan'}


def synthetic(rng, persons, dims):
    """References and probes; a tenth of the references are another person's as well, to the bit."""
    count = rng.integers(1, MOST + 1, persons)
    subjects = np.repeat(np.arange(persons), count + 1)
    x = (rng.standard_normal((persons, dims))[subjects] + 0.8 * rng.standard_normal((len(subjects), dims))).astype('f2')
    probe = np.zeros(len(subjects), bool)
    probe[np.concatenate([[0], np.cumsum(count + 1)[:-1]])] = True
    copies = rng.permutation(np.nonzero(~probe)[0])[:persons // 2 * 2].reshape(2, -1)
    x[copies[1]] = x[copies[0]]
    # And some probes are such a reference.
    some = np.nonzero(probe)[0][::7]
    x[some] = x[copies[0][:len(some)]]
    return x, subjects, probe


def real():
    """A picture of each person who has two searches among the others, of which no more than eight are enrolled."""
    found = scores.real_faces()
    if found is None:
        return None
    x, subjects, ordinals = found
    count = np.bincount(subjects)[subjects]
    kept = ordinals <= MOST
    return x[kept], subjects[kept], ((ordinals == 0) & (count > 1))[kept]


def fill(conn, name, x, subjects, probe, rng):
    conn.execute("""DROP TABLE IF EXISTS given; CREATE TABLE given (id bigint PRIMARY KEY, subject bigint, e face_embedding)""")
    scores.copy_rows(conn, 'given', [np.arange(len(x), dtype='i8'), subjects.astype('i8')], x)
    conn.execute("INSERT INTO facematch.model (name, tag, dims) SELECT %s, max(coalesce(m.tag, 0)) + 1, %s FROM (SELECT tag FROM facematch.model UNION ALL SELECT 0) m",
                 [name, x.shape[1]])
    conn.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES (%s, 'enrolment', %s, 0.3)", [name, name])
    enrolled = np.nonzero(~probe)[0]
    given = conn.execute("""WITH stored AS (
            INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, quality)
            SELECT g.gallery_id, md5(%s || t.subject)::uuid, 'watchlist', t.e, 'given ' || t.id, NULL
            FROM given t, facematch.gallery g WHERE g.name = %s AND t.id = ANY (%s) ORDER BY random() RETURNING reference_id, source)
        SELECT reference_id, substr(source, 7)::bigint FROM stored""", [name, name, enrolled.tolist()]).fetchall()
    reference_of = dict((row, reference) for reference, row in given)
    person = subjects.copy()
    # Some are one person under two pseudonyms.
    twice = rng.permutation(np.unique(subjects))[:20].reshape(-1, 2)
    for kept, merged in twice.tolist():
        conn.execute('SELECT facematch.merge_subjects(md5(%s || %s)::uuid, md5(%s || %s)::uuid)', [name, str(kept), name, str(merged)])
        person[subjects == merged] = kept
    conn.execute('ANALYZE facematch.reference')
    return enrolled, np.array([reference_of[row] for row in enrolled]), person


class Gallery:
    """References in order of person and number; numpy's lists of persons."""

    def __init__(self, t, rows, references, persons):
        order = np.lexsort((references, persons))
        self.t, self.rows, self.references, self.persons = t, rows[order], references[order], persons[order]
        self.starts = np.unique(self.persons, return_index=True)[1]
        self.counts = np.diff(np.append(self.starts, len(order)))
        self.place = np.repeat(np.arange(len(self.starts)), self.counts)

    def fused(self, score, by):
        if by == 'subject':
            return np.maximum.reduceat(score, self.starts)
        # One after the other, in order of the numbers: not as numpy adds.
        total = np.zeros(len(self.starts))
        for k in range(self.counts.max()):
            some = self.counts > k
            total[some] += score[self.starts[some] + k]
        return total / self.counts

    def decisive(self, row, score, by, threshold, most):
        """Scores in double precision, and those of the type where it matters: at the threshold, and from the last place of the list on."""
        fused = self.fused(score, by)
        last = np.sort(fused)[::-1][min(most, len(fused)) - 1]
        matters = (fused >= last - scores.NEAR) | (np.abs(fused - threshold) < scores.NEAR)
        near = np.nonzero(matters[self.place] | (np.abs(score - threshold) < scores.NEAR))[0]
        decided = score.copy()
        decided[near] = scores.exact(self.t, np.full(len(near), row), self.t, self.rows[near])
        assert np.abs(decided[near] - score[near]).max(initial=0) < scores.NEAR / 2, 'the double-precision scores are not near enough'
        return decided

    def search(self, row, score, by, threshold, most):
        """Rank, reference, score and matches of the best persons."""
        score = self.decisive(row, score, by, threshold, most)
        fused = self.fused(score, by)
        # The first reference stands for a mean, the best one (the first of equals) for the best.
        told = self.starts if by == 'mean' else self.starts + [int(np.argmax(score[s:s + n])) for s, n in zip(self.starts, self.counts)]
        matches = np.add.reduceat(score >= threshold, self.starts, dtype=int)
        reach = np.nonzero(fused >= threshold)[0]
        best = reach[np.lexsort((self.references[told[reach]], -fused[reach]))][:most]
        return [(rank, int(self.references[told[p]]), float(fused[p]), int(matches[p])) for rank, p in enumerate(best, 1)]


def check_plan(conn, plan, before):
    """The plan was the one that is meant.  All of a person's references are found by the B-tree of subjects beside the face index."""
    conn.execute('SELECT pg_stat_force_next_flush()')
    after = counters(conn)
    used = {kind for kind in after if after[kind] > before[kind]}
    if not {plan} <= used <= ({plan, 'B-tree'} if plan == 'face index' else {plan}):
        raise SystemExit(f'searches by {plan} were by {used}')


def counters(conn):
    rows = conn.execute("""SELECT CASE WHEN a.amname = 'facematch' THEN 'face index' ELSE 'B-tree' END, sum(pg_stat_get_numscans(i.indexrelid))
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
        WHERE i.indrelid = 'facematch.reference'::regclass GROUP BY 1""").fetchall()
    found = {'face index': 0, **{kind: int(n) for kind, n in rows}}
    found['sequential scan'] = conn.execute("SELECT pg_stat_get_numscans('facematch.reference'::regclass)").fetchone()[0]
    return found


def search(conn, name, row, most, threshold, by):
    return conn.execute('SELECT i.rank, i.reference_id, i.similarity, i.matches, i.subject_id FROM given t, facematch.identify(t.e, %s, %s, %s, %s) i WHERE t.id = %s'
                        ' ORDER BY i.rank', [name, most, threshold, by, row]).fetchall()


def check(name, x, subjects, probe, searches, rng):
    with psycopg.connect(autocommit=True) as conn:
        conn.execute('DROP INDEX IF EXISTS facematch.facematch_reference_face_idx')
        enrolled, references, person = fill(conn, name, x, subjects, probe, rng)
        subject_of = dict(conn.execute('SELECT reference_id, subject_id FROM facematch.reference').fetchall())
    t = Templates(x, np.arange(len(x)), subjects)
    probes = np.nonzero(probe)[0]
    gallery = Gallery(t, enrolled, references, person[enrolled])
    ties = 0
    for plan, off in PLANS.items():
        # A session of its own: the plan of a search is made once.
        with psycopg.connect(autocommit=True) as conn:
            if plan == 'face index':
                conn.execute('CREATE INDEX facematch_reference_face_idx ON facematch.reference USING facematch (gallery_id, embedding)')
            conn.execute('SET facematch.account_searches = off; SET stats_fetch_consistency = none; SET jit = off')
            for setting in off.split():
                conn.execute(f'SET {setting} = off')
            conn.execute('SELECT pg_stat_force_next_flush()')
            before = counters(conn)
            for place, row in enumerate(rows := rng.choice(probes, searches)):
                if place % AT_ONCE == 0:
                    strip = np.clip(t.unit[rows[place:place + AT_ONCE]] @ t.unit[gallery.rows].T, -1, 1)
                most, threshold = int(rng.choice(LIMITS)), rng.choice(np.array(THRESHOLDS, object))
                by = 'mean' if place % 3 == 0 else 'subject'
                wanted = gallery.search(row, strip[place % AT_ONCE], by, 0.3 if threshold is None else threshold, most)
                got = search(conn, name, int(row), most, threshold, by)
                ties += any(a[2] == b[2] for a, b in zip(wanted, wanted[1:]))
                if [r[:4] for r in got] != wanted or any(r[4] != subject_of[r[1]] for r in got):
                    k = next((k for k, (a, b) in enumerate(zip(got, wanted)) if a[:4] != b), min(len(got), len(wanted)))
                    raise SystemExit(f'{name}, {plan}: probe {row}, {most} persons by {by} from {threshold}: {got[k:k + 2]} at place {k} instead of {wanted[k:k + 2]}')
            check_plan(conn, plan, before)
    print(f'{name}: {len(enrolled)} references of {len(np.unique(person[enrolled]))} persons, {searches} searches by each plan, {ties} of them with ties')
    return ties


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--searches', type=int, default=20_000 if os.environ.get('LONG') else 600)
    parser.add_argument('--seed', type=int, default=7)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    sets = {'synthetic': synthetic(rng, 300, 64), 'real faces': real()}
    present = {name: found for name, found in sets.items() if found is not None}
    ties = sum(check(name, *found, -(-args.searches // (len(present) * len(PLANS))), rng) for name, found in present.items())
    if ties == 0:
        raise SystemExit('no search had a tie: this proves nothing about them')
    if len(present) < len(sets):
        print('the real faces are not here (FACES_DIR): only synthetic ones were searched')


if __name__ == '__main__':
    main()
