#!/usr/bin/python3
"""Several pictures of a person.

    script/bench persons.py time        identify() by person and by reference, in a gallery of 420 persons with 3 references each
    bench/persons.py errors             FNIR at fixed FPIR with 1, 2 and 4 pictures a person, on the real faces ($FACES_DIR), in numpy

errors: each mated search is of a picture that is not enrolled; each non-mated search is of a person who is not.  The threshold of a
row is the one at which that very gallery has the FPIR, so that rows are compared at equal FPIR."""
import argparse
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'test' / 'lib'))
import scores

PERSONS = 420
REFERENCES = 3


### errors

def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def fused(score, gallery, how):
    """Scores of each probe (rows) with each person, from those with all their pictures."""
    if how == 'best':
        return score.max(axis=2)
    return score.mean(axis=2)


def errors(args):
    real = scores.real_faces()
    if real is None:
        raise SystemExit('the real faces are not here (FACES_DIR)')
    x, subjects, _ = real
    x = unit(x.astype('f8'))
    most = max(args.pictures)
    rng = np.random.default_rng(args.seed)
    found = {}
    for _ in range(args.splits):
        rows = [rng.permutation(np.nonzero(subjects == s)[0]) for s in np.unique(subjects)]
        # The same persons whatever the number of pictures: those who have one more than is ever enrolled.
        persons = [r for r in rows if len(r) > most]
        strangers = np.concatenate([r[:1] for r in rows if len(r) <= most])
        probes = [r[most:most + args.probes] for r in persons]
        owner = np.repeat(np.arange(len(persons)), [len(p) for p in probes])
        probes = np.concatenate(probes)
        for n in args.pictures:
            gallery = np.array([r[:n] for r in persons])
            for how in ('best',) if n == 1 else ('best', 'mean', 'avg'):
                if how == 'avg':
                    g = unit(x[gallery].mean(axis=1))
                    non_mated, mated = x[strangers] @ g.T, x[probes] @ g.T
                else:
                    flat = x[gallery.ravel()].T
                    non_mated, mated = (fused((x[p] @ flat).reshape(len(p), len(persons), n), g, how)
                                        for p, g in ((strangers, gallery), (probes, gallery)))
                tops = np.sort(non_mated.max(axis=1))[::-1]
                for fpir in args.fpir:
                    threshold = tops[int(fpir * len(tops))]       # the first that may not reach it: only those above do
                    right = (mated[np.arange(len(probes)), owner] > threshold) & (mated.argmax(axis=1) == owner)
                    found.setdefault((n, how, fpir), []).append((int((~right).sum()), len(right), threshold))
    print(f'{len(persons)} persons, {len(probes)} mated and {len(strangers)} non-mated searches a split, {args.splits} splits\n')
    print('| pictures | fusion | ' + ' | '.join(f'FNIR at FPIR {f:g}' for f in args.fpir) + ' |')
    print('|---|---|' + '---|' * len(args.fpir))
    names = {'best': 'best of the references', 'mean': 'mean of the scores', 'avg': 'one template, `avg()`'}
    for n, how in dict.fromkeys(k[:2] for k in found):
        cells = []
        for fpir in args.fpir:
            tried = found[n, how, fpir]
            cells.append(f'{100 * sum(t[0] for t in tried) / sum(t[1] for t in tried):.2f} % ({np.mean([t[2] for t in tried]):.3f})')
        print(f'| {n} | {"–" if n == 1 else names[how]} | ' + ' | '.join(cells) + ' |')


### time

TIMED = """
CREATE FUNCTION pg_temp.timed(by text, passes int) RETURNS double precision[] LANGUAGE plpgsql AS $$
DECLARE
	p record;
	began timestamptz;
	took double precision[] := '{}';
BEGIN
	FOR pass IN 1 .. passes LOOP
		FOR p IN SELECT e FROM person_probe ORDER BY id LOOP
			began := clock_timestamp();
			PERFORM * FROM facematch.identify(p.e, 'persons', by => timed.by);
			took := took || extract(epoch FROM clock_timestamp() - began) * 1e6;
		END LOOP;
	END LOOP;
	RETURN took;
END
$$"""


def captures(rng, n):
    """Persons x captures like a strong model's: mated 0.65, non-mated 0."""
    centre = unit(rng.standard_normal((n, 512)))
    noise = unit(rng.standard_normal((n, REFERENCES + 1, 512)))
    return (np.sqrt(0.65) * centre[:, None] + np.sqrt(0.35) * noise).astype('f2')


def fill(conn, rng):
    x = captures(rng, PERSONS)
    conn.execute("""CREATE EXTENSION IF NOT EXISTS facematch CASCADE;
        SET client_min_messages = warning;
        DROP TABLE IF EXISTS person_template;
        INSERT INTO facematch.model (name, tag, dims) VALUES ('persons', 32001, 512);
        INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('persons', 'flight', 'persons', 0.4, now() + interval '1 day');
        CREATE TABLE person_template (person bigint, capture bigint, e face_embedding)""")
    person, capture = np.indices(x.shape[:2])
    scores.copy_rows(conn, 'person_template', [person.ravel().astype('i8'), capture.ravel().astype('i8')], x.reshape(-1, 512))
    conn.execute("""INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
        SELECT g.gallery_id, md5(t.person::text)::uuid, 'noncitizen', t.e, 'document' FROM person_template t, facematch.gallery g
        WHERE g.name = 'persons' AND t.capture > 0 ORDER BY t.capture, t.person;
        CREATE TEMP TABLE person_probe AS SELECT person AS id, e FROM person_template WHERE capture = 0""")
    conn.execute('VACUUM ANALYZE facematch.reference')


def time(args):
    import psycopg
    with psycopg.connect(autocommit=True) as conn:
        fill(conn, np.random.default_rng(args.seed))
        conn.execute(TIMED)
        took = {'subject': [], 'reference': []}
        for turn in range(args.turns + 1):
            for by in took:
                some = conn.execute('SELECT pg_temp.timed(%s, 3)', [by]).fetchone()[0]
                took[by] += some if turn else []
        print(f'{PERSONS} persons x {REFERENCES} references, {args.turns} turns of {3 * PERSONS} mated searches each, microseconds in the server\n')
        print('| by | minimum | median | 99 % |\n|---|---|---|---|')
        for by, all_of_it in took.items():
            print(f'| {by} | {min(all_of_it):.0f} | {np.median(all_of_it):.0f} | {np.percentile(all_of_it, 99):.0f} |')
        print(f"\nratio of the medians: {np.median(took['subject']) / np.median(took['reference']):.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seed', type=int, default=1)
    commands = parser.add_subparsers(required=True)
    p = commands.add_parser('errors')
    p.add_argument('--pictures', type=int, nargs='+', default=[1, 2, 4])
    p.add_argument('--fpir', type=float, nargs='+', default=[0.01, 0.001])
    p.add_argument('--splits', type=int, default=10, help='how often pictures are dealt anew (default 10)')
    p.add_argument('--probes', type=int, default=5, help='searches of a person, at most (default 5)')
    p.set_defaults(function=errors)
    p = commands.add_parser('time')
    p.add_argument('--turns', type=int, default=5)
    p.set_defaults(function=time)
    args = parser.parse_args()
    args.function(args)


if __name__ == '__main__':
    main()
