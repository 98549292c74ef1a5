# Damage of every kind, written into the files of a stopped server: facematch.index_check() finds it and says where, and
# never crashes.  One table has as many indexes as there are kinds of damage, so that few restarts are needed.
use strict;
use warnings;
use Checksums;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Pages as src/index/page.h has them.
use constant {
	PAGE => 8192, CONTENTS => 24, SPECIAL => 8192 - 24,
	META => 2, ROOT => 3, BUCKET => 4, CENTRE => 5, SKETCH => 6, REFINE => 7, PLANE => 8, FREE => 1,
	EPOCHS => 40, EPOCH_SIZE => 24, ENTRIES => 32, ENTRY_SIZE => 64
};

# Templates of 320 dimensions: 1 + 1 + 2 bits, 160 slots on a sketch page, 80 on a refinement page.
use constant { DIMS => 320, BITMAP => 40, BITMAP_SIZE => 20, REFINE_BLOCKS => 60, PLANE_BLOCK => 68, BLOCKS => 72,
	BLOCK => 768, SKETCH_BYTES => 40, REFINE_ENTRY => 94, CODE => 14, PLANE_SCALARS => 64, PLANES => 64 + 160 * 8 };

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => without_checksums($node));
$node->append_conf('postgresql.conf', "autovacuum = off\nrestart_after_crash = off");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	CREATE TABLE faces (id int, gallery int, embedding face_embedding);
	INSERT INTO faces SELECT i, i % 3, (SELECT array_agg(sin(i * 12.9898 + d * 78.233) + 0.5) FROM generate_series(1, 320) d)::real[]::face_embedding
	FROM generate_series(1, 900) i;
	INSERT INTO faces SELECT 1000 + i, i % 3, NULL FROM generate_series(1, 30) i;
});

my $made = 0;
my %file;    # of each index

# An index on the same rows, with free slots and free pages.
sub make_index
{
	my $name = 'index_' . ++$made;

	$node->safe_psql('postgres', "CREATE INDEX $name ON faces USING facematch (gallery, embedding)");
	return $name;
}

sub free_some
{
	$node->safe_psql('postgres', q{DELETE FROM faces WHERE id % 4 = 1 OR gallery = 2; VACUUM faces});
	$file{"index_$_"} = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('index_$_')") for 1 .. $made;
}

sub read_pages
{
	my $all = slurp_file($file{ $_[0] });
	return [ unpack('(a' . PAGE . ')*', $all) ];
}

sub write_pages
{
	my ($name, $pages) = @_;
	open(my $out, '+<:raw', $file{$name}) or die "$file{$name}: $!";
	print $out join('', @$pages);
	close $out or die $!;
}

sub kind { return unpack('S', substr($_[0], SPECIAL + 20, 2)) }
sub stamp { return substr($_[0], SPECIAL + 8, 8) }

# Numbers of the pages of a kind, those with templates first where that matters.
sub pages_of
{
	my ($pages, $kind) = @_;
	return grep { kind($pages->[$_]) == $kind } 0 .. $#$pages;
}

sub is_used { return vec(substr($_[0], BITMAP, BITMAP_SIZE), $_[1], 1) }

# A sketch page of templates (epoch 0 is theirs), its first used slot and its first free one.
sub posting
{
	my ($pages) = @_;
	my ($sketch) = grep { unpack('S', substr($pages->[$_], CONTENTS + 12, 2)) == 0 } pages_of($pages, SKETCH);
	my ($used) = grep { is_used($pages->[$sketch], $_) } 0 .. 79;
	my ($free) = grep { !is_used($pages->[$sketch], $_) } 0 .. 79;
	my ($refine) = unpack('L', substr($pages->[$sketch], REFINE_BLOCKS, 4));
	my ($plane) = unpack('L', substr($pages->[$sketch], PLANE_BLOCK, 4));
	return ($sketch, $used, $free, $refine, $plane);
}

