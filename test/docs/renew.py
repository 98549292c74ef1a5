#!/usr/bin/python3
"""Writes what psql prints today into the text blocks of Markdown files, where it is not what they print already.

    renew.py FILE...

Give a new SQL block an empty text block first.  Identifiers and times become "...", for they differ from run to run; mask by
hand what else does, and read the difference (git diff) before you commit it.  Needs what blocks.py needs.
"""
import re
import sys

import blocks

VARIES = re.compile(r'\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b'
                    r'|\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[+-]\d\d(:\d\d)?|\b[0-9a-f]{64}\b')


def renew(path):
    printed = []
    blocks.compare = lambda path, block, got: printed.append((block, blocks.trimmed(got))) or True
    blocks.run(path)
    with open(path, encoding='utf-8') as file:
        lines = file.read().split('\n')
    # From the end, so that line numbers above stay right.
    for block, got in reversed(printed):
        if block.output is None or blocks.matches(blocks.trimmed(block.output), got):
            continue
        begin = block.line + len(block.lines) + 1
        while not lines[begin].lstrip().startswith('```'):
            begin += 1
        lines[begin + 1:begin + 1 + len(block.output)] = [VARIES.sub('...', line) for line in got]
    with open(path, 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines))


if __name__ == '__main__':
    if not sys.argv[1:]:
        sys.exit(__doc__)
    for name in sys.argv[1:]:
        renew(name)
