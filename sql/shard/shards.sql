/*
 * Galleries on more than one server: which servers, and one search over all.
 *
 * A shard is a table of references on another server, seen through a foreign table of
 * postgres_fdw. The search asks every shard for its best candidates. Threshold,
 * deadline and limit are in the query that is sent. All shards work at the same time:
 * an aggregate over UNION ALL needs no order, so PostgreSQL may read the branches in
 * any order. The best of all shards' candidates are the best of all.
 *
 * The probe is sent as a parameter, through a lateral join: as a constant it would be
 * in the text of the shard's query, and so in its log and its errors.
 *
 * The search runs with the owner's privileges and user mappings, as identify() does. A
 * shard's role has to be one that may read templates, because it sorts by them, and the
 * users who search should not need such a role.
 *
 * The server of a gallery tells its threshold (facematch.shard_gallery), because the
 * threshold of a target FPIR depends on its calibration and its references. For users
 * who may not read templates, no candidate is below it, whatever they ask for. This is
 * also true of a search over everything: it looks up the galleries of the candidates,
 * and asks for more candidates while some are left out.
 */

CREATE VIEW facematch.shard_gallery AS
	SELECT g.gallery_id, g.name, CASE WHEN g.target_fpir IS NULL THEN g.min_similarity
									  ELSE (facematch.operating_point(g.gallery_id)).threshold END AS threshold,
		   facematch_internal.pseudonym_fingerprint() AS pseudonym_key
	FROM facematch.gallery g;
COMMENT ON VIEW facematch.shard_gallery IS 'the galleries of this server, for servers that search it; a role that '
	'reads it needs EXECUTE on facematch.operating_point(bigint)';
COMMENT ON COLUMN facematch.shard_gallery.gallery_id IS 'the gallery';
COMMENT ON COLUMN facematch.shard_gallery.name IS 'its name';
COMMENT ON COLUMN facematch.shard_gallery.threshold IS 'the threshold with which facematch.identify() searches it '
	'now: a cosine similarity, -1 to 1; NULL: a target FPIR, and no calibration of the model';
COMMENT ON COLUMN facematch.shard_gallery.pseudonym_key IS 'the fingerprint of the key of this server''s pseudonyms: '
	'facematch.shard takes none of another key';

CREATE TABLE facematch.shard (
	name			text NOT NULL CONSTRAINT shard_name_is_a_name CHECK (facematch_internal.is_name(name)),
	reference_table	regclass NOT NULL,
	gallery_table	regclass,
	min_similarity	double precision NOT NULL
		CONSTRAINT shard_min_similarity_range CHECK (min_similarity BETWEEN -1 AND 1),
	CONSTRAINT shard_pkey PRIMARY KEY (name),
	CONSTRAINT shard_reference_table_key UNIQUE (reference_table)
);
COMMENT ON TABLE facematch.shard IS 'the servers that facematch.search_shards() asks, one row each';
COMMENT ON COLUMN facematch.shard.name IS 'name of the shard';
COMMENT ON COLUMN facematch.shard.reference_table IS 'its references: a foreign table (or a table here) with the '
	'columns reference_id bigint, gallery_id bigint, subject_id uuid, embedding face_embedding and purge_after '
	'timestamptz, such as IMPORT FOREIGN SCHEMA makes of facematch.reference';
COMMENT ON COLUMN facematch.shard.gallery_table IS 'its galleries: likewise, with gallery_id bigint, name text and '
	'threshold double precision, of its facematch.shard_gallery; NULL: they cannot be named, and only users who may '
	'read templates search the shard';
COMMENT ON COLUMN facematch.shard.min_similarity IS 'threshold of a search over all galleries: the least cosine '
	'similarity of a candidate, -1 to 1, unless the threshold of its gallery is higher';
SELECT pg_catalog.pg_extension_config_dump('facematch.shard', '');

CREATE FUNCTION facematch_internal.check_shard() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	relation regclass;
	columns text;
	missing text;
	server record;
	its_key text;
