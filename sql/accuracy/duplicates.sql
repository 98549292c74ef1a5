/*
 * Who is enrolled twice: pairs of references above a threshold, within a gallery
 * or between two, found with the index; people's clusters, and look-alikes.
 */

CREATE FUNCTION facematch.duplicates(gallery text, min_similarity double precision DEFAULT NULL, other text DEFAULT NULL)
	RETURNS TABLE (reference_a bigint, subject_a uuid, reference_b bigint, subject_b uuid, similarity double precision, same_subject boolean)
	LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	one facematch.gallery;
	two facematch.gallery;
	wanted text;
	threshold double precision;
	moment timestamptz := clock_timestamp();
BEGIN
	FOREACH wanted IN ARRAY ARRAY[gallery, coalesce(other, gallery)] LOOP
		one := two;
		SELECT g.* INTO two FROM facematch.gallery g WHERE g.name = wanted;
		IF NOT FOUND THEN
			RAISE no_data_found USING
				MESSAGE = format('there is no gallery %L', wanted),
				HINT = 'SELECT name FROM facematch.gallery lists the galleries that are staged.';
		END IF;
	END LOOP;
	IF one.model_tag <> two.model_tag THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('galleries %L and %L are of models %L and %L', one.name, two.name, one.model, two.model),
			HINT = 'Scores of different models mean nothing.';
	END IF;
	threshold := coalesce(duplicates.min_similarity, facematch_internal.gallery_threshold(one));
	IF threshold NOT BETWEEN -1 AND 1 THEN
		RAISE numeric_value_out_of_range USING
			MESSAGE = format('min_similarity is %s', threshold),
			HINT = 'A threshold is a cosine similarity, -1 to 1.';
	END IF;
	RETURN QUERY
	SELECT a.reference_id, a.subject_id, b.reference_id, b.subject_id, @extschema@.face_similarity(b.embedding, a.embedding), a.subject_id = b.subject_id
	FROM facematch.reference a
	-- For each reference a search of the other gallery; within one, each pair once.  IS TRUE keeps the planner from taking the
	-- order of the identifiers for a way to find them: the primary key has half of all references after each.
	CROSS JOIN LATERAL (SELECT r.reference_id, r.subject_id, r.embedding FROM facematch.reference r
						WHERE r.gallery_id = two.gallery_id AND r.purge_after > moment
						  AND @extschema@.face_match(r.embedding, a.embedding, threshold)
						  AND (one.gallery_id <> two.gallery_id OR r.reference_id > a.reference_id) IS TRUE) b
	WHERE a.gallery_id = one.gallery_id AND a.purge_after > moment
	ORDER BY 5 DESC, 1, 3;
END
$$;
COMMENT ON FUNCTION facematch.duplicates(text, double precision, text) IS
	'pairs of references with a cosine similarity of at least min_similarity (the gallery''s threshold, unless given), within a gallery or between it and another: one person enrolled twice, or look-alikes. same_subject: under one pseudonym. Exact, most similar first; due references take no part; no template is shown. No such gallery: P0002; of different models: 22023; threshold outside -1 to 1: 22003';

CREATE FUNCTION facematch_internal.look_alikes(gallery text, min_similarity double precision DEFAULT NULL, other text DEFAULT NULL)
	RETURNS TABLE (subject_a uuid, subject_b uuid, pairs bigint, similarity double precision, reference_a bigint, reference_b bigint)
	LANGUAGE sql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT least(d.subject_a, d.subject_b), greatest(d.subject_a, d.subject_b), count(*), max(d.similarity),
		   (array_agg(d.reference_a ORDER BY d.similarity DESC, d.reference_a, d.reference_b))[1],
		   (array_agg(d.reference_b ORDER BY d.similarity DESC, d.reference_a, d.reference_b))[1]
	FROM facematch.duplicates($1, $2, $3) d WHERE NOT d.same_subject
	GROUP BY 1, 2 ORDER BY 4 DESC, 1, 2
$$;
COMMENT ON FUNCTION facematch_internal.look_alikes(text, double precision, text) IS
	'different subjects whose references match each other: look-alikes whom a search may take for each other, or one person under two documents, for an officer to tell. How many pairs of references do, and the most similar of them. As duplicates()';

CREATE FUNCTION facematch_internal.person_clusters(gallery text, min_similarity double precision DEFAULT NULL, other text DEFAULT NULL)
	RETURNS TABLE (cluster bigint, reference_id bigint, subject_id uuid, cluster_references bigint, cluster_subjects bigint)
	LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	nodes bigint[];			-- references that match another, ascending, and their subjects
	subjects uuid[];
	parent integer[];		-- of each node: a node of the same cluster, not after it; itself at a cluster's first
	one integer[];			-- the pairs, as places among the nodes
	two integer[];
	a integer;
	b integer;
BEGIN
	WITH pair AS MATERIALIZED (SELECT d.reference_a, d.subject_a, d.reference_b, d.subject_b
							   FROM facematch.duplicates($1, $2, $3) d),
	node AS MATERIALIZED (SELECT n.id, n.subject, row_number() OVER (ORDER BY n.id)::integer AS place
			 FROM (SELECT p.reference_a, p.subject_a FROM pair p UNION SELECT p.reference_b, p.subject_b FROM pair p) n (id, subject)),
	placed AS (SELECT array_agg(x.place) AS one, array_agg(y.place) AS two
			   FROM pair p JOIN node x ON x.id = p.reference_a JOIN node y ON y.id = p.reference_b)
	SELECT array_agg(n.id ORDER BY n.place), array_agg(n.subject ORDER BY n.place), array_agg(n.place ORDER BY n.place),
		   (SELECT p.one FROM placed p), (SELECT p.two FROM placed p)
	INTO nodes, subjects, parent, one, two FROM node n;
	IF nodes IS NULL THEN
		RETURN;
	END IF;
	FOR i IN 1 .. cardinality(one) LOOP
		a := one[i];
		b := two[i];
		WHILE parent[a] <> a LOOP
			parent[a] := parent[parent[a]];
			a := parent[a];
		END LOOP;
		WHILE parent[b] <> b LOOP
			parent[b] := parent[parent[b]];
			b := parent[b];
		END LOOP;
		parent[greatest(a, b)] := least(a, b);
	END LOOP;
	-- No parent comes after its child, so one walk from the first gives every node its cluster's first.
	FOR i IN 1 .. cardinality(parent) LOOP
		parent[i] := parent[parent[i]];
	END LOOP;
	RETURN QUERY
	WITH member AS (SELECT nodes[m.first] AS first, m.id, m.subject FROM unnest(parent, nodes, subjects) m (first, id, subject)),
	size AS (SELECT m.first, count(*) AS of_references, count(DISTINCT m.subject) AS of_subjects FROM member m GROUP BY m.first)
	SELECT m.first, m.id, m.subject, z.of_references, z.of_subjects FROM member m JOIN size z USING (first) ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION facematch_internal.person_clusters(text, double precision, text) IS
	'references that match each other, directly or through others: each row a reference with its cluster, named by its least reference_id, and how many references and subjects the cluster has. References that match no other are left out. A cluster of several subjects is one person under several, or a chain of look-alikes. As duplicates()';
