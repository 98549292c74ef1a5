#!/usr/bin/env python3
"""Ways to a template, a score or another's data that PostgreSQL offers to whoever may connect, tried by every kind of role."""
import os
import shutil
import subprocess
import uuid

import psycopg

from attack import Attacker, Failure, KINDS, PREFIX, connect, each, expect, main, near, text_of, vector

EXTENSIONS = ('dblink', 'postgres_fdw', 'file_fdw', 'pageinspect', 'pgstattuple', 'pg_visibility', 'pg_freespacemap', 'pg_buffercache',
              'pg_walinspect', 'pg_stat_statements', 'adminpack', 'amcheck', 'lo', 'xml2', 'pgrowlocks')


def granted_calls(site, kind):
    """What the kind may call, with arguments that make it work with templates; (SQL, parameters)."""
    probe = text_of(near(site, 'OWN1 1'))
    other = str(uuid.uuid4())
    return {
        'operator': [
            ("SELECT * FROM facematch.identify(%s::face_embedding, 'OWN1')", [probe]),
            ('SELECT * FROM facematch.verify(%s::face_embedding, %s)', [probe, site.first]),
            ("SELECT * FROM facematch.record_encounter('OWN1', %s::face_embedding, port => 'P')", [probe]),
            ("SELECT * FROM facematch.restage_gallery('OTHERS', (SELECT array_agg(subject_id) FROM facematch.reference WHERE gallery_id ="
             " (SELECT gallery_id FROM facematch.gallery WHERE name = 'OTHERS')))", None),
            ("SELECT * FROM facematch.explain_retention('facematch.reference', %s)", [site.first]),
            ("SELECT facematch.reference_token('Acme Air', %s)", [site.first]),
            ('INSERT INTO facematch.opt_out (subject_id) VALUES (%s)', [other])],
        'partner': [("CALL facematch.ask('OWN1', %s::face_embedding)", [probe]), ('SELECT * FROM facematch.partner_flights()', None)],
        'rival': [("CALL facematch.ask('OTHERS', %s::face_embedding)", [probe])],
        'auditor': [('SELECT * FROM facematch.health_check()', None), ('SELECT * FROM facematch.verify_audit()', None),
                    ("SELECT * FROM facematch.verify_erased('facematch.reference')", None)] + [
            (f'SELECT * FROM facematch.{name}', None) for name, in site.execute(
                "SELECT relname FROM pg_class WHERE relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND relkind = 'v' AND relname LIKE 'report%%'").fetchall()],
        'monitor': [('SELECT * FROM facematch.stats', None), ('SELECT * FROM facematch.search_latency', None)],
        'template_reader': [("CALL facematch.announce_reading('OTHERS', purpose => 'test')", None)],
    }.get(kind, [])


def test_the_eye_sees(site):
    """Each form of leak, planted: a scanner that finds nothing would pass everything."""
    template = text_of(site.templates['OWN1 1'])
    attacker = Attacker(site, 'visitor', hears_everything=True)
    # No error among them: the library takes lists of numbers out of messages.
    planted = {
        'text': ('SELECT %s::face_embedding', [template]),
        'a notice': ("DO $$ BEGIN RAISE NOTICE 'it is %', '" + template + "'::face_embedding; END $$", []),
        'binary': ('SELECT face_embedding_send(%s::face_embedding)', [template]),
        'an array': ('SELECT (%s::face_embedding)::real[]::text', [template]),
        'a printed plan': ("SELECT 1 WHERE face_norm('" + template + "'::face_embedding) < face_norm('[" + ','.join(['1'] * 64) + "]')", []),
        'a pseudonym': ('SELECT %s::uuid', [str(site.subjects['OWN1 2'])]),
    }
    for name, (sql, params) in planted.items():
        try:
            attacker.run(sql, params or None)
        except Failure:
            continue
        raise Failure(f'a leak by {name} is not seen')
    attacker.close()


def test_printed_plans(site):
    """debug_print_plan sends the plans of nested statements, with values as constants, to whoever sets it."""
    for kind, attacker in each(site, hears_everything=True):
        for setting in ('auto', 'force_custom_plan', 'force_generic_plan'):
            attacker.run(f'SET plan_cache_mode = {setting}')
            for sql, params in granted_calls(site, kind):
                attacker.run(sql, params)


