# Sessions that insert, delete, update, search and vacuum at the same time: what a search's snapshot sees is found, once.
# 20 seconds; LONG=1: 10 minutes.
use strict;
use warnings;

use FaceIndex;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off\nmax_connections = 40\ndeadlock_timeout = 200ms\nlog_statement = none");
$node->start;
set_up($node, 3000);
my $scripts = write_scripts($node->basedir);

sub bench
{
	my ($seconds, $clients, @names) = @_;

	$node->command_checks_all([ 'pgbench', '-n', '-c', $clients, '-j', 2, '-T', $seconds, $scripts->(@names) ],
		0, [qr/processed/], [qr/^(?!.*(ERROR|aborted))/s], "@names");
	return;
}

my $unit = long_run() ? 30 : 1;
my @changes = qw(insert@6 stage@3 abort@1 update@2 delete@4 purge@1 vacuum@2);

bench(14 * $unit, 8, qw(search@6 search_all@2 whole_gallery@2 slow_search@3), @changes);
check_index($node, 'after the changes');
bench(3 * $unit, 6, qw(search@4 slow_search@2), @changes, 'rebuild');
check_index($node, 'with the index rebuilt under them');

# Everything leaves: the index gives its space back to the next ones.
$node->safe_psql('postgres', 'DELETE FROM reference; VACUUM reference; INSERT INTO reference (gallery, e) SELECT i % 7, random_face() FROM generate_series(1, 3000) i; VACUUM reference');
my $size = $node->safe_psql('postgres', "SELECT pg_relation_size('reference_face')");
for (1 .. 3)
{
	$node->safe_psql('postgres', 'DELETE FROM reference; VACUUM reference; INSERT INTO reference (gallery, e) SELECT i % 7, random_face() FROM generate_series(1, 3000) i; VACUUM reference');
}
is($node->safe_psql('postgres', "SELECT pg_relation_size('reference_face')"), $size, 'the index does not grow by being emptied and filled');
check_index($node, 'emptied and filled');

$node->stop;
done_testing();
