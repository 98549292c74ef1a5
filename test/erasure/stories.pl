# A day at the gate with real faces, a purge, and then no byte of the purged templates in any file of the primary or of a
# streaming standby.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use ErasedBytes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $faces = $ENV{FACES_DIR} // "$FindBin::Bin/../../../shared/faces";
my @stories = map { "$faces/../acceptance/$_.sql" } qw(gate_day_1_matching gate_day_2_rights);
plan skip_all => 'SKIP: the real faces are not here (FACES_DIR)' if grep { !-r } "$faces/to_copy.py", @stories;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1, extra => [ '--data-checksums' ]);
$primary->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'\nautovacuum = off\nwal_recycle = off\nwal_keep_size = 0\nmax_wal_size = '2GB'");
$primary->start;
$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;

my $copy = "$PostgreSQL::Test::Utils::tmp_check/faces.copy";
run_log([ '/usr/bin/python3', "$faces/to_copy.py", 'mobilefacenet_512' ], '>', $copy);
$primary->safe_psql('postgres', "CREATE EXTENSION facematch CASCADE; CREATE EXTENSION amcheck;
	CREATE TABLE faces (row_id int, subject int, ordinal int, embedding face_embedding(512,1));
	CREATE INDEX ON facematch.encounter USING facematch (gallery_id, probe);
	COPY faces FROM '$copy'");
unlink $copy;
$primary->command_ok([ 'psql', '-X', '-q', '-d', $primary->connstr('postgres'), map { ('-f', $_) } @stories ], 'the day goes by');

# The first flight's passengers go, with their probes: rows of other galleries stay.
my $dir = $PostgreSQL::Test::Utils::tmp_check;
my $going = q{gallery_id IN (SELECT gallery_id FROM facematch.gallery WHERE name LIKE 'XX901%')};
my $templates = $primary->safe_psql('postgres',
	"SELECT embedding FROM facematch.reference WHERE $going UNION SELECT probe FROM facematch.encounter WHERE probe IS NOT NULL AND $going");
append_to_file("$dir/templates", "$templates\n");
my $opened = $primary->safe_psql('postgres', "SELECT facematch_internal.opened(embedding) FROM facematch.reference WHERE $going AND facematch_internal.sealed_by(embedding) IS NOT NULL");
append_to_file("$dir/ctids", $primary->safe_psql('postgres', "SELECT ctid FROM facematch.reference WHERE $going") . "\n");
my $index = $primary->safe_psql('postgres', q{SELECT pg_relation_filepath(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indexrelid
	JOIN pg_am a ON a.oid = c.relam WHERE amname = 'facematch' AND indrelid = 'facematch.reference'::regclass ORDER BY indexrelid LIMIT 1});
$primary->safe_psql('postgres', 'CHECKPOINT');
append_to_file("$dir/index", slurp_file($primary->data_dir . "/$index"));

# The test's own copy goes first: its file, and what it was in WAL.
$primary->safe_psql('postgres', 'DROP TABLE faces');
my @search = ("$dir/templates", "$dir/index", "$dir/ctids");
my ($before) = find_bytes($primary, @search);
cmp_ok($before->{stored}[1], '>', 800, 'there are templates to find');
cmp_ok($before->{code}[1], '>', 400, 'and codes');
is($before->{$_}[0], $before->{$_}[1], "$_: all are found before the purge") for qw(stored code);
# Of sealed ones, what they were before is searched for, too.
append_to_file("$dir/templates", "$opened\n") if $opened ne '';

$primary->safe_psql('postgres', "UPDATE facematch.hold SET released_at = clock_timestamp() WHERE released_at IS NULL;
	UPDATE facematch.reference SET purge_after = clock_timestamp() WHERE $going AND purge_after > clock_timestamp();
	UPDATE facematch.encounter SET purge_after = clock_timestamp() WHERE $going AND purge_after > clock_timestamp()");
$primary->safe_psql('postgres', 'CALL facematch.purge()');
is($primary->safe_psql('postgres', "SELECT count(*) FROM facematch.reference WHERE $going"), '0', 'they are purged');
is($primary->safe_psql('postgres', 'SELECT count(*) FROM facematch.report_erasure WHERE erased IS NULL OR NOT verified'), '0', 'every receipt says erased and verified');
is($primary->safe_psql('postgres', q{SELECT relation, part, note FROM facematch.verify_erased('facematch.reference')
	WHERE NOT clean AND kept_keys IS NOT DISTINCT FROM 0}), '', 'and the pages prove it');

ok(let_go_of_wal($primary, $standby), 'WAL of the time before is gone');
for my $node ($primary, $standby)
{
	my ($after, $files) = find_bytes($node, @search);
	is($after->{$_}[0], 0, $node->name . ": nothing is left, $_") for sort keys %$after;
	is($files, '', $node->name . ': in no file');
}
is($primary->safe_psql('postgres', q{SELECT bool_and(clean) FROM facematch.verify_erased(receipt => 1) WHERE part = 'wal'}), 't', 'verify_erased() knows that WAL is gone');
is($standby->safe_psql('postgres', q{SELECT relation, part, note FROM facematch.verify_erased('facematch.reference')
	WHERE NOT clean AND relation = 'facematch.reference'::regclass}), '', 'verify_erased() works on the standby');

# Rows that stay are intact.
is($primary->safe_psql('postgres', q{SELECT count(*) > 2000 FROM facematch.reference}), 't', 'the others are there');
is($primary->safe_psql('postgres', q{SELECT count(*) FROM pg_class c JOIN pg_am a ON a.oid = c.relam, facematch_internal.index_problems(c.oid) WHERE amname = 'facematch'}),
	'0', 'the face indexes are sound');
$primary->command_ok([ 'pg_amcheck', '--heapallindexed', '--parent-check', '--rootdescend', 'postgres' ], 'so are tables and B-trees');
$standby->stop;
$primary->stop;
command_ok([ 'pg_checksums', '--check', '-D', $_->data_dir ], 'checksums are right') for $primary, $standby;
done_testing();
