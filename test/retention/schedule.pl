# A purge that pg_cron calls, in a cluster of its own: every minute, and with pg_cron 1.5 and later every few seconds.
# CRON_SRC=DIR script/test tap builds pg_cron from that source and takes it in place of the one that is installed.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# A minute's job comes within this time, with some to spare; one of a few seconds well before the next full minute may.
my $PATIENCE = 90;

my $node = PostgreSQL::Test::Cluster->new('scheduled');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('G', 'flight', 'two', 0.5, now() + interval '1 hour')});

my $finding = q{SELECT finding FROM facematch.health_check() WHERE object = 'purge'};
my $references = 'SELECT count(*) FROM facematch.reference';

sub refused
{
	my ($statement) = @_;
	$node->psql('postgres', $statement, stderr => \my $said);
	return $said;
}

sub stage_due
{
	$node->safe_psql('postgres', q{INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after)
		SELECT gallery_id, gen_random_uuid(), 'us_citizen', '[1,0]', 'passport', now() FROM facematch.gallery, generate_series(1, 5)});
}

# Seconds until nothing that is due is left, if that is soon enough.
sub purged_within
{
	my ($seconds) = @_;
	my $began = time;
	while (time - $began < $seconds)
	{
		return time - $began if $node->safe_psql('postgres', $references) eq '0';
		select undef, undef, undef, 0.2;
	}
	return undef;
}

for my $call ('schedule()', 'schedule(NULL)')
{
	like(refused("SELECT facematch.$call"), qr/ERROR:  pg_cron is not installed in this database/, "without pg_cron: a clear error of $call");
}
like($node->safe_psql('postgres', $finding), qr/pg_cron is not installed/, 'and health_check() says so');

my $share = `pg_config --sharedir`;
chomp $share;
SKIP:
{
	skip 'pg_cron is not installed', 1 unless -e "$share/extension/pg_cron.control";
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'postgres'\ncron.host = '" . $node->host . "'");
	$node->restart;
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_cron');
	my $version = $node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'pg_cron'});
	my ($major, $minor) = $version =~ /^(\d+)\.(\d+)/;
	my $takes_seconds = $major > 1 || $minor >= 5;
	note("pg_cron $version");

	like($node->safe_psql('postgres', $finding), qr/no active job/, 'health_check() misses the job');
	stage_due();
	my $job = $node->safe_psql('postgres', 'SELECT facematch.schedule()');
	is($node->safe_psql('postgres', 'SELECT facematch.schedule()'), $job, 'a new schedule replaces the old one');
	is($node->safe_psql('postgres', 'SELECT schedule, command, active FROM cron.job'), '* * * * *|CALL facematch.purge()|t', 'every minute');
	is($node->safe_psql('postgres', $finding), '', 'health_check() knows the job');
	ok(defined purged_within($PATIENCE), 'the job purges what is due');
	ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'succeeded'}), 'and succeeds');
	is($node->safe_psql('postgres', q{SELECT sum(rows_purged) FROM facematch.purge_receipt WHERE cause = 'retention'}), '5', 'with receipts');

	if ($takes_seconds)
	{
		is($node->safe_psql('postgres', q{SELECT facematch.schedule('2 seconds')}), $job, 'seconds replace minutes');
		is($node->safe_psql('postgres', 'SELECT schedule, active FROM cron.job'), '2 seconds|t', 'every two seconds');
		is($node->safe_psql('postgres', $finding), '', 'health_check() knows that job too');
		# Three in a row: a job of once a minute could not.
		for my $turn (1 .. 3)
		{
			stage_due();
			my $took = purged_within(15);
			ok(defined $took, "turn $turn: what is due is gone in seconds");
			note(sprintf('after %.1f s', $took)) if defined $took;
		}
		is($node->safe_psql('postgres', q{SELECT count(*) FROM cron.job_run_details WHERE status = 'failed'}), '0', 'no call failed');
		like(refused(q{SELECT facematch.schedule('90 seconds')}), qr/ERROR:  invalid schedule: 90 seconds/, 'what pg_cron does not take is an error of its own');
	}
	else
	{
		like(refused(q{SELECT facematch.schedule('2 seconds')}), qr/ERROR:  invalid schedule: 2 seconds/, "pg_cron $version takes no seconds, and says so");
	}
	is($node->safe_psql('postgres', 'SELECT count(*) FROM cron.job WHERE active'), '1', 'the job before it stands');
	is($node->safe_psql('postgres', 'SELECT facematch.schedule(NULL)'), '', 'schedule(NULL) takes the job away');
	is($node->safe_psql('postgres', 'SELECT facematch.schedule(NULL), (SELECT count(*) FROM cron.job)'), '|0', 'and does nothing when there is none');
	like($node->safe_psql('postgres', $finding), qr/no active job/, 'which health_check() misses');
	is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT action, ' ' ORDER BY action) FROM facematch.audit_event WHERE action LIKE 'purge\_%scheduled'}),
		'purge_scheduled purge_unscheduled', 'both are in the log');
}
$node->stop;
done_testing();
