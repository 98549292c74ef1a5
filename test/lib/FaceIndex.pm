# What the tests of the index share: a table with a facematch index, statements that change it, and the comparison of
# the index's answer with the sequential scan's in one snapshot.
package FaceIndex;

use strict;
use warnings;

use Exporter 'import';
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(long_run set_up seal_own_table check_sealed write_scripts check_index crash);

# LONG=1: the runs that take minutes.
sub long_run
{
	return $ENV{LONG} // 0;
}

# With SEALED=1, from then on templates that are written into these tables are sealed; of plain ones nothing changes.
sub seal_own_table
{
	my ($node, %column) = @_;

	return unless $ENV{SEALED};
	$node->safe_psql('postgres', slurp_file("$FindBin::Bin/../lib/own_table.sql"))
	  unless $node->safe_psql('postgres', "SELECT to_regproc('seal_own_table')");
	$node->safe_psql('postgres', join ' ', 'SELECT 1;', map { "SELECT seal_own_table('$_', '$column{$_}');" } sort keys %column);
	return;
}

# With SEALED=1, that all of a table's templates are sealed.
sub check_sealed
{
	my ($node, $table, $template) = @_;

	return unless $ENV{SEALED};
	is($node->safe_psql('postgres', "SELECT count(DISTINCT facematch_internal.sealed_by($template)) > 1, bool_and(facematch_internal.sealed_by($template) IS NOT NULL) FROM $table WHERE $template IS NOT NULL"),
		't|t', "$table: its templates are sealed");
	return;
}

sub set_up
{
	my ($node, $rows) = @_;

	$node->safe_psql('postgres', q{
		CREATE EXTENSION facematch CASCADE;
		CREATE FUNCTION random_face() RETURNS face_embedding LANGUAGE sql AS
			'SELECT array_agg(random() + random() + random() - 1.5)::real[]::face_embedding FROM generate_series(1, 40)';
		CREATE TABLE reference (id bigserial PRIMARY KEY, gallery int, e face_embedding);
		CREATE INDEX reference_face ON reference USING facematch (gallery, e);

		-- The k nearest of a gallery (of all, if it is NULL) by the index and by a sequential scan.  Both see the same
		-- snapshot only in a REPEATABLE READ transaction.  pause: seconds to wait with the index scan half way.
		CREATE FUNCTION compare_search(probe face_embedding, wanted int, k int, pause float8) RETURNS bigint LANGUAGE plpgsql AS $$
		DECLARE
			query text := 'SELECT id, e <=> $1 AS d FROM reference WHERE e IS NOT NULL' ||
				CASE WHEN wanted IS NULL THEN '' ELSE ' AND gallery = ' || wanted END || ' ORDER BY e <=> $1';
			search refcursor;
			row record;
			ids bigint[] := '{}';
			distances float8[] := '{}';
			truth float8[];
		BEGIN
			PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true),
				set_config('enable_indexscan', 'on', true), set_config('enable_bitmapscan', 'off', true);
			OPEN search FOR EXECUTE query USING probe;
			LOOP
				FETCH search INTO row;
				EXIT WHEN NOT FOUND OR cardinality(ids) = k;
				ids := ids || row.id;
				distances := distances || row.d;
				IF pause > 0 AND cardinality(ids) = 3 THEN
					PERFORM pg_sleep(pause);
				END IF;
			END LOOP;
			CLOSE search;
			PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true), set_config('enable_indexscan', 'off', true);
			EXECUTE 'SELECT coalesce(array_agg(d), ''{}'') FROM (' || query || ' LIMIT $2) s' INTO truth USING probe, k;
			IF distances <> truth OR (SELECT count(DISTINCT i) FROM unnest(ids) i) <> cardinality(ids) THEN
				RAISE EXCEPTION 'index and sequential scan disagree: gallery %, % and % rows of %, % of them missing', wanted,
					cardinality(distances), cardinality(truth), k, (SELECT count(*) FROM (SELECT unnest(truth) EXCEPT SELECT unnest(distances)) x);
			END IF;
			RETURN cardinality(ids);
		END
		$$;});
	seal_own_table($node, reference => 'e');
	$node->safe_psql('postgres',
		"INSERT INTO reference (gallery, e) SELECT i % 7, random_face() FROM generate_series(1, $rows) i; ANALYZE reference");
	check_sealed($node, 'reference', 'e');
	return;
}

