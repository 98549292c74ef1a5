/*
 * Receipts: what was purged, and what became of the bytes.
 *
 * A purge writes a receipt for each batch and class of rows (src/retention),
 * an erasure says what it found in the files of a table (src/erasure), and a
 * receipt is settled by the erasure that left nothing of its rows.  All of it
 * is in the log, too: facematch.verify_audit() compares the two.
 */

CREATE TABLE facematch.purge_receipt (
	receipt_id		bigint GENERATED ALWAYS AS IDENTITY,
	purged_at		timestamptz NOT NULL DEFAULT clock_timestamp(),
	cause			text NOT NULL CONSTRAINT purge_receipt_cause_is_known
		CHECK (cause IN ('retention', 'opt_out', 'by_hand')),
	table_name		text NOT NULL,
	retention_class	text,
	rule			text,
	rows_purged		bigint NOT NULL,
	rows_held		bigint NOT NULL DEFAULT 0,
	earliest_due	timestamptz,
	latest_due		timestamptz,
	lateness		interval GENERATED ALWAYS AS (purged_at - earliest_due) STORED,
	actor			text NOT NULL DEFAULT session_user,
	CONSTRAINT purge_receipt_pkey PRIMARY KEY (receipt_id)
);
COMMENT ON TABLE facematch.purge_receipt IS
	'one row for each batch and class of deleted rows; rows are never changed';
COMMENT ON COLUMN facematch.purge_receipt.receipt_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.purge_receipt.purged_at IS 'when the rows were deleted';
COMMENT ON COLUMN facematch.purge_receipt.cause IS 'retention (the rows were due), opt_out (of the '
	'subject: by the opt-out itself, retain() or recompute()) or by_hand (a statement deleted them, or a foreign key or '
	'a trigger that it set off)';
COMMENT ON COLUMN facematch.purge_receipt.table_name IS 'the table they were in';
COMMENT ON COLUMN facematch.purge_receipt.retention_class IS 'their retention class; NULL for an opt-out';
COMMENT ON COLUMN facematch.purge_receipt.rule IS
	'the retention rule of that class at the time of the purge; NULL for an opt-out';
COMMENT ON COLUMN facematch.purge_receipt.rows_purged IS 'how many rows were deleted, or had their template cleared';
COMMENT ON COLUMN facematch.purge_receipt.rows_held IS
	'how many rows of an opt-out a hold kept: they are due, and purged when the hold ends';
COMMENT ON COLUMN facematch.purge_receipt.earliest_due IS
	'deadline of the row that was due longest; NULL but for retention';
COMMENT ON COLUMN facematch.purge_receipt.latest_due IS
	'deadline of the row that was due last; NULL but for retention';
COMMENT ON COLUMN facematch.purge_receipt.lateness IS
	'how long after earliest_due the rows were deleted; they were no candidates meanwhile';
COMMENT ON COLUMN facematch.purge_receipt.actor IS 'the session''s user';
CREATE TABLE facematch_internal.receipt_relation (
	receipt_id		bigint NOT NULL,
	relation		regclass NOT NULL,
	is_part			boolean NOT NULL DEFAULT false,
	CONSTRAINT receipt_relation_pkey PRIMARY KEY (receipt_id, relation),
	CONSTRAINT receipt_relation_receipt_fkey FOREIGN KEY (receipt_id) REFERENCES facematch.purge_receipt (receipt_id)
);
CREATE INDEX receipt_relation_relation_idx ON facematch_internal.receipt_relation (relation);
COMMENT ON TABLE facematch_internal.receipt_relation IS
	'the relation that a receipt is of, whatever its name has become: erasures settle receipts by it; rows are'
	' never changed';
COMMENT ON COLUMN facematch_internal.receipt_relation.receipt_id IS 'the receipt';
COMMENT ON COLUMN facematch_internal.receipt_relation.relation IS 'the table; a number if it has been dropped';
COMMENT ON COLUMN facematch_internal.receipt_relation.is_part IS
	'a partition that the table had then: erased and verified with it, even if it has been detached since';

CREATE TABLE facematch_internal.receipt_persons (
	receipt_id		bigint NOT NULL,
	salt			bytea NOT NULL,
	codes			bytea NOT NULL,
	CONSTRAINT receipt_persons_pkey PRIMARY KEY (receipt_id),
	CONSTRAINT receipt_persons_receipt_fkey FOREIGN KEY (receipt_id) REFERENCES facematch.purge_receipt (receipt_id)
);
-- Random bytes do not get smaller.
ALTER TABLE facematch_internal.receipt_persons ALTER COLUMN codes SET STORAGE EXTERNAL;
COMMENT ON TABLE facematch_internal.receipt_persons IS
	'codes of the persons whose rows a receipt is about (src/retention/deleted.c): a user who knows a person''s '
	'pseudonym finds the code, nobody can list the persons; rows are never changed';
COMMENT ON COLUMN facematch_internal.receipt_persons.receipt_id IS 'the receipt';
COMMENT ON COLUMN facematch_internal.receipt_persons.salt IS 'random, of this receipt';
COMMENT ON COLUMN facematch_internal.receipt_persons.codes IS
	'sorted, eight bytes for each person: the first of HMAC-SHA256(salt, subject)';

