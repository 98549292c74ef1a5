/*
 * The purge's job, where pg_cron is installed in this database.
 */

CREATE FUNCTION facematch.schedule(purge text DEFAULT '* * * * *') RETURNS bigint
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name CONSTANT text := 'facematch purge in ' || current_database();
	job bigint;
	jobs bigint;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'pg_cron_is_installed',
			MESSAGE = 'pg_cron is not installed in this database',
			HINT = 'Set cron.database_name to this database, restart, and CREATE EXTENSION pg_cron; or let another '
				'scheduler CALL facematch.purge(). Due rows match nobody either way.';
	ELSIF schedule.purge IS NULL THEN
		EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job j WHERE j.jobname = $1' INTO jobs USING name;
		IF jobs > 0 THEN
			PERFORM facematch_internal.write_audit('purge_unscheduled', jsonb_build_object('jobs', jobs));
		END IF;
	ELSE
		EXECUTE 'SELECT cron.schedule($1, $2, $3)' INTO job USING name, schedule.purge, 'CALL facematch.purge()';
		PERFORM facematch_internal.write_audit('purge_scheduled',
			jsonb_build_object('job', job, 'schedule', schedule.purge));
	END IF;
	RETURN job;
END
$$;
COMMENT ON FUNCTION facematch.schedule(text) IS
	'makes pg_cron call facematch.purge(), by default every minute; a new schedule replaces the old one, and NULL '
	'removes the job. pg_cron 1.4 reads schedules in GMT; 1.5 and later also take ''10 seconds''. Returns the '
	'job''s number, or NULL. Logged. No pg_cron: 55000';
