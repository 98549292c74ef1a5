# No template in the server's log, in any of its formats, nor in what the statistics keep: after a day's story with
# everything logged and errors provoked, all files of log and statistics are searched for every template.
use strict;
use warnings;

use Bytes;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dims = 512;
my $faces = $ENV{FACES_DIR} // '';
my $real = -r "$faces/mobilefacenet_512.f16";
note $real ? 'with the real faces' : 'SKIP of the real faces: they are not here (FACES_DIR), random templates instead';

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
my $pgss = -e `pg_config --pkglibdir` =~ s/\n//r . '/pg_stat_statements.so';
my $libraries = $pgss ? 'pg_stat_statements, auto_explain, facematch' : 'auto_explain, facematch';
$node->append_conf('postgresql.conf', qq{
fsync = off
shared_preload_libraries = '$libraries'
logging_collector = on
log_directory = 'log'
log_destination = 'stderr,csvlog,jsonlog'
log_statement = all
log_min_duration_statement = 0
log_rotation_size = 0
log_min_error_statement = notice
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_error_verbosity = verbose
auto_explain.log_min_duration = 0
auto_explain.log_verbose = on
});
$node->start;

sub sql { return $node->safe_psql('postgres', @_); }

# Runs what may fail, with all that psql can do.
sub try { my ($ret, $out, $err) = $node->psql('postgres', $_[0]); return $err; }

