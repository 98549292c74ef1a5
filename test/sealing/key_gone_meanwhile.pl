# A key is destroyed in the middle of what needs it: a cursor, a scan by one process and by several, a build, VACUUM, many
# searches.  Nothing crashes; a search is no error, but finds nobody by that key any more, and everybody else; a build that has
# encoded templates of that key either ends well or says that it is to be repeated; no row is lost, and none is there twice.
use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $keys = PostgreSQL::Test::Utils::tempdir_short() . '/keys';
mkdir $keys, 0700 or die;
my $go = PostgreSQL::Test::Utils::tempdir_short() . '/go';
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off\nlog_statement = none\nrestart_after_crash = off\nshared_preload_libraries = facematch
facematch.key_directory = '$keys'\nmax_parallel_workers = 4\nmin_parallel_table_scan_size = 0\nmin_parallel_index_scan_size = 0\nparallel_setup_cost = 0\nparallel_tuple_cost = 0");
$node->start;
sub sql { return $node->safe_psql('postgres', @_); }

# Tables of copied templates: odd rows are under a key that stays, even ones under a key of the table's own, which is destroyed.
# stop() waits in a row for the test; then the session hears what the others did, or it does not.
sql(q{
	CREATE EXTENSION facematch CASCADE;
	CREATE FUNCTION face(seed int) RETURNS face_embedding LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
		SELECT array_agg(sin(seed * 12.9898 + i * 78.233 + seed * i * 0.37) + 0.3 ORDER BY i)::real[]::face_embedding FROM generate_series(1, 96) i $$;
	CREATE TABLE probe AS SELECT face(-1) AS p;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 7, 96);
	CREATE PROCEDURE stage(name text, first int, rows int) LANGUAGE sql AS $$
		INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES (name, 'flight', 'm', 0.1, now() + interval '6 hours');
		INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
			SELECT g.gallery_id, md5(n::text)::uuid, 'us_citizen', face(n), 's' FROM facematch.gallery g, generate_series(first, first + 2 * rows - 1, 2) n WHERE g.name = stage.name $$;
	CALL stage('kept', 1, 300);
	CREATE TABLE truth (id int PRIMARY KEY, d float8);
	CREATE TABLE heard ();
	CREATE PROCEDURE copy_to(name text) LANGUAGE plpgsql AS $$
	BEGIN
		CALL stage(name, 2, 300);
		EXECUTE format('CREATE TABLE %I (id int, e face_embedding) WITH (parallel_workers = 2)', name);
		EXECUTE format('INSERT INTO %I SELECT row_number() OVER (PARTITION BY gallery_id ORDER BY reference_id) * 2 - CASE g.name WHEN ''kept'' THEN 1 ELSE 0 END AS id, embedding
			FROM facematch.reference JOIN facematch.gallery g USING (gallery_id) WHERE g.name IN (''kept'', %L) ORDER BY id', name, name);
		EXECUTE format('INSERT INTO truth SELECT id, e <=> p FROM %I, probe ON CONFLICT DO NOTHING', name);
	END $$;} . qq{
	CREATE FUNCTION stop(i int, here int, hear boolean) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS \$\$
	BEGIN
		IF i = here THEN
			WHILE (pg_stat_file('$go', true)).size IS NULL LOOP
				PERFORM pg_sleep(0.02);
			END LOOP;
			IF hear THEN
				PERFORM FROM public.heard;
			END IF;
		END IF;
		RETURN true;
	END \$\$});

# The purge's own step, once nobody is enrolled under the key.
sub destroy
{
	my ($name) = @_;

	sql("DELETE FROM facematch.reference WHERE gallery_id = (SELECT gallery_id FROM facematch.gallery WHERE name = '$name')");
	is(sql('SELECT facematch_internal.destroy_template_keys()'), '1', "$name: a key is destroyed meanwhile");
	return;
}

# psql in the background, which reads the statement from a file.
sub start
{
	my ($statement, $out, $err) = @_;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/statement.sql";

	unlink $file;
	append_to_file($file, $statement);
	return IPC::Run::start([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $file ], '<', \undef, '>', $out, '2>', $err);
}

# A statement that stops in the middle, for the key to be destroyed; returns what it printed, and its error.
sub meanwhile
{
	my ($name, $statement) = @_;
	my ($out, $err) = ('', '');
	my $session = start($statement, \$out, \$err);

	$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event IN ('PgSleep', 'VacuumDelay'))}) or die $err;
	destroy($name);
	append_to_file($go, "go\n");
	$session->finish;
	unlink $go;
	chomp $out;
	return ($out, $err);
}