# Scripts for pgbench, by name; returns a function from names to pgbench's arguments (name or name@weight).
sub write_scripts
{
	my ($dir) = @_;
	my $rr = "BEGIN ISOLATION LEVEL REPEATABLE READ;\n";
	my %scripts = (
		search => "\\set g random(0, 11)\n$rr SELECT compare_search(random_face(), :g, 10, 0);\nCOMMIT;\n",
		search_all => "$rr SELECT compare_search(random_face(), NULL, 20, 0);\nCOMMIT;\n",
		whole_gallery => "\\set g random(0, 11)\n$rr SELECT compare_search(random_face(), :g, NULL, 0);\nCOMMIT;\n",
		slow_search => "\\set g random(0, 11)\n$rr SELECT compare_search(random_face(), :g, NULL, 0.02);\nCOMMIT;\n",
		insert => "\\set g random(0, 11)\n\\set n random(1, 30)\nINSERT INTO reference (gallery, e) SELECT :g, random_face() FROM generate_series(1, :n);\n",
		stage => "\\set g random(1000, 1000000)\nINSERT INTO reference (gallery, e) SELECT :g, random_face() FROM generate_series(1, 5);\n",
		abort => "\\set g random(0, 11)\nBEGIN;\nINSERT INTO reference (gallery, e) SELECT :g, random_face() FROM generate_series(1, 20);\nROLLBACK;\n",
		update => "\\set g random(0, 11)\n\\set r random(0, 19)\nUPDATE reference SET e = random_face() WHERE gallery = :g AND id % 20 = :r AND id IN (SELECT id FROM reference WHERE gallery = :g FOR UPDATE SKIP LOCKED);\n",
		delete => "\\set g random(0, 11)\n\\set r random(0, 6)\nDELETE FROM reference WHERE id IN (SELECT id FROM reference WHERE gallery = :g AND id % 7 = :r FOR UPDATE SKIP LOCKED);\n",
		purge => "\\set g random(0, 40)\nDELETE FROM reference WHERE id IN (SELECT id FROM reference WHERE gallery = :g OR gallery > 999 FOR UPDATE SKIP LOCKED);\n",
		vacuum => "VACUUM (INDEX_CLEANUP ON) reference;\n",
		rebuild => "REINDEX INDEX CONCURRENTLY reference_face;\n",
		build => "CREATE INDEX another_:client_id ON reference USING facematch (e);\nDROP INDEX another_:client_id;\n");

	for my $name (keys %scripts)
	{
		append_to_file("$dir/$name.sql", $scripts{$name});
	}
	return sub {
		return map { /^(\w+)(@\d+)?$/; ('-f', "$dir/$1.sql" . ($2 // '')) } @_;
	};
}

# The index's answers now are those of sequential scans, and it finds nothing wrong with itself.
sub check_index
{
	my ($node, $what) = @_;
	my ($out, $err);
	my $query = q{
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT count(compare_search(random_face(), g, NULL, 0)) FROM (SELECT DISTINCT gallery AS g FROM reference ORDER BY 1 LIMIT 30) s;
		SELECT compare_search(random_face(), NULL, NULL, 0) = count(*) FROM reference;
		COMMIT;};

	# with the whole table, which takes a lock that a standby does not give
	$query .= "SELECT facematch.index_check('reference_face', NOT pg_is_in_recovery());";
	my $status = $node->psql('postgres', $query, stdout => \$out, stderr => \$err, on_error_stop => 1);
	is($err, '', "$what: index and sequential scan agree");
	return $status == 0;
}

# kill -9 of every process of the server at once.
sub crash
{
	my ($node) = @_;
	my $postmaster = $node->{_pid};
	my @children;

	for my $stat (glob '/proc/[0-9]*/stat')
	{
		open my $fh, '<', $stat or next;
		my $line = <$fh> // '';
		close $fh;
		push @children, $1 if $line =~ /^(\d+) \(.*\) \S $postmaster /;
	}
	kill 'KILL', $postmaster, @children;
	for my $pid ($postmaster, @children)
	{
		for (1 .. 1000)
		{
			open my $fh, '<', "/proc/$pid/stat" or last;
			last if (<$fh> // ') Z ') =~ /\) Z /;
			select undef, undef, undef, 0.01;
		}
	}
	$node->{_pid} = undef;
	# Nobody may have waited for the postmaster: a zombie still has its process id, and the lock files would count.
	unlink $node->data_dir . '/postmaster.pid', $node->host . '/.s.PGSQL.' . $node->port . '.lock';
	return;
}

1;
