/*
 * The access method: exact search among the templates of a gallery.
 *
 *   CREATE INDEX ON reference USING facematch (gallery_id, embedding);
 *
 * Keys come first, any number of them, the embedding last.  src/index/README.md
 * tells how it works.
 */
CREATE FUNCTION facematch_handler(internal) RETURNS index_am_handler
	LANGUAGE C AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION facematch_handler(internal) IS 'handler of the facematch access method';

CREATE ACCESS METHOD facematch TYPE INDEX HANDLER facematch_handler;
COMMENT ON ACCESS METHOD facematch IS
	'exact 1:N search: posting lists of face_embedding codes by gallery key. Answers key equality, thresholds and '
	'ORDER BY <=>, <->, <#>';

/* The embedding: three orderings and the threshold, in one class. */
CREATE OPERATOR CLASS face_embedding_ops DEFAULT FOR TYPE face_embedding USING facematch AS
	OPERATOR 1 <=> (face_embedding, face_embedding) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 2 <-> (face_embedding, face_embedding) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 3 <#> (face_embedding, face_embedding) FOR ORDER BY pg_catalog.float_ops,
	OPERATOR 4 =~ (face_embedding, face_probe),
	OPERATOR 5 =~? (face_embedding, face_probe);
COMMENT ON OPERATOR CLASS face_embedding_ops USING facematch IS
	'cosine, Euclidean and inner product order, and thresholds on them, from the same codes';

/*
 * Keys: equality and an extended hash function that agrees with it.  A type
 * that is not here gets its class the same way.
 */
CREATE OPERATOR FAMILY integer_ops USING facematch;
CREATE OPERATOR CLASS int2_ops DEFAULT FOR TYPE pg_catalog.int2 USING facematch FAMILY integer_ops AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashint2extended(int2, int8);
CREATE OPERATOR CLASS int4_ops DEFAULT FOR TYPE pg_catalog.int4 USING facematch FAMILY integer_ops AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashint4extended(int4, int8);
CREATE OPERATOR CLASS int8_ops DEFAULT FOR TYPE pg_catalog.int8 USING facematch FAMILY integer_ops AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashint8extended(int8, int8);
ALTER OPERATOR FAMILY integer_ops USING facematch ADD
	OPERATOR 1 pg_catalog.= (int2, int4), OPERATOR 1 pg_catalog.= (int2, int8),
	OPERATOR 1 pg_catalog.= (int4, int2), OPERATOR 1 pg_catalog.= (int4, int8),
	OPERATOR 1 pg_catalog.= (int8, int2), OPERATOR 1 pg_catalog.= (int8, int4);

CREATE OPERATOR FAMILY text_ops USING facematch;
CREATE OPERATOR CLASS text_ops DEFAULT FOR TYPE pg_catalog.text USING facematch FAMILY text_ops AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashtextextended(text, int8);
CREATE OPERATOR CLASS bpchar_ops DEFAULT FOR TYPE pg_catalog.bpchar USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashbpcharextended(bpchar, int8);
CREATE OPERATOR CLASS name_ops DEFAULT FOR TYPE pg_catalog.name USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashnameextended(name, int8);
CREATE OPERATOR CLASS uuid_ops DEFAULT FOR TYPE pg_catalog.uuid USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.uuid_hash_extended(uuid, int8);
CREATE OPERATOR CLASS bool_ops DEFAULT FOR TYPE pg_catalog.bool USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashcharextended("char", int8);
CREATE OPERATOR CLASS char_ops DEFAULT FOR TYPE pg_catalog."char" USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashcharextended("char", int8);
CREATE OPERATOR CLASS oid_ops DEFAULT FOR TYPE pg_catalog.oid USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashoidextended(oid, int8);
CREATE OPERATOR CLASS bytea_ops DEFAULT FOR TYPE pg_catalog.bytea USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashvarlenaextended(internal, int8);
CREATE OPERATOR CLASS float4_ops DEFAULT FOR TYPE pg_catalog.float4 USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashfloat4extended(float4, int8);
CREATE OPERATOR CLASS float8_ops DEFAULT FOR TYPE pg_catalog.float8 USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashfloat8extended(float8, int8);
CREATE OPERATOR CLASS numeric_ops DEFAULT FOR TYPE pg_catalog.numeric USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hash_numeric_extended(numeric, int8);
CREATE OPERATOR CLASS date_ops DEFAULT FOR TYPE pg_catalog.date USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashint4extended(int4, int8);
CREATE OPERATOR CLASS time_ops DEFAULT FOR TYPE pg_catalog.time USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.time_hash_extended(time, int8);
CREATE OPERATOR CLASS timetz_ops DEFAULT FOR TYPE pg_catalog.timetz USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.timetz_hash_extended(timetz, int8);
CREATE OPERATOR CLASS timestamp_ops DEFAULT FOR TYPE pg_catalog.timestamp USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.timestamp_hash_extended(timestamp, int8);
CREATE OPERATOR CLASS timestamptz_ops DEFAULT FOR TYPE pg_catalog.timestamptz USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.timestamp_hash_extended(timestamp, int8);
CREATE OPERATOR CLASS interval_ops DEFAULT FOR TYPE pg_catalog.interval USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.interval_hash_extended(interval, int8);
CREATE OPERATOR CLASS inet_ops DEFAULT FOR TYPE pg_catalog.inet USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashinetextended(inet, int8);
CREATE OPERATOR CLASS macaddr_ops DEFAULT FOR TYPE pg_catalog.macaddr USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashmacaddrextended(macaddr, int8);
CREATE OPERATOR CLASS macaddr8_ops DEFAULT FOR TYPE pg_catalog.macaddr8 USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashmacaddr8extended(macaddr8, int8);
CREATE OPERATOR CLASS pg_lsn_ops DEFAULT FOR TYPE pg_catalog.pg_lsn USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.pg_lsn_hash_extended(pg_lsn, int8);
CREATE OPERATOR CLASS jsonb_ops DEFAULT FOR TYPE pg_catalog.jsonb USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.jsonb_hash_extended(jsonb, int8);
CREATE OPERATOR CLASS enum_ops DEFAULT FOR TYPE pg_catalog.anyenum USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hashenumextended(anyenum, int8);
CREATE OPERATOR CLASS array_ops DEFAULT FOR TYPE pg_catalog.anyarray USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hash_array_extended(anyarray, int8);
CREATE OPERATOR CLASS record_ops DEFAULT FOR TYPE pg_catalog.record USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hash_record_extended(record, int8);
CREATE OPERATOR CLASS range_ops DEFAULT FOR TYPE pg_catalog.anyrange USING facematch AS
	OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.hash_range_extended(anyrange, int8);

/* A comment on every key class, which all say the same of their types. */
DO $comment$
DECLARE
	class record;
BEGIN
	FOR class IN
		SELECT n.nspname, o.opcname, o.opcintype FROM pg_catalog.pg_opclass o
		JOIN pg_catalog.pg_namespace n ON n.oid = o.opcnamespace JOIN pg_catalog.pg_am a ON a.oid = o.opcmethod
		WHERE a.amname = 'facematch' AND pg_catalog.obj_description(o.oid, 'pg_opclass') IS NULL
	LOOP
		EXECUTE pg_catalog.format('COMMENT ON OPERATOR CLASS %I.%I USING facematch IS %L', class.nspname, class.opcname,
			pg_catalog.format('gallery keys of type %s: equality', pg_catalog.format_type(class.opcintype, NULL)));
	END LOOP;
END $comment$;