def test_explain(site):
    for kind, attacker in each(site):
        for sql, params in granted_calls(site, kind):
            if sql.startswith('SELECT'):
                attacker.run('EXPLAIN (ANALYZE, VERBOSE, BUFFERS, SETTINGS) ' + sql, params)


def test_leaky_functions_and_operators(site):
    """A cheap function, or an operator that the planner tries on statistics, must not see what a policy or a view hides."""
    site.secrets = {'released secret', 'DUE PORT'}
    gallery = site.value("SELECT gallery_id FROM facematch.gallery WHERE name = 'YESTERDAY'")
    due = site.value('SELECT reference_id FROM facematch.reference WHERE gallery_id = %s', gallery)
    hidden = {str(site.subjects['due']), f'reference {due};'}
    site.secrets |= hidden
    site.execute("INSERT INTO facematch.encounter (gallery, gallery_id, port, outcome, threshold, model, retention_class, occurred_at)"
                 " SELECT name, gallery_id, 'DUE PORT', 'no_match', 0.6, 'm', 'unmatched', now() - interval '3 days' FROM facematch.gallery WHERE name = 'OWN1'")
    site.execute('ANALYZE facematch.encounter, facematch.reference, facematch.hold')
    for kind, attacker in each(site):
        attacker.run("CREATE FUNCTION pg_temp.leak(x anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE '% %;', pg_typeof(x), x; RETURN true; END $$")
        attacker.run("CREATE FUNCTION pg_temp.leak_id(x bigint) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE 'reference %;', x; RETURN true; END $$")
        attacker.run("CREATE FUNCTION pg_temp.leak2(x text, y text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE '% %;', x, y; RETURN true; END $$")
        attacker.run('CREATE OPERATOR pg_temp.<<<< (FUNCTION = pg_temp.leak2, LEFTARG = text, RIGHTARG = text, RESTRICT = scalarltsel)')
        attacker.run('CREATE OPERATOR pg_temp.==== (FUNCTION = pg_temp.leak2, LEFTARG = text, RIGHTARG = text, RESTRICT = eqsel, JOIN = eqjoinsel)')
        attacker.run('SELECT 1 FROM facematch.reference WHERE pg_temp.leak_id(reference_id)')
        for relation, column in (('reference', 'subject_id'), ('reference', 'retention_class'), ('reference', 'source'), ('encounter', 'port'), ('encounter', 'reason'),
                                 ('candidate', 'subject_id'), ('report_matching', 'port'), ('report_opt_out', 'alternative'), ('held', 'reason'), ('held', 'authority')):
            attacker.run(f'SELECT 1 FROM facematch.{relation} WHERE pg_temp.leak({column})', )
            for operator in ('<<<<', '===='):
                attacker.run(f"SELECT count(*) FROM facematch.{relation} WHERE {column}::text OPERATOR(pg_temp.{operator}) 'zz'")
                attacker.run(f"EXPLAIN SELECT count(*) FROM facematch.{relation} WHERE {column}::text OPERATOR(pg_temp.{operator}) 'zz'")
            attacker.run(f'EXPLAIN ANALYZE SELECT count(*) FROM facematch.{relation} a JOIN facematch.{relation} b ON a.{column}::text OPERATOR(pg_temp.====) b.{column}::text')
    site.secrets = set()


def test_statistics_and_activity(site):
    site.execute('ANALYZE')
    other = connect()
    other.execute(f"SELECT '{text_of(site.templates['OWN1 1'])}'::face_embedding")
    other.execute('SET application_name = %s' % psycopg.sql.Literal('x').as_string(other))
    other.execute(f"SELECT 1, '{text_of(site.templates['OWN1 2'])}'::text")
    for kind, attacker in each(site):
        attacker.run('SELECT * FROM pg_stats')
        attacker.run('SELECT most_common_vals::text, histogram_bounds::text FROM pg_stats')
        attacker.run('SELECT * FROM pg_stats_ext')
        attacker.refused('SELECT stavalues1 FROM pg_statistic')
        attacker.refused('SELECT * FROM pg_statistic_ext_data')
        attacker.run('SELECT * FROM pg_stat_activity')
        attacker.run('SELECT pg_stat_get_activity(NULL)')
        attacker.run('SELECT * FROM pg_prepared_statements')
        attacker.run('SELECT * FROM pg_cursors')
        expect('statistics of a table with row security are hidden',
               attacker.allowed("SELECT count(*) FROM pg_stats WHERE schemaname = 'facematch' AND tablename IN ('reference', 'encounter', 'pseudonym_key')")[0][0] == 0)
    other.close()


