-- What the extension has made in this database, a line for each thing: "kind, name: what it is".  Two databases whose
-- lines are equal cannot be told apart by anybody who uses the extension.  Owners are told as whether they own the extension;
-- pg_attver, a number that the server gives each column, is left out.
WITH extension AS (SELECT oid, extowner FROM pg_extension WHERE extname = 'facematch'),
member AS (
	SELECT d.classid, d.objid, i.type, i.identity
	FROM extension e
	JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e',
	pg_identify_object(d.classid, d.objid, 0) i
),
relation AS (SELECT c.*, m.identity FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid),
function AS (SELECT p.*, m.identity FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid),
-- What belongs to a member without being one: indexes, constraints, triggers, policies…
part AS (
	SELECT 'pg_constraint'::regclass AS classid, c.oid AS objid FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid
	UNION ALL SELECT 'pg_trigger'::regclass, t.oid FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
	UNION ALL SELECT 'pg_policy'::regclass, p.oid FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
	UNION ALL SELECT 'pg_class'::regclass, i.indexrelid FROM relation r JOIN pg_index i ON i.indrelid = r.oid
	UNION ALL SELECT classid, objid FROM member
)
SELECT 'member ' || type, identity, '' FROM member
UNION ALL
SELECT 'comment', pg_describe_object(d.classoid, d.objoid, d.objsubid), d.description
FROM pg_description d JOIN part p ON p.classid = d.classoid AND p.objid = d.objoid
UNION ALL
SELECT 'extension', x.extname, jsonb_build_array(x.extnamespace::regnamespace, x.extrelocatable)::text FROM extension JOIN pg_extension x USING (oid)
UNION ALL
SELECT 'dumped rows', t.config::regclass::text, t.condition
FROM extension JOIN pg_extension x USING (oid), unnest(x.extconfig, x.extcondition) t (config, condition)
UNION ALL
SELECT 'schema', n.nspname, jsonb_build_array(n.nspowner = extowner, n.nspacl::text)::text
FROM extension, member m JOIN pg_namespace n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid
UNION ALL
SELECT 'function', identity, jsonb_build_array(proowner = extowner, proacl::text, prokind, prosrc, probin, pg_get_function_arguments(f.oid), pg_get_function_result(f.oid),
	pg_get_function_sqlbody(f.oid), prolang, provolatile, proparallel, proisstrict, prosecdef, proleakproof, proconfig, procost, prorows, prosupport)::text
FROM extension, function f
UNION ALL
SELECT 'aggregate', identity, (to_jsonb(a) - 'aggfnoid')::text FROM function f JOIN pg_aggregate a ON a.aggfnoid = f.oid
UNION ALL
SELECT 'relation', identity, jsonb_build_array(relowner = extowner, relacl::text, relkind, relpersistence, relrowsecurity, relforcerowsecurity, relreplident, reloptions,
	CASE WHEN relkind = 'v' THEN pg_get_viewdef(r.oid) END, CASE WHEN relispartition THEN pg_get_expr(relpartbound, r.oid) END)::text
FROM extension, relation r
UNION ALL
SELECT 'sequence', identity, (to_jsonb(s) - 'seqrelid')::text FROM relation r JOIN pg_sequence s ON s.seqrelid = r.oid
UNION ALL
SELECT 'column', identity || '.' || attname, jsonb_build_array(
	row_number() OVER (PARTITION BY attrelid ORDER BY attnum), format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attstorage, attcompression,
	attcollation::regcollation, attstattarget, (SELECT array_agg(o) FROM unnest(attoptions) o WHERE o NOT LIKE 'pg\_attver=%'), attacl::text, pg_get_expr(d.adbin, d.adrelid))::text
FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', identity || ' ' || conname, jsonb_build_array(pg_get_constraintdef(c.oid), convalidated, contype)::text
FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid
UNION ALL
SELECT 'index', pg_get_indexdef(i.indexrelid), jsonb_build_array(indisunique, indisprimary, indisvalid, indisclustered, indisreplident)::text
FROM relation r JOIN pg_index i ON i.indrelid = r.oid
UNION ALL
SELECT 'trigger', identity || ' ' || tgname, jsonb_build_array(pg_get_triggerdef(t.oid), tgenabled)::text
FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'policy', identity || ' ' || polname, jsonb_build_array(polcmd, polpermissive, polroles::regrole[]::text,
	pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))::text
FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
UNION ALL
SELECT 'rule', identity || ' ' || rulename, pg_get_ruledef(w.oid) FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid
UNION ALL
SELECT 'type', identity, jsonb_build_array(typowner = extowner, typacl::text, typlen, typbyval, typtype, typcategory, typispreferred, typdelim, typinput, typoutput,
	typreceive, typsend, typmodin, typmodout, typanalyze, typsubscript, typalign, typstorage, typnotnull, format_type(typbasetype, typtypmod), typcollation::regcollation,
	typdefault, (SELECT array_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
	(SELECT array_agg(conname || ' ' || pg_get_constraintdef(oid) ORDER BY conname) FROM pg_constraint WHERE contypid = t.oid))::text
FROM extension, member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
UNION ALL
SELECT 'operator', identity, jsonb_build_array(oprowner = extowner, oprkind, oprcanmerge, oprcanhash, oprresult::regtype,
	oprcom::regoperator, oprnegate::regoperator, oprcode, oprrest, oprjoin)::text
FROM extension, member m JOIN pg_operator o ON m.classid = 'pg_operator'::regclass AND o.oid = m.objid
UNION ALL
SELECT 'operator class', identity, jsonb_build_array(opcowner = extowner, opcintype::regtype, opcdefault, opckeytype::regtype,
	(SELECT f.opfname FROM pg_opfamily f WHERE f.oid = opcfamily))::text
FROM extension, member m JOIN pg_opclass o ON m.classid = 'pg_opclass'::regclass AND o.oid = m.objid
UNION ALL
SELECT 'operator of family', identity, jsonb_build_array(amopstrategy, amoppurpose, amopopr::regoperator, (SELECT opfname FROM pg_opfamily f WHERE f.oid = amopsortfamily))::text
FROM member m JOIN pg_amop a ON m.classid = 'pg_opfamily'::regclass AND a.amopfamily = m.objid
UNION ALL
SELECT 'function of family', identity, jsonb_build_array(amprocnum, amproclefttype::regtype, amprocrighttype::regtype, amproc::regprocedure)::text
FROM member m JOIN pg_amproc a ON m.classid = 'pg_opfamily'::regclass AND a.amprocfamily = m.objid
UNION ALL
SELECT 'cast', identity, jsonb_build_array(castfunc::regprocedure, castcontext, castmethod)::text
FROM member m JOIN pg_cast c ON m.classid = 'pg_cast'::regclass AND c.oid = m.objid
UNION ALL
SELECT 'access method', identity, jsonb_build_array(amhandler, amtype)::text FROM member m JOIN pg_am a ON m.classid = 'pg_am'::regclass AND a.oid = m.objid
UNION ALL
SELECT 'event trigger', identity, jsonb_build_array(evtevent, evtfoid::regprocedure, evtenabled, evttags)::text
FROM member m JOIN pg_event_trigger e ON m.classid = 'pg_event_trigger'::regclass AND e.oid = m.objid
UNION ALL
SELECT 'statistics', identity, pg_get_statisticsobjdef(s.oid) FROM relation r JOIN pg_statistic_ext s ON s.stxrelid = r.oid
UNION ALL
-- What pg_dump takes for the privileges that come with the extension.
SELECT 'initial privileges', pg_describe_object(i.classoid, i.objoid, i.objsubid), i.initprivs::text
FROM pg_init_privs i JOIN part p ON p.classid = i.classoid AND p.objid = i.objoid
ORDER BY 1, 2, 3;
