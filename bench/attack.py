#!/usr/bin/python3
"""What a week of attack reaches with the shipped budgets: bench/attack.py [--people 200] [--server]

An attacker, who knows the model and has photographs of strangers, walks towards the template of one person in a gallery by
what searches tell: an operator the score in hundredths above the threshold, a partner match or no match.  He starts from
the stranger who is most like the person, or from one photograph of that person.  Each search that comes within 0.15 of the
threshold is an attempt; farther ones are free.  The answers are computed here, as the server gives them.

An honest budget has to give a traveler's own captures, which differ from the template as they do: what any attempt can hit
is no better than a capture, so the cosine reached is told beside the mean of the mated scores.

Needs numpy; real faces (FACES_DIR: pairs of captures), else synthetic ones.  --server asks one with PGHOST and psycopg too."""
import argparse
import os
import pathlib

import numpy as np

NEAR = 0.15
DAYS = 7


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def real_faces(folder):
    import json
    info = json.loads((pathlib.Path(folder) / 'mobilefacenet_512.json').read_text()) if (pathlib.Path(folder) / 'mobilefacenet_512.json').exists() else {}
    x = np.fromfile(pathlib.Path(folder) / 'mobilefacenet_512.f16', '<f2').astype(np.float32).reshape(-1, 512)
    return unit(x), info


def synthetic_faces(rng, people=3000, rank=160):
    """Captures of people in a subspace, as a model's templates are: mated scores about 0.65."""
    basis = np.linalg.qr(rng.normal(size=(512, rank)))[0].T
    centres = unit(rng.normal(size=(people, rank)))
    captures = [unit((centres + 0.73 * unit(rng.normal(size=centres.shape))) @ basis) for _ in range(2)]
    return captures


class Server:
    """Answers about one template, as facematch gives them, and counts attempts."""

    step = 0.01

    def __init__(self, template, threshold, scores, per_day, per_week):
        self.template, self.threshold, self.scores = template, threshold, scores
        self.left = min(per_day * DAYS, per_week)
        self.asked = self.near = 0

    def ask(self, probe):
        """None: below the threshold; else the score, or 1 for who gets no scores."""
        score = float(unit(probe) @ self.template)
        self.asked += 1
        if score >= self.threshold - NEAR:
            if self.left < 1:
                raise StopIteration
            self.left -= 1
            self.near += 1
        if score < self.threshold:
            return None
        return max(round(score / self.step) * self.step, self.threshold) if self.scores else 1.0


def climb(server, start, basis, rng):
    """The best that is known here: random directions in the space of faces, from which a linear system is solved.

    With scores each answer is one equation about the template, whatever its direction: the estimate is the least-squares
    solution of all of them nearest to the start.  Without, a step is kept if it still matches after walking towards the
    threshold's edge, and the mean of the edges is the estimate."""
    probes, scores = [start], [server.ask(start)]
    if scores[0] is None:
        return start
    best = start
    try:
        while server.left > 0:
            direction = unit(rng.normal(size=len(basis)) @ basis)
            # So far that the score shows it, and near enough to match again.
            probe = unit(best + (0.35 if server.scores else rng.uniform(0.5, 1.0)) * direction)
            score = server.ask(probe)
            if server.scores and score is not None:
                probes.append(probe)
                scores.append(score)
                best = solve(np.array(probes), np.array(scores), start)
            elif not server.scores:
                # A hit says that the template lies rather on this side, a miss on the other.
                best = unit(best + (0.06 if score is not None else -0.06) * direction)
    except StopIteration:
        pass
    return best


def solve(probes, scores, start):
    """The unit vector nearest to the first probe that has these scores with the probes, within rounding."""
    # Templates have 160 directions; the rest of a score is rounding.
    a = probes @ probes.T + 160 * Server.step ** 2 / 12 * np.eye(len(probes))
    return unit(np.linalg.solve(a, scores) @ probes)


def attack(people, strangers, threshold, basis, rng, scores, per_day, per_week, photograph, colluding):
    """Cosine reached, the start's, and asks, for each person."""
    rows = []
    for template, capture in people:
        # Colluding roles have attempts of their own a day, and one week together.
        server = Server(template, threshold, scores, per_day * colluding, per_week)
        start = capture if photograph else strangers[np.argmax(strangers @ template)]
        end = climb(server, start, basis, rng)
        rows.append((float(end @ template), float(start @ template), server.near))
    return np.array(rows)


def cross_check(probes, template, threshold):
    """The same answers of a real server: how many differ."""
    import psycopg
    conn = psycopg.connect(autocommit=True)
    conn.execute('CREATE EXTENSION IF NOT EXISTS facematch CASCADE')
    conn.execute("INSERT INTO facematch.model (name, tag, dims) VALUES ('attacked', 1, 512)")
    conn.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('attacked', 'flight', 'attacked', %s, now() + interval '1 hour')", [threshold])
    text = lambda x: '[' + ','.join(repr(float(v)) for v in x) + ']'
    conn.execute("INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT gallery_id, gen_random_uuid(), 'us_citizen', %s::face_embedding, 'passport' FROM facematch.gallery WHERE name = 'attacked'", [text(template)])
    conn.execute("DO $$ BEGIN CREATE ROLE bench_attacker LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; SELECT facematch.grant_operator('bench_attacker'); SET SESSION AUTHORIZATION bench_attacker")
    server, differ, refused = Server(template, threshold, True, 10, 50), 0, 0
    for probe in probes:
        try:
            told = conn.execute("SELECT similarity FROM facematch.identify(%s::face_embedding, 'attacked')", [text(probe)]).fetchall()
        except psycopg.errors.ConfigurationLimitExceeded:
            refused += 1
            continue
        expected = server.ask(probe)
        differ += (told[0][0] if told else None) != expected
    return differ, server.near, refused


