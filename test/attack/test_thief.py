#!/usr/bin/env python3
"""A thief with copies and without keys: what a dump, the files of the table and the WAL are worth to him.

Three sites enrol the same 1,000 people: one stores templates as they are, one turns them by a secret rotation first (the usual
answer, here as a control), one is sealed.  The thief has each site's dump, heap and WAL, photographs of everybody enrolled
(which the public model makes templates of), those of 1,000 other people, and as a variant knows 600 of the enrolled.  He wants
to know who the other 400 are.  Chance is one in 400.

    direct       the stolen bytes as a template
    PCA          principal axes of the stolen and of a public cloud, signs by skewness
    vec2vec      the same, then a linear map fitted to its own best matches, again and again; no pair is known
    Procrustes   a rotation fitted to the 600 known pairs

The unsealed and the rotated site have to fall, or the attacks are none; the sealed one has to be at chance.
"""
import base64
import os
import re
import struct
import subprocess
import sys

import numpy
import psycopg

DIMS = 128
MODEL = 7
PEOPLE, KNOWN, OTHERS = 1000, 600, 1000
TARGETS = PEOPLE - KNOWN
CHANCE = 1 / TARGETS
SITES = ('unsealed', 'rotated', 'sealed')
PREFIX = 'fm_thief_'
ATTACKS = ('direct', 'PCA', 'vec2vec', 'Procrustes')

# Of 400: what has to fall, and what chance may give (13 or more of 400 come by chance once in 10^9 times).
FALLS, AT_CHANCE = 0.5, 12 / 400


# ---------------------------------------------------------------- faces

class Model:
    """A model's templates of people: a common mean, few strong directions and many weak ones, none of them symmetric."""

    def __init__(self, random):
        self.random = random
        self.axes = numpy.linalg.qr(random.standard_normal((DIMS, DIMS)))[0]
        self.deviations = (1.0 + numpy.arange(DIMS)) ** -0.5
        self.mean = random.standard_normal(DIMS) * 0.1

    def people(self, count):
        skewed = (self.random.gamma(2.0, 1.0, (count, DIMS)) - 2.0) / 2.0 ** 0.5
        return skewed * self.deviations

    def photographs(self, people):
        noise = self.random.standard_normal(people.shape) * self.deviations * 0.35
        return unit(self.mean + (people + noise) @ self.axes.T)


