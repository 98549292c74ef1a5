/*
 * Who may decline to be photographed: dated rows of law, class by class and
 * purpose by purpose, as retention rules are.
 *
 * An opt-out is judged for each template that it is about: by the template's
 * class, by what the template is for, and by the law of the later of two dates,
 * when the person gave notice and when the template was recorded.
 */

CREATE TABLE facematch.decline_rule (
	name			text NOT NULL CONSTRAINT decline_rule_name_is_a_name CHECK (facematch_internal.is_name(name)),
	retention_class	text NOT NULL,
	purpose			text CONSTRAINT decline_rule_purpose_is_a_name CHECK (facematch_internal.is_name(purpose)),
	may_decline		boolean NOT NULL,
	notice_required	boolean NOT NULL DEFAULT false,
	alternative		text CONSTRAINT decline_rule_alternative_is_said CHECK (alternative <> ''),
	citation		text NOT NULL CONSTRAINT decline_rule_is_cited CHECK (citation <> ''),
	valid_from		timestamptz NOT NULL DEFAULT now(),
	valid_to		timestamptz NOT NULL DEFAULT 'infinity',
	shipped			boolean NOT NULL DEFAULT false,
	CONSTRAINT decline_rule_pkey PRIMARY KEY (name),
	CONSTRAINT decline_rule_class_exists FOREIGN KEY (retention_class)
		REFERENCES facematch.retention_class ON UPDATE RESTRICT,
	CONSTRAINT decline_rule_names_the_alternative CHECK (may_decline = (alternative IS NOT NULL)
		AND (may_decline OR NOT notice_required)),
	CONSTRAINT decline_rule_validity CHECK (valid_from < valid_to)
);
COMMENT ON TABLE facematch.decline_rule IS
	'who may decline to be photographed, by class, purpose and date. A site''s rule goes before the shipped ones, '
	'one for a purpose before one for all, then the one that came into force last. Once in force, a rule can only '
	'be ended';
COMMENT ON COLUMN facematch.decline_rule.name IS 'name of the rule; the shipped ones begin with their authority';
COMMENT ON COLUMN facematch.decline_rule.retention_class IS 'the class it applies to, a row of '
	'facematch.retention_class';
COMMENT ON COLUMN facematch.decline_rule.purpose IS
	'what the photograph is for: a kind of gallery, or the word that facematch.retain() was given; NULL: all purposes';
COMMENT ON COLUMN facematch.decline_rule.may_decline IS 'whether the person may decline';
COMMENT ON COLUMN facematch.decline_rule.notice_required IS
	'whether the person has to say so in advance: facematch.report_opt_out counts who did so only at the gate';
COMMENT ON COLUMN facematch.decline_rule.alternative IS 'what is done instead of a photograph; NULL where nobody may '
	'decline';
COMMENT ON COLUMN facematch.decline_rule.citation IS 'the law or notice that says so';
COMMENT ON COLUMN facematch.decline_rule.valid_from IS 'from when it is in force';
COMMENT ON COLUMN facematch.decline_rule.valid_to IS 'until when it is in force';
COMMENT ON COLUMN facematch.decline_rule.shipped IS 'true for the rows that come with the extension, which a dump '
	'leaves to it';
CREATE INDEX decline_rule_class_idx ON facematch.decline_rule (retention_class);

INSERT INTO facematch.decline_rule (name, retention_class, purpose, may_decline, notice_required, alternative,
	citation, valid_from, valid_to, shipped) VALUES
	('cbp/us_citizen', 'us_citizen', NULL, true, true, 'manual document inspection',
	 'CBP Biometrics Privacy Policy (cbp.gov/travel/biometrics/privacy-policy): U.S. citizens may opt out, say so in '
	 'advance and show the passport; DHS/CBP/PIA-056',
	 '-infinity', 'infinity', true),
	('dhs/us_citizen/watchlist', 'us_citizen', 'watchlist', false, false, NULL,
	 'DHS Directive 026-11: citizens may opt out of uses that are not law enforcement. To be confirmed: the directive '
	 'was reported removed from dhs.gov in 2025, and no rescission was found',
	 '-infinity', 'infinity', true),
	('cbp/exempt_alien', 'exempt_alien', NULL, true, false, 'manual document inspection',
	 '8 CFR 215.8(a)(2), before 90 FR 48604: under 14 or over 79 on the date of departure; visas A-1, A-2, C-3 (not '
	 'servants), G-1 to G-4, NATO-1 to NATO-6, certain Taiwan E-1; visa-exempt Canadians',
	 '-infinity', '2025-12-26 00:00:00+00', true),
	('cbp/exempt_alien/2025', 'exempt_alien', NULL, false, false, NULL,
	 '90 FR 48604, in force since 26 December 2025: every alien may be photographed. To be confirmed for Canadians '
	 'and diplomats: summaries conflict, and the amended text of 8 CFR 215.8 was not seen',
	 '2025-12-26 00:00:00+00', 'infinity', true),
	('cbp/noncitizen', 'noncitizen', NULL, true, false, 'manual document inspection',
	 '8 CFR 215.8(a), before 90 FR 48604: photographs at departure were required of in-scope aliens in pilot '
	 'programmes only. To be confirmed: what a port in a pilot programme allowed',
	 '-infinity', '2025-12-26 00:00:00+00', true),
	('cbp/noncitizen/2025', 'noncitizen', NULL, false, false, NULL,
	 '90 FR 48604, in force since 26 December 2025: all aliens may be photographed at entry and departure, at any port',
	 '2025-12-26 00:00:00+00', 'infinity', true),
	('dhs/watchlist', 'watchlist', 'watchlist', false, false, NULL,
	 'No published rule gives a subject of interest a choice. To be confirmed: a site names its own authority',
	     '-infinity', 'infinity', true);
SELECT pg_catalog.pg_extension_config_dump('facematch.decline_rule', 'WHERE NOT shipped');

CREATE TRIGGER decline_rule_10_check BEFORE INSERT OR UPDATE OR DELETE ON facematch.decline_rule
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.check_rule();
ALTER TABLE facematch.decline_rule ENABLE ALWAYS TRIGGER decline_rule_10_check;
SELECT facematch_internal.keep_as_record('facematch.decline_rule', changes => true, log => ARRAY['decline_rule',
	'name',
	'retention_class,purpose,may_decline,notice_required,valid_from,valid_to', 'added,changed,deleted']);
CREATE CONSTRAINT TRIGGER decline_rule_60_rights AFTER INSERT OR UPDATE OR DELETE ON facematch.decline_rule
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
	EXECUTE FUNCTION facematch_internal.write_right('decline_rule', 'name', '', 'd.name = n.name', '');

CREATE FUNCTION facematch.may_decline(retention_class text, purpose text DEFAULT NULL,
	at timestamptz DEFAULT clock_timestamp())
	RETURNS facematch.decline_rule
	-- PL/pgSQL keeps its plan: an opt-out asks dozens of times.
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	law facematch.decline_rule;
BEGIN
	SELECT r.* INTO law FROM facematch.decline_rule r
	WHERE r.retention_class = $1 AND (r.purpose IS NULL OR r.purpose = $2) AND r.valid_from <= $3 AND $3 < r.valid_to
	ORDER BY r.shipped, r.purpose IS NULL, r.valid_from DESC, r.name LIMIT 1;
	RETURN law;
END
$$;
COMMENT ON FUNCTION facematch.may_decline(text, text, timestamptz) IS
	'the rule of facematch.decline_rule that says whether a class may decline, for a purpose (NULL: only rules for '
	'all purposes), at a time; NULL: there is no such rule';