BEGIN
	FOR relation, columns IN VALUES
		(NEW.reference_table, 'reference_id bigint,gallery_id bigint,subject_id uuid,embedding face_embedding,'
			'purge_after timestamp with time zone'),
		(NEW.gallery_table, 'gallery_id bigint,name text,threshold double precision')
	LOOP
		CONTINUE WHEN relation IS NULL;
		SELECT string_agg(c, ', ') INTO missing FROM unnest(string_to_array(columns, ',')) c
		WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
						  AND format('%s %s', a.attname, a.atttypid::regtype)
							  IN (c, replace(c, 'face_embedding', '@extschema@.face_embedding')));
		-- Searches read it with the owner's privileges, and with it whatever its own owner makes of its columns.
		IF EXISTS (SELECT FROM pg_class c JOIN pg_roles o ON o.oid = c.relowner WHERE c.oid = relation
			AND NOT o.rolsuper) THEN
			RAISE insufficient_privilege USING CONSTRAINT = 'shard_owner_is_a_superuser',
				MESSAGE = format('table %s of shard %L belongs to a role that is not a superuser', relation, NEW.name),
				DETAIL = 'Searches of shards would run its code with the rights of the extension''s owner.',
				HINT = format('ALTER FOREIGN TABLE %s OWNER TO a superuser.', relation);
		END IF;
		IF missing IS NOT NULL THEN
			RAISE invalid_table_definition USING CONSTRAINT = 'shard_table_is_whole',
				MESSAGE = format('table %s of shard %L lacks: %s', relation, NEW.name, missing),
				HINT = 'IMPORT FOREIGN SCHEMA facematch LIMIT TO (reference, shard_gallery) makes the tables of a shard; '
					'option column_name gives columns other names.';
		END IF;
		SELECT s.srvname, s.srvoptions, coalesce(t.ftoptions, '{}') || coalesce(s.srvoptions, '{}') AS options INTO server
		FROM pg_foreign_table t JOIN pg_foreign_server s ON s.oid = t.ftserver WHERE t.ftrelid = relation;
		CONTINUE WHEN NOT FOUND;
		IF NOT EXISTS (SELECT FROM unnest(server.srvoptions) o,
							  regexp_split_to_table(substr(o, length('extensions=') + 1), '\s*,\s*') e
					   WHERE starts_with(o, 'extensions=') AND btrim(e, ' "') = 'facematch') THEN
			RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'shard_server_lists_facematch',
				MESSAGE = format('server %I of shard %L does not list facematch in its extensions', server.srvname, NEW.name),
				DETAIL = 'Every template of the shard would be fetched and compared here.',
				HINT = format('ALTER SERVER %I OPTIONS (ADD extensions ''facematch'')', server.srvname);
		ELSIF NOT EXISTS (SELECT FROM unnest(server.options) o
						  WHERE lower(o) IN ('async_capable=true', 'async_capable=on', 'async_capable=1')) THEN
			RAISE WARNING USING
				MESSAGE = format('server %I of shard %L is not async_capable', server.srvname, NEW.name),
				DETAIL = 'It will be asked after those before it have answered.',
				HINT = format('ALTER SERVER %I OPTIONS (ADD async_capable ''true'')', server.srvname);
		END IF;
	END LOOP;
	-- With another key a search for facematch.subject_id() finds nobody, and an opt-out of here means nobody there.
	IF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = NEW.gallery_table AND a.attname = 'pseudonym_key'
			   AND a.atttypid = 'text'::regtype) THEN
		BEGIN
			EXECUTE format('SELECT g.pseudonym_key FROM %s g LIMIT 1', NEW.gallery_table) INTO its_key;
		EXCEPTION WHEN connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now THEN
			-- A dump of this server is restored whatever other servers do.
			RAISE WARNING USING
				MESSAGE = format('shard %L does not answer: the key of its pseudonyms was not compared', NEW.name),
				HINT = 'facematch.health_check() compares it when the shard answers, if its server has a connect_timeout.';
		END;
		IF its_key <> facematch_internal.pseudonym_fingerprint() THEN
			RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'shard_has_the_same_key',
				MESSAGE = format('shard %L makes its pseudonyms with another key', NEW.name),
				DETAIL = 'A person has another subject_id there than here.',
				HINT = 'Bring the key of facematch.pseudonym_key to the shard before its first reference is staged.';
		END IF;
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch_internal.check_shard() IS
	'trigger: refuses a shard whose tables belong to a role that is not a superuser (42501), lack columns (42P16), are '
	'of a server that would not compare templates itself, or that makes pseudonyms with another key (55000); warns of '
	'one that is not asynchronous, or does not answer, so that the keys could not be compared';

