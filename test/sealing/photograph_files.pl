# A photograph's bytes and its key stand in no file of the server; when it is purged its key is destroyed, and a file-level
# copy, a dump and the WAL taken before yield nothing after.
use strict;
use warnings;

use Bytes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
my $keys = PostgreSQL::Test::Utils::tempdir_short() . '/keys';
mkdir $keys, 0700 or die;
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', qq{
fsync = off
wal_level = replica
log_statement = all
shared_preload_libraries = facematch
max_prepared_transactions = 5
facematch.key_directory = '$keys'
});
$node->start;

# The keys there are: the files' contents.
sub keys_there
{
	return map { slurp_file($_) } glob "$keys/*.key";
}

sub sql { return $node->safe_psql('postgres', @_); }

sub fails
{
	my ($statement, $like, $name) = @_;
	my ($ret, $out, $err) = $node->psql('postgres', $statement);
	ok($ret != 0 && $err =~ $like, $name) or diag("$ret $out $err");
}

# Images that are known again: text that compresses, and bytes that do not.
my $plain = 'A face of a traveler, as JPEG has it. ' x 300;
my $noise = pack 'C*', map { int rand 256 } 1 .. 30000;
my @bytes = (substr($plain, 0, 200), substr($noise, 0, 64), substr($noise, 15000, 64), substr(unpack('H*', $noise), 5000, 128));
sub literal { return q{'\x} . unpack('H*', $_[0]) . q{'}; }

sql(q{
	CREATE EXTENSION facematch CASCADE;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F', 'flight', 'two', 0.99, now() + interval '2 hours');
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT 1, lpad(n::text, 32, '0')::uuid, 'us_citizen', ARRAY[cosd(n * 10), sind(n * 10)]::face_embedding, 's' FROM generate_series(1, 8) n;
	SELECT facematch.record_encounter('F', ARRAY[cosd(20), sind(20)]::face_embedding, port => 'JFK');
});
is(sql('SELECT facematch.store_photograph(' . literal($plain) . ', reference_id => 1)'), '1', 'a reference\'s photograph is stored');
is(sql('SELECT facematch.store_photograph(' . literal($noise) . ', encounter_id => 1)'), '2', 'an encounter\'s too');
is(sql('SELECT facematch.store_photograph(' . literal($noise) . ", reference_id => $_)"), $_, "reference $_") foreach 3 .. 6;
is(sql('SELECT facematch.read_photograph(1) = ' . literal($plain) . ', facematch.read_photograph(2) = ' . literal($noise)), 't|t', 'and read as it was');
is(sql(q{SELECT count(*) FROM facematch.audit_event WHERE action = 'photograph_read'}), '2', 'which is logged');

