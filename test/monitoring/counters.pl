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
	SELECT facematch_internal.reset_stats();
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

is($node->safe_psql('postgres', "SELECT facematch_internal.reset_stats(); $sums"), "\nt|0|0|0", 'reset for all');
$node->safe_psql('postgres', $search);
$node->restart;
is($node->safe_psql('postgres', $sums), 't|0|0|0', 'counting begins again with the server');
$node->stop('immediate');
$node->start;
$node->safe_psql('postgres', $search);
is($node->safe_psql('postgres', $sums), 't|1|500|1', 'and after a crash');

# The owner of a table locks it, or a partition or an index of it, and leaves it so: what looks at all tables looks at the others.
$node->safe_psql('postgres', q{
	CREATE ROLE owner LOGIN;
	CREATE SCHEMA theirs AUTHORIZATION owner;
	GRANT USAGE ON SCHEMA public TO owner;
	INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES ('r', 'us_citizen', 'thing', '{recorded}', '{1 day}', 'site rule');
	SET ROLE owner;
	CREATE TABLE theirs.plain (id int PRIMARY KEY, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, e public.face_embedding);
	CREATE TABLE theirs.open (LIKE theirs.plain INCLUDING ALL);
	CREATE TABLE theirs.parts (LIKE theirs.plain) PARTITION BY RANGE (id);
	CREATE TABLE theirs.part PARTITION OF theirs.parts FOR VALUES FROM (0) TO (9);
	RESET ROLE;
	SELECT facematch.retain('theirs.' || name, 'thing') FROM unnest('{plain,open,parts}'::text[]) name;
	INSERT INTO theirs.plain VALUES (1, 'us_citizen', now(), NULL, '[1]');
	INSERT INTO theirs.parts VALUES (1, 'us_citizen', now(), NULL, '[1]');
	INSERT INTO theirs.open VALUES (1, 'us_citizen', '2020-01-01', NULL, '[1]');
});
my @looks = (
	[ 'purge_lag()', q{SELECT string_agg(table_name, ' ' ORDER BY table_name) FROM facematch.purge_lag() WHERE lag IS NULL} ],
	[ 'stats', q{SELECT CASE WHEN purge_lag > '1 year' THEN tables_unseen END FROM facematch.stats} ],
	[ 'health_check()', q{SELECT replace(object, ',', '') FROM facematch.health_check() WHERE finding ~ 'another session has locked the table'} ],
	[ 'report_retention', q{SELECT string_agg(table_name, ' ' ORDER BY table_name) FROM facematch.report_retention WHERE rows_kept IS NULL} ],
	[ 'report_html()', q{SELECT substring(facematch.report_html(current_date, current_date) FROM 'has locked the table[^:]*: ([^<]*)\.</p>')} ],
	[ 'due_soon()', q{SELECT string_agg(table_name::text, ' ' ORDER BY table_name::text) FROM facematch.due_soon('2 days')} ]);
sub looks_are
{
	my ($tables, $count, $due, $when) = @_;
	my %answers = (stats => $count, 'report_html()' => $tables =~ s/ /, /gr, 'due_soon()' => $due);

	foreach my $look (@looks)
	{
		my ($name, $query) = @$look;
		# The page asks what the others do, and takes its time.
		next if $name eq 'report_html()' and $count != 2;
		# Longer than any takes that waits a second for one table and a tenth for others; it never ends otherwise.
		is($node->safe_psql('postgres', "SET client_min_messages = error; SET statement_timeout = '60s'; $query"), $answers{$name} // $tables, "$name: $when");
	}
}
looks_are('', '0', 'theirs.parts theirs.plain', 'nothing is locked');
foreach my $case ([ 'LOCK TABLE theirs.plain', 'theirs.plain', '1', 'theirs.parts', 'a table is' ],
	[ 'LOCK TABLE theirs.part, theirs.plain', 'theirs.parts theirs.plain', '2', '', 'a partition and a table are' ],
	[ 'REINDEX INDEX theirs.plain_purge_after_idx', 'theirs.plain', '1', 'theirs.parts', 'an index is' ])
{
	my ($lock, $tables, $count, $due, $when) = @$case;
	my $session = $node->background_psql('postgres', extra_params => [ '-U', 'owner' ]);

	$session->query_safe("BEGIN; $lock");
	looks_are($tables, $count, $due, $when);
	$session->quit;
}
looks_are('', '0', 'theirs.parts theirs.plain', 'all are unlocked again');

$node->stop;
done_testing();
