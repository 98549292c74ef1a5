# What the server writes to temporary files of sealed templates is ciphertext: sorts, hash joins, materialized rows, cursors WITH
# HOLD, tuplestores of functions, and the sort of a build.  The same of plain templates is found there, so that the search is none
# that finds nothing.
use strict;
use warnings;

use Bytes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $keys = PostgreSQL::Test::Utils::tempdir_short() . '/keys';
mkdir $keys, 0700 or die;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off\nlog_statement = none\nshared_preload_libraries = facematch
facematch.key_directory = '$keys'\nwork_mem = '64kB'\nhash_mem_multiplier = 1\nmaintenance_work_mem = '1MB'\nmax_parallel_workers_per_gather = 0\nmax_parallel_maintenance_workers = 0");
$node->start;

# 2,000 people of each kind.  at_end() is asked for each row of a build, and waits at the last; not while a sample is taken, which
# writes no file.
$node->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	CREATE FUNCTION face(seed int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS $$
		SELECT array_agg(sin(seed * 12.9898 + i * 78.233 + seed * i * 0.37) ORDER BY i)::real[]::face_embedding FROM generate_series(1, 96) i $$;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 7, 96);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed)
		SELECT n, 'flight', 'm', 0.1, now() + interval '6 hours', n = 'sealed' FROM unnest('{plain,sealed}'::text[]) n;
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT gallery_id, md5(n::text)::uuid, 'us_citizen', face(n), 's' FROM facematch.gallery, generate_series(1, 2000) n;
	CREATE TABLE plain AS SELECT row_number() OVER (ORDER BY reference_id)::int AS id, embedding AS e FROM facematch.reference JOIN facematch.gallery USING (gallery_id) WHERE name = 'plain';
	CREATE TABLE sealed AS SELECT row_number() OVER (ORDER BY reference_id)::int AS id, embedding AS e FROM facematch.reference JOIN facematch.gallery USING (gallery_id) WHERE name = 'sealed';
	ANALYZE plain; ANALYZE sealed;
	CREATE FUNCTION all_of(t regclass) RETURNS TABLE (id int, e face_embedding) LANGUAGE plpgsql AS $$
		BEGIN RETURN QUERY EXECUTE format('SELECT id, e FROM %s', t); END $$;
	CREATE FUNCTION at_end(i int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
		BEGIN IF i = 20000 AND EXISTS (SELECT FROM pg_ls_dir('base/pgsql_tmp', true, false)) THEN PERFORM pg_sleep(600); END IF; RETURN true; END $$;});

# As they are stored, as single precision and as text: parts of them.
my @bytes;
my $sample = $node->safe_psql('postgres', q{SELECT string_agg(trim(']' FROM split_part(e::text, '[', 2)), E'\n') FROM plain WHERE id % 10 = 0});
foreach my $text (split /\n/, $sample)
{
	my @components = split /,/, $text;
	push @bytes, join(',', @components[ 8 .. 11 ]), pack('f<4', @components[ 8 .. 11 ]), pack('f>4', @components[ 8 .. 11 ]), pack('v8', map { half($_) } @components[ 8 .. 15 ]);
}

# Half precision of what was printed of one.
sub half
{
	my ($x) = @_;
	my $bits = unpack('L', pack('f', $x));
	my $exponent = (($bits >> 23) & 0xff) - 112;

	return ($bits >> 16) & 0x8000 if $x == 0;
	return (($bits >> 16) & 0x8000) | ($exponent <= 0 ? int(abs($x) * 2**24 + 0.5) : ($exponent << 10) | (($bits >> 13) & 0x3ff));
}

my $temporary = $node->data_dir . '/base/pgsql_tmp';
my $near = 'e <=> face(-1)';
# PostgreSQL 18 does not count what it keeps of rows that are one value and sorted: only their number lets that sort spill.
my $twice = '(SELECT e, generate_series(1, 2) FROM %s) t';
my %spills = (
	'sort by value' => "SELECT e FROM $twice ORDER BY e",
	'sort by distance' => "SELECT e FROM %s ORDER BY $near",
	'hash join' => 'SELECT a.e, b.e FROM %1$s a JOIN %1$s b USING (id)',
	'materialized rows' => 'SELECT a.e, b.e FROM %1$s a LEFT JOIN %1$s b ON a.id <> b.id',
	'scrolled rows' => 'SELECT e, generate_series(1, 1) FROM %s',
	'a named query' => 'WITH w AS MATERIALIZED (SELECT id, e FROM %s) SELECT w.e FROM w JOIN (SELECT max(id) AS id FROM w) m USING (id)',
	'a function\'s rows' => q{SELECT e FROM all_of('%s')},
	'distinct rows' => "SELECT DISTINCT e FROM $twice",
	'a cursor with hold' => 'SELECT id, e FROM %s');

# What of them is in temporary files while a cursor is open.
sub found
{
	my ($what, $table) = @_;
	my $cursor = $what =~ /hold/ ? 'CURSOR WITH HOLD' : $what =~ /scroll/ ? 'SCROLL CURSOR' : 'CURSOR';
	my $session = $node->background_psql('postgres');
	my @files;

	$session->query_safe('SET enable_mergejoin = off; SET enable_nestloop = off; SET enable_hashagg = off; SET enable_sort = on') if $what !~ /materialized/;
	$session->query_safe('SET enable_material = on; SET enable_hashjoin = off; SET enable_mergejoin = off') if $what =~ /materialized/;
	$session->query_safe("BEGIN; DECLARE c $cursor FOR " . sprintf($spills{$what}, $table));
	$session->query_safe($what =~ /hold/ ? 'COMMIT' : $what =~ /scroll|material/ ? 'MOVE 1900 FROM c' : 'MOVE 1 FROM c');
	my $some = -d $temporary && grep { -s } glob("$temporary/*");
	@files = files_with($temporary, @bytes) if $some;
	$session->quit;
	return (!!$some, scalar @files);
}

foreach my $what (sort keys %spills)
{
	my ($spilled, $files) = found($what, 'plain');
	ok($spilled && $files > 0, "$what: plain templates are in temporary files");
	($spilled, $files) = found($what, 'sealed');
	ok($spilled, "$what: of sealed ones there are files, too");
	is($files, 0, "$what: in which nothing can be read");
}

# A build's sort, looked at when it has read all rows, which are alike: codes of plain templates can be read, of sealed ones none.
foreach my $table ('plain', 'sealed')
{
	$node->safe_psql('postgres', "CREATE TABLE alike_$table AS SELECT n AS id, (SELECT e FROM $table WHERE id = 1) AS e FROM generate_series(1, 20000) n");
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	$session->query_until(qr/begun/, "\\echo begun\nCREATE INDEX ON alike_$table USING facematch (e) WHERE at_end(id);\n");
	$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')}) or die;
	my ($spilled) = grep { -s } sort map { -d $_ ? glob("$_/*") : $_ } glob("$temporary/*");
	my @templates = files_with($temporary, @bytes);
	is(scalar(@templates), 0, "a build of $table: no template is in its files");
	is(readable_codes(substr(slurp_bytes($spilled), 0, 200_000)), $table eq 'plain' ? 1 : 0, "a build of $table: codes that can be read");
	$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'});
	$session->quit;
}
$node->stop;

done_testing();