CREATE TRIGGER shard_10_check BEFORE INSERT OR UPDATE
	ON facematch.shard FOR EACH ROW EXECUTE FUNCTION facematch_internal.check_shard();
ALTER TABLE facematch.shard ENABLE ALWAYS TRIGGER shard_10_check;
SELECT facematch_internal.keep_as_record('facematch.shard', changes => true,
	log => '{shard,name,"name,reference_table,gallery_table,min_similarity","added,changed,deleted"}');
COMMENT ON TRIGGER shard_10_check ON facematch.shard IS 'its tables are what facematch.search_shards() needs';

---------------------------------------------------------------- the search

CREATE TYPE facematch_internal.shard_candidate AS (shard text, gallery_id bigint, reference_id bigint, subject_id uuid,
	similarity double precision, distance double precision);
COMMENT ON TYPE facematch_internal.shard_candidate IS 'one of a shard''s best: cosine similarity and distance to the '
	'probe';

CREATE TYPE facematch_internal.shard_part AS (shard text, relation regclass, gallery_id bigint,
	threshold double precision);
COMMENT ON TYPE facematch_internal.shard_part IS 'what is asked of a shard: its table, one gallery (NULL: all), the '
	'least similarity';

-- The names in it are of catalogs, and quoted; what a caller gave is in the parameters.  "OR p.anyhow" is never true
-- and the shard's planner knows it; the one here does not, and expects more rows than the limit, which it would not
-- send otherwise.
CREATE FUNCTION facematch_internal.shards_query(parts facematch_internal.shard_part[], most bigint,
	slack double precision DEFAULT 0) RETURNS text
	-- A threshold in the query is the threshold, whatever the session wants of the digits of numbers.
	LANGUAGE sql STABLE SET search_path = pg_catalog, facematch_internal, pg_temp SET extra_float_digits = 1
AS $$
	SELECT 'SELECT coalesce(array_agg(ROW(u.shard, u.gallery_id, u.reference_id, u.subject_id, u.similarity, u.distance)'
		'::shard_candidate ORDER BY u.distance, u.shard COLLATE "C", u.reference_id), ''{}'')'
		' FROM (SELECT u.* FROM (SELECT $1 AS probe, false AS anyhow OFFSET 0) p, LATERAL ('
		|| string_agg(format(
			'(SELECT %L::text AS shard, r.gallery_id, r.reference_id, r.subject_id,'
			' @extschema@.face_similarity(r.embedding, p.probe) AS similarity,'
			' r.embedding OPERATOR(@extschema@.<=>) p.probe AS distance FROM %s r'
			' WHERE (@extschema@.face_match(r.embedding, p.probe, %L::double precision) AND r.purge_after > $2%s OR p.anyhow)'
			' ORDER BY r.embedding OPERATOR(@extschema@.<=>) p.probe LIMIT %s)',
			t.shard, t.relation, greatest(t.threshold - slack, -1), ' AND r.gallery_id = ' || t.gallery_id, most),
				' UNION ALL ')
		|| ') u LIMIT ' || cardinality(parts) * most + 1 || ') u'
	FROM unnest(parts) t
$$;
COMMENT ON FUNCTION facematch_internal.shards_query(facematch_internal.shard_part[], bigint, double precision) IS
	'the query over these parts, at most so many rows of each, and as far below their thresholds as slack says; its '
	'parameters are the probe and the moment. Where shards send more, it takes one row more than all of them together '
	'may send';

-- What another server says is believed only as far as it is a threshold: with none a comparison would refuse nobody.
CREATE FUNCTION facematch_internal.check_shard_thresholds(parts facematch_internal.shard_part[]) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
DECLARE
	part shard_part;
BEGIN
	FOREACH part IN ARRAY coalesce(parts, '{}') LOOP
		IF part.threshold IS NULL OR part.threshold NOT BETWEEN -1 AND 1 THEN
			RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'shard_threshold_is_known',
				MESSAGE = format('%s of shard %L has no threshold: %s', coalesce('gallery ' || part.gallery_id, 'a gallery'),
					part.shard, coalesce(part.threshold::text, 'NULL')),
				HINT = 'The shard''s gallery_table has to be facematch.shard_gallery there, whose column threshold is a cosine '
					'similarity, -1 to 1; it is NULL there for a gallery with a target FPIR whose model is not calibrated.';
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch_internal.check_shard_thresholds(facematch_internal.shard_part[]) IS
	'refuses (55000) a threshold of a shard that is NULL, or not -1 to 1';

