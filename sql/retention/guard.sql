/*
 * The guard (src/retention/guard.c): the trigger before each row of a table under
 * retention, on the extension's own tables.
 */

CREATE FUNCTION facematch_internal.guard() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_guard';
COMMENT ON FUNCTION facematch_internal.guard() IS
	'trigger before each row of a table under retention: computes purge_after, refuses to make it later (23000), '
	'to add a template of a subject who has opted out (23000), a row without a rule (23503), and to delete what is '
	'held or to change its key, subject or template (23000). On facematch.reference it also gives an untagged '
	'template the tag of its gallery''s model, and refuses an impossible row and a source that reads as a template '
	'(23514), one without a gallery, and a template of another model (23503). After each row that is deleted other than '
	'by a purge or an opt-out: a receipt follows at the commit (src/retention/gone.c). After an inserting statement: '
	'warns of rows that facematch.on_opt_out = skip left out';

CREATE FUNCTION facematch.skipped() RETURNS TABLE (table_name regclass, subject_id uuid, gallery_id bigint)
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'facematch_skipped';
COMMENT ON FUNCTION facematch.skipped() IS 'rows that the session''s last transaction with skipped rows left out, '
	'because their subjects had opted out';

CREATE TRIGGER gallery_20_guard BEFORE INSERT OR UPDATE OR DELETE ON facematch.gallery
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.guard('what=gallery', 'key=gallery_id', 'class=retention_class',
		'recorded=created_at',
		'purge=purge_after', 'anchor=anchor_at', 'rule=retention_rule');
CREATE TRIGGER gallery_30_moved AFTER UPDATE OR DELETE ON facematch.gallery
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.carry_out('gallery');
CREATE TRIGGER gallery_70_deleted AFTER DELETE ON facematch.gallery
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.guard();
ALTER TABLE facematch.gallery ENABLE ALWAYS TRIGGER gallery_20_guard, ENABLE ALWAYS TRIGGER gallery_30_moved,
	ENABLE ALWAYS TRIGGER gallery_70_deleted;

---------------------------------------------------------------- references

CREATE TRIGGER reference_20_guard BEFORE INSERT OR UPDATE OR DELETE ON facematch.reference
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.guard('what=reference', 'key=reference_id',
		'class=retention_class', 'recorded=enrolled_at',
		'purge=purge_after', 'subject=subject_id', 'template=embedding', 'gallery=gallery_id', 'source=source',
			'quality=quality');
CREATE TRIGGER reference_30_skipped AFTER INSERT ON facematch.reference
	FOR EACH STATEMENT EXECUTE FUNCTION facematch_internal.guard();
CREATE TRIGGER reference_70_deleted AFTER DELETE ON facematch.reference
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.guard();
ALTER TABLE facematch.reference ENABLE ALWAYS TRIGGER reference_20_guard, ENABLE ALWAYS TRIGGER reference_70_deleted;

INSERT INTO facematch_internal.retained (table_name, what, key_column, class_column, recorded_column, subject_column,
	template_column,
								gallery_column, anchor_column, shipped) VALUES
	('facematch.gallery', 'gallery', 'gallery_id', 'retention_class', 'created_at', NULL, NULL, NULL, 'anchor_at', true),
	('facematch.reference', 'reference', 'reference_id', 'retention_class', 'enrolled_at', 'subject_id', 'embedding',
		'gallery_id', NULL, true);

---------------------------------------------------------------- classes in use stay

CREATE FUNCTION facematch_internal.keep_class_in_use() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1min'
AS $$
DECLARE
	t facematch_internal.retained_now;
	used boolean;
BEGIN
	PERFORM set_config('lock_timeout', current_setting('facematch.table_timeout'), true);
	IF TG_OP = 'UPDATE' AND NEW.name = OLD.name AND NEW.shipped = OLD.shipped THEN
		RETURN NEW;
	ELSIF OLD.shipped OR TG_OP = 'UPDATE' THEN
		RAISE integrity_constraint_violation USING CONSTRAINT = 'retention_class_is_kept',
			MESSAGE = format('retention class %L cannot be renamed, nor a shipped one deleted', OLD.name),
			HINT = 'Insert a class of another name.';
	END IF;
	FOR t IN SELECT r.* FROM facematch_internal.retained_now r LOOP
		-- Nobody may be about to add a row of the class.  What its owner's table answers nothing about may be in use there.
		BEGIN
			EXECUTE (SELECT string_agg(format('LOCK TABLE %s IN SHARE MODE', h.relation), '; ' ORDER BY h.place)
				FROM facematch_internal.with_heirs(t.table_name) WITH ORDINALITY h (relation, place));
			SELECT bool_or(a.used) INTO used FROM facematch_internal.ask_table(t.table_name,
				format('SELECT EXISTS (SELECT FROM @table WHERE %I = $4)', t.class_column), OLD.name) a (used boolean);
		EXCEPTION WHEN serialization_failure OR deadlock_detected THEN
			-- Clients run the transaction again.
			RAISE;
		WHEN OTHERS THEN
			RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'retention_class_use_is_known',
				MESSAGE = format('retention class %L cannot be deleted: %s cannot be read: %s', OLD.name, t.table_name,
					CASE SQLSTATE WHEN '55P03' THEN 'another session has locked it' ELSE SQLERRM END),
				HINT = CASE WHEN t.shipped THEN 'Try again when the other session has ended.'
					ELSE 'Correct the table, or take it out of retention with facematch.release().' END;
		END;
		IF used THEN
			RAISE foreign_key_violation USING CONSTRAINT = 'retention_class_is_unused',
				MESSAGE = format('retention class %L is in use in %s', OLD.name, t.table_name),
				HINT = 'It can go when the last of its rows has been purged.';
		END IF;
	END LOOP;
	RETURN OLD;
END
$$;
COMMENT ON FUNCTION facematch_internal.keep_class_in_use() IS 'trigger: refuses to delete a retention class that rows '
	'are in (23503), or while a table cannot be read that may have some (55000), and to rename one (23000)';
CREATE TRIGGER retention_class_10_in_use BEFORE UPDATE OR DELETE ON facematch.retention_class
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.keep_class_in_use();
ALTER TABLE facematch.retention_class ENABLE ALWAYS TRIGGER retention_class_10_in_use;
