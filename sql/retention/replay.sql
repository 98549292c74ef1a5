/*
 * Events of the stream of rights from elsewhere: from a copy that was kept outside,
 * after a restore, or from another site by logical replication. Each event is carried
 * out once, in the order of its site, as if somebody had made the change in this
 * database. It is in the stream here as it was written there.
 *
 * Events are stored first and then carried out in the order of their numbers, because
 * the first copy of a table brings rows in their physical order. If a rule was changed
 * before it came into force, only its last form is carried out. An end that arrives
 * before the row that it ends waits for it until the transaction ends.
 *
 * What another site's event names and this one lacks, or has otherwise, is left out, and
 * the result says so. Replication stops only where going on would overwrite a rule.
 */

CREATE FUNCTION facematch_internal.apply_right(event facematch.rights_event) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
	SET intervalstyle = 'postgres' SET session_replication_role = origin	-- it is done here, and in the log here
AS $$
DECLARE
	carried_out CONSTANT jsonb := current_setting('facematch.rights_carried_out');
	newest CONSTANT bigint := carried_out -> event.site::text;
	rules_from CONSTANT uuid := (SELECT s.rules_from FROM facematch_internal.site s ORDER BY s.since, s.site LIMIT 1);
	is_own CONSTANT boolean := event.site =
		(SELECT s.site FROM facematch_internal.site s ORDER BY s.since, s.site LIMIT 1);
	t regclass;
	-- The arguments of its trigger write_right().
	left_out text[];
	same text;
	ends text;
	its_trigger text;
	here jsonb;
	place tid;
	wanted jsonb := event.after;
	row_there CONSTANT jsonb := coalesce(event.before, event.after);
	gallery CONSTANT bigint := (SELECT g.gallery_id FROM facematch.gallery g WHERE g.name = row_there ->> 'gallery');
	columns text[];
	statement text;
	-- Ends that this transaction carried out before their rows were here.
	early CONSTANT jsonb := current_setting('facematch.rights_early');
	ended_at timestamptz;
	done text;
	-- When a rule comes into force: as it was before the event, and as it is from then on.
	was_from CONSTANT timestamptz := event.before ->> 'valid_from';
	is_from CONSTANT timestamptz := event.after ->> 'valid_from';
	never_came boolean;
