/*
 * Pseudonyms: a person is known by a keyed hash of a travel document, never by
 * the document.
 *
 * subject_id = the first 128 bits of HMAC-SHA256(key, normalised document), of
 * which RFC 9562 takes 6 to mark a UUID of version 8.  Among a billion documents
 * the odds of any two sharing a pseudonym are about 1 in 10^19.
 *
 * The key is 256 random bits made by CREATE EXTENSION.  Without it a pseudonym
 * tells nothing about a document; with it, every document number can be tried.
 * So no role but a superuser reads it: the table grants nothing, and row
 * security without a policy hides the row from pg_read_all_data too.  The key
 * is part of a superuser's dump, because a restored database must go on giving
 * the same pseudonyms; docs/pseudonyms.md says how to keep the two apart.
 */

CREATE TABLE facematch.pseudonym_key (
	key_id		uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
	key			bytea NOT NULL CONSTRAINT pseudonym_key_is_256_bits CHECK (octet_length(key) = 32),
	created_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	CONSTRAINT pseudonym_key_pkey PRIMARY KEY (key_id)
);
COMMENT ON TABLE facematch.pseudonym_key IS
	'the secret of the pseudonyms: the oldest row is the key in use, so that a restored key replaces the one that '
	'a new CREATE EXTENSION made. For superusers only';
COMMENT ON COLUMN facematch.pseudonym_key.key_id IS 'identifier, random';
COMMENT ON COLUMN facematch.pseudonym_key.key IS '256 random bits, the key of HMAC-SHA256';
COMMENT ON COLUMN facematch.pseudonym_key.created_at IS 'when the key was made';
ALTER TABLE facematch.pseudonym_key ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('facematch.pseudonym_key', '');

-- pgcrypto may stand in any schema: its functions are named by the schema that its own catalogue entry gives.
DO $install$
DECLARE
	pgcrypto name := (SELECT n.nspname FROM pg_catalog.pg_extension e
					  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
					  WHERE e.extname OPERATOR(pg_catalog.=) 'pgcrypto');
BEGIN
	EXECUTE pg_catalog.format('INSERT INTO facematch.pseudonym_key (key) VALUES (%I.gen_random_bytes(32))',
		pgcrypto);
	-- An SQL-standard body keeps the function it found, wherever pgcrypto moves.
	EXECUTE pg_catalog.format($create$
		CREATE FUNCTION facematch_internal.keyed_hash(value bytea) RETURNS bytea
			LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
		BEGIN ATOMIC
			SELECT %I.hmac(value, k.key, 'sha256'::text) FROM facematch.pseudonym_key k ORDER BY k.created_at,
				k.key_id LIMIT 1;
		END
		$create$, pgcrypto);
END
$install$;
COMMENT ON FUNCTION facematch_internal.keyed_hash(bytea) IS 'HMAC-SHA256 of a value with the key of the pseudonyms; '
	'for subject_id() and pseudonym_fingerprint() only';

CREATE FUNCTION facematch_internal.pseudonym_fingerprint() RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	-- No document has small letters: this is no pseudonym of anybody.
	SELECT left(encode(facematch_internal.keyed_hash('fingerprint'), 'hex'), 16)
$$;
COMMENT ON FUNCTION facematch_internal.pseudonym_fingerprint() IS
	'16 digits by which sites see whether they make pseudonyms with the same key; they tell nothing of it';

CREATE FUNCTION facematch.subject_id(country text, doc_type text, doc_number text) RETURNS uuid
	LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	parts text[] := ARRAY[country, doc_type, doc_number];
	names CONSTANT text[] := '{country,kind,number}';
	hash bytea;
	on_worker boolean := false;
