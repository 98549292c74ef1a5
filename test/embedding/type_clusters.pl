# face_embedding beyond one session: dumps give back identical values with their tags, and no failed statement puts a
# component into the server log.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', "log_statement = none\nlog_min_error_statement = error");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE origin');
$node->safe_psql('origin', q{
	CREATE EXTENSION facematch CASCADE;
	CREATE TABLE enrolled (id int PRIMARY KEY, any_kind face_embedding, stamped face_embedding(3,7), several face_embedding[],
		probe face_probe, usual face_embedding(2,5) DEFAULT '[1,2]');
	INSERT INTO enrolled
	SELECT i, e, CASE WHEN i % 5 > 0 THEN e END, ARRAY[e, face_with_model(e, 7)], face_probe(e, sin(i))
	FROM generate_series(1, 2000) i,
		LATERAL (SELECT ARRAY[sin(i) * 2 ^ (i % 41 - 25), cos(i), 1e-7 * (i % 7)]::face_embedding AS made) x,
		LATERAL (SELECT CASE WHEN i % 3 = 0 THEN face_with_model(made, 7) ELSE made END AS e) y;
	CREATE INDEX ON enrolled (stamped);
	CREATE VIEW tagged AS SELECT id, any_kind <=> '7:[1,0.5,0]'::face_embedding AS d FROM enrolled;
});

# The wire form tells apart what the text may not; a digest over all rows in order.
my $digest = q{
	SELECT md5(string_agg(id || ' ' || face_embedding_send(any_kind)::text || coalesce(face_embedding_send(stamped)::text, '-')
		|| (SELECT string_agg(face_embedding_send(x)::text, ' ') FROM unnest(several) x) || face_probe_send(probe)::text || face_embedding_send(usual)::text, ',' ORDER BY id))
	FROM enrolled};
my $expected = $node->safe_psql('origin', $digest);
is($node->safe_psql('origin', 'SELECT count(DISTINCT face_model(any_kind)) FROM enrolled'), '2', 'the rows are tagged and untagged');

my $dump = "$PostgreSQL::Test::Utils::tmp_check/origin";
for my $format ([ 'plain', [] ], [ 'plain', ['--inserts'] ], [ 'custom', [] ])
{
	my ($kind, $options) = @$format;
	my $name = join(' ', $kind, @$options);
	my $restored = 'restored_' . ($name =~ s/\W+/_/gr);

	$node->command_ok([ 'pg_dump', '-d', $node->connstr('origin'), "--format=$kind", @$options, '-f', $dump ], "dump: $name");
	$node->safe_psql('postgres', "CREATE DATABASE $restored");
	$node->command_ok(
		$kind eq 'plain'
		? [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($restored), '-f', $dump ]
		: [ 'pg_restore', '-d', $node->connstr($restored), '--exit-on-error', $dump ],
		"restore: $name");
	is($node->safe_psql($restored, $digest), $expected, "identical values: $name");
	is( $node->safe_psql($restored, q{
			SELECT string_agg(format_type(atttypid, atttypmod), ' ' ORDER BY attnum) FROM pg_attribute
			WHERE attrelid = 'enrolled'::regclass AND attnum > 1}),
		'face_embedding face_embedding(3,7) face_embedding[] face_probe face_embedding(2,5)',
		"identical column types: $name");
	is($node->safe_psql($restored, 'SELECT count(*) FROM tagged'), '2000', "the view works: $name");
	# what a dump cannot carry, the extension makes again: arrays are analyzed without their values
	$node->safe_psql($restored, 'ANALYZE enrolled');
	is( $node->safe_psql($restored, q{
			SELECT count(*) FROM pg_stats WHERE tablename = 'enrolled' AND attname <> 'id'
			AND (most_common_vals IS NOT NULL OR histogram_bounds IS NOT NULL OR most_common_elems IS NOT NULL)}),
		'0', "no template in pg_statistic: $name");
}

my $copy = "$PostgreSQL::Test::Utils::tmp_check/binary";
$node->safe_psql('origin', qq{
	CREATE TABLE copied (LIKE enrolled);
	COPY enrolled TO '$copy' (FORMAT binary);
	COPY copied FROM '$copy' (FORMAT binary);
});
is($node->safe_psql('origin', $digest =~ s/enrolled/copied/r), $expected, 'identical values: binary COPY');

# Where there is no key, logical replication finds a row by all its columns, with the type's own equality.
my $seen = 'CREATE TABLE seen (id int, template face_embedding, probe face_probe)';
$node->safe_psql('origin', "$seen; ALTER TABLE seen REPLICA IDENTITY FULL; CREATE PUBLICATION seen FOR TABLE seen;
	SELECT pg_create_logical_replication_slot('seen', 'pgoutput')");
$node->safe_psql('postgres', 'CREATE DATABASE follower');
$node->safe_psql('follower', "CREATE EXTENSION facematch CASCADE; $seen");
$node->safe_psql('follower', q{CREATE SUBSCRIPTION seen CONNECTION '} . $node->connstr . q{ dbname=origin' PUBLICATION seen WITH (create_slot = false, copy_data = false)});
$node->safe_psql('origin', q{
	INSERT INTO seen SELECT id, any_kind, probe FROM enrolled WHERE id <= 100;
	UPDATE seen SET id = -id WHERE id % 3 = 0;
	DELETE FROM seen WHERE id % 5 = 0;
});
$node->wait_for_catchup('seen');
my $rows = q{SELECT count(*), md5(string_agg(id || template::text || probe::text, ' ' ORDER BY id)) FROM seen};
is($node->safe_psql('follower', $rows), $node->safe_psql('origin', $rows), 'a subscriber finds rows by their templates and probes');
is($node->safe_psql('follower', 'SELECT count(*), count(*) FILTER (WHERE id < 0) FROM seen'), '80|27', 'and had some to change and to remove');
$node->safe_psql('follower', 'DROP SUBSCRIPTION seen');

# Statements that fail over a template.  The mark is in the statement itself, which the log would repeat.
my $log_start = -s $node->logfile;
my @failing = (
	q{SELECT '[0.7310586,x]'::face_embedding},
	q{SELECT '[0.7310586,NaN]'::face_embedding},
	q{SELECT '[0.7310586,70000]'::face_embedding},
	q{SELECT '0:[0.7310586]'::face_embedding},
	q{INSERT INTO enrolled (id, stamped) VALUES (0, '[0.7310586]')},
	q{INSERT INTO enrolled (id, stamped) VALUES (0, '8:[0.7310586,1,2]')},
	q{SELECT '{0.7310586,NaN}'::real[]::face_embedding},
	q{SELECT ARRAY[0.7310586,NULL]::face_embedding},
	q{SELECT '0.5@[0.7310586'::face_probe},
	"COPY enrolled (id, stamped) FROM stdin;\n0\t[0.7310586,x]\n\\.\n",
	"COPY enrolled (id, stamped) FROM stdin;\n0\t[0.7310586,\xff]\n\\.\n");
for my $statement (@failing)
{
	my ($status, $out, $said) = $node->psql('origin', $statement);
	my @told = grep { !/^LINE \d+:/ } split /\n/, $said;	# psql's own quotation of the statement

	isnt($status, 0, 'fails: ' . substr($statement =~ s/\s+/ /gr, 0, 60));
	unlike(join("\n", @told), qr/7310586/, 'and tells the client no component');
}
my $log = slurp_file($node->logfile, $log_start);
my @errors = $log =~ /ERROR: /g;
is(scalar @errors, scalar @failing, 'the log has every error');
unlike($log, qr/7310586/, 'and no component');

$node->stop;
done_testing();