def test_shadowed_names(site):
    """Tables, views, functions, types and operators of the attacker's, wherever a search path could find them first."""
    names = ('gallery', 'reference', 'partner', 'access_grant', 'pg_class', 'pg_roles', 'pg_proc', 'pg_namespace', 'opt_out', 'retained', 'encounter')
    for kind, attacker in each(site):
        honest = [attacker.run(sql, params)[1] for sql, params in granted_calls(site, kind)]
        for name in names:
            attacker.allowed(f'CREATE TEMP TABLE {name} (name text, gallery_id bigint, min_similarity float8, rolname name, rolsuper bool, oid oid, embedding text)')
            attacker.allowed(f"INSERT INTO pg_temp.{name} VALUES ('OWN1', 1, -1, session_user, true, 10, 'x')")
        for function, arguments, result in (('clock_timestamp', '', 'timestamptz'), ('has_column_privilege', 'name, regclass, text, text', 'boolean'),
                                            ('has_column_privilege', 'name, oid, text, text', 'boolean'), ('has_table_privilege', 'name, oid, text', 'boolean'),
                                            ('pg_has_role', 'name, oid, text', 'boolean'), ('coalesce_', '', 'int'),
                                            ('face_similarity', 'face_embedding, face_embedding', 'float8'), ('face_match', 'face_embedding, face_embedding, float8', 'boolean')):
            body = {'boolean': 'true', 'float8': '1', 'timestamptz': "'-infinity'", 'int': '1'}[result]
            attacker.allowed(f"CREATE FUNCTION pg_temp.{function}({arguments}) RETURNS {result} LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'shadow called'; RETURN {body}; END $$")
        attacker.allowed("CREATE FUNCTION pg_temp.ge(float8, float8) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'shadow called'; RETURN true; END $$")
        attacker.allowed('CREATE OPERATOR pg_temp.>= (FUNCTION = pg_temp.ge, LEFTARG = float8, RIGHTARG = float8)')
        attacker.allowed('CREATE DOMAIN pg_temp.face_embedding AS text')
        attacker.allowed('CREATE DOMAIN pg_temp.uuid AS text')
        for path in ('pg_temp, public', 'pg_temp, pg_catalog, facematch, public', 'facematch, pg_temp'):
            attacker.allowed(f'SET search_path = {path}')
            for (sql, params), before in zip(granted_calls(site, kind), honest):
                _, state = attacker.run(sql.replace('::face_embedding', '::public.face_embedding'), params)
                expect(f'{kind}: {sql} is {state} under {path}, and was {before}: {attacker.message}', state == before)
                expect(f'{kind}: a shadow was called by {sql}', not any('shadow called' in heard for heard in attacker.heard))
        attacker.allowed('RESET search_path')
        # Settings that change how text is read; from PostgreSQL 19 on there is one way to read strings.
        strings = ('standard_conforming_strings = off',) if site.admin.info.server_version < 190000 else ()
        for setting in (*strings, "DateStyle = 'SQL, DMY'", "IntervalStyle = 'sql_standard'", 'extra_float_digits = -15',
                        "bytea_output = 'escape'", 'quote_all_identifiers = on', "plpgsql.extra_warnings = 'all'", 'row_security = off', 'array_nulls = off',
                        "facematch.on_opt_out = 'skip'", 'facematch.miss_probability = 0', "TimeZone = 'Asia/Kathmandu'", 'transform_null_equals = on'):
            attacker.allowed(f'SET {setting}')
            for (sql, params), before in zip(granted_calls(site, kind), honest):
                _, state = attacker.run(sql.replace('::face_embedding', '::public.face_embedding'), params)
                # With row_security off what policies would hide is an error.
                expect(f'{kind}: {sql} is {state} with {setting}, and was {before}: {attacker.message}', state == before or 'row_security' in setting)
            attacker.allowed('RESET ALL')


