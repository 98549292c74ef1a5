#!/usr/bin/python3
"""The documentation: SQL blocks print what the pages print, the reference is that of this tree, lines are short, links
lead somewhere, and pages for users name only what is in schema facematch.

    test_docs.py [PAGE...]        only these pages, and without the reference

PGHOST, PGUSER and so on lead to a server, as a superuser; for the reference, PGDATABASE to a database with the extension.
"""
import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'test', 'docs'))
import blocks
import reference

LONGEST = 119

# For who changes facematch; so are the READMEs beside the code.  All other pages are for who uses it.
DESIGN = {'docs/design.md', 'docs/reference.md'}
failures = 0


def fail(*said):
    global failures
    failures += 1
    print(*said)


def pages():
    found = [path for path in glob.glob('**/*.md', recursive=True) if 'node_modules' not in path]
    if len(found) < 20:
        fail('where are the pages?', found)
    return sorted(found)


def lines_of(path):
    """The lines of a page, each with the language of the fenced block that it stands in, or None."""
    fenced = None
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            fence = re.match(r' {0,3}```', line)
            language = fenced if fence and fenced else line.strip(' `\n') or 'none' if fence else fenced
            yield number, line.rstrip('\n'), language
            if fence:
                fenced = None if fenced else language


def anchors(path):
    """The headings of a page as links name them."""
    found = set()
    for _, line, fenced in lines_of(path):
        if line.startswith('#') and not fenced:
            text = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', line.lstrip('#').strip()).lower()
            found.add(re.sub(r'[^\w\- ]', '', text).replace(' ', '-'))
    return found


def is_for_users(path):
    return (path == 'README.md' or os.path.dirname(path) == 'docs') and path not in DESIGN


def check_text(path):
    for number, line, fenced in lines_of(path):
        if 'facematch_internal.' in line and is_for_users(path):
            fail(f'{path}:{number}: what a user needs is in schema facematch, not in facematch_internal')
        # The rows of a table cannot be broken, nor what a program printed.
        if len(line) > LONGEST and fenced != 'text' and not line.startswith('|'):
            fail(f'{path}:{number}: {len(line)} characters')
        for target in [] if fenced else re.findall(r'\]\(([^)\s]+)\)', re.sub('`[^`]*`', '', line)):
            if re.match('[a-z]+:', target):
                continue
            file, _, anchor = target.partition('#')
            file = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
            if not os.path.exists(file):
                fail(f'{path}:{number}: {target} is not there')
            elif anchor and anchor not in anchors(file):
                fail(f'{path}:{number}: {file} has no heading #{anchor}')


def check_blocks(path):
    """Returns how many blocks were run."""
    todo = [block for block in blocks.blocks(path) if block.runs]
    if todo and not blocks.run(path):
        fail(f'{path}: see above')
    return len(todo)


def check_reference():
    page = reference.page()
    for number, line in enumerate(page.split('\n'), 1):
        if 'NO COMMENT' in line:
            fail(f'docs/reference.md:{number}: this has no comment')
    with open('docs/reference.md', encoding='utf-8') as file:
        if file.read() != page:
            fail('docs/reference.md is not current: script/reference makes it')


def main():
    os.chdir(ROOT)
    wanted = [os.path.relpath(path, ROOT) for path in sys.argv[1:]]
    if not wanted:
        check_reference()
    with open('docs/README.md', encoding='utf-8') as file:
        listed = file.read()
    run = 0
    for path in wanted or pages():
        check_text(path)
        if os.path.dirname(path) == 'docs' and path != 'docs/README.md' and f'({os.path.basename(path)})' not in listed:
            fail(f'{path} is not in docs/README.md')
        run += check_blocks(path)
    if not wanted and run < 30:
        fail(f'only {run} blocks were run')
    print(f'{run} blocks run, {failures} failures')
    return failures != 0


if __name__ == '__main__':
    sys.exit(main())
