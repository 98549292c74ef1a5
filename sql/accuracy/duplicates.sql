/*
 * Who is enrolled twice: pairs of references above a threshold, within a gallery or between two, found with the index,
 * and the clusters that such pairs form.
 */

CREATE FUNCTION facematch.duplicates(gallery text, min_similarity double precision DEFAULT NULL,
	other text DEFAULT NULL)
	RETURNS TABLE (reference_a bigint, subject_a uuid, reference_b bigint, subject_b uuid, similarity double precision,
				   same_subject boolean, cluster bigint)
	LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
DECLARE
	one facematch.gallery;
	two facematch.gallery;
	wanted text;
	threshold double precision;
	moment timestamptz := clock_timestamp();
	pairs record;			-- an array for each column; x and y are the places of the two references among all nodes
	nodes bigint[];			-- the references of all pairs, ascending
	parent integer[];		-- of each node: a node of the same cluster, not after it; itself at a cluster's first
	x integer;
	y integer;
BEGIN
	FOREACH wanted IN ARRAY ARRAY[gallery, coalesce(other, gallery)] LOOP
		one := two;
		SELECT g.* INTO two FROM facematch.gallery g WHERE g.name = wanted;
		PERFORM facematch_internal.check_gallery(two, wanted, to_stage => false);
	END LOOP;
	IF one.model_tag <> two.model_tag THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'galleries_are_of_one_model',
			MESSAGE = format('galleries %L and %L are of models %L and %L', one.name, two.name, one.model, two.model),
			HINT = 'Scores of different models mean nothing.';
	END IF;
	threshold := coalesce(duplicates.min_similarity, gallery_threshold(one));
	IF threshold NOT BETWEEN -1 AND 1 THEN
		RAISE numeric_value_out_of_range USING CONSTRAINT = 'min_similarity_range',
			MESSAGE = format('min_similarity is %s', threshold),
			HINT = 'A threshold is a cosine similarity, -1 to 1.';
	END IF;

	WITH pair AS MATERIALIZED (
		SELECT a.reference_id AS a, a.subject_id AS subject_a, b.reference_id AS b, b.subject_id AS subject_b,
			   @extschema@.face_similarity(b.embedding, a.embedding) AS similarity
		FROM facematch.reference a
		-- For each reference a search of the other gallery; within one, each pair once.  IS TRUE keeps the planner from
		-- taking the order of the identifiers for a way to find them: the primary key has half of all references after each.
		CROSS JOIN LATERAL (SELECT r.reference_id, r.subject_id, r.embedding FROM facematch.reference r
							WHERE r.gallery_id = two.gallery_id AND r.purge_after > moment
							  AND @extschema@.face_match(r.embedding, a.embedding, threshold)
							  AND (one.gallery_id <> two.gallery_id OR r.reference_id > a.reference_id) IS TRUE) b
		WHERE a.gallery_id = one.gallery_id AND a.purge_after > moment),
	node AS MATERIALIZED (
		SELECT n.id, row_number() OVER (ORDER BY n.id)::integer AS place
		FROM (SELECT p.a FROM pair p UNION SELECT p.b FROM pair p) n (id))
	SELECT array_agg(p.a) AS a, array_agg(p.subject_a) AS subject_a, array_agg(p.b) AS b,
		array_agg(p.subject_b) AS subject_b, array_agg(p.similarity) AS similarity, array_agg(m.place) AS x,
		array_agg(n.place) AS y, (SELECT array_agg(k.id ORDER BY k.place) FROM node k) AS nodes
	INTO pairs FROM pair p JOIN node m ON m.id = p.a JOIN node n ON n.id = p.b;
	nodes := pairs.nodes;
	parent := ARRAY(SELECT generate_series(1, cardinality(nodes)));
	FOR i IN 1 .. coalesce(cardinality(pairs.x), 0) LOOP
		x := pairs.x[i];
		y := pairs.y[i];
		WHILE parent[x] <> x LOOP
			parent[x] := parent[parent[x]];
			x := parent[x];
		END LOOP;
		WHILE parent[y] <> y LOOP
			parent[y] := parent[parent[y]];
			y := parent[y];
		END LOOP;
		parent[greatest(x, y)] := least(x, y);
	END LOOP;
	-- No parent comes after its child, so one walk from the first gives every node its cluster's first.
	FOR i IN 1 .. coalesce(cardinality(parent), 0) LOOP
		parent[i] := parent[parent[i]];
	END LOOP;
	RETURN QUERY
	SELECT u.a, u.subject_a, u.b, u.subject_b, u.similarity,
		u.subject_a = ANY (facematch_internal.aliases(u.subject_b)), nodes[parent[u.x]]
	FROM unnest(pairs.a, pairs.subject_a, pairs.b, pairs.subject_b, pairs.similarity, pairs.x)
		 u (a, subject_a, b, subject_b, similarity, x)
	ORDER BY 5 DESC, 1, 3;
END
$$;
COMMENT ON FUNCTION facematch.duplicates(text, double precision, text) IS
	'pairs of references with a cosine similarity of at least min_similarity (the gallery''s threshold, unless given), '
	'within a gallery or between it and another: one person enrolled twice, or look-alikes. same_subject: of one '
	'person. cluster: the least reference_id of those that match each other, directly or through others. Exact, most '
	'similar first; due references take no part; no template is shown. No such gallery: P0002; of different models: '
	'22023; threshold outside -1 to 1: 22003';
