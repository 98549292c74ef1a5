# facematch.search_shards(): two shards behind a coordinator give the answers of one server that has everything, over 2,000
# searches; what is asked of the shards; a shard that is down, slow or wrong; who may ask, and what a shard's log tells.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $faces = $ENV{FACES_DIR} // '';
# One cluster, whose new databases have the extension, and two copies of it.
my $coordinator = PostgreSQL::Test::Cluster->new('coordinator');
$coordinator->init;
$coordinator->append_conf('postgresql.conf', "fsync = off\njit = off\nautovacuum = off\ntimezone = 'UTC'\nlog_statement = 'none'");
$coordinator->start;
$coordinator->safe_psql('template1', 'CREATE EXTENSION facematch CASCADE; CREATE EXTENSION postgres_fdw; CREATE ROLE searcher LOGIN');
$coordinator->stop;
$coordinator->backup_fs_cold('empty');
my %node = (coordinator => $coordinator);
for my $name (qw(shard1 shard2))
{
	$node{$name} = PostgreSQL::Test::Cluster->new($name);
	$node{$name}->init_from_backup($coordinator, 'empty');
}
$_->start for values %node;
my $db;

sub run { return $coordinator->safe_psql($db, @_); }

# The error and its SQLSTATE.
sub refused
{
	my ($query, @more) = @_;
	$coordinator->psql($db, "\\set VERBOSITY verbose\n$query", stderr => \my $error, @more);
	return $error;
}

# The expression for a random template, and for another capture of one.
sub random_face { my ($dims, $row) = @_; return "(SELECT array_agg(random() + random() - 1)::real[]::face_embedding FROM generate_series(1, $dims + 0 * $row))"; }
sub near { my ($face) = @_; return "(SELECT array_agg(v + 0.5 * (random() - 0.5))::real[]::face_embedding FROM unnest($face\::real[]) v)"; }

# A database of this name on all three.  Fills the coordinator's galleries G1 to G8 and copies the odd ones to the first shard,
# the even ones to the second; references have other numbers there.
sub fleet
{
	my ($name, $dims, $fill) = @_;
	my $galleries = qq{
		INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, $dims);
		INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at)
			SELECT 'G' || n, 'flight', 'm', 0.3 + 0.01 * n, now() + interval '1 day' FROM generate_series(};
	my $analyze = 'ANALYZE facematch.reference;';

	$db = $name;
	$_->safe_psql('postgres', "CREATE DATABASE $db") for values %node;
	run(qq{${galleries}1, 8) n; CREATE TABLE probe (id int PRIMARY KEY, e face_embedding);
		CREATE TABLE face (id serial, gallery int, e face_embedding); $fill
		INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
			SELECT g.gallery_id, gen_random_uuid(), 'us_citizen', f.e, 'passport' FROM face f JOIN facematch.gallery g ON g.name = 'G' || f.gallery ORDER BY f.id;
		$analyze});
	for my $n (1, 2)
	{
		my $shard = $node{"shard$n"};
		my $where = sprintf(q{host '%s', port '%s', dbname '%s', connect_timeout '2'}, $shard->host, $shard->port, $db);
		$shard->safe_psql($db, qq{${galleries}$n, 8, 2) n});
		$shard->safe_psql($db, q{SELECT facematch.grant_template_reader('searcher', for_shards => true)});
		is($shard->safe_psql($db, q{SELECT * FROM facematch.health_check() WHERE object ~ 'searcher'}), '', "$name: the health check of shard $n has nothing against its role");
		# Names that want quoting; and a way in for the copy alone.
		run(qq{
			CREATE SERVER "ser'ver $n" FOREIGN DATA WRAPPER postgres_fdw OPTIONS ($where);
			CREATE USER MAPPING FOR CURRENT_USER SERVER "ser'ver $n" OPTIONS (user 'searcher', password_required 'false');
			CREATE SCHEMA "s'$n";
			IMPORT FOREIGN SCHEMA facematch LIMIT TO (reference, shard_gallery) FROM SERVER "ser'ver $n" INTO "s'$n";
			CREATE SERVER copy$n FOREIGN DATA WRAPPER postgres_fdw OPTIONS ($where, batch_size '100');
			CREATE USER MAPPING FOR CURRENT_USER SERVER copy$n;
			CREATE FOREIGN TABLE copy$n (gallery_id bigint, subject_id uuid, retention_class text, embedding face_embedding, source text)
				SERVER copy$n OPTIONS (schema_name 'facematch', table_name 'reference');
			INSERT INTO copy$n SELECT s.gallery_id, r.subject_id, r.retention_class, r.embedding, r.source
				FROM facematch.reference r JOIN facematch.gallery g USING (gallery_id) JOIN "s'$n".shard_gallery s USING (name) ORDER BY r.reference_id DESC;});
		$shard->safe_psql($db, $analyze);
	}
	return;
}

