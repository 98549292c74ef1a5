# Templates that ANALYZE of a foreign table leaves in the planner's statistics here: of its sample, and from PostgreSQL 19 on of
# the other server's statistics, which pass by the type's own ANALYZE.  Searched for in the files, told, and taken out.
use strict;
use warnings;

use Bytes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE away');
$node->safe_psql('postgres', 'CREATE DATABASE home');
my $imports = $node->pg_version >= '19devel';
sub home { return $node->safe_psql('home', @_); }

# The same components as halves, in a face_embedding, and as float4, in an array of another name for them.
my @components = map { $_ / 64 } 33 .. 48;
my $numbers = join ',', @components;
my %mark = (e => pack('v*', map { 0x3800 + 32 * ($_ * 64 - 32) } @components), copy => pack('f<*', @components));
$node->safe_psql('away', "CREATE TABLE seen (id int, e text, copy real[]);
	INSERT INTO seen SELECT i, '[$numbers]', '{$numbers}' FROM generate_series(1, 300) i; ANALYZE seen");
home('CREATE EXTENSION facematch CASCADE; CREATE EXTENSION postgres_fdw');
home(q{CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '} . $node->host . q{', port '} . $node->port . q{', dbname 'away');
	CREATE USER MAPPING FOR CURRENT_USER SERVER away;
	CREATE FOREIGN TABLE seen (id int, e face_embedding, copy real[]) SERVER away});
my $directory = $node->data_dir . '/base/' . home('SELECT oid FROM pg_database WHERE datname = current_database()');

# Which marks the files of the database have.
sub found
{
	$node->safe_psql('home', 'CHECKPOINT');
	my $bytes = join '', map { slurp_file($_) } grep { -f } glob "$directory/*";
	return join ' ', grep { index($bytes, $mark{$_}) >= 0 } sort keys %mark;
}

sub told { return home(q{SELECT string_agg(part || ' ' || coalesce(clean::text, 'unknown'), ', ' ORDER BY part) FROM facematch.verify_erased('seen') WHERE relation = 'seen'::regclass}); }
sub warned { return home(q{SELECT remedy FROM facematch.health_check() WHERE object = 'public.seen'}); }

is(home("SELECT bool_and(e = '[$numbers]' AND copy = '{$numbers}') FROM seen"), 't', 'templates are there to be seen');
is(found(), '', 'and in no file here');
for my $import (0 .. $imports)
{
	my $how = $import ? 'imported' : 'sampled';

	home('ALTER SERVER away OPTIONS (ADD import_stats \'true\')') if $import;
	home('ANALYZE seen');
	is(found(), $import ? 'copy e' : 'copy', "$how: values are in the files");
	is(told(), 'foreign table unknown, statistics false', "$how: told");
	my ($remedy, $before_the_next) = warned() =~ /^(CALL .*); before the next ANALYZE: (.*)$/;
	home($remedy);
	is(found(), '', "$how: the remedy takes them out of the files");
	is(told(), 'foreign table unknown', "$how: and of what is told");
	is(warned(), '', "$how: the health check is content");
	home($_) foreach split /, (?=ALTER)/, $before_the_next;
	home('ANALYZE seen');
	is(found(), '', "$how: the next ANALYZE brings none");
	home('ALTER FOREIGN TABLE seen ALTER e SET STATISTICS -1, ALTER copy SET STATISTICS -1');
}
$node->stop;
done_testing();
