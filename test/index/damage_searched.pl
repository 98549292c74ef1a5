# Damaged index pages give an error or a correct answer, never a crash, a hang or a wrong distance.
#
# Many small tables have an index each.  With the server down, a page of every index is damaged; then each is searched,
# inserted into and vacuumed, and all files are put back.  Without data checksums a changed code is not to be told from
# a right one: rows may be missing then, but what is returned is right, and nothing else may happen.  With checksums, and
# with pages of zeros without them, every answer is complete or an error.
#
# 200 damaged pages with and without checksums; LONG=1: 5,000 each.
use strict;
use warnings;

use Checksums;
use FaceIndex;
use File::Copy;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $tables = 100;
my $cycles = long_run() ? 50 : 2;
my $page_size = 8192;
my $seed = $ENV{SEED} // time;

srand($seed);
diag("SEED=$seed");

my $set_up = q{
	CREATE EXTENSION facematch CASCADE;
	CREATE FUNCTION random_face(dims int) RETURNS face_embedding LANGUAGE sql AS
		'SELECT array_agg(random() + random() + random() - 1.5)::real[]::face_embedding FROM generate_series(1, dims)';
	CREATE TABLE probe AS SELECT d AS dims, random_face(d) AS e FROM unnest('{20,512}'::int[]) d;
	DO $$
	BEGIN
		FOR t IN 1..TABLES LOOP
			EXECUTE format('CREATE TABLE t%s (id int, g int, e face_embedding) WITH (autovacuum_enabled = off)', t);
			IF to_regproc('seal_own_table') IS NOT NULL THEN
				PERFORM seal_own_table(format('t%s', t)::regclass, 'e');
			END IF;
			EXECUTE format('INSERT INTO t%s SELECT i, i %% 3, random_face(%s) FROM generate_series(1, %s) i', t,
				CASE WHEN t % 4 = 0 THEN 512 ELSE 20 END, CASE WHEN t % 4 = 0 THEN 150 ELSE 500 END);
			EXECUTE format('CREATE INDEX t%s_face ON t%s USING facematch (g, e)', t, t);
			-- as they become with time: holes, pages emptied and taken again
			EXECUTE format('INSERT INTO t%s SELECT i, i %% 5, random_face(%s) FROM generate_series(1001, 1100) i', t, CASE WHEN t % 4 = 0 THEN 512 ELSE 20 END);
			EXECUTE format('DELETE FROM t%s WHERE g = 4 OR id %% 10 = 0', t);
			EXECUTE format('CREATE TABLE truth%s AS SELECT id, g, e <=> p.e AS d FROM t%s JOIN probe p USING (e) WHERE false', t, t);
		END LOOP;
	END
	$$;

	-- Every kind of search of a table, each outcome a row: complete, missing N, wrong, or the error's code.
	CREATE FUNCTION search(t int) RETURNS TABLE (what text, outcome text) LANGUAGE plpgsql AS $$
	DECLARE
		p face_embedding := (SELECT e FROM probe WHERE dims = CASE WHEN t % 4 = 0 THEN 512 ELSE 20 END);
		condition text;
		ordering text;
		query text;
		ids int[];
		distances float8[];
		truth float8[];
		wrong int;
	BEGIN
		FOREACH condition IN ARRAY ARRAY['true', 'g = 1', 'g = ANY (''{0,2,4}'')', 'face_match(e, $1, 0.1)', 'g = 0 AND face_match(e, $1, 0.0)'] LOOP
			FOREACH ordering IN ARRAY ARRAY['ORDER BY e <=> $1 LIMIT 5', 'ORDER BY e <-> $1', ''] LOOP
				CONTINUE WHEN ordering = '' AND condition !~ 'face_match';
				what := condition || ' ' || ordering;
				query := format('SELECT array_agg(id), array_agg(d) FROM (SELECT id, %s AS d FROM t%s WHERE %s %s) s',
					coalesce(substring(ordering from 'e <.> .1'), '0::float8'), t, condition, ordering);
				PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'off', true),
					set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'on', true);
				EXECUTE query INTO ids, truth USING p;
				PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'on', true), set_config('enable_sort', 'off', true);
				BEGIN
					EXECUTE query INTO ids, distances USING p;
					EXECUTE format('SELECT count(*) FROM unnest($2, $3) f(id, d) LEFT JOIN t%s t USING (id) WHERE t.id IS NULL OR %s <> f.d OR (%s) IS NOT TRUE',
						t, coalesce(substring(ordering from 'e <.> .1'), '0::float8'), condition) INTO wrong USING p, ids, distances;
					outcome := CASE WHEN wrong > 0 THEN 'wrong' WHEN distances IS NOT DISTINCT FROM truth THEN 'complete'
						WHEN (SELECT count(DISTINCT i) FROM unnest(ids) i) < cardinality(ids) THEN 'twice'
						ELSE 'missing' END;
				EXCEPTION WHEN others THEN
					outcome := SQLSTATE;
				END;
				RETURN NEXT;
			END LOOP;
		END LOOP;
	END
	$$;
	VACUUM;
	VACUUM FREEZE;
	CHECKPOINT;};