# Whoever is given the functions reads nothing that is not in the log for good, whatever becomes of the transaction.
sql('CREATE ROLE viewer LOGIN; GRANT USAGE ON SCHEMA facematch, facematch_internal TO viewer; GRANT SELECT ON facematch.photograph TO viewer;
	GRANT EXECUTE ON FUNCTION facematch.read_photograph(bigint) TO viewer; GRANT EXECUTE ON PROCEDURE facematch.announce_reading TO viewer');
sub viewer { my ($ret, $out, $err) = $node->psql('postgres', $_[0], extra_params => [ '-U', 'viewer' ]); return "$out$err"; }
sub logged { return sql("SELECT count(*) FROM facematch.audit_event WHERE actor = 'viewer' AND action = '$_[0]'"); }
like(viewer('BEGIN; SELECT facematch.read_photograph(1); ROLLBACK'), qr/no reading of photograph 1 is announced/, 'unannounced, nothing is read');
like(viewer("BEGIN; CALL facematch.announce_reading(photograph_id => 1, purpose => 'inquiry'); SELECT facematch.read_photograph(1); ROLLBACK"), qr/cannot run inside a transaction block/,
	'nor announced in a transaction that may roll back');
like(viewer("CALL facematch.announce_reading(photograph_id => 99, purpose => 'inquiry')"), qr/there is no photograph 99/, 'nor is one that is not there');
like(viewer("CALL facematch.announce_reading(photograph_id => 1, purpose => '-')"), qr/the purpose is not said/, 'nor without a purpose');
like(viewer("CALL facematch.announce_reading(photograph_id => 1, purpose => '[" . join(',', (0.25) x 16) . "]')"), qr/reads as a template/, 'nor with a template as one');
like(viewer("INSERT INTO facematch.reading (photograph_id, purpose, until) VALUES (1, 'x', 'infinity')"), qr/permission denied/, 'nor by hand');
is(logged('photograph_announced') + logged('photograph_read'), 0, 'none of which is a reading');
is(viewer("CALL facematch.announce_reading(photograph_id => 1, purpose => 'inquiry 7')"), '', 'announced');
is(viewer("BEGIN;\nSELECT facematch.read_photograph(1) = " . literal($plain) . ";\nROLLBACK;"), 't', 'it is read, and rolled back');
is(logged('photograph_announced'), '1', 'which is in the log');
like(viewer('SELECT facematch.read_photograph(2)'), qr/no reading of photograph 2 is announced/, 'another one is not read');
is(sql("SELECT purpose, until - announced_at BETWEEN '9 minutes' AND '10 minutes' FROM facematch.reading"), 'inquiry 7|t', 'and who, what for, until when is kept');
is(sql('SELECT intact FROM facematch.verify_audit()'), 't', 'the log is whole');
sql('DROP OWNED BY viewer; DROP ROLE viewer');

is(scalar(keys_there()), 6, 'each has a key of its own');
is((stat((glob "$keys/*.key")[0]))[2] & 07777, 0600, 'for the server alone');

# What fails leaves no key; what is changed or exchanged is found.
$node->psql('postgres', 'BEGIN; SELECT facematch.store_photograph(' . literal($noise) . ', reference_id => 7); ROLLBACK;');
fails('SELECT facematch.store_photograph(' . literal($noise) . ', reference_id => 99)', qr/needs a template/, 'no photograph without a row');
is(scalar(keys_there()), 6, 'a transaction that fails leaves no key');
sql(q{ALTER TABLE facematch.photograph DISABLE TRIGGER photograph_10_guard;
	UPDATE facematch.photograph SET sealed = set_byte(sealed, 100, get_byte(sealed, 100) # 1) WHERE photograph_id = 3;
	UPDATE facematch.photograph SET media_type = 'image/png' WHERE photograph_id = 4;
	UPDATE facematch.photograph SET sealed = (SELECT sealed FROM facematch.photograph WHERE photograph_id = 6) WHERE photograph_id = 5;
	UPDATE facematch.photograph SET sealed = '\x' WHERE photograph_id = 6;
	ALTER TABLE facematch.photograph ENABLE ALWAYS TRIGGER photograph_10_guard;});
fails("SELECT facematch.read_photograph($_)", qr/not the one that was stored/, "photograph $_ was changed") foreach 3 .. 6;

# The directory has to be the server's own, and out of every copy's way.
foreach my $bad ([ $node->data_dir, 'lies within' ], [ $node->data_dir . '/base', 'lies within' ], [ 'keys', 'is not an absolute path' ], [ "$keys/none", 'cannot be found' ])
{
	$node->append_conf('postgresql.conf', "facematch.key_directory = '$bad->[0]'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('facematch.key_directory') = '$bad->[0]'");
	fails('SELECT facematch.read_photograph(1)', qr/key_directory $bad->[1]/, "the key directory $bad->[1]");
}
chmod 0750, $keys;
$node->append_conf('postgresql.conf', "facematch.key_directory = '$keys'");
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('facematch.key_directory') = '$keys'");
fails('SELECT facematch.read_photograph(1)', qr/open to others/, 'nor may others read it');
chmod 0700, $keys;
my ($first) = glob "$keys/*.key";
rename $first, "$first.away" or die;
symlink "$first.away", $first or die;
my $linked = ($first =~ m{([0-9a-f-]+)\.key$})[0];
fails("SELECT facematch.read_photograph(photograph_id) FROM facematch.photograph WHERE key_id = '$linked'", qr/could not read a key/, 'links are not followed');
unlink $first;
rename "$first.away", $first or die;

# Copies, taken while it is there: file by file, a dump, and the WAL in them.
$node->backup('before');
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'a dump');
my @secrets = keys_there();
sql(q{INSERT INTO facematch.opt_out (subject_id) VALUES (lpad('1', 32, '0')::uuid)});
is(sql('SELECT count(*) FROM facematch.photograph WHERE photograph_id = 1'), '0', 'an opt-out takes the photograph with the template');
is(scalar(keys_there()), 6, 'its key waits for the purge');
sql('BEGIN; DELETE FROM facematch.photograph WHERE photograph_id = 2; SELECT facematch_internal.destroy_keys(); ROLLBACK');
is(sql('SELECT facematch.read_photograph(2) = ' . literal($noise)), 't', 'what is not committed destroys no key');
sql(q{INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('facematch.encounter', '1', 'r', 'a');
	UPDATE facematch.encounter SET purge_after = now(); UPDATE facematch.gallery SET purge_after = now()});
sql('CALL facematch.purge()');
is(sql('SELECT string_agg(photograph_id::text, $$ $$) FROM facematch.photograph'), '2', 'the purge takes what is due, except what is held');
is(scalar(keys_there()), 1, 'with the keys');
sql('UPDATE facematch.hold SET released_at = clock_timestamp()');
sql('CALL facematch.purge()');
is(join(' ', keys_there()), '', 'and the last when the hold is gone');
is(sql(q{SELECT sum((detail ->> 'count')::int) FROM facematch.audit_event WHERE action = 'keys_destroyed'}), '6', 'their destruction is logged')
  or diag(sql('SELECT action, detail FROM facematch.audit_event'));
is(sql('SELECT bool_and(intact) FROM facematch.verify_audit()'), 't', 'in a log that is whole');

# The copy starts with the same directory: nothing can be read in it any more, nor found in its files.
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'before');
$copy->start;
is($copy->safe_psql('postgres', 'SELECT count(*) FROM facematch.photograph'), '6', 'the copy has the rows');
foreach my $photograph (1, 2)
{
	my ($ret, $out, $err) = $copy->psql('postgres', "SELECT facematch.read_photograph($photograph)");
	ok($ret != 0 && $err =~ /its key has been destroyed/, "but not photograph $photograph");
}
$copy->safe_psql('postgres', 'CHECKPOINT');
$copy->stop;

