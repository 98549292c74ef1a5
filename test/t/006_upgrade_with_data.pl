# A database of an earlier version, written by that version's own library, is taken over by the new library and then by
# ALTER EXTENSION UPDATE: 100,000 references with their index, opt-outs, holds, encounters, receipts and the log stay as they
# are, at each step, and every guarantee goes on from there.
#
# FACEMATCH_RELEASES has the sources of earlier versions; script/test takes them from git's history.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $releases = $ENV{FACEMATCH_RELEASES} // '';
my @versions = map { basename $_ } grep { -e "$_/facematch.control" } glob "$releases/*";
plan skip_all => 'the sources of earlier versions are not here (FACEMATCH_RELEASES, or git\'s history)' unless @versions;

my $rows = 100_000;

sub config { my ($program, $what) = @_; my $value = `$program --$what`; chomp $value; return $value; }

# Another copy of the installed PostgreSQL, for one version after the other of the extension.
my $bin = config('pg_config', 'bindir');
my $major = basename(dirname($bin));
my $prefix = "$PostgreSQL::Test::Utils::tmp_check/installed";
my $from = dirname(dirname(dirname(dirname($bin))));
my $home = "$prefix/lib/postgresql/$major";
mkdir $prefix;
system_or_bail('cp', '-a', map({ "$from/$_" } qw(lib share include)), $prefix);
my $libdir = config("$home/bin/pg_config", 'pkglibdir');
my $sharedir = config("$home/bin/pg_config", 'sharedir') . '/extension';
my $new_libdir = config('pg_config', 'pkglibdir');
my $new_sharedir = config('pg_config', 'sharedir') . '/extension';

sub remove_installed { unlink glob("$libdir/facematch*.so"), glob("$sharedir/facematch*"); }

