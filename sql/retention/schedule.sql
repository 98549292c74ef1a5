/*
 * Jobs, where pg_cron is installed in this database.
 */

CREATE FUNCTION facematch_internal.check_cron() RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'pg_cron_is_installed',
			MESSAGE = 'pg_cron is not installed in this database',
			HINT = 'Set cron.database_name to this database, restart, and CREATE EXTENSION pg_cron; or let another '
				'scheduler CALL facematch.purge(). Due rows match nobody either way.';
	END IF;
END
$$;
COMMENT ON FUNCTION facematch_internal.check_cron() IS 'refuses (55000) where there is no pg_cron';

CREATE FUNCTION facematch.schedule(purge text DEFAULT '* * * * *') RETURNS bigint
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	job bigint;
BEGIN
	PERFORM facematch_internal.check_cron();
	EXECUTE 'SELECT cron.schedule($1, $2, $3)' INTO job
		USING 'facematch purge in ' || current_database(), schedule.purge, 'CALL facematch.purge()';
	PERFORM facematch_internal.write_audit('purge_scheduled', jsonb_build_object('job', job, 'schedule', schedule.purge));
	RETURN job;
END
$$;
COMMENT ON FUNCTION facematch.schedule(text) IS
	'makes pg_cron call facematch.purge(), by default every minute; a new schedule replaces the old one. pg_cron 1.4 '
	'reads schedules in GMT; 1.5 and later also take ''10 seconds''. Returns the job''s number. Logged. No pg_cron: '
	'55000';

CREATE FUNCTION facematch.unschedule() RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	jobs bigint;
BEGIN
	PERFORM facematch_internal.check_cron();
	EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job j WHERE j.jobname = $1' INTO jobs
		USING 'facematch purge in ' || current_database();
	IF jobs > 0 THEN
		PERFORM facematch_internal.write_audit('purge_unscheduled', jsonb_build_object('jobs', jobs));
	END IF;
	RETURN jobs > 0;
END
$$;
COMMENT ON FUNCTION facematch.unschedule() IS 'takes the job away; whether there was one. Logged. No pg_cron: 55000';