def test_hostile_names(site):
    hostile = ("'; DROP TABLE facematch.reference; --", '%s %I %L $1 {}', '"', "O'Hara\\", '../../etc/passwd', "'||(SELECT embedding FROM facematch.reference LIMIT 1)||'")
    before = site.value("SELECT count(*) FROM facematch.reference")
    for kind, attacker in each(site):
        for name in hostile:
            for sql in ("SELECT * FROM facematch.identify(%s::face_embedding, '{}')", "SELECT * FROM facematch.record_encounter('OWN1', %s::face_embedding, port => '{}')",
                        "CALL facematch.ask('{}', %s::face_embedding)"):
                attacker.run(sql.format(name.replace("'", "''").replace('%', '%%')), [text_of(near(site, 'OWN1 1'))])
            for sql in ("SELECT * FROM facematch.restage_gallery(%s, '{}')", 'SELECT facematch.close_gallery(%s)', "SELECT facematch.stage_gallery(%s, 'OWN1', now())",
                        "SELECT * FROM facematch.explain_retention('facematch.reference', %s)",
                        "SELECT facematch.subject_id('UTO', 'passport', %s)", 'SELECT * FROM facematch.read_templates(%s)', "CALL facematch.announce_reading(%s, purpose => 'x')",
                        "CALL facematch.announce_reading('OWN1', purpose => %s)", 'SELECT facematch.reference_token(%s, 1)',
                        "SELECT facematch.record_disclosure('Acme Air', gen_random_uuid(), %s, %s)"):
                attacker.run(sql, [name] * sql.count('%s'))
        for relation in ('pg_authid', 'pg_statistic', 'facematch.pseudonym_key', 'facematch.audit_event'):
            attacker.run(f"SELECT * FROM facematch.explain_retention('{relation}', '1')")
    expect('all references are there', site.value('SELECT count(*) FROM facematch.reference') == before)


