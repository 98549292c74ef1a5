#!/usr/bin/env python3
"""identify_many() tells what identify() tells, probe by probe: real faces, hard data, and while others delete and enrol.

    test_identify_many.py [--seconds N] [--seed N]

With and without the face index, with room for all probes and for few.  Beside a writer that deletes and enrols persons,
every answer holds whoever was there throughout, and nobody who had gone before the call; a cancel ends it.
"""
import argparse
import sys
import threading
import time

import numpy as np

import scores

try:
    import psycopg
except ImportError:
    print('psycopg 3 is not installed (python3-psycopg)')
    sys.exit(77)

DIMS = 512


def text(x):
    return '[' + ','.join(f'{v:.6g}' for v in np.asarray(x, 'f8')) + ']'


def array(rows):
    return [text(row) for row in rows]


def random_faces(rng):
    """Persons of a few captures each, and a probe of every third one or so; some belong to nobody."""
    people = rng.normal(size=(1200, DIMS))
    rows = np.repeat(people, 3, axis=0) + rng.normal(size=(3600, DIMS)) * 0.7
    return rows, np.repeat(np.arange(1200), 3), np.concatenate([people[::9], rng.normal(size=(40, DIMS))])


def hard_data(rng):
    """One direction nearly all, duplicates, magnitudes far apart, few dimensions in use."""
    base = rng.normal(size=DIMS)
    near = base + rng.normal(size=(600, DIMS)) * 1e-3
    same = np.tile(rng.normal(size=DIMS), (300, 1))
    axes = np.eye(DIMS)[rng.integers(0, DIMS, 300)]
    scaled = rng.normal(size=(300, DIMS)) * (10.0 ** rng.integers(-2, 3, (300, 1)))
    rows = np.concatenate([near, same, axes, scaled])
    return rows, np.arange(len(rows)) // 2, np.concatenate([near[:30], same[:5], axes[:30], scaled[:30], -axes[:10]])


def real_faces(_):
    faces = scores.real_faces()
    if faces is None:
        return None
    x, subjects, ordinals = faces
    return x[ordinals != 1][:4000], subjects[ordinals != 1][:4000], x[ordinals == 1][:150]


def enrol(conn, gallery, rows, subjects):
    conn.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES (%s, 'flight', 'm', 0.4)", [gallery])
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT gallery_id, "
            "md5(%s)::uuid, 'watchlist', %s::face_embedding, 's' FROM facematch.gallery WHERE name = %s",
            [(f'{gallery} {s}', text(row), gallery) for row, s in zip(rows, subjects)])


ONE = """SELECT o::int, i.* FROM unnest(%s::face_embedding[]) WITH ORDINALITY p (probe, o),
    facematch.identify(p.probe, %s, %s, %s, %s) i ORDER BY o, i.rank"""
MANY = 'SELECT * FROM facematch.identify_many(%s::face_embedding[], %s, %s, %s, %s) ORDER BY probe, rank'


def compare(conn, gallery, probes):
    candidates = 0
    for most, threshold, by in ((10, None, 'subject'), (3, 0.1, 'reference'), (1, -1.0, 'subject'), (2, 0.9, 'reference')):
        args = [array(probes), gallery, most, threshold, by]
        one, many = conn.execute(ONE, args).fetchall(), conn.execute(MANY, args).fetchall()
        if one != many:
            raise SystemExit(f'{gallery}, {args[2:]}: {len(many)} candidates differ from the {len(one)} of identify()')
        candidates += len(many)
    return candidates


def compare_all(conn, galleries):
    conn.execute('DROP INDEX facematch.facematch_reference_face_idx')
    for indexed in (False, True):
        if indexed:
            conn.execute('CREATE INDEX facematch_reference_face_idx ON facematch.reference USING facematch (gallery_id, embedding)')
            conn.execute('ANALYZE facematch.reference')
        for work_mem in ('4MB', '64kB') if indexed else ('4MB',):
            conn.execute(f'SET work_mem = {work_mem!r}')
            for name, probes in galleries.items():
                print(f'{name}: {"index" if indexed else "no index"}, {work_mem}: {compare(conn, name, probes)} candidates')