my $options = q{ALTER SERVER "ser'ver %s" OPTIONS (ADD extensions 'postgres_fdw, facematch', ADD async_capable 'true')};
my $add = sub { my ($n) = @_; return qq{INSERT INTO facematch.shard VALUES ('sh''ard $n', '"s''$n".reference', '"s''$n".shard_gallery', 0.35)}; };

# Compares searches of the probes with a single server's.  Equal similarities have any order there, so the lists are compared by
# similarity, and by subject down to the last similarity.  Returns: searches, with candidates, lists that differ.
sub compare
{
	my ($where, $call, $single) = @_;
	my $list = sub { my ($order) = @_; return "array_agg(similarity ORDER BY $order) AS list, array_agg(subject_id ORDER BY subject_id) FILTER (WHERE similarity > worst) AS subjects"; };
	return run(qq{
		SELECT count(*), count(a.list), count(*) FILTER (WHERE a.list IS DISTINCT FROM b.list OR a.subjects IS DISTINCT FROM b.subjects OR NOT a.whole) FROM probe p,
			LATERAL (SELECT @{[$list->('rank')]}, bool_and(complete) AS whole FROM (SELECT *, min(similarity) OVER () AS worst FROM $call) s) a,
			LATERAL (SELECT @{[$list->('similarity DESC')]} FROM (SELECT *, min(similarity) OVER () AS worst FROM ($single) t) s) b
		WHERE $where});
}

# Half of them in a gallery by name, with its own threshold or a given one; half over everything.
sub compare_all
{
	my ($probes, $what, $shards_own) = @_;
	my $half = $probes / 2;
	my ($most, $least) = ('1 + p.id % 20', 'CASE WHEN p.id % 3 > 0 THEN -0.2 + p.id % 7 * 0.1 END');
	my $call = "facematch.search_shards(p.e, $most, $least";

	like(compare("p.id <= $half", "$call, 'G' || 1 + p.id % 8)", "SELECT * FROM facematch.identify(p.e, 'G' || 1 + p.id % 8, $most, $least)"),
		qr/^$half\|([1-9]\d+)\|0$/, "$what: $half searches of a gallery by name answer as identify() on one server");
	like(compare("p.id BETWEEN $half + 1 AND $probes", "$call)", "SELECT r.subject_id, face_similarity(r.embedding, p.e) AS similarity FROM facematch.reference r JOIN facematch.gallery g USING (gallery_id) "
		  . "WHERE face_similarity(r.embedding, p.e) >= coalesce($least, greatest($shards_own, g.min_similarity)) ORDER BY 2 DESC LIMIT $most"),
		qr/^$half\|([1-9]\d+)\|0$/, "$what: $half searches over all answer as a sequential scan of one server");
	return;
}

### what a shard has to be

