# Random days: galleries are staged, matched and purged by several sessions, the server is killed in the middle, and in the
# end no byte of what was purged is in any file of the primary or its standby.  LONG=1: 20 days, else a few.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use ErasedBytes;
use FaceIndex qw(crash long_run);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $days = long_run() ? 20 : 4;
my $daily = 150;
my $seed = $ENV{SEED} // int(rand(1 << 30));
srand($seed);
note("SEED=$seed");

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1, extra => ['--data-checksums']);
$primary->append_conf('postgresql.conf', "timezone = 'UTC'\nautovacuum_naptime = 1\nwal_recycle = off\nwal_keep_size = '1GB'\ncheckpoint_timeout = 30\nhot_standby_feedback = on");
$primary->start;
$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->append_conf('postgresql.conf', "wal_keep_size = 0\nwal_receiver_status_interval = 1");
$standby->start;

# A subject's template follows from a number, so that what was staged in vain is known as well.
$primary->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	CREATE EXTENSION amcheck;
	CREATE FUNCTION face_of(n int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS
		$$ SELECT array_agg((hashint8(n * 1000 + i) % 10000) / 8192.0 ORDER BY i)::real[]::face_embedding FROM generate_series(1, 128) i $$;
	CREATE FUNCTION subject_of(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(n::text)::uuid $$;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 128);
	CREATE INDEX ON facematch.encounter USING facematch (gallery_id, probe)});

my %script = (
	stage => q{\set n random(:first, :last)
		INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT gallery_id, subject_of(:n), 'us_citizen', face_of(:n), 'passport' FROM facematch.gallery WHERE name = :day;
	},
	in_vain => q{\set n random(:first, :last)
		BEGIN;
		INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT gallery_id, subject_of(:n), 'us_citizen', face_of(:n), 'passport' FROM facematch.gallery WHERE name = :day;
		ROLLBACK;
	},
	again => q{\set n random(:first, :last)
		UPDATE facematch.reference SET embedding = face_of(:n) WHERE subject_id = subject_of(:n);
	},
	match => q{\set n random(:first, :last)
		SELECT FROM facematch.record_encounter(gallery => :day, probe => face_of(:n), port => 'JFK', lane => 'B22');
	},
	decline => q{\set n random(:first, :last)
		INSERT INTO facematch.opt_out (subject_id, scope, until) VALUES (subject_of(:n), 'until', clock_timestamp() + interval '1 hour');
	},
	purge => q{CALL facematch.purge(20);
	},
	erase => q{SELECT FROM facematch.erase('facematch.reference');
	});
my $dir = $PostgreSQL::Test::Utils::tmp_check;
append_to_file("$dir/$_.sql", $script{$_}) for keys %script;

sub a_day
{
	my ($day) = @_;
	my ($first, $last) = ($day * $daily, $day * $daily + $daily - 1);

	$primary->safe_psql('postgres', "INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('day $day', 'flight', 'm', 0.5, now() + interval '2 hours');
		INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT gallery_id, subject_of(n), 'us_citizen', face_of(n), 'passport' FROM facematch.gallery, generate_series($first, $last - 50) n WHERE name = 'day $day'");

	# What was yesterday's is due today.
	$primary->safe_psql('postgres', "UPDATE facematch.$_ SET purge_after = clock_timestamp() WHERE purge_after > clock_timestamp()
		AND gallery_id IN (SELECT gallery_id FROM facematch.gallery WHERE name <> 'day $day')") for qw(reference encounter);
	my @scripts = map { my ($name, $weight) = split /@/; ('-f', "$dir/$name.sql\@$weight") } qw(stage@6 in_vain@4 again@4 match@6 decline@1 purge@2 erase@1);
	my $load = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-T', 60, '--max-tries=10', '-D', "first=$first", '-D', "last=$last", '-D', "day='day $day'",
		'-h', $primary->host, '-p', $primary->port, @scripts, 'postgres' ], '>', \my $out, '2>', \my $err);
	sleep(0.5 + rand(1.5));
	crash($primary);
	$load->finish;
	unlike($err, qr/^pgbench: error: .*ERROR:  (?!the subject has opted out)/m, "day $day: no statement fails but where the subject declined");
	$primary->start;
	return;
}

