/*
 * Sites: databases that each have all of facematch, and carry out each other's
 * stream of rights, by PostgreSQL's own logical replication.
 *
 * The publication of a site is named after the key of its pseudonyms and after the
 * site.  Who subscribes asks for the name that it has to have: where the key is
 * another, or the site, nothing of that name is there, and nothing comes.
 *
 * A subscription that makes its slot cannot be made in a function: so the slot is
 * made where it is, named after who subscribes.  Whatever way an event came, it
 * goes on to all who subscribe here: PostgreSQL 15 cannot leave out what is not of
 * the publisher.  Each event bears its site, and is carried out once.
 *
 * Beside the stream each site tells, with each purge, how far it has each site's
 * events, and whose rules are in force there.  A site that was restored, and
 * would have to subscribe again, is found by what the others have of it.
 */

CREATE TABLE facematch_internal.site_state (
	site		uuid NOT NULL,
	at			timestamptz NOT NULL,
	rules_from	uuid,
	has			jsonb NOT NULL,
	CONSTRAINT site_state_pkey PRIMARY KEY (site)
);
COMMENT ON TABLE facematch_internal.site_state IS
	'what each site has said last of itself, this one too; published with facematch.rights_event';
COMMENT ON COLUMN facematch_internal.site_state.site IS 'the site';
COMMENT ON COLUMN facematch_internal.site_state.at IS 'when it said so, by its clock';
COMMENT ON COLUMN facematch_internal.site_state.rules_from IS 'facematch_internal.site.rules_from there';
COMMENT ON COLUMN facematch_internal.site_state.has IS 'by site, the number of the newest event that it has';

CREATE VIEW facematch_internal.site_now AS
	SELECT h.site, clock_timestamp() AS at, h.rules_from,
		(SELECT coalesce(jsonb_object_agg(n.site, n.number), '{}')
		 FROM (SELECT e.site, max(e.number) AS number FROM facematch.rights_event e GROUP BY e.site) n) AS has
	FROM (SELECT s.* FROM facematch_internal.site s ORDER BY s.since, s.site LIMIT 1) h
	WHERE EXISTS (SELECT FROM pg_catalog.pg_publication p WHERE p.pubname ~ '^facematch_[0-9a-f]{16}_[0-9a-f]{32}$');
COMMENT ON VIEW facematch_internal.site_now IS
	'what this site says of itself, if it publishes its rights: the purge inserts it into facematch_internal.site_state';
COMMENT ON COLUMN facematch_internal.site_now.site IS 'this site';
COMMENT ON COLUMN facematch_internal.site_now.at IS 'now';
COMMENT ON COLUMN facematch_internal.site_now.rules_from IS 'the site whose rules are in force';
COMMENT ON COLUMN facematch_internal.site_now.has IS 'by site, the number of the newest event here';

CREATE FUNCTION facematch_internal.keep_newest_state() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM facematch_internal.site_state t WHERE t.site = NEW.site AND t.at < NEW.at;
	-- It came by another way, or comes back.
	IF EXISTS (SELECT FROM facematch_internal.site_state t WHERE t.site = NEW.site) THEN
		RETURN NULL;
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch_internal.keep_newest_state() IS
	'trigger before each row: of what a site says of itself, the newest stays';
CREATE TRIGGER site_state_20_newest BEFORE INSERT ON facematch_internal.site_state
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.keep_newest_state();
ALTER TABLE facematch_internal.site_state ENABLE ALWAYS TRIGGER site_state_20_newest;

CREATE FUNCTION facematch.publish_rights(subscriber uuid DEFAULT NULL) RETURNS uuid
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	here CONSTANT uuid := (SELECT s.site FROM facematch_internal.site s ORDER BY s.since, s.site LIMIT 1);
	publication CONSTANT name := format('facematch_%s_%s', facematch_internal.pseudonym_fingerprint(),
		translate(here::text, '-', ''));
	slot CONSTANT name := format('facematch_%s_%s', translate(subscriber::text, '-', ''), left(here::text, 8));
	stale name;
