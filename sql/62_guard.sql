/*
 * The tables under retention, and the guard before each of their rows
 * (src/retention/guard.c).
 */

CREATE TABLE facematch.retained (
	table_name		regclass NOT NULL,
	what			text NOT NULL CONSTRAINT retained_what_is_a_name CHECK (facematch.is_name(what)),
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
COMMENT ON TABLE facematch.retained IS 'the tables under retention: the extension''s own and those that facematch.retain() attached';
COMMENT ON COLUMN facematch.retained.table_name IS 'the table';
COMMENT ON COLUMN facematch.retained.what IS 'what its rows are to the rules: retention_rule.what';
COMMENT ON COLUMN facematch.retained.key_column IS 'the column that holds name rows by';
COMMENT ON COLUMN facematch.retained.class_column IS 'text column, the retention class';
COMMENT ON COLUMN facematch.retained.recorded_column IS 'timestamptz column, when the row was recorded';
COMMENT ON COLUMN facematch.retained.subject_column IS 'uuid column, the pseudonym; NULL: opt-outs and holds of a subject do not reach the table';
COMMENT ON COLUMN facematch.retained.template_column IS 'the template; NULL: none';
COMMENT ON COLUMN facematch.retained.gallery_column IS 'bigint column, the gallery whose anchor and deadline apply; NULL: none';
COMMENT ON COLUMN facematch.retained.verified_column IS 'timestamptz column, when identity was verified; NULL: none';
COMMENT ON COLUMN facematch.retained.anchor_column IS 'timestamptz column that stands in for a gallery''s anchor; NULL: none';
COMMENT ON COLUMN facematch.retained.keeps_row IS 'whether an opt-out clears the template and leaves the row';
COMMENT ON COLUMN facematch.retained.row_security IS 'whether facematch.retain() turned row security on, so that facematch.release() turns it off';
COMMENT ON COLUMN facematch.retained.shipped IS 'true for the extension''s own tables';
-- A table that was dropped has left its number here, which may be another table's where the dump is restored.
SELECT pg_catalog.pg_extension_config_dump('facematch.retained',
	'WHERE NOT shipped AND table_name::pg_catalog.oid IN (SELECT c.oid FROM pg_catalog.pg_class c)');

-- A table of a user's runs that user's code, by its column's types, its triggers, or as a view: never with more rights than his.
CREATE FUNCTION facematch.ask_table(table_name regclass, query text, value text DEFAULT NULL) RETURNS SETOF record
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'facematch_ask_table';
COMMENT ON FUNCTION facematch.ask_table(regclass, text, text) IS
	'runs a query about a table with the rights of the table''s owner, as a restricted operation; $1 is the moment, $2 the keys of rows that holds name in the table (text[]), $3 the subjects that holds name (uuid[]), $4 the value. Columns of other types than the caller names: 42804; who may not act as the owner: 42501. For the extension''s own functions';
REVOKE ALL ON FUNCTION facematch.ask_table(regclass, text, text) FROM PUBLIC;

-- Rows that no hold keeps, as a condition of a query for facematch.ask_table().
CREATE FUNCTION facematch.not_held(retained facematch.retained) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format(' AND d.%I::text <> ALL ($2)', retained.key_column)
		|| CASE WHEN retained.subject_column IS NULL THEN '' ELSE format(' AND (d.%1$I IS NULL OR d.%1$I <> ALL ($3))', retained.subject_column) END
$$;
COMMENT ON FUNCTION facematch.not_held(facematch.retained) IS 'the condition that no hold keeps row d of a table under retention; for facematch.ask_table()';

CREATE FUNCTION facematch.guard() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_guard';
COMMENT ON FUNCTION facematch.guard() IS
	'trigger before each row of a table under retention: computes purge_after, refuses to push it away (23000), to add a template of a subject who has opted out (23000), a row without a rule (23503), and to delete what is held or to change its key, subject or template (23000). On facematch.reference it also gives an untagged template the tag of its gallery''s model, and refuses an impossible row and a source that reads as a template (23514), one without a gallery, and a template of another model (23503)';

CREATE FUNCTION facematch.report_skipped() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_report_skipped';
COMMENT ON FUNCTION facematch.report_skipped() IS 'trigger after each inserting statement: warns of rows that facematch.on_opt_out = skip left out';

CREATE FUNCTION facematch.skipped() RETURNS TABLE (table_name regclass, subject_id uuid, gallery_id bigint)
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'facematch_skipped';
COMMENT ON FUNCTION facematch.skipped() IS 'rows that this session left out in its last transaction that left out any, because their subjects had opted out';

CREATE FUNCTION facematch.gallery_moved() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_gallery_moved';
COMMENT ON FUNCTION facematch.gallery_moved() IS 'trigger: computes the deadlines of a gallery''s rows anew, and forgets what this session knew of it';

---------------------------------------------------------------- galleries

ALTER TABLE facematch.gallery
	ADD COLUMN retention_class text NOT NULL DEFAULT 'gallery',
	ADD COLUMN retention_rule text NOT NULL,
	ADD COLUMN closed_at timestamptz,
	ADD COLUMN purge_after timestamptz NOT NULL,
	ADD CONSTRAINT gallery_retention_class_exists FOREIGN KEY (retention_class) REFERENCES facematch.retention_class ON UPDATE RESTRICT,
	-- Besides what it says, this makes a dump load the rules before all that they are about.
	ADD CONSTRAINT gallery_retention_rule_exists FOREIGN KEY (retention_rule) REFERENCES facematch.retention_rule ON UPDATE RESTRICT;
COMMENT ON COLUMN facematch.gallery.retention_class IS 'the class whose rules for galleries apply';
COMMENT ON COLUMN facematch.gallery.retention_rule IS 'the rule that gives the deadline, filled in';
COMMENT ON COLUMN facematch.gallery.closed_at IS 'when facematch.close_gallery() ended staging; NULL while it is open';
COMMENT ON COLUMN facematch.gallery.purge_after IS 'from this moment on none of its references is a candidate, and the next purge deletes it; infinity if no deadline applies. Computed from the retention rules';
CREATE INDEX gallery_retention_class_idx ON facematch.gallery (retention_class);
CREATE INDEX gallery_retention_rule_idx ON facematch.gallery (retention_rule);
CREATE INDEX gallery_purge_after_idx ON facematch.gallery (purge_after) WHERE purge_after < 'infinity';

CREATE TRIGGER gallery_20_guard BEFORE INSERT OR UPDATE OR DELETE ON facematch.gallery
	FOR EACH ROW EXECUTE FUNCTION facematch.guard('what=gallery', 'key=gallery_id', 'class=retention_class', 'recorded=created_at',
		'purge=purge_after', 'anchor=anchor_at', 'rule=retention_rule');
CREATE TRIGGER gallery_30_moved AFTER UPDATE OR DELETE ON facematch.gallery
	FOR EACH ROW EXECUTE FUNCTION facematch.gallery_moved();
CREATE TRIGGER gallery_40_truncate BEFORE TRUNCATE ON facematch.gallery
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change();
ALTER TABLE facematch.gallery ENABLE ALWAYS TRIGGER gallery_20_guard, ENABLE ALWAYS TRIGGER gallery_30_moved,
	ENABLE ALWAYS TRIGGER gallery_40_truncate;

---------------------------------------------------------------- references

CREATE TRIGGER reference_20_guard BEFORE INSERT OR UPDATE OR DELETE ON facematch.reference
	FOR EACH ROW EXECUTE FUNCTION facematch.guard('what=reference', 'key=reference_id', 'class=retention_class', 'recorded=enrolled_at',
		'purge=purge_after', 'subject=subject_id', 'template=embedding', 'gallery=gallery_id', 'source=source', 'quality=quality');
CREATE TRIGGER reference_30_skipped AFTER INSERT ON facematch.reference
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.report_skipped();
CREATE TRIGGER reference_40_truncate BEFORE TRUNCATE ON facematch.reference
	FOR EACH STATEMENT EXECUTE FUNCTION facematch.refuse_change();
ALTER TABLE facematch.reference ENABLE ALWAYS TRIGGER reference_20_guard, ENABLE ALWAYS TRIGGER reference_40_truncate;

-- The guard has looked already where the foreign key's triggers on the reference's side would look again, at the price of
-- storing another row for each (src/gallery/enrol.c).  Those on the gallery's side stay.
DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT g.tgname FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_constraint c ON c.oid = g.tgconstraint
			 WHERE g.tgrelid = 'facematch.reference'::regclass AND c.conrelid = g.tgrelid AND c.conname = 'reference_is_of_its_gallerys_model' LOOP
		EXECUTE pg_catalog.format('ALTER TABLE facematch.reference DISABLE TRIGGER %I', t.tgname);
	END LOOP;
END
$$;

-- Due means gone for everyone but the owner, who purges.
ALTER TABLE facematch.reference ENABLE ROW LEVEL SECURITY;
CREATE POLICY facematch_open ON facematch.reference USING (true) WITH CHECK (true);
CREATE POLICY facematch_due ON facematch.reference AS RESTRICTIVE FOR ALL USING (purge_after > clock_timestamp()) WITH CHECK (true);
COMMENT ON POLICY facematch_open ON facematch.reference IS 'what is granted may be used';
COMMENT ON POLICY facematch_due ON facematch.reference IS 'except rows that are due';

INSERT INTO facematch.retained (table_name, what, key_column, class_column, recorded_column, subject_column, template_column,
								gallery_column, anchor_column, shipped) VALUES
	('facematch.gallery', 'gallery', 'gallery_id', 'retention_class', 'created_at', NULL, NULL, NULL, 'anchor_at', true),
	('facematch.reference', 'reference', 'reference_id', 'retention_class', 'enrolled_at', 'subject_id', 'embedding', 'gallery_id', NULL, true);

---------------------------------------------------------------- classes in use stay

CREATE FUNCTION facematch.keep_class_in_use() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch.retained;
	used boolean;
BEGIN
	IF TG_OP = 'UPDATE' AND NEW.name = OLD.name AND NEW.shipped = OLD.shipped THEN
		RETURN NEW;
	ELSIF OLD.shipped OR TG_OP = 'UPDATE' THEN
		RAISE integrity_constraint_violation USING
			MESSAGE = format('retention class %L cannot be renamed, nor a shipped one deleted', OLD.name),
			HINT = 'Insert a class of another name.';
	END IF;
	FOR t IN SELECT r.* FROM facematch.retained r JOIN pg_class c ON c.oid = r.table_name LOOP
		-- Nobody may be about to add a row of the class.
		EXECUTE format('LOCK TABLE %s IN SHARE MODE', t.table_name);
		SELECT a.used INTO used FROM facematch.ask_table(t.table_name,
			format('SELECT EXISTS (SELECT FROM %s WHERE %I = $4)', t.table_name, t.class_column), OLD.name) a (used boolean);
		IF used THEN
			RAISE foreign_key_violation USING
				MESSAGE = format('retention class %L is in use in %s', OLD.name, t.table_name),
				HINT = 'It can go when the last of its rows has been purged.';
		END IF;
	END LOOP;
	RETURN OLD;
END
$$;
COMMENT ON FUNCTION facematch.keep_class_in_use() IS 'trigger: refuses to delete a retention class that rows are in (23503), and to rename one (23000)';
REVOKE ALL ON FUNCTION facematch.keep_class_in_use() FROM PUBLIC;
CREATE TRIGGER retention_class_10_in_use BEFORE UPDATE OR DELETE ON facematch.retention_class
	FOR EACH ROW EXECUTE FUNCTION facematch.keep_class_in_use();
ALTER TABLE facematch.retention_class ENABLE ALWAYS TRIGGER retention_class_10_in_use;

---------------------------------------------------------------- why

CREATE FUNCTION facematch.retention_due(what text, retention_class text, recorded_at timestamptz, verified_at timestamptz,
										anchor_at timestamptz, gallery_id bigint, subject_id uuid,
										OUT rule text, OUT anchor text, OUT anchor_time timestamptz, OUT keep interval,
										OUT due timestamptz, OUT capped boolean, OUT lengthened boolean) RETURNS record
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'facematch_retention_due';
COMMENT ON FUNCTION facematch.retention_due(text, text, timestamptz, timestamptz, timestamptz, bigint, uuid) IS
	'the deadline that the rules give for these facts, and the rule: what the guard computes. due is infinity when there is none; capped: the gallery''s own deadline comes first. All NULL: no rule';
REVOKE ALL ON FUNCTION facematch.retention_due(text, text, timestamptz, timestamptz, timestamptz, bigint, uuid) FROM PUBLIC;

CREATE FUNCTION facematch.explain_retention(table_name regclass, row_id text)
	RETURNS TABLE (retention_class text, rule text, citation text, anchor text, anchor_at timestamptz, keep interval,
				   due timestamptz, purge_after timestamptz, is_due boolean, held boolean, explanation text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	t facematch.retained;
	facts record;
	reason record;
BEGIN
	SELECT r.* INTO t FROM facematch.retained r
	WHERE r.table_name IN (SELECT pg_partition_ancestors(explain_retention.table_name) UNION ALL SELECT explain_retention.table_name);
	IF NOT FOUND THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('table %s is not under retention', table_name),
			HINT = 'facematch.retain() attaches a table.';
	END IF;
	SELECT f.* INTO facts FROM facematch.ask_table(t.table_name, format(
			'SELECT %I, %I, %s, %s, %s, %s, purge_after FROM %s WHERE %I::text = $4', t.class_column, t.recorded_column,
			coalesce(quote_ident(t.verified_column), 'NULL::timestamptz'), coalesce(quote_ident(t.anchor_column), 'NULL::timestamptz'),
			coalesce(quote_ident(t.gallery_column), 'NULL::bigint'), coalesce(quote_ident(t.subject_column), 'NULL::uuid'),
			t.table_name, t.key_column), explain_retention.row_id)
		f (class text, recorded timestamptz, verified timestamptz, anchor timestamptz, gallery bigint, subject uuid, purge_after timestamptz);
	-- A row that a policy hides from whoever asks is not there.  An auditor has no right on the table, and asks about any.
	IF facts.class IS NULL OR t.table_name = 'facematch.reference'::regclass
		AND has_any_column_privilege(session_user, t.table_name, 'SELECT') AND facts.gallery = ANY (facematch.unseen_galleries()) THEN
		RETURN;
	END IF;
	SELECT d.*, r.citation INTO reason
	FROM facematch.retention_due(t.what, facts.class, facts.recorded, facts.verified, facts.anchor, facts.gallery, facts.subject) d
	LEFT JOIN facematch.retention_rule r ON r.name = d.rule;
	retention_class := facts.class;
	rule := reason.rule;
	citation := reason.citation;
	anchor := reason.anchor;
	anchor_at := reason.anchor_time;
	keep := reason.keep;
	due := reason.due;
	purge_after := facts.purge_after;
	is_due := facts.purge_after <= clock_timestamp();
	held := EXISTS (SELECT FROM facematch.hold h
					WHERE h.released_at IS NULL AND (h.until IS NULL OR h.until > clock_timestamp())
					  AND (h.subject_id = facts.subject OR (h.table_name = t.table_name AND h.row_id = explain_retention.row_id)));
	explanation := concat_ws('; ',
		CASE WHEN reason.rule IS NULL THEN 'no rule is in force for the class'
			 WHEN reason.anchor IS NULL THEN format('rule %s: no deadline until its anchor comes', reason.rule)
			 ELSE format('rule %s: %s after %s (%s)', reason.rule, reason.keep, reason.anchor, reason.anchor_time) END,
		CASE WHEN reason.capped THEN 'its gallery goes first' END,
		CASE WHEN reason.lengthened THEN 'a later rule made it longer' END,
		CASE WHEN facts.purge_after < reason.due THEN 'brought nearer: a deadline that came nearer stays' END,
		CASE WHEN is_due THEN 'due: no candidate any more' END,
		CASE WHEN held THEN 'held: not purged while the hold stands' END);
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION facematch.explain_retention(regclass, text) IS
	'why a row is kept and until when: rule, citation, the event it counts from, the deadline the rules give and the one in force. No row: no such row. A table that is not under retention: 22023';
REVOKE ALL ON FUNCTION facematch.explain_retention(regclass, text) FROM PUBLIC;

CREATE FUNCTION facematch.explain_retention(table_name regclass, row_id bigint)
	RETURNS TABLE (retention_class text, rule text, citation text, anchor text, anchor_at timestamptz, keep interval,
				   due timestamptz, purge_after timestamptz, is_due boolean, held boolean, explanation text)
	LANGUAGE sql VOLATILE ROWS 1 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT * FROM facematch.explain_retention($1, $2::text)
$$;
COMMENT ON FUNCTION facematch.explain_retention(regclass, bigint) IS 'the same for a row with a number';
REVOKE ALL ON FUNCTION facematch.explain_retention(regclass, bigint) FROM PUBLIC;

---------------------------------------------------------------- receipts name the rule

CREATE FUNCTION facematch.write_receipt(cause text, table_name text, retention_class text, rows_purged bigint, rows_held bigint,
										earliest_due timestamptz, latest_due timestamptz) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET session_replication_role = origin	-- what is done here is in the log here
AS $$
	INSERT INTO facematch.purge_receipt (cause, table_name, retention_class, rule, rows_purged, rows_held, earliest_due, latest_due)
	SELECT $1, $2, nullif($3, ''),
		   (SELECT r.name FROM facematch.retention_rule r JOIN facematch.retained t USING (what)
			WHERE t.table_name = to_regclass($2) AND r.retention_class = $3
			  AND r.valid_from <= clock_timestamp() AND clock_timestamp() < r.valid_to
			ORDER BY r.valid_from DESC, r.name COLLATE "C" DESC LIMIT 1),
		   $4, $5, nullif($6, '-infinity'), nullif($7, '-infinity')
$$;
COMMENT ON FUNCTION facematch.write_receipt(text, text, text, bigint, bigint, timestamptz, timestamptz) IS
	'writes a receipt; for the extension''s own functions';
REVOKE ALL ON FUNCTION facematch.write_receipt(text, text, text, bigint, bigint, timestamptz, timestamptz) FROM PUBLIC;
