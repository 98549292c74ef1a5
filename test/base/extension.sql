-- The extension is what its control file says, and what it makes belongs to it.
SELECT extname, extrelocatable, n.nspname AS schema FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace
WHERE extname = 'facematch';

-- Everything public has a comment.
SELECT d.classid::regclass AS catalog, pg_describe_object(d.classid, d.objid, 0) AS without_comment
FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'facematch')
  AND d.deptype = 'e' AND d.classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass,
                                        'pg_namespace'::regclass, 'pg_am'::regclass, 'pg_opclass'::regclass)
  AND obj_description(d.objid, d.classid::regclass::name) IS NULL
  AND NOT EXISTS (SELECT FROM pg_class c WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind IN ('i', 'S'))
  AND NOT EXISTS (SELECT FROM pg_type t WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid AND (t.typrelid <> 0 OR t.typelem <> 0))
ORDER BY 1, 2;
SELECT a.attrelid::regclass AS relation, a.attname AS without_comment
FROM pg_depend d JOIN pg_class c ON c.oid = d.objid JOIN pg_attribute a ON a.attrelid = c.oid
WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'facematch')
  AND d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relkind IN ('r', 'p', 'v', 'm')
  AND a.attnum > 0 AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL
ORDER BY 1, 2;

-- Nothing in schema facematch is granted to PUBLIC that reads or writes a table.
SELECT c.oid::regclass AS granted_to_public FROM pg_class c, aclexplode(c.relacl) a
WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND a.grantee = 0;
SELECT has_schema_privilege('pg_monitor', 'facematch', 'USAGE') AS public_uses_schema;

-- SECURITY DEFINER functions pin their search_path, pg_temp last.
SELECT oid::regprocedure AS unpinned FROM pg_proc
WHERE pronamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND prosecdef
  AND NOT EXISTS (SELECT FROM unnest(proconfig) s WHERE s LIKE 'search_path=%, pg_temp');

-- From PostgreSQL 18 on the server knows which version of which module a session has loaded.
DO $$
BEGIN
	PERFORM facematch.score_histogram('SELECT 1, 1, ''[1,0]''::face_embedding UNION ALL SELECT 2, 1, ''[0,1]''');
	IF current_setting('server_version_num')::int >= 180000 THEN
		ASSERT (SELECT array_agg(m.file_name ORDER BY m.file_name) = '{facematch.so,facematch_accuracy.so}'
				FROM pg_get_loaded_modules() m JOIN pg_extension e ON e.extname = m.module_name AND e.extversion = m.version),
			'the modules do not say what they are';
	END IF;
END
$$;

-- Whatever takes a relation says of a number that is none what it is, and no internal error.
CREATE TEMP TABLE answer (routine name, state text);
DO $$
DECLARE
	call record;
BEGIN
	FOR call IN
		SELECT p.proname AS routine, format('SELECT * FROM %s(%s)%s', p.oid::regproc, g.arguments,
											CASE WHEN p.prorettype = 'record'::regtype AND p.proargmodes IS NULL THEN ' AS (id text)' END) AS statement
		FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
		CROSS JOIN LATERAL (
			SELECT string_agg(format('%L::%s', CASE WHEN a.type = 'regclass'::regtype THEN '99999999'
													ELSE '{"B": "true", "N": "1", "S": "id", "A": "{}", "T": "1 day"}'::json ->> t.typcategory::text END,
									 format_type(a.type, NULL)), ', ' ORDER BY a.place) AS arguments
			FROM unnest(p.proargtypes) WITH ORDINALITY a (type, place) JOIN pg_type t ON t.oid = a.type
			WHERE a.place <= greatest(p.pronargs - p.pronargdefaults, array_position(p.proargtypes::oid[], 'regclass'::regtype::oid) + 1)) g
		WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'facematch')
		  AND d.classid = 'pg_proc'::regclass AND 'regclass'::regtype = ANY (p.proargtypes) AND p.prokind = 'f'
	LOOP
		BEGIN
			EXECUTE call.statement;
			INSERT INTO answer VALUES (call.routine, '00000');
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO answer VALUES (call.routine, SQLSTATE);
		END;
	END LOOP;
END
$$;
SELECT routine AS internal_error FROM answer WHERE state LIKE 'XX%';
SELECT DISTINCT routine AS knows_what_is_no_relation FROM answer WHERE state = '42P01' ORDER BY 1;
CALL facematch.erase_table(99999999);
SELECT * FROM facematch.index_stats(99999999);
SELECT facematch.retain(99999999, 'photograph');

-- pg_upgrade takes no database with a column of a type whose numbers it does not keep: those of tables and of what they are made of.
SELECT a.attrelid::regclass AS refused_by_pg_upgrade, a.attname, a.atttypid::regtype
FROM pg_attribute a JOIN pg_depend e ON e.classid = 'pg_class'::regclass AND e.objid = a.attrelid AND e.deptype = 'e'
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.atttypid IN ('regcollation'::regtype, 'regconfig'::regtype, 'regdictionary'::regtype,
	'regnamespace'::regtype, 'regoper'::regtype, 'regoperator'::regtype, 'regproc'::regtype, 'regprocedure'::regtype);

-- A database of any encoding gets it, with comments that can be read there.
\set database :DBNAME
CREATE DATABASE regress_extension_latin1 TEMPLATE template0 LOCALE 'C' ENCODING 'LATIN1';
CREATE DATABASE regress_extension_euc_jp TEMPLATE template0 LOCALE 'C' ENCODING 'EUC_JP';
CREATE DATABASE regress_extension_euc_kr TEMPLATE template0 LOCALE 'C' ENCODING 'EUC_KR';
\c regress_extension_latin1
CREATE EXTENSION facematch CASCADE;
SELECT current_setting('server_encoding'), count(*) > 500 AS comments, count(*) FILTER (WHERE description ~ '[^ -~]') AS not_ascii
FROM pg_description d JOIN pg_depend e ON e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e';
\c regress_extension_euc_jp
CREATE EXTENSION facematch CASCADE;
SELECT current_setting('server_encoding'), count(*) > 500 AS comments, count(*) FILTER (WHERE description ~ '[^ -~]') AS not_ascii
FROM pg_description d JOIN pg_depend e ON e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e';
\c regress_extension_euc_kr
CREATE EXTENSION facematch CASCADE;
SELECT current_setting('server_encoding'), count(*) > 500 AS comments, count(*) FILTER (WHERE description ~ '[^ -~]') AS not_ascii
FROM pg_description d JOIN pg_depend e ON e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e';
\c :database
DROP DATABASE regress_extension_latin1;
DROP DATABASE regress_extension_euc_jp;
DROP DATABASE regress_extension_euc_kr;

-- It goes as one thing, and comes back.
DROP EXTENSION facematch;
SELECT count(*) FROM pg_namespace WHERE nspname = 'facematch';
CREATE EXTENSION facematch;