-- What a shard answers is believed only as far as it was asked: it may be of another version, or something else.
CREATE FUNCTION facematch_internal.asked_candidates(parts facematch_internal.shard_part[],
	candidates facematch_internal.shard_candidate[], most bigint, slack double precision DEFAULT 0)
	RETURNS facematch_internal.shard_candidate[]
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
DECLARE
	talker text := (SELECT c.shard FROM unnest(candidates) c GROUP BY c.shard HAVING count(*) > most LIMIT 1);
BEGIN
	IF talker IS NOT NULL THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'shard_gives_what_was_asked',
			MESSAGE = format('shard %L gave more candidates than the %s that it was asked for', talker, most),
			HINT = 'See what its reference_table is there.';
	END IF;
	RETURN ARRAY(
		SELECT c FROM unnest(candidates) c
		JOIN unnest(parts) p ON p.shard = c.shard AND (p.gallery_id IS NULL OR c.gallery_id = p.gallery_id)
		WHERE c.similarity >= p.threshold - slack
		ORDER BY c.distance, c.shard COLLATE "C", c.reference_id);
END
$$;
COMMENT ON FUNCTION facematch_internal.asked_candidates(facematch_internal.shard_part[],
	facematch_internal.shard_candidate[], bigint, double precision) IS
	'those of the candidates that were asked for: of the gallery, and as similar, less slack; in the same order. More '
	'of a shard than were asked for: 55000';

-- Galleries of one name may be on several shards, and have other numbers, and other thresholds, on each.
CREATE FUNCTION facematch_internal.shard_parts(shards facematch.shard[], gallery text,
	min_similarity double precision) RETURNS facematch_internal.shard_part[]
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
DECLARE
	parts shard_part[];
	low shard_part;
	place text := (SELECT s.name FROM unnest(shards) s WHERE s.gallery_table IS NULL LIMIT 1);
BEGIN
	IF gallery IS NULL AND place IS NOT NULL AND near_margin() > 0 THEN
		RAISE insufficient_privilege USING CONSTRAINT = 'shard_thresholds_are_known',
			MESSAGE = format('shard %L has no gallery_table, so the thresholds of its galleries are not known', place),
			HINT = 'UPDATE facematch.shard SET gallery_table = ...: without, only users who may read '
				'facematch.reference.embedding search it.';
	ELSIF gallery IS NULL THEN
		SELECT array_agg(ROW(s.name, s.reference_table, NULL, s.min_similarity)::shard_part) INTO parts
			FROM unnest(shards) s;
	ELSIF place IS NOT NULL THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'shard_galleries_are_known',
			MESSAGE = format('shard %L has no gallery_table, so its galleries cannot be named', place),
			HINT = 'UPDATE facematch.shard SET gallery_table = ..., or search all galleries.';
	ELSE
		EXECUTE (SELECT format(
			'SELECT array_agg(ROW(u.shard, u.relation, u.gallery_id, u.threshold)::shard_part) FROM (%s) u',
			string_agg(format('(SELECT %L::text AS shard, %L::regclass AS relation, g.gallery_id, g.threshold'
				' FROM %s g WHERE g.name = $1 LIMIT 2)', s.name, s.reference_table, s.gallery_table), ' UNION ALL '))
			FROM unnest(shards) s) INTO parts USING gallery;
		-- Without a number all its references would be searched, as if they were the gallery's.
		SELECT p.shard INTO place FROM unnest(parts) p GROUP BY p.shard HAVING count(p.gallery_id) <> 1 OR count(*) > 1;
		IF FOUND THEN
			RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'shard_gallery_is_one',
				MESSAGE = format('shard %L has gallery %L without a number, or more than once', place, gallery),
				HINT = 'The shard''s gallery_table has to be facematch.shard_gallery there.';
		END IF;
	END IF;
	PERFORM check_shard_thresholds(parts);
	IF min_similarity IS NULL OR parts IS NULL THEN
		RETURN parts;
	END IF;
	SELECT p.* INTO low FROM unnest(parts) p WHERE min_similarity < p.threshold LIMIT 1;
	IF FOUND AND near_margin() > 0 THEN
		RAISE insufficient_privilege USING CONSTRAINT = 'min_similarity_is_not_below',
			MESSAGE = format('min_similarity is below the threshold, %s, of what is searched on %L', low.threshold, low.shard),
			HINT = 'A template can be computed from the scores of enough probes: only users who may read '
				'facematch.reference.embedding get those of everybody.';
	END IF;
	RETURN ARRAY(SELECT ROW(p.shard, p.relation, p.gallery_id, CASE WHEN near_margin() = 0 THEN shard_parts.min_similarity
				ELSE asked_threshold(shard_parts.min_similarity, p.threshold) END)::shard_part
		FROM unnest(parts) p);
