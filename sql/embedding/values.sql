/*
 * Templates and probes as values: a total order for btree, hash, DISTINCT and GROUP BY, which says nothing about
 * likeness.  Templates by model tag, dimensions and components; probes by embedding, then threshold.
 *
 * These comparisons never fail and are LEAKPROOF.
 */

DO $values$
DECLARE
	t record;
	o record;
BEGIN
	FOR t IN VALUES
		('face_embedding', 'templates', 'model tag, then dimensions, then components',
		 'same model tag, dimensions and components', 'model tag and components'),
		('face_probe', 'probes', 'embedding, then threshold', 'same embedding and threshold', 'embedding and threshold')
	LOOP
		EXECUTE format($create$
			CREATE FUNCTION %1$s_cmp(%1$s, %1$s) RETURNS integer
				LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
			COMMENT ON FUNCTION %1$s_cmp(%1$s, %1$s) IS 'btree: -1, 0 or 1 by %2$s';
			CREATE FUNCTION %1$s_hash(%1$s) RETURNS integer
				LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
			COMMENT ON FUNCTION %1$s_hash(%1$s) IS 'hash of %3$s';
			CREATE FUNCTION %1$s_hash_extended(%1$s, bigint) RETURNS bigint
				LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
			COMMENT ON FUNCTION %1$s_hash_extended(%1$s, bigint) IS 'hash of %3$s, with a seed' $create$,
			t.column1, t.column3, t.column5);
		FOR o IN VALUES
			('eq', '=', '=', '<>', 'eq', 'HASHES, MERGES', 'equal: ' || t.column4),
			('ne', '<>', '<>', '=', 'neq', NULL, 'not equal as values'),
			('lt', '<', '>', '>=', 'scalarlt', NULL, 'less than, in the order of values'),
			('le', '<=', '>=', '>', 'scalarle', NULL, 'less than or equal, in the order of values'),
			('gt', '>', '<', '<=', 'scalargt', NULL, 'greater than, in the order of values'),
			('ge', '>=', '<=', '<', 'scalarge', NULL, 'greater than or equal, in the order of values')
		LOOP
			EXECUTE format($create$
				CREATE FUNCTION %1$s_%2$s(%1$s, %1$s) RETURNS boolean
					LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF AS 'MODULE_PATHNAME';
				COMMENT ON FUNCTION %1$s_%2$s(%1$s, %1$s) IS 'implementation of %3$s operator';
				CREATE OPERATOR %3$s (
					FUNCTION = %1$s_%2$s,
					LEFTARG = %1$s, RIGHTARG = %1$s,
					COMMUTATOR = %4$s, NEGATOR = %5$s,
					RESTRICT = %6$ssel, JOIN = %6$sjoinsel%7$s
				);
				COMMENT ON OPERATOR %3$s (%1$s, %1$s) IS %8$L $create$,
				t.column1, o.column1, o.column2, o.column3, o.column4, o.column5, ', ' || o.column6, o.column7);
		END LOOP;
		EXECUTE format($create$
			CREATE OPERATOR CLASS %1$s_ops DEFAULT FOR TYPE %1$s USING btree AS
				OPERATOR 1 < ,
				OPERATOR 2 <= ,
				OPERATOR 3 = ,
				OPERATOR 4 >= ,
				OPERATOR 5 > ,
				FUNCTION 1 %1$s_cmp(%1$s, %1$s);
			COMMENT ON OPERATOR CLASS %1$s_ops USING btree IS
				'order of %2$s as values, for DISTINCT and GROUP BY; not likeness';
			CREATE OPERATOR CLASS %1$s_ops DEFAULT FOR TYPE %1$s USING hash AS
				OPERATOR 1 = ,
				FUNCTION 1 %1$s_hash(%1$s),
				FUNCTION 2 %1$s_hash_extended(%1$s, bigint);
			COMMENT ON OPERATOR CLASS %1$s_ops USING hash IS 'equality of %2$s as values' $create$, t.column1, t.column2);
	END LOOP;
END
$values$;
