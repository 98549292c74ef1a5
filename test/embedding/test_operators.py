"""All pairs of 1,000 real faces of both models: the three operators, face_similarity and face_match, through every kernel
that this server can run, against double-precision arithmetic in numpy that shares nothing with the extension."""
import os
import pathlib
import struct
import sys

try:
    import numpy as np
    import psycopg
except ImportError as e:
    print(f'{e} (python3-numpy, python3-psycopg)')
    sys.exit(77)

FACES = 1000
TOLERANCE = 1e-5
MODELS = {'mobilefacenet_512': (512, 0.42), 'dlib_128': (128, 0.95)}     # dimensions, a threshold that some pairs pass
KERNELS = ['portable', 'avx2', 'avx512', 'neon']
COPY_HEADER = 11 + 4 + 4            # signature, flags, length of the extension area
ARRAY_HEADER = 5 * 4                # dimensions, has nulls, element type, length, lower bound


def faces_dir():
    here = pathlib.Path(__file__).resolve().parents[2]
    return pathlib.Path(os.environ.get('FACES_DIR', here.parent / 'shared' / 'faces'))


def read_faces(model, dims):
    data = np.fromfile(faces_dir() / f'{model}.f16', dtype='<f2', count=FACES * dims)
    return data.reshape(FACES, dims).astype(np.float64)


def expected_scores(x):
    norms = np.sqrt((x * x).sum(axis=1))
    dots = x @ x.T
    distances = np.stack([np.sqrt(((x - row) ** 2).sum(axis=1)) for row in x])
    return {'<=>': 1 - dots / np.outer(norms, norms), '<->': distances, '<#>': -dots}


def load(conn, model, x):
    conn.execute(f'CREATE TABLE {model} (id int, e face_embedding({x.shape[1]}, 1))')
    with conn.cursor().copy(f'COPY {model} FROM STDIN') as copy:
        for i, row in enumerate(x):
            copy.write(f'{i}\t[{",".join(map(repr, row.tolist()))}]\n')
    # what follows is about arithmetic only: the components must have arrived unchanged
    stored = conn.execute(f'SELECT array_agg(e::float8[] ORDER BY id) FROM {model}').fetchone()[0]
    assert np.array_equal(np.array(stored), x), 'components changed on the way in'


def scores(conn, model, expression):
    """A float8 matrix of an expression over all pairs a, b."""
    query = f'SELECT ARRAY(SELECT {expression} FROM {model} b ORDER BY b.id) FROM {model} a ORDER BY a.id'
    with conn.cursor().copy(f'COPY ({query}) TO STDOUT BINARY') as copy:
        data = b''.join(bytes(block) for block in copy)
    rows, at = [], COPY_HEADER
    while (fields := struct.unpack_from('>h', data, at)[0]) == 1:
        size = struct.unpack_from('>i', data, at + 2)[0]
        rows.append(np.frombuffer(data, [('size', '>i4'), ('value', '>f8')], (size - ARRAY_HEADER) // 12, at + 6 + ARRAY_HEADER)['value'])
        at += 6 + size
    assert fields == -1
    return np.array(rows, dtype=np.float64)


def use_kernel(conn, name):
    try:
        conn.execute(f"SET facematch.simd = '{name}'")
    except psycopg.errors.InvalidParameterValue:
        return False
    assert conn.execute('SELECT facematch.simd_level()').fetchone()[0] == name
    return True


def check(what, found, expected):
    error = np.abs(found - expected).max()
    print(f'{what}: {found.size} pairs, largest error {error:.2e}')
    assert found.shape == expected.shape == (FACES, FACES) and error <= TOLERANCE, what


def check_decisions(conn, model, threshold, similarity):
    expression = f"face_match(a.e, b.e, {threshold})::int::float8"
    decisions = scores(conn, model, expression)
    assert np.array_equal(decisions == 1, similarity >= threshold), f'{model}: face_match is not the similarity against the threshold'
    by_operator = scores(conn, model, f'(a.e =~ face_probe(b.e, {threshold}))::int::float8')
    assert np.array_equal(decisions, by_operator), f'{model}: =~ and face_match differ'
    passed = int(decisions.sum()) - FACES
    assert 0 < passed < FACES * (FACES - 1), f'{model}: {passed} pairs pass {threshold}: the check says nothing'


def main():
    if not (faces_dir() / 'mobilefacenet_512.f16').exists():
        print('the real faces are not here (FACES_DIR)')
        return 77
    with psycopg.connect(f"dbname={os.environ.get('PGDATABASE', 'postgres')}", autocommit=True) as conn:
        for model, (dims, threshold) in MODELS.items():
            x = read_faces(model, dims)
            load(conn, model, x)
            expected = expected_scores(x)
            for kernel in (k for k in KERNELS if use_kernel(conn, k)):
                for operator, matrix in expected.items():
                    check(f'{model} {kernel} {operator}', scores(conn, model, f'a.e {operator} b.e'), matrix)
            similarity = scores(conn, model, 'face_similarity(a.e, b.e)')
            check(f'{model} face_similarity', similarity, 1 - expected['<=>'])
            check_decisions(conn, model, threshold, similarity)
    return 0


sys.exit(main())
