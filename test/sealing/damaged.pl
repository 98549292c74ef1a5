# Damage in what is sealed, written into the files of a stopped server: ciphertext, tags, nonces and names of keys, in the table
# and in indexes.  Whoever opens a changed value is told so (XX001) and shown nothing of it; index_check() finds changed codes
# (XX002); a search gives right rows or an error, and never a wrong distance; nothing crashes; REINDEX mends an index.
use strict;
use warnings;

use Checksums;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Pages as src/index/page.h has them.
use constant { PAGE => 8192, CONTENTS => 24, SPECIAL => 8192 - 24, BUCKET => 4, CENTRE => 5, SKETCH => 6, ENTRIES => 32, ENTRY_SIZE => 56 };

# Sealed templates of 320 dimensions: 128 slots on a sketch page, 64 on a refinement page.
use constant { KEY => 40, BITMAP => 56, REFINE_BLOCK => 72, PLANE_BLOCK => 80, NONCES => 84, BLOCKS => 184, REFINE_ENTRY => 106, PLANES => 64, PLANE => 60 };

# A sealed value behind its length: dimensions and model, key, nonce, tag, ciphertext.
use constant { VALUE_KEY => 4, VALUE_NONCE => 20, VALUE_TAG => 32, VALUE_TEXT => 48 };

my $keys = PostgreSQL::Test::Utils::tempdir_short() . '/keys';
mkdir $keys, 0700 or die;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => without_checksums($node));
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off\nrestart_after_crash = off\nshared_preload_libraries = facematch
facematch.key_directory = '$keys'");
$node->start;
sub sql { return $node->safe_psql('postgres', @_) }

# The same templates in tables of their own, each with an index.
sql(q{
	CREATE EXTENSION facematch CASCADE;
	CREATE FUNCTION face(seed int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS $$
		SELECT array_agg(sin(seed * 12.9898 + i * 78.233 + seed * i * 0.37) + 0.3 ORDER BY i)::real[]::face_embedding FROM generate_series(1, 320) i $$;
	CREATE TABLE probe AS SELECT face(-1) AS p;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 7, 320);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F', 'flight', 'm', 0.1, now() + interval '6 hours');
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT 1, md5(n::text)::uuid, 'us_citizen', face(n), 's' FROM generate_series(1, 100) n;
	CREATE TABLE truth AS SELECT reference_id AS id, embedding <=> p AS d FROM facematch.reference, probe});