# Each template of G1 is in G2 too, and G3 has a few of them often: lists end among equals.
fleet('synthetic', 64, 'INSERT INTO face (gallery, e) SELECT 1 + n % 7, ' . random_face(64, 'n') . ' FROM generate_series(1, 2000) n;
	INSERT INTO face (gallery, e) SELECT 2, e FROM face WHERE gallery = 1;
	INSERT INTO face (gallery, e) SELECT 3, e FROM face, generate_series(1, 15) WHERE gallery = 3 AND id < 70;
	INSERT INTO probe SELECT n, CASE WHEN n % 3 = 0 THEN ' . random_face(64, 'n') . ' WHEN n % 3 = 1 THEN e ELSE ' . near('e') . ' END FROM generate_series(1, 2000) n JOIN face f ON f.id = n;');
like(refused(q{SELECT * FROM facematch.search_shards('[1,2]')}), qr/55000: there are no shards/, 'no shards');
like(refused($add->(1)), qr/55000: server "ser'ver 1" of shard 'sh''ard 1' does not list facematch in its extensions/, 'a server that would send its templates is refused');
run(q{ALTER SERVER "ser'ver 1" OPTIONS (ADD extensions 'facematch')});
like(refused('BEGIN;' . $add->(1)), qr/WARNING:.* is not async_capable/, 'one that is not asynchronous is warned of');
run(q{ALTER SERVER "ser'ver 1" OPTIONS (DROP extensions)});
run(sprintf($options, $_) . ';' . $add->($_)) for 1, 2;
like(refused(q{CREATE VIEW other AS SELECT gallery_id, name, threshold, '0123456789abcdef'::text AS pseudonym_key FROM "s'1".shard_gallery;
	UPDATE facematch.shard SET gallery_table = 'other' WHERE name LIKE '%1'; DROP VIEW other}), qr/55000: shard 'sh''ard 1' makes its pseudonyms with another key/, 'a shard with another key is refused');
run('DROP VIEW other');
like(refused(q{INSERT INTO facematch.shard VALUES ('three', 'probe', NULL, 0.5)}), qr/42P16: table public\.probe of shard 'three' lacks: reference_id bigint, gallery_id bigint/, 'so is a table that lacks columns');

### 2,000 searches

my $real = -r "$faces/mobilefacenet_512.f16";
compare_all($real ? 1000 : 2000, 'synthetic templates', 0.35);
# Far below the galleries' thresholds: what is nearest is left out, and what comes after it is not.
run('UPDATE facematch.shard SET min_similarity = -1');
compare_all(100, 'a low threshold of the shards', -1);
run('UPDATE facematch.shard SET min_similarity = 0.35');
if ($real)
{
	my $copy = $coordinator->basedir . '/faces.copy';
	system("/usr/bin/python3 '$faces/to_copy.py' mobilefacenet_512 --where 'row_id < 2000' >'$copy'") == 0 or die;
	fleet('real', 512, qq{CREATE TEMP TABLE real (row_id int, subject int, ordinal int, e face_embedding); COPY real FROM '$copy';
		INSERT INTO face (gallery, e) SELECT 1 + subject % 8, e FROM real WHERE ordinal = 0;
		INSERT INTO probe SELECT row_number() OVER (ORDER BY ordinal = 0, row_id), e FROM real ORDER BY 1 LIMIT 1000;});
	run(sprintf($options, $_) . ';' . $add->($_)) for 1, 2;
	compare_all(1000, 'real faces', 0.35);
	$db = 'synthetic';
}
else
{
	diag('SKIP the real faces: they are not here (FACES_DIR)');
}

# Among equals: by shard and number, every time.
is(run(q{SELECT count(*) FROM (SELECT id, e FROM probe WHERE id % 3 = 1 ORDER BY id LIMIT 200) p,
	LATERAL (SELECT array_agg((shard, reference_id) ORDER BY rank) AS list, array_agg((shard, reference_id) ORDER BY similarity DESC, shard, reference_id) AS ordered,
		max(similarity) = min(similarity) AS equal FROM facematch.search_shards(p.e, 1 + p.id % 4, 0.2)) s WHERE list <> ordered}), '0', 'ties are in order of shard and reference');
is(run(q{SELECT count(DISTINCT similarity), count(*) FROM (SELECT e FROM face WHERE gallery = 3 AND id < 70 LIMIT 1) f, facematch.search_shards(e, 5, 0.99)}), '1|5', 'a list that ends among equals');

### what the shards are asked

$coordinator->psql($db, q{LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on; SET auto_explain.log_verbose = on; SET client_min_messages = log;
	SELECT FROM probe p, facematch.search_shards(p.e, 7, gallery => 'G1') WHERE p.id = 1; SELECT FROM probe p, facematch.search_shards(p.e, 7) WHERE p.id = 1}, stderr => \my $plans);
my %at_once = map { $_ => 1 } $plans =~ /Async Foreign Scan on ("s'[12]")\.reference/g;
is(join(' ', sort keys %at_once), q{"s'1" "s'2"}, 'all shards at once');
like($plans, qr/Remote SQL: [^\n]*face_match\(embedding, \$1::public\.face_embedding, 0\.31::double precision\) AND \(purge_after > [^\n]* AND \(gallery_id = 1\)[^\n]*ORDER BY \(embedding OPERATOR\(public\.<=>\) \$1::public\.face_embedding\)[^\n]*LIMIT 8::bigint/,
	'threshold, deadline, gallery, order and limit are in the query for the shard, the probe is not');

### deadlines: of a row that nobody has purged; asked as the owner, whom row security does not bind

run(q{ALTER USER MAPPING FOR CURRENT_USER SERVER "ser'ver 2" OPTIONS (SET user '} . getpwuid($<) . q{')});
# Who has opted out here by another pseudonym is no candidate on a shard, which knows neither: the next one takes the place.
is(run(q{BEGIN;
	CREATE TEMP TABLE best AS SELECT s.subject_id FROM facematch.search_shards((SELECT e FROM probe WHERE id = 3), 1, 0.01) s;
	SELECT count(*) FROM best;
	SELECT count(*) FROM best, facematch.subject_report(best.subject_id) r WHERE r.part = 'record' AND r.source ~ '^shard ';
	SELECT facematch.merge_subjects('00000000-0000-0000-0000-000000000001', subject_id) > 0 FROM best;
	INSERT INTO facematch.opt_out (subject_id) VALUES ('00000000-0000-0000-0000-000000000001');
	SELECT count(*), count(*) FILTER (WHERE s.subject_id = best.subject_id) FROM best, facematch.search_shards((SELECT e FROM probe WHERE id = 3), 1, 0.01) s;
	ROLLBACK}), "1\n1\nt\n1|0", 'an opt-out by another pseudonym, and the report of the person, reach shards');
my $due = q{SELECT count(*) FROM facematch.search_shards((SELECT e FROM probe WHERE id = 3), 1, 0.999)};
is(run($due), '0', 'a probe of nobody');
$node{shard2}->safe_psql($db, q{INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after)
	SELECT gallery_id, gen_random_uuid(), 'us_citizen', '} . run('SELECT e FROM probe WHERE id = 3') . q{', 'visa', clock_timestamp() + interval '3 seconds' FROM facematch.gallery WHERE name = 'G2'});
is(run($due), '1', 'enrolled: found');
run(q{SELECT pg_sleep(3)});
is(run($due), '0', 'due: no candidate');
is($node{shard2}->safe_psql($db, q{SELECT count(*) FROM facematch.reference WHERE purge_after < clock_timestamp()}), '1', 'although it is there');
run(q{ALTER USER MAPPING FOR CURRENT_USER SERVER "ser'ver 2" OPTIONS (SET user 'searcher')});

### errors: of the shards' own, without a template

my $wrong = refused(q{SELECT * FROM facematch.search_shards('[0.123456,0.5]')});
like($wrong, qr/22\w+: .*dimensions/, 'a probe of other dimensions is an error');
unlike($wrong =~ s/LINE 1:.*//sr, qr/0\.123/, 'without the probe in it');
unlike(slurp_file($node{$_}->logfile), qr/0\.123/, "nor in the log of $_") for qw(shard1 shard2);
like(refused(q{SELECT * FROM facematch.search_shards(NULL)}), qr/22004: there is no probe/, 'no probe');
like(refused(q{SELECT * FROM facematch.search_shards('[1]', 0)}), qr/22023: max_candidates is 0/, 'no candidates');
like(refused(q{SELECT * FROM facematch.search_shards('[1]', 1, 2)}), qr/22003: min_similarity is 2/, 'a threshold out of range');
like(refused(q{SELECT s.* FROM probe p, facematch.search_shards(p.e, gallery => 'G''9') s WHERE id = 1}), qr/P0002: there is no gallery 'G''9' on any shard/, 'no such gallery');
run(q{UPDATE facematch.shard SET gallery_table = NULL WHERE name LIKE '%1'});
like(refused(q{SELECT s.* FROM probe p, facematch.search_shards(p.e, gallery => 'G1') s WHERE id = 1}), qr/55000: shard 'sh''ard 1' has no gallery_table/, 'galleries that cannot be named');
run(q{UPDATE facematch.shard SET gallery_table = $$"s'1".shard_gallery$$ WHERE name LIKE '%1'});

### who may ask

run(q{CREATE ROLE gate LOGIN; CREATE ROLE nobody LOGIN; GRANT USAGE ON SCHEMA facematch, facematch_internal TO nobody; SELECT facematch.grant_operator('gate'); GRANT SELECT ON probe TO gate, nobody});
my @as_gate = (extra_params => [ '-U', 'gate' ]);
my $search = 'SELECT count(*) FROM probe p, facematch.search_shards(p.e%s) WHERE p.id = 1';
is(run(sprintf($search, ''), @as_gate), run(sprintf($search, '')), 'an operator searches, with no user mapping of its own');
like(refused(sprintf($search, ', 1, 0.2'), @as_gate), qr/42501: min_similarity is below the threshold, 0\.35/, 'but not below a shard\'s threshold');
like(refused(sprintf($search, q{, 1, 0.305, 'G1'}), @as_gate), qr/42501: min_similarity is below the threshold, 0\.31/, 'nor below a gallery\'s');
like(refused(q{SELECT embedding FROM "s'1".reference}, @as_gate), qr/42501: permission denied/, 'nor reads templates there');
like(refused(sprintf($search, ''), extra_params => [ '-U', 'nobody' ]), qr/42501: permission denied for function search_shards/, 'nobody else searches');

is(run('SELECT count(*) FROM probe p, facematch.search_shards(p.e, 2147483647) WHERE p.id = 1', @as_gate), run('SELECT count(*) FROM probe p, facematch.search_shards(p.e, 1000) WHERE p.id = 1'), 'as many as an integer goes');

# Galleries that state a target FPIR, with and without a floor, and one of the same name with another threshold on the other
# shard: an operator gets what identify() gives there, to the last digit.
my $to = $coordinator->basedir . '/probes.copy';
run("COPY (SELECT * FROM probe WHERE id <= 120) TO '$to'");
for my $n (1, 2)
{
	$node{"shard$n"}->safe_psql($db, qq{
		CREATE TABLE probe (id int, e face_embedding); COPY probe FROM '$to';
		INSERT INTO facematch_internal.calibration (model, non_mated, mated) VALUES ('m', 1000000, 1000);
		INSERT INTO facematch_internal.calibration_point SELECT 1, s / 100.0, round(1e6 * exp(-s / 8.0)), 0 FROM generate_series(-100, 100) s WHERE s >= 0 OR s = -100;
		INSERT INTO facematch.gallery (name, kind, model, min_similarity, target_fpir, anchor_at) VALUES
			('T', 'flight', 'm', NULL, 0.3 / $n, now() + interval '1 day'), ('T$n', 'flight', 'm', 0.1, 0.1, now() + interval '1 day');
		INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
			SELECT t.gallery_id, gen_random_uuid(), 'us_citizen', p.e, 'visa' FROM probe p, facematch.gallery t WHERE t.name IN ('T', 'T$n') AND p.id % (2 * $n) = 1});
}
my @effective = map { $node{"shard$_"}->safe_psql($db, q{SELECT round(min(threshold)::numeric, 2), round(max(threshold)::numeric, 2) FROM facematch.shard_gallery WHERE name LIKE 'T%'}) } 1, 2;
isnt($effective[0], $effective[1], "their thresholds are measured ones, and differ: @effective");
my $listed = 'SELECT p.id, s.similarity FROM probe p, %s s WHERE p.id <= 120 ORDER BY 1, 2';
my %there;
# Hundreds of searches near everybody: what is counted is another test's.
run("ALTER DATABASE $db SET facematch.attempts_per_$_ = 1000000") for qw(day week);
for my $gallery (qw(T T1 T2))
{
	# As an operator sees scores there: the threshold, halfway from there to 1, and so on, as far as the score reaches.
	my @found = map { $gallery =~ /(?!$_)\d/ ? () : split /\n/, $node{"shard$_"}->safe_psql($db, sprintf($listed,
		"(SELECT g.threshold, i.* FROM facematch.shard_gallery g, facematch.identify((SELECT e FROM probe o WHERE o.id = p.id), '$gallery', 1000) i WHERE g.name = '$gallery')")
		=~ s/s\.similarity/(WITH RECURSIVE l (t) AS (SELECT s.threshold UNION SELECT (t + 1) \/ 2 FROM l WHERE (t + 1) \/ 2 <= s.similarity) SELECT max(t) FROM l)/r =~ s/, \(SELECT g/, LATERAL (SELECT g/r) } 1, 2;
	$there{$gallery} = join "\n", sort @found;
	cmp_ok(scalar(@found), '>', 10, "$gallery: candidates");
	my $search = sprintf($listed, "facematch.search_shards(p.e, 1000, gallery => '$gallery')");
	is(join("\n", sort split /\n/, run($search, @as_gate)), $there{$gallery}, "$gallery: an operator's candidates are identify()'s of each shard that has it");
	is(join("\n", sort split /\n/, run("SET extra_float_digits = -15; CREATE TEMP TABLE got AS " . $search . "; RESET extra_float_digits; SELECT id, similarity FROM got", @as_gate)),
		$there{$gallery}, "$gallery: whatever a session wants of the digits of numbers");
	like(refused("SELECT count(*) FROM probe p, facematch.search_shards(p.e, 1000, $_, '$gallery', true) WHERE p.id = 1", @as_gate),
		qr/42501: min_similarity is below the threshold, 0\.\d+, of what is searched on 'sh''ard/, "$gallery: not above $_") for -1, 0, 0.15;
}
run('UPDATE facematch.shard SET min_similarity = 0.01');
my $below = q{SELECT count(*), count(*) FILTER (WHERE s.similarity < g.threshold) FROM probe p, facematch.search_shards(p.e, 1000) s, (SELECT 'sh''ard ' || n AS shard, t.* FROM (SELECT 1 AS n, * FROM "s'1".shard_gallery UNION ALL SELECT 2, * FROM "s'2".shard_gallery) t) g
	WHERE p.id <= 20 AND g.shard = s.shard AND g.gallery_id = s.gallery_id};
like(run($below), qr/^[1-9]\d*\|0$/, 'in a search over everything none is below its gallery\'s threshold');
is(run('SELECT count(*) FROM probe p, facematch.search_shards(p.e, 1000) WHERE p.id <= 20', @as_gate), (split /\|/, run($below))[0], 'an operator\'s neither');
# A threshold between two of what it sees would tell on which side a score is.
is(run('SELECT count(*) FROM probe p, facematch.search_shards(p.e, 1000, 0.02) WHERE p.id <= 20', @as_gate),
	(split /\|/, run("$below AND s.similarity >= 0.505"))[0], 'it asks for a stronger match, or for all');
run('UPDATE facematch.shard SET min_similarity = 0.35');

# A threshold that is none is not taken for one that everybody reaches, nor for one that nobody does.
for my $none ('NULL', "'NaN'", "'-Infinity'", '-1.5')
{
	run(qq{CREATE VIEW none AS SELECT gallery_id, name, $none\::double precision AS threshold FROM "s'1".shard_gallery; UPDATE facematch.shard SET gallery_table = 'none' WHERE name LIKE '%1'});
	like(refused("SELECT count(*) FROM probe p, facematch.search_shards(p.e, 10, $_) WHERE p.id = 1", @as_gate), qr/55000: gallery \d+ of shard 'sh''ard 1' has no threshold/, "a threshold of $none, $_")
	  for '-1, \'G1\'', 'NULL, \'G1\'', '1, \'G1\'';
	like(refused("SELECT count(*) FROM probe p, facematch.search_shards(p.e, 10) WHERE p.id % 3 = 1 AND p.id < 100", @as_gate), qr/55000: gallery \d+ of shard 'sh''ard 1' has no threshold/, "a threshold of $none, over everything");
	run(q{UPDATE facematch.shard SET gallery_table = $$"s'1".shard_gallery$$ WHERE name LIKE '%1'; DROP VIEW none});
}
$node{shard1}->safe_psql($db, 'DELETE FROM facematch_internal.calibration');
like(refused(q{SELECT count(*) FROM probe p, facematch.search_shards(p.e, gallery => 'T1') WHERE p.id = 1}, @as_gate), qr/55000: /, 'a target FPIR without a calibration is an error, as there');
$node{"shard$_"}->safe_psql($db, q{DELETE FROM facematch.reference WHERE gallery_id IN (SELECT gallery_id FROM facematch.gallery WHERE name LIKE 'T%')}) for 1, 2;
run(q{UPDATE facematch.shard SET gallery_table = NULL WHERE name LIKE '%1'});
like(refused($search =~ s/%s//r, @as_gate), qr/42501: shard 'sh''ard 1' has no gallery_table/, 'where thresholds of galleries are not known an operator does not search');
like(run($search =~ s/%s//r), qr/^\d+$/, 'who may read templates does');
run(q{UPDATE facematch.shard SET gallery_table = $$"s'1".shard_gallery$$, min_similarity = -0.5 WHERE name LIKE '%1'});
is(run(q{SELECT object, finding FROM facematch.health_check() WHERE object LIKE 'shard %'}), q{shard sh'ard 1 (-0.5)|the threshold is 0 or less: every reference of a gallery without a higher threshold is a candidate, and the scores of enough probes reveal a template}, 'health_check() names a threshold that everybody reaches');
run(q{UPDATE facematch.shard SET min_similarity = 0.35 WHERE name LIKE '%1'});
is(run(q{SELECT detail -> 'changed' ->> 'min_similarity' FROM facematch.audit_event WHERE action = 'shard_changed' ORDER BY event_id DESC LIMIT 1}), '[-0.5, 0.35]', 'and the log has the change');

### slow shards

my $lock = IPC::Run::start([ 'psql', '-Xq', '-d', $node{shard1}->connstr($db), '-c', 'BEGIN', '-c', 'LOCK facematch.reference', '-c', 'SELECT pg_sleep(60)' ], '>', \my $out, '2>', \my $err);
$node{shard1}->poll_query_until($db, q{SELECT count(*) = 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'facematch.reference'::regclass});
my $asked = q{SELECT count(*) = %d FROM pg_stat_activity WHERE usename = 'searcher' AND state = 'active'};
my $one = sprintf($search, '');
like(refused("SET statement_timeout = '300ms'; $one"), qr/57014: canceling statement due to statement timeout/, 'statement_timeout ends a search that a shard does not answer');
ok($node{shard1}->poll_query_until($db, sprintf($asked, 0)), 'there too');
my $waiting = IPC::Run::start([ 'psql', '-XqAt', '-d', $coordinator->connstr($db), '-c', $one ], '>', \my $count, '2>', \my $canceled);
$node{shard1}->poll_query_until($db, sprintf($asked, 1));
run(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) FROM probe p%' AND pid <> pg_backend_pid()});
$waiting->finish;
like($canceled, qr/canceling statement due to user request/, 'so does a cancel');
ok($node{shard1}->poll_query_until($db, sprintf($asked, 0)), 'and there');
$node{shard1}->safe_psql($db, q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()});
$lock->finish;

### a shard that is down: an error; on request less, and told.  In one session, whose connection was good before.

my $stop = sprintf("\\! pg_ctl -D '%s' -m immediate -w stop >/dev/null\n", $node{shard2}->data_dir);
my $list = 'SELECT rank IS NULL, shard, complete, count(*) FROM probe p, facematch.search_shards(p.e, 10, 0.1, partial => %s) WHERE p.id = 1 GROUP BY 1, 2, 3 ORDER BY 1, 2;';
my ($answer, $said) = ('', '');
$coordinator->psql($db, "\\set VERBOSITY verbose\n" . sprintf($list, 'true') . "\n$stop" . sprintf($list, 'false') . "\n" . sprintf($list, 'true'), on_error_stop => 0, stdout => \$answer, stderr => \$said);
my @before = grep { /\|t\|/ } split /\n/, $answer;
is(scalar(@before), 2, 'both answer: both have candidates, and the answer is complete');
like($said, qr/ERROR:  08001: could not connect to server "ser'ver 2"/, 'one down: an error that names it');
like($answer, qr/^f\|sh'ard 1\|f\|\d+\nt\|sh'ard 2\|f\|1$/m, 'partial: candidates of the other, none of them marked complete, and a row for the silent one');
like($said, qr/WARNING:  01000: the answer is partial: sh'ard 2 did not answer/, 'and a warning');
is(run(q{SELECT count(*), bool_or(complete) FROM facematch.search_shards((SELECT e FROM probe WHERE id = 3), 1, 0.999, partial => true)}), '1|f', 'partial and no candidate: the row of the silent one');
is(run(q{SELECT shard, rank, complete FROM facematch.search_shards((SELECT e FROM probe WHERE id = 3), 1, 0.999, 'G2', true)}), q{sh'ard 2||f}, 'partial, and the gallery may be where nobody answers');
$node{shard1}->stop('immediate');
like(refused(sprintf($list, 'true')), qr/08006: no shard answers: sh'ard 1, sh'ard 2/, 'nobody answers: an error, partial or not');
$node{shard2}->{_pid} = undef;
$node{$_}->start for qw(shard1 shard2);
is(join("\n", @before), run(sprintf($list, 'true')), 'up again: the complete answer');

### dumps and tables that are gone; a dump is restored while a shard is down

my $dump = $coordinator->basedir . '/dump.sql';
my $keys = q{SELECT severity, object FROM facematch.health_check() WHERE finding ~ 'shard.*pseudonyms'};
command_ok([ 'pg_dump', '-d', $coordinator->connstr($db), '-f', $dump ], 'pg_dump');
$coordinator->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
$node{shard2}->stop('immediate');
command_checks_all([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $coordinator->connstr('restored'), '-f', $dump ], 0, [],
	[qr/WARNING:  shard 'sh''ard 2' does not answer: the key of its pseudonyms was not compared/], 'restored');
like($coordinator->safe_psql('restored', $keys), qr/^warning\|shard sh'ard 2 \(could not connect to server "ser'ver 2"\)$/, 'health_check() names the shard that did not answer');
$node{shard2}->start;
is($coordinator->safe_psql('restored', $keys), '', 'and compares when it does');
$coordinator->safe_psql('restored', q{ALTER SERVER "ser'ver 2" OPTIONS (DROP connect_timeout)});
is($coordinator->safe_psql('restored', $keys), "warning|shard sh'ard 2", 'but asks none that it might wait for without end');
$coordinator->safe_psql('restored', q{ALTER SERVER "ser'ver 2" OPTIONS (ADD connect_timeout '2')});
$coordinator->safe_psql('restored', q{CREATE VIEW other AS SELECT gallery_id, name, threshold, '0123456789abcdef'::text AS pseudonym_key FROM "s'1".shard_gallery;
	ALTER TABLE facematch.shard DISABLE TRIGGER shard_10_check; UPDATE facematch.shard SET gallery_table = 'other' WHERE name LIKE '%1'; ALTER TABLE facematch.shard ENABLE ALWAYS TRIGGER shard_10_check});
is($coordinator->safe_psql('restored', $keys), q{error|shard sh'ard 1}, 'another key is an error then');
$coordinator->safe_psql('restored', q{UPDATE facematch.shard SET gallery_table = $$"s'1".shard_gallery$$ WHERE name LIKE '%1'});
is($coordinator->safe_psql('restored', sprintf($list, 'false')), join("\n", @before), 'and answers from the shards');
$db = 'restored';
run(q{DROP FOREIGN TABLE "s'2".reference});
like(refused($one), qr/42P01: the table of shard 'sh''ard 2' is gone/, 'a shard whose table was dropped is an error');
$_->stop for values %node;
done_testing();