BEGIN
	IF event.number <> newest + 1 THEN
		RAISE object_not_in_prerequisite_state USING CONSTRAINT = 'rights_event_follows_another',
			MESSAGE = format('event %s of site %s comes before event %s is here', event.number, event.site, newest + 1),
			HINT = 'Add what is missing: the copy is whole if it was taken by number, each time from the last number on. From'
				' another site: facematch.subscribe_rights() again copies all.';
	END IF;
	PERFORM set_config('facematch.rights_carried_out',
		(carried_out || jsonb_build_object(event.site, event.number))::text, true);
	IF event.what = ANY ('{class,event_kind,rule,decline_rule}') AND NOT is_own AND event.site <> rules_from THEN
		RETURN 'not here: rules come from site ' || rules_from;
	END IF;
	SELECT g.tgrelid, format('%s.%I', c.relnamespace::regnamespace, g.tgname), string_to_array(a.arguments[3], ','),
		   a.arguments[4], a.arguments[5]
	INTO t, its_trigger, left_out, same, ends
	FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
	CROSS JOIN LATERAL string_to_array(encode(g.tgargs, 'escape'), '\000') a (arguments)
	WHERE g.tgfoid = 'facematch_internal.write_right'::regproc AND a.arguments[1] = event.what;
	IF t IS NULL THEN
		RAISE feature_not_supported USING CONSTRAINT = 'rights_event_is_known',
			MESSAGE = format('event %s of site %s is about %L, which is not known here', event.number, event.site, event.what),
			HINT = 'It comes from a later version: ALTER EXTENSION facematch UPDATE.';
	END IF;
	-- A row's number means the row where it was given only, and a table may be gone.
	IF (row_there ->> 'table_name') <> 'facematch.gallery'
		AND NOT (is_own AND to_regclass(row_there ->> 'table_name') IS NOT NULL) THEN
		RETURN 'not here: a row of a table of site ' || event.site;
	END IF;
	EXECUTE format('SELECT to_jsonb(d), d.ctid FROM %1$s d, jsonb_populate_record(NULL::%1$s, $1) n WHERE %2$s LIMIT 1'
		' FOR UPDATE OF d', t, same) INTO here, place USING row_there;
	IF here IS NULL AND gallery IS NULL AND NOT is_own
		AND (row_there ->> 'gallery_id' IS NOT NULL OR row_there ->> 'table_name' = 'facematch.gallery') THEN
		RETURN 'not here: its gallery';
	END IF;
	-- A rule that was changed or deleted before it came into force never was one: only its last form comes here.
	never_came := here IS NULL AND coalesce(was_from > event.at AND was_from <= clock_timestamp(), event.before IS NULL);
	IF never_came AND is_from > event.at AND is_from <= clock_timestamp() AND EXISTS (
		SELECT FROM facematch.rights_event l WHERE l.site = event.site AND l.number > event.number AND l.what = event.what
			AND l.before = event.after AND l.at < is_from) THEN
		RETURN 'not here: changed before it took force';
	END IF;
	-- Its site may have classes and rules of its own: the answer that follows from them is here.
	IF event.what = 'opt_out' THEN
		wanted := wanted || jsonb_build_object(
			'retention_class', (SELECT c.name FROM facematch.retention_class c WHERE c.name = wanted ->> 'retention_class'),
			'rule', (SELECT r.name FROM facematch.decline_rule r WHERE r.name = wanted ->> 'rule'));
	END IF;
	ended_at := (coalesce(event.after, event.before) ->> nullif(ends, ''))::timestamptz;
	-- What this transaction did before is written as its own; what it does now, as it was written there.
	EXECUTE format('SET CONSTRAINTS %s IMMEDIATE', its_trigger);
	PERFORM set_config('facematch.right_arrives', 'on', true);
	IF here IS NULL AND (wanted IS NULL OR event.before IS NOT NULL AND NOT never_came) THEN
		-- What ends here already, under another event, or never came here.
		IF ends = '' AND wanted IS NOT NULL THEN
			RAISE integrity_constraint_violation USING
				MESSAGE = format('event %s of site %s changes %s, which is not here', event.number, event.site, event.what),
				HINT = 'Insert the row as it was there before the event, and replay again.',
				SCHEMA = 'facematch', TABLE = 'rights_event', CONSTRAINT = 'rights_event_fits';
		END IF;
		done := 'not here';
		-- Or comes later: the events of one site may be copied, or replayed, before those of another.
		IF ended_at IS NOT NULL AND wanted IS NOT NULL THEN
			PERFORM set_config('facematch.rights_early',
				(early || jsonb_build_object('what', event.what, 'after', event.after))::text, true);
		END IF;
	ELSIF here IS NULL THEN
		done := 'inserted';
		IF gallery IS NOT NULL THEN
			wanted := wanted || CASE WHEN wanted ? 'gallery_id' THEN jsonb_build_object('gallery_id', gallery)
									 ELSE jsonb_build_object('row_id', gallery::text) END;
		ELSIF wanted ? 'gallery' AND wanted ->> 'scope' = 'encounter' THEN
			-- The flight was lost with the restore and may come again: until it is over, the person is in none.
			wanted := wanted || '{"gallery_id": null, "scope": "standing"}';
			IF isfinite((wanted ->> 'gallery_until')::timestamptz) THEN
				wanted := wanted || jsonb_build_object('scope', 'until', 'until', wanted -> 'gallery_until');
			END IF;
			done := 'inserted for every gallery: that one is not here';
		ELSIF wanted ? 'gallery' THEN
			done := 'not here: its gallery';
		ELSIF event.what = 'posting' AND wanted -> 'texts' <> (SELECT n.texts FROM facematch.notice n
			WHERE (n.name, n.version) = (wanted ->> 'notice', (wanted ->> 'version')::integer)) THEN
			done := 'not here: of another text';
		END IF;
		IF done LIKE 'inserted%' THEN
			SELECT array_agg(quote_ident(a.attname)) INTO columns FROM pg_attribute a
			WHERE a.attrelid = t AND a.attnum > 0 AND NOT a.attisdropped AND wanted ? a.attname::text;
			statement := format('INSERT INTO %1$s AS d (%2$s) SELECT %2$s FROM jsonb_populate_record(NULL::%1$s, $1)'
				' RETURNING d.ctid', t, array_to_string(columns, ', '));
			IF event.what = ANY ('{hold,posting}') THEN
				BEGIN
					EXECUTE statement INTO place USING wanted;
				EXCEPTION WHEN foreign_key_violation THEN
					done := 'not here: ' || CASE event.what WHEN 'hold' THEN 'the row that it names' ELSE 'its notice' END;
				END;
			ELSE
				EXECUTE statement INTO place USING wanted;
			END IF;
		END IF;
		IF done LIKE 'inserted%' AND ends <> '' AND early <> '[]' THEN
			EXECUTE format('SELECT (e -> ''after'' ->> %1$L)::timestamptz FROM jsonb_array_elements($1) e,'
				' jsonb_populate_record(NULL::%2$s, e -> ''after'') d, jsonb_populate_record(NULL::%2$s, $2) n'
				' WHERE e ->> ''what'' = $3 AND %3$s LIMIT 1', ends, t, same) INTO ended_at USING early, event.after, event.what;
			IF ended_at IS NOT NULL THEN
				EXECUTE format('UPDATE %s d SET %I = least($2, clock_timestamp()) WHERE d.ctid = $1', t, ends)
				USING place, ended_at;
				done := done || ', ended';
			END IF;
		END IF;
	ELSIF ends <> '' THEN
		done := 'unchanged';
		IF ended_at IS NOT NULL AND here ->> ends IS NULL THEN
			EXECUTE format('UPDATE %s d SET %I = least($2, clock_timestamp()) WHERE d.ctid = $1 RETURNING d.ctid', t, ends)
			INTO place USING place, ended_at;
			done := 'ended';
		ELSIF event.what = 'opt_out' AND here ->> ends IS NULL
			AND wanted ->> 'retention_class' <> coalesce(here ->> 'retention_class', '')
			AND here ->> 'retention_class' IS NOT DISTINCT FROM (SELECT c.name FROM facematch.retention_class c
				WHERE c.name = event.before ->> 'retention_class') THEN
			-- The person's class became known, and is not known otherwise here: the law here answers.
			EXECUTE format('UPDATE %s d SET retention_class = $2 WHERE d.ctid = $1', t)
			USING place, wanted ->> 'retention_class';
			done := 'changed';
		END IF;
		IF wanted IS NULL THEN
			EXECUTE format('DELETE FROM %s d WHERE d.ctid = $1', t) USING place;
			done := 'deleted';
		END IF;
	ELSE
		here := here - left_out;
		columns := ARRAY(SELECT quote_ident(w.key) FROM jsonb_each(wanted) w
						 WHERE here ? w.key AND w.value IS DISTINCT FROM here -> w.key);
		done := CASE WHEN wanted IS NULL THEN 'deleted' WHEN columns = '{}' THEN 'unchanged' ELSE 'changed' END;
		IF event.what = 'notice' AND done <> 'unchanged' AND here IS DISTINCT FROM event.before THEN
			done := 'not here: another notice of this version is here';
		-- What another site has deleted, and was in use here, may be there again.
		ELSIF done = 'changed' AND here IS DISTINCT FROM event.before AND NOT EXISTS (SELECT FROM facematch.rights_event l
			WHERE l.site = event.site AND l.number < event.number AND l.what = event.what AND l.after IS NULL
			  AND l.before = here) THEN
			RAISE integrity_constraint_violation USING
				MESSAGE = format('event %s of site %s changes %s, which differs here from what it was there', event.number,
					event.site, event.what),
				DETAIL = format('Other columns: %s.', array_to_string(columns, ', ')),
				HINT = 'Change the row here to what it was there before the event, and replay again.',
				SCHEMA = 'facematch', TABLE = 'rights_event', CONSTRAINT = 'rights_event_fits';
		ELSIF done <> 'unchanged' THEN
			statement := CASE WHEN wanted IS NULL THEN format('DELETE FROM %s d WHERE d.ctid = $1', t)
				ELSE format('UPDATE %1$s d SET (%2$s) = (SELECT %2$s FROM jsonb_populate_record(NULL::%1$s, $2))'
					' WHERE d.ctid = $1', t, array_to_string(columns, ', ')) END;
			BEGIN
				EXECUTE statement USING place, wanted;
			EXCEPTION WHEN integrity_constraint_violation THEN
				-- A notice that hangs here is evidence; a class that rows here name stays.
				IF event.what <> 'notice' AND (wanted IS NOT NULL OR SQLSTATE <> '23503') THEN
					RAISE;
				END IF;
				done := 'kept: in use here';
			END;
		END IF;
	END IF;
	EXECUTE format('SET CONSTRAINTS %s IMMEDIATE', its_trigger);
	PERFORM set_config('facematch.right_arrives', 'off', true);
	EXECUTE format('SET CONSTRAINTS %s DEFERRED', its_trigger);
	RETURN done;