def test_files_servers_and_other_extensions(site):
    there = [name for name in EXTENSIONS if site.execute('SELECT FROM pg_available_extensions WHERE name = %s', name).fetchall()
             and not (name == 'pg_stat_statements' and 'pg_stat_statements' not in site.value('SHOW shared_preload_libraries'))]
    for name in there:
        site.execute(f'CREATE EXTENSION IF NOT EXISTS {name}')
    path = site.value("SELECT pg_relation_filepath('facematch.reference')")
    data = site.value('SHOW data_directory')
    socket = os.environ['PGHOST']
    for kind, attacker in each(site):
        # The library's settings are its own from when it is loaded; what was set before must not stand then.
        attacker.run('SET facematch.redact_log = off')
        attacker.run("SELECT '[1,2]'::face_embedding")
        if attacker.allowed('SHOW facematch.redact_log')[0][0] != 'on':
            raise Failure(f'{kind} turned redaction off')
        for sql in (f"SELECT pg_read_binary_file('{path}')", f"SELECT pg_read_file('{path}')", "SELECT pg_ls_dir('base')", "SELECT lo_import('/etc/passwd')",
                    f"COPY (SELECT 1) TO '{data}/x'", f"CREATE TEMP TABLE f (t text); COPY f FROM '{data}/{path}'", "COPY (SELECT 1) TO PROGRAM 'cat'",
                    "CREATE EXTENSION facematch_other", 'CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw', 'CREATE SERVER s FOREIGN DATA WRAPPER file_fdw',
                    'CREATE FOREIGN DATA WRAPPER w', 'CREATE LANGUAGE plpython3u', "LOAD '$libdir/facematch'", 'ALTER SYSTEM SET work_mem = 64',
                    'CREATE SUBSCRIPTION s CONNECTION \'dbname=postgres\' PUBLICATION p', 'CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION facematch_internal.guard()',
                    "CREATE TABLESPACE t LOCATION '/tmp'", 'CREATE CAST (face_embedding AS text) WITH INOUT AS IMPLICIT', 'CREATE DATABASE d', 'CREATE ROLE r', 'CREATE SCHEMA s',
                    'CREATE TABLE facematch.mine (x int)', 'CREATE FUNCTION facematch.mine() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$', 'CREATE TABLE public.mine (x int)',
                    'ALTER EXTENSION facematch UPDATE', 'ALTER EXTENSION facematch DROP TABLE facematch.reference', 'DROP EXTENSION facematch CASCADE', 'CHECKPOINT',
                    "SECURITY LABEL ON TABLE facematch.reference IS 'x'",
                    "SELECT pg_switch_wal()", "SELECT pg_backup_start('x')" if site.admin.info.server_version >= 150000 else 'CHECKPOINT', 'ALTER TYPE face_embedding SET (SEND = NONE)',
                    'CREATE OPERATOR CLASS c FOR TYPE face_embedding USING btree AS STORAGE face_embedding', 'SET session_replication_role = replica',
                    'SET log_statement = none', "SET session_preload_libraries = 'x'", 'SET facematch.redact_log = off', 'ALTER ROLE postgres LOGIN', f"ALTER ROLE {PREFIX}{kind} SUPERUSER"):
            # An extension, language or label that is not there says so first.
            attacker.refused(sql, states=('42501', '42704', '22023', '55P02', '42P13', '58P01', '0A000'))
        attacker.run('DROP TABLE IF EXISTS pg_temp.f')
        for sql in ("SELECT * FROM get_raw_page('facematch.reference', 0)", "SELECT * FROM get_raw_page('facematch.facematch_reference_face_idx', 1)",
                    "SELECT * FROM heap_page_items(get_raw_page('facematch.reference', 0))", "SELECT * FROM pgstattuple('facematch.reference')",
                    "SELECT * FROM pg_visibility('facematch.reference')", "SELECT * FROM pg_get_wal_records_info('0/1', '0/2')", 'SELECT * FROM pg_stat_statements',
                    "SELECT pg_file_write('x', 'y', false)", "SELECT bt_index_check('facematch.reference_pkey')", "SELECT * FROM facematch_internal.index_epochs('facematch.facematch_reference_face_idx')",
                    "SELECT * FROM pgrowlocks('facematch.reference')"):
            rows, state = attacker.run(sql)
            expect(f'{kind}: {sql} told {rows}', state is not None or 'pg_stat_statements' in sql)
        for sql in (f"SELECT * FROM dblink('host={socket} dbname={site.admin.info.dbname} user=postgres', 'SELECT embedding::text FROM facematch.reference') t (e text)",
                    f"SELECT * FROM dblink('host={socket} dbname={site.admin.info.dbname} user=postgres password=x', 'SELECT embedding::text FROM facematch.reference') t (e text)"):
            rows, state = attacker.run(sql)
            expect(f'{kind}: dblink', state is not None)
    for name in there:
        site.execute(f'DROP EXTENSION {name} CASCADE')


def test_large_objects(site):
    large = site.value("SELECT lo_from_bytea(0, face_embedding_send(embedding)) FROM facematch.reference WHERE reference_id = %s", site.first)
    for kind, attacker in each(site):
        attacker.refused(f'SELECT lo_get({large})')
        attacker.refused(f'SELECT loread(lo_open({large}, 262144), 100)')
        attacker.refused(f"SELECT lo_put({large}, 0, 'x')")
        attacker.refused(f"SELECT lo_export({large}, '/tmp/x')")
        attacker.refused('SELECT * FROM pg_largeobject')
    site.execute('SELECT lo_unlink(%s)', large)


def test_replication_and_channels(site):
    for kind, attacker in each(site):
        attacker.refused("SELECT pg_create_logical_replication_slot('s', 'test_decoding')", states=('42501', '55000'))
        attacker.refused("SELECT pg_create_physical_replication_slot('s')")
        attacker.refused("SELECT * FROM pg_logical_slot_get_changes('s', NULL, NULL)")
        attacker.refused("SELECT pg_replication_origin_create('s')")
        for replication in ('database', 'true'):
            try:
                psycopg.connect(user=PREFIX + kind, replication=replication).close()
                raise Failure(f'{kind}: a replication connection')
            except psycopg.OperationalError as error:
                expect(f'{kind}: {error}', 'replication' in str(error).lower())
        for channel in ('facematch', 'reference', 'retention_rule', '"*"'):
            attacker.allowed(f'LISTEN {channel}')
        site.stage('OWN1', f'heard by {kind}')
        attacker.allowed('SELECT 1')
        expect('nothing is announced', next(iter(attacker.connection.notifies(timeout=0) if hasattr(psycopg.Connection.notifies, 'timeout') else ()), None) is None)


