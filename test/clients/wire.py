"""face_embedding on the wire, written down here from its documentation and from nothing of the extension's.

Binary: int16 dimensions, int16 model tag (0: untagged), then float4 components, all big-endian.  With tag 0 these are
the bytes that pgvector's client libraries send and read for a `vector`."""
import random
import struct

# pgvector-python: Vector([1, -2.5, 0.125]).to_binary(); pgvector-java: PGvector.toBytes of the same
PGVECTOR_COMPONENTS = [1.0, -2.5, 0.125]
PGVECTOR_BYTES = bytes.fromhex('0003' '0000' '3f800000' 'c0200000' '3e000000')


def pack(components, tag=0):
    return struct.pack(f'>hh{len(components)}f', len(components), tag, *components)


def unpack(data):
    dims, tag = struct.unpack_from('>hh', data)
    assert len(data) == 4 + 4 * dims, f'{len(data)} bytes for {dims} dimensions'
    return list(struct.unpack_from(f'>{dims}f', data, 4)), tag


def half(value):
    """As the extension stores it: read as float32, then the nearest half-precision value."""
    single, = struct.unpack('<f', struct.pack('<f', value))
    return struct.unpack('<e', struct.pack('<e', single))[0]


def text(components, tag=0):
    return (f'{tag}:' if tag else '') + '[' + ','.join(repr(v) for v in components) + ']'


def some_templates(count, dims, seed=1):
    rng = random.Random(seed)
    return [[rng.gauss(0, dims ** -0.5) for _ in range(dims)] for _ in range(count)]
