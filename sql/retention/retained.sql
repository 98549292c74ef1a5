/*
 * The tables under retention, and the guard before each of their rows
 * (src/retention/guard.c).
 */

CREATE TABLE facematch_internal.retained (
	table_name		regclass NOT NULL,
	what			text NOT NULL CONSTRAINT retained_what_is_a_name CHECK (facematch_internal.is_name(what)),
	key_column		name NOT NULL,
	class_column	name NOT NULL,
	recorded_column	name NOT NULL,
	subject_column	name,
	template_column	name,
	gallery_column	name,
	verified_column	name,
	anchor_column	name,
	keeps_row		boolean NOT NULL DEFAULT false,
	row_security	boolean NOT NULL DEFAULT false,
	shipped			boolean NOT NULL DEFAULT false,
	CONSTRAINT retained_pkey PRIMARY KEY (table_name)
);
COMMENT ON TABLE facematch_internal.retained IS 'the tables under retention: the extension''s own and those that '
	'facematch.retain() attached';
COMMENT ON COLUMN facematch_internal.retained.table_name IS 'the table';
COMMENT ON COLUMN facematch_internal.retained.what IS 'the word that the rules use for its rows: retention_rule.what';
COMMENT ON COLUMN facematch_internal.retained.key_column IS 'the column that holds name rows by';
COMMENT ON COLUMN facematch_internal.retained.class_column IS 'text column, the retention class';
COMMENT ON COLUMN facematch_internal.retained.recorded_column IS 'timestamptz column, when the row was recorded';
COMMENT ON COLUMN facematch_internal.retained.subject_column IS 'uuid column, the pseudonym; NULL: opt-outs and holds '
	'of a subject do not reach the table';
COMMENT ON COLUMN facematch_internal.retained.template_column IS 'the template; NULL: none';
COMMENT ON COLUMN facematch_internal.retained.gallery_column IS 'bigint column, the gallery whose anchor and deadline '
	'apply; NULL: none';
COMMENT ON COLUMN facematch_internal.retained.verified_column IS 'timestamptz column, when identity was verified; '
	'NULL: none';
COMMENT ON COLUMN facematch_internal.retained.anchor_column IS 'timestamptz column that takes the place of a '
	'gallery''s anchor where it is not NULL; NULL: none';
COMMENT ON COLUMN facematch_internal.retained.keeps_row IS 'whether an opt-out clears the template and leaves the row';
COMMENT ON COLUMN facematch_internal.retained.row_security IS 'whether facematch.retain() turned row security on, so '
	'that facematch.release() turns it off';
COMMENT ON COLUMN facematch_internal.retained.shipped IS 'true for the extension''s own tables';
-- A table that was dropped has left its number here, which may be another table's where the dump is restored.
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.retained',
	'WHERE NOT shipped AND table_name::pg_catalog.oid IN (SELECT c.oid FROM pg_catalog.pg_class c)');

-- PostgreSQL's own lists of ancestors and partitions leave out one that is half detached, whose rows are under
-- retention too.
CREATE VIEW facematch_internal.retained_part AS
	SELECT r.table_name, h.relation
	FROM facematch_internal.retained r CROSS JOIN LATERAL facematch_internal.with_heirs(r.table_name) h
	JOIN pg_catalog.pg_class c ON c.oid = h.relation
	WHERE h.relation = r.table_name OR c.relispartition;
COMMENT ON VIEW facematch_internal.retained_part IS 'tables under retention, each with its partitions, whatever their '
	'level';
COMMENT ON COLUMN facematch_internal.retained_part.table_name IS 'the table that is under retention';
COMMENT ON COLUMN facematch_internal.retained_part.relation IS 'itself, or a partition';

-- A table of a user's runs that user's code, by its columns' types, its triggers, or as a view: never with more rights
-- than his, nor without end (src/base/gate.c).
CREATE FUNCTION facematch_internal.ask_table(table_name regclass, query text, value text DEFAULT NULL,
	limited boolean DEFAULT true, of_opt_outs boolean DEFAULT false)
	RETURNS SETOF record
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'facematch_ask_table';
COMMENT ON FUNCTION facematch_internal.ask_table(regclass, text, text, boolean, boolean) IS
	'runs a query about a table, which it names @table, with the privileges of the table''s owner, as a restricted '
	'operation, and again for each partition that a DETACH CONCURRENTLY has half detached, which statements about the '
	'table do not read; $1 is the moment, $2 the keys of rows that holds name in the table or in one that it is a '
	'partition of (text[]), $3 the subjects that holds name (uuid[]), $4 the value, $5 the table or partition that it '
	'reads (regclass). A table of a user''s has facematch.table_timeout for it '
	'(53400), unless limited is false. Receipts of what it deletes name opt-outs as the cause, if of_opt_outs. '
	'Columns of other types than the caller names: 42804; who may not act as the owner: 42501. For the '
	'extension''s own functions';

