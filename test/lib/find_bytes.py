#!/usr/bin/python3
"""Which templates can still be found in the files below a directory.

find_bytes.py DIRECTORY TEMPLATES [INDEX CTIDS]: TEMPLATES has one template a line, as face_embedding prints it.  Each is
looked for as it is stored (half precision), as single precision in either byte order, and as text; a sealed one as its
ciphertext and as text.  INDEX is a copy of a
facematch index's file, CTIDS the rows, one a line, whose refinement codes and second bits are looked for.  Prints for
each kind how many are there to be found and how many were, then the files they were found in.
"""
import base64
import collections
import os
import re
import struct
import sys

import numpy as np

PAGE = 8192
PIECE = 8               # bytes that are looked for; a hit is then compared at full length
SIEVE_BITS = 22         # passes few words on to the exact comparison
SKETCH, REFINE, PLANE = 6, 7, 8     # kinds of pages, at their end
ENTRY_HEAD = 14         # of a refinement code of 512 dimensions: row, and numbers beside it
PLANE_BYTES = 64        # of their second bits
# Where a sketch page names its two refinement pages and its plane page; the size and number of a refinement page's
# entries; where a plane page has the first template's second bits, and how far apart.  Of plain templates, and of sealed.
Layout = collections.namedtuple('Layout', 'named entry entries planes stride')
PLAIN, SEALED = Layout(56, 142, 56, 960, 64), Layout(68, 154, 48, 72, 84)


def pieces(data, length, step):
    """Parts of a value, long and varied enough not to come about by chance."""
    for at in range(0, len(data) - length + 1, step):
        piece = data[at:at + length]
        if len(set(piece)) >= length // 2:
            yield piece


def needles_of(line):
    text = line.strip()
    if text.startswith('sealed:'):
        yield 'stored', pieces(base64.b64decode(text.rsplit(':', 1)[1]), 16, 64)
        yield 'text', pieces(text.encode(), 24, 384)
        return
    values = np.array([float(x) for x in re.sub(r'^.*\[|\]$', '', text).split(',')], dtype=np.float32)
    yield 'stored', pieces(values.astype('<f2').tobytes(), 16, 64)
    yield 'single precision', pieces(values.astype('<f4').tobytes(), 16, 128)
    yield 'on the wire', pieces(values.astype('>f4').tobytes(), 16, 128)
    yield 'text', pieces(text.encode(), 24, 384)


def codes_of(index, ctids, layout):
    """Refinement codes and second bits by row, from the pages of an index: of sealed templates their ciphertext."""
    wanted = {struct.pack('<HHH', block >> 16, block & 0xffff, line): (block, line) for block, line in ctids}
    pages = [index[start:start + PAGE] for start in range(0, len(index), PAGE)]
    kinds = [struct.unpack('<H', page[-4:-2])[0] for page in pages]
    found = {}
    for sketch in (page for page, kind in zip(pages, kinds) if kind == SKETCH):
        named = struct.unpack('<III', sketch[layout.named:layout.named + 12])
        for slot in range(2 * layout.entries):
            refine, plane = named[slot // layout.entries], named[2]
            if refine >= len(pages) or plane >= len(pages) or (kinds[refine], kinds[plane]) != (REFINE, PLANE):
                continue
            at = 24 + slot % layout.entries * layout.entry
            row = wanted.get(pages[refine][at:at + 6])
            if row is not None:
                start = layout.planes + slot * layout.stride
                found[row] = (pages[refine][at + ENTRY_HEAD:at + ENTRY_HEAD + 32], pages[plane][start:start + PLANE_BYTES])
    return found


def slot_of(words):
    """A place in the sieve, by multiplicative hashing."""
    return (words * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - SIEVE_BITS)


def search(path, first, sieve, by_first):
    """Needles in one file, at any offset."""
    with open(path, 'rb') as f:
        data = f.read()
    hits = set()
    for shift in range(PIECE):
        count = (len(data) - shift) // PIECE
        if count <= 0:
            continue
        words = np.frombuffer(data, dtype='<u8', count=count, offset=shift)
        likely = np.nonzero(sieve[slot_of(words)])[0]
        places = np.searchsorted(first, words[likely])
        places[places == len(first)] = 0
        for i in likely[first[places] == words[likely]]:
            at = shift + int(i) * PIECE
            for needle, what in by_first[int(words[i])]:
                if data[at:at + len(needle)] == needle:
                    hits.add(what)
    return hits


def main():
    needles, total, layout = {}, {}, PLAIN
    with open(sys.argv[2], encoding='ascii') as f:
        for n, line in enumerate(f):
            if line.startswith('sealed:'):
                layout = SEALED
            for kind, parts in needles_of(line):
                total[kind] = total.get(kind, 0) + 1
                for part in parts:
                    needles[part] = (kind, n)
    if len(sys.argv) > 3:
        with open(sys.argv[3], 'rb') as f:
            index = f.read()
        with open(sys.argv[4], encoding='ascii') as f:
            ctids = [tuple(int(x) for x in re.findall(r'\d+', line)) for line in f]
        codes = codes_of(index, ctids, layout)
        for kind, values in zip(('code', 'second bits'), zip(*codes.values())):
            total[kind] = len(set(values))
            for value in values:
                for part in pieces(value, 16, 16):
                    needles[part] = (kind, value)
    by_first = {}
    for needle, what in needles.items():
        by_first.setdefault(struct.unpack('<Q', needle[:PIECE])[0], []).append((needle, what))
    first = np.array(sorted(by_first), dtype='<u8')
    sieve = np.zeros(1 << SIEVE_BITS, dtype=bool)
    sieve[slot_of(first)] = True

    found, files = {}, []
    for directory, _, names in os.walk(sys.argv[1]):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.isfile(path):
                continue
            hits = search(path, first, sieve, by_first)
            if hits:
                files.append((os.path.relpath(path, sys.argv[1]), sorted({kind for kind, _ in hits}), len(hits)))
            for hit in hits:
                found.setdefault(hit[0], set()).add(hit)
    for kind in total:
        print(f'{kind}: {len(found.get(kind, ()))} of {total[kind]}')
    for path, kinds, hits in sorted(files):
        print(f'in {path}: {hits} ({", ".join(kinds)})')


if __name__ == '__main__':
    main()
