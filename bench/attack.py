#!/usr/bin/python3
"""What a week of attack reaches with the shipped budgets: bench/attack.py [--people 50] [--decoys N] [--server]

An attacker, who knows the model and how faces vary (the mean and the covariance of strangers' templates), estimates the
template of one person in a gallery from what searches tell: an operator the strength of a match (the threshold, halfway from
there to 1, and so on), a partner match or no match.  He starts from the stranger who is most like the person, or from one
photograph of that person.  His estimate is a normal distribution over templates, which each answer makes narrower; the next
probe is its mean, moved at random as faces vary, as far as tells him most (--sizes).  A search that comes within --near of the
threshold, or reaches it, is an attempt, and below it a miss (within --close of it); farther ones are free, but for --asks.
When no attempt is left the person is withheld: nothing that is answered depends on the template any more.  --refusals N is how
it was before: a search that came near was refused, which told so, and one that did not was answered; so many refusals he takes.
With --seen he tells a near miss from a far one, as by counts of the whole server.  With --decoys, he stages that many templates
of known scores of one strength, whose order beside the person's tells more, and pays with attempts.

An honest budget has to give a traveler's own captures, which differ from the template as they do: the cosine that is reached
is told beside the mean of the mated scores that are hits.  The honest gate is five flights of 400 a day: everybody is
compared with everybody on the flight, some try again, ten of a crew cross four times a day.  Refused are searches that would
have found the traveler, and others that find nobody anyway.

Answers are computed here as facematch gives them; with --server a server (PGHOST, psycopg) gives them, and counts.
Needs numpy; real faces (FACES_DIR: captures and subjects), else synthetic ones."""
import argparse
import math
import os
import pathlib

import numpy as np

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


class Withheld(Exception):
    """Nothing that is answered depends on this person any more."""


class Budget:
    """Answers about one template, as facematch gives them, and counts attempts."""

    def __init__(self, template, args, scores, roles):
        self.template, self.threshold, self.scores, self.decoys, self.farther = template, args.threshold, scores, args.decoys, args.farther
        # Roles have attempts of their own a day, and one week together.
        self.left, self.misses = min(args.per_day * DAYS * roles, args.per_week), args.misses
        self.near_bound, self.close_bound, self.seen = args.threshold - args.near, args.threshold - args.close, args.seen
        self.refusals, self.near = args.refusals, 0

    def closed(self):
        """No attempt is left."""
        return self.left < 1 or self.misses < 1

    def bounds(self, score):
        """Between what the score is, as told: a match or none, its strength, its place among decoys of that strength."""
        if score < self.threshold and self.seen:
            return (self.near_bound, self.threshold) if score >= self.near_bound else (-1.0, self.near_bound)
        if score < self.threshold:
            return -1.0, self.threshold
        if not self.scores:
            return self.threshold, 1.0
        low, high = self.threshold, (self.threshold + 1) / 2
        while score >= high and high < 0.999:
            low, high = high, (high + 1) / 2
        place = min(int((score - low) / (high - low) * (self.decoys + 1)), self.decoys)
        width = (high - low) / (self.decoys + 1)
        return low + place * width, low + (place + 1) * width

    def ask(self, probe):
        score = float(unit(probe) @ self.template)
        if self.closed():
            if self.refusals < 1:
                raise Withheld
            self.refusals -= score >= self.near_bound
            return (self.near_bound, 1.0) if score >= self.near_bound else (-1.0, self.near_bound)
        if score >= self.near_bound:
            worth = min(self.decoys + 1, 4) if score >= self.threshold and self.scores else 1
            self.left -= worth
            self.misses -= self.close_bound <= score < self.threshold
            self.near += worth
        return self.bounds(score)