# Rows as "id|distance": each once, the odd ones as they were, the even ones as they were or not known.
sub check_rows
{
	my ($name, $out, $all) = @_;
	my %was = map { split /\|/ } split /\n/, sql('SET extra_float_digits = 3; SELECT id, d FROM truth');
	my ($unknown, $wrong, %seen) = (0, 0);

	foreach my $row (split /\n/, $out)
	{
		my ($id, $distance) = split /\|/, $row, 2;
		$wrong++ if $seen{$id}++;
		if ($distance eq '') { $unknown++; $wrong++ if $id % 2 }
		else { $wrong++ if $distance ne $was{$id} }
	}
	is($wrong, 0, "$name: every row that is found is there once, with its distance or, of the key that is gone, none");
	is(scalar(keys %seen), $all, "$name: no row is lost") if $all;
	is(scalar(grep { $_ % 2 } keys %seen), 300, "$name: everybody of the key that stays is found");
	return $unknown;
}

# Rows in the order of their distances, those that have none last.
sub in_order
{
	my ($name, $out) = @_;
	my @distances = map { (split /\|/, $_, 2)[1] } split /\n/, $out;

	is_deeply(\@distances, [ (sort { $a <=> $b } grep { $_ ne '' } @distances), grep { $_ eq '' } @distances ], "$name: in order");
	return;
}

my $by_index = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;';
my $one = 'SET max_parallel_workers_per_gather = 0;';
my $ordered = 'ORDER BY e <=> (SELECT p FROM probe)';
my $distance = 'e <=> (SELECT p FROM probe)';

# Processes that ask for their probe go on at one moment, and find a list a row, so that most have a part of the scan.
sql(q{CREATE FUNCTION at_once(p face_embedding) RETURNS face_embedding LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
	BEGIN
		WHILE clock_timestamp() < current_setting('test.moment')::timestamptz LOOP END LOOP;
		RETURN p;
	END $$});
my $together = q{DO $$ BEGIN PERFORM set_config('test.moment', (clock_timestamp() + '0.3 s')::text, false); END $$;} . " $by_index";

# What it is after all: of the key that is gone nothing, by a sequential scan and by the index.
sub check_after
{
	my ($name) = @_;

	foreach my $way ("$one SET enable_indexscan = off;", "$one $by_index")
	{
		my $unknown = check_rows("$name, afterwards", sql("$way SET extra_float_digits = 3; SELECT id, $distance FROM $name $ordered"), 600);
		is($unknown, 300, "$name, afterwards: nobody is found by the key that is gone");
	}
	is(sql("SELECT count(*) FROM facematch_internal.index_problems('${name}_face', true)"), '0', "$name: nothing is wrong in the index");
	return;
}

#---------------------------------------------------------------- cursors: each FETCH is a statement, and hears of it
foreach my $scan ([ 'table_cursor', $one, '', 600 ], [ 'index_cursor', "$one $by_index", $ordered, 600 ], [ 'match_cursor', "$one $by_index", 'WHERE face_match(e, (SELECT p FROM probe), -1)', undef ],
	[ 'scroll_cursor', $one, $ordered, 600 ])
{
	my ($name, $set, $rest, $all) = @$scan;
	sql("CALL copy_to('$name'); CREATE INDEX ${name}_face ON $name USING facematch (e)");
	my $session = $node->background_psql('postgres');
	$session->query_safe("SET extra_float_digits = 3; $set BEGIN; DECLARE c CURSOR FOR SELECT id, $distance FROM $name $rest");
	my $out = $session->query_safe('FETCH 100 FROM c') . "\n";
	destroy($name);
	$out .= $session->query_safe('FETCH ALL FROM c; COMMIT');
	$session->quit;
	check_rows($name, $out, $all);
	in_order($name, $out) if $rest eq $ordered;
	check_after($name);
}

