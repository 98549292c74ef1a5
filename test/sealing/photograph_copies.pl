# Keys are of the database that made them: a copy beside it neither reads with them nor destroys them; when it is gone, who
# has the photographs has the keys, and keys that nobody has are named.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
my $keys = PostgreSQL::Test::Utils::tempdir_short() . '/keys';
mkdir $keys, 0700 or die;
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nfacematch.key_directory = '$keys'\nshared_preload_libraries = facematch");
$node->start;
sub sql { return $node->safe_psql(@_); }
sub error { my ($ret, $out, $err) = $node->psql(@_); return $err; }
sub keys_there { return scalar(my @files = glob "$keys/*.key"); }
sub findings { return sql($_[0], q{SELECT string_agg(concat_ws(': ', severity, finding, substring(object FROM '\d+')), '; ' ORDER BY finding) FROM facematch.health_check() WHERE object ~ '^photographs'}); }
my $read = q{SELECT string_agg(convert_from(facematch.read_photograph(photograph_id), 'UTF8'), ' ' ORDER BY photograph_id) FROM facematch.photograph};

sql('postgres', 'CREATE DATABASE site');
sql('site', q{
	CREATE EXTENSION facematch CASCADE;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F', 'flight', 'two', 0.99, now() + interval '2 hours');
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT 1, lpad(n::text, 32, '0')::uuid, 'us_citizen', ARRAY[cosd(n * 10), sind(n * 10)]::face_embedding, 's' FROM generate_series(1, 4) n;
	SELECT facematch.store_photograph(convert_to('image' || reference_id, 'UTF8'), reference_id => reference_id) FROM facematch.reference ORDER BY reference_id});
my $all = 'image1 image2 image3 image4';
is(sql('site', $read), $all, 'four photographs');
is(findings('site'), '', 'nothing to say of their keys');

# A copy beside it.
sql('postgres', 'CREATE DATABASE copy TEMPLATE site');
like(error('copy', 'SELECT facematch.read_photograph(1)'), qr/the key of a photograph belongs to another database, and is not used here/, 'a copy does not read');
sql('copy', q{UPDATE facematch.reference SET purge_after = now() WHERE reference_id <= 2});
sql('copy', 'CALL facematch.purge()');
is(sql('copy', 'SELECT count(*) FROM facematch.photograph'), '2', 'a copy purges what is due');
like(error('copy', 'SELECT facematch_internal.destroy_key(key_id, $$photograph$$) FROM facematch_internal.doomed_key'), qr/belongs to another database, and is not destroyed here/, 'and destroys no key');
is(sql('site', $read), $all, 'of the original');
sql('copy', q{UPDATE facematch_internal.doomed_key SET doomed_at = doomed_at - interval '2 hours'});
is(findings('copy'), 'warning: this database is a copy of site, which still needs keys of photographs that were deleted here: they are destroyed when it deletes its own: 2', 'which it says');
is(sql('copy', q{SELECT facematch.store_photograph('own', reference_id => 3)}) > 0, 1, 'what it stores');
is(sql('copy', q{SELECT convert_from(facematch.read_photograph(max(photograph_id)), 'UTF8') FROM facematch.photograph}), 'own', 'it reads');

# A dump, restored beside the original, and kept when that is gone.
my $dump = $node->basedir . '/site.sql';
command_ok([ 'pg_dump', '-f', $dump, $node->connstr('site') ], 'a dump');
sql('postgres', "CREATE DATABASE $_") foreach qw(restored other);
command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'restored');
like(error('restored', 'SELECT facematch.read_photograph(1)'), qr/another database/, 'beside the original it does not read');
sql('site', q{UPDATE facematch.reference SET purge_after = now() WHERE reference_id = 1});
sql('site', 'CALL facematch.purge()');
is(keys_there(), 4, 'the original destroys its key');
like(error('restored', 'SELECT facematch.read_photograph(1)'), qr/its key has been destroyed/, 'everywhere');
sql('postgres', 'DROP DATABASE site');
is(keys_there(), 4, 'a database that is dropped leaves its keys');
sql('other', 'CREATE EXTENSION facematch CASCADE');
is(findings('other'), 'warning: there are keys of dropped databases: with them, dumps and backups of those databases can be read: 3', 'which are named');
is(findings('restored'), '', 'but not to whom they are the keys of photographs');
is(sql('restored', q{SELECT convert_from(facematch.read_photograph(2), 'UTF8')}), 'image2', 'and who reads them');
sql('copy', 'CALL facematch.purge()');
is(keys_there(), 3, 'a copy destroys what it waited with');
is(findings('copy'), '', 'and has nothing to say');
sql('restored', q{UPDATE facematch.reference SET purge_after = now()});
sql('restored', 'CALL facematch.purge()');
is(keys_there(), 1, 'the restored database those that it has');
is(sql('copy', q{SELECT convert_from(facematch.read_photograph(max(photograph_id)), 'UTF8') FROM facematch.photograph}), 'own', 'and not the copy\'s');

# Keys without a photograph, and a directory that cannot be used.
sql('copy', 'ALTER TABLE facematch.photograph DISABLE TRIGGER photograph_20_doom; DELETE FROM facematch.photograph; ALTER TABLE facematch.photograph ENABLE ALWAYS TRIGGER photograph_20_doom');
is(findings('copy'), 'warning: keys of this database have no photograph: 1', 'a key without a photograph is named');
sql('copy', 'CALL facematch.purge()');
is(keys_there(), 0, 'and destroyed by the next purge');
chmod 0750, $keys;
is(findings('copy'), 'error: facematch.key_directory is not the server user\'s own, or is open to others', 'a directory that others can read is named');
$node->stop;

done_testing();
