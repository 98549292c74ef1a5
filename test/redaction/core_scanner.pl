# The tokenizer of statements against PostgreSQL's own scanner: where that accepts a statement, both find the same constants.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $sources = "$FindBin::Bin/../../src";
my ($server, $compiler) = map { my $said = `pg_config $_`; chomp $said; $said } qw(--includedir-server --cc);
my $module = PostgreSQL::Test::Utils::tempdir() . '/core_scanner.so';
is(system("$compiler -std=gnu11 -O1 -g -Wall -Werror -fPIC -shared -I'$server' -I'$sources' -o '$module' '$FindBin::Bin/core_scanner.c' '$sources/redaction/constants.c' '$sources/redaction/words.c'"),
	0, 'the two scanners are built together');

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', "CREATE FUNCTION compare_scanners(tries int, seed int) RETURNS text LANGUAGE C STRICT AS '$module'");
my $tries = $ENV{LONG} ? 2_000_000 : 100_000;
foreach my $seed (1 .. 3)
{
	my ($accepted, $ambiguous) = split /\|/, $node->safe_psql('postgres', "SELECT compare_scanners($tries, $seed)");
	cmp_ok($accepted, '>', $tries / 5, "seed $seed: the same constants in $accepted statements");
	cmp_ok($ambiguous, '<', $accepted / 5, "$ambiguous have a quote behind a backslash and are replaced whole");
}
$node->stop;
done_testing();
