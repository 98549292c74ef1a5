#!/usr/bin/python3
"""memory of a connection: private bytes of a backend before and after it searches (/proc/PID/smaps)"""
import argparse
import pathlib
import re
import subprocess

import psycopg

from facebench import db, faces, report

IN_KB = ('Private_Clean', 'Private_Dirty')
MANY = 1000
# address range, permissions of which the last tells shared from private
MAPPING = re.compile(r'[0-9a-f]+-[0-9a-f]+ ...([ps]) ')


def private_kb(conn):
    """What would come free if the backend ended: of mappings that are not shared.  Pages of shared memory that no other process
    happens to have touched are the kernel's "private" too, and are not counted."""
    total, shared = 0, False
    with open(f'/proc/{conn.info.backend_pid}/smaps', encoding='ascii') as f:
        for line in f:
            if mapping := MAPPING.match(line):
                shared = mapping[1] == 's'
            elif not shared and line.startswith(IN_KB):
                total += int(line.split()[1])
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', type=int, default=200_000, help='templates in the large gallery (default 200,000)')
    args = parser.parse_args()
    subprocess.run(['make', '-s', '-C', str(pathlib.Path(__file__).resolve().parent)], check=True)
    with db.connect() as conn:
        dims = faces.DIMS['full-rank']
        db.create_table(conn, 'staged', 'face_embedding', dims)
        db.copy_rows(conn, 'staged', db.set_blocks('full-rank', args.rows))
        conn.execute("INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, %s)", [dims])
        conn.execute("INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) "
                     "SELECT n, 'flight', 'm', 0.4, now() + interval '1 day' FROM unnest(ARRAY['small', 'large']) n")
        conn.execute('INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) '
                     "SELECT CASE WHEN id < 400 THEN 1 ELSE 2 END, gen_random_uuid(), 'us_citizen', embedding, 'passport' FROM staged")
        conn.execute('VACUUM ANALYZE facematch.reference')
        db.prewarm(conn, 'facematch.reference', 'facematch.facematch_reference_face_idx')
        probe = db.scalar(conn, 'SELECT embedding::text FROM staged LIMIT 1')

    report.table(f'Private kilobytes of a backend, galleries of 400 and {args.rows - 400:,} × {dims}', 'after', 'kB', 'more')
    with psycopg.connect('', autocommit=True) as conn:
        before = None

        def note(what):
            nonlocal before
            kb = private_kb(conn)
            report.row(what, f'{kb:,}', '' if before is None else f'{kb - before:+,}')
            before = kb

        def search(gallery, times=1):
            for _ in range(times):
                conn.execute('SELECT * FROM facematch.identify(%s::face_embedding, %s)', [probe, gallery], prepare=True)

        note('connecting')
        conn.execute('SELECT count(*) FROM pg_class')
        note('any first query')
        search('small')
        note('the first identify(), gallery of 400')
        search('small', MANY)
        note(f'{MANY:,} more')
        search('large')
        note('the first in the large gallery')
        search('large', MANY)
        note(f'{MANY:,} more')
        conn.execute('SELECT subject_id FROM facematch.reference WHERE gallery_id = 2 ORDER BY embedding <=> %s::face_embedding LIMIT 10', [probe])
        note('ten nearest in the large gallery, no threshold')


main()
