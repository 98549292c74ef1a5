# CREATE INDEX by several processes: that workers take part, that their errors arrive, that it can be cancelled at any
# moment without leaving anything, and that its pages outlive a crash when WAL is minimal.
use strict;
use warnings;

use FaceIndex;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
log_min_messages = debug1
wal_level = minimal
max_wal_senders = 0
max_parallel_workers = 4
max_parallel_maintenance_workers = 2
maintenance_work_mem = '4MB'
autovacuum = off
});
$node->start;

# 20 rows are each the only one of their model, in a table larger than the sample: workers add epochs, too.
$node->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	CREATE TABLE face (id int, model int, filler text, embedding face_embedding) WITH (parallel_workers = 2);
	ALTER TABLE face ALTER filler SET STORAGE PLAIN});
seal_own_table($node, face => 'embedding');
$node->safe_psql('postgres', q{
	INSERT INTO face (id, model, filler, embedding)
	SELECT id, model, repeat('x', 600), face_with_model((SELECT array_agg(sin(id * 12.9898 + k * 78.233 + id * k * 0.37) + 0.3 ORDER BY k)
		FROM generate_series(1, 64) k)::face_embedding, model)
	FROM (SELECT id, CASE WHEN id % 400 = 0 THEN 2 + id / 400 ELSE 1 END AS model FROM generate_series(1, 8000) id) s;
	CREATE TABLE expected AS SELECT id, model, embedding FROM face WHERE id % 400 < 2;
});

# The row nearest to each of some rows is that row.
sub is_right
{
	my ($what) = @_;
	my $wrong = q{
		SET enable_seqscan = off; SET enable_sort = off;
		SELECT count(*) FROM expected e
		WHERE e.id <> (SELECT f.id FROM face f WHERE f.model = e.model ORDER BY f.embedding <=> e.embedding LIMIT 1)};

	like($node->safe_psql('postgres', $wrong =~ s/SELECT count/EXPLAIN SELECT count/r), qr/Index Scan using face_index/, "$what: the index is used");
	is($node->safe_psql('postgres', $wrong), '0', "$what: every answer is right");
}

# Nothing is left of a failed build.
sub nothing_left
{
	my ($what) = @_;
	my $files = 0;

	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'})
	  or die 'a worker stays';
	$files += -d $_ ? scalar(grep { !/\/\.\.?$/ } glob("$_/*")) : 1 for glob($node->data_dir . '/base/pgsql_tmp/*');
	is($files, 0, "$what: no temporary file is left");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 'face_index'}), '0', "$what: no index is left");
}

my ($status, $out, $err);
my $create = 'CREATE INDEX face_index ON face USING facematch (model, embedding)';
my $offset = -s $node->logfile;
$node->safe_psql('postgres', $create);
like(slurp_file($node->logfile, $offset), qr/building index "face_index" with 2 of 2 workers planned/, 'two workers take part');
is_right('parallel');

# Minimal WAL: the pages are not in it, so they must be in the file.
$node->stop('immediate');
$node->start;
is_right('after a crash');
$node->safe_psql('postgres', 'DROP INDEX face_index');

# None to be had: the leader builds alone.
$offset = -s $node->logfile;
$node->safe_psql('postgres', "SET max_parallel_workers = 0; $create");
like(slurp_file($node->logfile, $offset), qr/building index "face_index" with 0 of 2 workers planned/, 'no worker can be had');
is_right('alone');
$node->safe_psql('postgres', 'DROP INDEX face_index');

# An expression that does something in one phase: fail in a worker, and let the leader wait for that; or cancel the build.
$node->safe_psql('postgres', q{
	CREATE FUNCTION interfering(model int) RETURNS int LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
	DECLARE
		leader int := current_setting('test.leader');
	BEGIN
		-- Else the first look at the phase would count for the whole build.
		PERFORM pg_stat_clear_snapshot();
		IF NOT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE pid = leader AND phase = 'building index: ' || current_setting('test.phase')) THEN
			RETURN model;
		ELSIF current_setting('test.act') = 'cancel' THEN
			PERFORM pg_cancel_backend(leader);
		ELSIF leader <> pg_backend_pid() THEN
			RAISE EXCEPTION 'a worker refuses' USING ERRCODE = 'data_exception';
		ELSE
			PERFORM pg_sleep(0.02);
		END IF;
		RETURN model;
	END $$});

sub interfere
{
	my ($act, $phase) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "
		\\set VERBOSITY verbose
		SET test.phase = '$phase';
		SET test.act = '$act';
		SELECT set_config('test.leader', pg_backend_pid()::text, false);
		CREATE INDEX face_index ON face USING facematch (interfering(model), embedding) WHERE id > 5000");

	nothing_left("$act while $phase");
	return $err;
}

like(interfere('fail', 'encoding templates'), qr/ERROR:  22000: a worker refuses.*CONTEXT: .*parallel worker/s, "a worker's error arrives");
like(interfere('cancel', $_), qr/ERROR:  57014: canceling statement due to user request/, "cancelled while $_")
  for 'sampling templates', 'encoding templates';

# Templates of more models than an index holds, whoever finds that.
$node->safe_psql('postgres', q{INSERT INTO face (id, model, filler, embedding) SELECT 9000 + i, 100 + i, '', face_with_model('[1,2,3]', 100 + i) FROM generate_series(1, 130) i});
($status, $out, $err) = $node->psql('postgres', $create);
like($err, qr/ERROR:  index "face_index" holds templates of too many kinds/, 'more kinds of templates than an index holds');
nothing_left('too many kinds');
$node->safe_psql('postgres', 'DELETE FROM face WHERE id > 9000; VACUUM face');

# Cancelled after more and more milliseconds, until it is done before.
my $cancelled = 0;
for (my $timeout = 1; $timeout < 60000; $timeout += 1 + int($timeout / 12))
{
	($status, $out, $err) = $node->psql('postgres', "SET statement_timeout = $timeout; $create");
	last if $status == 0;
	$cancelled++;
	like($err, qr/canceling statement due to statement timeout/, "cancelled after $timeout ms");
	nothing_left("after $timeout ms") if $cancelled % 5 == 0;
}
is($status, 0, 'with time enough the index is built');
cmp_ok($cancelled, '>', 5, 'cancelled at several moments');
is_right('after the cancelled ones');

$node->stop;
done_testing();
