# Citus, where it is installed: searches of a distributed table are those of a local one, before and after a shard moves;
# what must not give an empty or a wrong answer says so: subject_id(), verify_erased(), avg(), the extension's own tables.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $share = `pg_config --sharedir`;
chomp $share;
plan skip_all => 'Citus is not installed' unless -e "$share/extension/citus.control";

use constant { DIMS => 128, ROWS => 20000, GALLERIES => 40, PROBES => 200 };

# Citus moves shards by TCP alone, here on the loopback interface.
$PostgreSQL::Test::Cluster::use_tcp = 1;
$PostgreSQL::Test::Cluster::test_pghost = '127.0.0.1';
my %node = map { $_ => PostgreSQL::Test::Cluster->new($_) } qw(coordinator worker1 worker2);
for my $node (values %node)
{
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'citus'\nfsync = off\njit = off\ncitus.shard_count = 8\n"
		. "citus.node_conninfo = 'sslmode=prefer'\nmax_prepared_transactions = 50\nmax_connections = 100\n");
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION citus');
}
my $main = $node{coordinator};

sub run { return $main->safe_psql('postgres', @_); }

sub refused
{
	my ($query) = @_;
	my ($code, undef, $error) = $main->psql('postgres', "\\set VERBOSITY verbose\n$query");
	return $code == 0 ? 'not refused' : $error;
}

run(sprintf q{SELECT citus_set_coordinator_host('%s', %d)}, $main->host, $main->port);
run(sprintf q{SELECT citus_add_node('%s', %d)}, $node{$_}->host, $node{$_}->port) for qw(worker1 worker2);
run('CREATE EXTENSION facematch CASCADE');

# A template is a function of its number, so that the tables need not be copied.
run(sprintf q{
	SET citus.enable_ddl_propagation = off;
	CREATE TABLE local_face (id bigint, gallery int, subject uuid, e face_embedding(%d, 1));
	SELECT setseed(0.5);
	INSERT INTO local_face SELECT n, n %% %d, gen_random_uuid(), (SELECT array_agg(random() - 0.5) FROM generate_series(1, %1$d + 0 * n))
		FROM generate_series(1, %d) n;
	CREATE INDEX ON local_face USING facematch (gallery, e);
	CREATE TABLE probe AS SELECT f.id, f.gallery, (SELECT array_agg(v + 0.4 * (random() - 0.5))::face_embedding FROM unnest(f.e::real[]) v) AS e
		FROM local_face f WHERE f.id %% %d = 0;
	ANALYZE}, DIMS, GALLERIES, ROWS, ROWS / PROBES);
run(sprintf q{CREATE TABLE face (id bigint, gallery int, subject uuid, e face_embedding(%d, 1))}, DIMS);
run(q{SELECT create_distributed_table('face', 'gallery')});
run('INSERT INTO face SELECT * FROM local_face');
run('CREATE INDEX ON face USING facematch (gallery, e)');

# The three ways to search, for each probe, as one text; the templates go as literals, as Citus wants constants.
sub answers
{
	my ($table) = @_;
	return run(qq{
		CREATE OR REPLACE FUNCTION pg_temp.search() RETURNS SETOF text LANGUAGE plpgsql AS \$\$
		DECLARE
			p record;
			found text;
		BEGIN
			FOR p IN SELECT * FROM probe ORDER BY id LOOP
				EXECUTE format('SELECT string_agg(id::text, '','' ORDER BY d) FROM (SELECT id, e <=> %L::face_embedding AS d FROM $table ORDER BY d LIMIT 3) f', p.e) INTO found;
				RETURN NEXT found;
				EXECUTE format('SELECT string_agg(id::text, '','' ORDER BY d) FROM (SELECT id, e <=> %L::face_embedding AS d FROM $table'
					' WHERE gallery = %s ORDER BY d LIMIT 3) f', p.e, p.gallery) INTO found;
				RETURN NEXT found;
				EXECUTE format('SELECT string_agg(id::text, '','' ORDER BY id) FROM $table WHERE face_match(e, %L::face_embedding, 0.3)', p.e) INTO found;
				RETURN NEXT found;
			END LOOP;
		END \$\$;
		SELECT pg_temp.search()});
}

my $local = answers('local_face');
is(answers('face'), $local, 'searches of the distributed table are those of the local one');
like(run(q{EXPLAIN (COSTS OFF) SELECT id FROM face WHERE gallery = 7 ORDER BY e <=> (SELECT e FROM probe LIMIT 1) LIMIT 1}), qr/Custom Scan/, 'by Citus');
run(sprintf q{SELECT citus_move_shard_placement(shardid, nodename, nodeport, '%s', %d, 'block_writes') FROM citus_shards
	WHERE table_name = 'face'::regclass AND nodeport <> %3$d ORDER BY shardid LIMIT 1}, $node{worker2}->host, $node{worker2}->port, $node{worker2}->port);
is(answers('face'), $local, 'and after a shard has moved');

my $subject = q{facematch.subject_id('UTO', 'passport', 'P1')};
run("UPDATE face SET subject = (SELECT $subject) WHERE gallery = 3 AND id = 3");
like(refused("SELECT count(*) FROM face WHERE subject = $subject"), qr/55000.*a worker of Citus has a key of its own/s, 'subject_id() on a worker');
is(run(sprintf q{SELECT id FROM face WHERE subject = '%s'}, run("SELECT $subject")), '3', 'its result as a parameter');

run('DELETE FROM face WHERE id % 2 = 0');
like(run(q{SELECT note FROM facematch.verify_erased('face') WHERE part = 'verdict'}), qr/this server cannot check: .*shards/, 'verify_erased() of the whole');
my $note = run(q{SELECT note FROM facematch.verify_erased('face') WHERE part = 'shards'});
my ($ask) = $note =~ /(SELECT \* FROM.*)$/;
like(run($ask), qr/not clean/, 'and of the shards, by the statement that it names');

is(run('SELECT face_mean(e) = (SELECT avg(e) FROM local_face WHERE gallery = 5 AND id % 2 = 1) FROM face WHERE gallery = 5'), 't', 'face_mean() of one node');
is(run('SELECT (SELECT face_mean(e) FROM face) <=> (SELECT avg(e) FROM local_face WHERE id % 2 = 1) < 1e-5'), 't', 'and of all');
like(refused('SELECT avg(e) FROM face'), qr/42883.*face_embedding \/ numeric/s, 'avg(), which Citus takes apart, is an error and no other answer');

like(refused(q{SELECT create_distributed_table('facematch.reference', 'gallery_id')}), qr/cannot distribute relation "reference" because it has triggers/, 'the references themselves');
like(refused(q{SELECT facematch.retain('face', 'face')}), qr/42809.*face is distributed by Citus/s, 'retention of a distributed table');

$_->stop for values %node;
done_testing();
