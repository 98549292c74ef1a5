/*
 * The stream of rights: opt-outs, merges, holds, rules and notices, one event for each
 * change, to be kept outside the database and replayed (src/retention/rights.c).
 *
 * A table of rights has a trigger write_right(). Its arguments say how another
 * database, where rows have other numbers, finds the row:
 *
 *	what		the word for the object, as in the audit log
 *	keys		its key here, the columns that log_row() has
 *	left out	columns that another database fills in itself
 *	same		a condition in SQL: a row d there is the object of an event's row n
 *	end			the column that ends it, once; '': its columns may change
 *
 * The events of a site have numbers without gaps, given while the transaction commits.
 * So after number n, no lower number appears later.
 */

CREATE TABLE facematch_internal.site (
	site	uuid NOT NULL DEFAULT gen_random_uuid(),
	since	timestamptz NOT NULL DEFAULT clock_timestamp(),
	rules_from	uuid,
	CONSTRAINT site_pkey PRIMARY KEY (site)
);
COMMENT ON TABLE facematch_internal.site IS
	'which site this database is: the oldest row, so that a restored dump stays the same site. If a copy becomes '
	'another site: UPDATE facematch_internal.site SET site = gen_random_uuid()';
COMMENT ON COLUMN facematch_internal.site.site IS 'the site in facematch.rights_event';
COMMENT ON COLUMN facematch_internal.site.since IS 'when it was made';
COMMENT ON COLUMN facematch_internal.site.rules_from IS
	'the site whose rules, classes, kinds of events and law of declining are in force at all sites; NULL: this one is'
	' alone';
INSERT INTO facematch_internal.site DEFAULT VALUES;
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.site', '');

CREATE TABLE facematch.rights_event (
	site	uuid NOT NULL,
	number	bigint NOT NULL,
	at		timestamptz NOT NULL,
	actor	text NOT NULL,
	what	text NOT NULL,
	before	jsonb,
	after	jsonb,
	CONSTRAINT rights_event_pkey PRIMARY KEY (site, number),
	CONSTRAINT rights_event_number_counts CHECK (number > 0),
	CONSTRAINT rights_event_says_something CHECK (before IS NOT NULL OR after IS NOT NULL)
);
COMMENT ON TABLE facematch.rights_event IS
	'the stream of rights: opt-outs, merges, holds, rules, who may decline, and notices, and how they changed or '
	'ended; rows are never changed. Keep a copy outside the database, and replay it with facematch.replay_rights()';
COMMENT ON COLUMN facematch.rights_event.site IS 'where it happened, a row of facematch_internal.site there';
COMMENT ON COLUMN facematch.rights_event.number IS
	'from 1 without gaps, in the order in which the site committed them';
COMMENT ON COLUMN facematch.rights_event.at IS 'when it was committed; never before the event before it';
COMMENT ON COLUMN facematch.rights_event.actor IS 'the session''s user who did it';
COMMENT ON COLUMN facematch.rights_event.what IS
	'what it is about, as the log calls it: opt_out, hold, subjects, rule, ...';
COMMENT ON COLUMN facematch.rights_event.before IS 'the row before; NULL: it is new';
COMMENT ON COLUMN facematch.rights_event.after IS
	'the row from then on; NULL: it was deleted. gallery and gallery_until name the gallery that it is '
	'about; a posting has the texts of its notice';
SELECT pg_catalog.pg_extension_config_dump('facematch.rights_event', '');
SELECT facematch_internal.keep_as_record('facematch.rights_event');

CREATE FUNCTION facematch_internal.write_right() RETURNS trigger
	LANGUAGE C SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET intervalstyle = 'postgres'
	SET quote_all_identifiers = off
	AS 'MODULE_PATHNAME', 'facematch_write_right';
COMMENT ON FUNCTION facematch_internal.write_right() IS
	'constraint trigger after a row, deferred: writes what became of it to the stream of rights. Arguments: what the row'
	' is, its key columns as the log has them, columns that the stream leaves out, the condition that row d is the one of'
	' row n, and the column that ends it';
