# Bytes planted in files of a stopped server, where removed rows leave theirs: verify_erased() finds each, erase() makes it
# zero, and a page that lies about itself is refused.
use strict;
use warnings;

use Checksums;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $page_size = 8192;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => without_checksums($node));
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	CREATE TABLE t (id int PRIMARY KEY, g int, note text NOT NULL, e face_embedding, photo text, copy real[]);
	ALTER TABLE t ALTER photo SET STORAGE EXTERNAL;
	CREATE INDEX t_note ON t (note);
	CREATE INDEX t_face ON t USING facematch (g, e);
	CREATE INDEX t_hash ON t USING hash (note);
	INSERT INTO t SELECT i, i % 3, 'note ' || repeat('n', i % 7), array_agg(random() + random() - 1)::real[]::face_embedding, repeat('p', 2500), NULL
		FROM generate_series(1, 300) i, generate_series(1, 128) GROUP BY i;
	CREATE UNLOGGED TABLE u AS SELECT id, note FROM t;
	CREATE INDEX u_note ON u (note);
	DELETE FROM t WHERE id % 3 = 1 OR id % 5 = 0; DELETE FROM u WHERE id % 3 = 1;
	VACUUM t; VACUUM u; ANALYZE t});
$node->safe_psql('postgres', "CALL facematch.erase_table('$_')") for qw(t u);

# What is not clean, by relation; and those alone that name no relation are told apart by their part.
sub unclean
{
	my ($table) = @_;

	$node->safe_psql('postgres', 'CHECKPOINT');
	return $node->safe_psql('postgres', "SELECT string_agg(DISTINCT coalesce(regexp_replace(relation::text, '\\d+', 'N'), part), ' ' ORDER BY
		coalesce(regexp_replace(relation::text, '\\d+', 'N'), part)) FROM facematch.verify_erased('$table') WHERE NOT clean AND part NOT IN ('verdict', 'wal')");
}
is(unclean('t'), '', 'nothing is left after the erasure');
is(unclean('u'), '', 'nor in the unlogged table');