sub sketch_byte { return BLOCKS + int($_[0] / 16) * BLOCK + $_[0] % 16 }
sub sketch_number { return BLOCKS + int($_[0] / 16) * BLOCK + 16 * SKETCH_BYTES + $_[1] * 32 + 2 * ($_[0] % 16) }
sub refine_entry { return CONTENTS + $_[0] * REFINE_ENTRY }
sub plane_code { return PLANES + $_[0] * SKETCH_BYTES }
sub plane_number { return PLANE_SCALARS + 8 * $_[0] + 2 * $_[1] }
sub put { my ($pages, $block, $at, $bytes) = @_; substr($pages->[$block], $at, length $bytes) = $bytes }
sub flip { my ($pages, $block, $at) = @_; put($pages, $block, $at, chr(ord(substr($pages->[$block], $at, 1)) ^ 1)) }

# An entry of the directory whose list begins with this sketch page: page and offset.
sub entry_of
{
	my ($pages, $sketch) = @_;
	for my $bucket (pages_of($pages, BUCKET))
	{
		for my $i (0 .. unpack('L', substr($pages->[$bucket], CONTENTS, 4)) - 1)
		{
			my $at = ENTRIES + $i * ENTRY_SIZE;
			return ($bucket, $at) if unpack('L', substr($pages->[$bucket], $at + 16, 4)) == $sketch;
		}
	}
	die "no entry";
}

