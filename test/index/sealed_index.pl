# Sealed templates in the index: its searches give what they give of plain ones, its files and its WAL hold no code that
# can be read, and of templates whose key is gone it makes what a sequential scan makes of them.
use strict;
use warnings;

use Bytes;
use Checksums;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $keys = PostgreSQL::Test::Utils::tempdir();
chmod 0700, $keys or die $!;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => without_checksums($node));
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off\nshared_preload_libraries = facematch
facematch.key_directory = '$keys'\nmaintenance_work_mem = '2MB'\nmax_parallel_maintenance_workers = 2\nmin_parallel_table_scan_size = 0");
$node->start;

# Two models, one with second bits and one without, in galleries with a key each.  sealed() takes over values that the
# extension's own tables have sealed.
$node->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	CREATE FUNCTION face(seed int, model int) RETURNS face_embedding LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
		SELECT face_with_model(array_agg(sin(seed * 12.9898 + i * 78.233 + seed * i * 0.37) + 0.3 ORDER BY i)::real[]::face_embedding, model)
		FROM generate_series(1, CASE model WHEN 1 THEN 384 ELSE 96 END) i $$;
	CREATE TABLE plain (id int PRIMARY KEY, g int NOT NULL, e face_embedding);
	CREATE TABLE sealed (LIKE plain INCLUDING ALL) WITH (parallel_workers = 2);
	INSERT INTO facematch.model (name, tag, dims) VALUES ('long', 1, 384), ('short', 2, 96);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, sealed)
		SELECT format('%s %s', kind, g), 'flight', CASE WHEN g < 3 THEN 'long' ELSE 'short' END, 0.2, kind = 'sealed'
		FROM generate_series(0, 5) g, unnest(ARRAY['plain', 'sealed']) kind;
	CREATE PROCEDURE add(first int, last int) LANGUAGE sql AS $$
		INSERT INTO plain SELECT i, i % 6, face(i, 1 + i % 6 / 3) FROM generate_series(first, last) i;
		INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
			SELECT x.gallery_id, md5(p.id::text)::uuid, 'noncitizen', p.e, 'document'
			FROM plain p JOIN facematch.gallery x ON x.name IN ('sealed ' || p.g, 'plain ' || p.g) WHERE p.id BETWEEN first AND last;
		INSERT INTO sealed SELECT p.id, p.g, r.embedding
			FROM plain p JOIN facematch.gallery x ON x.name = 'sealed ' || p.g
			JOIN facematch.reference r ON r.gallery_id = x.gallery_id AND r.subject_id = md5(p.id::text)::uuid
			WHERE p.id BETWEEN first AND last;
	$$;
	CALL add(1, 2400);
	INSERT INTO plain SELECT i, 0, NULL FROM generate_series(3001, 3020) i;
	INSERT INTO sealed SELECT * FROM plain WHERE e IS NULL;
	CREATE INDEX plain_face ON plain USING facematch (g, e);
	CREATE INDEX sealed_face ON sealed USING facematch (g, e);

	-- The rows and distances of a query by the index of each table and by a sequential scan: how many, or that they differ.
	CREATE FUNCTION compared(rest text, first_table text DEFAULT 'plain') RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		query text := 'SELECT array_agg(s), count(*) FROM (SELECT CASE WHEN e <=> probe IS NOT NULL THEN id END, e <=> probe AS d FROM %s ' || rest || ') s';
		answers text[];
		counts bigint[];
		answer text;
		n bigint;
		source text;
		by_index boolean;
	BEGIN
		query := replace(query, 'probe', 'face(77, 1)');
		FOR source, by_index IN VALUES (first_table, true), ('sealed', true), ('sealed', false) LOOP
			PERFORM set_config('enable_seqscan', (NOT by_index)::text, true), set_config('enable_sort', (NOT by_index)::text, true),
				set_config('enable_indexscan', by_index::text, true), set_config('enable_bitmapscan', by_index::text, true);
			EXECUTE format(query, source) INTO answer, n;
			answers := answers || answer;
			counts := counts || n;
		END LOOP;
		RETURN CASE WHEN answers[1] IS NOT DISTINCT FROM answers[3] AND answers[2] IS NOT DISTINCT FROM answers[3]
			THEN counts[3]::text ELSE format('%s, %s and %s rows differ', counts[1], counts[2], counts[3]) END;
	END $$;});