# What a crash left is found by the next purge.
my $session = $node->background_psql('postgres');
$session->query_safe('BEGIN; SELECT facematch.store_photograph(' . literal('short') . ', reference_id => (SELECT min(reference_id) FROM facematch.reference))')
  if sql(q{INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('G', 'flight', 'two', 0.99, now() + interval '2 hours');
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT gallery_id, lpad('9', 32, '0')::uuid, 'us_citizen', '[1,0]', 's'
	FROM facematch.gallery WHERE name = 'G' RETURNING true});
push @secrets, keys_there();
sql('CALL facematch.purge()');
is(scalar(keys_there()), 1, 'a key in the making is left alone');
$node->stop('immediate');
eval { $session->quit };
$node->start;
is(scalar(keys_there()), 1, 'a crash leaves it');
sql('CALL facematch.purge()');
is(scalar(keys_there()), 0, 'and the next purge destroys it');

# A directory that is missing is told, and keeps nothing from being erased.
rename($keys, "$keys.gone") or die "$keys: $!";
sql(q{CREATE TABLE seen (id bigint, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding);
	SELECT facematch.retain('seen', 'encounter');
	INSERT INTO seen VALUES (1, 'us_citizen', now() - interval '1 year', NULL, '[1,0,0]')});
fails('CALL facematch.purge()', qr/tables could not be purged: facematch\.photograph/, 'a directory of keys that is missing');
is(sql(q{SELECT verified FROM facematch.report_erasure WHERE table_name = 'public.seen'}), 't', 'all else has been purged and erased');
rename("$keys.gone", $keys) or die "$keys: $!";
sql('CALL facematch.purge()');

# A key file that cannot be removed is told, and keeps no other key.
my $before = scalar(keys_there());
sql(q{INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('K', 'flight', 'two', 0.99, now() + interval '2 hours');
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT g.gallery_id, lpad(n::text, 32, '0')::uuid, 'us_citizen', '[1,0]', 's' FROM facematch.gallery g, generate_series(11, 13) n WHERE g.name = 'K';
	SELECT facematch.store_photograph('a face', reference_id => r.reference_id) FROM facematch.reference r JOIN facematch.gallery g USING (gallery_id) WHERE g.name = 'K'});
my @three = split /\n/, sql(q{SELECT p.key_id FROM facematch.photograph p JOIN facematch.reference r USING (reference_id) JOIN facematch.gallery g USING (gallery_id)
	WHERE g.name = 'K' ORDER BY 1});
is(scalar(@three), 3, 'three photographs');
rename("$keys/$three[0].key", "$keys.stuck") && mkdir("$keys/$three[0].key") or die "$three[0]: $!";
sql(q{DELETE FROM facematch.reference r USING facematch.gallery g WHERE g.gallery_id = r.gallery_id AND g.name = 'K'});
sql('CALL facematch.purge()');
is(sql(q{SELECT d.key_id FROM facematch_internal.doomed_key d}), $three[0], 'one key waits');
ok(!-e "$keys/$_.key", "key $_ does not") foreach @three[1, 2];
rmdir("$keys/$three[0].key") && rename("$keys.stuck", "$keys/$three[0].key") or die "$three[0]: $!";
sql('CALL facematch.purge()');
is(sql(q{SELECT count(*) FROM facematch_internal.doomed_key}), '0', 'and is destroyed when it can be');
is(scalar(keys_there()), $before, 'as the others were');

$node->stop;
is(join(' ', files_with($node->basedir, @bytes)), '', 'no image in any file of server, copies, dump and WAL');
is(join(' ', files_with($node->basedir, map { (substr($_, 24), unpack('H*', substr($_, 24, 32))) } @secrets)), '', 'and no key');
is(join(' ', files_with($copy->basedir, @bytes, map { substr($_, 24) } @secrets)), '', 'nor in the copy that was started');
is(join(' ', files_with($node->logfile, @bytes)), '', 'nor in the log');
like(slurp_file($node->logfile), qr/store_photograph\('?(?:\\x)?<\d+ [a-z ]+>/, 'which has the statements all the same');
done_testing();
