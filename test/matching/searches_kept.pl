# The row of a search, and attempts on a person, whatever becomes of who searched: a client killed by its user or by the server,
# a server that crashes, a standby; sessions at once, which find no more room than there is; and the purge, which takes what is due.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
# A backend notices that its client is gone while it sleeps; what the crash leaves is not what a checkpoint wrote.
$primary->append_conf('postgresql.conf', "fsync = off\njit = off\nautovacuum = off\ntimezone = 'UTC'\nclient_connection_check_interval = '50ms'\ncheckpoint_timeout = '1h'");
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	CREATE EXTENSION amcheck;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 3);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('G', 'flight', 'm', 0.9, now() + interval '1 hour');
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT gallery_id, ('00000000-0000-8000-8000-00000000000' || n)::uuid, 'us_citizen', f::face_embedding, 'passport'
		FROM facematch.gallery, (VALUES (1, '[1,0,0]'), (2, '[0,1,0]'), (3, '[0,0,1]')) v (n, f);
	CREATE TABLE other (n int);
	DO $$ BEGIN FOR n IN 1 .. 8 LOOP EXECUTE format('CREATE ROLE gate%s LOGIN', n); PERFORM facematch.grant_operator(format('gate%s', n)::regrole); END LOOP; END $$;});
$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;

