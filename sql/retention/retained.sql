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
COMMENT ON TABLE facematch_internal.retained IS 'the tables under retention: the extension''s own and those that facematch.retain() attached';
COMMENT ON COLUMN facematch_internal.retained.table_name IS 'the table';
COMMENT ON COLUMN facematch_internal.retained.what IS 'what its rows are to the rules: retention_rule.what';
COMMENT ON COLUMN facematch_internal.retained.key_column IS 'the column that holds name rows by';
COMMENT ON COLUMN facematch_internal.retained.class_column IS 'text column, the retention class';
COMMENT ON COLUMN facematch_internal.retained.recorded_column IS 'timestamptz column, when the row was recorded';
COMMENT ON COLUMN facematch_internal.retained.subject_column IS 'uuid column, the pseudonym; NULL: opt-outs and holds of a subject do not reach the table';
COMMENT ON COLUMN facematch_internal.retained.template_column IS 'the template; NULL: none';
COMMENT ON COLUMN facematch_internal.retained.gallery_column IS 'bigint column, the gallery whose anchor and deadline apply; NULL: none';
COMMENT ON COLUMN facematch_internal.retained.verified_column IS 'timestamptz column, when identity was verified; NULL: none';
COMMENT ON COLUMN facematch_internal.retained.anchor_column IS 'timestamptz column that stands in for a gallery''s anchor; NULL: none';
COMMENT ON COLUMN facematch_internal.retained.keeps_row IS 'whether an opt-out clears the template and leaves the row';
COMMENT ON COLUMN facematch_internal.retained.row_security IS 'whether facematch.retain() turned row security on, so that facematch.release() turns it off';
COMMENT ON COLUMN facematch_internal.retained.shipped IS 'true for the extension''s own tables';
-- A table that was dropped has left its number here, which may be another table's where the dump is restored.
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.retained',
	'WHERE NOT shipped AND table_name::pg_catalog.oid IN (SELECT c.oid FROM pg_catalog.pg_class c)');

-- A table of a user's runs that user's code, by its column's types, its triggers, or as a view: never with more rights than his.
CREATE FUNCTION facematch_internal.ask_table(table_name regclass, query text, value text DEFAULT NULL) RETURNS SETOF record
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'facematch_ask_table';
COMMENT ON FUNCTION facematch_internal.ask_table(regclass, text, text) IS
	'runs a query about a table with the rights of the table''s owner, as a restricted operation; $1 is the moment, $2 the keys of rows that holds name in the table (text[]), $3 the subjects that holds name (uuid[]), $4 the value. Columns of other types than the caller names: 42804; who may not act as the owner: 42501. For the extension''s own functions';

-- Rows that no hold keeps, as a condition of a query for facematch_internal.ask_table().
CREATE FUNCTION facematch_internal.not_held(retained facematch_internal.retained) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format(' AND d.%I::text <> ALL ($2)', retained.key_column)
		|| CASE WHEN retained.subject_column IS NULL THEN '' ELSE format(' AND (d.%1$I IS NULL OR d.%1$I <> ALL ($3))', retained.subject_column) END
$$;
COMMENT ON FUNCTION facematch_internal.not_held(facematch_internal.retained) IS 'the condition that no hold keeps row d of a table under retention; for facematch_internal.ask_table()';
CREATE TRIGGER retained_10_log AFTER UPDATE OR DELETE ON facematch_internal.retained
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.log_row('table', 'table_name',
		'what,key_column,class_column,recorded_column,subject_column,template_column,gallery_column,verified_column,anchor_column',
		'retained,changed,released');
-- The log begins with what a site does.
CREATE TRIGGER retained_20_added_log AFTER INSERT ON facematch_internal.retained
	FOR EACH ROW WHEN (NOT NEW.shipped)
	EXECUTE FUNCTION facematch_internal.log_row('table', 'table_name',
		'what,key_column,class_column,recorded_column,subject_column,template_column,gallery_column,verified_column,anchor_column',
		'retained,changed,released');
