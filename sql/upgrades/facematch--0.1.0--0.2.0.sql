/*
 * 0.1.0 to 0.2.0: what sql/upgrades/join.pl cannot read off the two scripts.
 */

--@ instead of: CREATE TABLE facematch.audit_event
-- The one chain there was goes on being verified as chain 0; new events go to others.
ALTER TABLE facematch.audit_event
	ADD COLUMN chain integer NOT NULL DEFAULT 0,
	ADD COLUMN seq bigint,
	ADD COLUMN witness bytea,
	DROP CONSTRAINT audit_event_follows_one,
	ADD CONSTRAINT audit_event_follows_one UNIQUE (chain, seq);
--@ drop: FUNCTION facematch.verify_audit()
--@ drop: FUNCTION facematch.verify_erased(regclass)

-- The guard checks and stamps references, and stands in for the foreign key's triggers on their side.
DROP TRIGGER reference_00_whole ON facematch.reference;
DROP TRIGGER reference_10_model ON facematch.reference;
DROP FUNCTION facematch.refuse_reference();
DROP FUNCTION facematch.stamp_reference_model();

--@ statements

-- A trigger that is replaced fires in ordinary sessions only, until it is told otherwise.
ALTER TABLE facematch.gallery ENABLE ALWAYS TRIGGER gallery_30_moved;
ALTER TABLE facematch.reference ENABLE ALWAYS TRIGGER reference_20_guard;

-- Receipts that 0.1.0 wrote are in the log from here on, as all others are: as they stand today.
SET LOCAL timezone = 'UTC';
SET LOCAL intervalstyle = 'postgres';
SELECT facematch.write_audit('receipt_written', jsonb_build_object('about', 'receipt:' || p.receipt_id, 'row', to_jsonb(p) - 'lateness'))
FROM facematch.purge_receipt p ORDER BY p.receipt_id;

-- Receipts of 0.1.0 have a name only: the relation that has it today. Without one they stay open.
INSERT INTO facematch.receipt_relation (receipt_id, relation)
SELECT p.receipt_id, to_regclass(p.table_name) FROM facematch.purge_receipt p WHERE to_regclass(p.table_name) IS NOT NULL;
INSERT INTO facematch.receipt_relation (receipt_id, relation, is_part)
SELECT l.receipt_id, t.relid, true FROM facematch.receipt_relation l CROSS JOIN LATERAL pg_partition_tree(l.relation) t WHERE t.isleaf AND t.level > 0;

-- Nor are there names any more that read as a template: a row that has one could not be changed, nor restored from a dump.
DO $$
DECLARE
	named record;
	renamed bigint;
BEGIN
	FOR named IN
		SELECT c.conrelid::pg_catalog.regclass AS relation, a.attname
		FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
		WHERE c.connamespace = 'facematch'::pg_catalog.regnamespace AND c.contype = 'c' AND c.conname ~ '_is_a_name$'
		-- A name that goes on to other rows changes these: theirs come first.
		ORDER BY c.conrelid NOT IN ('facematch.gallery'::pg_catalog.regclass, 'facematch.retention_rule'::pg_catalog.regclass), 1, 2
	LOOP
		EXECUTE pg_catalog.format('UPDATE %1$s SET %2$I = pg_catalog.rtrim(pg_catalog.left(facematch.redacted(%2$I), 150)) || '' '' || pg_catalog.left(pg_catalog.md5(%2$I), 8) WHERE facematch.redacted(%2$I) <> %2$I',
								  named.relation, named.attname);
		GET DIAGNOSTICS renamed = ROW_COUNT;
		IF renamed > 0 THEN
			PERFORM facematch.write_audit('names_replaced', pg_catalog.jsonb_build_object('table', named.relation::text, 'column', named.attname, 'rows', renamed));
			RAISE NOTICE '% names in %.% read as templates, and were replaced', renamed, named.relation, named.attname;
		END IF;
	END LOOP;
END
$$;

-- No text that reads as a template stays beside references, nor in statistics that ANALYZE made of what is left out of them now.
UPDATE facematch.reference SET source = coalesce(nullif(btrim(left(facematch.redacted(source), 1000)), ''), '...')
WHERE length(source) > 1000 OR facematch.redacted(source) <> source;
DELETE FROM pg_catalog.pg_statistic s USING pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
WHERE s.starelid = a.attrelid AND s.staattnum = a.attnum AND c.relnamespace = 'facematch'::pg_catalog.regnamespace AND a.attstattarget = 0;