def test_other_identities(site):
    for kind, attacker in each(site):
        for other in ['postgres'] + [PREFIX + k for k in KINDS if k != kind]:
            attacker.refused(f'SET ROLE {other}')
            attacker.refused(f'SET SESSION AUTHORIZATION {other}')
        for state in ('SET ROLE pg_read_all_data', 'SET ROLE pg_read_server_files', f'GRANT {PREFIX}operator TO {PREFIX}{kind}', f'SELECT facematch.grant_operator(\'{PREFIX}{kind}\')'):
            attacker.refused(state, states=('42501', '0LP01'))
        attacker.run('RESET SESSION AUTHORIZATION')
        expect('itself', attacker.allowed('SELECT session_user::text, current_user::text') == [(PREFIX + kind, PREFIX + kind)])


def test_tables_of_ones_own(site):
    """Retention, triggers and foreign keys put on a table of the attacker's."""
    for kind, attacker in each(site):
        attacker.allowed('CREATE TEMP TABLE mine (id bigint PRIMARY KEY, retention_class text, recorded_at timestamptz, subject_id uuid, embedding face_embedding, purge_after timestamptz)')
        for sql in ("SELECT facematch.retain('mine', 'reference')", "SELECT facematch.release('facematch.reference')",
                    "INSERT INTO facematch_internal.retained (table_name, what, key_column, class_column, recorded_column) VALUES ('mine', 'reference', 'id', 'retention_class', 'recorded_at')",
                    "CREATE TRIGGER t BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION facematch_internal.guard('what=reference', 'key=id', 'class=retention_class', 'recorded=recorded_at', 'purge=purge_after')",
                    'CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION facematch_internal.carry_out(\'opt_out\')',
                    'CREATE RULE r AS ON INSERT TO mine DO ALSO UPDATE facematch.reference SET purge_after = now(); INSERT INTO mine (id) VALUES (1)',
                    'CREATE RULE s AS ON UPDATE TO mine DO INSTEAD SELECT embedding FROM facematch.reference; UPDATE mine SET id = 2',
                    "CREATE VIEW pg_temp.v AS SELECT * FROM facematch.reference; SELECT * FROM pg_temp.v",
                    'CREATE MATERIALIZED VIEW pg_temp.m AS SELECT embedding FROM facematch.reference', 'SELECT embedding INTO TEMP stolen FROM facematch.reference'):
            attacker.refused(sql, states=('42501', '0A000', '42P16'))
            for rule in ('r', 's'):
                attacker.run(f'DROP RULE IF EXISTS {rule} ON mine')
            attacker.run('DROP VIEW IF EXISTS pg_temp.v')