class Server:
    """The same of a real server: a gallery of one, asked by an operator, or by a partner."""

    number = 0

    def __init__(self, template, args, scores, roles):
        import psycopg
        Server.number += 1
        self.refused, self.args, self.scores, self.near = psycopg.errors.ConfigurationLimitExceeded, args, scores, 0
        self.threshold, self.near_bound, self.farther = args.threshold, args.threshold - args.near, args.farther
        self.name = f'attacked {Server.number}'
        self.owner = psycopg.connect(autocommit=True)
        run = self.owner.execute
        if Server.number == 1:
            run('CREATE EXTENSION IF NOT EXISTS facematch CASCADE')
            # A week of one role's days, of which each has its own budget: a week's is what is left.
            run(f'ALTER DATABASE {self.owner.info.dbname} SET facematch.attempts_per_day = {args.per_day * DAYS}')
            run(f'ALTER DATABASE {self.owner.info.dbname} SET facematch.attempts_per_week = {args.per_week}')
            run("INSERT INTO facematch.model (name, tag, dims) VALUES ('attacked', 1, 512)")
            run("DO $$ BEGIN CREATE ROLE bench_attacker LOGIN; CREATE ROLE bench_carrier LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
            run("SELECT facematch.grant_operator('bench_attacker'), facematch.grant_partner('bench_carrier', 'Attacking Air',"
                " purpose => 'attack', per_minute => 1000000, per_day => 1000000000)")
        run("INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES (%s, 'flight', 'attacked', %s, now() + interval '6 hours')",
            [self.name, args.threshold])
        run("INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT gallery_id,"
            " gen_random_uuid(), 'us_citizen', %s::face_embedding, 'passport' FROM facematch.gallery WHERE name = %s", [text(template @ args.basis), self.name])
        run("INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_from, valid_until) SELECT 'Attacking Air', gallery_id,"
            " now(), now() + interval '4 hours' FROM facematch.gallery WHERE name = %s", [self.name])
        self.session = psycopg.connect(autocommit=True, user='bench_attacker' if scores else 'bench_carrier')
        self.budget = Budget(template, args, scores, roles)

    def told(self, probe):
        """The least similarity that the answer tells; -1: no match, None: refused."""
        try:
            if self.scores:
                rows = self.session.execute('SELECT similarity FROM facematch.identify(%s::face_embedding, %s)', [text(probe @ self.args.basis), self.name]).fetchall()
                return rows[0][0] if rows else -1.0
            return self.args.threshold if self.session.execute('CALL facematch.ask(%s, %s::face_embedding)', [self.name, text(probe @ self.args.basis)]).fetchone()[0] else -1.0
        except self.refused:
            return None

    def ask(self, probe):
        told, closed = self.told(probe), self.budget.closed()
        try:
            expected = self.budget.ask(probe)
        except Withheld:
            if told is not None:
                raise SystemExit(f'the server says {told} of a person who is withheld')
            raise
        self.near = self.budget.near
        # The strength as bounds: the simulation has to say the same.
        if closed or told is None or abs(told - expected[0]) > 1e-6:
            raise SystemExit(f'the server says {told}, the simulation {expected}')
        return expected

    def closed(self):
        return self.budget.closed()

    def close(self):
        self.session.close()
        self.owner.close()


def text(x):
    return '[' + ','.join(repr(float(v)) for v in x) + ']'


def truncated(mean, deviation, low, high):
    """Mean and variance of a normal variable that is known to be in between."""
    a, b = (low - mean) / deviation, (high - mean) / deviation
    density = lambda z: math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    mass = (math.erf(b / math.sqrt(2)) - math.erf(a / math.sqrt(2))) / 2
    if mass < 1e-9:
        return min(max(mean, low), high), deviation ** 2 / 100
    shift = (density(a) - density(b)) / mass
    return mean + deviation * shift, max(1 + (a * density(a) - b * density(b)) / mass - shift ** 2, 1e-3) * deviation ** 2


def climb(server, start, prior, size, asks, rng):
    """The mean of the estimate, when the person is withheld or all is asked."""
    likeness, covariance, root = prior
    mean, spread = likeness * start, (1 - likeness ** 2) * covariance.copy()
    probe = start
    try:
        for _ in range(asks):
            low, high = server.ask(probe)
            along = spread @ probe
            variance = float(probe @ along) + 1e-6
            expected, left = truncated(float(probe @ mean), math.sqrt(variance), low, high)
            mean = mean + along / variance * (expected - float(probe @ mean))
            spread = spread - np.outer(along, along) / variance * (1 - left / variance)
            step = size
            if server.closed():
                # As far as may be near or not: refusals tell most there.
                boundary = max(server.near_bound, 0.05)
                step = math.sqrt(max((min(np.linalg.norm(mean), 1) / boundary) ** 2 - 1, 0.04)) * server.farther
            probe = unit(unit(mean) + step * unit(root @ rng.normal(size=len(mean))))
    except Withheld:
        pass
    return unit(mean)


def attack(people, strangers, prior, args, scores, photograph, roles, size):
    """Cosine reached, the start's, and attempts, for each person."""
    rows = []
    for number, (template, capture) in enumerate(people):
        server = (Server if args.server else Budget)(template, args, scores, roles)
        start = capture if photograph else strangers[np.argmax(strangers @ template)]
        if start @ template >= args.threshold:
            end = climb(server, start, prior, size, args.asks, np.random.default_rng(number))
            rows.append((float(end @ template), float(start @ template), server.near))
        if args.server:
            server.close()
    return np.array(rows)


class Gate:
    """Honest searches of a week, and how many are refused: of who would have been found, and of who is not anyway."""

    def __init__(self, args):
        self.args, self.searches, self.refused = args, 0, [0, 0]

    def budget(self, persons):
        return np.full(persons, min(self.args.per_day, self.args.per_week)), np.full(persons, self.args.misses)

    def search(self, scores, mate, left, misses):
        """One search, whose score with each person is given."""
        withheld = (left < 1) | (misses < 1)
        near = ~withheld & (scores >= self.args.threshold - self.args.near)
        hit = scores >= self.args.threshold
        self.searches += 1
        # Who is withheld might be whom it looks for.
        if np.any(withheld) and not np.any(near & hit):
            self.refused[0 if hit[mate] else 1] += 1
        left -= near
        misses -= near & ~hit & (scores >= self.args.threshold - self.args.close)


def honest_gate(x, subject, args, rng, flights=5, seats=400, retry=0.05, crew=10, crossings=4):
    """Each traveler is compared with everybody on the flight, and comes near some; a crew crosses each day."""
    gate = Gate(args)
    first, second = {}, {}
    for row in rng.permutation(len(x)):
        (second if subject[row] in first else first).setdefault(subject[row], row)
    # What a person's captures score who has two stands for everybody's.
    mated = np.array([x[first[s]] @ x[second[s]] for s in second])
    everybody = list(first)
    for _ in range(DAYS * flights):
        seated = rng.choice(len(everybody), seats, replace=False)
        scores = x[[first[everybody[i]] for i in seated]] @ x[[second.get(everybody[i], first[everybody[i]]) for i in seated]].T
        np.fill_diagonal(scores, rng.choice(mated, seats))
        left, misses = gate.budget(seats)
        for traveler in np.concatenate([rng.permutation(seats), rng.choice(seats, int(seats * retry))]):
            gate.search(scores[:, traveler], traveler, left, misses)
    for _ in range(crew):
        week, misses = np.full(1, args.per_week), gate.budget(1)[1]
        for _ in range(DAYS):
            left = np.minimum(args.per_day, week)
            before = left.copy()
            for _ in range(crossings + rng.binomial(crossings, retry)):
                gate.search(rng.choice(mated, 1), 0, left, misses)
            week -= before - left
    return gate


def pairs_of(x, subject, people, rng):
    """A template and another capture of so many persons, and strangers."""
    first, pairs, used = {}, [], set()
    order = rng.permutation(len(x))
    for row in order:
        other = first.setdefault(subject[row], row)
        if other != row and subject[row] not in used and len(pairs) < people:
            pairs.append((x[row], x[other]))
            used.add(subject[row])
    return pairs, x[[row for row in order if subject[row] not in used][:3000]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--people', type=int, default=50)
    parser.add_argument('--per-day', type=int, default=10)
    parser.add_argument('--per-week', type=int, default=40)
    parser.add_argument('--near', type=float, default=0.06, help='how far below the threshold a search is an attempt')
    parser.add_argument('--close', type=float, help='how far below it an attempt is a miss; --near unless given')
    parser.add_argument('--misses', type=int, help='how many of the week\'s attempts may be misses; a sixth unless given')
    parser.add_argument('--seen', action='store_true', help='the attacker tells a near miss from a far one')
    parser.add_argument('--gate', action='store_true', help='the honest gate alone')
    parser.add_argument('--threshold', type=float, default=0.48)
    parser.add_argument('--sizes', type=float, nargs='+', default=[0.5, 0.8, 1.1, 1.5])
    parser.add_argument('--asks', type=int, default=400, help='searches of one person in a week, near or not')
    parser.add_argument('--refusals', type=int, default=0, help='searches that are refused because they came near, not with --server')
    parser.add_argument('--farther', type=float, default=1.0, help='probes that ask for refusals: so many times as far as is near in half of the cases')
    parser.add_argument('--decoys', type=int, default=0)
    parser.add_argument('--server', action='store_true')
    args = parser.parse_args()
    args.close = args.near if args.close is None else args.close
    args.misses = max(args.per_week // 6, 1) if args.misses is None else args.misses
    rng = np.random.default_rng(16)
    folder = os.environ.get('FACES_DIR')
    if folder:
        x, name = real_faces(folder)[0], 'real faces'
        subject = subjects_of(folder, len(x))
    else:
        captures = synthetic_faces(rng)
        x, subject, name = np.concatenate(captures), list(range(len(captures[0]))) * 2, 'synthetic faces'
    # Templates of a model are in fewer dimensions than it has: what is left out is less than half precision leaves out.
    _, size, axes = np.linalg.svd(x, full_matrices=False)
    args.basis = axes[:int(np.sum(np.cumsum(size ** 2) < (1 - 1e-5) * np.sum(size ** 2))) + 1].astype(np.float64)
    x = unit(x @ args.basis.T)
    people, strangers = pairs_of(x, subject, args.people, rng)
    mated = np.array([a @ b for a, b in people])
    hits = mated[mated >= args.threshold]
    covariance = np.cov(strangers.T)
    prior = float(mated.mean()), covariance, np.linalg.cholesky(covariance + 1e-9 * np.eye(len(covariance)))
    print(f'{len(people)} persons of {name}, threshold {args.threshold}, {args.per_day} attempts a day and role, {args.per_week} a week, of which'
          f' {args.misses} misses; near {args.near}, missed {args.close}; {args.refusals} refusals; {args.decoys} decoys; answers of a {"server" if args.server else "simulation"}')
    print(f'mean of the hits of honest captures: {hits.mean():.3f}, best of ten: {np.quantile(hits, 0.9):.3f}\n')
    if not args.gate:
        attack_all(people, strangers, prior, args, hits)
    gate = honest_gate(x, subject, args, rng)
    print(f'\nhonest gate: {sum(gate.refused)} of {gate.searches} searches refused in a week, {gate.refused[0]} of these searches would have matched')


def attack_all(people, strangers, prior, args, hits):
    print('| who | from | roles | attempts | start | reached, mean | 90 % | best | mean above honest |')
    print('|---|---|---|---|---|---|---|---|---|')
    for who, scores in (('operator', True), ('partner', False)):
        for photograph in (False, True):
            for roles in (1, 10):
                # The size that reaches most.
                tries = [attack(people, strangers, prior, args, scores, photograph, roles, size) for size in args.sizes]
                if len(tries[0]) == 0:
                    print(f'| {who} | strangers | {roles} | no start matches | | | | | |')
                    continue
                hit = max(tries, key=lambda rows: rows[:, 0].mean())
                print(f'| {who} | {"photograph" if photograph else "strangers"} ({len(hit)} match) | {roles} | {hit[:, 2].mean():.0f} | {hit[:, 1].mean():.3f} | {hit[:, 0].mean():.3f} '
                      f'| {np.quantile(hit[:, 0], 0.9):.3f} | {hit[:, 0].max():.3f} | {hit[:, 0].mean() - hits.mean():+.3f} |', flush=True)


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
