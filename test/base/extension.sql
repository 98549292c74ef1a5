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

-- It goes as one thing, and comes back.
DROP EXTENSION facematch;
SELECT count(*) FROM pg_namespace WHERE nspname = 'facematch';
CREATE EXTENSION facematch;