def test_writing_to_read(site):
    """Statements that write and hand back what was there."""
    for kind, attacker in each(site):
        gallery = site.value("SELECT gallery_id FROM facematch.gallery WHERE name = 'OWN1'")
        values = f"({gallery}, gen_random_uuid(), 'us_citizen', '{text_of(vector(site.generator))}', 'x')"
        into = 'INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES ' + values
        for sql in (into + ' RETURNING embedding', into + ' RETURNING *', f'INSERT INTO facematch.reference (reference_id, gallery_id, subject_id, retention_class, embedding, source)'
                    f' OVERRIDING SYSTEM VALUE VALUES ({site.first}, ' + values[1:] + ' ON CONFLICT (reference_id) DO UPDATE SET source = excluded.source RETURNING reference.embedding',
                    into + ' ON CONFLICT DO NOTHING RETURNING embedding',
                    'MERGE INTO facematch.reference r USING (VALUES (1)) v ON true WHEN MATCHED THEN UPDATE SET source = r.embedding::text',
                    'UPDATE facematch.reference SET source = embedding::text', 'UPDATE facematch.reference SET gallery_id = gallery_id RETURNING embedding',
                    'DELETE FROM facematch.reference RETURNING embedding', 'SELECT embedding FROM facematch.reference FOR UPDATE',
                    'UPDATE facematch.encounter SET reason = probe::text', 'SELECT probe FROM facematch.encounter', 'SELECT avg(embedding) FROM facematch.reference',
                    "SELECT 1 FROM facematch.reference WHERE face_match(embedding, '[1]', 0)", "SELECT reference_id FROM facematch.reference ORDER BY embedding <=> '[1]'",
                    'SELECT min(embedding::text) FROM facematch.reference', 'SELECT embedding = embedding FROM facematch.reference', 'SELECT embedding::real[] FROM facematch.reference',
                    'SELECT face_embedding_out(embedding) FROM facematch.reference', 'SELECT r.ctid FROM facematch.reference r WHERE embedding IS NOT NULL',
                    'SELECT (reference).embedding FROM facematch.reference', "SELECT * FROM query_to_xml('SELECT * FROM facematch.reference', true, true, '')",
                    "SELECT table_to_xml('facematch.reference', true, true, '')", "SELECT cursor_to_xml('c', 1, true, true, '')", 
                    "SELECT ts_stat('SELECT to_tsvector(embedding::text) FROM facematch.reference')"):
            attacker.refused(sql, states=('42501', '34000'))
        # It has what the role may read, and no more.
        attacker.run("SELECT schema_to_xml('facematch', true, true, '')")
        # What breaks a constraint, or is refused, must not print the row that it met.
        for sql in ("INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (NULL, NULL, NULL, '[1]', NULL)",
                    f"INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES ({gallery}, gen_random_uuid(), 'no such class', '{text_of(vector(site.generator))}', 'x')",
                    f"INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES ({gallery}, gen_random_uuid(), 'us_citizen', '[1,2]', 'x')",
                    "INSERT INTO facematch.decline_rule (name, retention_class, may_decline, citation) VALUES ('none', 'us_citizen', false, 'none')",
                    "SELECT facematch.identify('[1,2]', 'OWN1')", "SELECT facematch.identify('[nan]', 'OWN1')", "SELECT facematch.verify('[1,2]', 1)"):
            _, state = attacker.run(sql)
            expect(f'{kind}: {sql}', state is not None)


def test_template_readers(site):
    reader, auditor = Attacker(site, 'template_reader'), Attacker(site, 'auditor')
    read = "SELECT count(embedding) FROM facematch.read_templates('OWN2')"
    before = site.value("SELECT count(*) FROM facematch.audit_event WHERE action = 'templates_read'")
    reader.refused(read)
    reader.run('BEGIN')
    reader.refused("CALL facematch.announce_reading('OWN2', purpose => 'test')", states=('25001',))
    reader.run('ROLLBACK')
    reader.refused(read)
    for purpose in ('', '   ', '-'):
        reader.refused("CALL facematch.announce_reading('OWN2', purpose => %s)", [purpose], states=('22023',))
    reader.refused("CALL facematch.announce_reading('OWN2', purpose => NULL)", states=('22004',))
    reader.refused("CALL facematch.announce_reading('none', purpose => 'x')", states=('P0002',))
    reader.allowed("CALL facematch.announce_reading('OWN2', purpose => 'inquiry')")
    expect('read', reader.allowed(read)[0][0] == site.value("SELECT count(*) FROM facematch.reference JOIN facematch.gallery USING (gallery_id) WHERE name = 'OWN2' AND facematch.reference.purge_after > now()"))
    reader.refused(read.replace('OWN2', 'WATCH'))
    reader.refused('SELECT embedding FROM facematch.reference')
    auditor.refused(read)
    for kind in ('operator', 'partner', 'visitor'):
        other = Attacker(site, kind)
        other.refused(read)
        other.close()
    entry = auditor.allowed("SELECT actor, detail ->> 'gallery', detail ->> 'purpose' FROM facematch.audit_event WHERE action = 'templates_read' ORDER BY at DESC LIMIT 1")
    expect(f'logged: {entry}', entry == [(PREFIX + 'template_reader', 'OWN2', 'inquiry')])
    expect('once', site.value("SELECT count(*) FROM facematch.audit_event WHERE action = 'templates_read'") == before + 1)
    reader.close()
    auditor.close()


def test_dumps(site):
    program = shutil.which('pg_dump')
    for kind in KINDS:
        for options in ([], ['-t', 'facematch.reference'], ['-n', 'facematch', '--enable-row-security'], ['--data-only', '--inserts', '-t', 'facematch.*']):
            done = subprocess.run([program, '-U', PREFIX + kind, *options], capture_output=True, text=True)
            for secret in site.leaks:
                expect(f'{kind}: a dump with {options} has a template', secret not in done.stdout + done.stderr)
            # Of a schema alone the members of an extension are no part.
            expect(f'{kind}: a dump with {options} ends well', done.returncode != 0 or '-n' in options)


