#!/usr/bin/env python3
"""A thief with copies and without keys: what a dump, the files of the table and of its index, and the WAL are worth to him.

Three sites enrol the same 1,000 people: one stores templates as they are, one turns them by a secret rotation first (the usual
answer, here as a control), one is sealed.  The thief has each site's dump, heap, index and WAL, photographs of everybody enrolled
(which the public model makes templates of), those of 1,000 other people, and as a variant knows 600 of the enrolled.  He wants
to know who the other 400 are.  Chance is one in 400.

    direct       the stolen bytes as a template
    PCA          principal axes of the stolen and of a public cloud, signs by skewness
    vec2vec      the same, then a linear map fitted to its own best matches, again and again; no pair is known
    Procrustes   a rotation fitted to the 600 known pairs

Of the index he takes one bit a dimension, whether a template lies on this or that side, and inverts it: with the seed that the
index has, he turns the signs back (1-bit compressed sensing) and has something near to each template for these attacks.

The unsealed and the rotated site have to fall, or the attacks are none; the sealed one has to be at chance.
"""
import base64
import itertools
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


def tids(connection):
    """Where each person's row is, in the order of people: for the score alone."""
    rows = connection.execute('SELECT ctid::text FROM facematch.reference ORDER BY reference_id').fetchall()
    return [tuple(int(n) for n in re.findall(r'\d+', tid)) for (tid,) in rows]


# ---------------------------------------------------------------- the index

PAGE, HEADER, SPECIAL = 8192, 24, 24
CENTRE, SKETCH, REFINE = 5, 6, 7        # kinds of pages
NONCE, SLOTS, SCALARS = 12, 16, 8       # bytes; sketches a block; bytes of numbers beside a code
CODE = DIMS // 2                        # of refinement, and DIMS // 4 of a sketch: four and two bits a dimension


