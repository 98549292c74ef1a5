# A streaming standby answers exactly while the primary inserts, deletes, vacuums and rebuilds, and its pages are the
# primary's (wal_consistency_checking).  8 seconds; LONG=1: 5 minutes.
use strict;
use warnings;

use FaceIndex;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = long_run() ? 300 : 8;
my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off\nmax_connections = 40\nwal_consistency_checking = 'all'\nmax_wal_size = 4GB");
$primary->start;
set_up($primary, 2000);
my $scripts = write_scripts($primary->basedir);

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = -1\nhot_standby_feedback = on");
$standby->start;

my ($out, $err) = ('', '');
my $changes = IPC::Run::start(
	[ 'pgbench', '-n', '-c', 3, '-T', $seconds, $scripts->(qw(insert@6 stage@3 abort update@2 delete@4 purge vacuum@2)), $primary->connstr('postgres') ],
	'>', \$out, '2>', \$err);
$standby->command_checks_all(
	[ 'pgbench', '-n', '-c', 3, '-T', $seconds, $scripts->(qw(search@6 search_all@2 whole_gallery@2 slow_search@3)) ],
	0, [qr/processed/], [qr/^(?!.*(ERROR|aborted))/s], 'searches on the standby while the primary changes');
$changes->finish;
unlike($err, qr/ERROR|aborted/, 'changes on the primary');

$primary->safe_psql('postgres', 'REINDEX INDEX reference_face; VACUUM reference; CREATE INDEX another ON reference USING facematch (e); DROP INDEX another');
$primary->wait_for_catchup($standby);
check_index($primary, 'primary');
check_index($standby, 'standby');
$standby->promote;
$standby->safe_psql('postgres', 'INSERT INTO reference (gallery, e) SELECT i % 7, random_face() FROM generate_series(1, 500) i; DELETE FROM reference WHERE id % 2 = 0; VACUUM reference');
check_index($standby, 'the promoted standby');
$_->stop for $standby, $primary;
done_testing();