def test_grants_are_guarded(site):
    """Who may be granted what, and what health_check() says of grants made by hand."""
    def refused(sql):
        try:
            site.execute(sql)
        except psycopg.errors.InvalidGrantOperation:
            return
        raise Failure(f'not refused: {sql}')

    def findings(text):
        return [row for row in site.execute('SELECT severity, object, finding FROM facematch.health_check()').fetchall() if text in ' '.join(row)]

    role = PREFIX + 'visitor'
    for attribute in ('SUPERUSER', 'REPLICATION', 'BYPASSRLS', 'CREATEROLE'):
        site.execute(f'ALTER ROLE {role} {attribute}')
        for kind in ('operator', 'auditor', 'template_reader'):
            refused(f"SELECT facematch.grant_{kind}('{role}')")
        site.execute(f'ALTER ROLE {role} NO{attribute}')
        site.execute(f'ALTER ROLE {PREFIX}operator {attribute}')
        expect(f'{attribute} is found', findings('is recorded as operator and'))
        site.execute(f'ALTER ROLE {PREFIX}operator NO{attribute}')
    for group in ('pg_read_all_data', 'pg_read_server_files', 'pg_execute_server_program', 'pg_monitor', 'postgres'):
        site.execute(f'GRANT {group} TO {role}')
        refused(f"SELECT facematch.grant_auditor('{role}')")
        site.execute(f'REVOKE {group} FROM {role}')
    for sql in (f"SELECT facematch.grant_operator('{PREFIX}partner')", f"SELECT facematch.grant_auditor('{PREFIX}partner')", f"SELECT facematch.grant_partner('{PREFIX}operator', 'Acme Air')",
                f"SELECT facematch.grant_partner('{PREFIX}rival', 'Acme Air')"):
        try:
            site.execute(sql)
            if 'rival' not in sql:
                raise Failure(f'not refused: {sql}')
            site.execute(f"SELECT facematch.grant_partner('{PREFIX}rival', 'Rival Air')")
        except psycopg.errors.InvalidGrantOperation:
            pass
    site.execute(f'GRANT {PREFIX}operator TO {PREFIX}partner')
    expect('a partner in an operator\'s role is found', findings(f'may act as role {PREFIX}operator'))
    site.execute(f'REVOKE {PREFIX}operator FROM {PREFIX}partner')
    for grant, found in ((f'SELECT (embedding) ON facematch.reference TO {PREFIX}operator', 'that no record grants'), (f'SELECT ON facematch.reference TO {role}', 'reads templates'),
                         (f'UPDATE ON facematch.retention_rule TO {PREFIX}auditor', 'that no record grants'), ('SELECT ON facematch.gallery TO PUBLIC', 'PUBLIC'),
                         ('EXECUTE ON FUNCTION facematch.identify TO PUBLIC', 'PUBLIC'), (f'EXECUTE ON FUNCTION facematch_internal.keyed_hash TO {PREFIX}partner', 'that no record grants')):
        site.execute(f'GRANT {grant}')
        expect(f'{grant}: found', findings(found))
        site.execute(f"REVOKE {grant.replace(' TO ', ' FROM ')}")
        expect(f'{grant}: gone', not findings(found))
    site.execute(f'REVOKE SELECT ON facematch.audit_event FROM {PREFIX}auditor')
    expect('what is lacking is found', findings('SELECT ON TABLE facematch.audit_event'))
    site.execute('SELECT facematch.reinstate()')
    expect('and renewed', not findings('lacks privileges'))
    expect('nothing else is found', not [row for row in findings(PREFIX) if row[0] == 'error'])


if __name__ == '__main__':
    main(test_the_eye_sees, test_printed_plans, test_explain, test_leaky_functions_and_operators, test_statistics_and_activity, test_shadowed_names,
         test_hostile_names, test_files_servers_and_other_extensions, test_large_objects, test_replication_and_channels, test_other_identities,
         test_tables_of_ones_own, test_writing_to_read, test_template_readers, test_dumps, test_grants_are_guarded)
