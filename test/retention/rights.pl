# The stream of rights between clusters: a dump of last night learns of today's opt-outs from the file that was kept
# outside; numbers are given in the order of commits, and no session waits for another's end; and two sites that publish
# the stream to each other carry out each event once, whoever was down in between.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub subject { return sprintf("'00000000-0000-8000-8000-%012d'", shift); }
sub opt_out { return 'INSERT INTO facematch.opt_out (subject_id) VALUES (' . join('), (', map { subject($_) } @_) . ');'; }

my $setup = q{
	CREATE EXTENSION facematch CASCADE;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('G', 'flight', 'two', 0.5, now() + interval '1 day');
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
	SELECT gallery_id, ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid, 'us_citizen', '[1,0]', 'passport'
	FROM facematch.gallery, generate_series(1, 9) n;
	INSERT INTO facematch.photograph (reference_id, media_type, key_id, sealed, purge_after)
	SELECT reference_id, 'image/jpeg', gen_random_uuid(), '\x01', 'infinity' FROM facematch.reference;
};
my $staged = q{SELECT string_agg(right(subject_id::text, 1), '' ORDER BY subject_id) FROM facematch.reference};
my $photographs = 'SELECT count(*) FROM facematch.photograph';
my $sound = q{SELECT intact FROM facematch.verify_audit()};
my $errors = q{SELECT string_agg(finding, '; ') FROM facematch.health_check() WHERE severity = 'error'};
my $stream = q{SELECT string_agg(e::text, E'\n' ORDER BY site, number) FROM facematch.rights_event e};

sub cluster
{
	my $node = PostgreSQL::Test::Cluster->new(shift);
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'\nmax_prepared_transactions = 5");
	$node->start;
	$node->safe_psql('postgres', $setup);
	return $node;
}
my $a = cluster('a');
my $dir = $a->basedir;

### last night's dump, today's opt-outs

$a->safe_psql('postgres', opt_out(1));
$a->safe_psql('postgres', q{UPDATE facematch.opt_out SET revoked_at = clock_timestamp()});
command_ok([ 'pg_dump', '-d', $a->connstr('postgres'), "--format=$_", '-f', "$dir/$_" ], "pg_dump, $_") for 'plain', 'custom';
$a->safe_psql('postgres', opt_out(2, 3) . q{INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (} . subject(40) . q{, 'inquiry', 'court')});
$a->safe_psql('postgres', "COPY (SELECT * FROM facematch.rights_event ORDER BY number) TO '$dir/rights_event'");
for my $format ('plain', 'custom')
{
	my $db = "restored_$format";
	$a->safe_psql('postgres', "CREATE DATABASE $db");
	command_ok($format eq 'plain' ? [ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $a->connstr($db), '-f', "$dir/plain" ]
		: [ 'pg_restore', '--exit-on-error', '-d', $a->connstr($db), "$dir/custom" ], "$format: restored");
	is($a->safe_psql($db, "SELECT string_agg(number || what, ' ' ORDER BY number) FROM facematch.rights_event"), '1opt_out 2opt_out', "$format: the stream is the one that was dumped");
	is($a->safe_psql($db, $staged), '23456789', "$format: last night's references");
	$a->safe_psql($db, "CREATE TABLE outside (LIKE facematch.rights_event); COPY outside FROM '$dir/rights_event'");
	is($a->safe_psql($db, "SELECT string_agg(number || what || ' ' || done, ', ') FROM facematch.replay_rights('outside')"),
		'3opt_out inserted, 4opt_out inserted, 5hold inserted', "$format: the replay says what it has done");
	is($a->safe_psql($db, $staged), '456789', "$format: today's opt-outs hold");
	is($a->safe_psql($db, $photographs), '6', "$format: photographs go with the references");
	is($a->safe_psql($db, $stream), $a->safe_psql('postgres', $stream), "$format: the same stream");
	is($a->safe_psql($db, $sound), 't', "$format: the log is whole");
	# Dumped and restored once more, it is itself.
	command_ok([ 'pg_dump', '-d', $a->connstr($db), '-f', "$dir/again" ], "$format: dumped again");
	$a->safe_psql('postgres', "DROP DATABASE $db");
	$a->safe_psql('postgres', "CREATE DATABASE $db");
	command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $a->connstr($db), '-f', "$dir/again" ], "$format: restored again");
	is($a->safe_psql($db, $stream), $a->safe_psql('postgres', $stream), "$format: the same stream again");
	is($a->safe_psql($db, opt_out(5) . 'SELECT max(number), count(DISTINCT site) FROM facematch.rights_event'), '6|1', "$format: and goes on as the same site");
}

