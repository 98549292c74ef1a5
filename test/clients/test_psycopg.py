"""face_embedding through psycopg 3: parameters and results, text and binary, binary COPY both ways, errors."""
import math
import os
import struct
import sys

import wire

try:
    import psycopg
    from psycopg.adapt import Dumper, Loader
    from psycopg.pq import Format
    from psycopg.types import TypeInfo
except ImportError:
    print('psycopg 3 is not installed (python3-psycopg)')
    sys.exit(77)

DIMS = 512
TAG = 7


class Template:
    """What an application would write: components and tag, sent and received in binary."""

    def __init__(self, components, tag=0):
        self.components, self.tag = list(components), tag

    def __eq__(self, other):
        return (self.components, self.tag) == (other.components, other.tag)

    def stored(self):
        return Template([wire.half(v) for v in self.components], self.tag)


def register(conn):
    info = TypeInfo.fetch(conn, 'face_embedding')
    assert info is not None and info.array_oid
    info.register(conn)

    class BinaryDumper(Dumper):
        format = Format.BINARY
        oid = info.oid

        def dump(self, value):
            return wire.pack(value.components, value.tag)

    class BinaryLoader(Loader):
        format = Format.BINARY

        def load(self, data):
            return Template(*wire.unpack(bytes(data)))

    conn.adapters.register_dumper(Template, BinaryDumper)
    conn.adapters.register_loader(info.oid, BinaryLoader)


def check_same_bytes_as_pgvector(conn):
    sent = Template(wire.PGVECTOR_COMPONENTS)
    assert wire.pack(sent.components) == wire.PGVECTOR_BYTES
    row = conn.execute('SELECT face_embedding_send(%b), face_dims(%b), face_model(%b), %b::text',
                       [sent] * 4).fetchone()
    assert bytes(row[0]) == wire.PGVECTOR_BYTES
    assert row[1:] == (3, 0, '[1,-2.5,0.125]'), row[1:]


def check_parameters(conn, templates):
    conn.execute(f'CREATE TABLE face (id bigint PRIMARY KEY, embedding face_embedding({DIMS}, {TAG}))')
    with conn.cursor() as cur:
        cur.executemany('INSERT INTO face VALUES (%s, %b)', list(enumerate(templates)))
    for binary in (True, False):
        for i in (0, 1, len(templates) - 1):
            got = conn.cursor(binary=binary).execute('SELECT embedding FROM face WHERE id = %s', [i], prepare=True).fetchone()[0]
            if binary:
                assert got == templates[i].stored()
            else:
                tag, _, values = got.partition(':')
                assert int(tag) == TAG
                assert [wire.half(float(v)) for v in values.strip('[]').split(',')] == templates[i].stored().components
    # text in, binary out: the same value
    conn.execute('INSERT INTO face VALUES (-1, %s)', [wire.text(templates[0].components, TAG)])
    assert conn.execute('SELECT embedding = (SELECT embedding FROM face WHERE id = 0) FROM face WHERE id = -1').fetchone()[0]
    conn.execute('DELETE FROM face WHERE id = -1')


def check_copy(conn, templates):
    conn.execute(f'CREATE TABLE copied (id bigint, embedding face_embedding({DIMS}, {TAG}))')
    with conn.cursor().copy('COPY copied FROM STDIN BINARY') as copy:
        copy.set_types(['int8', 'face_embedding'])
        for row in enumerate(templates):
            copy.write_row(row)
        copy.write_row((len(templates), None))
    same = conn.execute('SELECT count(*) FROM face JOIN copied USING (id) WHERE face.embedding = copied.embedding').fetchone()[0]
    assert same == len(templates), same
    with conn.cursor().copy('COPY (SELECT id, embedding FROM copied ORDER BY id) TO STDOUT BINARY') as copy:
        copy.set_types(['int8', 'face_embedding'])
        rows = list(copy.rows())
    assert rows[-1] == (len(templates), None)
    assert [r[1] for r in rows[:-1]] == [t.stored() for t in templates]


def check_arrays(conn, templates):
    got = conn.cursor(binary=True).execute('SELECT array_agg(embedding ORDER BY id) FROM face').fetchone()[0]
    assert got == [t.stored() for t in templates]


def cosine_distance(a, b):
    return 1 - math.fsum(x * y for x, y in zip(a, b)) / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))


