# Files that a crash leaves without a relation are named, and never those of a transaction at work, nor files that are being replaced.
use strict;
use warnings;

use Bytes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = 600;		# seconds, more than the minute that is believed to be young
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nmax_prepared_transactions = 5\nrestart_after_crash = on\nallow_in_place_tablespaces = on");
$node->start;
sub sql { return $node->safe_psql('postgres', @_); }
my $data = $node->data_dir;

sql(q{
	CREATE EXTENSION facematch CASCADE;
	SET allow_in_place_tablespaces = on;
	CREATE TABLESPACE elsewhere LOCATION '';
	CREATE TABLE t (id bigint PRIMARY KEY, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding, copy text);
	SELECT facematch.retain('t', 'encounter');
	INSERT INTO t SELECT i, 'us_citizen', now(), NULL, '[0.7071,0.7,0.1]', 'OF-A-TRAVELER' FROM generate_series(1, 1000) i;
});
is(sql('SELECT count(*) FROM facematch_internal.orphaned_files()'), '0', 'no file is without a relation');

# A session that has begun a statement, to be killed, or ended.
sub session
{
	my ($statement) = @_;
	my ($in, $out) = ('', '');
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', '/dev/null');

	$in .= "BEGIN; $statement; CHECKPOINT; SELECT 'pid ' || pg_backend_pid();\n";
	$session->pump until $out =~ /pid (\d+)/;
	$out =~ /pid (\d+)/;
	return { session => $session, pid => $1, in => \$in, out => \$out };
}

sub crash
{
	my ($session) = session(@_);

	my $said = -s $node->logfile;
	kill 9, $session->{pid};
	eval { $session->{session}->finish };
	# Until then the server may take a connection, and end it.
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $said);
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die;
}

sub orphans { return sql(q{SELECT string_agg(coalesce(orphaned::text, 'unknown') || ' ' || regexp_replace(path, '\d+', 'N', 'g'), ', ' ORDER BY path) FROM facematch_internal.orphaned_files()}); }
sub verdict { return sql(q{SELECT coalesce(clean::text, 'unknown') FROM facematch.verify_erased('t') WHERE part = 'orphaned files'}); }
sub named { return sql(q{SELECT count(*) FROM facematch.health_check() WHERE severity = 'error' AND finding ~ 'files that belong to no relation' AND object LIKE '%base/%'}); }
sub age { my ($seconds, @files) = @_; my $then = time - $seconds; utime $then, $then, @files or die; }
sub paths { return map { "$data/$_" } split /\n/, sql('SELECT path FROM facematch_internal.orphaned_files() ORDER BY path'); }

