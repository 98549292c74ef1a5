/*
 * Exemptions: who is matched by nobody, by law, and so is never enrolled.
 */

---------------------------------------------------------------- exemptions

CREATE TABLE facematch.exemption (
	name		text NOT NULL CONSTRAINT exemption_name_is_a_name CHECK (facematch_internal.is_name(name)),
	description	text NOT NULL,
	citation	text NOT NULL CONSTRAINT exemption_is_cited CHECK (citation <> ''),
	valid_from	timestamptz NOT NULL DEFAULT now(),
	valid_to	timestamptz NOT NULL DEFAULT 'infinity',
	shipped		boolean NOT NULL DEFAULT false,
	CONSTRAINT exemption_pkey PRIMARY KEY (name),
	CONSTRAINT exemption_validity CHECK (valid_from < valid_to)
);
COMMENT ON TABLE facematch.exemption IS 'grounds on which the law exempts a person from being photographed, with the '
	'dates it was the law';
COMMENT ON COLUMN facematch.exemption.name IS 'the ground';
COMMENT ON COLUMN facematch.exemption.description IS 'who is exempt';
COMMENT ON COLUMN facematch.exemption.citation IS 'the law';
COMMENT ON COLUMN facematch.exemption.valid_from IS 'from when it is the law';
COMMENT ON COLUMN facematch.exemption.valid_to IS 'until when it was the law';
COMMENT ON COLUMN facematch.exemption.shipped IS 'true for the rows that come with the extension, which a dump leaves '
	'to it';

INSERT INTO facematch.exemption (name, description, citation, valid_from, valid_to, shipped) VALUES
	('age', 'under 14 or over 79 on the date of departure', '8 CFR 215.8(a)(2), before 90 FR 48604', '-infinity',
		'2025-12-26 00:00:00+00', true),
	('diplomat', 'visas A-1, A-2, C-3 (not servants), G-1 to G-4, NATO-1 to NATO-6, certain Taiwan E-1',
		'8 CFR 215.8(a)(2), before 90 FR 48604', '-infinity', '2025-12-26 00:00:00+00', true),
	('canadian', 'visa-exempt citizens of Canada', '8 CFR 215.8(a)(2), before 90 FR 48604', '-infinity',
		'2025-12-26 00:00:00+00', true);

CREATE TABLE facematch.exempt_subject (
	subject_id	uuid NOT NULL,
	exemption	text NOT NULL,
	noted_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	until		timestamptz NOT NULL DEFAULT 'infinity',
	CONSTRAINT exempt_subject_pkey PRIMARY KEY (subject_id, exemption),
	CONSTRAINT exempt_subject_exemption_exists FOREIGN KEY (exemption) REFERENCES facematch.exemption ON UPDATE RESTRICT
);
COMMENT ON TABLE facematch.exempt_subject IS 'who is exempt, and on what ground; holds while the ground is the law';
COMMENT ON COLUMN facematch.exempt_subject.subject_id IS 'pseudonym of the person';
COMMENT ON COLUMN facematch.exempt_subject.exemption IS 'the ground, a row of facematch.exemption';
COMMENT ON COLUMN facematch.exempt_subject.noted_at IS 'when it was noted';
COMMENT ON COLUMN facematch.exempt_subject.until IS 'until when the ground holds for the person';
SELECT pg_catalog.pg_extension_config_dump('facematch.exemption', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('facematch.exempt_subject', '');

CREATE FUNCTION facematch.is_exempt(subject_id uuid) RETURNS boolean
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM facematch.exempt_subject s JOIN facematch.exemption e ON e.name = s.exemption
				   WHERE s.subject_id = ANY (facematch_internal.aliases($1)) AND s.until > clock_timestamp()
					 AND e.valid_from <= clock_timestamp() AND clock_timestamp() < e.valid_to)
$$;
COMMENT ON FUNCTION facematch.is_exempt(uuid) IS 'whether the law exempts a subject from being photographed today';
SELECT facematch_internal.keep_as_record('facematch.exemption', changes => true,
	log => '{exemption,name,"name,valid_from,valid_to,shipped","added,changed,deleted"}');
SELECT facematch_internal.keep_as_record('facematch.exempt_subject', changes => true,
	log => '{exempt_subject,"subject_id,exemption","subject_id,exemption,noted_at,until","noted,changed,deleted"}');
