/*
 * Models, galleries and references: the plain tables that everything is about.
 *
 * That a reference is a template of its gallery's model is declared, not
 * programmed: the tag and dimensions of the template are generated columns, and
 * a foreign key demands that they are the gallery's, whose own foreign key
 * demands that they are the model's.  So it holds for COPY, for concurrent
 * sessions at every isolation level, and after a restore; and a model or a
 * gallery cannot be turned into another one under its references.  Of that key,
 * PostgreSQL's own triggers guard the gallery's side; for the reference that
 * comes in, the guard looks, once a gallery and transaction (sql/retention/guard.sql).
 */

---------------------------------------------------------------- models

CREATE TABLE facematch.model (
	name		text NOT NULL CONSTRAINT model_name_is_a_name CHECK (facematch_internal.is_name(name)),
	tag			smallint NOT NULL CONSTRAINT model_tag_range CHECK (tag >= 1),
	dims		smallint NOT NULL CONSTRAINT model_dims_range CHECK (dims BETWEEN 1 AND 3584),
	created_at	timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT model_pkey PRIMARY KEY (name),
	CONSTRAINT model_tag_key UNIQUE (tag),
	CONSTRAINT model_name_tag_dims_key UNIQUE (name, tag, dims)
);
COMMENT ON TABLE facematch.model IS 'face recognition algorithms, one row for each version; templates of different '
	'versions cannot be compared';
COMMENT ON COLUMN facematch.model.name IS 'name and version of the algorithm';
COMMENT ON COLUMN facematch.model.tag IS 'the number that templates of this model carry, 1 to 32767; cannot change '
	'while a gallery with references uses the model';
COMMENT ON COLUMN facematch.model.dims IS 'number of components of a template, 1 to 3584; cannot change while a '
	'gallery with references uses the model';
COMMENT ON COLUMN facematch.model.created_at IS 'when the row was made';

---------------------------------------------------------------- galleries

