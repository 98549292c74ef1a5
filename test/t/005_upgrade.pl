# ALTER EXTENSION facematch UPDATE makes of every older version what CREATE EXTENSION makes now.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'");
$node->start;

my $catalog = slurp_file("$FindBin::Bin/catalog.sql");
my $sharedir = `pg_config --sharedir`;
chomp $sharedir;
my @older = map { /facematch--([0-9.]+)\.sql$/ ? $1 : () } glob "$sharedir/extension/facematch--*.sql";

# The rows that come with the extension, but the pseudonyms' key, which is drawn at random, and when they came.
sub shipped
{
	my ($database) = @_;
	my %shipped;
	foreach my $table (split /\n/, $node->safe_psql($database,
			q{SELECT oid::regclass FROM pg_class WHERE relnamespace = 'facematch'::regnamespace AND relkind = 'r' AND oid <> 'facematch.pseudonym_key'::regclass}))
	{
		$shipped{"row of $table: $_"} = 1
		  foreach split /\n/, $node->safe_psql($database, "SELECT to_jsonb(t) FROM $table t");
	}
	return %shipped;
}

sub objects
{
	my ($database) = @_;
	my %objects = map { $_ => 1 } split /\x1e/, $node->safe_psql($database, $catalog, extra_params => [ '-R', "\x1e" ]);
	return (%objects, shipped($database));
}

# What one has that the other has not, each with its name.
sub lacks
{
	my ($has, $lacks) = @_;
	return map { s/\n/ /gr } sort grep { !$lacks->{$_} } keys %$has;
}

$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION facematch CASCADE');
my %fresh = objects('fresh');
my $version = $node->safe_psql('fresh', q{SELECT extversion FROM pg_extension WHERE extname = 'facematch'});
cmp_ok(scalar(keys %fresh), '>', 1000, 'the catalogs are looked at');

# The comparison sees a difference of every kind that is tried.
$node->safe_psql('postgres', 'CREATE DATABASE changed TEMPLATE fresh');
my %changes = (
	'function public.face_dims' => 'ALTER FUNCTION face_dims(face_embedding) COST 7',
	'column facematch.gallery.name' => 'ALTER TABLE facematch.gallery ALTER name DROP NOT NULL',
	'relation facematch.gallery' => 'GRANT SELECT ON facematch.gallery TO PUBLIC',
	'comment table facematch.model' => q{COMMENT ON TABLE facematch.model IS 'other'},
	'trigger facematch.gallery gallery_10_model' => 'ALTER TABLE facematch.gallery DISABLE TRIGGER gallery_10_model',
	'constraint facematch.gallery gallery_name_key' => 'ALTER TABLE facematch.gallery DROP CONSTRAINT gallery_name_key',
	'row of facematch.gallery_kind' => q{UPDATE facematch.gallery_kind SET description = 'other' WHERE name = 'cruise'},
	'dumped rows facematch.gallery_gallery_id_seq' => q{UPDATE pg_extension SET extcondition[4] = 'WHERE false' WHERE extname = 'facematch'},
);
$node->safe_psql('changed', join(';', values %changes));
my %changed = objects('changed');
my @seen = lacks(\%fresh, \%changed);
foreach my $what (sort keys %changes)
{
	(my $pattern = $what) =~ s/ /[ |]/g;
	ok(scalar(grep { /\Q$what\E/ || /$pattern/ } @seen), "a change is seen: $what") or diag(join("\n", map { substr $_, 0, 200 } @seen));
}

foreach my $old (grep { $_ ne $version } @older)
{
	(my $database = "from_$old") =~ tr/./_/;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION pgcrypto');
	$node->safe_psql($database, "CREATE EXTENSION facematch VERSION '$old'");
	# What the application has granted and made on top of it stays.
	$node->safe_psql($database, q{CREATE TABLE mine (e face_embedding(2, 1)); CREATE VIEW best AS SELECT e <=> '1:[1,2]' AS d FROM mine});
	my ($status, $stdout, $stderr) = $node->psql($database, 'ALTER EXTENSION facematch UPDATE');
	is($stderr, '', "$old: ALTER EXTENSION UPDATE");
	is($node->safe_psql($database, q{SELECT extversion FROM pg_extension WHERE extname = 'facematch'}), $version, "$old is $version now");
	my %upgraded = objects($database);
	is_deeply([ lacks(\%fresh, \%upgraded) ], [], "$old: nothing is missing after the upgrade");
	is_deeply([ lacks(\%upgraded, \%fresh) ], [], "$old: nothing is there that a new database has not");
}

# A name that reads as a template is none any more: it is replaced, so that its row can be changed, and restored from a dump.
$node->safe_psql('postgres', 'CREATE DATABASE named');
$node->safe_psql('named', q{
	CREATE EXTENSION facematch VERSION '0.1.0' CASCADE;
	INSERT INTO facematch.model (name, tag, dims) VALUES (encode(sha512('model'), 'hex'), 3, 3);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at)
		SELECT n, 'flight', encode(sha512('model'), 'hex'), 0.5, now() FROM unnest(ARRAY['ok', encode(sha512('one'), 'hex'), encode(sha512('two'), 'hex')]) n;
	ALTER EXTENSION facematch UPDATE});
is($node->safe_psql('named', q{UPDATE facematch.gallery SET anchor_at = now(), name = name WHERE facematch.redacted(name) = name; SELECT string_agg(regexp_replace(name, ' .*', ''), ',' ORDER BY name <> 'ok') FROM facematch.gallery}),
	'ok,<128,<128', 'names that read as templates are replaced, and their rows can be changed');
is($node->safe_psql('named', q{SELECT string_agg(format('%s %s', detail ->> 'table', detail ->> 'rows'), ', ' ORDER BY detail ->> 'table') FROM facematch.audit_event WHERE action = 'names_replaced'}),
	'facematch.gallery 2, facematch.model 1', 'which the log has');

done_testing();
