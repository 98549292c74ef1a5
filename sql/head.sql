\echo Use "CREATE EXTENSION facematch CASCADE" to load this file. \quit

/*
 * The extension script is joined from the parts that sql/MANIFEST lists, in that order: reading order. A part is of
 * one domain, the folder it is in; it needs no part that comes after it.
 *
 * Three schemas: the type, its operators and the access method are in @extschema@; facematch has what a person calls,
 * reads or writes; facematch_internal has everything else.
 */

/*
 * Functions here run with the privileges of the extension's owner and name the type's schema. The owner of that schema
 * can rename it and put another schema with functions of his own in its place, so it has to belong to a superuser. In
 * PostgreSQL 15, public belongs to the database's owner.
 */
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_database d
		ON d.datname = pg_catalog.current_database()
			   JOIN pg_catalog.pg_roles o ON o.oid = CASE WHEN n.nspowner = 'pg_database_owner'::pg_catalog.regrole
			       THEN d.datdba ELSE n.nspowner END
			   WHERE n.oid = '@extschema@'::pg_catalog.regnamespace AND NOT o.rolsuper) THEN
		RAISE insufficient_privilege USING CONSTRAINT = 'schema_is_safe',
			MESSAGE = 'schema @extschema@ belongs to a role that is not a superuser',
			DETAIL = 'Its owner could put functions in the place of those that the extension''s call with the rights '
				'of its own owner.',
			HINT = 'Create a schema as a superuser, and CREATE EXTENSION facematch SCHEMA name CASCADE.';
	END IF;
END
$$;

CREATE SCHEMA facematch;
COMMENT ON SCHEMA facematch IS
	'facematch: galleries of face templates, 1:1 and 1:N matching, opt-outs, retention and purges. Nothing in it is '
	'granted to PUBLIC.';

CREATE SCHEMA facematch_internal;
COMMENT ON SCHEMA facematch_internal IS
	'what facematch is built of: nothing in it is for users to call. Nothing in it is granted to PUBLIC but what row '
	'security and checks call.';
