-- seal_own_table(): from then on a trigger seals the templates that are written into a table of a test's own, each with
-- one of three keys, as if they had been copied from sealed galleries.  SEALED=1 script/test has index tests call it.
CREATE SEQUENCE own_row;
CREATE FUNCTION seal_own_table(own regclass, template name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO facematch.model (name, tag, dims) VALUES ('own tables', 32000, 2) ON CONFLICT DO NOTHING;
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, sealed)
		SELECT 'own tables ' || n, 'watchlist', 'own tables', 0.5, true FROM generate_series(0, 2) n
		ON CONFLICT DO NOTHING;
	EXECUTE format('ALTER TABLE %s ADD gallery_id bigint DEFAULT %s + nextval(''own_row'') %% 3,'
		' ADD retention_class text DEFAULT %L, ADD purge_after timestamptz', own,
		(SELECT gallery_id FROM facematch.gallery WHERE name = 'own tables 0'), 'noncitizen');
	EXECUTE format('CREATE TRIGGER seal BEFORE INSERT OR UPDATE ON %s FOR EACH ROW'
		' EXECUTE FUNCTION facematch_internal.seal_template(%L)', own, template);
END
$$;