CREATE FUNCTION facematch_internal.change_table(table_name regclass, statement text) RETURNS void
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'facematch_change_table';
COMMENT ON FUNCTION facematch_internal.change_table(regclass, text) IS
	'runs a statement that changes what a user''s table is, with the caller''s privileges; functions of the '
	'table''s own that PostgreSQL calls on the way run as its owner. For the extension''s own functions';

-- Rows that no hold keeps, as a condition of a query for facematch_internal.ask_table().
CREATE FUNCTION facematch_internal.not_held(table_name regclass) RETURNS text
	LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'facematch_not_held';
COMMENT ON FUNCTION facematch_internal.not_held(regclass) IS 'the condition that no hold keeps row d of a table under '
	'retention; for facematch_internal.ask_table()';

CREATE TABLE facematch_internal.unreached (
	relation	oid NOT NULL,
	entry		text NOT NULL,
	since		timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT unreached_pkey PRIMARY KEY (relation, entry)
);
COMMENT ON TABLE facematch_internal.unreached IS
	'rows that an opt-out, a rule or an event concerns, and that could not be reached: they match nobody, and the '
	'purge tries again (src/retention/unreached.c)';
COMMENT ON COLUMN facematch_internal.unreached.relation IS 'the table under retention';
COMMENT ON COLUMN facematch_internal.unreached.entry IS 'what they are known by: o: or e: and the subject, of an '
	'opt-out or an event; c: and the class, of a rule; g: and the gallery; l:, by what a rule that may lengthen was '
	'written, and the class: such rows are seen';
COMMENT ON COLUMN facematch_internal.unreached.since IS 'when it was tried first';

-- In the row security of a user's table, called for every row that is read.
CREATE FUNCTION facematch_internal.is_reached(table_name regclass, subject_id uuid, retention_class text,
	gallery_id bigint) RETURNS boolean
	LANGUAGE C STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_is_reached';
COMMENT ON FUNCTION facematch_internal.is_reached(regclass, uuid, text, bigint) IS
	'whether opt-outs, rules and events that concern a row of a table could be carried out there';

CREATE VIEW facematch_internal.retained_now AS
	SELECT r.*, (
			SELECT a.atttypid::regtype FROM pg_catalog.pg_attribute a
			WHERE a.attrelid = r.table_name AND a.attname = r.key_column AND a.atttypid IN ('int2'::regtype,
				'int4'::regtype, 'int8'::regtype, 'text'::regtype, 'varchar'::regtype, 'uuid'::regtype)) AS key_type,
		CASE WHEN r.shipped THEN '(purge_after > clock_timestamp())' ELSE format(
			'((purge_after > clock_timestamp()) AND facematch_internal.is_reached(%L::regclass, %s, %s, %s))', r.table_name,
			coalesce(quote_ident(r.subject_column), 'NULL::uuid'), quote_ident(r.class_column),
			coalesce(quote_ident(r.gallery_column), 'NULL::bigint')) END AS due_condition
	FROM facematch_internal.retained r JOIN pg_catalog.pg_class c ON c.oid = r.table_name;
COMMENT ON VIEW facematch_internal.retained_now IS 'the tables under retention that have not been dropped';
-- The columns of the table mean the same here.
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT a.attname, pg_catalog.col_description(a.attrelid, a.attnum) AS means FROM pg_catalog.pg_attribute a
		WHERE a.attrelid = 'facematch_internal.retained'::pg_catalog.regclass AND a.attnum > 0 AND NOT a.attisdropped LOOP
		EXECUTE pg_catalog.format('COMMENT ON COLUMN facematch_internal.retained_now.%I IS %L', c.attname, c.means);
	END LOOP;
END
$$;
COMMENT ON COLUMN facematch_internal.retained_now.key_type IS
	'type of the key that holds name rows by; NULL: one that holds cannot name';
COMMENT ON COLUMN facematch_internal.retained_now.due_condition IS
	'the rows that policy facematch_due shows, as PostgreSQL prints it';

CREATE TRIGGER retained_10_log AFTER UPDATE OR DELETE ON facematch_internal.retained
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.log_row('table', 'table_name',
		'what,key_column,class_column,recorded_column,subject_column,template_column,gallery_column,'
		'verified_column,anchor_column',
		'retained,changed,released');
-- The log begins with what a site does.
CREATE TRIGGER retained_20_added_log AFTER INSERT ON facematch_internal.retained
	FOR EACH ROW WHEN (NOT NEW.shipped)
	EXECUTE FUNCTION facematch_internal.log_row('table', 'table_name',
		'what,key_column,class_column,recorded_column,subject_column,template_column,gallery_column,'
		'verified_column,anchor_column',
		'retained,changed,released');