END
$$;
COMMENT ON FUNCTION facematch_internal.apply_right(facematch.rights_event) IS
	'carries out an event of the stream that has just been stored, and returns the result: inserted, ended, '
	'changed, deleted, unchanged, kept, not here. Not the next one of its site: 55000; a row that is another here: '
	'23000, constraint rights_event_fits';

CREATE FUNCTION facematch_internal.right_arrived() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	event facematch.rights_event;
	here facematch_internal.site;
	carried_out jsonb;
BEGIN
	PERFORM facematch_internal.redacted('');	-- loads the library, which has the settings
	carried_out := current_setting('facematch.rights_carried_out');
	IF TG_WHEN = 'AFTER' THEN
		-- Those before it that lie after it in the table are stored by now.
		FOR event IN
			SELECT e.* FROM facematch.rights_event e
			WHERE e.site = NEW.site AND e.number <= NEW.number AND pg_replication_origin_session_is_setup()
			  AND e.number > (carried_out -> NEW.site::text)::bigint
			ORDER BY e.number
		LOOP
			PERFORM facematch_internal.apply_right(event);
		END LOOP;
	ELSIF pg_replication_origin_session_is_setup() OR current_setting('facematch.right_arrives')::boolean THEN
		-- An event may come by two ways at the same time.
		LOCK TABLE facematch_internal.site IN SHARE ROW EXCLUSIVE MODE;
		SELECT e.* INTO event FROM facematch.rights_event e WHERE e.site = NEW.site AND e.number = NEW.number;
		IF event IS NOT DISTINCT FROM NEW THEN
			RETURN NULL;
		ELSIF FOUND THEN
			RAISE unique_violation USING
				MESSAGE = format('event %s of site %s differs from the event of that number here, which is about %s',
					NEW.number, NEW.site, event.what),
				DETAIL = format('Here it is of %s, there of %s.', event.at, NEW.at),
				HINT = 'After the restore, rights were recorded here before the replay. Restore again and replay first, or note'
					' them, and record them again after it.',
				SCHEMA = 'facematch', TABLE = 'rights_event', CONSTRAINT = 'rights_event_pkey';
		ELSIF NOT carried_out ? NEW.site::text THEN
			PERFORM set_config('facematch.rights_carried_out', (carried_out || jsonb_build_object(NEW.site,
				coalesce((SELECT max(e.number) FROM facematch.rights_event e WHERE e.site = NEW.site), 0)))::text, true);
		END IF;
	ELSIF NEW.what = ANY ('{class,event_kind,rule,decline_rule}') THEN
		SELECT s.* INTO here FROM facematch_internal.site s ORDER BY s.since, s.site LIMIT 1;
		IF here.rules_from <> here.site THEN
			RAISE object_not_in_prerequisite_state USING
				MESSAGE = format('rules come from site %s, and not from here', here.rules_from),
				DETAIL = format('This was about %s %L.', NEW.what, coalesce(NEW.after, NEW.before) ->> 'name'),
				HINT = 'Insert, change or end it there: it will arrive here.',
				SCHEMA = 'facematch', TABLE = 'rights_event', CONSTRAINT = 'rules_come_from_one_site';
		END IF;
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch_internal.right_arrived() IS
	'trigger before and after each event: what arrives is left out where it is here already (another event of that'
	' number: 23505), and what logical replication brings is carried out in the order of numbers. A rule that is made'
	' here where rules come from another site: 55000, constraint rules_come_from_one_site';
