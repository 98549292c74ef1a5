# One search by several processes while others insert, delete and vacuum; when it is cancelled or loses a worker at any
# moment; and that identify() takes workers for a large gallery.  20 seconds; LONG=1: 5 minutes.
use strict;
use warnings;

use Checksums;
use FaceIndex;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => without_checksums($node));
$node->append_conf('postgresql.conf', q{
fsync = off
autovacuum = off
jit = off
max_connections = 40
max_worker_processes = 16
max_parallel_workers = 16
deadlock_timeout = 200ms
log_min_messages = debug1
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_index_scan_size = 0
min_parallel_table_scan_size = 0
});
$node->start;
set_up($node, 6000);

# The galleries, given at a moment when all processes have started.
$node->safe_psql('postgres', q{
	ALTER TABLE reference SET (parallel_workers = 2);
	CREATE FUNCTION at_once(galleries int[]) RETURNS int[] LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
	BEGIN
		IF clock_timestamp() < current_setting('test.moment')::timestamptz THEN
			PERFORM pg_sleep_until(current_setting('test.moment')::timestamptz);
		END IF;
		RETURN galleries;
	END $$;

	-- The k nearest of some galleries by several processes, and all of them above a threshold, as a sequential scan has them.
	CREATE FUNCTION compare_together(probe face_embedding, wanted int[], k int) RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE
		nearest text := 'SELECT array_agg(id), array_agg(d) FROM (SELECT id, e <=> $1 AS d FROM reference WHERE e IS NOT NULL AND gallery = ANY (%s) ORDER BY e <=> $1 LIMIT $3) s';
		above text := 'SELECT array_agg(id ORDER BY id) FROM reference WHERE gallery = ANY (%s) AND face_match(e, $1, 0.1)';
		ids bigint[];
		distances float8[];
		true_distances float8[];
		matches bigint[];
		true_matches bigint[];
	BEGIN
		PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true), set_config('enable_indexscan', 'on', true),
			set_config('enable_bitmapscan', 'off', true), set_config('max_parallel_workers_per_gather', '2', true),
			set_config('test.moment', (clock_timestamp() + '0.03 s')::text, true);
		EXECUTE format(nearest, 'at_once((SELECT $2))') INTO ids, distances USING probe, wanted, k;
		PERFORM set_config('test.moment', (clock_timestamp() + '0.03 s')::text, true);
		EXECUTE format(above, 'at_once((SELECT $2))') INTO matches USING probe, wanted;
		PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true), set_config('enable_indexscan', 'off', true),
			set_config('max_parallel_workers_per_gather', '0', true);
		EXECUTE format(nearest, '$2') INTO ids, true_distances USING probe, wanted, k;
		EXECUTE format(above, '$2') INTO true_matches USING probe, wanted;
		IF distances IS DISTINCT FROM true_distances OR matches IS DISTINCT FROM true_matches THEN
			RAISE EXCEPTION 'processes and sequential scan disagree: % and % nearest of %, % and % above', cardinality(distances),
				cardinality(true_distances), k, cardinality(matches), cardinality(true_matches);
		END IF;
		RETURN cardinality(ids);
	END $$;
});

my $scripts = write_scripts($node->basedir);
my $script = $node->basedir . '/together.sql';
append_to_file($script, q{
\set g random(0, 6)
\set k random(1, 1500)
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT compare_together(random_face(), ARRAY[:g, 7], CASE WHEN :k > 1400 THEN :k ELSE :k % 20 + 1 END);
SELECT compare_together(random_face(), ARRAY[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], :k % 20 + 1);
COMMIT;
});
my $unit = long_run() ? 20 : 1;
my $offset = -s $node->logfile;
$node->command_checks_all(
	[ 'pgbench', '-n', '-c', 6, '-j', 2, '-T', 8 * $unit, '-f', "$script\@8", $scripts->(qw(insert@6 stage@3 abort@1 update@2 delete@4 purge@1 vacuum@3)) ],
	0, [qr/processed/], [qr/^(?!.*(ERROR|aborted))/s], 'searches beside changes');