CREATE FUNCTION facematch_internal.receipt_names(salt bytea, codes bytea, subjects uuid[]) RETURNS boolean
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_receipt_names';
COMMENT ON FUNCTION facematch_internal.receipt_names(bytea, bytea, uuid[]) IS
	'whether rows of one of these subjects went with the receipt that the salt and codes are of; for'
	' facematch.subject_report()';

SELECT pg_catalog.pg_extension_config_dump('facematch.purge_receipt', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.receipt_persons', '');
-- A number that no relation has could be another's in the database that the dump goes to.
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.receipt_relation',
	'WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = relation)');

---------------------------------------------------------------- erasures of purges

CREATE TABLE facematch_internal.erasure (
	erasure_id		bigint GENERATED ALWAYS AS IDENTITY,
	erased_at		timestamptz NOT NULL DEFAULT clock_timestamp(),
	table_name		text NOT NULL,
	pages			bigint NOT NULL,
	pages_cleared	bigint NOT NULL,
	rows_erased		bigint NOT NULL,
	entries_erased	bigint NOT NULL,
	fading_tuples	bigint NOT NULL,
	busy_pages		bigint NOT NULL,
	complete		boolean NOT NULL,
	verified		boolean NOT NULL,
	wal_lsn			pg_lsn NOT NULL,
	unreachable		text[] NOT NULL,
	actor			text NOT NULL DEFAULT session_user,
	CONSTRAINT erasure_pkey PRIMARY KEY (erasure_id)
);
COMMENT ON TABLE facematch_internal.erasure IS
	'what became of the bytes of purged rows: one row for each table and purge that had something to erase; rows'
	' are never changed';
COMMENT ON COLUMN facematch_internal.erasure.erasure_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch_internal.erasure.erased_at IS 'when it was done';
COMMENT ON COLUMN facematch_internal.erasure.table_name IS 'the table under retention, with its partitions';
COMMENT ON COLUMN facematch_internal.erasure.pages IS
	'pages examined, of the table, its TOAST table and their indexes';
COMMENT ON COLUMN facematch_internal.erasure.pages_cleared IS 'pages changed';
COMMENT ON COLUMN facematch_internal.erasure.rows_erased IS
	'removed rows that became zero bytes, in table and TOAST table; queries may have done some of it before';
COMMENT ON COLUMN facematch_internal.erasure.entries_erased IS
	'entries of removed rows that were taken out of indexes';
COMMENT ON COLUMN facematch_internal.erasure.fading_tuples IS
	'removed rows that a transaction may still see: they are left to the next purge';
COMMENT ON COLUMN facematch_internal.erasure.busy_pages IS
	'pages with removed rows that somebody had open: left to the next purge';
COMMENT ON COLUMN facematch_internal.erasure.complete IS
	'nothing was left to another purge or VACUUM: the receipts are settled';
COMMENT ON COLUMN facematch_internal.erasure.verified IS
	'complete, and each page was read again after it was changed, and no index is of a kind that cannot be checked';
COMMENT ON COLUMN facematch_internal.erasure.wal_lsn IS
	'WAL before this position holds the rows: facematch.wal_horizon() tells when this server has none of it left';
COMMENT ON COLUMN facematch_internal.erasure.unreachable IS
	'where copies of the rows may be that this could not reach';
COMMENT ON COLUMN facematch_internal.erasure.actor IS 'the session''s user';

CREATE TABLE facematch_internal.erased_receipt (
	receipt_id		bigint NOT NULL,
	erasure_id		bigint NOT NULL,
	CONSTRAINT erased_receipt_pkey PRIMARY KEY (receipt_id),
	CONSTRAINT erased_receipt_receipt_fkey FOREIGN KEY (receipt_id) REFERENCES facematch.purge_receipt (receipt_id),
	CONSTRAINT erased_receipt_erasure_fkey FOREIGN KEY (erasure_id) REFERENCES facematch_internal.erasure (erasure_id)
);
COMMENT ON TABLE facematch_internal.erased_receipt IS
	'receipts that are settled: nothing of their rows is left to erase; rows are never changed';
COMMENT ON COLUMN facematch_internal.erased_receipt.receipt_id IS 'the receipt';
COMMENT ON COLUMN facematch_internal.erased_receipt.erasure_id IS 'the erasure that settled it';

SELECT pg_catalog.pg_extension_config_dump('facematch_internal.erasure', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.erasure_erasure_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.erased_receipt', '');

SELECT pg_catalog.pg_extension_config_dump('facematch.purge_receipt_receipt_id_seq', '');

SELECT facematch_internal.keep_as_record('facematch.purge_receipt', log => ARRAY['receipt', 'receipt_id',
	'receipt_id,purged_at,cause,table_name,retention_class,rule,rows_purged,rows_held,earliest_due,latest_due,actor',
	'written,changed,deleted']);
SELECT facematch_internal.keep_as_record('facematch_internal.receipt_relation');
SELECT facematch_internal.keep_as_record('facematch_internal.receipt_persons');
SELECT facematch_internal.keep_as_record('facematch_internal.erasure', log => ARRAY['erasure', 'erasure_id',
	'erasure_id,erased_at,table_name,pages,pages_cleared,rows_erased,entries_erased,fading_tuples,busy_pages,complete,'
	'verified,wal_lsn,unreachable,actor', 'written,changed,deleted']);
SELECT facematch_internal.keep_as_record('facematch_internal.erased_receipt',
	log => '{settlement,receipt_id,"receipt_id,erasure_id","written,changed,deleted"}');
