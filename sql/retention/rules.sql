/*
 * How long things are kept: classes of persons and dated rules.
 *
 * A rule counts from events: its terms are pairs of an anchor and an interval,
 * of which the earliest (or the latest) decides; the fallback applies while the
 * anchor has not come.  Days and months are counted in UTC.  Where several rules
 * of a class and kind of row are in force, the one that came into force last applies.
 */

CREATE TABLE facematch.retention_class (
	name		text NOT NULL CONSTRAINT retention_class_name_is_a_name CHECK (facematch_internal.is_name(name)),
	description	text NOT NULL,
	shipped		boolean NOT NULL DEFAULT false,
	CONSTRAINT retention_class_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE facematch.retention_class IS 'classes of persons and records with different retention times; a site '
	'adds its own';
COMMENT ON COLUMN facematch.retention_class.name IS 'the word that references, encounters and galleries use';
COMMENT ON COLUMN facematch.retention_class.description IS 'who is in the class';
COMMENT ON COLUMN facematch.retention_class.shipped IS 'true for the rows that come with the extension, which a dump '
	'leaves to it';

CREATE TABLE facematch.event_kind (
	name		text NOT NULL CONSTRAINT event_kind_name_is_a_name CHECK (facematch_internal.is_name(name)),
	description	text NOT NULL,
	shipped		boolean NOT NULL DEFAULT false,
	CONSTRAINT event_kind_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE facematch.event_kind IS 'events that a deadline can count from; a site adds its own, and records '
	'them in facematch.anchor_event';
COMMENT ON COLUMN facematch.event_kind.name IS 'the word that rules use as an anchor';
COMMENT ON COLUMN facematch.event_kind.description IS 'what has to happen';
COMMENT ON COLUMN facematch.event_kind.shipped IS 'true for the rows that come with the extension, which a dump '
	'leaves to it';

CREATE TABLE facematch.retention_rule (
	name			text NOT NULL CONSTRAINT retention_rule_name_is_a_name CHECK (facematch_internal.is_name(name)),
	retention_class	text NOT NULL,
	what			text NOT NULL CONSTRAINT retention_rule_what_is_a_name CHECK (facematch_internal.is_name(what)),
	anchors			text[] NOT NULL,
	keep			interval[] NOT NULL,
	take			text NOT NULL DEFAULT 'earliest' CONSTRAINT retention_rule_take_is_known
		CHECK (take IN ('earliest', 'latest')),
	fallback_anchor	text,
	fallback_keep	interval CONSTRAINT retention_rule_fallback_not_negative CHECK (fallback_keep >= interval '0'),
	notice_before	interval CONSTRAINT retention_rule_notice_not_negative CHECK (notice_before >= interval '0'),
	follows_anchor	boolean NOT NULL DEFAULT false,
	lengthens		boolean NOT NULL DEFAULT false,
	citation		text NOT NULL CONSTRAINT retention_rule_is_cited CHECK (citation <> ''),
	valid_from		timestamptz NOT NULL DEFAULT now(),
	valid_to		timestamptz NOT NULL DEFAULT 'infinity',
	shipped			boolean NOT NULL DEFAULT false,
	CONSTRAINT retention_rule_pkey PRIMARY KEY (name),
	CONSTRAINT retention_rule_class_exists FOREIGN KEY (retention_class)
		REFERENCES facematch.retention_class ON UPDATE RESTRICT,
	CONSTRAINT retention_rule_terms_are_pairs CHECK (cardinality(anchors) = cardinality(keep)
		AND cardinality(anchors) <= 8
		AND array_ndims(anchors) IS NOT DISTINCT FROM array_ndims(keep)
		AND array_position(anchors, NULL) IS NULL AND array_position(keep, NULL) IS NULL),
	CONSTRAINT retention_rule_keeps_not_negative CHECK (interval '0' <= ALL (keep)),
	-- What is added to any time of an event has to be a time.
	CONSTRAINT retention_rule_periods_end CHECK (interval '10000 years' >= ALL (keep)
		AND fallback_keep <= interval '10000 years'
												 AND notice_before <= interval '10000 years'),
	CONSTRAINT retention_rule_fallback_is_whole CHECK ((fallback_anchor IS NULL) = (fallback_keep IS NULL)),
	CONSTRAINT retention_rule_validity CHECK (valid_from < valid_to)
);
COMMENT ON TABLE facematch.retention_rule IS 'how long rows of a class and kind are kept, with dates. Once in force, '
	'a rule can only be ended; a site''s own rules are dumped';
COMMENT ON COLUMN facematch.retention_rule.name IS 'name of the rule; the shipped ones begin with their authority';
COMMENT ON COLUMN facematch.retention_rule.retention_class IS 'the class it applies to, a row of '
	'facematch.retention_class';
COMMENT ON COLUMN facematch.retention_rule.what IS 'what is kept: reference, encounter, gallery, or the word that '
	'facematch.retain() was given';
COMMENT ON COLUMN facematch.retention_rule.anchors
	IS 'events that the deadline counts from, rows of facematch.event_kind; none: no deadline';
COMMENT ON COLUMN facematch.retention_rule.keep IS 'for each anchor, how long after it; days and months in UTC';
COMMENT ON COLUMN facematch.retention_rule.take IS 'earliest: of the anchors that have come, the first deadline; '
	'latest: the last one, once all have come';
COMMENT ON COLUMN facematch.retention_rule.fallback_anchor IS 'what to count from while no anchor has come; NULL: no '
	'deadline until then';
COMMENT ON COLUMN facematch.retention_rule.fallback_keep IS 'how long after the fallback anchor';
COMMENT ON COLUMN facematch.retention_rule.notice_before IS 'how long before the deadline facematch.due_soon() lists '
	'the row, where the law demands advance notice';
COMMENT ON COLUMN facematch.retention_rule.follows_anchor IS 'whether an anchor that moves away (a delayed departure) '
	'takes the deadline of rows that are not due along; logged';
COMMENT ON COLUMN facematch.retention_rule.lengthens IS 'whether the rule applies to existing rows even if it is '
	'longer; logged. Rules of one statement come into force together. Without it, only rows recorded from '
	'valid_from on are kept longer';
COMMENT ON COLUMN facematch.retention_rule.citation IS 'the law or notice that says so';
COMMENT ON COLUMN facematch.retention_rule.valid_from IS 'from when it applies; rows that exist then and would be '
	'kept longer come nearer at that moment';
COMMENT ON COLUMN facematch.retention_rule.valid_to IS 'until when rows that are recorded fall under it';
COMMENT ON COLUMN facematch.retention_rule.shipped IS 'true for the rows that come with the extension, which a dump '
	'leaves to it';
CREATE INDEX retention_rule_class_idx ON facematch.retention_rule (retention_class);

-- pg_dump loads an extension's tables in order of their names where no foreign key says otherwise: the events of
-- subjects have to be there before the rows whose deadlines count from them.
CREATE TABLE facematch.anchor_event (
	event_id	bigint GENERATED ALWAYS AS IDENTITY,
	subject_id	uuid NOT NULL,
	event		text NOT NULL,
	occurred_at	timestamptz NOT NULL DEFAULT clock_timestamp() CONSTRAINT anchor_event_occurred_is_finite
		CHECK (isfinite(occurred_at)),
	CONSTRAINT anchor_event_pkey PRIMARY KEY (event_id),
	CONSTRAINT anchor_event_kind_exists FOREIGN KEY (event) REFERENCES facematch.event_kind ON UPDATE RESTRICT
);
COMMENT ON TABLE facematch.anchor_event IS 'events in a subject''s life that deadlines count from, such as an exit; '
	'of several of a kind the latest counts';
COMMENT ON COLUMN facematch.anchor_event.event_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.anchor_event.subject_id IS 'pseudonym of the person';
COMMENT ON COLUMN facematch.anchor_event.event IS 'what happened, a row of facematch.event_kind';
COMMENT ON COLUMN facematch.anchor_event.occurred_at IS 'when; may lie ahead, such as the end of an authorised stay';
CREATE INDEX anchor_event_subject_idx ON facematch.anchor_event (subject_id, event, occurred_at);

INSERT INTO facematch.event_kind (name, description, shipped) VALUES
	('recorded', 'the photograph was taken, or the template enrolled', true),
	('verification', 'the person''s identity was verified', true),
	('gallery_anchor', 'the event the gallery is for, such as the departure: gallery.anchor_at', true),
	('exit', 'the person left the territory', true),
	('stay_expiry', 'the person''s authorised stay ends', true);

INSERT INTO facematch.retention_class (name, description, shipped) VALUES
	('us_citizen', 'citizens of the United States', true),
	('exempt_alien', 'aliens exempt from biometric collection', true),
	('noncitizen', 'in-scope noncitizens', true),
	('unmatched', 'persons at a gate whose identity no comparison has shown', true),
	('watchlist', 'subjects of interest', true),
	('gallery', 'galleries themselves', true),
	('search', 'searches of galleries, and attempts on persons', true);

INSERT INTO facematch.retention_rule
	(name, retention_class, what, anchors, keep, fallback_anchor, fallback_keep, follows_anchor, citation, valid_from,
		shipped) VALUES
	('cbp/us_citizen/encounter', 'us_citizen', 'encounter', '{verification}', '{12 hours}', 'recorded', '12 hours', false,
	 'CBP Biometrics Privacy Policy (cbp.gov/travel/biometrics/privacy-policy): photographs of U.S. citizens are kept '
	 'no more than 12 hours after identity verification, for continuity of operations only; DHS/CBP/PIA-056',
	 '-infinity', true),
	('cbp/exempt_alien/encounter', 'exempt_alien', 'encounter', '{verification}', '{12 hours}', 'recorded', '12 hours',
		false,
	 'CBP Biometric Exit FAQs, footnote 1: biometrically exempt aliens as U.S. citizens, 12 hours', '-infinity', true),
	('cbp/noncitizen/encounter', 'noncitizen', 'encounter', '{verification}', '{14 days}', 'recorded', '14 days', false,
	 'DHS 2024 report on face recognition: in-scope noncitizens up to 14 days in TVS; DHS/CBP/PIA-056', '-infinity',
	     true),
	('cbp/unmatched/encounter', 'unmatched', 'encounter', '{recorded}', '{12 hours}', NULL, NULL, false,
	 'No published rule: the person may be a U.S. citizen, so the shortest clock applies (CBP Biometrics Privacy '
	 'Policy, 12 hours)', '-infinity', true),
	('cbp/us_citizen/reference', 'us_citizen', 'reference', '{gallery_anchor,recorded}', '{12 hours,14 days}', NULL,
		NULL, true,
	 'CBP Biometrics Privacy Policy, 12 hours, counted from the departure; at most 14 days after staging. The '
	 'flight''s galleries are purged on the same clock: to be confirmed against DHS/CBP/PIA-056', '-infinity', true),
	('cbp/exempt_alien/reference', 'exempt_alien', 'reference', '{gallery_anchor,recorded}', '{12 hours,14 days}', NULL,
		NULL, true,
	 'CBP Biometric Exit FAQs, footnote 1, 12 hours, counted from the departure; at most 14 days after staging',
	     '-infinity', true),
	('cbp/noncitizen/reference', 'noncitizen', 'reference', '{gallery_anchor}', '{14 days}', 'recorded', '14 days', true,
	 'DHS 2024 report on face recognition: in-scope noncitizens up to 14 days in TVS, counted from the departure',
	     '-infinity', true),
	('cbp/watchlist/reference', 'watchlist', 'reference', '{recorded}', '{75 years}', NULL, NULL, false,
	 'DHS IDENT/HART: biometrics of noncitizens up to 75 years', '-infinity', true),
	('cbp/watchlist/encounter', 'watchlist', 'encounter', '{recorded}', '{12 hours}', NULL, NULL, false,
	 'No published rule for a photograph that matched a watchlist: the shortest clock applies (CBP Biometrics Privacy '
	 'Policy, 12 hours); an inquiry places a hold', '-infinity', true),
	('cbp/gallery', 'gallery', 'gallery', '{gallery_anchor}', '{14 days}', NULL, NULL, true,
	 'The longest clock of the templates in a flight''s gallery, 14 days after the departure (DHS/CBP/PIA-056)',
	     '-infinity', true),
	('site/search', 'search', 'search', '{recorded}', '{1 year}', NULL, NULL, false,
	 'No published rule: a year for inspectors to see who searched what for; a site sets its own', '-infinity', true),
	('site/attempt', 'search', 'attempt', '{recorded}', '{8 days}', NULL, NULL, false,
	 'No published rule: as long as facematch.attempts_per_week counts', '-infinity', true);

---------------------------------------------------------------- what may be changed

-- Every row is recorded; any other event may never come.
CREATE FUNCTION facematch_internal.may_never_end(rule facematch.retention_rule) RETURNS boolean
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT rule.fallback_anchor IS DISTINCT FROM 'recorded'
		-- While one of several is awaited, it is the fallback that counts, if there is one.
		AND NOT CASE WHEN rule.take = 'latest' AND rule.fallback_anchor IS NOT NULL
					 THEN rule.anchors <> '{}' AND 'recorded' = ALL (rule.anchors) ELSE 'recorded' = ANY (rule.anchors) END
$$;
COMMENT ON FUNCTION facematch_internal.may_never_end(facematch.retention_rule) IS
	'whether rows can be kept for ever by a rule: neither what it counts from nor its fallback is sure to come';

CREATE FUNCTION facematch_internal.check_rule() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	called text := replace(TG_TABLE_NAME, '_', ' ');
	anchor text;
BEGIN
	PERFORM facematch_internal.redacted('');	-- loads the library, which has the setting
	IF TG_OP <> 'INSERT' AND OLD.shipped THEN
		RAISE integrity_constraint_violation USING CONSTRAINT = 'rule_shipped_is_kept',
			MESSAGE = format('%s %L comes with the extension and cannot be changed', called, OLD.name),
			HINT = CASE TG_TABLE_NAME WHEN 'retention_rule' THEN 'Insert a rule for the same class and what: the one '
				'that came into force last applies.'
							   ELSE 'Insert a rule of the site''s for the same class: it goes before the shipped ones.' END;
	-- What arrives from another site was allowed there, at its time.
	ELSIF TG_OP <> 'INSERT' AND OLD.valid_from <= now() AND NOT current_setting('facematch.right_arrives')::boolean THEN
		IF TG_OP = 'DELETE' THEN
			RAISE integrity_constraint_violation USING CONSTRAINT = 'rule_in_force_is_kept',
				MESSAGE = format('%s %L is in force and cannot be deleted', called, OLD.name),
				HINT = 'End it: UPDATE its valid_to, and insert the rule that follows.';
		ELSIF (to_jsonb(NEW) - 'valid_to') IS DISTINCT FROM (to_jsonb(OLD) - 'valid_to') OR NEW.valid_to < least(now(),
			OLD.valid_to) THEN
			RAISE integrity_constraint_violation USING CONSTRAINT = 'rule_in_force_is_kept',
				MESSAGE = format('%s %L is in force: only its end can be changed, to a time that has not passed',
					called, OLD.name),
				HINT = 'End it: UPDATE its valid_to, and insert the rule that follows.';
		END IF;
	END IF;
	IF TG_OP = 'DELETE' THEN
		RETURN OLD;
	ELSIF TG_TABLE_NAME <> 'retention_rule' THEN
		RETURN NEW;
	END IF;
	FOREACH anchor IN ARRAY NEW.anchors || NEW.fallback_anchor LOOP
		IF anchor IS NOT NULL AND NOT EXISTS (SELECT FROM facematch.event_kind k WHERE k.name = anchor) THEN
			RAISE foreign_key_violation USING CONSTRAINT = 'retention_rule_event_exists',
				MESSAGE = format('retention rule %L counts from %L, which is not an event', NEW.name, anchor),
				HINT = 'facematch.event_kind has the events; add a site''s own there.';
		END IF;
	END LOOP;
	IF TG_OP = 'INSERT' AND NOT NEW.shipped AND facematch_internal.may_never_end(NEW) THEN
		RAISE WARNING USING
			MESSAGE = format('retention rule %L gives no deadline to rows whose events never happen', NEW.name),
			HINT = 'Give it a fallback that counts from when the row was recorded: fallback_anchor, fallback_keep.';
	END IF;
	-- Rules come before their table; a dump, which silences notices, brings them so too.
	IF TG_OP = 'INSERT' AND NOT NEW.shipped AND NOT EXISTS (SELECT FROM facematch_internal.retained t
		WHERE t.what = NEW.what) THEN
		RAISE NOTICE USING
			MESSAGE = format('retention rule %L is about %L, for which no table is under retention yet', NEW.name, NEW.what),
			HINT = format('Kept are: %s. facematch.retain() puts another table under retention, under the word that '
				'it is given.',
				(SELECT string_agg(DISTINCT t.what, ', ') FROM facematch_internal.retained t));
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch_internal.check_rule() IS 'trigger: a rule counts from known events (23503); one that '
	'gives no deadline, or is about nothing that is kept, gets a NOTICE; once in force, only its end can be '
	'changed, and nothing of a shipped one (23000)';

CREATE FUNCTION facematch_internal.carry_out() RETURNS trigger
	LANGUAGE C AS 'MODULE_PATHNAME', 'facematch_carry_out';
COMMENT ON FUNCTION facematch_internal.carry_out() IS
	'trigger after each row of what deadlines and templates depend on. Argument gallery, rule or event: computes the '
	'deadlines again for the rows of the gallery, of the rule''s class, or of the event''s subject. opt_out: removes the '
	'subject''s templates from every table under retention, if the law says so; held ones become due; warns of a user''s '
	'table that refuses. merge: writes facematch_internal.person again; opt-outs of either subject remove the '
	'templates of both, events of either count for the deadlines of both';

CREATE TRIGGER retention_rule_10_check BEFORE INSERT OR UPDATE OR DELETE ON facematch.retention_rule
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.check_rule();
CREATE TRIGGER retention_rule_20_changed AFTER INSERT OR UPDATE OR DELETE ON facematch.retention_rule
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.carry_out('rule');
ALTER TABLE facematch.retention_rule ENABLE ALWAYS TRIGGER retention_rule_10_check,
	ENABLE ALWAYS TRIGGER retention_rule_20_changed;

CREATE TRIGGER anchor_event_10_is_a_record BEFORE UPDATE ON facematch.anchor_event
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.refuse_change();
CREATE TRIGGER anchor_event_20_happened AFTER INSERT ON facematch.anchor_event
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.carry_out('event');
ALTER TABLE facematch.anchor_event ENABLE ALWAYS TRIGGER anchor_event_10_is_a_record,
	ENABLE ALWAYS TRIGGER anchor_event_20_happened;

SELECT pg_catalog.pg_extension_config_dump('facematch.retention_class', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('facematch.event_kind', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('facematch.retention_rule', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('facematch.anchor_event', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.anchor_event_event_id_seq', '');
SELECT facematch_internal.keep_as_record('facematch.retention_rule', changes => true, log => ARRAY['rule', 'name',
	'retention_class,what,anchors,keep,take,fallback_anchor,fallback_keep,notice_before,'
	'follows_anchor,lengthens,valid_from,valid_to',
	'added,changed,deleted']);
SELECT facematch_internal.keep_as_record('facematch.retention_class', changes => true,
	log => '{class,name,"name,shipped","added,changed,deleted"}');
SELECT facematch_internal.keep_as_record('facematch.event_kind', changes => true,
	log => '{event_kind,name,"name,shipped","added,changed,deleted"}');
CREATE CONSTRAINT TRIGGER retention_class_60_rights AFTER INSERT OR UPDATE OR DELETE ON facematch.retention_class
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION facematch_internal.write_right('class', 'name', '', 'd.name = n.name', '');
CREATE CONSTRAINT TRIGGER event_kind_60_rights AFTER INSERT OR UPDATE OR DELETE ON facematch.event_kind
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION facematch_internal.write_right('event_kind', 'name', '', 'd.name = n.name', '');
CREATE CONSTRAINT TRIGGER retention_rule_60_rights AFTER INSERT OR UPDATE OR DELETE ON facematch.retention_rule
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION facematch_internal.write_right('rule', 'name', '', 'd.name = n.name', '');