class Layout:
    """Where sketch and refinement pages of 128 dimensions have things (src/index/page.h)."""

    def __init__(self, sealed):
        self.entry = 6 + SCALARS + CODE + (NONCE if sealed else 0)
        most = (PAGE - HEADER - SPECIAL) // self.entry
        self.stride = SLOTS * (DIMS // 4 + SCALARS)
        for blocks in range((PAGE - HEADER - SPECIAL) // self.stride, 0, -1):
            self.slots = blocks * SLOTS
            pages = -(-self.slots // most)
            self.bitmap = HEADER + 16 + (16 if sealed else 0)
            self.named = -(-(self.bitmap + self.slots // 8) // 4) * 4
            self.blocks = -(-(self.named + 4 * pages + (blocks * NONCE if sealed else 0)) // 8) * 8
            if self.blocks + blocks * self.stride <= PAGE - SPECIAL:
                break
        self.refine_slots = -(-self.slots // pages)


def split_mix(seed):
    """The numbers that a rotation is drawn from."""
    mask = (1 << 64) - 1
    for n in itertools.count(1):
        z = (seed + n * 0x9E3779B97F4A7C15) & mask
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        yield z ^ (z >> 31)


def rotation_of(seed):
    """The matrix by which an index turns columns: signs, a Hadamard transform and angles, three times."""
    numbers = split_mix(seed)
    words = [next(numbers) for _ in range(3 * DIMS // 64)]
    signs = numpy.array([1 - 2 * (word >> bit & 1) for word in words for bit in range(64)], dtype=float).reshape(3, DIMS)
    tangents = numpy.array([next(numbers) for _ in range(3 * DIMS // 2)], dtype=numpy.uint64).astype(numpy.int64) / 2.0 ** 63
    angles = 2 * numpy.arctan(tangents).reshape(3, DIMS // 2)
    hadamard = numpy.array([[1.0]])
    while len(hadamard) < DIMS:
        hadamard = numpy.block([[hadamard, hadamard], [hadamard, -hadamard]])
    turned = numpy.eye(DIMS)
    for sign, angle in zip(signs, angles):
        turned = hadamard @ (sign[:, None] * turned) / DIMS ** 0.5
        low, high = turned[:DIMS // 2], turned[DIMS // 2:]
        cosine, sine = numpy.cos(angle)[:, None], numpy.sin(angle)[:, None]
        turned = numpy.vstack([low * cosine - high * sine, low * sine + high * cosine])
    return turned


def from_index(database, sealed):
    """By row: what its signs say of its template."""
    with server(database) as connection:
        connection.execute('CHECKPOINT')
        (data,) = connection.execute("SELECT pg_read_binary_file(pg_relation_filepath('facematch.stolen_index'))").fetchone()
    pages = [data[at:at + PAGE] for at in range(0, len(data), PAGE)]
    kinds = [struct.unpack('<H', page[-4:-2])[0] for page in pages]
    (epochs,) = struct.unpack('<H', pages[0][34:36])
    epoch = [struct.unpack('<QIHhBBBB', pages[0][40 + 24 * i:60 + 24 * i]) for i in range(epochs)]
    seed, centre_page = next((e[0], e[1]) for e in epoch if e[2] == DIMS)
    centre = numpy.zeros(DIMS)
    if centre_page < len(pages) and kinds[centre_page] == CENTRE:
        # The mean of unit vectors, or nothing to go by.
        read = numpy.frombuffer(pages[centre_page][HEADER:HEADER + 4 * DIMS], '<f4')
        if numpy.all(numpy.abs(read) < 1) and read @ read < 1:
            centre = read.astype(float)
    layout, back, found = Layout(sealed), rotation_of(seed).T, {}
    for page in (page for page, kind in zip(pages, kinds) if kind == SKETCH):
        for slot in range(layout.slots):
            if not page[layout.bitmap + slot // 8] >> slot % 8 & 1:
                continue
            at = layout.named + 4 * (slot // layout.refine_slots)
            (refine,) = struct.unpack('<I', page[at:at + 4])
            entry = pages[refine][HEADER + slot % layout.refine_slots * layout.entry:]
            high, low, line = struct.unpack('<HHH', entry[:6])
            block = layout.blocks + slot // SLOTS * layout.stride
            sketch = numpy.frombuffer(page, numpy.uint8)[block + slot % SLOTS:block + SLOTS * DIMS // 4:SLOTS]
            signs = (sketch[:, None] >> numpy.array([1, 3, 5, 7]) & 1).ravel() * 2.0 - 1
            found[high << 16 | low, line] = back @ (centre + signs * ((1 - centre @ centre) / DIMS) ** 0.5)
    return found


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
        connection.execute('CREATE INDEX stolen_index ON facematch.reference USING facematch (embedding)')
        rows = connection.execute('SELECT embedding::text FROM facematch.reference ORDER BY reference_id').fetchall()
        return [payload_of(text) for (text,) in rows], tids(connection)


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
            payloads, rows = enrol(site, enrolled @ secret if site == 'rotated' else enrolled)
            stolen = {'dump': from_dump(PREFIX + site), 'heap': from_heap(PREFIX + site), 'WAL': from_wal(start)}
            drop_slot()
            stolen = {source: {p: as_template(p) for p in found} for source, found in stolen.items()}
            stolen['index'] = from_index(PREFIX + site, site == 'sealed')
            for source, found in stolen.items():
                wanted = rows if source == 'index' else payloads
                there = [w in found for w in wanted]
                if sum(there) < PEOPLE * 0.95:
                    failures.append(f'{site}: {source} has {sum(there)} of {PEOPLE} values')
                    continue
                # What a copy lost at the edge of a page the thief does without.
                templates = numpy.array([found[w] if t else numpy.zeros(DIMS) for w, t in zip(wanted, there)])
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
    if source == 'index':
        # Signs blur the axes, by chance more or less: what needs no pair falls sometimes.
        wanted = [name for name in wanted if name in ('direct', 'Procrustes')]
    for name in ATTACKS:
        least = 10 * CHANCE if name == 'PCA' else FALLS
        if name in wanted and result[name] < least:
            yield f'{site}, {source}: {name} links {result[name]:.1%}, so that it is no attack'
        if site == 'sealed' and result[name] > AT_CHANCE:
            yield f'{site}, {source}: {name} links {result[name]:.1%}'


if __name__ == '__main__':
    main()
