"""A database that an ordinary role owns: install as docs/install.md says, then README's block, with what README prints."""
import subprocess
import sys

sys.path.insert(0, 'test/docs')
import blocks

OWNER, DATABASE = 'facematch_test_owner', 'app'


def psql(*commands, ok=True):
    args = ['psql', '-XqAt', '-d', DATABASE] + [a for c in commands for a in ('-c', c)]
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding='utf-8')
    assert (done.returncode == 0) == ok, done.stdout
    return done.stdout


def of_the_extension():
    """Its owner has ceased to be a superuser: tables come under retention, and leave it."""
    blocks.psql('-q', '-d', 'postgres', '-c', f'CREATE ROLE {OWNER} SUPERUSER', '-c', f'CREATE DATABASE {DATABASE}')
    psql(f'SET ROLE {OWNER}', 'CREATE EXTENSION facematch CASCADE', 'RESET ROLE', f'ALTER ROLE {OWNER} NOSUPERUSER',
         'CREATE TABLE visit (id int PRIMARY KEY, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding)',
         "SELECT facematch.retain('visit', 'reference', template_column => 'e')", "SELECT facematch.release('visit')")


def drop():
    blocks.psql('-q', '-d', 'postgres', '-c', f'DROP DATABASE IF EXISTS {DATABASE}', '-c', f'DROP ROLE IF EXISTS {OWNER}')


def main():
    blocks.psql('-q', '-d', 'postgres', '-c', f'DROP DATABASE IF EXISTS {DATABASE}', '-c', f'DROP ROLE IF EXISTS {OWNER}',
                '-c', f'CREATE ROLE {OWNER}', '-c', f'CREATE DATABASE {DATABASE} OWNER {OWNER}')
    try:
        refused = psql('CREATE EXTENSION facematch CASCADE', ok=False)
        assert 'schema' in refused and 'HINT' in refused, refused
        install = [b for b in blocks.blocks('docs/install.md') if b.language == 'sql' and 'SCHEMA face' in b.text]
        assert len(install) == 1
        psql(*[line for line in install[0].lines])
        assert psql("SELECT severity FROM facematch.health_check() WHERE finding LIKE '%owns the schema%'") == ''
        block = next(b for b in blocks.blocks('README.md') if b.runs)
        text = block.text.replace('CREATE EXTENSION facematch CASCADE;\n', '')
        block.output = [line for line in block.output if 'EXTENSION' not in line and 'extension' not in line]
        assert text != block.text
        got = blocks.psql('-d', DATABASE, input=text).split('\n')
        assert blocks.compare('README.md', block, got)
        drop()
        of_the_extension()
    finally:
        drop()


main()