def check_search(conn, templates):
    probe = Template([v + 0.001 for v in templates[3].components], TAG)
    rows = conn.execute('SELECT id, embedding <=> %b FROM face ORDER BY embedding <=> %b LIMIT 5', [probe, probe], prepare=True).fetchall()
    want = sorted((cosine_distance(t.stored().components, probe.stored().components), i) for i, t in enumerate(templates))[:5]
    assert [r[0] for r in rows] == [i for _, i in want] and rows[0][0] == 3
    assert all(abs(d - w) < 1e-5 for (_, d), (w, _) in zip(rows, want))


def check_lists(conn, templates):
    """A list of float goes as double precision[]: a column takes it, an operator and a function take it with the cast."""
    values = templates[3].components
    conn.execute('INSERT INTO face VALUES (-2, %s)', [values])
    for array in ('real[]', 'double precision[]'):
        nearest = conn.execute(f'SELECT id FROM face ORDER BY embedding <=> %s::{array}::face_embedding, id LIMIT 2', [values])
        assert nearest.fetchall() == [(-2,), (3,)], array
    conn.execute('DELETE FROM face WHERE id = -2')
    conn.execute("INSERT INTO facematch.model (name, tag, dims) VALUES ('m', %s, %s)", [TAG, DIMS])
    conn.execute("""INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at)
        VALUES ('XX1', 'flight', 'm', 0.4, now() + interval '4 hours')""")
    conn.execute("""INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
        SELECT gallery_id, facematch.subject_id('UTO', 'passport', 'P1'), 'us_citizen', %s, 'test' FROM facematch.gallery""", [values])
    found = conn.execute("SELECT rank FROM facematch.identify(%s::real[]::face_embedding, 'XX1')", [values]).fetchall()
    assert found == [(1,)], found
    matched = conn.execute('SELECT match FROM facematch.verify(%s::real[]::face_embedding, (SELECT reference_id FROM facematch.reference))',
                           [values]).fetchall()
    assert matched == [(True,)], matched


# Binary values that must be refused, and with which SQLSTATEs.
SECRET = 0.123456789
HOSTILE = {
    'empty': (b'', {'08P01', '22P03'}),
    'header cut': (b'\0\3\0', {'08P01', '22P03'}),
    'components cut': (wire.pack([SECRET, 1, 1])[:-2], {'08P01', '22P03'}),
    'a byte too many': (wire.pack([SECRET, 1, 1]) + b'\0', {'22P03'}),
    'no dimensions': (struct.pack('>hh', 0, 0), {'22P03', '22023', '22000'}),
    'negative dimensions': (struct.pack('>hhf', -1, 0, SECRET), {'22P03', '22023', '54000', '22000'}),
    'too many dimensions': (struct.pack('>hh', 32767, 0) + b'\0' * 4 * 32767, {'22P03', '54000', '22023', '22000'}),
    'negative tag': (struct.pack('>hhf', 1, -5, SECRET), {'22P03', '22003'}),
    'NaN': (wire.pack([SECRET, math.nan]), None),
    'infinity': (wire.pack([SECRET, math.inf]), None),
    'beyond half precision': (wire.pack([SECRET, 65520.0]), {'22003'}),
    'only zeros': (wire.pack([0.0, 0.0]), None),
}


def check_errors(conn):
    class Raw(bytes):
        pass

    class RawDumper(Dumper):
        format = Format.BINARY
        oid = TypeInfo.fetch(conn, 'face_embedding').oid

        def dump(self, value):
            return bytes(value)

    conn.adapters.register_dumper(Raw, RawDumper)
    for what, (data, states) in HOSTILE.items():
        try:
            conn.execute('SELECT %b', [Raw(data)])
        except psycopg.Error as e:
            said = ' '.join(str(x) for x in (e, e.diag.message_detail, e.diag.message_hint, e.diag.context))
            assert '0.123' not in said, f'{what}: a component in the message'
            assert e.sqlstate in states if states else e.sqlstate[:2] == '22', f'{what}: SQLSTATE {e.sqlstate}'
        else:
            raise AssertionError(f'{what}: accepted')


def main():
    with psycopg.connect(f"dbname={os.environ.get('PGDATABASE', 'postgres')}", autocommit=True) as conn:
        register(conn)
        templates = [Template(t, TAG) for t in wire.some_templates(40, DIMS)]
        check_same_bytes_as_pgvector(conn)
        check_parameters(conn, templates)
        check_copy(conn, templates)
        check_arrays(conn, templates)
        check_search(conn, templates)
        check_lists(conn, templates)
        check_errors(conn)


main()