$set_up =~ s/TABLES/$tables/;
$set_up =~ s/\t\t\tEXECUTE format\('CREATE TABLE truth.*\n//;

# One page, damaged in one of many ways.
sub damage
{
	my ($path) = @_;
	my $pages = (-s $path) / $page_size;
	my $victim = int(rand($pages));
	my $way = int(rand(8));
	my $page;

	open my $fh, '+<:raw', $path or die "$path: $!";
	seek($fh, $victim * $page_size, 0);
	read($fh, $page, $page_size);
	if ($way == 0) { $page = "\0" x $page_size; }
	elsif ($way == 1)
	{
		my $other = int(rand($pages));

		seek($fh, $other * $page_size, 0);
		read($fh, $page, $page_size);
	}
	elsif ($way == 2) { $page = join('', map { chr(int(rand(256))) } 1 .. $page_size); }
	elsif ($way == 3)
	{
		# what lies behind the page's header, so that the header passes
		substr($page, 24, $page_size - 24) = join('', map { chr(int(rand(256))) } 25 .. $page_size);
	}
	elsif ($way == 4)
	{
		substr($page, int(rand($page_size)), 1) = chr(int(rand(256))) for 1 .. 1 + int(rand(60));
	}
	elsif ($way == 5)
	{
		# a word near the start or the end, where links and counts are, becomes another plausible number
		my $at = 4 * int(rand(2) < 1 ? 6 + rand(20) : $page_size / 4 - 1 - rand(8));

		substr($page, $at, 4) = pack('L', (0, 1, int(rand($pages)), int(rand($pages)), 0xFFFFFFFF, int(rand(2**32)), int(rand(70000)))[ int(rand(7)) ]);
	}
	elsif ($way == 6)
	{
		# the same anywhere
		substr($page, 4 * int(6 + rand($page_size / 4 - 6)), 4) = pack('L', (0, int(rand($pages)), 0xFFFFFFFF, 0x7FC00000, 0xFF800000, int(rand(2**32)))[ int(rand(6)) ]) for 1 .. 1 + int(rand(8));
	}
	else
	{
		# numbers that are none, all over
		substr($page, 4 * int(6 + rand($page_size / 4 - 6)), 4) = pack('L', 0x7FC00000 | int(rand(2**22))) for 1 .. 200;
	}
	seek($fh, $victim * $page_size, 0);
	print $fh $page;
	close $fh;
	return ($way, $victim);
}

sub run
{
	my ($checksums) = @_;
	my $name = $checksums ? 'with checksums' : 'without checksums';
	my $node = PostgreSQL::Test::Cluster->new($checksums ? 'sums' : 'plain');
	my %files;
	my %outcomes;
	my @bad;
	my $crashed;

	$node->init(extra => $checksums ? ['--data-checksums'] : without_checksums($node));
	$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off\nrestart_after_crash = off\nlog_statement = none\nlog_min_messages = panic\nstatement_timeout = 30s");
	$node->start;
	seal_own_table($node);
	$node->safe_psql('postgres', $set_up);
	check_sealed($node, 't4', 'e');
	for (split /\n/, $node->safe_psql('postgres', "SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relname ~ '^t\\d+(_face)?\$'"))
	{
		$files{$1} = $node->data_dir . "/$2" if /^(\w+)\|(.*)$/;
	}
	$node->stop;
	# with the visibility and free space maps, which must fit the pages
	my @kept = grep { -e } map { ($_, "${_}_fsm", "${_}_vm") } values %files;
	copy($_, "$_.kept") for @kept;

	for my $cycle (1 .. $cycles)
	{
		my $log_start = -s $node->logfile;
		my $script = '';
		my %damaged;
		my ($out, $err) = ('', '');

		for my $t (1 .. $tables)
		{
			$damaged{$t} = [ damage($files{"t${t}_face"}) ];
			my $dims = $t % 4 ? 20 : 512;

			$script .= "\\echo table $t\nSELECT * FROM search($t);\n"
			  . "INSERT INTO t$t SELECT i, i % 5, random_face($dims) FROM generate_series(2001, 2040) i;\n"
			  . "DELETE FROM t$t WHERE id % 7 = 0;\nVACUUM (INDEX_CLEANUP ON) t$t;\n"
			  . "INSERT INTO t$t SELECT 3000, 1, random_face($dims);\nSELECT * FROM search($t);\n";
			$script .= "SELECT facematch.index_check('t${t}_face', true);\n";
		}
		$node->start;
		my $status = $node->psql('postgres', $script, stdout => \$out, stderr => \$err, on_error_stop => 0, timeout => 600);
		my $table = 0;

		for my $line (split /\n/, $out)
		{
			$table = $1 if $line =~ /^table (\d+)/;
			next unless $line =~ /^(.*)\|(\w+)$/;
			$outcomes{$2}++;
			push @bad, "cycle $cycle, table $table, way $damaged{$table}[0], page $damaged{$table}[1]: $1: $2"
			  if $2 eq 'wrong' || $2 eq '57014' || (($2 eq 'missing' || $2 eq 'twice') && ($checksums || $damaged{$table}[0] == 0));
		}
		if ($status != 0 && $err =~ /connection|terminat/ || $err =~ /canceling statement|PANIC/)
		{
			push @bad, "cycle $cycle, at table $table, way $damaged{$table}[0], page $damaged{$table}[1]: " . substr($err, -600)
			  . join("\n", slurp_file($node->logfile, $log_start) =~ /^TRAP.*$/mg);
			copy($files{"t${table}_face"}, "${PostgreSQL::Test::Utils::tmp_check}/damaged_$table");
			$node->{_pid} = undef if !-e $node->data_dir . '/postmaster.pid';
			$crashed = $err =~ /connection|terminat/;
		}
		$node->stop('fast', fail_ok => 1);
		for my $file (values %files)
		{
			unlink map { "$file$_" } '', '_fsm', '_vm';
		}
		copy("$_.kept", $_) for @kept;
		# The files that were put back are not those that a recovery begins with: what follows would say nothing.
		last if $crashed || @bad > 20;
	}
	is(join("\n", @bad), '', "$name: damaged pages give errors or right answers");
	cmp_ok($outcomes{complete} // 0, '>', 0, "$name: there were answers");
	cmp_ok($outcomes{XX002} // 0, '>', 0, "$name: there was damage");
	note("$name: " . join(', ', map { "$_ $outcomes{$_}" } sort keys %outcomes));
	return;
}

run(0);
run(1);
done_testing();