# What is done, what the check says, and whether it must look at the table to know.
my @damages = (
	[ 'a count of templates', qr/counts \d+ templates, its bitmap \d+/, 0, sub { my ($p, $s) = @_; flip($p, $s, CONTENTS + 14) } ],
	[ 'a template taken from the bitmap', qr/its bitmap/, 0, sub { my ($p, $s, $u) = @_; vec(substr($p->[$s], BITMAP, BITMAP_SIZE), $u, 1) = 0 } ],
	[ 'a bit of a sketch', qr/slot \d+ does not have the codes of the template/, 1, sub { my ($p, $s, $u) = @_; flip($p, $s, sketch_byte($u)) } ],
	[ 'a number beside a sketch', qr/slot \d+ does not have the codes/, 1, sub { my ($p, $s, $u) = @_; flip($p, $s, sketch_number($u, 0)) } ],
	[ 'a number that is the same beside every code', qr/numbers beside its codes that no template has/, 0, sub { my ($p, $s, $u) = @_; flip($p, $s, sketch_number($u, 2)) } ],
	[ 'a second bit', qr/slot \d+ does not have the codes/, 1, sub { my ($p, $s, $u, $f, $r, $l) = @_; flip($p, $l, plane_code($u) + 17) } ],
	[ 'a number beside second bits', qr/slot \d+ does not have the codes/, 1, sub { my ($p, $s, $u, $f, $r, $l) = @_; flip($p, $l, plane_number($u, 1)) } ],
	[ 'a number beside second bits that is none', qr/numbers beside its codes that no template has/, 0, sub { my ($p, $s, $u, $f, $r, $l) = @_; put($p, $l, plane_number($u, 0), pack('S', 0x7E00)) } ],
	[ 'a bit of a refinement code', qr/slot \d+ does not have the codes/, 1, sub { my ($p, $s, $u, $f, $r) = @_; flip($p, $r, refine_entry($u) + CODE + 63) } ],
	[ 'a centre', qr/does not have the codes/, 1, sub { my ($p) = @_; flip($p, (pages_of($p, CENTRE))[0], CONTENTS + 2) } ],
	[ 'a rotation', qr/does not have the codes/, 1, sub { my ($p) = @_; flip($p, 0, EPOCHS) } ],
	[ 'a row number', qr/have the same row/, 1, sub { my ($p, $s, $u, $f, $r) = @_;
		my ($other) = grep { $_ > $u && is_used($p->[$s], $_) } 0 .. 63;
		put($p, $r, refine_entry($u), substr($p->[$r], refine_entry($other), 6)) } ],
	[ 'a row number that is none', qr/row \(99,1\), which does not exist|has no entry/, 1, sub { my ($p, $s, $u, $f, $r) = @_; put($p, $r, refine_entry($u), pack('SSS', 0, 99, 1)) } ],
	[ 'a row number without a block', qr/in use but names no row/, 0, sub { my ($p, $s, $u, $f, $r) = @_; put($p, $r, refine_entry($u), pack('L', 0xFFFFFFFF)) } ],
	[ 'no row number', qr/in use but names no row/, 0, sub { my ($p, $s, $u, $f, $r) = @_; put($p, $r, refine_entry($u), "\0" x 6) } ],
	[ 'a template left in a free slot', qr/is free but not empty/, 0, sub { my ($p, $s, $u, $f) = @_; flip($p, $s, sketch_byte($f) + 16 * (SKETCH_BYTES - 1)) } ],
	[ 'a code left in a free slot', qr/is free but not empty/, 0, sub { my ($p, $s, $u, $f, $r) = @_; flip($p, $r, refine_entry($f) + CODE) } ],
	[ 'a second bit left in a free slot', qr/is free but not empty/, 0, sub { my ($p, $s, $u, $f, $r, $l) = @_; flip($p, $l, plane_code($f) + SKETCH_BYTES - 1) } ],
	[ 'a number left beside a free slot', qr/is free but not empty/, 0, sub { my ($p, $s, $u, $f, $r, $l) = @_; flip($p, $l, plane_number($f, 3)) } ],
	[ 'a number that is none', qr/numbers beside its codes that no template has/, 0, sub { my ($p, $s, $u, $f, $r) = @_; put($p, $r, refine_entry($u) + 6, pack('S', 0x7E00)) } ],
	[ 'the stamp of a refinement page', qr/no refinement page of its own/, 0, sub { my ($p, $s, $u, $f, $r) = @_; flip($p, $r, SPECIAL + 8) } ],
	[ 'a refinement page of zeros', qr/no refinement page of its own/, 0, sub { my ($p, $s, $u, $f, $r) = @_; $p->[$r] = "\0" x PAGE } ],
	[ 'a refinement page named twice', qr/no refinement page of its own/, 0, sub { my ($p, $s, $u, $f, $r) = @_; put($p, $s, REFINE_BLOCKS + 4, pack('L', $r)) } ],
	[ 'a refinement page beyond the end', qr/no refinement page of its own/, 0, sub { my ($p, $s) = @_; put($p, $s, REFINE_BLOCKS, pack('L', 1000000)) } ],
	[ 'a sketch page as its own refinement page', qr/no refinement page of its own/, 0, sub { my ($p, $s) = @_; put($p, $s, REFINE_BLOCKS, pack('L', $s)) } ],
	[ 'the stamp of a plane page', qr/no plane page of its own/, 0, sub { my ($p, $s, $u, $f, $r, $l) = @_; flip($p, $l, SPECIAL + 8) } ],
	[ 'a plane page of zeros', qr/no plane page of its own/, 0, sub { my ($p, $s, $u, $f, $r, $l) = @_; $p->[$l] = "\0" x PAGE } ],
	[ 'a refinement page as plane page', qr/no plane page of its own/, 0, sub { my ($p, $s, $u, $f, $r) = @_; put($p, $s, PLANE_BLOCK, pack('L', $r)) } ],
	[ 'a plane page forgotten', qr/lacks one of its pages|nothing leads/, 0, sub { my ($p, $s) = @_; put($p, $s, PLANE_BLOCK, pack('L', 0xFFFFFFFF)) } ],
	[ 'a refinement page forgotten', qr/lacks one of its pages|nothing leads/, 0, sub { my ($p, $s) = @_; put($p, $s, REFINE_BLOCKS, pack('L', 0xFFFFFFFF)) } ],
	[ 'a sketch page of zeros', qr/is not the page meant/, 0, sub { my ($p, $s) = @_; $p->[$s] = "\0" x PAGE } ],
	[ 'an epoch', qr/unknown epoch 77/, 0, sub { my ($p, $s) = @_; put($p, $s, CONTENTS + 12, pack('S', 77)) } ],
	[ 'the epoch of null embeddings', qr/counts \d+ templates, its bitmap \d+|numbers beside its codes that no template has/, 0, sub { my ($p, $s) = @_; put($p, $s, CONTENTS + 12, pack('S', 1)) } ],
	[ 'the bits of an epoch', qr/epoch 0 or its centre is damaged/, 0, sub { my ($p) = @_; flip($p, 0, EPOCHS + 16) } ],
	[ 'the page of a centre', qr/epoch 0 or its centre is damaged/, 0, sub { my ($p) = @_; put($p, 0, EPOCHS + 8, pack('L', 2)) } ],
	[ 'a centre that is not finite', qr/epoch 0 or its centre is damaged/, 0, sub { my ($p) = @_; put($p, (pages_of($p, CENTRE))[0], CONTENTS + 8, pack('f', 'inf')) } ],
	[ 'a posting list in a circle', qr/leads in a circle/, 0, sub { my ($p, $s) = @_; put($p, $s, CONTENTS, stamp($p->[$s]) . pack('L', $s)) } ],
	[ 'a posting list cut short', qr/is the tail of a posting list that ends|nothing leads to it/, 0, sub { my ($p, $s) = @_; put($p, $s, CONTENTS, "\0" x 8 . pack('L', 0xFFFFFFFF)) } ],
	[ 'a link with another stamp', qr/is not the page meant/, 0, sub { my ($p, $s) = @_; flip($p, $s, CONTENTS) } ],
	[ 'a page of another list', qr/no refinement page of its own/, 0, sub { my ($p, $s) = @_; flip($p, $s, SPECIAL) } ],
	[ 'a head', qr/is not the page meant/, 0, sub { my ($p, $s) = @_; my ($b, $at) = entry_of($p, $s); put($p, $b, $at + 16, pack('L', 0)) } ],
	[ 'a tail', qr/is the tail of a posting list that ends/, 0, sub { my ($p, $s) = @_; my ($b, $at) = entry_of($p, $s); put($p, $b, $at + 20, pack('L', 0)) } ],
	[ 'where to insert', qr/is where a posting list goes on/, 0, sub { my ($p, $s) = @_; my ($b, $at) = entry_of($p, $s); put($p, $b, $at + 24, pack('L', 0)) } ],
	[ 'the keys of an entry', qr/in another posting list than the row's/, 1, sub { my ($p, $s) = @_; my ($b, $at) = entry_of($p, $s); flip($p, $b, $at + 56) } ],
	[ 'an entry of sealed templates', qr/of other dimensions or another model/, 0, sub { my ($p, $s) = @_; my ($b, $at) = entry_of($p, $s); flip($p, $b, $at + 40) } ],
	[ 'something before second bits', qr/has something before its data/, 0, sub { my ($p, $s, $u, $f, $r, $l) = @_; flip($p, $l, CONTENTS + 30) } ],
	[ 'the model of an entry', qr/of other dimensions or another model/, 0, sub { my ($p, $s) = @_; my ($b, $at) = entry_of($p, $s); flip($p, $b, $at + 34) } ],
	[ 'an entry twice', qr/second entry/, 0, sub { my ($p, $s) = @_; my ($b, $at) = entry_of($p, $s);
		my $other = $at == ENTRIES ? ENTRIES + ENTRY_SIZE : ENTRIES; put($p, $b, $other, substr($p->[$b], $at, ENTRY_SIZE)) } ],
	[ 'an entry gone', qr/nothing leads to it/, 0, sub { my ($p, $s) = @_; my ($b, $at) = entry_of($p, $s);
		my $n = unpack('L', substr($p->[$b], CONTENTS, 4)) - 1; my $last = ENTRIES + $n * ENTRY_SIZE;
		put($p, $b, $at, substr($p->[$b], $last, ENTRY_SIZE)); put($p, $b, $last, "\0" x ENTRY_SIZE);
		put($p, $b, CONTENTS, pack('L', $n)); put($p, $b, 12, pack('S', $last)) } ],
	[ 'a number of entries', qr/impossible number of entries/, 0, sub { my ($p) = @_; put($p, 2, CONTENTS, pack('L', 5000)) } ],
	[ 'the depth of a bucket', qr/belongs into another bucket|in slots 0 and 1, which its depth 3 tells apart/, 0, sub { my ($p) = @_; put($p, 2, CONTENTS + 4, pack('L', 3)) } ],
	[ 'a slot of the root', qr/is named as a directory page and is none/, 0, sub { my ($p) = @_; put($p, 1, CONTENTS + 4 + 4 * 77, pack('L', 0)) } ],
	[ 'a slot that names the root', qr/is named as a directory page and is none/, 0, sub { my ($p) = @_; put($p, 1, CONTENTS + 4, pack('L', 1)) } ],
	[ 'a directory that follows itself', qr/is followed by directory page|can be split/, 0, sub { my ($p) = @_; put($p, 2, SPECIAL + 16, pack('L', 2)) } ],
	[ 'the root of the directory', qr/wrong place|names no directory/, 0, sub { my ($p) = @_; put($p, 0, CONTENTS + 12, pack('L', 2)) } ],
	[ 'a template left in a free page', qr/has something behind its data/, 0, sub { my ($p) = @_; put($p, (pages_of($p, FREE))[0], 3000, "template") } ],
	[ 'a page of another kind', qr/is no page of a facematch index/, 0, sub { my ($p, $s) = @_; put($p, $s, SPECIAL + 20, pack('S', 99)) } ],
	[ 'a page that is not ours', qr/is no page of a facematch index/, 0, sub { my ($p, $s) = @_; put($p, $s, SPECIAL + 22, pack('S', 0)) } ],
	[ 'an end of data too early', qr/behind the end of its page's data|has something behind/, 0, sub { my ($p, $s, $u, $f, $r) = @_; put($p, $r, 12, pack('S', CONTENTS)) } ],
	[ 'a meta page', qr/damaged meta page/, 0, sub { my ($p) = @_; flip($p, 0, CONTENTS) } ],
);

# Bytes anywhere; these of the page header mean nothing to the index: LSN, checksum, flags, oldest prunable transaction.
use constant RANDOM => 60;
my %meaningless = map { $_ => 1 } 0 .. 11, 20 .. 23;

make_index() for 0 .. @damages + RANDOM;
free_some();
is($node->safe_psql('postgres', "SELECT count(*) FROM generate_series(1, $made) i, facematch_internal.index_problems(('index_' || i)::regclass, true)"),
	'0', 'sound indexes have no problems');
my $sound = "index_$made";
my $last_damaged = $made - 1;
my $old = make_index();
$file{$old} = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('$old')");
$node->stop;

for my $i (0 .. $#damages)
{
	my $name = 'index_' . ($i + 1);
	my $pages = read_pages($name);
	$damages[$i][3]->($pages, posting($pages));
	write_pages($name, $pages);
}
srand(20);
my %random;
for my $i (@damages + 1 .. $last_damaged)
{
	my $pages = read_pages("index_$i");
	my ($block, $at) = (int(rand(@$pages)), int(rand(PAGE)));
	$at = CONTENTS + $at % 300 if $meaningless{$at} || ($i - @damages) % 2 == 0;    # half of them where pages tell of themselves
	put($pages, $block, $at, chr(ord(substr($pages->[$block], $at, 1)) ^ (1 << int(rand(8)))));
	$random{"index_$i"} = "block $block, byte $at, of kind " . kind($pages->[$block]);
	write_pages("index_$i", $pages);
}
my $pages_of_old = read_pages($old);
put($pages_of_old, 0, CONTENTS + 4, pack('L', 1));
write_pages($old, $pages_of_old);
$node->start;

# The error of a check, with its SQLSTATE.
sub check
{
	my ($name, $all) = @_;
	my ($status, $out, $error) = $node->psql('postgres', "SET statement_timeout = '60s'; SELECT facematch.index_check('$name', $all)",
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return $error;
}

for my $i (0 .. $#damages)
{
	my ($what, $message, $needs_heap, $damage) = @{ $damages[$i] };
	my $name = 'index_' . ($i + 1);
	my ($quick, $full) = (check($name, 'false'), check($name, 'true'));

	like($full, qr/ERROR:  XX002: .*$name/, "$what: found");
	like($full, $message, "$what: named");
	is($quick, '', "$what: needs the table") if $needs_heap;
	like($quick, $message, "$what: found without the table") if !$needs_heap;
	my ($status, $out, $error) = $node->psql('postgres', "SELECT problem FROM facematch_internal.index_problems('$name', true)");
	like("$out$error", $message, "$what: among the problems");
}
for my $name (sort keys %random)
{
	like(check($name, 'true'), qr/ERROR:  XX00[12]: /, "found: $random{$name}");
}

is(check($sound, 'true'), '', 'the index beside them is sound, and the server never stopped');

# What a search asks for by no block number: to PostgreSQL it would be a new page, of the table or of the index.
for (['a row number without a block', qr/has an unexpected page/], ['a refinement page forgotten', qr/has an invalid link/])
{
	my ($what, $message) = @$_;
	my ($name) = map { 'index_' . ($_ + 1) } grep { $damages[$_][0] eq $what } 0 .. $#damages;
	my $others = join(', ', map { "index_$_" } grep { "index_$_" ne $name } 1 .. $made);
	my $sizes = "SELECT pg_relation_size('faces'), pg_relation_size('$name')";
	my $before = $node->safe_psql('postgres', $sizes);
	my $probe = '(SELECT embedding FROM faces WHERE id = 3)';

	for my $query ("ORDER BY embedding <=> $probe", 'ORDER BY embedding <=> (SELECT NULL::face_embedding)', "WHERE face_match(embedding, $probe, -1)")
	{
		my ($status, $out, $error) = $node->psql('postgres', "BEGIN; DROP INDEX $others; SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;
			SELECT count(*) FROM (SELECT FROM faces $query) s", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
		like($error, qr/ERROR:  XX002: index "$name" $message/, "$what: an error of $query");
	}
	is($node->safe_psql('postgres', $sizes), $before, "$what: and no page is added");
}

# An index of the pages before these says so, whatever uses it, until it is built again.
my $format = qr/ERROR:  0A000: index "$old" has page format 1, this version of facematch reads format 3.*HINT:  Please REINDEX it\./s;
like(check($old, 'false'), $format, 'pages of an earlier format: the check refuses them');
$node->safe_psql('postgres', join('; ', map { "DROP INDEX index_$_" } grep { "index_$_" ne $old } 1 .. $made));
for my $use ('SET enable_seqscan = off; SELECT id FROM faces WHERE gallery = 0 ORDER BY embedding <=> (SELECT embedding FROM faces WHERE id = 3) LIMIT 1',
	'INSERT INTO faces SELECT * FROM faces LIMIT 1', 'VACUUM faces')
{
	my ($status, $out, $error) = $node->psql('postgres', $use, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	like($error, $format, "so does $use");
}
$node->safe_psql('postgres', "REINDEX INDEX $old");
is(check($old, 'true'), '', 'built again it is sound');
$node->stop;
done_testing();
