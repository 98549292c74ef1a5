/*
 * Referrals: the queue of travelers whom an officer has to look at, and alerts
 * that wake a supervisor's screen.
 *
 * An alert is a NOTIFY with an empty payload: any role may LISTEN to any channel,
 * so it says nothing but "look at the queue", and its channel has a name that
 * nobody guesses.  Without a row of facematch.alert_channel there is none.
 */

CREATE VIEW facematch.open_referral AS
	SELECT e.encounter_id, e.port, e.lane, e.gallery, e.kind,
		   CASE WHEN e.outcome = 'match' THEN 'watchlist_match' WHEN e.outcome = 'no_match' THEN 'no_match'
				WHEN e.reason IN ('opted_out', 'too_many_attempts') THEN e.reason ELSE 'quality' END AS cause,
		   e.occurred_at, date_trunc('second', greatest(clock_timestamp() - e.occurred_at, interval '0')) AS age,
		       e.purge_after
	FROM facematch.encounter e
	-- Whom no watchlist has is none.
	WHERE (e.outcome = 'manual_inspection' OR (e.outcome = 'match') = (coalesce(e.kind, '') = 'watchlist'))
	  AND e.override_reason IS NULL AND e.purge_after > clock_timestamp();
COMMENT ON VIEW facematch.open_referral IS
	'travelers whom an officer has not yet looked at; facematch.resolve_encounter() closes a referral; due '
	'encounters are not shown';
COMMENT ON COLUMN facematch.open_referral.encounter_id IS 'the encounter, for resolve_encounter()';
COMMENT ON COLUMN facematch.open_referral.port IS 'port';
COMMENT ON COLUMN facematch.open_referral.lane IS 'gate or lane';
COMMENT ON COLUMN facematch.open_referral.gallery IS 'the gallery that was searched';
COMMENT ON COLUMN facematch.open_referral.kind IS 'its kind';
COMMENT ON COLUMN facematch.open_referral.cause IS
	'no_match; watchlist_match; quality: no picture was to be compared; opted_out; too_many_attempts';
COMMENT ON COLUMN facematch.open_referral.occurred_at IS 'since when';
COMMENT ON COLUMN facematch.open_referral.age IS 'for how long';
COMMENT ON COLUMN facematch.open_referral.purge_after IS 'until when it can be resolved';
CREATE INDEX encounter_open_referral_idx ON facematch.encounter (occurred_at)
	WHERE (outcome = 'manual_inspection' OR (outcome = 'match') = (coalesce(kind, '') = 'watchlist'))
		AND override_reason IS NULL;

CREATE TABLE facematch.alert_channel (
	alert_id	bigint GENERATED ALWAYS AS IDENTITY,
	channel		text NOT NULL DEFAULT 'alert_' || replace(gen_random_uuid()::text, '-', '')
				CONSTRAINT alert_channel_is_not_guessed CHECK (channel ~ '^alert_[0-9a-f]{32}$'),
	causes		text[] NOT NULL DEFAULT '{no_match,watchlist_match,quality}'
				CONSTRAINT alert_channel_causes_are_known CHECK (causes <> '{}' AND array_position(causes, NULL) IS NULL
					AND causes <@ '{no_match,watchlist_match,quality,opted_out,too_many_attempts}'),
	port		text CONSTRAINT alert_channel_port_is_a_name CHECK (facematch_internal.is_name(port)),
	CONSTRAINT alert_channel_pkey PRIMARY KEY (alert_id),
	CONSTRAINT alert_channel_channel_key UNIQUE (channel)
);
COMMENT ON TABLE facematch.alert_channel IS
	'channels on which new and resolved referrals are announced: LISTEN to the channel, and read '
	'facematch.open_referral at each notification. No row: no alerts';
COMMENT ON COLUMN facematch.alert_channel.alert_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.alert_channel.channel IS 'the channel''s name: random, because any role may LISTEN to '
	'any name that it knows';
COMMENT ON COLUMN facematch.alert_channel.causes IS 'which causes of facematch.open_referral are announced';
COMMENT ON COLUMN facematch.alert_channel.port IS 'at which port; NULL: at all ports';
SELECT pg_catalog.pg_extension_config_dump('facematch.alert_channel', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.alert_channel_alert_id_seq', '');
SELECT facematch_internal.keep_as_record('facematch.alert_channel', changes => true,
	log => '{alert_channel,alert_id,"causes,port","added,changed,deleted"}');

CREATE FUNCTION facematch_internal.alert() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM pg_notify(a.channel, '') FROM facematch.alert_channel a
	WHERE (a.port IS NULL OR a.port = NEW.port)
	  AND (TG_OP = 'UPDATE' OR (SELECT r.cause FROM facematch.open_referral r
	      WHERE r.encounter_id = NEW.encounter_id) = ANY (a.causes));
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION facematch_internal.alert() IS 'trigger: wakes who listens, at commit, with nothing in the message';
CREATE TRIGGER encounter_60_alert AFTER INSERT ON facematch.encounter
	FOR EACH ROW WHEN (NEW.outcome <> 'match' OR NEW.kind = 'watchlist') EXECUTE FUNCTION facematch_internal.alert();
CREATE TRIGGER encounter_61_alert AFTER UPDATE ON facematch.encounter
	FOR EACH ROW WHEN (OLD.override_reason IS NULL AND NEW.override_reason IS NOT NULL)
		EXECUTE FUNCTION facematch_internal.alert();