CREATE TABLE facematch.gallery_kind (
	name		text NOT NULL CONSTRAINT gallery_kind_name_is_a_name CHECK (facematch_internal.is_name(name)),
	description	text NOT NULL,
	shipped		boolean NOT NULL DEFAULT false,
	CONSTRAINT gallery_kind_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE facematch.gallery_kind IS 'what a gallery can be for; a site adds its own rows';
COMMENT ON COLUMN facematch.gallery_kind.name IS 'the word that gallery.kind uses';
COMMENT ON COLUMN facematch.gallery_kind.description IS 'what such a gallery holds and when it is searched';
COMMENT ON COLUMN facematch.gallery_kind.shipped IS 'true for the rows that come with the extension, which a dump '
	'leaves to it';

INSERT INTO facematch.gallery_kind (name, description, shipped) VALUES
	('flight', 'the travelers on a flight''s manifest, searched at boarding or arrival', true),
	('cruise', 'the travelers on a ship''s manifest, searched at debarkation', true),
	('crossing', 'the frequent crossers of a land port', true),
	('watchlist', 'subjects of interest, searched beside the travelers', true),
	('enrolment', 'people enrolled once and searched over a long time', true);

CREATE TABLE facematch.gallery (
	gallery_id		bigint GENERATED ALWAYS AS IDENTITY,
	name			text NOT NULL CONSTRAINT gallery_name_is_a_name CHECK (facematch_internal.is_name(name)),
	kind			text NOT NULL,
	model			text NOT NULL,
	model_tag		smallint NOT NULL,
	dims			smallint NOT NULL,
	min_similarity	double precision CONSTRAINT gallery_min_similarity_range CHECK (min_similarity BETWEEN -1 AND 1),
	anchor_at		timestamptz CONSTRAINT gallery_anchor_is_finite CHECK (isfinite(anchor_at)),
	created_at		timestamptz NOT NULL DEFAULT now(),
	retention_class	text NOT NULL DEFAULT 'gallery',
	retention_rule	text NOT NULL,
	closed_at		timestamptz,
	purge_after		timestamptz NOT NULL,
	target_fpir		double precision CONSTRAINT gallery_target_fpir_range CHECK (target_fpir > 0 AND target_fpir < 1),
	purpose_required	boolean NOT NULL DEFAULT false,
	sealed			boolean NOT NULL DEFAULT facematch_internal.keys_are_possible(),
	min_quality		smallint CONSTRAINT gallery_min_quality_range CHECK (min_quality BETWEEN 0 AND 100),
	CONSTRAINT gallery_has_a_threshold CHECK (num_nonnulls(min_similarity, target_fpir) >= 1),
	CONSTRAINT gallery_retention_class_exists FOREIGN KEY (retention_class)
		REFERENCES facematch.retention_class ON UPDATE RESTRICT,
	-- Because of this key, a dump loads the rules before galleries and references.
	CONSTRAINT gallery_retention_rule_exists FOREIGN KEY (retention_rule)
		REFERENCES facematch.retention_rule ON UPDATE RESTRICT,
	CONSTRAINT gallery_pkey PRIMARY KEY (gallery_id),
	CONSTRAINT gallery_name_key UNIQUE (name),
	CONSTRAINT gallery_model_key UNIQUE (gallery_id, model_tag, dims),
	CONSTRAINT gallery_kind_exists FOREIGN KEY (kind) REFERENCES facematch.gallery_kind ON UPDATE CASCADE,
	CONSTRAINT gallery_model_exists FOREIGN KEY (model, model_tag, dims)
		REFERENCES facematch.model (name, tag, dims) ON UPDATE CASCADE
);
COMMENT ON TABLE facematch.gallery IS 'sets of references to search: the travelers of a flight, a watchlist';
COMMENT ON COLUMN facematch.gallery.gallery_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.gallery.name IS 'name, unique: by it a search names its gallery';
COMMENT ON COLUMN facematch.gallery.kind IS 'what the gallery is for, a row of facematch.gallery_kind';
COMMENT ON COLUMN facematch.gallery.model IS 'the model of all its templates, a row of facematch.model; cannot become '
	'another model while the gallery has references';
COMMENT ON COLUMN facematch.gallery.model_tag IS 'tag of the model, filled in from facematch.model';
COMMENT ON COLUMN facematch.gallery.dims IS 'dimensions of the model, filled in from facematch.model';
COMMENT ON COLUMN facematch.gallery.anchor_at IS 'the event that retention counts from, such as the departure; NULL '
	'if there is none';
COMMENT ON COLUMN facematch.gallery.created_at IS 'when the row was made';
COMMENT ON COLUMN facematch.gallery.retention_class IS 'the class whose rules for galleries apply';
COMMENT ON COLUMN facematch.gallery.retention_rule IS 'the rule that gives the deadline, filled in';
COMMENT ON COLUMN facematch.gallery.closed_at IS 'when facematch.close_gallery() ended staging; NULL while it is open';
COMMENT ON COLUMN facematch.gallery.purge_after IS 'from this moment on none of its references is a candidate, and '
	'the next purge deletes it; infinity if no deadline applies. Computed from the retention rules';
COMMENT ON COLUMN facematch.gallery.purpose_required IS
	'whether each search has to say what it is for; record_encounter() says encounter by itself; a blank purpose is none';
COMMENT ON COLUMN facematch.gallery.sealed IS
	'whether its templates are stored sealed, from their next writing on; by default where facematch.key_directory or'
	' facematch.key_command is set. facematch.rotate_keys() seals those that are there';
COMMENT ON COLUMN facematch.gallery.min_quality IS
	'the least quality, 0 to 100, of a photograph: a reference that is below it or was not assessed is refused, and a '
	'probe below it is not compared but referred; NULL: any will do';
COMMENT ON COLUMN facematch.gallery.target_fpir IS
	'the false positive identification rate that a search shall have, such as 0.001: the threshold follows from it, '
	'the model''s calibration and the number of references, as they are when a client''s statement searches; NULL: '
	'min_similarity is the threshold';
COMMENT ON COLUMN facematch.gallery.min_similarity IS
	'threshold: the least cosine similarity of a candidate, -1 to 1; choose it for a false match rate of the model in '
	'use. With target_fpir: the threshold is never below it; NULL: no such floor';
CREATE INDEX gallery_model_idx ON facematch.gallery (model);

CREATE FUNCTION facematch_internal.fill_gallery_model() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT m.tag, m.dims INTO NEW.model_tag, NEW.dims FROM facematch.model m WHERE m.name = NEW.model;
	IF NOT FOUND THEN
		RAISE foreign_key_violation USING CONSTRAINT = 'gallery_model_exists',
			MESSAGE = format('gallery %L names model %L, which is not there', NEW.name, NEW.model),
			HINT = 'Add the model to facematch.model, with its tag and dimensions, before its first gallery.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION facematch_internal.fill_gallery_model() IS 'trigger: a gallery''s model tag and dimensions are '
	'its model''s';

-- Only what a user may set: a new tag or new dimensions come from the model itself, by its foreign key.
CREATE TRIGGER gallery_10_model BEFORE INSERT OR UPDATE OF model ON facematch.gallery
	FOR EACH ROW EXECUTE FUNCTION facematch_internal.fill_gallery_model();
COMMENT ON TRIGGER gallery_10_model ON facematch.gallery IS 'fills in model_tag and dims';

---------------------------------------------------------------- references

-- If a row breaks a constraint, PostgreSQL prints the row, and here that would print a template.  So the guard
-- checks first (sql/retention/guard.sql), and reports the error without the template; the constraint is for rows that
-- bypass triggers.
CREATE FUNCTION facematch_internal.reference_fault(gallery_id bigint, subject_id uuid, retention_class text,
	embedding @extschema@.face_embedding,
										  source text, quality smallint, enrolled_at timestamptz) RETURNS text
	LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'facematch_reference_fault';
COMMENT ON FUNCTION facematch_internal.reference_fault(bigint, uuid, text, @extschema@.face_embedding, text, smallint,
	timestamptz) IS
	'what makes a row of facematch.reference impossible; NULL if nothing does';

CREATE TABLE facematch.reference (
	reference_id	bigint GENERATED ALWAYS AS IDENTITY,
	gallery_id		bigint NOT NULL,
	subject_id		uuid NOT NULL,
	retention_class	text NOT NULL,
	embedding		@extschema@.face_embedding NOT NULL,
	model_tag		smallint NOT NULL GENERATED ALWAYS AS (@extschema@.face_model(embedding)) STORED,
	dims			smallint NOT NULL GENERATED ALWAYS AS (@extschema@.face_dims(embedding)) STORED,
	source			text NOT NULL,
	quality			smallint,
	enrolled_at		timestamptz NOT NULL DEFAULT now(),
	purge_after		timestamptz NOT NULL,
	CONSTRAINT reference_pkey PRIMARY KEY (reference_id),
	CONSTRAINT reference_is_whole CHECK
		(facematch_internal.reference_fault(gallery_id, subject_id, retention_class, embedding, source, quality,
			enrolled_at) IS NULL),
	CONSTRAINT reference_is_of_its_gallerys_model FOREIGN KEY (gallery_id, model_tag, dims)
		REFERENCES facematch.gallery (gallery_id, model_tag, dims) ON DELETE CASCADE
);
COMMENT ON TABLE facematch.reference IS 'enrolled templates, each in one gallery; a person may have several. Deleting '
	'a gallery deletes its references';
COMMENT ON COLUMN facematch.reference.reference_id IS 'identifier, given by the database';
COMMENT ON COLUMN facematch.reference.gallery_id IS 'the gallery it is searched in';
COMMENT ON COLUMN facematch.reference.subject_id IS 'pseudonym of the person, from facematch.subject_id()';
COMMENT ON COLUMN facematch.reference.retention_class IS 'the class of persons whose retention rules apply, such as '
	'us_citizen';
COMMENT ON COLUMN facematch.reference.embedding IS 'the template: of the gallery''s model, which an untagged one is '
	'stamped with';
COMMENT ON COLUMN facematch.reference.model_tag IS 'model tag of the template, computed';
COMMENT ON COLUMN facematch.reference.dims IS 'dimensions of the template, computed';
-- Statistics would keep texts of rows that are gone.
ALTER TABLE facematch.reference ALTER COLUMN source SET STATISTICS 0;
COMMENT ON COLUMN facematch.reference.source IS 'where the photograph came from: passport, visa, an earlier encounter '
	'or another; up to 1,000 characters, nothing that looks like a template or an image';
COMMENT ON COLUMN facematch.reference.quality IS
	'quality of the photograph, 0 to 100, such as the unified score or a component score of ISO/IEC 29794-5, '
	'whichever the site has; NULL if it was not assessed';
COMMENT ON COLUMN facematch.reference.enrolled_at IS 'when the template was enrolled';
COMMENT ON COLUMN facematch.reference.purge_after IS 'from this time on the reference is not a candidate, whether or '
	'not it has been purged; infinity if no deadline applies. Computed from the retention rules; it can be brought '
	'earlier, never later';

CREATE INDEX reference_gallery_id_idx ON facematch.reference (gallery_id);
CREATE INDEX reference_subject_id_idx ON facematch.reference (subject_id);
-- What a search reads.  It begins empty, and learns its centre when the templates are there (src/index/learn.c).
CREATE INDEX facematch_reference_face_idx ON facematch.reference USING facematch (gallery_id, embedding);
-- What will be due, in the order of a purge.
CREATE INDEX reference_purge_after_idx ON facematch.reference (purge_after) WHERE purge_after < 'infinity';

---------------------------------------------------------------- dumps

-- Rows are the users', not the extension's: pg_dump carries them, and the identities go on from where they were.
SELECT pg_catalog.pg_extension_config_dump('facematch.model', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.gallery_kind', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('facematch.gallery', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.gallery_gallery_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.reference', '');
SELECT pg_catalog.pg_extension_config_dump('facematch.reference_reference_id_seq', '');

---------------------------------------------------------------- galleries

CREATE INDEX gallery_retention_class_idx ON facematch.gallery (retention_class);
CREATE INDEX gallery_retention_rule_idx ON facematch.gallery (retention_rule);
CREATE INDEX gallery_purge_after_idx ON facematch.gallery (purge_after) WHERE purge_after < 'infinity';
SELECT facematch_internal.keep_as_record('facematch.reference', changes => true);
-- By its name a gallery is in disclosures and statistics.
SELECT facematch_internal.keep_as_record('facematch.gallery', changes => true, remarks => '{name}');
SELECT facematch_internal.keep_as_record('facematch.gallery_kind', changes => true);
SELECT facematch_internal.keep_as_record('facematch.model', changes => true,
	log => '{model,name,"name,tag,dims","added,changed,deleted"}');

-- Due means gone for everyone but the owner, who purges.
ALTER TABLE facematch.reference ENABLE ROW LEVEL SECURITY;
CREATE POLICY facematch_open ON facematch.reference USING (true) WITH CHECK (true);
CREATE POLICY facematch_due ON facematch.reference AS RESTRICTIVE FOR ALL
	USING (purge_after > clock_timestamp()) WITH CHECK (true);
COMMENT ON POLICY facematch_open ON facematch.reference IS 'what is granted may be used';
COMMENT ON POLICY facematch_due ON facematch.reference IS 'except rows that are due';
-- Galleries come and go by the thousand, and their receipts say so: the log has what changes who matches in one.
CREATE TRIGGER gallery_50_log AFTER UPDATE ON facematch.gallery
	FOR EACH ROW WHEN (OLD.closed_at IS DISTINCT FROM NEW.closed_at OR OLD.kind <> NEW.kind OR OLD.model <> NEW.model
		OR OLD.min_similarity IS DISTINCT FROM NEW.min_similarity OR OLD.target_fpir IS DISTINCT FROM NEW.target_fpir
		OR OLD.min_quality IS DISTINCT FROM NEW.min_quality OR OLD.purpose_required <> NEW.purpose_required
		OR OLD.sealed <> NEW.sealed)
	EXECUTE FUNCTION facematch_internal.log_row('gallery', 'gallery_id',
		'closed_at,kind,model,min_similarity,target_fpir,min_quality,purpose_required,sealed', 'added,changed,deleted');