CREATE TRIGGER rights_event_20_arrived BEFORE INSERT ON facematch.rights_event
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.right_arrived();
CREATE TRIGGER rights_event_50_arrived AFTER INSERT ON facematch.rights_event
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.right_arrived();
ALTER TABLE facematch.rights_event ENABLE ALWAYS TRIGGER rights_event_20_arrived,
	ENABLE ALWAYS TRIGGER rights_event_50_arrived;

CREATE FUNCTION facematch.replay_rights(copy regclass)
	RETURNS TABLE (site uuid, number bigint, at timestamptz, what text, done text)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	event facematch.rights_event;
BEGIN
	IF copy IS NULL OR EXISTS (SELECT FROM pg_class c WHERE c.oid = copy AND 7 > (SELECT count(*) FROM pg_attribute a
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
				AND a.attname IN ('site', 'number', 'at', 'actor', 'what', 'before', 'after'))) THEN
		RAISE undefined_column USING CONSTRAINT = 'copy_is_of_rights_events',
			MESSAGE = format('%s is not a copy of facematch.rights_event', coalesce(copy::text, 'NULL')),
			HINT = 'CREATE TABLE copy (LIKE facematch.rights_event), and load the copy into it.';
	END IF;
	PERFORM facematch_internal.redacted('');	-- loads the library, which has the settings
	PERFORM set_config('facematch.rights_carried_out', '{}', true),
		set_config('facematch.rights_early', '[]', true), set_config('facematch.right_arrives', 'on', true);
	-- As the owner of the copy: nothing of his table runs with the caller's privileges.
	INSERT INTO facematch.rights_event
	SELECT a.* FROM facematch_internal.ask_table(copy,
		'SELECT e.site, e.number, e.at, e.actor, e.what, e.before, e.after FROM @table e', limited => false)
		a (site uuid, number bigint, at timestamptz, actor text, what text, before jsonb, after jsonb)
	ORDER BY a.at, a.site, a.number;
	PERFORM set_config('facematch.right_arrives', 'off', true);
	FOR event IN
		SELECT e.* FROM facematch.rights_event e
		JOIN jsonb_each_text(current_setting('facematch.rights_carried_out')::jsonb) c
			ON c.key::uuid = e.site AND c.value::bigint < e.number
		ORDER BY e.at, e.site, e.number
	LOOP
		done := facematch_internal.apply_right(event);
		site := event.site; number := event.number; at := event.at; what := event.what;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION facematch.replay_rights(regclass) IS
	'after a restore: carries out the events of a copy of facematch.rights_event (a table with its columns) that '
	'are not here, in their order, and returns a row for each, with what was done; a second call returns none. An '
	'opt-out whose gallery was lost applies to every gallery until that one would have been deleted. A missing '
	'event: 55000; a different event with the same number here: 23505; a change of a row that differs here: 23000. '
	'For superusers';