# Without its script in the log as the statement of each plan.
sql('SET auto_explain.log_min_duration = -1; SET log_min_error_statement = error; CREATE EXTENSION facematch CASCADE');
sql('CREATE EXTENSION pg_stat_statements') if $pgss;
if ($real)
{
	my $copy = $node->basedir . '/faces.copy';
	system("/usr/bin/python3 '$faces/to_copy.py' mobilefacenet_512 >'$copy'") == 0 or die;
	sql('CREATE TABLE faces (row_id int, subject int, ordinal int, embedding face_embedding(512,1))');
	$node->command_ok([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "\\copy faces FROM '$copy'" ], 'the faces');
	unlink $copy;
}
else
{
	sql("CREATE TABLE faces AS SELECT n AS row_id, n / 2 AS subject, n % 2 AS ordinal,
		(SELECT face_with_model(array_agg(random() - 0.5)::real[]::face_embedding, 1) FROM generate_series(1, $dims + 0 * n)) AS embedding FROM generate_series(0, 399) n");
}

# The story of a day, as it stands.
my @story = map { "$faces/../acceptance/$_.sql" } qw(gate_day_1_matching gate_day_2_rights);
SKIP:
{
	skip 'SKIP: no stories beside the faces', 1 unless $real && -r $story[0] && -r $story[1];
	$node->command_ok([ 'psql', '-Xq', '-d', $node->connstr('postgres'), map { ('-f', $_) } @story ], 'the story of a day');
}
sql(q{INSERT INTO facematch.model (name, tag, dims) VALUES ('mobilefacenet', 1, 512) ON CONFLICT DO NOTHING;
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('late', 'flight', 'mobilefacenet', 0.42, now() + interval '1 hour')});

# Templates as literals, in every way to write them, some with errors; each template is used once.
my @used = split /\n/, sql('SELECT embedding::text FROM faces ORDER BY row_id LIMIT 24');
my $next = 0;
sub face { return $used[ $next++ % @used ]; }
sub numbers { my ($list) = face() =~ /\[(.*)\]/; return $list; }
my $subject = "'00000000-0000-0000-0000-000000000001'";
my $columns = '(gallery_id, subject_id, retention_class, embedding, source)';
my $gallery = "(SELECT gallery_id FROM facematch.gallery WHERE name = 'late')";
sql("INSERT INTO facematch.reference $columns VALUES ($gallery, $subject, 'us_citizen', '" . face() . "', 's')");
sql("SET auto_explain.log_nested_statements = on; SELECT count(*) FROM facematch.identify('" . face() . "', 'late')");
sql('SELECT count(*) FROM facematch.identify(ARRAY[' . numbers() . "]::face_embedding, 'late')");
sql("SELECT count(*) FROM facematch.identify('{" . numbers() . "}'::real[]::face_embedding, 'late')");
sql("EXPLAIN (ANALYZE, FORMAT $_) SELECT * FROM faces ORDER BY embedding <=> '" . face() . "' LIMIT 1") foreach qw(text json xml yaml);
sql("SET auto_explain.log_format = $_; SELECT count(*) FROM faces WHERE face_match(embedding, '" . face() . "', 0.9)") foreach qw(json xml yaml);
sql("PREPARE p AS SELECT count(*) FROM faces WHERE embedding = \$1; EXECUTE p('" . face() . "')");
sql("CREATE TABLE copied AS SELECT '" . face() . "'::face_embedding AS e; DROP TABLE copied");
sql("DO \$x\$ BEGIN PERFORM '" . face() . "'::face_embedding; END \$x\$");
sql("BEGIN; DECLARE c CURSOR FOR SELECT * FROM faces ORDER BY embedding <-> '" . face() . "'; FETCH 1 FROM c; COMMIT");
sql("CREATE VIEW seen AS SELECT face_similarity(embedding, '" . face() . "') FROM faces; DROP VIEW seen");
# Where there are no quotes, and pg_stat_statements has noted where each number is; comments and names, which it keeps as they are.
sql("EXPLAIN (COSTS off) SELECT count(*) FROM faces WHERE embedding = ARRAY[" . numbers() . "]::face_embedding");
sql("BEGIN; DECLARE c CURSOR FOR SELECT ARRAY[" . join(',', map { "CAST($_ AS real)" } split /,/, numbers()) . "]; FETCH 1 FROM c; COMMIT");
sql("SELECT count(*) AS \"" . face() . "\" FROM faces WHERE row_id = 17 /* " . face() . " /* nested */ */ -- " . face());
sql("SELECT count(*) /*+ SeqScan(faces) */ FROM faces WHERE row_id = 17 AND false");
# PostgreSQL 19 knows standard strings only.
my $other_strings = $node->pg_version < '19devel';
sql("SET standard_conforming_strings = off; SET escape_string_warning = off; SELECT '\\'" . face() . "', '" . face() . "'") if $other_strings;
sql("SELECT encode(face_send('" . face() . "'::face_embedding), 'hex') IS NULL") if sql("SELECT to_regproc('face_send') IS NOT NULL") eq 't';
my @errors = (
	"INSERT INTO facematch.reference $columns VALUES ($gallery, $subject, 'nobody', '" . face() . "', 's')",
	"INSERT INTO facematch.reference $columns VALUES ($gallery, $subject, NULL, '" . face() . "', 's')",
	"SELECT '" . face() . "x'::face_embedding", "SELECT '" . face() . "'::face_embedding(3)", "SELECT '" . face() . "'::integer", "SELECT ARRAY[" . numbers() . "]::text::json",
	"SELECT 1/0, '" . face() . "'::face_embedding", "SELECT '" . face() . "'::face_embedding <=> '[1,2]'", "SELEC '" . face() . "'",
	"DO \$x\$ BEGIN RAISE WARNING 'seen %', '" . face() . "'; END \$x\$", "DO \$x\$ BEGIN EXECUTE 'SELECT ''" . face() . "''::face_embedding / 0'; END \$x\$",
	"CREATE TEMP TABLE odd (e face_embedding CHECK (face_dims(e) < 5)); INSERT INTO odd VALUES ('" . face() . "')",
	"CREATE TEMP TABLE odd (e face_embedding(512,1), n int); COPY odd FROM stdin;\n" . face() . "\tx\n\\.\n",
	"CREATE TEMP TABLE odd (e face_embedding(2)); COPY odd FROM stdin;\n" . face() . "\n\\.\n",
	"CREATE TEMP TABLE odd (e real[], UNIQUE (e)); INSERT INTO odd SELECT ARRAY[" . numbers() . "] FROM generate_series(1, 2)");
# A statement with many short constants, of which the time stays.
sql('SET log_statement = none; SELECT ' . join(', ', map { "'many' = 'many$_'" } 1 .. 20));
# Lists that are none: rows, members of an object, assignments, escapes of every letter.
sub rows { my $i = 0; return join ',', map { $i++; "($i,$_)" } split /,/, numbers(); }
sub members { my $i = 0; return '{' . join(',', map { $i++; qq{"d$i":$_} } split /,/, numbers()) . '}'; }
sub assignments { my $i = 0; return join ' ', map { $i++; "a[$i] := $_;" } split /,/, numbers(); }
sub escapes { my ($format) = @_; return "E'" . join('', map { sprintf $format, ord } split //, face()) . "'"; }
push @errors, 'SELECT 1/0 FROM (VALUES ' . rows() . ') v', q{SELECT '} . members() . q{'::jsonb::int}, 'DO $x$ DECLARE a real[]; BEGIN ' . assignments() . ' RAISE EXCEPTION \'now\'; END $x$',
	'SELECT 1/0, ' . escapes('\\x%02x'), 'SELECT 1/0, ' . escapes('\\u%04x'), 'SELECT 1/0, ' . escapes('\\%03o');
# Records and statements with long names for each number, and numbers of three decimals.
sub rounded { return map { sprintf '%.3f', $_ } split /,/, numbers(); }
sub records { my $i = 0; return '[' . join(',', map { $i++; qq({"component_index": $i, "model": "arcface-r100", "subject_reference": "abc", "component_value": $_}) } split /,/, numbers()) . ']'; }
push @errors, q{SELECT '} . records() . q{'::jsonb::int}, 'SELECT 1/0 FROM (VALUES ' . join(',', map { "(17,$_)" } rounded()) . ') v', q(SELECT '{) . join(',', map { qq("d":$_) } rounded()) . q(}'::jsonb::int),
	'SELECT 1/0, ARRAY[' . join(',', map { "CAST($_ AS real)" } rounded()) . ']', q{SELECT 1/0, '} . join('', map { "<v>$_</v>" } rounded()) . q{'};
# An image, in base64 and hexadecimal: none of these pieces may be in a log.
my $image = join '', map { chr int rand 256 } 1 .. 1024;
my $hex = unpack 'H*', $image;
my $base64 = encode_base64($image, '');
my @lines = $base64 =~ /(.{1,76})/g;
my @short = $base64 =~ /(.{1,60})/g;
my @digits = $hex =~ /(.{64})/g;
my @uuids = map { join '-', unpack 'A8 A4 A4 A4 A12', $_ } $hex =~ /(.{32})/g;
my @dump = map { join ' ', /(.{4})/g } $hex =~ /(.{32})/g;
my @image_pieces = (@lines, @short, @digits, @uuids, @dump);
push @errors, map { "SELECT 1/0, $_" } (map { q('{"image": ") . join($_, @lines) . q("}') } '\n', '\r\n', '\\\\n', "\n    "), q{'} . join("'\n'", @lines) . q{'}, q{'} . join("' || '", @short) . q{'},
	q{'} . $base64 =~ s{/}{%2F}gr =~ s{\+}{%2B}gr . q{'}, q{decode('} . join("' ||\n '", @digits) . q{', 'hex')}, q{decode('} . join("', 'hex') || decode('", @digits) . q{', 'hex')},
	q{ARRAY['} . join("', '", @uuids) . q{']::uuid[]}, q{'} . join("\n", map { sprintf '%08x  %s', $_ * 16, $dump[$_] } 0 .. $#dump) . q{'};
isnt(try($_), '', 'an error: ' . facts($_)) foreach @errors;
sub facts { return substr($_[0], 0, 40) =~ s/\n/ /gr; }

# Trees of statements: PostgreSQL 19 also shows the raw one, with literals as they were sent; in the others they are lists of bytes.
my @trees = (($node->pg_version >= '19devel' ? 'raw_parse' : ()), qw(parse rewritten plan));
foreach my $tree (@trees)
{
	sql("SET debug_print_$tree = on; SET debug_pretty_print = $_; SELECT '" . face() . "'::face_embedding IS NULL, '" . face() . "'::text <> 'x', '\\x$hex'::bytea <> 'x'") foreach qw(on off);
}
sql('SET debug_print_raw_parse = on; SELECT ARRAY[' . numbers() . '] IS NULL; SELECT count(*) FROM (VALUES ' . rows() . ') v') if $trees[0] eq 'raw_parse';

# Bind parameters, logged with the statement and with its error.
$node->command_ok([ 'pgbench', '-n', '-M', 'prepared', '-t', '1', '-d', $node->connstr('postgres'), '-D', 'e=' . face(), '-f', bench("SELECT :e::face_embedding <=> :e::face_embedding") ], 'parameters');
$node->command_fails([ 'pgbench', '-n', '-M', 'extended', '-t', '1', '-d', $node->connstr('postgres'), '-D', 'e=' . face(), '-f', bench("SELECT :e::face_embedding(3)") ], 'parameters with an error');
# Each number a parameter of its own, as some libraries send arrays.
my @each = (split /,/, numbers())[ 0 .. 39 ];
my @rounded_each = (rounded())[ 0 .. 39 ];
foreach my $parameters (\@each, \@rounded_each)
{
	$node->command_fails([ 'pgbench', '-n', '-M', 'extended', '-t', '1', '-d', $node->connstr('postgres'), (map { ('-D', "e$_=$parameters->[$_]") } 0 .. $#each),
		'-f', bench('SELECT ARRAY[' . join(',', map { ":e$_" } 0 .. $#each) . ']::real[]::face_embedding(3)') ], 'a parameter for each number');
}
sub bench { my $file = $node->basedir . '/bench.sql'; append_to_file($file, "$_[0];\n"); my $copy = "$file." . ++$next; rename $file, $copy; return $copy; }

# What a neighbour sees of a running statement.
my $running = face();
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query("SELECT count(*) FROM faces WHERE embedding <=> '$running' > 3");
my $activity = sql("SELECT string_agg(query, ' ') FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) FROM faces WHERE embedding <=>%'");
like($activity, qr/<=> '/, 'pg_stat_activity shows the statement');
unlike($activity, qr/\d\.\d+,/, 'without the template');
# A warning about the statement comes before it is parsed.
my $warned = face();
$session->query("SET standard_conforming_strings = off") if $other_strings;
$session->query("SELECT 'a\\\\b', count(*) FROM faces WHERE embedding <=> '$warned' > 3");
$activity = sql("SELECT string_agg(query, ' ') FROM pg_stat_activity WHERE query LIKE '%count(*) FROM faces WHERE embedding <=>%' AND pid <> pg_backend_pid()");
like($activity, qr/SELECT 'a.*<=> '/, 'so it does after a warning');
unlike($activity, qr/\d\.\d+,/, 'without the template, too');
$session->quit;

sql('ANALYZE');
my @templates = split /\n/, sql('SELECT embedding::text FROM faces');
my $kept = $pgss ? sql('SELECT string_agg(query, chr(10)) FROM pg_stat_statements') : '';
my $statistics = sql('SELECT string_agg(s::text, chr(10)) FROM pg_statistic s');
$node->stop;

# A template is known by four of its numbers in a row, whatever is between them: other formats space, quote or cut off its text.
my %pieces;
foreach my $template (@templates)
{
	my @numbers = $template =~ /-?\d+(?:\.\d+)?(?:e[-+]?\d+)?/gi;
	shift @numbers if $template =~ /^\d+:/;
	my @rounded = map { sprintf '%.3f', $_ } @numbers;
	$pieces{ join ',', @$_[ 0 .. 3 ] } = 1 foreach map { my $i = $_ * 16; ([ @numbers[ $i .. $i + 3 ] ], [ @rounded[ $i .. $i + 3 ] ]) } 0 .. ($#numbers - 3) / 16;
}
# Escapes are read as what they stand for, and of numbers that count others only the others are looked at as well.
sub leaks
{
	my ($text) = @_;
	$text =~ s{\\+(?:x([0-9a-f]{2})|u([0-9a-f]{4})|([0-3][0-7]{2}))}{chr(defined $3 ? oct $3 : hex($1 // $2))}gie;
	my @numbers = $text =~ /(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)/gi;
	return following(@numbers) + following(grep { /[.e]/i } @numbers);
}
sub following
{
	my @numbers = @_;
	return scalar grep { $pieces{ join ',', @numbers[ $_ .. $_ + 3 ] } } 0 .. $#numbers - 3;
}
ok(leaks("as $templates[0] says") >= 32 && leaks($templates[-1] =~ s/,/' , '/gr) >= 32 && leaks($templates[0] =~ s/,/),(1,/gr) >= 16
	&& leaks($templates[0] =~ s/(.)/sprintf '\\x%02x', ord $1/ger) >= 32 && leaks('"a": ' . join(', "a": ', map { sprintf '%.3f', $_ } $templates[0] =~ /-?\d\.\d+/g)) >= 16, 'the search finds templates where there are some');
my @logs = grep { -s $_ } glob $node->data_dir . '/log/*';
is(scalar(grep { /\.(log|csv|json)$/ } @logs), 3, 'a log in three formats') or diag("@logs");
foreach my $file (@logs, glob($node->data_dir . '/pg_stat/*'), glob($node->data_dir . '/pg_stat_tmp/*'))
{
	my $text = slurp_file($file);
	my ($name) = $file =~ m{([^/]*)$};
	is(leaks($text), 0, "no template in $name");
	is(scalar(grep { length >= 16 && index($text, $_) >= 0 } @image_pieces), 0, "no piece of the image in $name");
	if ($file =~ m{/log/})
	{
		my $tree = $trees[0] =~ s/_/ /r;
		like($text, qr/$tree tree:/, "trees of statements are in $name");
		is(scalar(() = $text =~ /(?:-?\b\d{1,3}\b(?:\s|\\[nt]|-\n)+){100}/g), 0, 'without the bytes of their constants');
		cmp_ok(() = $text =~ /<\d+ (?:bytes|values)>/g, '>', 40, "but where they were, in $name");
		like($text, qr/Query Text/, "auto_explain's plans, too");
		like($text, qr/division by zero/, 'and the errors');
		like($text, qr/duration: \d+\.\d+ ms  statement: SELECT <40 values>/, 'and how long statements took');
	}
}
is(leaks($kept), 0, 'no template in pg_stat_statements');
like($kept, qr/"\.\.\. +" FROM faces WHERE row_id = \$1 \/\*\.\.\. +\*\//, 'but a comment and a name without one') if $pgss;
like($kept, qr/\/\*\+ SeqScan\(faces\) \*\//, 'and a hint') if $pgss;
is(scalar(grep { length >= 16 && index($kept, $_) >= 0 } @image_pieces), 0, 'no piece of the image there');
is(leaks($statistics), 0, 'none in pg_statistic');
done_testing();
