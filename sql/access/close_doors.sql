/*
 * Last: what holds for every object, whichever part made it.
 *
 * A function that was replaced by an upgrade has lost its settings, and a new one
 * is PUBLIC's: so upgrade scripts end with this call too.
 */

CREATE FUNCTION facematch_internal.close_doors() RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	found_one record;
BEGIN
	FOR found_one IN SELECT p.oid::regprocedure AS routine, p.prosecdef AND p.prokind = 'f' AS definer,
							EXISTS (SELECT FROM facematch_internal.expected_access() e WHERE e.kind = 'everyone' AND e.object_id = p.oid) AS open
					 FROM pg_proc p WHERE p.pronamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace)
	LOOP
		EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', found_one.routine);
		IF found_one.open THEN
			EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO PUBLIC', found_one.routine);
		END IF;
		IF found_one.definer THEN
			-- Plans of its statements, with templates and pseudonyms as constants, would otherwise go to whoever asks for them.
			EXECUTE format('ALTER ROUTINE %s SET debug_print_plan = off', found_one.routine);
		END IF;
	END LOOP;
	FOR found_one IN SELECT c.oid::regclass AS view FROM pg_class c WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND c.relkind = 'v' LOOP
		-- A condition of the reader's must not see rows that the view leaves out.
		EXECUTE format('ALTER VIEW %s SET (security_barrier = true)', found_one.view);
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch_internal.close_doors() IS
	'grants PUBLIC nothing but what facematch_internal.access_right gives everyone, keeps plans of functions with the owner''s rights from being printed, and makes views barriers; for extension scripts';

SELECT facematch_internal.close_doors();
