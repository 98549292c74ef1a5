#!/usr/bin/env python3
"""A flight's honest searches are never refused, though strangers come near each other by chance; somebody who climbs is, after a few.

Each of 400 travelers is compared with everybody on the flight, some try again, at a threshold of 0.42: by an operator, and by
the carrier.  On synthetic templates, and on the real faces where they are."""
import sys

try:
    import numpy as np
    import psycopg
except ImportError as e:
    print(f'{e} (python3-numpy, python3-psycopg)')
    sys.exit(77)

import scores

SEATS, RETRIES, THRESHOLD = 400, 20, 0.42
ROLES = ('facematch_test_gate', 'facematch_test_carrier')


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def synthetic(rng):
    """Two captures of each: mated scores about 0.63, non-mated ones with a standard deviation of 0.125: a poor model."""
    people = rng.standard_normal((SEATS, 64))
    return [unit(people + 0.75 * rng.standard_normal(people.shape)) for _ in range(2)]


def real(rng):
    """Those who have two pictures."""
    found = scores.real_faces()
    if found is None:
        return None
    x, subjects, ordinals = found
    both = rng.permutation(np.intersect1d(subjects[ordinals == 0], subjects[ordinals == 1]))[:SEATS]
    return [unit(np.stack([x[(subjects == s) & (ordinals == o)][0] for s in both]).astype('f4')) for o in (0, 1)]


def text(x):
    return '[' + ','.join(repr(float(v)) for v in x) + ']'


def stage(conn, name, enrolled):
    conn.execute("INSERT INTO facematch.model (name, tag, dims) SELECT %s, coalesce(max(tag), 0) + 1, %s FROM facematch.model", [name, enrolled.shape[1]])
    conn.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES (%s, 'flight', %s, %s, now() + interval '4 hours')",
                 [name, name, THRESHOLD])
    conn.execute("INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)"
                 " SELECT gallery_id, gen_random_uuid(), 'us_citizen', e::face_embedding, 'passport' FROM facematch.gallery, unnest(%s::text[]) e WHERE name = %s",
                 [[text(e) for e in enrolled], name])
    conn.execute("INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_until) SELECT 'Honest Air', gallery_id, now() + interval '4 hours'"
                 ' FROM facematch.gallery WHERE name = %s', [name])


def told(session, name, probe):
    """Whether there was a match; None: refused."""
    try:
        if session.info.user == ROLES[0]:
            return bool(session.execute('SELECT FROM facematch.identify(%s::face_embedding, %s)', [text(probe), name]).fetchall())
        return session.execute('CALL facematch.ask(%s, %s::face_embedding)', [name, text(probe)]).fetchone()[0]
    except psycopg.errors.ConfigurationLimitExceeded:
        return None


def check(conn, name, enrolled, probes, role, rng):
    stage(conn, name, enrolled)
    order = np.concatenate([rng.permutation(len(probes)), rng.choice(len(probes), RETRIES)])
    with psycopg.connect(user=role, autocommit=True) as session:
        answers = [told(session, name, probes[i]) for i in order]
        # Whoever tries one person again and again is refused.
        best = probes[np.argmax(np.sum(probes * enrolled, axis=1))]
        climbed = [told(session, name, best) for _ in range(11)]
    if None in answers:
        raise SystemExit(f'{name}: {answers.count(None)} of {len(answers)} honest searches were refused')
    if climbed[-1] is not None:
        raise SystemExit(f'{name}: eleven searches for one person in a day, and none refused')
    # Others are near by chance, or this proves nothing.
    near = conn.execute('SELECT sum(s.persons_near - s.candidates) FROM facematch.search s JOIN facematch.gallery g USING (gallery_id) WHERE g.name = %s', [name]).fetchone()[0]
    if near < 10:
        raise SystemExit(f'{name}: searches came near {near} others')
    print(f'{name}: {len(answers)} searches, {sum(answers)} matches, near {near} others, none refused')


def main():
    rng = np.random.default_rng(16)
    conn = psycopg.connect(autocommit=True)
    conn.execute('DO $$ BEGIN ' + ''.join(f'CREATE ROLE {role} LOGIN; ' for role in ROLES) + 'END $$')
    conn.execute("SELECT facematch.grant_operator('facematch_test_gate'), facematch.grant_partner('facematch_test_carrier', 'Honest Air', per_minute => 100000, per_day => 100000)")
    try:
        for name, found in (('synthetic', synthetic(rng)), ('real faces', real(rng))):
            if found is None:
                print('the real faces are not here (FACES_DIR): only synthetic ones searched')
            else:
                for role in ROLES:
                    check(conn, f'{name} by {role[15:]}', *found, role, rng)
    finally:
        for role in ROLES:
            conn.execute(f'DROP OWNED BY {role} CASCADE')
            conn.execute(f'DROP ROLE {role}')


if __name__ == '__main__':
    main()