a_day($_) for 0 .. $days - 1;

# The last day stays, without those who declined and whoever was brought in twice; the rest goes, and what the crashes left.
my $today = 'day ' . ($days - 1);
$primary->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'});
$primary->safe_psql('postgres', q{ALTER SYSTEM SET autovacuum = off; ALTER SYSTEM SET wal_keep_size = 0; SELECT pg_reload_conf()});
$primary->safe_psql('postgres', 'CALL facematch.purge()');
# What an old snapshot may need waits, and the standby tells of its snapshots now and then only.
for (1 .. $PostgreSQL::Test::Utils::timeout_default)
{
	last if $primary->safe_psql('postgres', 'SELECT count(*) FROM facematch.report_erasure WHERE erased IS NULL') eq '0';
	sleep(1);
	$primary->safe_psql('postgres', 'CALL facematch.purge()');
}
is($primary->safe_psql('postgres', 'SELECT count(*) FROM facematch.report_erasure WHERE erased IS NULL OR NOT verified'), '0', 'every receipt is settled');
cmp_ok($primary->safe_psql('postgres', 'SELECT sum(rows_purged) FROM facematch.purge_receipt'), '>', ($days - 1) * 100, 'rows were purged');
# Transactions that failed or were killed left no receipt.
my $unclean = q{SELECT relation, part, note FROM facematch.verify_erased('facematch.reference')
	WHERE NOT clean AND relation IS NOT NULL AND kept_keys IS NOT DISTINCT FROM 0};
for (1 .. $PostgreSQL::Test::Utils::timeout_default)
{
	$primary->safe_psql('postgres', "SELECT facematch.erase('facematch.$_')") for qw(reference encounter candidate);
	last if $primary->safe_psql('postgres', $unclean) eq '';
	sleep(1);
}

my $total = $days * $daily;
append_to_file("$dir/templates", $primary->safe_psql('postgres', "SELECT face_of(n) FROM generate_series(0, $total - 1) n
	WHERE NOT EXISTS (SELECT FROM facematch.reference r WHERE facematch_internal.opened(r.embedding) = face_with_model(face_of(n), 1))
	  AND NOT EXISTS (SELECT FROM facematch.encounter e WHERE facematch_internal.opened(e.probe) IN (face_of(n), face_with_model(face_of(n), 1)))") . "\n");
ok(let_go_of_wal($primary, $standby), 'WAL of the time before is gone');
for my $node ($primary, $standby)
{
	my ($after, $files) = find_bytes($node, "$dir/templates");
	cmp_ok($after->{stored}[1], '>', ($days - 1) * 100, 'there are templates to look for');
	is($after->{$_}[0], 0, $node->name . ": nothing is left, $_") for sort keys %$after;
	is($files, '', $node->name . ': in no file');
}

# What is there can be found: the search is no blind one.
append_to_file("$dir/alive", $primary->safe_psql('postgres', 'SELECT DISTINCT embedding FROM facematch.reference') . "\n");
my ($alive) = find_bytes($primary, "$dir/alive");
is($alive->{stored}[0], $alive->{stored}[1], 'templates that stay are found');
cmp_ok($alive->{stored}[1], '>', 0, 'and there are some');
is($primary->safe_psql('postgres', $unclean), '', 'the pages prove it');
is($primary->safe_psql('postgres', q{SELECT count(*) FROM pg_class c JOIN pg_am a ON a.oid = c.relam, facematch_internal.index_problems(c.oid, true) WHERE amname = 'facematch'}),
	'0', 'the face indexes are sound');
$primary->command_ok([ 'pg_amcheck', '--heapallindexed', '--parent-check', '--rootdescend', 'postgres' ], 'so are tables and B-trees');
$standby->stop;
$primary->stop;
command_ok([ 'pg_checksums', '--check', '-D', $_->data_dir ], 'checksums are right') for $primary, $standby;
done_testing();
