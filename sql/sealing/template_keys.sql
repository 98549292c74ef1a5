/*
 * The keys of sealed templates: which exist, what each is for, and when it was
 * destroyed. The keys themselves are in facematch.key_directory, or come from
 * facematch.key_command (src/keys).
 */

CREATE TABLE facematch_internal.template_key (
	key_id			uuid NOT NULL,
	gallery_id		bigint NOT NULL,
	retention_class	text NOT NULL,
	due				timestamptz NOT NULL,
	held			boolean NOT NULL,
	earlier			uuid[] NOT NULL DEFAULT '{}',
	made_at			timestamptz NOT NULL DEFAULT clock_timestamp(),
	retired_at		timestamptz,
	destroyed_at	timestamptz,
	made_in			uuid NOT NULL,
	CONSTRAINT template_key_pkey PRIMARY KEY (key_id)
);
CREATE INDEX template_key_purpose_idx ON facematch_internal.template_key (gallery_id, retention_class, due)
	WHERE destroyed_at IS NULL;
COMMENT ON TABLE facematch_internal.template_key IS
	'keys that templates are or were sealed with, each of a gallery, a class and a term; the keys are elsewhere';
COMMENT ON COLUMN facematch_internal.template_key.key_id IS 'its name';
COMMENT ON COLUMN facematch_internal.template_key.gallery_id IS 'the gallery; kept when it is deleted';
COMMENT ON COLUMN facematch_internal.template_key.retention_class IS 'the retention class of the rows';
COMMENT ON COLUMN facematch_internal.template_key.due IS
	'by then all rows under it are due; infinity: they have no deadline, or are held';
COMMENT ON COLUMN facematch_internal.template_key.held IS 'of rows that stay although they are due';
COMMENT ON COLUMN facematch_internal.template_key.earlier IS
	'keys that rows were under before they were sealed again with this one';
COMMENT ON COLUMN facematch_internal.template_key.made_at IS 'when it was made';
COMMENT ON COLUMN facematch_internal.template_key.retired_at IS
	'when it was rotated: no new row uses it, and facematch.rotate_keys() moves the rows that do to another key';
COMMENT ON COLUMN facematch_internal.template_key.destroyed_at IS
	'when it was destroyed: no copy of a template under it can be read since';
COMMENT ON COLUMN facematch_internal.template_key.made_in IS
	'the database that made it, in its cluster, by the name of its site''s key: a copy destroys none of its keys';
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.template_key', '');

-- The nil UUID among a receipt's keys: some of its rows were not sealed.
CREATE TABLE facematch_internal.receipt_key (
	receipt_id	bigint NOT NULL,
	key_id		uuid NOT NULL,
	CONSTRAINT receipt_key_pkey PRIMARY KEY (receipt_id, key_id),
	CONSTRAINT receipt_key_receipt_fkey FOREIGN KEY (receipt_id) REFERENCES facematch.purge_receipt (receipt_id)
);
COMMENT ON TABLE facematch_internal.receipt_key IS
	'the keys that a receipt''s templates were sealed with; rows are never changed';
COMMENT ON COLUMN facematch_internal.receipt_key.receipt_id IS 'the receipt';
COMMENT ON COLUMN facematch_internal.receipt_key.key_id IS
	'a key, a row of facematch_internal.template_key; the nil UUID: some of the templates were not sealed';
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.receipt_key', '');
SELECT facematch_internal.keep_as_record('facematch_internal.receipt_key');

---------------------------------------------------------------- keys

CREATE FUNCTION facematch_internal.own_template_key(key_id uuid) RETURNS boolean
	LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'facematch_own_template_key';
COMMENT ON FUNCTION facematch_internal.own_template_key(uuid) IS
	'whether no transaction is putting a row under a key; if so, none does until this one ends. False of a key that'
	' another database has made that is there: this one is a copy';

CREATE FUNCTION facematch_internal.rotate_wrapping_key() RETURNS bigint
	LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'facematch_rotate_wrapping_key';
COMMENT ON FUNCTION facematch_internal.rotate_wrapping_key() IS
	'wraps the keys of facematch.key_directory under a new wrapping key and destroys the old one; returns how many';