def unit(rows):
    return rows / numpy.maximum(numpy.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


# ---------------------------------------------------------------- what is stolen

def server(database='postgres'):
    return psycopg.connect(dbname=database, user='postgres', autocommit=True)


def payload_of(text):
    """What identifies a stored value: its half components, or all that a sealed one has beside its key's name."""
    if text.startswith('sealed:'):
        return base64.b64decode(text.rsplit(':', 1)[1])
    return numpy.array(text[text.index('[') + 1:-1].split(','), dtype=numpy.float64).astype('<f2').tobytes()


def from_dump(database):
    dump = subprocess.run(['pg_dump', '-U', 'postgres', '-d', database], check=True, capture_output=True, text=True).stdout
    return {payload_of(t) for t in re.findall(r'\t(sealed:[^\t\n]+|\d+:\[[^\t\n]+\])', dump)}


def in_bytes(data):
    """Values by their form alone: dimensions, model, and what follows."""
    found = set()
    for flag, skip, size in ((0x0000, 4, 2 * DIMS), (0x4000, 16, 12 + 16 + 4 + 2 * DIMS)):
        head = struct.pack('<hh', DIMS | flag, MODEL)
        for match in re.finditer(re.escape(head), data):
            payload = data[match.end() + skip:match.end() + skip + size]
            if len(payload) == size:
                found.add(payload)
    return found


def from_heap(database):
    with server(database) as connection:
        connection.execute('CHECKPOINT')
        (data,) = connection.execute("SELECT pg_read_binary_file(pg_relation_filepath('facematch.reference'))").fetchone()
    return in_bytes(data)


def from_wal(start):
    with server() as connection:
        files = connection.execute('SELECT pg_read_binary_file(%s || name) FROM pg_ls_waldir() WHERE name >= %s ORDER BY name',
                                   ('pg_wal/', start)).fetchall()
    return in_bytes(b''.join(data for (data,) in files))


def as_template(payload):
    """What a thief makes of stolen bytes."""
    halves = numpy.frombuffer(payload[-2 * DIMS:], '<f2').astype(numpy.float64)
    return numpy.clip(numpy.nan_to_num(halves, nan=0.0, posinf=0.0, neginf=0.0), -10, 10)


# ---------------------------------------------------------------- attacks

def linked(stolen, photographs, wanted):
    """How many of the stolen are linked to their own photograph: both are in the order of people."""
    scores = unit(stolen[wanted]) @ unit(photographs[wanted]).T
    return float(numpy.mean(numpy.argmax(scores, axis=1) == numpy.arange(len(wanted))))


def principal(cloud):
    centred = cloud - cloud.mean(axis=0)
    _, deviations, axes = numpy.linalg.svd(centred, full_matrices=False)
    coordinates = centred @ axes.T
    signs = numpy.sign(numpy.mean(coordinates ** 3, axis=0))
    signs[signs == 0] = 1
    return cloud.mean(axis=0), axes * signs[:, None]


def rotation(source, target):
    u, _, v = numpy.linalg.svd(source.T @ target)
    return u @ v


def pca_attack(stolen, photographs, others, axes=24):
    own_mean, own = principal(stolen)
    mean, public = principal(others)
    return (stolen - own_mean) @ own[:axes].T, (photographs - mean) @ public[:axes].T


def vec2vec_attack(stolen, photographs, others):
    """From the principal axes to a map of all dimensions, by pairs that find each other."""
    from_stolen, from_photographs = pca_attack(stolen, photographs, others)
    left, right = stolen - stolen.mean(axis=0), photographs - photographs.mean(axis=0)
    for _ in range(15):
        scores = unit(from_stolen) @ unit(from_photographs).T
        best, back = numpy.argmax(scores, axis=1), numpy.argmax(scores, axis=0)
        mutual = numpy.flatnonzero(back[best] == numpy.arange(len(best)))
        from_stolen, from_photographs = left @ rotation(left[mutual], right[best[mutual]]), right
    return from_stolen, from_photographs


def procrustes_attack(stolen, photographs, known):
    return stolen @ rotation(stolen[known], photographs[known]), photographs


def attack(stolen, photographs, others):
    known, wanted = numpy.arange(KNOWN), numpy.arange(KNOWN, PEOPLE)
    pairs = {'direct': (stolen, photographs), 'PCA': pca_attack(stolen, photographs, others),
             'vec2vec': vec2vec_attack(stolen, photographs, others), 'Procrustes': procrustes_attack(stolen, photographs, known)}
    return {name: linked(a, b, wanted) for name, (a, b) in pairs.items()}


# ---------------------------------------------------------------- sites

def enrol(name, templates):
    """A site's database; returns the payloads in the order of people, for the score alone."""
    with server() as connection:
        connection.execute(f'DROP DATABASE IF EXISTS {PREFIX}{name}')
        connection.execute(f'CREATE DATABASE {PREFIX}{name}')
    with server(PREFIX + name) as connection:
        connection.execute('SET client_min_messages = warning')
        connection.execute('CREATE EXTENSION facematch CASCADE')
        connection.execute('INSERT INTO facematch.model (name, tag, dims) VALUES (%s, %s, %s)', ('m', MODEL, DIMS))
        connection.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed)"
                           " VALUES ('F', 'flight', 'm', 0.5, now() + interval '2 hours', %s)", (name == 'sealed',))
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)"
                               " VALUES (1, md5(%s)::uuid, 'us_citizen', %s::text::face_embedding, 's')",
                               [(str(i), '[' + ','.join(f'{x:.6g}' for x in t) + ']') for i, t in enumerate(templates)])
        rows = connection.execute('SELECT embedding::text FROM facematch.reference ORDER BY reference_id').fetchall()
    return [payload_of(text) for (text,) in rows]


