/*
 * Tables whose code cannot be stopped (src/base/quarantine.c).
 */

CREATE TABLE facematch_internal.quarantined (
	relation	oid NOT NULL,
	since		timestamptz NOT NULL
);
COMMENT ON TABLE facematch_internal.quarantined IS
	'tables of users whose code has caught every cancel, until its session was ended: none of it runs any more until '
	'facematch.release()';
COMMENT ON COLUMN facematch_internal.quarantined.relation IS 'the table; of a partition, the table that it is part of';
COMMENT ON COLUMN facematch_internal.quarantined.since IS 'when';
