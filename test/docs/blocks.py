#!/usr/bin/python3
"""The fenced blocks of a Markdown file: print them, or run its SQL and compare what psql prints with what the file prints.

    blocks.py print FILE LANGUAGE [HEADING]   the blocks of this language, under this heading if one is named
    blocks.py run FILE [COUNT]                every SQL block (or the first COUNT) in one psql session in a new database

A block is run when its fence says sql and no comment <!-- not run: REASON --> stands before it.  A text block that follows
it, with nothing but blank lines between, is what psql prints on its standard output and error; a block without one must only
raise no error.  In a text block ... stands for anything: within a line for what differs from run to run (blanks may then be
more or fewer, and rulers longer), and alone on a line for any lines.  The new database has the extension, unless the file
creates it.  PGHOST, PGUSER and so on lead to a server, as a superuser; roles that the blocks create are dropped again.
"""
import difflib
import os
import re
import subprocess
import sys

FENCE = re.compile(r'( {0,3})(`{3,})\s*(\w*)\s*$')
NOT_RUN = re.compile(r'\s*<!--\s*not run:\s*\S.*-->\s*$')
ANYTHING = re.compile(r'\.\.\.|\u2026')
MARK = '--- end of block {} ---'


class Block:
    def __init__(self, line, language, heading, after):
        self.line, self.language, self.heading, self.after = line, language, heading, after
        self.lines = []
        self.output = None

    @property
    def runs(self):
        return self.language == 'sql' and not NOT_RUN.match(self.after)

    @property
    def text(self):
        return '\n'.join(self.lines) + '\n'


def blocks(path):
    """The blocks of a file in order; the text block that follows a SQL block is its output."""
    found, block, closing, heading, last, previous = [], None, None, '', '', None
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip('\n')
            fence = FENCE.match(line)
            if block is None:
                if fence:
                    block = Block(number, fence.group(3), heading, last)
                    closing = re.compile(r' {0,3}%s`*\s*$' % fence.group(2))
                elif line.startswith('#'):
                    heading = line.strip('# ')
                if line.strip() and block is None:
                    last, previous = line, None
            elif closing.match(line):
                if block.language == 'text' and previous is not None:
                    previous.output = block.lines
                previous = block if block.language == 'sql' else None
                found.append(block)
                block, last = None, ''
            else:
                block.lines.append(line)
    if block is not None:
        sys.exit(f'{path}:{block.line}: this block has no end')
    return found


def psql(*args, **kwargs):
    done = subprocess.run(['psql', '-X', '-P', 'pager=off', *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding='utf-8', **kwargs)
    if done.returncode != 0:
        sys.exit(f'psql failed:\n{done.stdout}')
    return done.stdout


def matches(printed, got):
    """Whether the lines got are those printed."""
    if not any(ANYTHING.search(line) for line in printed):
        return printed == got
    expression = ''
    for line in map(loosened, printed):
        if ANYTHING.fullmatch(line):
            expression += '(?:.*\n)*?'
        else:
            expression += '.*'.join(map(re.escape, ANYTHING.split(line))) + '\n'
    return re.fullmatch(expression, ''.join(loosened(line) + '\n' for line in got)) is not None


def loosened(line):
    """A line without what depends on the width of a column."""
    return re.sub('-{3,}', '---', re.sub(r'\s+', ' ', re.sub(r'\s*\|\s*', '|', line))).strip()


def trimmed(lines):
    """Without blanks at the ends of lines, and empty lines at the end."""
    lines = [line.rstrip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def compare(path, block, got):
    got = trimmed(got)
    if block.output is None:
        errors = [line for line in got if re.match(r'(ERROR|FATAL|PANIC|invalid command|psql):? ', line)]
        if not errors:
            return True
        print(f'{path}:{block.line}: this block raises an error, and prints no output that says so')
        print('\n'.join(got))
        return False
    printed = trimmed(block.output)
    if matches(printed, got):
        return True
    print(f'{path}:{block.line}: this block does not print what the file prints')
    print('\n'.join(difflib.unified_diff(printed, got, 'printed', 'got', lineterm='')))
    return False


def run(path, count=None):
    todo = [block for block in blocks(path) if block.runs][:count]
    if not todo:
        sys.exit(f'{path} has no SQL block to run')
    database = 'blocks_' + re.sub(r'\W', '_', os.path.basename(path).lower())
    roles = "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname !~ '^pg_'"
    before = set(psql('-qAt', '-c', roles).split())
    psql('-q', '-c', f'DROP DATABASE IF EXISTS {database}', '-c', f'CREATE DATABASE {database}')
    if not any(re.search(r'CREATE EXTENSION .*\bfacematch\b', block.text) for block in todo):
        psql('-q', '-d', database, '-c', 'CREATE EXTENSION facematch CASCADE')
    script = ''.join(f'{block.text}\n\\echo {MARK.format(number)}\n' for number, block in enumerate(todo))
    try:
        rest = psql('-d', database, input=script).split('\n')
    finally:
        psql('-q', '-c', f'DROP DATABASE {database}')
        for role in set(psql('-qAt', '-c', roles).split()) - before:
            psql('-q', '-c', f'DROP ROLE {role}')
    good = True
    for number, block in enumerate(todo):
        if MARK.format(number) not in rest:
            sys.exit(f'{path}:{block.line}: psql did not come to the end of this block\n' + '\n'.join(rest))
        end = rest.index(MARK.format(number))
        good = compare(path, block, rest[:end]) and good
        rest = rest[end + 1:]
    print(f'{path}: {len(todo)} SQL blocks run')
    return good


def main(args):
    if len(args) in (3, 4) and args[0] == 'print':
        found = [block for block in blocks(args[1]) if block.language == args[2] and args[3:] in ([], [block.heading])]
        if not found:
            sys.exit(f'{args[1]} has no such block')
        print(''.join(block.text for block in found), end='')
    elif len(args) in (2, 3) and args[0] == 'run':
        sys.exit(not run(args[1], int(args[2]) if args[2:] else None))
    else:
        sys.exit(__doc__)


if __name__ == '__main__':
    main(sys.argv[1:])