crash('ALTER TABLE t ALTER COLUMN id TYPE numeric');
my @left = grep { slurp_file($_) =~ /OF-A-TRAVELER/ } paths();
is(scalar(@left), 1, 'a crash in a rewrite leaves the rows in a file');
is(verdict(), 'unknown', 'which is young: it may be a transaction\'s');
is(named(), '0', 'and no finding');
age($old, paths());
is(verdict(), 'false', 'later it is an orphan');
is(named(), '1', 'and a finding');
sql('UPDATE t SET purge_after = now()');
sql('CALL facematch.purge()');
like(sql('SELECT unreachable::text FROM facematch.report_erasure ORDER BY receipt_id DESC LIMIT 1'), qr/orphaned files: files that belong to no relation: \d+, of [^"]*base\/\d+\/\d+/, 'the receipt says where');
is(sql(q{SELECT clean FROM facematch.verify_erased(receipt => (SELECT max(receipt_id) FROM facematch.purge_receipt)) WHERE part = 'orphaned files'}), 'f', 'it is not clean');

# Whose it may be.
my $open = session('SELECT pg_current_xact_id()');
is(verdict(), 'false', 'a transaction that began later did not write it');
age(-3600, $left[0]);
is(sql('SELECT count(*) FROM facematch_internal.orphaned_files() WHERE orphaned IS NULL'), '1', 'one that was there may have');
age($old, $left[0]);
${ $open->{in} } .= "COMMIT;\n\\q\n";
$open->{session}->finish;
sql(q{BEGIN; CREATE TABLE prepared (id int); INSERT INTO prepared VALUES (1); PREPARE TRANSACTION 'p'});
is(verdict(), 'unknown', 'nobody knows when a prepared transaction began');
sql(q{ROLLBACK PREPARED 'p'});
is(verdict(), 'false', 'it has ended');

# A standby has the file too, and cannot tell.
$node->backup('with_orphan');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'with_orphan', has_streaming => 1);
$standby->start;
is($standby->safe_psql('postgres', q{SELECT count(*) > 0, bool_and(orphaned IS NULL) FROM facematch_internal.orphaned_files()}), 't|t', 'a standby has it too');
is($standby->safe_psql('postgres', q{SELECT clean IS NULL, note LIKE '%base/%' FROM facematch.verify_erased('t') WHERE part = 'orphaned files'}), 't|t', 'and says so');
$standby->stop;

# The remedy.
my @files = paths();
$node->stop;
unlink @files;
$node->start;
is(orphans(), '', 'removed, they are gone');
is(sql('SELECT count(*) FROM t'), '0', 'and nothing else');

# In another tablespace; an index; temporary files; a database that was never finished.
sql(q{INSERT INTO t SELECT i, 'us_citizen', now(), NULL, '[0.7071,0.7,0.1]', 'OF-A-TRAVELER' FROM generate_series(1, 1000) i});
crash('ALTER TABLE t SET TABLESPACE elsewhere');
crash('CREATE INDEX ON t (e)');
mkdir "$data/base/pgsql_tmp";
append_to_file("$data/base/pgsql_tmp/pgsql_tmp1.0", 'OF-A-TRAVELER');
mkdir "$data/base/4294000000";
append_to_file("$data/base/4294000000/1259", 'OF-A-TRAVELER');
append_to_file("$data/base/" . sql(q{SELECT oid FROM pg_database WHERE datname = 'postgres'}) . '/t3_999999', 'OF-A-TRAVELER');
age($old, paths(), "$data/base/4294000000");
my $found = orphans();
like($found, qr{true pg_tblspc/N/PG_N_N/N/N}, 'in a tablespace');
like($found, qr{true base/N/N}, 'an index');
like($found, qr{true base/pgsql_tmp/pgsql_tmpN\.N}, 'temporary files of nobody');
like($found, qr{true base/N(, |$)}, 'a database\'s directory');
like($found, qr{true base/N/tN_N}, 'a temporary table');
unlike($found, qr/unknown/, 'and nothing else');

# Old files that are replaced while somebody looks are nobody's orphans.
unlink "$data/base/4294000000/1259";
rmdir "$data/base/4294000000";
my $before = sql('SELECT count(*) FROM facematch_internal.orphaned_files()');
sql("CREATE TABLE r$_ AS SELECT g, repeat('x', 200) FROM generate_series(1, 5000) g; CREATE INDEX ON r$_ (g)") foreach 1 .. 60;
sql('CHECKPOINT');
age($old, grep { -f } glob "$data/base/" . sql(q{SELECT oid FROM pg_database WHERE datname = 'postgres'}) . '/*');
my @writers = map {
	my $writer = $_;
	IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<',
		\(join "\n", map { $_ % 3 == 0 ? "TRUNCATE r$_;" : $_ % 3 == 1 ? "VACUUM FULL r$_;" : "DROP TABLE r$_;" } grep { $_ % 2 == $writer } 1 .. 60), '>', \my $out, '2>', \my $err)
} 0 .. 1;
my $most = sql(join ';', ('SELECT count(*) FROM facematch_internal.orphaned_files() WHERE orphaned') x 40);
$_->finish foreach @writers;
is(join(' ', grep { $_ > $before } split /\n/, $most), '', 'what is being replaced is no orphan');
is(sql('SELECT count(*) FROM facematch_internal.orphaned_files()'), $before, 'nor is what has been');
$node->stop;

done_testing();
