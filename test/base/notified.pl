# Tables' triggers that notify, by each way there is, while somebody who listens keeps the queue of notifications full: the commit of an opt-out
# fails then, unless what the table queues was refused before.  The queue is small enough to fill since PostgreSQL 17.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('queue');
$node->init;
plan skip_all => 'the size of the queue is a setting since PostgreSQL 17' if $node->pg_version < 17;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nmax_notify_queue_pages = 64");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	CREATE EXTENSION tcn;
	INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
	VALUES ('sightings', 'us_citizen', 'sighting', '{recorded}', '{10 days}', 'site rule', '-infinity');
	CREATE ROLE owner;
	CREATE SCHEMA own AUTHORIZATION owner;
	SET ROLE owner;
	CREATE FUNCTION own.tell() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF TG_TABLE_NAME = 'first' THEN NOTIFY gone; ELSE PERFORM pg_notify('gone', OLD.id::text); END IF;
		RETURN OLD;
	END $$;
	CREATE TABLE own.first (id bigint, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding);
	CREATE TABLE own.second (LIKE own.first);
	CREATE TABLE own.third (LIKE own.first, PRIMARY KEY (id));
	CREATE TRIGGER t BEFORE DELETE ON own.first FOR EACH ROW EXECUTE FUNCTION own.tell();
	CREATE TRIGGER t BEFORE DELETE ON own.second FOR EACH ROW EXECUTE FUNCTION own.tell();
	CREATE TRIGGER t AFTER DELETE ON own.third FOR EACH ROW EXECUTE FUNCTION triggered_change_notification('gone');
	RESET ROLE;
	SELECT facematch.retain(n::regclass, 'sighting') FROM unnest('{own.first,own.second,own.third}'::text[]) n;});
my $stage = q{INSERT INTO own.%s SELECT n, 'us_citizen', now(), lpad(n::text, 32, '0')::uuid, '[1,0]' FROM generate_series(1, 3) n};
$node->safe_psql('postgres', sprintf $stage, $_) for 'first', 'second', 'third';
sub opt_out { return "INSERT INTO facematch.opt_out (subject_id) VALUES (lpad('$_[0]', 32, '0')::uuid)"; }
sub left { return $node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM own.first), (SELECT count(*) FROM own.second), (SELECT count(*) FROM own.third)'); }

$node->psql('postgres', opt_out(1), stderr => \my $said);
is($said, '', 'a trigger may notify');
is(left(), '2|2|2', 'and the rows go');

my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN gone; BEGIN; SELECT 1');
for my $length (7900, 1)
{
	my $n = 0;
	1 while $node->psql('postgres', "SELECT pg_notify('gone', '" . ++$n . "' || repeat('x', $length))", stderr => \$said) == 0;
	like($said, qr/too many notifications/, "no room for one of $length bytes");
}
$node->psql('postgres', "BEGIN; " . opt_out(2) . "; SELECT pg_notification_queue_usage(); COMMIT", stderr => \$said);
like($said, qr/cannot notify while the queue of notifications is half full/, 'the queue is full: what did not notify is named');
unlike($said, qr/too many notifications/, 'and the commit does not fail');
is($node->safe_psql('postgres', q{SELECT facematch.is_opted_out(lpad('2', 32, '0')::uuid)}), 't', 'the opt-out is in force');
is(left(), '2|2|2', 'the rows wait for a purge');
$listener->quit;
$node->safe_psql('postgres', 'CALL facematch.purge()');
is(left(), '1|1|1', 'which takes them once the listener has ended');
$node->stop;
done_testing();
