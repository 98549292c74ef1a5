-- health_check() misses no trigger, whatever became of it.
CREATE TEMP TABLE known AS
SELECT g.tgrelid::regclass AS table_name, g.tgname, format('%s on %s', g.tgname, g.tgrelid::regclass) AS object
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid WHERE c.relnamespace IN ('facematch'::regnamespace, 'facematch_internal'::regnamespace) AND NOT g.tgisinternal;
-- Of these a warning or an error says by itself when they do not fire.
SELECT object FROM known WHERE tgname ~ '_skipped$|_10_model$' ORDER BY 1;
DELETE FROM known WHERE tgname ~ '_skipped$|_10_model$';
CREATE FUNCTION all_triggers(statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	k known;
BEGIN
	FOR k IN TABLE known LOOP
		EXECUTE format(statement, k.table_name, k.tgname);
	END LOOP;
END
$$;
-- What is said of how many, whether that is all of them, and of which it is not.
CREATE FUNCTION said() RETURNS TABLE (severity text, finding text, of_all boolean, of_none_of text) LANGUAGE sql AS $$
	SELECT c.severity, c.finding, count(c.object) = (SELECT count(*) FROM known),
		   (SELECT string_agg(k.object, ', ' ORDER BY k.object) FROM known k WHERE k.object <> ALL (array_agg(c.object)))
	FROM facematch.health_check() c JOIN known k USING (object) GROUP BY 1, 2 ORDER BY 1, 2 $$;
SELECT * FROM said();
BEGIN;
SELECT all_triggers('ALTER TABLE %s DISABLE TRIGGER %I');
SELECT * FROM said();
ROLLBACK;
BEGIN;
SELECT all_triggers('ALTER TABLE %s ENABLE REPLICA TRIGGER %I');
SELECT * FROM said();
ROLLBACK;
-- Those that fire for what is written here and not for what a publisher sends: as shipped, the ones that write the log.
BEGIN;
SELECT all_triggers('ALTER TABLE %s ENABLE TRIGGER %I');
SELECT * FROM said();
ROLLBACK;
BEGIN;
SELECT all_triggers('DROP TRIGGER %2$I ON %1$s');
SELECT * FROM said();
ROLLBACK;
SELECT * FROM said();
