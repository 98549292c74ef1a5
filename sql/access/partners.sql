/*
 * Partners: outsiders who ask whether a probe matches somebody on their flights, and
 * get yes with a token, or no.
 *
 * facematch.ask() is a procedure, because it commits twice. The use is charged to the
 * partner's budget, and committed, before the comparison. The answer is accounted in
 * facematch.disclosure, and committed, before the partner gets it. So a ROLLBACK, a
 * cancelled statement or an isolation level cannot avoid the count. Within a
 * transaction block it could not commit, so it refuses to start.
 *
 * A search compares the probe with every reference of the gallery, so neither its time
 * nor the table's statistics reveal how near a miss was. The partner is identified by
 * the session's user, not by SET ROLE or a setting.
 */

CREATE TABLE facematch.partner_gallery (
	partner		text NOT NULL,
	gallery_id	bigint NOT NULL,
	valid_from	timestamptz NOT NULL DEFAULT clock_timestamp(),
	valid_until	timestamptz NOT NULL CONSTRAINT partner_gallery_ends CHECK (isfinite(valid_until)),
	assigned_by	text NOT NULL DEFAULT session_user,
	CONSTRAINT partner_gallery_pkey PRIMARY KEY (partner, gallery_id, valid_from),
	CONSTRAINT partner_gallery_partner_exists FOREIGN KEY (partner) REFERENCES facematch.partner ON UPDATE RESTRICT,
	CONSTRAINT partner_gallery_gallery_exists FOREIGN KEY (gallery_id) REFERENCES facematch.gallery ON DELETE CASCADE
);
COMMENT ON TABLE facematch.partner_gallery IS
	'which flights a partner may ask about, and when; deleted with the gallery';
COMMENT ON COLUMN facematch.partner_gallery.partner IS 'the partner';
COMMENT ON COLUMN facematch.partner_gallery.gallery_id IS 'the gallery of its flight';
COMMENT ON COLUMN facematch.partner_gallery.valid_from IS 'from when it may ask';
COMMENT ON COLUMN facematch.partner_gallery.valid_until IS 'until when; always a date';
COMMENT ON COLUMN facematch.partner_gallery.assigned_by IS 'the session''s user who assigned it';
CREATE INDEX partner_gallery_gallery_id_idx ON facematch.partner_gallery (gallery_id);

CREATE TABLE facematch_internal.partner_budget (
	partner		text NOT NULL,
	minute_left	double precision NOT NULL,
	day_left	double precision NOT NULL,
	counted_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	charged		bigint NOT NULL DEFAULT 0,
	refused		bigint NOT NULL DEFAULT 0,
	CONSTRAINT partner_budget_pkey PRIMARY KEY (partner),
	CONSTRAINT partner_budget_partner_exists FOREIGN KEY (partner) REFERENCES facematch.partner ON DELETE CASCADE
		ON UPDATE RESTRICT
);
COMMENT ON TABLE facematch_internal.partner_budget IS
	'what is left of each partner''s rates: two token buckets, filled again with time';
COMMENT ON COLUMN facematch_internal.partner_budget.partner IS 'the partner';
COMMENT ON COLUMN facematch_internal.partner_budget.minute_left IS 'uses left at counted_at, of partner.per_minute';
COMMENT ON COLUMN facematch_internal.partner_budget.day_left IS 'uses left at counted_at, of partner.per_day';
COMMENT ON COLUMN facematch_internal.partner_budget.counted_at IS 'when the two were counted';
COMMENT ON COLUMN facematch_internal.partner_budget.charged IS
	'uses charged in all, those that were refused for another reason included';
COMMENT ON COLUMN facematch_internal.partner_budget.refused IS 'uses refused in all because the budget was spent';

-- What a partner may ask, and how often.  An assignment that goes with its gallery is logged as well.
SELECT facematch_internal.keep_as_record('facematch.partner', changes => true, remarks => '{address,purpose}',
	log => '{partner,name,"name,per_minute,per_day","added,changed,deleted"}');
SELECT facematch_internal.keep_as_record('facematch.partner_gallery', changes => true, log => ARRAY['assignment',
	'partner,gallery_id,valid_from', 'partner,gallery_id,valid_from,valid_until,assigned_by', 'added,changed,deleted']);

