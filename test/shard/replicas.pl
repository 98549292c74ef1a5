# Read replicas: a client with both hosts searches on the standby and writes to the primary; a committed opt-out matches on no
# replica when the commit waits for remote_apply; due rows match on a replica at once, purged or not, replayed or not.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "fsync = off\njit = off\ntimezone = 'UTC'");
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 8);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('G', 'flight', 'm', 0.5, now() + interval '1 hour');});
$primary->backup('copy');
my $replica = PostgreSQL::Test::Cluster->new('replica');
$replica->init_from_backup($primary, 'copy', has_streaming => 1);
$replica->start;

# What a client is configured with: the driver finds out which is which.
my ($hosts, $ports) = (join(',', $primary->host, $replica->host), join(',', $primary->port, $replica->port));
my $client = sub {
	my ($kind, $query) = @_;
	my ($out, $err);
	IPC::Run::run([ 'psql', '-XqAt', '-d', "host=$hosts port=$ports dbname=postgres target_session_attrs=$kind", '-c', $query ], '>', \$out, '2>', \$err);
	return $out . $err;
};
my $stage = sub {
	my ($n) = @_;
	return "INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT gallery_id, '00000000-0000-8000-8000-00000000000$n', 'us_citizen', '[1,0,0,0,0,0,0,$n]', 'passport' FROM facematch.gallery WHERE name = 'G'";
};
my $matches = q{SELECT pg_is_in_recovery(), count(*) FROM facematch.identify('[1,0,0,0,0,0,0,1]', 'G')};

# Commits wait until the replica shows them: from here on nothing in this test waits for replay.
$primary->append_conf('postgresql.conf', "synchronous_standby_names = '*'\nsynchronous_commit = remote_apply");
$primary->reload;
$primary->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'});
like($client->('read-write', $stage->(1) . ';' . $stage->(2)), qr/^$/, 'staged on the primary');
is($client->('prefer-standby', $matches), "t|2\n", 'searched on the replica');
my $missed = 0;
for my $n (3 .. 9)
{
	my $subject = "'00000000-0000-8000-8000-00000000000$n'";
	my $matched = "SELECT pg_is_in_recovery(), count(*) FROM facematch.identify('[1,0,0,0,0,0,0,$n]', 'G', 100, -1) WHERE subject_id = $subject";
	$client->('read-write', $stage->($n));
	my $before = $client->('prefer-standby', $matched);
	$client->('read-write', "INSERT INTO facematch.opt_out (subject_id) VALUES ($subject)");
	my $after = $client->('prefer-standby', $matched);
	$missed++ unless $before eq "t|1\n" && $after eq "t|0\n";
}
is($missed, 0, 'an opt-out that has committed matches on no replica');

# A row that becomes due while nothing is replayed.
$client->('read-write', "UPDATE facematch.reference SET purge_after = clock_timestamp() + interval '1 second' WHERE subject_id = '00000000-0000-8000-8000-000000000002'");
$replica->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$replica->poll_query_until('postgres', 'SELECT bool_or(purge_after < clock_timestamp()) FROM facematch.reference');
is($client->('prefer-standby', $matches), "t|1\n", 'a due row matches on no replica, whatever is replayed');
is($replica->safe_psql('postgres', 'SELECT count(*) FROM facematch.reference'), '2', 'although it is there');
like($client->('prefer-standby', q{SELECT outcome FROM facematch.record_encounter('G', '[1,0,0,0,0,0,0,1]', port => 'JFK')}), qr/read-only transaction/, 'encounters are recorded on the primary');
$replica->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
like($client->('read-write', q{SELECT outcome FROM facematch.record_encounter('G', '[1,0,0,0,0,0,0,1]', port => 'JFK')}), qr/^match$/, 'and there they are');

$replica->stop;
is($primary->safe_psql('postgres', "SET synchronous_commit = local; $matches"), 'f|1', 'no replica');
is($client->('prefer-standby', $matches), "f|1\n", 'then the same client searches on the primary');
$primary->stop('immediate');
done_testing();
