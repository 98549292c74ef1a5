# Deleted templates leave no codes in the index file once VACUUM has run.
use strict;
use warnings;

use FaceIndex;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $page_size = 8192;
my ($sketch_kind, $refine_kind, $plane_kind) = (6, 7, 8);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off");
$node->start;

my $rows = sub {
	my ($gallery, $first, $last) = @_;
	return "INSERT INTO t SELECT i, $gallery, array_agg(random() + random() + random() - 1.5)::real[]::face_embedding FROM generate_series($first, $last) i, generate_series(1, 512) GROUP BY i;";
};
$node->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	CREATE TABLE t (id int, g int, e face_embedding);
	CREATE INDEX t_face ON t USING facematch (g, e)});
seal_own_table($node, t => 'e');
# Of three keys two whole blocks each: one to which a template is added is sealed anew, with all that is in it.
my $kept = $ENV{SEALED} ? 96 : 90;
$node->safe_psql('postgres', $rows->(1, 1, $kept));
my $file = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('t_face')");

# The index's pages as they are on disk.
sub pages
{
	$node->safe_psql('postgres', 'CHECKPOINT');
	return unpack("(a$page_size)*", slurp_file($file));
}

sub kind
{
	return unpack('S', substr($_[0], -4, 2));
}

# Pieces long enough not to come about by chance, of the pages' data.
sub pieces
{
	my %pieces;

	for my $page (@_)
	{
		for (my $at = 24; $at < $page_size - 32; $at += 4)
		{
			my $piece = substr($page, $at, 16);
			my %bytes = map { $_ => 1 } split //, $piece;

			$pieces{$piece} = 1 if keys %bytes >= 10;
		}
	}
	return \%pieces;
}

sub left
{
	my ($deleted, @pages) = @_;
	my $now = pieces(@pages);

	return scalar(grep { exists $now->{$_} } keys %$deleted);
}

my @before = pages();
$node->safe_psql('postgres', $rows->(1, $kept + 1, 190) . $rows->(2, 191, 400));
my @full = pages();
my $staying = pieces(@before);
my $codes = pieces(grep { kind($_) == $refine_kind } @full);
delete @$codes{ keys %$staying };
my $planes = pieces(grep { kind($_) == $plane_kind } @full);
delete @$planes{ keys %$staying };
my $sketches = pieces(grep { kind($_) == $sketch_kind } @full);
delete @$sketches{ keys %$staying };
cmp_ok(scalar(keys %$codes), '>', 1000, 'there are codes to find');
cmp_ok(left($codes, @full), '>', 1000, 'and they are found');
cmp_ok(left($planes, @full), '>', 1000, 'so are second bits');

$node->safe_psql('postgres', "DELETE FROM t WHERE id > $kept; VACUUM t; SELECT facematch.index_check('t_face', true)");
my @after = pages();
is(left($codes, @after), 0, 'no refinement code of a deleted template is left');
is(left($planes, @after), 0, 'nor second bits');

# The first gallery's sketches are again what they were; only links to refinement pages may be new.
my $changed = 0;
for my $i (0 .. $#before)
{
	next if kind($before[$i]) != $sketch_kind;
	is(kind($after[$i]), $sketch_kind, "page $i holds sketches as before");
	my $difference = substr($before[$i], 24) ^ substr($after[$i], 24);
	$changed += ($difference =~ tr/\0//c);
}
cmp_ok($changed, '<=', 40, 'the sketches of deleted templates are gone');
is(scalar(grep { kind($_) == $sketch_kind } @after), scalar(grep { kind($_) == $sketch_kind } @before), 'the second gallery has no sketch page left');
cmp_ok(left($sketches, @after), '<', 5, 'nor are its sketches anywhere else');

$node->safe_psql('postgres', 'DELETE FROM t; VACUUM t');
my $everything = pieces(grep { kind($_) >= $sketch_kind && kind($_) <= $plane_kind } @before, @full);
cmp_ok(left($everything, pages()), '<', 5, 'an emptied index holds no codes');

$node->stop;
done_testing();