END
$$;
COMMENT ON FUNCTION facematch_internal.shard_parts(facematch.shard[], text, double precision) IS
	'what to ask of which shard, with which threshold (unless one is given): all of it, or the gallery of this name; '
	'NULL if there is none. A shard''s galleries cannot be named, or one has no threshold or number: 55000; below a '
	'threshold, or where those of galleries are not known, for users who may not read templates: 42501';

-- A gallery that is gone since has no candidates: they went first.
CREATE FUNCTION facematch_internal.above_thresholds(shards facematch.shard[],
	candidates facematch_internal.shard_candidate[], slack double precision DEFAULT 0)
	RETURNS facematch_internal.shard_candidate[]
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, facematch_internal, pg_temp
AS $$
DECLARE
	query text;
	galleries shard_part[];
BEGIN
	SELECT string_agg(format('SELECT %L::text AS shard, g.gallery_id, g.threshold FROM %s g'
		' WHERE g.gallery_id = ANY (%L::bigint[])', s.name, s.gallery_table, c.galleries), ' UNION ALL ') INTO query
	FROM unnest(shards) s
	JOIN (SELECT c.shard, array_agg(DISTINCT c.gallery_id) AS galleries FROM unnest(candidates) c GROUP BY c.shard) c
		ON c.shard = s.name
	WHERE s.gallery_table IS NOT NULL;
	IF query IS NULL THEN
		RETURN candidates;
	END IF;
	EXECUTE format('SELECT array_agg(ROW(u.shard, NULL, u.gallery_id, u.threshold)::shard_part) FROM (%s) u', query)
		INTO galleries;
	PERFORM check_shard_thresholds(galleries);
	RETURN ARRAY(
		SELECT c FROM unnest(candidates) c JOIN unnest(shards) s ON s.name = c.shard
		LEFT JOIN unnest(galleries) g ON g.shard = c.shard AND g.gallery_id = c.gallery_id
		WHERE s.gallery_table IS NULL OR c.similarity >= g.threshold - slack
		ORDER BY c.distance, c.shard COLLATE "C", c.reference_id);
END
$$;
COMMENT ON FUNCTION facematch_internal.above_thresholds(facematch.shard[], facematch_internal.shard_candidate[],
	double precision) IS
	'those of the candidates that reach the threshold of their gallery less slack, in the same order; a shard without '
	'gallery_table has no such thresholds. A gallery without a threshold: 55000';

CREATE FUNCTION facematch.search_shards(probe @extschema@.face_embedding, max_candidates integer DEFAULT 10,
	min_similarity double precision DEFAULT NULL, gallery text DEFAULT NULL, partial boolean DEFAULT false)
	RETURNS TABLE (rank integer, shard text, gallery_id bigint, reference_id bigint, subject_id uuid,
		similarity double precision, complete boolean)
	-- STABLE: the thresholds are of as many references as are compared, also where a shard is a table here.
	LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path = pg_catalog, facematch_internal, pg_temp
	-- Where the planner expects few rows above the threshold, it would sort them here, and leave the limit here too.
	SET enable_sort = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	one facematch.shard;
	answering facematch.shard[] := '{}';
	silent text[] := '{}';
	parts shard_part[];
	candidates shard_candidate[] := '{}';
	near shard_candidate[];
	-- The thresholds themselves, by which a match is a strong one, whatever is asked for.
	own shard_part[];
	persons uuid[] := '{}';
	above double precision[] := '{}';
	-- Whom a search comes near is counted, of users who may not read templates.
	slack double precision := near_margin();
	reads CONSTANT boolean := slack = 0;
	moment timestamptz := clock_timestamp();
	-- Users who may read templates may choose any threshold, as in identify(); for others the galleries' are kept.
	own_thresholds boolean := gallery IS NULL AND (min_similarity IS NULL OR NOT reads);
	-- One more than wanted tells whether the end of the list cuts through candidates that are equally far.
	most bigint := greatest(max_candidates + 1::bigint, CASE WHEN reads THEN 0 ELSE 64 END);
	-- Candidates are kept in memory: so many of a shard at most, where more are needed than were asked for.
	cap CONSTANT bigint := greatest(1000000, max_candidates);
	answers boolean;
	narrowed boolean := false;
	known_to double precision;