SELECT pg_catalog.pg_extension_config_dump('facematch.partner', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.partner_gallery', '');
SELECT pg_catalog.pg_extension_config_dump('facematch_internal.partner_budget', '');

CREATE FUNCTION facematch.grant_partner(role regrole, partner text,
										purpose text DEFAULT 'identity verification at boarding', address text DEFAULT '',
										per_minute integer DEFAULT 120, per_day integer DEFAULT 10000) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO facematch.partner (name, purpose, address, per_minute, per_day)
	VALUES (grant_partner.partner, grant_partner.purpose, grant_partner.address, grant_partner.per_minute,
		grant_partner.per_day)
	ON CONFLICT ON CONSTRAINT partner_pkey DO NOTHING;
	PERFORM facematch_internal.give_access(role, 'partner', grant_partner.partner);
END
$$;
COMMENT ON FUNCTION facematch.grant_partner(regrole, text, text, text, integer, integer) IS
	'lets an existing role ask for a partner; a partner that is not there yet is made, with its purpose, address'
	' and rates, and one that is there keeps its own. It may ask about the flights that facematch.partner_gallery'
	' gives it. Recorded and logged. Errors as grant_operator()';

---------------------------------------------------------------- who asks, and whether it may

CREATE FUNCTION facematch_internal.current_partner() RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	own text := (SELECT g.partner FROM facematch_internal.access_grant g WHERE g.kind = 'partner'
		AND g.role_name = session_user);
	-- A superuser may act as every role, and is none of them.
	partners text[] := ARRAY(SELECT DISTINCT g.partner FROM facematch_internal.access_grant g JOIN pg_roles r
		ON r.rolname = g.role_name
							 WHERE g.kind = 'partner' AND (SELECT NOT s.rolsuper FROM pg_roles s WHERE s.rolname = session_user)
							   AND pg_has_role(session_user, r.oid, 'MEMBER'));
BEGIN
	-- Before PostgreSQL 16 a role may make others members of itself: no partner keeps another from asking by that.
	IF own IS NOT NULL THEN
		RETURN own;
	END IF;
	IF cardinality(partners) <> 1 THEN
		RAISE insufficient_privilege USING CONSTRAINT = 'session_is_of_one_partner',
			MESSAGE = CASE WHEN cardinality(partners) = 0 THEN 'this session''s user is not a partner'
				ELSE 'this session''s user may ask for several partners' END,
			HINT = 'Connect as a role that facematch.grant_partner() was called for; SET ROLE does not count.';
	END IF;
	RETURN partners[1];
END
$$;
COMMENT ON FUNCTION facematch_internal.current_partner() IS
	'the partner that the session''s user asks for; none or several: 42501';

CREATE FUNCTION facematch_internal.charge_partner(OUT partner text, OUT wait interval) RETURNS record
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	limits facematch.partner;
	budget facematch_internal.partner_budget;
	moment timestamptz;
	elapsed double precision;
BEGIN
	partner := facematch_internal.current_partner();
	SELECT p.* INTO STRICT limits FROM facematch.partner p WHERE p.name = charge_partner.partner;
	INSERT INTO facematch_internal.partner_budget (partner, minute_left, day_left)
		VALUES (limits.name, limits.per_minute, limits.per_day)
	ON CONFLICT ON CONSTRAINT partner_budget_pkey DO NOTHING;
	-- One use at a time passes here; a session that waited sees what the one before left, or fails if its snapshot is
	-- older.
	SELECT b.* INTO STRICT budget FROM facematch_internal.partner_budget b WHERE b.partner = limits.name FOR UPDATE;
	moment := clock_timestamp();
	elapsed := greatest(extract(epoch FROM moment - budget.counted_at)::double precision, 0);
	budget.minute_left := least(limits.per_minute, budget.minute_left + elapsed * limits.per_minute / 60);
	budget.day_left := least(limits.per_day, budget.day_left + elapsed * limits.per_day / 86400);
	IF least(budget.minute_left, budget.day_left) >= 1 THEN
		budget.minute_left := budget.minute_left - 1;
		budget.day_left := budget.day_left - 1;
		budget.charged := budget.charged + 1;
	ELSE
		wait := make_interval(secs => greatest((1 - budget.minute_left) * 60 / limits.per_minute,
			(1 - budget.day_left) * 86400 / limits.per_day));
		budget.refused := budget.refused + 1;
	END IF;
	UPDATE facematch_internal.partner_budget b
	SET minute_left = budget.minute_left, day_left = budget.day_left, counted_at = greatest(moment, budget.counted_at),
		charged = budget.charged, refused = budget.refused
	WHERE b.partner = limits.name;
END
$$;
COMMENT ON FUNCTION facematch_internal.charge_partner() IS
	'charges a use to the session''s partner, which is returned; wait: nothing is left of its rates for so long,'
	' and nothing was charged. For facematch.ask(), which commits it. No partner: 42501';

CREATE FUNCTION facematch.reference_token(partner text, reference_id bigint) RETURNS uuid
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	hash bytea;
BEGIN
	IF NOT EXISTS (SELECT FROM facematch.partner p WHERE p.name = reference_token.partner) THEN
		RAISE no_data_found USING CONSTRAINT = 'partner_exists',
			MESSAGE = format('there is no partner %L', partner),
			HINT = 'facematch.partner has the recipients; insert it there.';
	END IF;
	-- A document never begins with a zero byte: no token is anybody's pseudonym.
	-- Not INTO, which stops at the row: how many rows it had passed by then would tell which reference is nearest.
	hash := (SELECT substring(facematch_internal.keyed_hash(decode('00', 'hex') || convert_to('partner token', 'UTF8')
					|| uuid_send(p.partner_id) || int8send(r.gallery_id) || uuid_send(r.subject_id)) FROM 1 FOR 16)
			 FROM facematch.partner p, facematch.reference r
			 WHERE p.name = reference_token.partner AND r.reference_id = reference_token.reference_id
			   AND r.purge_after > clock_timestamp());
	hash := set_byte(hash, 6, get_byte(hash, 6) & 15 | 128);	-- version 8
	hash := set_byte(hash, 8, get_byte(hash, 8) & 63 | 128);	-- the variant of RFC 9562
	RETURN encode(hash, 'hex')::uuid;
END
$$;
COMMENT ON FUNCTION facematch.reference_token(text, bigint) IS
	'the token that a partner is given when this reference matches: the operator who stages the manifest gives it '
	'to the carrier, which stores it with its passenger. HMAC-SHA256 of partner, flight and subject with the key '
	'of the pseudonyms: without the key neither the subject nor another flight''s or partner''s token follows from '
	'it. NULL: no such reference, or it is due; no such partner: P0002';

CREATE FUNCTION facematch.partner_flights() RETURNS TABLE (gallery text, valid_from timestamptz,
	valid_until timestamptz)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT g.name, a.valid_from, a.valid_until
	FROM facematch.partner_gallery a JOIN facematch.gallery g USING (gallery_id)
	WHERE a.partner = facematch_internal.current_partner() AND a.valid_until > clock_timestamp()
	ORDER BY a.valid_from, g.name
$$;
COMMENT ON FUNCTION facematch.partner_flights() IS
	'the flights that the session''s partner may ask about, now or later. No partner: 42501';

---------------------------------------------------------------- asking

CREATE FUNCTION facematch_internal.answer_partner(partner text, gallery text, probe @extschema@.face_embedding,
												  OUT refused boolean, OUT match boolean, OUT token uuid, OUT fault text[])
	RETURNS record LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	asking facematch.partner;
	searched facematch.gallery;
	moment timestamptz := clock_timestamp();
	best facematch.reference;
	nearest double precision;
	threshold double precision;
	subjects uuid[];
	above double precision[];
	code text;
	message text;
	hint text;
	rule text;
BEGIN
	SELECT p.* INTO STRICT asking FROM facematch.partner p WHERE p.name = answer_partner.partner;
	SELECT g.* INTO searched FROM facematch.gallery g
	WHERE g.name = answer_partner.gallery AND g.purge_after > moment
	  AND EXISTS (SELECT FROM facematch.partner_gallery a
				  WHERE a.partner = asking.name AND a.gallery_id = g.gallery_id AND a.valid_from <= moment
					AND moment < a.valid_until);
	refused := NOT FOUND;
	IF NOT refused THEN
		-- What goes wrong here has been asked all the same: it is accounted, and told when that is on disk.
		BEGIN
			PERFORM facematch_internal.check_comparison(probe, searched.name, searched.model, searched.model_tag,
				searched.dims, NULL);
			-- In one statement: the threshold of as many references as are compared.  No condition on the similarity and no
			-- order that an index has: every reference is compared.  All that are near are accounted for: whom the best one
			-- is not, is told too.
			SELECT t.threshold, b.reference_ids[1], b.subject_ids[1], b.similarities[1],
				b.subject_ids, ARRAY(SELECT s - t.threshold FROM unnest(b.similarities) s)
			INTO STRICT threshold, best.reference_id, best.subject_id, nearest, subjects, above
			FROM (SELECT facematch_internal.gallery_threshold(searched) AS threshold OFFSET 0) t
			LEFT JOIN LATERAL (SELECT array_agg(c.reference_id ORDER BY c.similarity DESC NULLS LAST, c.reference_id)
								   AS reference_ids,
								   array_agg(c.subject_id ORDER BY c.similarity DESC NULLS LAST, c.reference_id) AS subject_ids,
								   array_agg(c.similarity ORDER BY c.similarity DESC NULLS LAST, c.reference_id) AS similarities
							   FROM (SELECT r.reference_id, r.subject_id, @extschema@.face_similarity(r.embedding, probe) AS similarity
									 FROM facematch.reference r WHERE r.gallery_id = searched.gallery_id AND r.purge_after > moment) c
							   -- One whose key has been destroyed is nearest to nobody, withheld or not.
							   WHERE NOT facematch_internal.is_withheld('partner:' || asking.name, c.subject_id,
								   coalesce(c.similarity - t.threshold, -1))) b ON true;
			-- Of a near miss too: it takes its time.  What became due meanwhile has none, and matches nobody.
			token := facematch.reference_token(asking.name, best.reference_id);
			match := coalesce(nearest >= threshold, false) AND token IS NOT NULL;
			PERFORM facematch_internal.record_search('ask', 'partner:' || asking.name, searched.gallery_id, match::integer,
				coalesce(subjects, '{}'), above);
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT,
				rule = CONSTRAINT_NAME;
			refused := true;
			fault := ARRAY[code, message, hint, rule];
		END;
	END IF;
	IF refused OR NOT match THEN
		token := NULL;
	END IF;
	-- Of a refused use, the gallery's name is kept only if it can be one; a name does not look like a template.
	INSERT INTO facematch.disclosure (partner, address, nature, purpose, gallery, answer, subject_id, token)
	VALUES (asking.name, asking.address, 'answer to a probe', asking.purpose,
			CASE WHEN facematch_internal.is_name(answer_partner.gallery) THEN answer_partner.gallery END,
			CASE WHEN refused THEN 'refused' WHEN match THEN 'match' ELSE 'no_match' END,
			CASE WHEN token IS NOT NULL THEN best.subject_id END, answer_partner.token);
END
$$;
COMMENT ON FUNCTION facematch_internal.answer_partner(text, text, @extschema@.face_embedding) IS
	'compares, decides and accounts; for facematch.ask(), which commits before it tells. refused: the gallery is'
	' not there, or not the partner''s now; or, with the SQLSTATE, message, hint and constraint name of why in fault, '
	'the probe could not be compared';

CREATE PROCEDURE facematch.ask(gallery text, probe @extschema@.face_embedding, INOUT match boolean DEFAULT NULL,
	INOUT token uuid DEFAULT NULL)
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_ask';
COMMENT ON PROCEDURE facematch.ask(text, @extschema@.face_embedding, boolean, uuid) IS
	'a partner asks: does the probe match somebody on this flight of ours? CALL facematch.ask(''XX901/2026-11-23'','
	' $1) returns match, and with it the reference token. The use is charged and accounted, and committed, before'
	' it answers; the probe is not kept. Send the probe as a parameter. In a transaction block: 25001; no partner,'
	' or not its flight: 42501; rate spent: 53400, with the seconds to wait; NULL: 22004; another model''s probe:'
	' 22023';

-- Who may only stage puts nothing on a watchlist (sql/retention/staging.sql), nor lets a partner ask who is on one.
ALTER TABLE facematch.partner_gallery ENABLE ROW LEVEL SECURITY;
CREATE POLICY facematch_open ON facematch.partner_gallery USING (true) WITH CHECK (true);
CREATE POLICY facematch_flights ON facematch.partner_gallery AS RESTRICTIVE FOR INSERT WITH
	CHECK (facematch_internal.may_stage(gallery_id));
CREATE POLICY facematch_flights_again ON facematch.partner_gallery AS RESTRICTIVE FOR UPDATE USING (true) WITH
	CHECK (facematch_internal.may_stage(gallery_id));
COMMENT ON POLICY facematch_open ON facematch.partner_gallery IS 'what is granted may be used';
COMMENT ON POLICY facematch_flights ON facematch.partner_gallery IS
	'an operator assigns a partner only galleries for an event that passes';
COMMENT ON POLICY facematch_flights_again ON facematch.partner_gallery IS
	'nor does an operator let one ask about another gallery again, or for longer';