def honest_gate(rng, searches=2000, days=DAYS, retry=0.05, per_day=10, per_week=50, frequent=4):
    """How many searches of honest travelers a gate refuses: each comes once, some try again, a few cross four times a day."""
    refused = 0
    for _ in range(days):
        crew = np.repeat(np.arange(10), frequent)
        travelers = np.concatenate([crew, np.arange(10, searches - len(crew) + 10)])
        attempts = 1 + rng.geometric(1 - retry, size=len(travelers)) - 1
        counted = np.bincount(travelers, weights=attempts)
        refused += int(np.maximum(counted - per_day, 0).sum())
    week = np.array([1 + rng.geometric(1 - retry, size=frequent * days) - 1 for _ in range(10)]).sum(axis=1)
    return refused + int(np.maximum(week - per_week, 0).sum()), searches * days


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--people', type=int, default=200)
    parser.add_argument('--per-day', type=int, default=10)
    parser.add_argument('--per-week', type=int, default=50)
    parser.add_argument('--step', type=float, default=0.01, help='of scores that an operator sees (default 0.01)')
    parser.add_argument('--threshold', type=float, default=0.35)
    parser.add_argument('--server', action='store_true')
    args = parser.parse_args()
    Server.step = args.step
    rng = np.random.default_rng(16)
    folder = os.environ.get('FACES_DIR')
    if folder and pathlib.Path(folder, 'mobilefacenet_512.f16').exists():
        import csv
        x, _ = real_faces(folder)
        subject = subjects_of(folder, len(x))
        order = rng.permutation(len(x))
        first = {}
        pairs = []
        for row in order:
            other = first.setdefault(subject[row], row)
            if other != row and len(pairs) < args.people and subject[row] not in {subject[p[0]] for p in pairs}:
                pairs.append((row, other))
        used = {subject[r] for pair in pairs for r in pair}
        strangers = x[[r for r in order if subject[r] not in used][:2000]]
        people = [(x[a], x[b]) for a, b in pairs]
        name = 'real faces'
    else:
        first, second = synthetic_faces(rng)
        people = list(zip(first[:args.people], second[:args.people]))
        strangers, name = first[args.people:args.people + 2000], 'synthetic faces'
    # The space of faces, as an attacker knows it from strangers.
    basis = np.linalg.svd(strangers - strangers.mean(axis=0), full_matrices=False)
    basis = basis[2][:160] * (basis[1][:160, None] / basis[1][0])
    mated = np.array([a @ b for a, b in people])
    hits = mated[mated >= args.threshold]
    print(f'{len(people)} persons of {name}, threshold {args.threshold}, {args.per_day} attempts a day and role, {args.per_week} a week')
    print(f'mean of the hits of honest captures: {hits.mean():.3f}, best of ten: {np.quantile(hits, 0.9):.3f}\n')
    print('| who | from | roles | attempts | start | reached, mean | 90 % | best | mean above honest |')
    print('|---|---|---|---|---|---|---|---|---|')
    for who, scores in (('operator', True), ('partner', False)):
        for photograph in (False, True):
            for colluding in (1, 10):
                rows = attack(people, strangers, args.threshold, basis, rng, scores, args.per_day, args.per_week, photograph, colluding)
                # Who did not match with the start has reached nobody.
                hit = rows[rows[:, 1] >= args.threshold]
                if len(hit) == 0:
                    print(f'| {who} | {"photograph" if photograph else "strangers"} | {colluding} | no start matches | | | | | |')
                    continue
                print(f'| {who} | {"photograph" if photograph else "strangers"} ({len(hit)} match) | {colluding} | {hit[:, 2].mean():.0f} | {hit[:, 1].mean():.3f} | {hit[:, 0].mean():.3f} '
                      f'| {np.quantile(hit[:, 0], 0.9):.3f} | {hit[:, 0].max():.3f} | {hit[:, 0].mean() - hits.mean():+.3f} |')
    print('\nhonest gate: %d of %d searches refused in a week' % honest_gate(rng, per_day=args.per_day, per_week=args.per_week))
    if args.server:
        template, capture = people[int(np.argmax(mated))]
        probes = [unit(capture + 0.3 * unit(rng.normal(size=512))) for _ in range(16)]
        print('server: %d answers differ, %d attempts counted, %d refused' % cross_check(probes, template, args.threshold))


def subjects_of(folder, rows):
    for path in sorted(pathlib.Path(folder).glob('*.csv')) + sorted(pathlib.Path(folder).glob('*.tsv')):
        import csv
        with open(path, encoding='utf-8', newline='') as f:
            table = list(csv.DictReader(f, delimiter='\t' if path.suffix == '.tsv' else ','))
        if len(table) == rows and 'subject' in table[0]:
            return [r['subject'] for r in table]
    raise SystemExit(f'no list of subjects for {rows} templates in {folder}')


if __name__ == '__main__':
    main()