BEGIN
	-- One form for all ways of writing a document.
	FOR i IN 1 .. 3 LOOP
		IF getdatabaseencoding() = 'UTF8' THEN
			parts[i] := normalize(parts[i], NFKC);
		END IF;
		-- Capitals of ASCII only, so that the answer is the same under every locale; then the letters and digits that a
		-- machine-readable zone can hold: spaces, hyphens and its filler '<' differ between a page and its zone.
		parts[i] := regexp_replace(upper(parts[i] COLLATE "C"), '[ -/:-@\[-`{-~[:space:]]', '', 'g');
		IF parts[i] IS NULL OR parts[i] = '' THEN
			RAISE invalid_parameter_value USING CONSTRAINT = 'document_part_is_given',
				MESSAGE = format('the %s of a document is missing or empty', names[i]),
				HINT = 'A pseudonym is made from issuing country, kind and number of a travel document.';
		ELSIF parts[i] COLLATE "C" !~ '^[A-Z0-9]+$' THEN
			RAISE invalid_parameter_value USING CONSTRAINT = 'document_part_is_ascii',
				MESSAGE = format('the %s of a document has characters other than letters A to Z and digits', names[i]),
				HINT = 'Give it as the machine-readable zone has it: ICAO Doc 9303 transliterates other letters.';
		END IF;
	END LOOP;
	-- The separator is no character of a part: different documents cannot run together into one text.
	hash := substring(facematch_internal.keyed_hash(convert_to(array_to_string(parts, '<'), 'UTF8')) FROM 1 FOR 16);
	IF to_regclass('pg_catalog.pg_dist_local_group') IS NOT NULL THEN
		EXECUTE 'SELECT bool_or(groupid <> 0) FROM pg_catalog.pg_dist_local_group' INTO on_worker;
	END IF;
	IF on_worker THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'pseudonym_key_is_one',
			MESSAGE = 'a worker of Citus has a key of its own, whose pseudonyms name nobody',
			HINT = 'Call facematch.subject_id() by itself first, and give the query its result as a parameter.';
	END IF;
	IF hash IS NULL THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'pseudonym_key_exists',
			MESSAGE = 'there is no key to make pseudonyms with',
			HINT = 'Restore the row of facematch.pseudonym_key that this database had.';
	END IF;
	hash := set_byte(hash, 6, get_byte(hash, 6) & 15 | 128);	-- version 8
	hash := set_byte(hash, 8, get_byte(hash, 8) & 63 | 128);	-- the variant of RFC 9562
	RETURN encode(hash, 'hex')::uuid;
END
$$;
COMMENT ON FUNCTION facematch.subject_id(text, text, text) IS
	'pseudonym of the holder of a travel document: the same for all ways of writing it, useless without the key. A '
	'role that may call it can try document numbers: only operators and auditors may. Empty parts and letters '
	'other than A to Z: 22023';

CREATE FUNCTION facematch_internal.change_pseudonym_key() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	used_by text;
BEGIN
	-- Nobody makes a pseudonym of a subject meanwhile.
	LOCK TABLE facematch.reference, facematch.encounter, facematch.anchor_event, facematch.opt_out, facematch.hold,
		facematch.subject_merge, facematch.rights_event IN SHARE MODE;
	used_by := CASE WHEN EXISTS (SELECT FROM facematch.reference) THEN 'facematch.reference'
		WHEN EXISTS (SELECT FROM facematch.encounter e WHERE e.subject_id IS NOT NULL) THEN 'facematch.encounter'
		WHEN EXISTS (SELECT FROM facematch.anchor_event) THEN 'facematch.anchor_event'
		-- Of this transaction too, which has no event yet.
		WHEN EXISTS (SELECT FROM facematch.opt_out) THEN 'facematch.opt_out'
		WHEN EXISTS (SELECT FROM facematch.hold h WHERE h.subject_id IS NOT NULL) THEN 'facematch.hold'
		WHEN EXISTS (SELECT FROM facematch.subject_merge) THEN 'facematch.subject_merge'
		WHEN EXISTS (SELECT FROM facematch.rights_event e WHERE coalesce(e.after, e.before) ?| '{subject_id,kept}')
			THEN 'facematch.rights_event' END;
	IF NEW.key <> OLD.key AND used_by IS NOT NULL THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'pseudonym_key_is_unused',
			MESSAGE = format('pseudonyms of the key are in %s', used_by),
			HINT = 'With another key they would name nobody. Bring the key before the first subject is recorded: into a new'
				' database.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch_internal.change_pseudonym_key() IS
	'trigger: the key is another only before the first subject: 55000, constraint pseudonym_key_is_unused';
CREATE TRIGGER pseudonym_key_10_is_unused BEFORE UPDATE ON facematch.pseudonym_key
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.change_pseudonym_key();
ALTER TABLE facematch.pseudonym_key ENABLE ALWAYS TRIGGER pseudonym_key_10_is_unused;
