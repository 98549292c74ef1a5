# facematch.index_check() without heapallindexed, while sessions insert, delete and vacuum, reports nothing of a sound
# index; with heapallindexed it keeps writers out, and both waits end.
use strict;
use warnings;
use FaceIndex;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant ROUNDS => 300;    # of each writer

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\nlog_statement = none");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	CREATE TABLE source AS SELECT i, (SELECT array_agg(sin(i * 12.9898 + d * 8.233)) FROM generate_series(1, 256) d)::real[]::face_embedding AS e
	FROM generate_series(1, 200) i;
	CREATE TABLE faces (gallery int, embedding face_embedding);
	CREATE INDEX by_gallery ON faces USING facematch (gallery, embedding);
});
seal_own_table($node, faces => 'embedding');

# Galleries come, go and are refilled: lists are made, extended, emptied and given back.
my $write = "$PostgreSQL::Test::Utils::tmp_check/write.sql";
append_to_file($write, q{
\set gallery random(1, 12)
\set first random(1, 150)
INSERT INTO faces SELECT :gallery, e FROM source WHERE i BETWEEN :first AND :first + 49;
\set gallery random(1, 12)
DELETE FROM faces WHERE gallery = :gallery AND random() < 0.9;
});
my $vacuum = "$PostgreSQL::Test::Utils::tmp_check/vacuum.sql";
append_to_file($vacuum, "VACUUM faces;\n");

my @background;
my $noise = '';
for my $script ([ $write, 2 ], [ $vacuum, 1 ])
{
	push @background, IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', $script->[1], '-t', ROUNDS, '-f', $script->[0], 'postgres' ],
		'<', \undef, '>', \$noise, '2>', \$noise);
}
my ($checks, $problems) = (0, '');
while (grep { $_->pumpable && ($_->pump_nb, 1) } @background)
{
	last if $checks++ > 10000;
	$problems .= $node->safe_psql('postgres', q{SET statement_timeout = '60s'; SELECT * FROM facematch_internal.index_problems('by_gallery')});
	$problems .= $node->safe_psql('postgres', q{SET statement_timeout = '60s'; SELECT * FROM facematch_internal.index_problems('by_gallery', true)}) if $checks % 5 == 0;
}
ok($_->finish, 'writers and vacuum came to their end') or diag($noise) for @background;
cmp_ok($checks, '>', 1, 'there were checks meanwhile');
is($problems, '', 'no problem of a sound index');
is($node->safe_psql('postgres', q{SELECT * FROM facematch_internal.index_problems('by_gallery', true)}), '', 'nor afterwards');
# VACUUM leaves the index alone where few pages have dead rows, unless it is told not to.
is( $node->safe_psql('postgres', q{VACUUM (INDEX_CLEANUP ON) faces; SELECT templates FROM facematch.index_stats('by_gallery')}),
	$node->safe_psql('postgres', 'SELECT count(*) FROM faces'), 'it has every row');
$node->stop;
done_testing();
