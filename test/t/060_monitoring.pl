# Counters of searches with the library loaded with the server: all sessions' together, over backends that end; reset; restart.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'facematch'\nmax_connections = 20\nfsync = off");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	CREATE TABLE face (embedding face_embedding);
	INSERT INTO face SELECT ARRAY[cos(i), sin(i), cos(i * i)]::real[] FROM generate_series(1, 500) i;
	CREATE INDEX ON face USING facematch (embedding);
	SELECT facematch.reset_stats();
});

my $search = q{SET enable_seqscan = off; SELECT FROM face ORDER BY embedding <=> '[1,0,0]' LIMIT 1;};
my $sums = 'SELECT server_wide, searches, templates_compared, rows_returned FROM facematch.stats';

# Backends one after another, and eight at a time.
$node->safe_psql('postgres', $search) for 1 .. 3;
is($node->safe_psql('postgres', $sums), 't|3|1500|3', 'searches of backends that have ended');
my $script = $node->basedir . '/search.sql';
append_to_file($script, "SET enable_seqscan = off;\nSELECT FROM face ORDER BY embedding <=> '[1,0,0]' LIMIT 1;\n");
$node->command_ok([ 'pgbench', '-n', '-c', 8, '-j', 2, '-t', 50, '-f', $script ], 'eight clients');
is($node->safe_psql('postgres', $sums), 't|403|201500|403', 'none of theirs is lost');
is($node->safe_psql('postgres', 'SELECT max(searches) FROM facematch.search_latency'), '403', 'all are in the histogram');

is($node->safe_psql('postgres', "SELECT facematch.reset_stats(); $sums"), "\nt|0|0|0", 'reset for all');
$node->safe_psql('postgres', $search);
$node->restart;
is($node->safe_psql('postgres', $sums), 't|0|0|0', 'counting begins again with the server');
$node->stop('immediate');
$node->start;
$node->safe_psql('postgres', $search);
is($node->safe_psql('postgres', $sums), 't|1|500|1', 'and after a crash');
$node->stop;
done_testing();