BEGIN
	IF current_setting('wal_level') <> 'logical' THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'wal_level_is_logical',
			MESSAGE = format('wal_level is %s: nothing can be published', current_setting('wal_level')),
			HINT = 'ALTER SYSTEM SET wal_level = logical, and restart.';
	ELSIF subscriber = here THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'rights_are_anothers',
			MESSAGE = format('site %s is this one', here),
			HINT = 'Give the site that subscribes: what facematch.publish_rights() returns there.';
	ELSIF subscriber IS NOT NULL AND NOT EXISTS (SELECT FROM pg_publication p WHERE p.pubname = publication) THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'rights_are_published',
			MESSAGE = 'this site does not publish its events yet',
			HINT = 'SELECT facematch.publish_rights() first, in a transaction of its own.';
	ELSIF subscriber IS NOT NULL THEN
		PERFORM pg_create_logical_replication_slot(slot, 'pgoutput')
		WHERE NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.slot_name = slot);
		RETURN here;
	END IF;
	FOR stale IN
		SELECT p.pubname FROM pg_publication p WHERE p.pubname ~ '^facematch_[0-9a-f]{16}_[0-9a-f]{32}$'
			AND p.pubname <> publication
	LOOP
		EXECUTE format('DROP PUBLICATION %I', stale);
	END LOOP;
	IF NOT EXISTS (SELECT FROM pg_publication p WHERE p.pubname = publication) THEN
		-- A slot from before would look for the publication where it was not there yet.
		PERFORM pg_drop_replication_slot(s.slot_name) FROM pg_replication_slots s
		WHERE s.slot_name ~ '^facematch_[0-9a-f]{32}_' AND s.database = current_database();
		EXECUTE format('CREATE PUBLICATION %I FOR TABLE facematch.rights_event, facematch_internal.site_state'
			' WITH (publish = ''insert'')', publication);
	END IF;
	RETURN here;
END
$$;
COMMENT ON FUNCTION facematch.publish_rights(uuid) IS
	'publishes the stream of rights to other sites, and returns the name of this site. With the site that will '
	'subscribe: makes the replication slot that it will read. Neither is made twice; after a change of the key or '
	'of the site''s name, both are made again. wal_level is not logical, or a slot before the publication: 55000; '
	'the subscriber is this site: 22023. For superusers';

CREATE FUNCTION facematch.subscribe_rights(connection text, site uuid, rules_from uuid) RETURNS name
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET client_min_messages = error
AS $$
#variable_conflict use_variable
DECLARE
	here CONSTANT facematch_internal.site := (SELECT s FROM facematch_internal.site s ORDER BY s.since, s.site LIMIT 1);
	subscription CONSTANT name := format('facematch_%s', translate(site::text, '-', ''));
	publication CONSTANT name := format('facematch_%s_%s', facematch_internal.pseudonym_fingerprint(),
		translate(site::text, '-', ''));
	this_database CONSTANT oid := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
BEGIN
	IF site IS NULL OR site = here.site OR rules_from IS NULL THEN
		RAISE invalid_parameter_value USING CONSTRAINT = 'rights_are_anothers',
			MESSAGE = CASE WHEN site = here.site THEN format('site %s is this one', site)
						   ELSE 'the site, and the site that rules come from, are needed' END,
			HINT = 'facematch.publish_rights() returns its site. A copy that becomes another site needs another name'
				' first: docs/howto-sites.md.';
	ELSIF rules_from <> here.site AND rules_from IS DISTINCT FROM here.rules_from AND EXISTS (
		SELECT FROM facematch.rights_event e
		WHERE e.site = rules_from AND e.what = ANY ('{class,event_kind,rule,decline_rule}') AND here.rules_from IS NOT NULL)
	THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'rules_come_from_one_site',
			MESSAGE = format('rules come from site %s here, and those of site %s were left out', here.rules_from, rules_from),
			HINT = 'All sites name the same one.';
	END IF;
	UPDATE facematch_internal.site s SET rules_from = rules_from WHERE s.site = here.site;
	-- Made again it copies all that is there; what is here already is left out.
	IF EXISTS (SELECT FROM pg_subscription s WHERE s.subname = subscription AND s.subdbid = this_database) THEN
		EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', subscription);
		EXECUTE format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', subscription);
		EXECUTE format('DROP SUBSCRIPTION %I', subscription);
	END IF;
	EXECUTE format('CREATE SUBSCRIPTION %I CONNECTION %L PUBLICATION %I WITH (create_slot = false, slot_name = %I)',
		subscription, connection, publication, format('facematch_%s_%s', translate(here.site::text, '-', ''),
			left(site::text, 8)));
	IF NOT EXISTS (SELECT FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid
		WHERE s.subname = subscription AND s.subdbid = this_database) THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'pseudonyms_have_one_key',
			MESSAGE = format('the other end of the connection is not site %s, or publishes nothing, or makes its'
				' pseudonyms with another key', site),
			DETAIL = format('Publication %s is not there.', publication),
			HINT = 'There: SELECT facematch.publish_rights(). docs/howto-sites.md says how the key comes here, before the'
				' first subject.';
	END IF;
	RETURN subscription;
END
$$;
COMMENT ON FUNCTION facematch.subscribe_rights(text, uuid, uuid) IS
	'carries out here what is recorded at another site that has published its rights: connection is libpq''s, '
	'rules_from the site whose rules are in force at all sites. First copies all that is there, and does so again '
	'at each call. Returns the name of the subscription. The site is this one: 22023; another site, no publication '
	'or another key of pseudonyms, constraint pseudonyms_have_one_key, or rules from a third site: 55000. For '
	'superusers';