# Everything that the tables of a version hold, by that version's columns, and where their sequences are.
my $last_event;
my %tables;
sub contents
{
	my ($node) = @_;
	my %contents;
	foreach my $table (sort keys %tables)
	{
		# The update adds the receipts of before to the log, and changes nothing that is there.
		my $old = $table eq 'facematch.audit_event' ? 'WHERE event_id <= ' . ($last_event // 'event_id') : '';
		$contents{$table} = $node->safe_psql('postgres',
			"SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY t::text)) FROM (SELECT $tables{$table} FROM $table $old) t");
	}
	$contents{sequences} = $node->safe_psql('postgres',
		q{SELECT string_agg(sequencename || '=' || coalesce(last_value, 0), ' ' ORDER BY sequencename COLLATE "C") FROM pg_sequences
		  WHERE schemaname = 'facematch' AND sequencename IN (SELECT sequencename FROM sequences_of_old)});
	return \%contents;
}

# What searches answer: in galleries, over all, by thresholds, for probes that are mated and that are not.
my $answers = q{
	SET enable_seqscan = off;
	SELECT p.n, i.rank, i.reference_id, i.similarity FROM probe p, LATERAL facematch.identify(p.e, 'flight ' || p.n % 50, 5) i
	UNION ALL SELECT p.n, 1000, r.reference_id, 0 FROM probe p, LATERAL (SELECT reference_id FROM facematch.reference ORDER BY embedding <=> p.e LIMIT 1) r WHERE p.n <= 20
	UNION ALL SELECT p.n, 2000, r.reference_id, 0 FROM probe p, LATERAL (SELECT reference_id FROM facematch.reference WHERE face_match(embedding, p.e, 0.7)) r WHERE p.n <= 20
	ORDER BY 1, 2, 3};
my $sound = q{SELECT facematch.index_check('facematch.reference_embedding_idx', true)};
my $whole = q{SELECT intact FROM facematch.verify_audit()};

# Says that it is so, and not only that nothing is said.
sub refused
{
	my ($node, $sql, $like, $name) = @_;
	my ($status, $stdout, $stderr) = $node->psql('postgres', $sql);
	like($stderr, $like, $name);
}

sub check_guarantees
{
	my ($node, $when) = @_;
	refused($node, q{INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT 1, (SELECT subject_id FROM facematch.opt_out ORDER BY 1 LIMIT 1), 'us_citizen', e, 'passport' FROM probe LIMIT 1}, qr/has opted out/, "$when: opt-outs stand");
	refused($node, q{DELETE FROM facematch.reference WHERE reference_id = (SELECT min(row_id::bigint) FROM facematch.held)}, qr/is held/, "$when: holds hold");
	refused($node, q{UPDATE facematch.reference SET purge_after = purge_after + interval '1 day' WHERE reference_id = (SELECT max(reference_id) FROM facematch.reference)},
		qr/pushed away/, "$when: deadlines are not pushed away");
	refused($node, q{DELETE FROM facematch.audit_event}, qr/is refused/, "$when: the log is a record");
	refused($node, q{DELETE FROM facematch.purge_receipt}, qr/is refused/, "$when: receipts are a record");
}

foreach my $version (@versions)
{
	# The old version, as it was.
	my $build = "$PostgreSQL::Test::Utils::tmp_check/build_$version";
	remove_installed();
	system_or_bail('cp', '-a', "$releases/$version", $build);
	command_ok([ 'make', '-s', '-C', $build, '-j2', "PG_CONFIG=$home/bin/pg_config", 'with_llvm=no', 'install' ], "$version builds");

	my $node = PostgreSQL::Test::Cluster->new("from_$version", install_path => $home);
	$node->init;
	$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'\nmax_wal_size = '4GB'\nmaintenance_work_mem = '128MB'");
	$node->start;
	$node->safe_psql('postgres', q{
		CREATE EXTENSION facematch CASCADE;
		INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 64);
		INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at)
			SELECT 'flight ' || n, 'flight', 'm', 0.5, now() + interval '1 hour' FROM generate_series(0, 49) n;
		-- People who look like others: sums of a few of 200 random directions.
		SELECT setseed(0.5);
		CREATE TABLE direction AS SELECT n, array_agg(random() - 0.5 ORDER BY d) AS v FROM generate_series(1, 200) n, generate_series(1, 64) d GROUP BY n;
		CREATE TABLE person AS SELECT n, (1 + (random() * 199)::int) AS a, (1 + (random() * 199)::int) AS b, random() AS w FROM generate_series(1, } . $rows . q{) n;
	});
	$node->safe_psql('postgres', q{
		CREATE FUNCTION template(a int, b int, w float8) RETURNS face_embedding LANGUAGE sql AS $$
			SELECT array_agg((x + w * y)::real ORDER BY o)::face_embedding
			FROM direction p, direction q, unnest(p.v, q.v) WITH ORDINALITY u (x, y, o) WHERE p.n = a AND q.n = b $$;
		CREATE UNIQUE INDEX ON direction (n);
		ANALYZE direction;
		CREATE TABLE probe AS SELECT n, face_with_model(template(a, b, w * 0.97), 1) AS e FROM person WHERE n <= 200;
		INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, quality)
			SELECT 1 + n % 50, md5(n::text)::uuid, CASE n % 3 WHEN 0 THEN 'us_citizen' ELSE 'noncitizen' END, template(a, b, w), 'passport', n % 101 FROM person;
		CREATE INDEX reference_embedding_idx ON facematch.reference USING facematch (gallery_id, embedding);
	});
	# Rows that go: by opt-outs, at their deadline, by hand; some are held; encounters with and without a match.
	$node->safe_psql('postgres', q{
		INSERT INTO facematch.hold (table_name, row_id, reason, authority) SELECT 'facematch.reference', reference_id::text, 'litigation', 'a court' FROM facematch.reference WHERE reference_id % 1000 = 7;
		INSERT INTO facematch.hold (subject_id, reason, authority, until) SELECT md5(n::text)::uuid, 'inquiry', 'an inspector', now() + interval '1 year' FROM generate_series(10, 20) n;
		INSERT INTO facematch.opt_out (subject_id) SELECT md5(n::text)::uuid FROM generate_series(500, 699) n;
		INSERT INTO facematch.opt_out (subject_id, scope, until) SELECT md5(n::text)::uuid, 'until', now() + interval '1 year' FROM generate_series(700, 709) n;
		UPDATE facematch.opt_out SET revoked_at = now() WHERE subject_id = md5('650')::uuid;
		UPDATE facematch.reference SET purge_after = clock_timestamp() WHERE reference_id BETWEEN 2000 AND 2999;
		SELECT count(*) FROM probe p, LATERAL facematch.record_encounter('flight ' || p.n % 50, p.e, 'PORT', 'lane ' || p.n % 4, 'exit', 'air', idempotency_key => p.n::text) WHERE p.n <= 100;
		SELECT facematch.resolve_encounter(encounter_id, md5('officer')::uuid, 'us_citizen', 'document inspected') FROM facematch.encounter WHERE outcome = 'no_match' LIMIT 1;
		SELECT facematch.write_audit('tested', jsonb_build_object('n', n)) FROM generate_series(1, 20) n;
	});
	$node->safe_psql('postgres', 'CALL facematch.purge()');
	$node->safe_psql('postgres', 'VACUUM ANALYZE facematch.reference');
	$node->safe_psql('postgres', q{CREATE TABLE sequences_of_old AS SELECT sequencename FROM pg_sequences WHERE schemaname = 'facematch'});

	%tables = map { split /\|/ } split /\n/, $node->safe_psql('postgres',
		q{SELECT attrelid::regclass, string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
		  WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'facematch'::regnamespace AND relkind = 'r') AND attnum > 0 AND NOT attisdropped GROUP BY 1});
	my $before = contents($node);
	my $found = $node->safe_psql('postgres', $answers);
	cmp_ok(scalar(split /\n/, $found), '>', 500, "$version: searches find");
	cmp_ok((split /\|/, $before->{'facematch.reference'})[0], '>', 0.97 * $rows, "$version: there are references");
	foreach my $table (qw(opt_out hold encounter purge_receipt audit_event pseudonym_key candidate))
	{
		cmp_ok((split /\|/, $before->{"facematch.$table"})[0], '>', 0, "$version: there are rows in $table");
	}
	my $events = (split /\|/, $before->{'facematch.audit_event'})[0];
	is($node->safe_psql('postgres', $whole), 't', "$version: the log is whole");

	# The package is replaced, under the old version's SQL.
	$node->stop;
	remove_installed();
	system_or_bail('cp', '-a', glob("$new_libdir/facematch*.so"), $libdir);
	system_or_bail('cp', '-a', glob("$new_sharedir/facematch*"), $sharedir);
	$node->start;
	my $when = "$version on the new library";
	is_deeply(contents($node), $before, "$when: every row is as it was");
	is($node->safe_psql('postgres', $answers), $found, "$when: searches answer as before");
	is($node->safe_psql('postgres', $sound), '', "$when: the index is sound");
	check_guarantees($node, $when);
	$node->safe_psql('postgres', q{BEGIN;
		DELETE FROM facematch.reference WHERE reference_id = 3001;
		INSERT INTO facematch.opt_out (subject_id) VALUES (md5('3100')::uuid);
		SELECT facematch.record_encounter('flight 7', e, 'PORT') FROM probe WHERE n = 107;
		CALL facematch.purge();
		ROLLBACK});
	is($node->safe_psql('postgres', $whole), 't', "$when: the log is whole");

	# The update, which looks at no row of the references.
	$last_event = $node->safe_psql('postgres', 'SELECT max(event_id) FROM facematch.audit_event');
	$before = contents($node);
	$node->safe_psql('postgres', 'ALTER EXTENSION facematch UPDATE');
	$when = "upgraded from $version";
	my $new_version = $node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'facematch'});
	isnt($new_version, $version, "$when: it is $new_version");
	is_deeply(contents($node), $before, "$when: every row is as it was");
	is($node->safe_psql('postgres', $answers), $found, "$when: searches answer as before");
	is($node->safe_psql('postgres', $sound), '', "$when: the index is sound");
	check_guarantees($node, $when);
	is($node->safe_psql('postgres', $whole), 't', "$when: the log is whole");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM facematch.audit_event WHERE action = 'receipt_written'}),
		$node->safe_psql('postgres', 'SELECT count(*) FROM facematch.purge_receipt'), "$when: it has every receipt");
	is($node->safe_psql('postgres', q{SELECT finding FROM facematch.check_policies() WHERE severity = 'error' AND finding NOT LIKE '%not purged%'}), '', "$when: no policy is missing");
	is($node->safe_psql('postgres', q{SELECT (facematch.record_encounter('flight ' || n % 50, e, 'PORT', idempotency_key => n::text)).encounter_id FROM probe WHERE n = 42}),
		$node->safe_psql('postgres', q{SELECT encounter_id FROM facematch.encounter WHERE idempotency_key = '42'}), "$when: a retry gets the recorded answer");

	# And on from there: enrolment into the old index, an opt-out, a purge, the log.
	$node->safe_psql('postgres', q{
		INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
			SELECT 1 + n % 50, md5('new ' || n)::uuid, 'us_citizen', face_with_model(template(a, b, w + 5), 1), 'passport' FROM person WHERE n BETWEEN 1001 AND 3000;
		INSERT INTO facematch.opt_out (subject_id) SELECT md5(n::text)::uuid FROM generate_series(4000, 4050) n;
		SELECT facematch.write_audit('tested', '{"after": true}');
		UPDATE facematch.reference SET purge_after = clock_timestamp() WHERE reference_id BETWEEN 5000 AND 5999 AND purge_after > clock_timestamp();
	});
	$node->safe_psql('postgres', 'CALL facematch.purge()');
	$node->safe_psql('postgres', 'VACUUM facematch.reference');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM facematch.reference r WHERE subject_id IN (SELECT subject_id FROM facematch.opt_out o WHERE revoked_at IS NULL) AND NOT EXISTS (SELECT FROM facematch.held h WHERE h.row_id = r.reference_id::text OR h.subject_id = r.subject_id)}),
		'0', "$when: opt-outs remove templates");
	is($node->safe_psql('postgres', $whole), 't', "$when: the log goes on");
	cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM facematch.audit_event'), '>', $events, "$when: with more events");
	is($node->safe_psql('postgres', $sound), '', "$when: the index is sound after writing");
	my $later = $node->safe_psql('postgres', $answers);
	$node->safe_psql('postgres', 'REINDEX INDEX facematch.reference_embedding_idx');
	is($node->safe_psql('postgres', $answers), $later, "$when: a new index finds the same");
	$node->stop;
}

done_testing();
