/*
 * Reports: counts, never rows.
 */

/*
 * Whoever owns a table can lock it, for as long as a session lasts.  What looks at all tables waits a second (SET lock_timeout) for
 * the first that is locked, a tenth of it for each other, and then says that it has not looked.
 */
CREATE FUNCTION facematch_internal.wait_less() RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT set_config('lock_timeout', '100ms', true)
$$;
COMMENT ON FUNCTION facematch_internal.wait_less() IS 'shortens the wait for locks in the function that calls it and has SET lock_timeout';
