# kill -9 of all processes during insertion, deletion, vacuum and build; after recovery the index's answers are exact.
# Eight times; LONG=1: 60 times.
use strict;
use warnings;

use FaceIndex;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off\nmax_connections = 40\nrestart_after_crash = off\n"
	. "checkpoint_timeout = 30s\nwal_writer_delay = 10ms");
$node->start;
set_up($node, 2000);
$node->safe_psql('postgres', q{
	CREATE UNLOGGED TABLE unlogged (e face_embedding);
	CREATE INDEX unlogged_face ON unlogged USING facematch (e);
	INSERT INTO unlogged SELECT random_face() FROM generate_series(1, 300)});
my $scripts = write_scripts($node->basedir);
my @mixes = (
	[qw(insert stage abort)], [qw(insert delete vacuum)], [qw(insert@3 purge vacuum)],
	[qw(update vacuum@2 insert)], [qw(insert build)], [qw(insert delete rebuild vacuum)]);

for my $time (1 .. (long_run() ? 60 : 8))
{
	my $mix = $mixes[ $time % @mixes ];
	my ($out, $err) = ('', '');
	my $bench = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-T', 60, $scripts->(@$mix), $node->connstr('postgres') ], '>', \$out, '2>', \$err);

	select undef, undef, undef, 0.1 + rand(1.2);
	$node->safe_psql('postgres', 'CHECKPOINT') if rand() < 0.3;
	select undef, undef, undef, rand(0.3);
	crash($node);
	$bench->finish;
	unlike($err, qr/ERROR/, "time $time, @$mix: no error before the crash");
	$node->start;
	# what builds that did not finish have left
	$node->safe_psql('postgres', "DROP INDEX $_")
	  for split /\n/, $node->safe_psql('postgres', "SELECT indexrelid::regclass FROM pg_index WHERE indexrelid::regclass::text ~ '_ccold|_ccnew|another'");
	check_index($node, "time $time, @$mix") or last;
}
is($node->safe_psql('postgres', q{
		SELECT count(*) FROM unlogged;
		INSERT INTO unlogged SELECT random_face() FROM generate_series(1, 30);
		SET enable_seqscan = off;
		SELECT count(*) FROM (SELECT FROM unlogged ORDER BY e <=> random_face()) s}),
	"0\n30", 'an unlogged index is empty after a crash, and usable');
$node->safe_psql('postgres', 'VACUUM reference');
check_index($node, 'vacuumed');
$node->stop;
done_testing();
