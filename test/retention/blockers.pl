# A transaction that stages and does not end, prepared or in an idle session: an opt-out goes on without it, closing a
# gallery gives up in the time that a table has and names it, across a restart too; the health check names it after a minute.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

sub subject { return sprintf("'00000000-0000-4000-8000-%012d'", shift); }

my $node = PostgreSQL::Test::Cluster->new('blocked');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\ntimezone = 'UTC'\nmax_prepared_transactions = 5\nfacematch.table_timeout = '500ms'");
$node->start;
sub sql { return $node->safe_psql('postgres', shift); }
sub told { my ($sql) = @_; $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", stderr => \my $error, stdout => \my $out); return $error; }
my $stage = sub { my ($gallery, $n) = @_; return "INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
	SELECT gallery_id, " . subject($n) . ", 'us_citizen', '[1,0]', 'passport' FROM facematch.gallery WHERE name = '$gallery'"; };
sql(q{CREATE EXTENSION facematch CASCADE;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('left', 'flight', 'two', 0.5, now() + interval '1 day'),
		('idle', 'flight', 'two', 0.5, now() + interval '1 day')});
sql($stage->('left', 2));
sql('BEGIN;' . $stage->('left', 1) . "; PREPARE TRANSACTION 'half a manifest'");
my $began = time;
my $idle = $node->background_psql('postgres');
$idle->query_safe('BEGIN;' . $stage->('idle', 3));
my $pid = $idle->query_safe('SELECT pg_backend_pid()');

### what waits for the prepared one

for my $when ('at once', 'after a restart')
{
	if ($when eq 'after a restart')
	{
		$idle->quit;
		$node->restart;
		$idle = $node->background_psql('postgres');
		$idle->query_safe('BEGIN;' . $stage->('idle', 3));
		$pid = $idle->query_safe('SELECT pg_backend_pid()');
	}
	my $error = told(q{SELECT facematch.close_gallery('left')});
	like($error, qr/55P03: gallery 'left' is used by a transaction that does not end/, "$when: the gallery is not closed");
	like($error, qr/prepared transaction 'half a manifest' of /, "$when: by whom, a prepared one");
	like(told(q{SELECT facematch.close_gallery('idle')}), qr/session $pid of /, "$when: by whom, a session");
}
my $from = time;
sql('INSERT INTO facematch.opt_out (subject_id) VALUES (' . subject(1) . '), (' . subject(2) . ')');
cmp_ok(time - $from, '<', 60, 'an opt-out does not wait for its end');
is(sql('SELECT count(*) FROM facematch.reference'), '0', 'who is there goes');
is(sql('SELECT facematch.is_opted_out(' . subject(1) . ')'), 't', 'who is being staged has opted out');

### who is named

sleep(1) while time - $began < 62;
my $named = q{SELECT string_agg(object || ' / ' || remedy, E'\n' ORDER BY object) FROM facematch.health_check() WHERE finding ~ 'has been adding or removing templates'};
like(sql($named), qr{prepared transaction 'half a manifest' of .* \(for 00:01:\d\d, prepared\).* / .*COMMIT PREPARED 'half a manifest', or ROLLBACK PREPARED 'half a manifest'},
	'a prepared transaction that has stood for a minute is named, and how it ends');

### it ends: what it added of who has declined goes

sql("COMMIT PREPARED 'half a manifest'");
is(sql('SELECT count(*) FROM facematch.reference'), '1', 'it adds who has opted out,');
is(sql("SELECT count(*) FROM facematch.identify('[1,0]', 'left')"), '0', 'whom nobody finds,');
is(sql("SELECT count(*) FROM facematch.identify_many(ARRAY['[1,0]', '[0,1]']::face_embedding[], 'left', min_similarity => -1)"), '0',
	'among many probes neither,');
is(sql("SELECT match, reason FROM facematch.verify('[1,0]', (SELECT reference_id FROM facematch.reference))"), 'f|declined', 'and who matches nobody');
is(sql("SELECT match FROM facematch.verify('[1,0]', 'left'::text, " . subject(1) . '::uuid)'), 'f', 'by whatever name');
sql('CALL facematch.purge()');
is(sql('SELECT count(*) FROM facematch.reference'), '0', 'what it adds of who has opted out is gone with the next purge');
isnt(sql(q{SELECT facematch.close_gallery('left')}), '', 'the gallery closes');
unlike(sql($named), qr/half a manifest/, 'and nobody is named for it');
$idle->query_safe('ROLLBACK');
$idle->quit;

### a session that keeps the planner's statistics locked

sql(q{CREATE TABLE visit (id int, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding, copy real[]);
	SELECT facematch.retain('visit', 'encounter');
	INSERT INTO visit SELECT n, 'us_citizen', now(), NULL, '[1,0]', ARRAY[n % 3] FROM generate_series(1, 30) n});
sql('ANALYZE visit');
sql('UPDATE visit SET e = NULL WHERE id > 15');
sql("BEGIN; LOCK TABLE pg_catalog.pg_statistic IN SHARE UPDATE EXCLUSIVE MODE; PREPARE TRANSACTION 'statistics'");
my $marks = q{SELECT count(*) FROM facematch_internal.erasure_mark WHERE relation = 'visit'::regclass};
my $left = q{SELECT count(*) FROM facematch.verify_erased('visit') WHERE part = 'statistics' AND NOT clean};
sql('SET facematch.sweep_interval = 0; CALL facematch.purge()');
is(sql($marks), '0', 'what the purge could not erase in the statistics is not marked as done, where no receipt waits for it either,');
sql("COMMIT PREPARED 'statistics'");
sql('CALL facematch.purge()');
is(sql($marks), '1', 'and the next purge does it,');
is(sql($left), '0', 'in the statistics too');
is(sql('SELECT intact FROM facematch.verify_audit()'), 't', 'the log is whole');

done_testing;