cmp_ok(scalar(() = slurp_file($node->logfile, $offset) =~ /starting background worker process "parallel worker/g), '>', 20, 'with workers');
check_index($node, 'after the changes');

# Pages leave a long list while it is read: whole ones, which VACUUM frees and others take.
$node->safe_psql('postgres', 'DELETE FROM reference; VACUUM reference');
append_to_file($node->basedir . '/long.sql', q{
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT compare_together(random_face(), ARRAY[1, 2], 5);
COMMIT;
});
append_to_file($node->basedir . '/churn.sql', q{
INSERT INTO reference (gallery, e) SELECT 1, face FROM faces ORDER BY n;
INSERT INTO reference (gallery, e) SELECT 2, face FROM faces WHERE n <= 4000;
DELETE FROM reference WHERE id < (SELECT max(id) - 9000 FROM reference);
VACUUM (INDEX_CLEANUP ON) reference;
});
$node->safe_psql('postgres', 'CREATE TABLE faces AS SELECT n, random_face() AS face FROM generate_series(1, 20000) n');
$node->command_checks_all(
	[ 'pgbench', '-n', '-c', 6, '-j', 2, '-T', 6 * $unit, '-f', $node->basedir . '/long.sql@4', '-f', $node->basedir . '/churn.sql@1' ],
	0, [qr/processed/], [qr/^(?!.*(ERROR|aborted))/s], 'searches of a list whose pages leave it');
check_index($node, 'after the pages have left');

# A chain that is not what it seems: of 64 pages in a row, from the 1st to the 21st to the 64th, the 2nd to the 20th, and on.
# The 16th and its neighbour look like the begin of a run to the 47th, which came before it.
$node->safe_psql('postgres', 'ALTER TABLE reference ALTER gallery_id SET DEFAULT 1') if $ENV{SEALED};    # all by one key
$node->safe_psql('postgres', q{
	DELETE FROM reference;
	VACUUM reference;
	INSERT INTO reference (gallery, e) SELECT 1, face FROM faces;
	REINDEX INDEX reference_face;
	CHECKPOINT});
my $file = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('reference_face')");
$node->stop;
my $pages = slurp_file($file);
my ($kind_at, $stamp_at, $next_at, $sketch) = (8188, 8176, 24, 6);
my $is_sketch = sub { return ($_[0] + 1) * 8192 <= length $pages && unpack('v', substr($pages, $_[0] * 8192 + $kind_at, 2)) == $sketch };
my $relink = sub {
	my ($from, $to) = @_;
	substr($pages, $from * 8192 + $next_at, 12) = substr($pages, $to * 8192 + $stamp_at, 8) . pack('V', $to);
};
my $first = 0;
$first++ until $is_sketch->($first) or $first * 8192 > length $pages;
is(scalar(grep { $is_sketch->($_) } $first .. $first + 63), 64, '64 pages in a row');
my $behind = unpack('V', substr($pages, ($first + 63) * 8192 + $next_at + 8, 4));
ok($is_sketch->($behind), 'and more');
$relink->($first, $first + 20);
$relink->($first + 63, $first + 1);
$relink->($first + 19, $behind);
open my $index, '+<:raw', $file or die;
print $index $pages;
close $index;
$node->start;
$offset = -s $node->logfile;
$node->safe_psql('postgres', 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT compare_together(random_face(), ARRAY[1], 5) FROM generate_series(1, 3); COMMIT');
like(slurp_file($node->logfile, $offset), qr/starts again with one/, 'runs that do not lead to their end: one process begins anew');
check_index($node, 'not as it seemed');

# Whatever moment a search ends at, the next one is right, and nothing stays.
$node->safe_psql('postgres', 'INSERT INTO reference (gallery, e) SELECT i % 7, random_face() FROM generate_series(1, 20000) i; ANALYZE reference; CREATE TABLE one AS SELECT random_face() AS probe');
my $search = q{SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; SELECT count(*) FROM
	(SELECT id FROM reference WHERE gallery = ANY (at_once((SELECT ARRAY[0, 1, 2, 3]))) ORDER BY e <=> (SELECT probe FROM one) LIMIT 700) s};
my $ended = 0;
for my $i (1 .. 60 * $unit)
{
	my $ms = 5 + $i % 30;
	my ($status, $out, $err) = $node->psql('postgres', "SELECT set_config('test.moment', (clock_timestamp() + '0.01 s')::text, false); SET statement_timeout = $ms; $search");
	like($err, qr/^$|canceling statement due to statement timeout/, 'cancelled or not') or last;
	$ended++ if $err;
}
cmp_ok($ended, '>', 5, 'some were cancelled');
my $lost = 0;
for my $i (1 .. 30 * $unit)
{
	my ($status, $out, $err) = $node->psql('postgres', q{
		SELECT set_config('test.moment', (clock_timestamp() + '0.02 s')::text, false);
		CREATE OR REPLACE FUNCTION lose_worker(galleries int[]) RETURNS int[] LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
		BEGIN
			galleries := at_once(galleries);
			-- a busy machine has not started them yet; a worker has none
			FOR tries IN 1 .. 40 LOOP
				PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE leader_pid = pg_backend_pid() LIMIT 1;
				EXIT WHEN FOUND OR EXISTS (SELECT FROM pg_stat_activity WHERE pid = pg_backend_pid() AND leader_pid IS NOT NULL);
				PERFORM pg_sleep(0.005), pg_stat_clear_snapshot();
			END LOOP;
			RETURN galleries;
		END $$;} . $search =~ s/at_once/lose_worker/r);
	like($err, qr/^$|terminating (background worker|connection)|lost connection to parallel worker|parallel worker failed|opened a parallel scan .* has ended/, 'without a worker or with') or last;
	$lost++ if $err;
}
cmp_ok($lost, '>', 5, 'some lost one');
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'}) or die 'a worker stays';
check_index($node, 'after the ends');

# An error of a worker's arrives.
my ($status, $out, $err) = $node->psql('postgres', q{
	CREATE FUNCTION refuse(galleries int[]) RETURNS int[] LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
	BEGIN
		IF EXISTS (SELECT FROM pg_stat_activity WHERE pid = pg_backend_pid() AND leader_pid IS NOT NULL) THEN
			RAISE EXCEPTION 'a worker refuses';
		END IF;
		RETURN at_once(galleries);
	END $$;
	SELECT set_config('test.moment', (clock_timestamp() + '0.2 s')::text, false);} . $search =~ s/at_once/refuse/r);
like($err, qr/a worker refuses.*parallel worker/s, 'the error of a worker');

# identify(), in a gallery that is taken for a large one.
$node->safe_psql('postgres', q{
	DROP TABLE reference;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 3, 40);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('large', 'watchlist', 'm', 0.3), ('small', 'flight', 'm', 0.3);
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
	SELECT gallery_id, lpad((i / 3)::text, 32, '0')::uuid, 'watchlist', random_face(), 's'
	FROM generate_series(1, 8000) i JOIN facematch.gallery g ON g.name = CASE WHEN i % 50 = 0 THEN 'small' ELSE 'large' END;
	ANALYZE facematch.reference;
	CREATE TABLE asked AS SELECT i, random_face() AS probe FROM generate_series(1, 5) i;
	ALTER TABLE facematch.reference SET (parallel_workers = 2);
	UPDATE pg_class SET reltuples = 1e8, relpages = 5e7 WHERE oid = 'facematch.reference'::regclass});

sub identify
{
	my ($gallery, $workers) = @_;

	return $node->safe_psql('postgres', "SET max_parallel_workers_per_gather = $workers;
		SELECT i, c.* FROM asked, facematch.identify(probe, '$gallery', 20) c ORDER BY 1, rank");
}
for my $gallery ('large', 'small')
{
	my $alone = identify($gallery, 0);

	$offset = -s $node->logfile;
	is(identify($gallery, 2), $alone, "$gallery: the same candidates");
	my $started = () = slurp_file($node->logfile, $offset) =~ /starting background worker process "parallel worker/g;
	is($started > 0, $gallery eq 'large', "$gallery: $started workers");
}

# What workers read for who may not read templates is not seen by counting it, as what the leader reads is not.
$node->safe_psql('postgres', q{CREATE ROLE gate LOGIN; SELECT facematch.grant_operator('gate'); GRANT SELECT ON asked TO gate;
	ALTER SYSTEM SET facematch.attempts_per_day = 1000000; ALTER SYSTEM SET facematch.attempts_per_week = 1000000; SELECT pg_reload_conf()});
sub rows_read { return $node->safe_psql('postgres', q{SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_all_tables WHERE relid = 'facematch.reference'::regclass}); }
sub by_workers
{
	my ($who, @as) = @_;

	$offset = -s $node->logfile;
	$node->safe_psql('postgres', "SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off;
		SELECT count(*) FROM asked, facematch.identify(probe, 'large', 20)", extra_params => \@as);
	like(slurp_file($node->logfile, $offset), qr/starting background worker process "parallel worker/, "workers of $who");
	# Those of a session are told when it ends.
	$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type IN ('client backend', 'parallel worker')}) or die;
}
my $before = rows_read();
by_workers('the owner');
my $counted = rows_read() - $before;
ok($counted > 0, "of the owner $counted rows are counted");
by_workers('an operator', '-U', 'gate');
is(rows_read() - $before, $counted, 'of an operator none');

$node->stop;
done_testing();
