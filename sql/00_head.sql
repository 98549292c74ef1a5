\echo Use "CREATE EXTENSION facematch CASCADE" to load this file. \quit

/*
 * The extension script is joined from sql/NN_*.sql in the order of their numbers:
 *   00      this head
 *   1x      the type face_embedding, its operators and operator classes (in @extschema@)
 *   2x      the access method (in @extschema@)
 *   4x      models, galleries and references
 *   5x      pseudonyms and matching
 *   6x      retention, opt-outs, encounters and purges
 *   8x      roles and their rights, partners, disclosures
 *   9x      accuracy and reports; last, what closes every object to PUBLIC
 */

/*
 * Functions here run with the rights of the extension's owner and name the type's schema.  Whoever owns that schema can rename it
 * and put another with functions of one's own in its place: so it belongs to a superuser.  In PostgreSQL 15 public is the database owner's.
 */
DO $$
BEGIN
	IF EXISTS (SELECT FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
			   JOIN pg_catalog.pg_roles o ON o.oid = CASE WHEN n.nspowner = 'pg_database_owner'::pg_catalog.regrole THEN d.datdba ELSE n.nspowner END
			   WHERE n.oid = '@extschema@'::pg_catalog.regnamespace AND NOT o.rolsuper) THEN
		RAISE insufficient_privilege USING
			MESSAGE = 'schema @extschema@ belongs to a role that is no superuser',
			DETAIL = 'Its owner could put functions in the place of those that the extension''s call with the rights of its own owner.',
			HINT = 'Create a schema as a superuser, and CREATE EXTENSION facematch SCHEMA name CASCADE.';
	END IF;
END
$$;

CREATE SCHEMA facematch;
COMMENT ON SCHEMA facematch IS
	'facematch: galleries of face templates, 1:1 and 1:N matching, opt-outs, retention and purges. Nothing in it is granted to PUBLIC.';
