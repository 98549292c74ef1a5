"""pgvector's own Python client reads and writes an untagged face_embedding: register_vector_info with our type."""
import os
import sys

import wire

try:
    import psycopg
    from psycopg.types import TypeInfo
    from pgvector import Vector
    from pgvector.psycopg.vector import register_vector_info
except ImportError as e:
    print(f'pgvector-python is not installed: {e}')
    sys.exit(77)


def main():
    assert Vector(wire.PGVECTOR_COMPONENTS).to_binary() == wire.PGVECTOR_BYTES
    templates = wire.some_templates(20, 512)
    with psycopg.connect(f"dbname={os.environ.get('PGDATABASE', 'postgres')}", autocommit=True) as conn:
        register_vector_info(conn, TypeInfo.fetch(conn, 'face_embedding'))
        conn.execute('CREATE TABLE face (id bigint, embedding face_embedding(512))')
        for i, t in enumerate(templates):
            conn.execute('INSERT INTO face VALUES (%s, %b)' if i % 2 else 'INSERT INTO face VALUES (%s, %t)', [i, Vector(t)])
        for binary in (True, False):
            rows = conn.cursor(binary=binary).execute('SELECT embedding FROM face ORDER BY id').fetchall()
            assert [[wire.half(v) for v in r[0].to_list()] for r in rows] == [[wire.half(v) for v in t] for t in templates]
        with conn.cursor().copy('COPY face FROM STDIN BINARY') as copy:
            copy.set_types(['int8', 'face_embedding'])
            for i, t in enumerate(templates):
                copy.write_row((i, Vector(t)))
        twice = conn.execute('SELECT count(*) FROM face a JOIN face b USING (id, embedding)').fetchone()[0]
        assert twice == 4 * len(templates), twice


main()
