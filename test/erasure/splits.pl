# B-tree leaves that are split while facematch.erase() walks over the index: half of their entries go to pages that are added
# behind its end, or to recycled ones that it has passed.  No entry of a removed row is left all the same.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nshared_buffers = '256MB'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	CREATE TABLE split (id int, key text);
	INSERT INTO split SELECT i, md5(i::text) FROM generate_series(1, 400000) i;
	CREATE INDEX split_key ON split (key) WITH (fillfactor = 100)});

# The walk is stopped in the middle, and goes on when others have inserted.  Whether that moment was met.
sub erase_beside
{
	my ($round) = @_;
	my $erase = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c', q{SELECT facematch.erase('split')} ], '<', \undef, '>', \my $out);
	my $watcher = $node->background_psql('postgres');
	my $pid = '';
	while ($pid eq '' and $erase->pumpable)
	{
		$pid = $watcher->query_safe(q{SELECT pid FROM pg_stat_progress_vacuum WHERE relid = 'split'::regclass AND phase = 'vacuuming indexes'});
		$erase->pump_nb;
	}
	$watcher->quit;
	usleep(10_000);
	my $stopped = $pid ne '' && kill 'STOP', $pid;
	# Full leaves: nearly each insertion splits one.  The process may have a page locked.
	my $insert = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c',
		q{INSERT INTO split SELECT 400000 + i, md5((1000000 + i)::text) FROM generate_series(1, 3000) i WHERE md5((1000000 + i)::text) >= '4'} ], '<', \undef);
	usleep(1_000_000);
	kill 'CONT', $pid if $stopped;
	$insert->finish or die;
	$erase->finish or die;
	return $stopped;
}

my $deletions = 0;
# The second time there are recycled pages: those of keys that begin with 0 to 3.
for my $round ('pages are added', 'pages are recycled')
{
	$node->safe_psql('postgres', q{DELETE FROM split WHERE key < '4' OR id > 400000; VACUUM split; REINDEX TABLE split;
		INSERT INTO split SELECT i, md5(i::text) FROM generate_series(1, 400000) i WHERE md5(i::text) < '4';
		DELETE FROM split WHERE key < '4'; VACUUM split; VACUUM split}) if $round =~ /recycled/;
	my ($tries, $stopped) = (0, 0);
	while (!$stopped and $tries++ < 5)
	{
		my $some = 4 * $deletions++;
		$node->safe_psql('postgres', "DELETE FROM split WHERE id % 40 BETWEEN $some AND $some + 3");
		$stopped = erase_beside($round);
	}
	ok($stopped, "$round: the walk was stopped in try $tries");
	is($node->safe_psql('postgres', q{CHECKPOINT; SELECT v.dead_tuples FROM facematch.verify_erased('split') v
		WHERE v.relation = 'split_key'::regclass AND v.part = 'index'}), '0', "$round: no entry of a removed row is left");
}
done_testing();