my @queries = (
	'WHERE g < 3 ORDER BY e <=> probe LIMIT 10', 'WHERE g = 2 ORDER BY e <=> probe', 'WHERE g = 2 ORDER BY e <-> probe LIMIT 7',
	'WHERE g = ANY (\'{0,1}\') ORDER BY e <#> probe LIMIT 100', 'WHERE g = 0 ORDER BY e <=> probe',
	'WHERE g = 2 AND face_match(e, probe, 0.2) ORDER BY e <=> probe', 'WHERE g = 1 AND e <=> probe < 0.9 ORDER BY e <=> probe',
	'WHERE g = 2 AND face_match(e, probe, 0.1) AND face_match(e, face(5, 1), 0.1) ORDER BY e <=> probe',
	'WHERE g = ANY (\'{1,2}\') AND face_match(e, probe, 0.3) AND id > 0 ORDER BY id');

sub same_answers
{
	my ($what, $table) = @_;

	for my $query (@queries)
	{
		my $found = $node->safe_psql('postgres', 'SELECT compared($$' . $query . '$$' . ($table ? ", '$table'" : '') . ')');
		like($found, qr/^[1-9]\d*$/, "$what: $query");
	}
	$node->safe_psql('postgres', "SELECT facematch.index_check('$_', true)") for qw(plain_face sealed_face facematch.facematch_reference_face_idx);
	return;
}

same_answers('built');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT facematch_internal.sealed_by(e)) FROM sealed}), '6', 'each gallery has a key');
is($node->safe_psql('postgres', q{SELECT lists FROM facematch.index_stats('sealed_face')}), '7', 'and a list of its own, as null embeddings have');
is($node->safe_psql('postgres', q{SELECT count(*), count(rotation_seed), count(centre_length) FROM facematch_internal.index_epochs('sealed_face') WHERE dims > 0}),
	'2|0|0', 'the seeds of sealed epochs are told to nobody');

# identify() and identify_many(), which reads each page once for several probes.
is($node->safe_psql('postgres', q{
	SET enable_seqscan = off;
	WITH probe AS (SELECT array_agg(face(i, 1)) AS e FROM generate_series(3, 300, 6) i),
	found AS (SELECT kind, n, array_agg((i.probe, i.rank, i.subject_id, i.similarity)::text ORDER BY i.probe, i.rank) AS candidates
		FROM probe, unnest(ARRAY['plain', 'sealed']) kind, generate_series(0, 2) n, facematch.identify_many(e, kind || ' ' || n) i GROUP BY 1, 2),
	one AS (SELECT kind, n, array_agg((p.i, i.rank, i.subject_id, i.similarity)::text ORDER BY p.i, i.rank) AS candidates
		FROM probe, unnest(e) WITH ORDINALITY p (e, i), unnest(ARRAY['plain', 'sealed']) kind, generate_series(0, 2) n,
			facematch.identify(p.e, kind || ' ' || n) i GROUP BY 1, 2)
	SELECT count(*), min(cardinality(s.candidates)) > 50, bool_and(s.candidates = p.candidates AND s.candidates = o.candidates)
	FROM found s JOIN found p USING (n) JOIN one o USING (n) WHERE s.kind = 'sealed' AND p.kind = 'plain' AND o.kind = 'sealed'}),
	'3|t|t', 'identify() and identify_many() find the same candidates in sealed galleries');

# Rows go and come, one by one and by a build of several processes that spills.
$node->safe_psql('postgres', 'DELETE FROM plain WHERE id % 7 < 3; DELETE FROM sealed WHERE id % 7 < 3');
$node->safe_psql('postgres', "VACUUM $_") for qw(plain sealed);
same_answers('vacuumed');
$node->safe_psql('postgres', 'CALL add(4001, 5500)');
same_answers('refilled');
is($node->safe_psql('postgres', q{SELECT max(s.free_slots) - min(s.free_slots) < 700 FROM (VALUES ('plain_face'), ('sealed_face')) i (n), facematch.index_stats(n::regclass) s}),
	't', 'free slots are taken again');