class Writer(threading.Thread):
    """Deletes and enrols every other person, again and again; knows who was there at which time."""

    def __init__(self, gallery, rows, vacuum):
        super().__init__(daemon=True)
        self.gallery, self.rows, self.vacuum = gallery, rows, vacuum
        self.gone = {}          # person: when the deletion had committed
        self.stop = False
        self.turns = 0
        self.error = None

    def run(self):
        try:
            with psycopg.connect('', autocommit=True) as conn:
                while not self.stop:
                    for i in range(1, len(self.rows), 2):
                        subject = f'{self.gallery} {i}'
                        conn.execute('DELETE FROM facematch.reference WHERE subject_id = md5(%s)::uuid', [subject])
                        self.gone[i] = time.monotonic()
                        if i % 20 == 1 and self.vacuum:
                            conn.execute('VACUUM (INDEX_CLEANUP on) facematch.reference')
                        self.gone.pop(i)
                        conn.execute(
                            "INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) "
                            "SELECT gallery_id, md5(%s)::uuid, 'watchlist', %s::face_embedding, 's' "
                            'FROM facematch.gallery WHERE name = %s', [subject, text(self.rows[i]), self.gallery])
                        self.turns += 1
                        if self.stop:
                            break
        except Exception as error:      # told by the main thread
            self.error = error


def beside_writer(conn, rows, seconds):
    """Mates that stay are found by every call; those told had not gone before it began."""
    enrol(conn, 'busy', rows, range(len(rows)))
    people = {row[0]: i for i in range(len(rows)) for row in conn.execute('SELECT md5(%s)::uuid', [f'busy {i}'])}
    writer = Writer('busy', rows, vacuum=True)
    writer.start()
    end = time.monotonic() + seconds
    calls = 0
    while time.monotonic() < end:
        before = dict(writer.gone)
        found = conn.execute('SELECT probe, subject_id FROM facematch.identify_many(%s::face_embedding[], %s, 1)',
                             [array(rows), 'busy']).fetchall()
        mates = {probe - 1 for probe, subject in found if people[subject] == probe - 1}
        if missing := set(range(0, len(rows), 2)) - mates:
            raise SystemExit(f'{len(missing)} persons who were there all the time are missing')
        # gone before, and still gone now: not enrolled again meanwhile
        for person in {i for i, when in before.items() if writer.gone.get(i) == when} & mates:
            raise SystemExit(f'person {person} was told although deleted before')
        calls += 1
    writer.stop = True
    writer.join()
    if writer.error:
        raise writer.error
    print(f'{calls} calls beside {writer.turns} deletions and enrolments')
    if not calls or not writer.turns:
        raise SystemExit('nothing happened at the same time')


def cancelled(conn, probes):
    """A statement timeout ends it, and the session goes on as before."""
    expected = conn.execute(MANY, [array(probes[:5]), 'random', 1, None, 'subject']).fetchall()
    conn.execute('SET statement_timeout = 30')
    try:
        conn.execute(MANY, [array(np.tile(probes, (40, 1))), 'random', 1, -1.0, 'subject'])
        raise SystemExit('6,000 searches took less than 30 ms')
    except psycopg.errors.QueryCanceled:
        pass
    conn.execute('RESET statement_timeout')
    if conn.execute(MANY, [array(probes[:5]), 'random', 1, None, 'subject']).fetchall() != expected:
        raise SystemExit('another answer after a cancel')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=int, default=6, help='beside a writer (default 6)')
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    with psycopg.connect('', autocommit=True) as conn:
        conn.execute("INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, %s)", [DIMS])
        galleries = {}
        for name, make in (('random', random_faces), ('hard', hard_data), ('real', real_faces)):
            if (made := make(rng)) is None:
                print(f'{name}: not here')
                continue
            enrol(conn, name, made[0], made[1])
            galleries[name] = made[2]
        compare_all(conn, galleries)
        cancelled(conn, galleries['random'])
        beside_writer(conn, rng.normal(size=(200, DIMS)), args.seconds)


if __name__ == '__main__':
    main()
