/*
 * Identification (1:N) and verification (1:1 and 1:few) over galleries and references:
 * src/matching/README.md describes the steps. Both are exact. Both are functions in C
 * whose statements run with the privileges of the extension's owner, so a role that may
 * search needs no privilege to read a template. A template could be computed from the
 * scores of enough probes. So roles that may not read templates get no scores below the
 * gallery's threshold, and above it the strength of a match, and attempts on one person
 * are limited.
 */

CREATE FUNCTION facematch.identify(probe @extschema@.face_embedding, gallery text, max_candidates integer DEFAULT 10,
								   min_similarity double precision DEFAULT NULL, by text DEFAULT 'subject', purpose text DEFAULT NULL)
	RETURNS TABLE (rank integer, reference_id bigint, subject_id uuid, similarity double precision, matches bigint)
	LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10 AS 'MODULE_PATHNAME', 'facematch_identify';
COMMENT ON FUNCTION facematch.identify(@extschema@.face_embedding, text, integer, double precision, text, text) IS
	'identification, 1:N: the candidate list of a gallery by name, most similar first, at most max_candidates, '
	'each with a cosine similarity of at least min_similarity (the gallery''s threshold, unless given). by => '
	'''subject'' returns one row for each person: the best reference, and in matches how many of that person''s '
	'references reach the threshold; by => ''mean'' does the same with the mean similarity of all of a person''s '
	'references, in the row of the first of them; by => ''reference'' returns one row for each template. Exact; '
	'ties are in order of reference_id. References that are due, or of a subject who has opted out, are not '
	'candidates, whatever snapshot the transaction has. Roles that may not read templates get, as similarity, the '
	'strength of the match: the threshold, halfway from there to 1, halfway from that to 1, and so on. Every '
	'search is a row of facematch.search. No such gallery: P0002; no probe: 22004; another model or other '
	'dimensions, max_candidates below 1: 22023; min_similarity outside -1 to 1: 22003; below the gallery''s '
	'threshold, or a sealed probe, for roles that may not read templates: 42501; no purpose, or a blank one, '
	'where the gallery requires one: 22004; nobody found, and too many searches came near somebody in the gallery: '
	'53400; from a table''s code in a session of another user: 42501; on a standby, for roles that may not read '
	'templates: 25006';

CREATE FUNCTION facematch.identify_many(probes @extschema@.face_embedding[], gallery text,
	max_candidates integer DEFAULT 10, min_similarity double precision DEFAULT NULL, by text DEFAULT 'subject',
	purpose text DEFAULT NULL)
	RETURNS TABLE (probe integer, rank integer, reference_id bigint, subject_id uuid, similarity double precision,
		matches bigint)
	LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100 AS 'MODULE_PATHNAME', 'facematch_identify_many';
COMMENT ON FUNCTION facematch.identify_many(@extschema@.face_embedding[], text, integer, double precision, text,
	text) IS
	'identify() for each of several probes: its candidates, with the number that the probe has in the array, from '
	'1. The same candidates, rows of facematch.search and limits as one call for each; a face index reads its '
	'pages once for up to 64 probes, as far as work_mem allows. All probes are checked before the first is '
	'compared. No array: 22004; an empty one has no candidates; otherwise errors as identify()';

CREATE FUNCTION facematch_internal.find_candidates(probe @extschema@.face_embedding, gallery text,
	max_candidates integer, min_similarity double precision, by text, purpose text, kind text)
	RETURNS TABLE (rank integer, reference_id bigint, subject_id uuid, similarity double precision, matches bigint,
		retention_class text)
	LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10 AS 'MODULE_PATHNAME', 'facematch_identify';
COMMENT ON FUNCTION facematch_internal.find_candidates(@extschema@.face_embedding, text, integer, double precision,
	text, text, text) IS
	'identify() for the extension''s own functions: exact similarities, which the caller shows as they may be shown, '
	'and the class of the reference as it was compared';

-- The two forms differ in the type of the second argument only: PostgreSQL cannot choose between others when all
-- arguments are literals without a type.
CREATE FUNCTION facematch.verify(probe @extschema@.face_embedding, reference_id bigint, subject_id uuid DEFAULT NULL,
								 min_similarity double precision DEFAULT NULL, purpose text DEFAULT NULL)
	RETURNS TABLE (match boolean, similarity double precision, threshold double precision, matched_subject uuid,
		matched_reference bigint,
				   reason text)
	LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1 AS 'MODULE_PATHNAME', 'facematch_verify';
COMMENT ON FUNCTION facematch.verify(@extschema@.face_embedding, bigint, uuid, double precision, text) IS
	'verification, 1:1: whether the probe''s cosine similarity to one reference is at least the threshold (the '
	'gallery''s, unless given), and the reference is of subject_id (NULL: of anybody). Always one row; with no such '
	'reference, or one that is due, match is false and the rest NULL. '
	'Roles that may read templates or stage the gallery also get the reason, declined (the subject has '
	'opted out), expired (the reference is due), or not_enrolled (there is none, or it was purged). Without a '
	'match, roles that may not read templates get no similarity, and only those who may stage the gallery the '
	'subject. Errors as identify()';

CREATE FUNCTION facematch.verify(probe @extschema@.face_embedding, gallery text, subject_id uuid,
								 min_similarity double precision DEFAULT NULL, purpose text DEFAULT NULL)
	RETURNS TABLE (match boolean, similarity double precision, threshold double precision, matched_subject uuid,
		matched_reference bigint,
				   reason text)
	LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1 AS 'MODULE_PATHNAME', 'facematch_verify_subject';
COMMENT ON FUNCTION facematch.verify(@extschema@.face_embedding, text, uuid, double precision, text) IS
	'verification, 1:few: the same against all references of a person in a gallery, of which the best one decides. The '
	'threshold is told always';

CREATE FUNCTION facematch_internal.record_search(kind text, asker text, gallery_id bigint, candidates integer,
	near uuid[],
												 above double precision[]) RETURNS void
	LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'facematch_record_search';
COMMENT ON FUNCTION facematch_internal.record_search(text, text, bigint, integer, uuid[], double precision[]) IS
	'accounts for a search that the extension''s own functions made: its row, and attempts on each person of whom a '
	'reference is near, which is so far above the threshold of the gallery (too many, or no candidates where somebody '
	'is withheld: 53400)';

CREATE FUNCTION facematch_internal.is_withheld(asker text, subject uuid, above double precision DEFAULT 0)
	RETURNS boolean
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'facematch_is_withheld';
COMMENT ON FUNCTION facematch_internal.is_withheld(text, uuid, double precision) IS
	'whether the person is compared with nothing of this role or partner now, since too many searches came near; '
	'false for sessions that may read templates, and if the reference is farther below the threshold than what is near';

CREATE FUNCTION facematch_internal.shown_similarity(similarity double precision, threshold double precision)
	RETURNS double precision
	LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_shown_similarity';
COMMENT ON FUNCTION facematch_internal.shown_similarity(double precision, double precision) IS
	'a score as the session''s user may see it: a role that may not read templates sees the threshold, halfway '
	'from there to 1, halfway from that to 1, and so on; -1: not the threshold';

CREATE FUNCTION facematch_internal.asked_threshold(asked double precision, own double precision)
	RETURNS double precision
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_asked_threshold';
COMMENT ON FUNCTION facematch_internal.asked_threshold(double precision, double precision) IS
	'a threshold that a role that may not read templates asks for: the gallery''s own, or the next that'
	' shown_similarity() shows, so that asking again with another one tells no more than the answer does';

CREATE FUNCTION facematch_internal.near_margin() RETURNS double precision
	LANGUAGE C STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_near_margin';
COMMENT ON FUNCTION facematch_internal.near_margin() IS 'how far below a threshold a search looks for persons whom it '
	'came near; 0: the session''s user could read the templates that it compares with, and has no limit of attempts';

-- What is wrong with a probe or a threshold is said before anything is compared, so that an empty gallery says it too.
CREATE FUNCTION facematch_internal.check_comparison(probe @extschema@.face_embedding, gallery text, model text,
	model_tag integer, dims integer, min_similarity double precision) RETURNS void
	LANGUAGE C STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_check_comparison';
COMMENT ON FUNCTION facematch_internal.check_comparison(@extschema@.face_embedding, text, text, integer, integer,
	double precision) IS
	'refuses what cannot be compared: no probe (22004), another model or other dimensions than the gallery''s (22023), '
	'a threshold outside -1 to 1 (22003), a sealed probe of who may not read templates (42501)';