def set_keys():
    """A directory that the server makes for itself, for a server without one."""
    with server() as connection:
        connection.execute("LOAD 'facematch'")
        if connection.execute("SELECT current_setting('facematch.key_directory') <> ''"
                              " OR current_setting('facematch.key_command') <> ''").fetchone()[0]:
            return None
        directory = f'/tmp/{PREFIX}keys.{os.getpid()}'
        connection.execute(f"COPY (SELECT) TO PROGRAM 'mkdir -m 700 {directory}'")
        connection.execute(f"ALTER SYSTEM SET facematch.key_directory = '{directory}'")
        connection.execute('SELECT pg_reload_conf()')
    for _ in range(100):
        with server() as connection:
            connection.execute("LOAD 'facematch'")
            if connection.execute("SELECT current_setting('facematch.key_directory')").fetchone()[0] == directory:
                return directory
    raise SystemExit('the server does not take facematch.key_directory')


def drop_slot():
    with server() as connection:
        connection.execute('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s',
                           (PREFIX + 'wal',))


def tidy(directory):
    drop_slot()
    with server() as connection:
        for name in SITES:
            connection.execute(f'DROP DATABASE IF EXISTS {PREFIX}{name}')
        if directory is not None:
            connection.execute('ALTER SYSTEM RESET facematch.key_directory')
            connection.execute('SELECT pg_reload_conf()')
            connection.execute(f"COPY (SELECT) TO PROGRAM 'rm -rf {directory}'")


def main():
    random = numpy.random.default_rng(20261129)
    model = Model(random)
    people = model.people(PEOPLE)
    enrolled, photographs = model.photographs(people), model.photographs(people)
    others = model.photographs(model.people(OTHERS))
    secret = numpy.linalg.qr(random.standard_normal((DIMS, DIMS)))[0]
    failures = []
    directory = set_keys()
    try:
        print('| site | stolen | ' + ' | '.join(ATTACKS) + ' |')
        print('|---|---|' + '---|' * len(ATTACKS))
        for site in SITES:
            with server() as connection:
                (start,) = connection.execute('SELECT pg_walfile_name(pg_current_wal_lsn())').fetchone()
                # The thief's copy of the archive: no checkpoint takes its files meanwhile.
                connection.execute('SELECT pg_create_physical_replication_slot(%s, true)', (PREFIX + 'wal',))
            payloads = enrol(site, enrolled @ secret if site == 'rotated' else enrolled)
            stolen = {'dump': from_dump(PREFIX + site), 'heap': from_heap(PREFIX + site), 'WAL': from_wal(start)}
            drop_slot()
            for source, found in stolen.items():
                there = [p in found for p in payloads]
                if sum(there) < PEOPLE * 0.95:
                    failures.append(f'{site}: {source} has {sum(there)} of {PEOPLE} values')
                    continue
                # What a copy lost at the edge of a page the thief does without.
                templates = numpy.array([as_template(p) if t else numpy.zeros(DIMS) for p, t in zip(payloads, there)])
                result = attack(templates, photographs, others)
                print(f'| {site} | {source} | ' + ' | '.join(f'{result[name]:.1%}' for name in ATTACKS) + ' |')
                failures += judge(site, source, result)
    finally:
        tidy(directory)
    for failure in failures:
        print('FAILED', failure)
    sys.exit(1 if failures else 0)


def judge(site, source, result):
    wanted = {'unsealed': ('direct', 'PCA', 'vec2vec', 'Procrustes'), 'rotated': ('PCA', 'vec2vec', 'Procrustes')}.get(site, ())
    for name in ATTACKS:
        least = 10 * CHANCE if name == 'PCA' else FALLS
        if name in wanted and result[name] < least:
            yield f'{site}, {source}: {name} links {result[name]:.1%}, so that it is no attack'
        if site == 'sealed' and result[name] > AT_CHANCE:
            yield f'{site}, {source}: {name} links {result[name]:.1%}'


if __name__ == '__main__':
    main()