my $key = sql('SELECT DISTINCT facematch_internal.sealed_by(embedding) FROM facematch.reference');
my $key_bytes = pack('H*', $key =~ s/-//gr);

sub kind { return unpack('S', substr($_[0], SPECIAL + 20, 2)) }
sub page_of { my ($pages, $kind) = @_; return (grep { kind($pages->[$_]) == $kind } 0 .. $#$pages)[0] }
sub flip { my ($page, $at) = @_; substr($_[0], $at, 1) = chr(ord(substr($_[0], $at, 1)) ^ 1) }
sub flip_named { my ($pages, $named, $at) = @_; flip($pages->[ unpack('L', substr($pages->[ page_of($pages, SKETCH) ], $named, 4)) ], $at) }
sub flip_in_kind { my ($pages, $kind, $at) = @_; flip($pages->[ page_of($pages, $kind) ], $at) }

# Of an index: what is done to its pages, and what its check says.
my $codes = qr/ERROR:  XX002: .*slot \d+ (does not have the codes of the template|has numbers beside its codes that no template has)/;
my @index_damages = (
	[ 'a bit of a sealed block', $codes, sub { flip_in_kind($_[0], SKETCH, BLOCKS + 5) } ],
	[ 'the nonce of a block', $codes, sub { flip_in_kind($_[0], SKETCH, NONCES) } ],
	[ 'a bit of a sealed refinement', $codes, sub { flip_named($_[0], REFINE_BLOCK, CONTENTS + 14 + 20) } ],
	[ 'the nonce of a refinement', $codes, sub { flip_named($_[0], REFINE_BLOCK, CONTENTS + REFINE_ENTRY - 12) } ],
	[ 'sealed second bits', $codes, sub { flip_named($_[0], PLANE_BLOCK, PLANES + 8 + 3) } ],
	[ 'the nonce of second bits', $codes, sub { flip_named($_[0], PLANE_BLOCK, PLANES + PLANE - 1) } ],
	# it cannot be told from one that was lost
	[ 'the key that a page names', qr/ERROR:  55000: the key of sealed templates is missing in facematch.key_directory/, sub { flip_in_kind($_[0], SKETCH, KEY) } ],
	[ 'the key that an entry names', qr/ERROR:  XX002: .*has another key than its posting list/, sub {
		my ($pages) = @_;
		my $at = index($pages->[ page_of($pages, BUCKET) ], $key_bytes);
		die if $at < 0;
		flip_in_kind($pages, BUCKET, $at) } ],
	[ 'a sealed centre', qr/ERROR:  XX002: .*or its centre is damaged/, sub { flip_in_kind($_[0], CENTRE, CONTENTS + 200) } ],
	[ 'the tag of a sealed centre', qr/ERROR:  XX002: .*or its centre is damaged/, sub { flip_in_kind($_[0], CENTRE, CONTENTS + 30) } ]);

# Of a value in the table: what is changed, and what is said to whoever opens it.
my $changed = qr/ERROR:  XX001: a sealed template is not the one that was stored\n.*HINT:  It was changed, or put together from parts of others/s;
my @value_damages = (
	[ 'a bit of the ciphertext', VALUE_TEXT + 100, $changed ], [ 'the last byte of it', VALUE_TEXT + 4 + 640 - 1, $changed ],
	[ 'the tag', VALUE_TAG + 3, $changed ], [ 'the nonce', VALUE_NONCE, $changed ], [ 'the model', 2, $changed ],
	[ 'the key', VALUE_KEY + 9, qr/ERROR:  55000: the key of sealed templates is missing in facematch.key_directory, and was not destroyed/ ]);

my %file;
sub make
{
	my ($name) = @_;
	sql("CREATE TABLE $name AS SELECT reference_id AS id, embedding AS e FROM facematch.reference; CREATE INDEX ${name}_face ON $name USING facematch (e);
		DELETE FROM $name WHERE id % 10 = 0; VACUUM $name");
	$file{$_} = $node->data_dir . '/' . sql("SELECT pg_relation_filepath('$_')") for $name, "${name}_face";
	return $name;
}

sub change
{
	my ($file, $how) = @_;
	my $pages = [ unpack('(a' . PAGE . ')*', slurp_file($file)) ];
	$how->($pages);
	open my $out, '>:raw', $file or die "$file: $!";
	print $out join('', @$pages);
	close $out or die $!;
	return;
}

make("index_$_") for 0 .. $#index_damages;
make("value_$_") for 0 .. $#value_damages;
make('sound');
$node->stop;
is(substr([ unpack('(a' . PAGE . ')*', slurp_file($file{sound_face})) ]->[ page_of([ unpack('(a' . PAGE . ')*', slurp_file($file{sound_face})) ], SKETCH) ], KEY, 16), $key_bytes, 'a sketch page names its key');
change($file{"index_${_}_face"}, $index_damages[$_][2]) for 0 .. $#index_damages;
foreach my $i (0 .. $#value_damages)
{
	# the first row, which is the last of its page
	change($file{"value_$i"}, sub {
		my ($pages) = @_;
		my $at = rindex($pages->[0], $key_bytes);
		die if $at < 0;
		flip($pages->[0], $at - VALUE_KEY + $value_damages[$i][1]) });
}
$node->start;

sub ask
{
	my ($query) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $query, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	unlike($err, qr/-?0\.\d{3}|server closed the connection/, 'it shows nothing, and goes on') if $status != 0;
	return ($out, $err);
}

# A search gives right distances, or an error of one of these codes.
my $by_index = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; SET extra_float_digits = 3;';
sub searched
{
	my ($name, $what, $errors) = @_;
	my %was = map { split /\|/ } split /\n/, sql('SET extra_float_digits = 3; SELECT id, d FROM truth');

	foreach my $rest ('ORDER BY e <=> (SELECT p FROM probe) LIMIT 5', 'ORDER BY e <=> (SELECT p FROM probe)', 'WHERE face_match(e, (SELECT p FROM probe), 0.1)')
	{
		my ($out, $err) = ask("$by_index SELECT id, e <=> (SELECT p FROM probe) FROM $name $rest");
		if ($err ne '') { like($err, $errors, "$what: $rest: an error") }
		else
		{
			is(scalar(grep { my ($id, $d) = split /\|/; $was{$id} ne $d } split /\n/, $out), 0, "$what: $rest: no wrong distance");
		}
	}
	return;
}

#---------------------------------------------------------------- indexes
foreach my $i (0 .. $#index_damages)
{
	my ($what, $found) = @{ $index_damages[$i] };
	my $name = "index_$i";

	like((ask("SELECT facematch.index_check('${name}_face', true)"))[1], $found, "$what: found");
	searched($name, $what, qr/ERROR:  (XX002: index "${name}_face"|55000: the key of sealed templates is missing)/);
	is(sql("SELECT count(e <=> p) FROM $name, probe"), '90', "$what: the table is whole");
	my ($out, $err) = ask("INSERT INTO $name SELECT id + 1000, e FROM $name; DELETE FROM $name WHERE id > 1000; VACUUM $name");
	like($err, qr/^$|ERROR:  (XX002|55000): /, "$what: written into");
	sql("REINDEX INDEX ${name}_face");
	is((ask("SELECT facematch.index_check('${name}_face', true)"))[1], '', "$what: built again it is sound");
	is(sql("$by_index SELECT count(e <=> (SELECT p FROM probe)) FROM (SELECT e FROM $name ORDER BY e <=> (SELECT p FROM probe)) s"), '90', "$what: and whole");
}

#---------------------------------------------------------------- values
foreach my $i (0 .. $#value_damages)
{
	my ($what, $at, $error) = @{ $value_damages[$i] };
	my $name = "value_$i";

	like((ask("SELECT $_ FROM $name, probe"))[1], $error, "$what: $_") for 'e <=> p', 'face_match(e, p, 0.1)', 'facematch.unseal(e)';
	searched($name, $what, $error);
	like((ask("$by_index SELECT id, e <=> (SELECT p FROM probe) FROM $name ORDER BY e <=> (SELECT p FROM probe)"))[1], $error, "$what: who asks for all is told");
	is(sql("SELECT count(DISTINCT e), count(DISTINCT e::text) FROM $name"), '90|90', "$what: as a value it is like another");
	is(sql("$by_index SET enable_bitmapscan = on; SELECT count(*) FROM $name, probe WHERE id = 5 AND e <=> p IS NOT NULL"), '1', "$what: others are compared");
	like((ask("REINDEX INDEX ${name}_face"))[1], $error, "$what: no index is built with it");
	like((ask("SELECT facematch.index_check('${name}_face', true)"))[1], $error, "$what: the check says so");
	sql("CREATE TABLE ${name}_copied (LIKE $name); COPY $name TO '$keys.copy'; COPY ${name}_copied FROM '$keys.copy'");
	like((ask("SELECT e <=> p FROM ${name}_copied, probe"))[1], $error, "$what: nor does a copy change it");
	sql("DELETE FROM $name WHERE id = 1; VACUUM $name; REINDEX INDEX ${name}_face");
	is(sql("SELECT count(e <=> p) FROM $name, probe"), '89', "$what: without it all is well");
	is((ask("SELECT facematch.index_check('${name}_face', true)"))[1], '', "$what: the index, too");
}

is((ask("SELECT facematch.index_check('sound_face', true)"))[1], '', 'the index beside them is sound, and the server never stopped');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP/, 'nothing crashed');
$node->stop;
done_testing();