#---------------------------------------------------------------- scans, by one process and by several
my $middle = sql(q{CALL copy_to('middle'); SELECT id FROM truth WHERE id % 2 = 1 ORDER BY d OFFSET 100 LIMIT 1});
my %scans = (
	table => [ "$one SELECT id, $distance FROM %s WHERE stop(id, 301, %s)", 600 ],
	nearest => [ "$one $by_index SELECT id, $distance FROM %s WHERE stop(id, $middle, %s) $ordered", 600 ],
	matches => [ "$one $by_index SELECT id, $distance FROM %s WHERE stop(id, 301, %s) AND face_match(e, (SELECT p FROM probe), -1)", undef ],
	processes => [ "SET enable_indexscan = off; SELECT id, $distance FROM %s WHERE stop(id, 301, %s)", 600 ],
	nearest_by_processes => [ "$together SELECT id, $distance FROM %s WHERE stop(id, $middle, %s) ORDER BY e <=> at_once((SELECT p FROM probe))", 600 ],
	# Processes look for the nearest 600 of 4,600 rows together, and one of them goes on alone to rows that are farther.
	beyond_processes => [ "$together SELECT id, $distance FROM %s WHERE stop(id, $middle, %s) AND id <= 1000 ORDER BY e <=> at_once((SELECT p FROM probe)) LIMIT 600", 600,
		'INSERT INTO %1$s SELECT id + 1000 * i, e FROM %1$s, generate_series(1, 40) i WHERE id IN (SELECT id FROM truth WHERE id %% 2 = 1 ORDER BY d DESC LIMIT 100)', 'DELETE FROM %s WHERE id > 1000' ]);
foreach my $scan (sort keys %scans)
{
	my $columns = $scan =~ /processes/ ? 'id, e' : 'e';
	foreach my $hear ('true', 'false')
	{
		my $name = "${scan}_$hear";
		sql("CALL copy_to('$name'); CREATE INDEX ${name}_face ON $name USING facematch ($columns)");
		sql(sprintf($scans{$scan}[2], $name)) if $scans{$scan}[2];
		sql("ANALYZE $name");
		my $statement = 'SET extra_float_digits = 3; ' . sprintf($scans{$scan}[0], $name, $hear);
		like(sql($statement =~ s/; SELECT id/; EXPLAIN SELECT id/r), $scan =~ /near|match|beyond/ ? qr/using ${name}_face/ : qr/Seq Scan on $name/, "$name: its plan");
		like(sql($statement =~ s/; SELECT id/; EXPLAIN SELECT id/r), qr/Gather/, "$name: by several processes") if $scan =~ /processes/;
		my ($out, $err) = meanwhile($name, $statement);
		is($err, '', "$name: no error");
		check_rows($name, $out, $scans{$scan}[1]);
		in_order($name, $out) if $scan =~ /near|beyond/;
		sql(sprintf($scans{$scan}[3], $name)) if $scans{$scan}[3];
		check_after($name);
	}
}

# While processes measure rows: an index of an expression, which is computed for each of them, stops in the middle of that.
my $measured = 0;
sql(q{CREATE FUNCTION stopped(i int, e face_embedding, name text) RETURNS face_embedding LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
	BEGIN
		IF current_setting('test.name', true) = name THEN
			PERFORM public.stop(i, i, current_setting('test.hear')::boolean);
		END IF;
		RETURN e;
	END $$});
foreach my $hear ('true', 'false', 'true', 'true')
{
	my $name = "measured_by_processes_${hear}_" . $measured++;
	my $e = "stopped(id, e, '$name')";
	sql("CALL copy_to('$name'); CREATE INDEX ${name}_face ON $name USING facematch (id, ($e)); ANALYZE $name");
	my $statement = "SET extra_float_digits = 3; SET test.name = '$name'; SET test.hear = $hear; $together"
		. " SELECT id, $distance FROM $name ORDER BY $e <=> at_once((SELECT p FROM probe)) LIMIT 600";
	like(sql($statement =~ s/ SELECT id/ EXPLAIN SELECT id/r), qr/Gather.*using ${name}_face/s, "$name: its plan");
	my ($out, $err) = meanwhile($name, $statement);
	is($err, '', "$name: no error");
	check_rows($name, $out, 600);
	in_order($name, $out);
	check_after($name);
}

# At any moment; of the probe, too.
foreach my $turn (1 .. 20)
{
	my $name = "moment_$turn";
	my $probe = $turn % 2 ? 'SELECT p FROM probe' : "SELECT e FROM $name WHERE id = 2";
	sql("CALL copy_to('$name'); CREATE INDEX ${name}_face ON $name USING facematch (id, e); ANALYZE $name");
	my ($out, $err) = ('', '');
	my $session = start("SET extra_float_digits = 3; $together SELECT id, e <=> ($probe) FROM $name ORDER BY e <=> at_once(($probe)) LIMIT 600", \$out, \$err);
	usleep(int(300_000 + rand(60_000)));
	destroy($name);
	$session->finish;
	is($err, '', "$name: no error");
	if ($turn % 2) { check_rows($name, $out, 600) }
	else { is(join(' ', sort { $a <=> $b } map { (split /\|/)[0] } split /\n/, $out), join(' ', 1 .. 600), "$name: every row is there once") }
}

