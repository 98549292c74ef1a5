/*
 * Health check: whether events of the stream of rights reach the other sites, and
 * arrive from them.
 */

CREATE FUNCTION facematch_internal.sites_findings() RETURNS SETOF facematch_internal.finding
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	here CONSTANT text := (SELECT translate(s.site::text, '-', '') FROM facematch_internal.site s
						   ORDER BY s.since, s.site LIMIT 1);
	fingerprint CONSTANT text := facematch_internal.pseudonym_fingerprint();
	restored CONSTANT text := 'copy the events of the other sites before anything new is recorded: docs/howto-sites.md';
	again CONSTANT text := 'SELECT facematch.subscribe_rights(''...'', %L, ...)';
BEGIN
	-- What comes in.
	RETURN QUERY
	WITH subscription AS MATERIALIZED (
		SELECT s.oid, s.subenabled, substr(s.subname, 11)::uuid AS site, s.subpublications[1] AS publication,
			   clock_timestamp() - coalesce(w.last_msg_receipt_time, a.backend_start) AS silent,
			   -- PostgreSQL 19 counts errors of copying tables and of sequences apart.
			   (SELECT coalesce(sum(c.value::bigint), 0) FROM jsonb_each_text(to_jsonb(t)) c
				WHERE c.key LIKE '%\_error\_count') AS errors,
			   -- A worker that fails is started again some seconds later, or may have gone between the two views.
			   w.pid IS NULL OR t.apply_error_count > 0 AND coalesce(a.backend_start > clock_timestamp() - interval '1 minute',
				true) AS fails,
			   EXISTS (SELECT FROM pg_subscription_rel r WHERE r.srsubid = s.oid AND r.srsubstate <> 'r') AS copies
		FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()
		LEFT JOIN pg_stat_subscription w ON w.subid = s.oid AND w.relid IS NULL AND w.pid IS NOT NULL
		LEFT JOIN pg_stat_activity a ON a.pid = w.pid
		LEFT JOIN pg_stat_subscription_stats t ON t.subid = s.oid
		WHERE s.subname ~ '^facematch_[0-9a-f]{32}$'
	)
	SELECT 'error', 'rights do not arrive: the subscription is disabled', format('site %s', s.site),
		format(again, s.site) FROM subscription s WHERE NOT s.subenabled
	UNION ALL
	SELECT 'error', 'rights do not arrive: the subscription fails repeatedly', format('site %s (errors: %s)', s.site,
			s.errors),
		'read the server''s log: the site may be down or have no slot for this one (facematch.publish_rights()), or an'
			' event was refused'
	FROM subscription s WHERE s.subenabled AND s.fails
	UNION ALL
	SELECT 'error', 'rights do not arrive: the site sends nothing', format('site %s (for %s)', s.site,
			date_trunc('second', s.silent)), 'check the site''s server and the network'
	FROM subscription s WHERE s.subenabled AND s.silent > interval '1 minute'
	UNION ALL
	SELECT 'error', 'rights do not arrive: copying the site''s events fails', format('site %s (errors: %s)', s.site,
			s.errors),
		'read the server''s log: the site may be down or have no slot left for the copy, the connection''s role may not read'
			' the published tables, or an event was refused'
	FROM subscription s WHERE s.subenabled AND s.copies AND s.errors > 0
	UNION ALL
	SELECT 'warning', 'the site''s events are still being copied', format('site %s', s.site), 'wait'
	FROM subscription s WHERE s.subenabled AND s.copies AND s.errors = 0
	UNION ALL
	SELECT 'error', 'the key of pseudonyms has changed since the site was subscribed to: its opt-outs name nobody here',
		format('site %s', s.site), 'put the row of facematch.pseudonym_key back; ' || format(again, s.site)
	FROM subscription s WHERE s.publication NOT LIKE format('facematch\_%s\_%%', fingerprint)
	UNION ALL
	SELECT 'error', 'the publication of rights is of another key or another site: subscribers receive nothing',
		format('publication %s', p.pubname),
		'SELECT facematch.publish_rights() here, then facematch.subscribe_rights() at the other sites'
	FROM pg_publication p WHERE p.pubname ~ '^facematch_[0-9a-f]{16}_[0-9a-f]{32}$'
		AND p.pubname <> format('facematch_%s_%s', fingerprint, here)
	UNION ALL
	-- What goes out.
	SELECT 'error', 'rights do not reach the site: ' || CASE WHEN s.wal_status = 'lost'
			THEN 'the WAL that it needs is gone' ELSE 'it does not read its slot' END,
		format('site %s (%s behind)', substr(s.slot_name, 11, 32)::uuid,
			pg_size_pretty(pg_current_wal_lsn() - s.confirmed_flush_lsn)),
		CASE WHEN s.wal_status = 'lost' THEN format('SELECT pg_drop_replication_slot(%L), facematch.publish_rights() for the'
				' site, and facematch.subscribe_rights() there', s.slot_name)
			ELSE format('SELECT * FROM facematch.health_check() at the site; if the site no longer exists, SELECT'
				' pg_drop_replication_slot(%L), which frees WAL', s.slot_name) END
	FROM pg_replication_slots s
	WHERE s.slot_name ~ '^facematch_[0-9a-f]{32}_' AND s.database = current_database() AND NOT s.active
		AND NOT pg_is_in_recovery()
	UNION ALL
	SELECT 'warning', 'rights reach the site late', format('site %s (%s)', substr(s.slot_name, 11, 32)::uuid,
			date_trunc('second', r.replay_lag)), 'SELECT * FROM facematch.health_check() at the site'
	FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid
	WHERE s.slot_name ~ '^facematch_[0-9a-f]{32}_' AND s.database = current_database()
		AND r.replay_lag > interval '1 minute'
	UNION ALL
	-- It was stopped, and an older state of it started: its WAL is not what the site has read.
	SELECT 'error', 'this site was restored: the site has read further than the WAL here, and new events do not reach'
		' it', format('site %s', substr(s.slot_name, 11, 32)::uuid), restored
	FROM pg_replication_slots s
	WHERE s.slot_name ~ '^facematch_[0-9a-f]{32}_' AND s.database = current_database() AND NOT pg_is_in_recovery()
		AND s.confirmed_flush_lsn > pg_current_wal_insert_lsn()
	UNION ALL
	-- What the sites say of themselves.
	SELECT 'error', 'this site lacks events that other sites have: it was restored',
		format('site %s (events: %s)', n.site, n.number - n.here), restored
	FROM (SELECT k.key AS site, max(k.value::bigint) AS number,
			coalesce((SELECT max(e.number) FROM facematch.rights_event e WHERE e.site = k.key::uuid), 0) AS here
		  FROM facematch_internal.site_state t, jsonb_each_text(t.has) k GROUP BY k.key) n
	WHERE n.number > n.here AND NOT EXISTS (SELECT FROM subscription s WHERE s.subenabled AND s.copies AND s.errors = 0)
	UNION ALL
	SELECT 'error', 'the site lacks events that it recorded itself: it was restored',
		format('site %s (events: %s)', t.site, e.number - coalesce((t.has ->> t.site::text)::bigint, 0)),
		'there: ' || restored
	FROM facematch_internal.site_state t CROSS JOIN LATERAL (SELECT max(r.number) AS number FROM facematch.rights_event r
		WHERE r.site = t.site AND r.at < t.at - interval '10 seconds') e
	WHERE translate(t.site::text, '-', '') <> here AND e.number > coalesce((t.has ->> t.site::text)::bigint, 0)
	UNION ALL
	SELECT 'error', 'the site takes its rules from another site than this one does',
		format('site %s (from %s, here from %s)', t.site, coalesce(t.rules_from, t.site), coalesce(h.rules_from, h.site)),
		'SELECT facematch.subscribe_rights(..., rules_from => ...) with one site at all of them'
	FROM facematch_internal.site_state t JOIN facematch_internal.site h ON translate(h.site::text, '-', '') = here
	WHERE coalesce(t.rules_from, t.site) <> coalesce(h.rules_from, h.site)
	UNION ALL
	SELECT 'warning', 'the site no longer reports which events it has: its purge does not run, or it was restored',
		format('site %s (for %s)', t.site, date_trunc('second', clock_timestamp() - t.at)),
		'SELECT * FROM facematch.health_check() at the site'
	FROM facematch_internal.site_state t
	JOIN pg_subscription s ON s.subname = 'facematch_' || translate(t.site::text, '-', '')
	JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()
	WHERE t.at < clock_timestamp() - interval '1 hour'
	UNION ALL
	-- A posting is never deleted; a notice has the event that changed or deleted it.
	SELECT 'warning', 'a notice of the site is another one here, or some of its postings are not here',
		format('notice %s, version %s, site %s', o.name, o.version, o.site),
		'INSERT the next version at one site, and post it at all; what hung is in facematch.rights_event'
	FROM (SELECT e.site, n.name, n.version
		  FROM facematch.rights_event e CROSS JOIN LATERAL jsonb_populate_record(NULL::facematch.notice, e.after) n
		  WHERE e.what = 'notice' AND e.after IS NOT NULL AND NOT EXISTS (SELECT FROM facematch.notice h WHERE h = n)
			AND NOT EXISTS (SELECT FROM facematch.rights_event l WHERE l.what = 'notice' AND l.before = e.after)
		  UNION
		  SELECT e.site, p.notice, p.version
		  FROM facematch.rights_event e CROSS JOIN LATERAL jsonb_populate_record(NULL::facematch.notice_posting, e.after) p
		  WHERE e.what = 'posting' AND e.before IS NULL AND NOT EXISTS (SELECT FROM facematch.notice_posting h
			WHERE (h.notice, h.version, h.port, h.posted_at) = (p.notice, p.version, p.port, p.posted_at)
			  AND h.lane IS NOT DISTINCT FROM p.lane)) o
	UNION ALL
	SELECT 'notice', 'rules of a site that may not make them were ignored',
		format('site %s (events: %s)', e.site, count(*)),
		'make them at the site that rules come from'
	FROM facematch.rights_event e JOIN facematch_internal.site h ON translate(h.site::text, '-', '') = here
	WHERE e.what = ANY ('{class,event_kind,rule,decline_rule}') AND e.site NOT IN (h.site, h.rules_from)
	GROUP BY e.site;
END
$$;
COMMENT ON FUNCTION facematch_internal.sites_findings() IS
	'subscriptions to other sites'' rights that are disabled, stop or hear nothing, sites that do not read what is'
	' published here, another key of pseudonyms, sites that were restored and have not copied what they lost,'
	' sites with rules from elsewhere, and notices that are others there; part of facematch.health_check()';