### numbers are given at the commit

my $idle = $a->background_psql('postgres');
$idle->query_safe('BEGIN; ' . opt_out(5)) if $idle->can('query_safe');
SKIP:
{
	skip 'this PostgreSQL has no background_psql to ask', 1 unless $idle->can('query_safe');
	$a->safe_psql('postgres', "SET lock_timeout = '5s'; " . opt_out(6));
	$idle->query_safe('COMMIT;');
	$idle->quit;
	is($a->safe_psql('postgres', q{SELECT string_agg(right(after ->> 'subject_id', 1), '' ORDER BY number) FROM facematch.rights_event WHERE number > 5}), '65', 'who commits first has the lower number');
}
$a->psql('postgres', 'BEGIN; ' . opt_out(7) . q{ PREPARE TRANSACTION 'p'}, stderr => \my $prepared);
like($prepared, qr/a transaction that changes opt-outs, holds, rules or other rights cannot be prepared/, 'nobody keeps the numbers for ever');
$a->safe_psql('postgres', opt_out(7));
$a->safe_psql('postgres', 'BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM facematch.rights_event; ' . opt_out(8) . ' COMMIT');
is($a->safe_psql('postgres', 'SELECT count(*) = max(number) FROM facematch.rights_event'), 't', 'without gaps');

### two sites, a publication and a subscription each

my $b = cluster('b');
$b->safe_psql('postgres', opt_out(9));
$_->safe_psql('postgres', q{CREATE PUBLICATION rights FOR TABLE facematch.rights_event WITH (publish = 'insert')}) for $a, $b;
sub subscribe
{
	my ($to, $from, $name) = @_;
	$to->safe_psql('postgres', sprintf(q{CREATE SUBSCRIPTION %s CONNECTION '%s' PUBLICATION rights}, $name, $from->connstr . ' dbname=postgres'));
	$to->wait_for_subscription_sync($from, $name) if $to->can('wait_for_subscription_sync');
}
sub reached
{
	my ($node, $query, $expected, $what) = @_;
	ok($node->poll_query_until('postgres', "SELECT ($query) IS NOT DISTINCT FROM $expected"), $what) or diag($node->safe_psql('postgres', $query));
}
subscribe($b, $a, 'from_a');
reached($b, $staged, q{'4'}, 'b has learned what a knew');
subscribe($a, $b, 'from_b');
reached($a, $staged, q{'4'}, 'and a what b knew');
is($b->safe_psql('postgres', $photographs), '1', 'photographs are gone at b, too');
$a->safe_psql('postgres', 'SELECT facematch.merge_subjects(' . subject(4) . ', ' . subject(20) . ')');
reached($b, 'SELECT cardinality(facematch_internal.aliases(' . subject(4) . '))', 2, 'a merge reaches b');
# One is down, the other goes on.
$b->stop('immediate');
$a->safe_psql('postgres', opt_out(20));
$b->start;
reached($b, $staged, 'NULL', 'b was down, and catches up: with the merge, the other document is gone');
$b->safe_psql('postgres', q{UPDATE facematch.opt_out SET revoked_at = clock_timestamp() WHERE subject_id = } . subject(9));
reached($a, q{SELECT count(*) FROM facematch.opt_out WHERE revoked_at IS NOT NULL AND subject_id = } . subject(9), 1, 'what b revokes is revoked at a');
my $both = $a->safe_psql('postgres', $stream);
is($b->safe_psql('postgres', $stream), $both, 'one stream on both sites, each event once');
for my $node ($a, $b)
{
	is($node->safe_psql('postgres', $sound), 't', $node->name . ': the log is whole');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM facematch.audit_event WHERE action = 'opt_out_recorded'}),
		$node->safe_psql('postgres', 'SELECT count(*) FROM facematch.opt_out'), $node->name . ': the log has each opt-out');
	unlike(slurp_file($node->logfile), qr/differs from the event of that number here|comes before event|rights_event_pkey/, $node->name . ': nothing was refused');
}
done_testing();