$node->safe_psql('postgres', 'REINDEX INDEX sealed_face');
same_answers('rebuilt');
$node->stop('immediate');
$node->start;
same_answers('after a crash');

# Several processes for one search, each with the keys that it asks for.
{
	my $set = 'SET enable_seqscan = off; SET enable_sort = off; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_index_scan_size = 0;';
	my $nearest = 'SELECT e <=> (SELECT face(77, 1)) AS d FROM %s WHERE g = ANY (ARRAY[0, 1, 2]) ORDER BY e <=> (SELECT face(77, 1)) LIMIT 10';

	like($node->safe_psql('postgres', "$set EXPLAIN (COSTS off) " . sprintf($nearest, 'sealed')), qr/Gather.*Parallel Index Scan using sealed_face/s, 'a search is planned for several processes');
	is($node->safe_psql('postgres', $set . sprintf($nearest, 'sealed')), $node->safe_psql('postgres', 'SET max_parallel_workers_per_gather = 0; ' . sprintf($nearest, 'plain')),
		'which find the same');
}

sub file_of
{
	my ($name) = @_;

	return slurp_bytes($node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('$name')"));
}

$node->safe_psql('postgres', q{
	CREATE TABLE alike (kind text, id int, e face_embedding);
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT gallery_id, md5('alike ' || i)::uuid, 'noncitizen', face(-1, 1), 'document'
		FROM facematch.gallery, generate_series(1, 160) i WHERE name IN ('plain 0', 'sealed 0');
	INSERT INTO alike SELECT left(name, 5), row_number() OVER (PARTITION BY name), embedding
		FROM facematch.reference JOIN facematch.gallery USING (gallery_id)
		WHERE subject_id IN (SELECT md5('alike ' || i)::uuid FROM generate_series(1, 160) i)});
my %seen;
for my $kind (qw(plain seale))
{
	# the first half by a build, the second one by one
	$node->safe_psql('postgres', qq{CREATE TABLE alike_$kind AS SELECT id, e FROM alike WHERE kind = '$kind' AND id <= 80;
		CREATE INDEX alike_${kind}_face ON alike_$kind USING facematch (e)});
	my $wal = $node->safe_psql('postgres', 'SELECT pg_walfile_name(pg_switch_wal() + 1)');
	$wal = $node->safe_psql('postgres', 'SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
	$node->safe_psql('postgres', "INSERT INTO alike_$kind SELECT id, e FROM alike WHERE kind = '$kind' AND id > 80 ORDER BY id");
	$node->safe_psql('postgres', 'CHECKPOINT; SELECT pg_switch_wal()');
	$seen{"file $kind"} = readable_codes(file_of("alike_${kind}_face"));
	$seen{"WAL $kind"} = readable_codes(slurp_bytes($node->data_dir . "/pg_wal/$wal") =~ s/\0+\z//r);
	$node->safe_psql('postgres', "SELECT facematch.index_check('alike_${kind}_face', true)");
}
is_deeply(\%seen, {'file plain' => 1, 'WAL plain' => 1, 'file seale' => 0, 'WAL seale' => 0},
	'codes of plain templates can be read in the file of the index and in WAL, those of sealed ones in neither');

# A bit of the ciphertext of a sketch, on the page of a list's first templates.
my $path = $node->data_dir . '/' . $node->safe_psql('postgres', q{SELECT pg_relation_filepath('alike_seale_face')});
$node->stop;
my $bytes = slurp_bytes($path);
my ($block) = grep { unpack('S', substr($bytes, $_ * 8192 + 8192 - 4, 2)) == 6 } 0 .. length($bytes) / 8192 - 1;
substr($bytes, $block * 8192 + 4000, 1) ^= "\1";
open my $damaged, '+<:raw', $path or die "$path: $!";
print $damaged $bytes;
close $damaged;
$node->start;
my ($status, $out, $err) = $node->psql('postgres', q{SELECT facematch.index_check('alike_seale_face', true)});
like($err, qr/slot \d+ does not have the codes of the template in row/, 'a bit that has changed is found');

# A key is gone.
$node->safe_psql('postgres', q{
	UPDATE facematch_internal.template_key SET destroyed_at = now()
	WHERE key_id = (SELECT DISTINCT facematch_internal.sealed_by(e) FROM sealed WHERE g = 2)
		AND facematch_internal.destroy_key(key_id, 'template');
	CREATE TABLE left_plain AS SELECT id, g, CASE WHEN g <> 2 THEN e END AS e FROM plain;
	CREATE INDEX ON left_plain USING facematch (g, e); ANALYZE left_plain});
@queries = (
	'WHERE g < 3 ORDER BY e <=> probe LIMIT 10', 'WHERE g < 3 ORDER BY e <=> probe', 'WHERE g = 2 ORDER BY e <=> probe', 'WHERE g = 0 ORDER BY e <=> probe',
	'WHERE g = ANY (\'{1,2}\') AND face_match(e, probe, 0.2) ORDER BY e <=> probe', 'WHERE g = ANY (\'{1,2}\') AND e <=> probe < 0.9 ORDER BY e <=> probe');
same_answers('a key is gone', 'left_plain');
is($node->safe_psql('postgres', q{SET enable_seqscan = off; SET enable_sort = off;
	SELECT count(*) FROM (SELECT FROM sealed WHERE g = 2 AND face_match(e, face(77, 1), -1) ORDER BY e <=> face(77, 1)) s;
	SELECT lists, sketches FROM facematch.last_scan()}), "0\n0|0", 'its list is skipped');
is($node->safe_psql('postgres', q{SET enable_seqscan = off; SET enable_sort = off;
	SELECT count(*), count(d) FROM (SELECT e <=> (SELECT e FROM sealed WHERE g = 2 LIMIT 1) AS d FROM sealed WHERE g = 1 ORDER BY e <=> (SELECT e FROM sealed WHERE g = 2 LIMIT 1)) s}),
	$node->safe_psql('postgres', 'SELECT count(*), 0 FROM sealed WHERE g = 1'), 'a probe whose key is gone is far from all');

# What comes when its key is gone, by insertion and by a build, has an entry, and is freed again.
$node->safe_psql('postgres', q{DELETE FROM left_plain WHERE id % 5 = 0; DELETE FROM sealed WHERE id % 5 = 0});
$node->safe_psql('postgres', 'VACUUM sealed');
same_answers('vacuumed without the key', 'left_plain');
$node->safe_psql('postgres', q{UPDATE sealed SET e = e WHERE g = 2});
same_answers('written without the key', 'left_plain');
$node->safe_psql('postgres', 'REINDEX INDEX sealed_face');
same_answers('built without the key', 'left_plain');
$node->safe_psql('postgres', 'DELETE FROM sealed');
$node->safe_psql('postgres', 'VACUUM sealed');
is($node->safe_psql('postgres', q{SELECT lists, templates, null_embeddings FROM facematch.index_stats('sealed_face')}), '0|0|0', 'nothing is left of any list');

# Keys are missing that were not destroyed: an error, and what needs no key goes on.
$node->safe_psql('postgres', 'CALL add(6001, 6300)');
rename "$keys/", "$keys.away" or die $!;
mkdir $keys, 0700 or die $!;
($status, $out, $err) = $node->psql('postgres', q{SET enable_seqscan = off; SET enable_sort = off; SELECT id FROM sealed WHERE g = 1 ORDER BY e <=> face(77, 1) LIMIT 1});
like($err, qr/missing/, 'a search says that keys are missing');
($status, $out, $err) = $node->psql('postgres', 'DELETE FROM sealed WHERE id % 4 = 0');
($status, $out, $err) = $node->psql('postgres', 'VACUUM sealed');
is($status, 0, 'VACUUM needs no key');
unlike($err, qr/ERROR/, 'and raises no error');
rmdir $keys or die $!;
rename "$keys.away", $keys or die $!;
$node->safe_psql('postgres', 'DELETE FROM plain WHERE id < 6001 OR id % 4 = 0');
@queries = ('WHERE g = 2 ORDER BY e <=> probe', 'WHERE g = 1 ORDER BY e <=> probe');
same_answers('with the keys again');

done_testing();