sub run { return $primary->safe_psql('postgres', @_); }
sub as_gate { return (extra_params => [ '-U', 'gate' . (shift // 1) ]); }
sub search { my ($probe, $purpose) = @_; return "SELECT count(*) FROM facematch.identify('$probe', 'G', purpose => '$purpose')"; }
sub rows { my ($purpose) = @_; return "SELECT count(*) FROM facematch.search WHERE purpose = '$purpose'"; }
my $attempts = q{SELECT count(*) FROM facematch_internal.attempt WHERE subject_id = '00000000-0000-8000-8000-00000000000%s'};

### clients that end in the middle of a transaction that searched

for my $how ('kill -9', 'pg_terminate_backend')
{
	my ($in, $out, $err) = ('', '', '');
	my $client = IPC::Run::start([ 'psql', '-XqAt', '-U', 'gate1', '-d', $primary->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$err);
	$in = "BEGIN;\nSELECT pg_backend_pid();\n" . search('[1,0,0]', $how) . ";\nSELECT pg_sleep(600);\n";
	$client->pump until $out =~ /^(\d+)\n1\n/m;
	my ($backend) = $out =~ /^(\d+)/;
	is(run(rows($how)), '1', "$how: others see the row before the transaction ends");
	if ($how eq 'kill -9')
	{
		kill 'KILL', $client->{KIDS}[0]{PID};
	}
	else
	{
		run("SELECT pg_terminate_backend($backend)");
	}
	$primary->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $backend");
	$client->kill_kill;
	is(run(rows($how)), '1', "$how: the row stays");
}
is(run(sprintf $attempts, 1), '2', 'and so do the attempts');

### a crash

my $open = IPC::Run::start([ 'psql', '-XqAt', '-U', 'gate1', '-d', $primary->connstr('postgres') ], '<', \my $in, '>', \my $out);
$in = "BEGIN;\n" . join('', map { search('[0,1,0]', 'crash') . ";\n" } 1 .. 3);
$open->pump until ($out // '') =~ /1\n1\n1\n/;
# Another session's commit waits for the disk, and with it for all that came before.
run('SET synchronous_commit = on; INSERT INTO other VALUES (1)');
$primary->stop('immediate');
$open->kill_kill;
$primary->start;
is(run(rows('crash')), '3', 'a crash: the rows of a transaction that never ended are there');
is(run(sprintf $attempts, 2), '3', 'and the attempts');
is(run(q{SELECT bt_index_check(i::regclass, true) FROM unnest('{facematch.search_purge_after_idx,facematch_internal.attempt_purge_after_idx,facematch_internal.attempt_subject_id_idx}'::text[]) i}),
	"\n\n", 'the indexes have what the tables have');
is(run(q{SELECT count(*) FROM verify_heapam('facematch.search'), verify_heapam('facematch_internal.attempt') v}), '0', 'the tables are sound');
is(run(q{SELECT count(*) FROM facematch.search WHERE xmin <> 2}), '0', 'every row is frozen');

### a standby

$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
my $everything = q{SELECT count(*), md5(string_agg(s::text, ' ' ORDER BY s::text)) FROM (SELECT to_jsonb(t) FROM facematch.search t UNION ALL SELECT to_jsonb(t) FROM facematch_internal.attempt t) s};
is($standby->safe_psql('postgres', $everything), run($everything), 'a standby has the rows');
is($standby->safe_psql('postgres', "SET enable_seqscan = off; SELECT count(*) FROM facematch.search WHERE purge_after > now()"), run('SELECT count(*) FROM facematch.search'), 'by its index too');
for my $call (search('[1,0,0]', 'standby'), q{SELECT match FROM facematch.verify('[1,0,0]', 1)}, q{SELECT match FROM facematch.verify('[1,0,0]', 999)})
{
	$standby->psql('postgres', "\\set VERBOSITY verbose\n$call", as_gate(), stderr => \my $error);
	like($error, qr/25006: a search on a standby cannot be accounted for.*HINT:  Search on the primary.*CONSTRAINT NAME:  search_is_accounted/s, 'a role that is accounted for does not search there');
}
is($standby->safe_psql('postgres', search('[1,0,0]', 'standby')), '1', 'who may read templates does');
$standby->stop;

### an index whose build was interrupted

my ($sql, $told) = ('', '');
my $idle = IPC::Run::start([ 'psql', '-XqAt', '-U', 'gate1', '-d', $primary->connstr('postgres') ], '<', \$sql, '>', \$told);
$sql = "BEGIN;\n" . search('[1,0,0]', 'idle') . ";\n";
$idle->pump until $told =~ /1\n/;
for my $table ('facematch.search', 'facematch_internal.attempt')
{
	$primary->psql('postgres', "SET statement_timeout = '1s'; REINDEX TABLE CONCURRENTLY $table", stderr => \my $error);
	like($error, qr/statement timeout/, "REINDEX TABLE CONCURRENTLY $table is cancelled while it waits");
}
my $unfinished = q{SELECT count(*) FROM pg_index WHERE NOT indisvalid AND NOT indisready AND indrelid IN ('facematch.search'::regclass, 'facematch_internal.attempt'::regclass)};
is(run($unfinished), '4', 'it leaves its indexes without a page');
is(run(search('[-1,0,0]', 'unfinished'), as_gate(2)), '0', 'searches go on');
is(run(search('[1,0,0]', 'unfinished'), as_gate(2)), '1', 'with attempts');
is(run(q{SELECT outcome FROM facematch.record_encounter('G', '[1,0,0]', port => 'JFK')}, as_gate(2)), 'match', 'and encounters');
is(run(rows('unfinished')), '2', 'with their rows');
$sql = "COMMIT;\n\\q\n";
$idle->finish;
my $findings = q{SELECT severity, found, remedy FROM facematch.health_check() WHERE finding ~ 'index is not finished|a user added'};
like(run($findings), qr/^warning\|(\d)\|DROP INDEX CONCURRENTLY .*_ccnew; DROP INDEX CONCURRENTLY .*_ccnew; .*the same for the others$/, 'the health check says to drop them');
run("DROP INDEX CONCURRENTLY $_") for split /\n/, run('SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid');
is(run($findings), '', 'and that is all');
run('REINDEX TABLE CONCURRENTLY facematch.search');
is(run('SELECT count(*) FROM pg_index WHERE NOT indisvalid'), '0', 'REINDEX finishes');

### sessions at once

# Each asks so often about one person, and says "ok" or the SQLSTATE.
sub at_once
{
	my ($probe, $times, @roles) = @_;
	my (@sessions, @said);
	my $once = "DO \$\$ BEGIN PERFORM facematch.identify('$probe', 'G'); RAISE INFO 'ok'; EXCEPTION WHEN OTHERS THEN RAISE INFO '%', SQLSTATE; END \$\$;\n";
	for my $n (0 .. $#roles)
	{
		my $file = $primary->basedir . "/ask_$n.sql";
		append_to_file($file, $once x $times);
		push @sessions, IPC::Run::start([ 'psql', '-Xq', '-U', $roles[$n], '-d', $primary->connstr('postgres'), '-f', $file ], '>', \my $answer, '2>', \$said[$n]);
	}
	$_->finish for @sessions;
	unlink glob $primary->basedir . '/ask_*.sql';
	my %count;
	$count{$_}++ for map { /INFO:  (\w+)/g } @said;
	return join ' ', map { "$_ $count{$_}" } sort keys %count;
}
is(at_once('[0,0,1]', 5, ('gate1') x 8), '53400 30 ok 10', 'eight sessions of a role: ten attempts a day, and no more');
is(run(sprintf $attempts, 3), '10', 'and as many rows');
# Each role has attempts left, but all of them together have not.
is(at_once('[0,0,1]', 6, map { "gate$_" } 1 .. 8), '53400 18 ok 30', 'eight roles: forty a week');
is(run(sprintf $attempts, 3), '40', 'and as many rows');
is(run(search('[0,0,1]', 'owner')), '1', 'who may read templates has no budget');

### the purge

my $kept = run('SELECT count(*) FROM facematch.search');
run('CALL facematch.purge()');
is(run('SELECT count(*) FROM facematch.search'), $kept, 'a purge leaves what is not due');
run(q{INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES
	('soon/search', 'search', 'search', '{recorded}', '{1 second}', 'c'), ('soon/attempt', 'search', 'attempt', '{recorded}', '{1 second}', 'c')});
$primary->poll_query_until('postgres', q{SELECT bool_and(purge_after < clock_timestamp()) FROM (SELECT purge_after FROM facematch.search UNION ALL SELECT purge_after FROM facematch_internal.attempt) r});
run('CALL facematch.purge()');
is(run('SELECT (SELECT count(*) FROM facematch.search), (SELECT count(*) FROM facematch_internal.attempt)'), '0|0', 'what is due goes');
is(run(q{SELECT table_name, rows_purged FROM facematch.purge_receipt WHERE table_name ~ 'search|attempt' ORDER BY 1}), "facematch.search|$kept\nfacematch_internal.attempt|48", 'with receipts');
is(run(search('[0,0,1]', 'again'), as_gate()), '1', 'attempts that went no longer count');
is(run(rows('again')), '1', 'a row goes where others went');
is(run(q{SELECT bt_index_check('facematch_internal.attempt_subject_id_idx', true), bt_index_check('facematch.search_purge_after_idx', true)}), '|', 'the indexes follow');
$primary->stop;

### a crash when nobody commits what has to be on disk, nor the background writer asks for it, as wal_level is minimal

my $alone = PostgreSQL::Test::Cluster->new('alone');
$alone->init;
$alone->append_conf('postgresql.conf', "fsync = off\njit = off\nautovacuum = off\nwal_level = minimal\nmax_wal_senders = 0\ncheckpoint_timeout = '1h'");
$alone->start;
$alone->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 3);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('G', 'flight', 'm', 0.9, now() + interval '1 hour');
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT gallery_id, '00000000-0000-8000-8000-000000000001'::uuid, 'us_citizen', '[1,0,0]'::face_embedding, 'passport' FROM facematch.gallery;
	CREATE ROLE gate1 LOGIN; SELECT facematch.grant_operator('gate1');});
$alone->safe_psql('postgres', 'CHECKPOINT');
# A session that rolls back; one that searches many times and tells the WAL writer of the first; one that goes on after it.
my %kept = (
	'rolled back' => [ 'BEGIN; ' . search('[1,0,0]', 'rolled back') . '; ROLLBACK', 1 ],
	'in a burst' => [ join('; ', map { search('[0,1,0]', 'in a burst') } 1 .. 20), 20 ],
	'last' => [ search('[0,1,0]', 'last'), 1 ]);
my $end;
for my $purpose ('rolled back', 'in a burst', 'last')
{
	$end = (split /\n/, $alone->safe_psql('postgres', "$kept{$purpose}[0]; SELECT pg_current_wal_insert_lsn()", as_gate()))[-1];
	next if $purpose eq 'in a burst';
	ok($alone->poll_query_until('postgres', "SELECT pg_current_wal_flush_lsn() >= '$end'"), "$purpose: the WAL writer brings the row to disk by itself");
}
$alone->stop('immediate');
$alone->start;
is($alone->safe_psql('postgres', rows($_)), $kept{$_}[1], "$_: the rows outlive a crash") for sort keys %kept;
$alone->stop;
done_testing();