my %file = map { $_ => $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('$_')") } qw(t t_note t_face t_hash u u_note pg_statistic);
$file{toast} = $node->data_dir . '/' . $node->safe_psql('postgres', q{SELECT pg_relation_filepath(reltoastrelid) FROM pg_class WHERE relname = 't'});

sub read_page
{
	my ($name, $block) = @_;
	my $page;

	open my $fh, '<:raw', $file{$name} or die "$file{$name}: $!";
	sysseek $fh, $block * $page_size, 0;
	sysread($fh, $page, $page_size) == $page_size or die "block $block of $name";
	return $page;
}

sub write_bytes
{
	my ($name, $block, $at, $bytes) = @_;

	open my $fh, '+<:raw', $file{$name} or die "$file{$name}: $!";
	sysseek $fh, $block * $page_size + $at, 0;
	syswrite $fh, $bytes;
	close $fh;
	return;
}

# In the hole of the first page, from a block on, that has one.
sub plant_in_hole
{
	my ($name, $block) = @_;

	for (;; $block++)
	{
		my ($lower, $upper) = unpack('x12 SS', read_page($name, $block));
		next if $upper - $lower < 8;
		write_bytes($name, $block, $lower + 3, 'face');
		return;
	}
}

# Where line pointers were: a server that checks assertions fills those that VACUUM cuts off with 0x7F.  It is no remains of
# a row there, and anywhere else a byte like others.
my $filled = $node->safe_psql('postgres', 'SHOW debug_assertions') eq 'on';
sub plant_in_freed_lines
{
	my ($name, $block) = @_;
	my ($lower, $upper) = unpack('x12 SS', read_page($name, $block));

	die "no room for line pointers in $name" if $upper - $lower < 8;
	write_bytes($name, $block, $lower, "\x7f" x 8);
	return;
}

# Behind the end of a tuple, before the next alignment boundary.
sub plant_in_padding
{
	my ($name, $block) = @_;
	my $page = read_page($name, $block);
	my ($lower) = unpack('x12 S', $page);

	for (my $at = 24; $at < $lower; $at += 4)
	{
		my $item = unpack('L', substr($page, $at, 4));
		my ($offset, $flags, $length) = ($item & 0x7fff, ($item >> 15) & 3, $item >> 17);
		next if $flags != 1 || $length % 8 == 0;
		write_bytes($name, $block, $offset + $length, 'f');
		return;
	}
	die "no padding in $name";
}

# In a refinement code of the index that belongs to no template: behind a free slot's number of the row.
sub plant_in_free_slot
{
	for (my $block = 1;; $block++)
	{
		my $page = read_page('t_face', $block);
		next if unpack('S', substr($page, -4, 2)) != 7;
		my ($lower) = unpack('x12 S', $page);
		for (my $at = 24; $at + 78 <= $lower; $at += 78)
		{
			next if substr($page, $at, 78) ne "\0" x 78;
			write_bytes('t_face', $block, $at + 40, 'face');
			return;
		}
	}
}

# Each place by itself, so that none is found for another's sake.
for my $place ([ 't', \&plant_in_hole, 't', 0 ], [ 't', \&plant_in_padding, 't', 2 ], [ 't', \&plant_in_freed_lines, 't', 0 ],
	[ 'pg_toast.pg_toast_N', \&plant_in_hole, 'toast', 1 ],
	[ 't_note', \&plant_in_hole, 't_note', 1 ], [ 't_face', \&plant_in_hole, 't_face', 0 ], [ 't_hash', \&plant_in_hole, 't_hash', 1 ],
	[ 'pg_statistic', \&plant_in_hole, 'pg_statistic', 0 ])
{
	my ($shown, $plant, @where) = @$place;

	$node->stop;
	$plant->(@where);
	$node->start;
	is(unclean('t'), $filled && $plant == \&plant_in_freed_lines ? '' : $shown, "planted in $where[0], block $where[1]: found");
	$node->safe_psql('postgres', q{SELECT facematch.erase('t')});
	is(unclean('t'), '', "planted in $where[0], block $where[1]: erased");
}

for my $place ([ \&plant_in_hole, 'u', 0 ], [ \&plant_in_padding, 'u', 0 ], [ \&plant_in_freed_lines, 'u', 0 ], [ \&plant_in_hole, 'u_note', 1 ])
{
	my ($plant, @where) = @$place;

	$node->stop;
	$plant->(@where);
	$node->start;
	is(unclean('u'), $filled && $plant == \&plant_in_freed_lines ? '' : $where[0], "unlogged: planted in $where[0]: found");
	$node->safe_psql('postgres', q{SELECT facematch.erase('u')});
	is(unclean('u'), '', "unlogged: planted in $where[0]: erased");
}

# Pages that are called all visible, which from PostgreSQL 19 on any query does, are looked at like others.
$node->safe_psql('postgres', q{CREATE TABLE v (id int, note text) WITH (autovacuum_enabled = off); INSERT INTO v SELECT i, repeat('v', i % 9) FROM generate_series(1, 2000) i});
$node->safe_psql('postgres', $node->pg_version >= '19devel' ? 'SELECT count(*) FROM v' : 'VACUUM v');
$node->safe_psql('postgres', 'CHECKPOINT');
$file{v} = $node->data_dir . '/' . $node->safe_psql('postgres', q{SELECT pg_relation_filepath('v')});
$file{v_map} = "$file{v}_vm";
sub unclean_parts { return $node->safe_psql('postgres', q{SELECT string_agg(part, ' ') FROM facematch.verify_erased('v') WHERE relation = 'v'::regclass AND NOT clean}); }
is(unclean_parts(), '', 'all visible: nothing is left');
$node->stop;
cmp_ok(unpack('%32b*', substr(read_page('v_map', 0), 24)), '>=', 5, 'all visible: the map says so');
plant_in_hole('v', 0);
plant_in_padding('v', 1);
$node->start;
is(unclean_parts(), 'table', 'all visible: planted bytes are found');
$node->safe_psql('postgres', q{SELECT facematch.erase('v')});
is(unclean_parts(), '', 'all visible: and erased');
$node->safe_psql('postgres', q{INSERT INTO v SELECT i, 'more' FROM generate_series(1, 2000) i; SELECT count(*) FROM v});
is(unclean_parts(), '', 'all visible: pages that the table got since are no strangers to the map');
$node->stop;
write_bytes('v_map', 0, 24 + 1000, "\x01");
$node->start;
is(unclean_parts(), 'visibility map', 'all visible: a bit of a page that is not there is told');

# No operation leaves anything there, so it takes a new index.
$node->stop;
plant_in_free_slot();
$node->start;
is(unclean('t'), 't_face', 'planted in a free slot of the face index: found');
$node->safe_psql('postgres', q{SELECT facematch.erase('t')});
is(unclean('t'), 't_face', 'and not called clean before it is');
$node->safe_psql('postgres', 'REINDEX INDEX t_face');
is(unclean('t'), '', 'a new index has none');

# A deleted row, whole in table, TOAST table and indexes.
$node->safe_psql('postgres', 'DELETE FROM t WHERE id = 152');
is(unclean('t'), 'pg_toast.pg_toast_N pg_toast.pg_toast_N_index t t_face t_hash t_note t_pkey', 'a deleted row: found in all');
$node->safe_psql('postgres', q{SELECT facematch.erase('t')});
is(unclean('t'), 't_hash', 'erased, but for the hash index');
$node->safe_psql('postgres', 'VACUUM t');
$node->safe_psql('postgres', q{SELECT facematch.erase('t')});
is(unclean('t'), '', 'which VACUUM sees to');

# Templates in the planner's statistics, by way of a column of another type.
$node->safe_psql('postgres', 'UPDATE t SET copy = e::real[]');
$node->safe_psql('postgres', 'ALTER TABLE t ALTER copy SET STATISTICS 500; ANALYZE t');
like(unclean('t'), qr/\bpg_statistic|statistics|\bt\b/, 'statistics: found');
is($node->safe_psql('postgres', q{SELECT clean FROM facematch.verify_erased('t') WHERE part = 'statistics'}), 'f', 'values in pg_statistic are told');
$node->safe_psql('postgres', 'VACUUM t; ALTER TABLE t ALTER copy SET STATISTICS 0');
$node->safe_psql('postgres', q{CALL facematch.erase_table('t')});
is(unclean('t'), '', 'and taken out');

# Key values of removed rows in the inner pages of a B-tree.
$node->safe_psql('postgres', q{CREATE TABLE k (name text); INSERT INTO k SELECT md5(i::text) FROM generate_series(1, 2000) i; CREATE INDEX k_name ON k (name);
	DELETE FROM k WHERE name < 'c'});
$node->safe_psql('postgres', q{SELECT facematch.erase('k')});
is(unclean('k'), 'k_name', 'keys that steer searches: told');
$node->safe_psql('postgres', 'REINDEX INDEX CONCURRENTLY k_name');
$node->safe_psql('postgres', q{SELECT facematch.erase('k')});
is(unclean('k'), '', 'a new index has none');

# A page that says that a tuple is where it cannot be; a header that makes no sense.
$node->stop;
my $item = unpack('L', substr(read_page('t', 1), 24, 4));
write_bytes('t', 1, 24, pack('L', (8000 & 0x7fff) | (1 << 15) | (400 << 17)));
$node->start;
for my $call (q{facematch.erase('t')}, q{facematch.verify_erased('t')})
{
	my ($status, $out, $err) = $node->psql('postgres', "SELECT * FROM $call");
	like($err, qr/block 1 of "t" is damaged/, "$call refuses a damaged page by its number");
}
$node->stop;
write_bytes('t', 1, 24, pack('L', $item));
write_bytes('t_note', 1, 12, pack('SS', 9000, 100));
$node->start;
for my $call (q{facematch.erase('t')}, q{facematch.verify_erased('t')})
{
	my ($status, $out, $err) = $node->psql('postgres', "SELECT * FROM $call");
	like($err, qr/invalid page in block 1/, "$call refuses a page with a bad header");
}

# A damaged page of one table keeps no other from being purged and erased.
$node->safe_psql('postgres', q{
	CREATE TABLE worse (id bigint, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding);
	CREATE TABLE other (LIKE worse);
	SELECT facematch.retain('worse', 'encounter'), facematch.retain('other', 'encounter');
	INSERT INTO worse SELECT i, 'us_citizen', now(), NULL, '[1,0,0]' FROM generate_series(1, 500) i;
	INSERT INTO other SELECT i, 'us_citizen', now() - interval '1 year', NULL, '[1,0,0]' FROM generate_series(1, 500) i});
$file{worse} = $node->data_dir . '/' . $node->safe_psql('postgres', q{SELECT pg_relation_filepath('worse')});
$node->stop;
write_bytes('worse', 1, 12, pack('SS', 9000, 100));
$node->start;
my ($status, $out, $err) = $node->psql('postgres', 'CALL facematch.purge()');
like($err, qr/tables could not be purged: .*public\.worse/, 'the purge names the damaged one');
is($node->safe_psql('postgres', 'SELECT count(*) FROM other'), 0, 'and has purged the other');
is($node->safe_psql('postgres', q{SELECT verified FROM facematch.report_erasure WHERE table_name = 'public.other'}), 't', 'and erased it');
$node->stop;
done_testing();