BEGIN
	IF max_candidates < 1 OR max_candidates IS NULL THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'max_candidates_range',
			MESSAGE = format('max_candidates is %s', coalesce(max_candidates::text, 'NULL')),
			HINT = 'Ask for at least one candidate.';
	END IF;
	-- What the shards' galleries are of, they say themselves.
	PERFORM check_comparison(probe, NULL, NULL, @extschema@.face_model(probe), @extschema@.face_dims(probe),
		min_similarity);
	FOR one IN SELECT s.* FROM facematch.shard s ORDER BY s.name COLLATE "C" LOOP
		IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = one.reference_table) THEN
			RAISE undefined_table USING CONSTRAINT = 'shard_table_exists',
				MESSAGE = format('the table of shard %L is gone', one.name),
				HINT = 'DELETE the shard from facematch.shard, or UPDATE its reference_table.';
		END IF;
		answers := true;
		IF partial THEN
			BEGIN
				EXECUTE format('SELECT FROM %s LIMIT 1', one.reference_table);
			EXCEPTION WHEN connection_exception OR admin_shutdown OR crash_shutdown OR cannot_connect_now THEN
				answers := false;
			END;
		END IF;
		IF answers THEN
			answering := answering || one;
		ELSE
			silent := silent || one.name;
		END IF;
	END LOOP;
	IF answering = '{}' AND silent = '{}' THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'shard_exists',
			MESSAGE = 'there are no shards',
			HINT = 'Add them to facematch.shard.';
	ELSIF answering = '{}' THEN
		RAISE connection_failure USING CONSTRAINT = 'shard_answers',
			MESSAGE = format('no shard answers: %s', array_to_string(silent, ', ')),
			HINT = 'See the servers'' logs, and the options of their foreign servers.';
	END IF;

	parts := shard_parts(answering, gallery, min_similarity);
	own := CASE WHEN reads OR min_similarity IS NULL THEN parts ELSE shard_parts(answering, gallery, NULL) END;
	IF parts IS NULL AND silent = '{}' THEN
		RAISE no_data_found USING CONSTRAINT = 'gallery_exists',
			MESSAGE = format('there is no gallery %L on any shard', gallery),
			HINT = 'SELECT name FROM the shards'' gallery tables lists the galleries that are staged.';
	ELSIF parts IS NOT NULL THEN
		LOOP
			EXECUTE shards_query(parts, most, slack) INTO candidates USING probe, moment;
			-- No number of better ones keeps a miss from being counted.
			IF near IS NULL AND NOT reads AND most < cap AND EXISTS (
				SELECT FROM unnest(candidates) c
				JOIN unnest(parts) p ON p.shard = c.shard AND (p.gallery_id IS NULL OR p.gallery_id = c.gallery_id)
				GROUP BY p.shard, p.gallery_id HAVING count(*) >= most) THEN
				most := most * 4;
				CONTINUE;
			ELSIF near IS NULL THEN
				near := asked_candidates(parts, candidates, most, slack);
				IF own_thresholds THEN
					near := above_thresholds(answering, near, slack);
				END IF;
				slack := 0;
				SELECT coalesce(array_agg(n.subject_id), '{}'), coalesce(array_agg(n.similarity - p.threshold), '{}')
				INTO persons, above FROM unnest(near) n
				JOIN unnest(parts) p ON p.shard = n.shard AND (p.gallery_id IS NULL OR p.gallery_id = n.gallery_id)
				WHERE n.subject_id IS NOT NULL AND NOT reads AND NOT is_withheld(session_user, n.subject_id);
			END IF;
			candidates := asked_candidates(parts, candidates, most);
			-- A part that gave as many as it was asked for may have others, as far as its last or farther.
			SELECT min(p.last_distance) INTO known_to
			FROM (SELECT max(c.distance) AS last_distance FROM unnest(candidates) c
				  GROUP BY c.shard, CASE WHEN gallery IS NOT NULL THEN c.gallery_id END HAVING count(*) >= most) p;
			IF own_thresholds THEN
				candidates := above_thresholds(answering, candidates);
			END IF;
			-- A shard knows neither the merges nor the opt-outs of this server, nor who is withheld.
			candidates := ARRAY(
				SELECT c FROM unnest(candidates) c
				WHERE c.subject_id IS NULL
					OR NOT (facematch.is_opted_out(c.subject_id) OR is_withheld(session_user, c.subject_id))
				ORDER BY c.distance, c.shard COLLATE "C", c.reference_id);
			EXIT WHEN known_to IS NULL OR candidates[max_candidates].distance < known_to;
			IF narrowed OR cardinality(candidates) < max_candidates AND most > cap THEN
				RAISE program_limit_exceeded USING CONSTRAINT = 'shard_candidates_are_few',
					MESSAGE = format('more than %s candidates of a shard are as near as the last, or below the thresholds of their '
						'galleries', cap), HINT = 'Ask for fewer candidates, or with a higher min_similarity; give the shards a '
						'min_similarity no lower than the thresholds of their galleries.';
			ELSIF cardinality(candidates) >= max_candidates THEN
				-- The list's end is among what is not known: all that is as near as it, and the order decides.
				SELECT array_agg(ROW(p.shard, p.relation, p.gallery_id, greatest(p.threshold, l.similarity))::shard_part)
				INTO parts
				FROM unnest(parts) p, (SELECT min(c.similarity) - 1e-6 AS similarity FROM unnest(candidates[:max_candidates]) c) l;
				most := cap + 1;
				narrowed := true;
			ELSE
				most := most * 4;
			END IF;
		END LOOP;
	END IF;

	PERFORM record_search('search_shards', session_user, NULL, cardinality(candidates[:max_candidates]),
		persons, above);
	RETURN QUERY SELECT c.rank::integer, c.shard, c.gallery_id, c.reference_id, c.subject_id,
		CASE WHEN reads THEN c.similarity ELSE shown_similarity(c.similarity, (SELECT min(p.threshold) FROM unnest(own) p
			WHERE p.shard = c.shard AND coalesce(p.gallery_id = c.gallery_id, true) AND p.threshold <= c.similarity)) END,
		silent = '{}'
	FROM unnest(candidates[:max_candidates]) WITH ORDINALITY c (shard, gallery_id, reference_id, subject_id, similarity,
		distance, rank)
	UNION ALL
	SELECT NULL, s, NULL, NULL, NULL, NULL, false FROM unnest(silent) s
	ORDER BY 1, 2;
	IF silent <> '{}' THEN
		RAISE WARNING USING
			MESSAGE = format('the answer is partial: %s did not answer', array_to_string(silent, ', ')),
			HINT = 'A person who is enrolled there is not a candidate here: treat no match as no answer.';
	END IF;