#---------------------------------------------------------------- builds
foreach my $build ([ 'build', 'SET max_parallel_maintenance_workers = 0; CREATE INDEX' ], [ 'build_by_processes', 'CREATE INDEX' ], [ 'build_beside', 'CREATE INDEX CONCURRENTLY' ])
{
	foreach my $hear ('true', 'false')
	{
		my $name = "$build->[0]_$hear";
		sql("CALL copy_to('$name')");
		my ($out, $err) = meanwhile($name, "$build->[1] part ON $name USING facematch (e) WHERE stop(id, 301, $hear)");
		like($err, qr/^$|a key of templates in index "part" has been destroyed meanwhile/, "$name: built, or to be repeated");
		append_to_file($go, "go\n");
		is(sql("SELECT count(*) FROM facematch_internal.index_problems('part', true)"), '0', "$name: nothing is wrong in it") if $err eq '';
		unlink $go;
		sql("DROP INDEX IF EXISTS part; CREATE INDEX ${name}_face ON $name USING facematch (e)");
		check_after($name);
	}
}

#---------------------------------------------------------------- writing into an index, and VACUUM
sql(q{CALL copy_to('insertion'); CREATE TABLE into_index (LIKE insertion); CREATE INDEX into_index_face ON into_index USING facematch (e)});
my ($out, $err) = meanwhile('insertion', 'INSERT INTO into_index SELECT * FROM insertion WHERE stop(id, 301, true)');
like($err, qr/^$|a key of templates in index "into_index_face" has been destroyed meanwhile/, 'an insertion ends, or is to be repeated');
sql('TRUNCATE into_index; INSERT INTO into_index SELECT * FROM insertion');
check_after('into_index');

sql(q{CALL copy_to('vacuumed'); INSERT INTO vacuumed SELECT id + 1000, e FROM vacuumed; CREATE INDEX vacuumed_face ON vacuumed USING facematch (e); DELETE FROM vacuumed WHERE id > 1000});
($out, $err) = meanwhile('vacuumed', 'SET vacuum_cost_delay = 20; SET vacuum_cost_limit = 20; VACUUM (INDEX_CLEANUP ON) vacuumed');
is($err, '', 'VACUUM: no error');
check_after('vacuumed');

#---------------------------------------------------------------- many searches, and the purge itself
sql(q{CALL stage('many', 2, 300)});
my $searches = q{SET enable_seqscan = off; BEGIN ISOLATION LEVEL REPEATABLE READ;
	CREATE TEMP TABLE first AS SELECT FROM generate_series(1, 1);
	SELECT count(*) FROM (SELECT array_agg(face(2 * n)) AS probes FROM generate_series(1, 64) n) a, generate_series(1, 60) r,
		LATERAL facematch.identify_many(probes, 'many', 5, -1 + r * 0) i WHERE stop(r, 30, true);
	SELECT count(*) FROM (SELECT array_agg(face(2 * n - 1)) AS probes FROM generate_series(1, 64) n) a, facematch.identify_many(probes, 'kept', 1, 0.9);
	COMMIT};
($out, $err) = ('', '');
my $session = start($searches, \$out, \$err);
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')}) or die $err;
sql(q{UPDATE facematch.reference SET purge_after = now() WHERE gallery_id = (SELECT gallery_id FROM facematch.gallery WHERE name = 'many')});
$node->psql('postgres', 'CALL facematch.purge()');
is(sql(q{SELECT count(*) FROM facematch.reference JOIN facematch.gallery USING (gallery_id) WHERE name = 'many'}), '0', 'the purge takes the gallery while it is searched');
append_to_file($go, "go\n");
$session->finish;
is($err, '', 'many searches: no error');
like($out, qr/^(\d+)\n64$/, 'and the other gallery is searched on');
cmp_ok(($out =~ /^(\d+)/)[0], '<=', 60 * 64 * 5, 'nobody is found twice');
is(sql(q{SELECT count(*) FROM facematch.identify_many((SELECT array_agg(face(2 * n)) FROM generate_series(1, 64) n), 'many', 5, -1)}), '0', 'and then nobody');
is(sql('SELECT intact FROM facematch.verify_audit()'), 't', 'the log is whole');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP/, 'nothing crashed');
$node->stop;

done_testing();