END
$$;
COMMENT ON FUNCTION facematch.search_shards(@extschema@.face_embedding, integer, double precision, text, boolean) IS
	'identification over all shards, or over the gallery of a name on any shard that has it: the most similar '
	'first, at most max_candidates, each with a cosine similarity of at least min_similarity (unless given, the '
	'gallery''s; over all shards its shard''s, if that is higher). For roles that may not read templates, nobody '
	'below the gallery''s threshold is a candidate, and similarities are strengths, as those of identify(); the '
	'search is a row of facematch.search, and attempts are counted, as those of identify() are. Exact; ties in '
	'order of shard and reference_id; due references are not candidates, nor are those of a person who has opted '
	'out of all galleries here, under any pseudonym. A shard that cannot be reached is an error (08001), unless '
	'partial: then it is left out, complete is false in every row, and the shard has a row of its own, without a '
	'rank. No shards: 55000; none answers: 08006; otherwise as identify()';

INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege, columns, shipped) VALUES
	('operator', 'function', 'search_shards', 'EXECUTE', NULL, true),
	('operator', 'table', 'shard', 'SELECT', NULL, true),
	('auditor', 'table', 'shard', 'SELECT', NULL, true),
	('coordinator', 'table', 'reference', 'SELECT', '{reference_id,gallery_id,subject_id,embedding,purge_after}', true),
	('coordinator', 'table', 'shard_gallery', 'SELECT', NULL, true),
	('coordinator', 'function', 'operating_point', 'EXECUTE', NULL, true);
