# REPACK, which PostgreSQL 19 brings, is treated as VACUUM FULL and CLUSTER are: what it writes holds no removed row once that is
# erased, what it replaces goes to the file system as it was, and what a crash in it leaves is named.
use strict;
use warnings;

use Bytes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
plan skip_all => 'REPACK is there from PostgreSQL 19 on' if $node->pg_version < '19devel';
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nrestart_after_crash = on\nremove_temp_files_after_crash = off");
$node->start;
sub sql { return $node->safe_psql('postgres', @_); }

# Every row has a mark of its own.  An index whose function waits for a lock holds a concurrent REPACK while it builds.
sql(q{
	CREATE EXTENSION facematch CASCADE;
	CREATE FUNCTION held(id bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
		$$ BEGIN PERFORM pg_advisory_lock_shared(7), pg_advisory_unlock_shared(7); RETURN id; END $$;
	CREATE TABLE t (id bigint PRIMARY KEY, retention_class text, recorded_at timestamptz, subject_id uuid, e face_embedding, copy text);
	SELECT facematch.retain('t', 'encounter');
	INSERT INTO t SELECT i, 'us_citizen', now(), NULL, array_agg(random() - 0.5)::real[]::face_embedding, 'TRAVELER-' || i || '-'
		FROM generate_series(1, 3000) i, generate_series(1, 64) GROUP BY i;
	CREATE INDEX t_e ON t USING facematch (e);
	CREATE INDEX t_held ON t (held(id));
});
my $base = $node->data_dir . '/base';

sub path { return $node->data_dir . '/' . sql(q{SELECT pg_relation_filepath('t')}); }

# How many of the rows up to a number have left their mark in some files.
sub marks_in { my ($last, @files) = @_; my %found = map { $_ => 1 } map { slurp_file($_) =~ /TRAVELER-(\d+)-/g } @files; return scalar grep { $_ <= $last } keys %found; }
sub marks { sql('CHECKPOINT'); return marks_in($_[0], grep { -f } glob "$base/*/*"); }
sub unclean { return sql(q{SELECT coalesce(string_agg(relation || ' ' || part, ', '), '') FROM facematch.verify_erased('t') WHERE relation = 't'::regclass AND NOT clean}); }

# The file that is replaced goes as it is: erased before, it has nothing to keep.
my $last = 0;
for my $how ('REPACK t', 'REPACK t USING INDEX t_pkey', 'REPACK (CONCURRENTLY) t')
{
	for my $erased (0, 1)
	{
		$last += 100;
		sql("DELETE FROM t WHERE id <= $last");
		sql(q{CALL facematch.erase_table('t')}) if $erased;
		sql('CHECKPOINT');
		is(marks_in($last, path()), $erased ? 0 : 100, "$how: the file to be replaced" . ($erased ? ', erased' : ''));
		sql($how);
		is(marks($last), 0, "$how: what it writes has no removed row, and what it replaced has gone");
		is(unclean(), '', "$how: and is clean");
		is(sql(q{SELECT facematch.index_check('t_e', true)}), '', "$how: the index is sound");
	}
}
like(sql(q{SELECT note FROM facematch.verify_erased('t') WHERE part = 'replaced files'}), qr/REPACK.*temporary files/, 'which is what is told of replaced files');

# A concurrent REPACK that is held after it has copied the rows, and before it catches up.
sub begin_repack
{
	my ($lock, $in) = ($node->background_psql('postgres'), '');

	$lock->query_safe('SELECT pg_advisory_lock(7)');
	my $repack = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'REPACK (CONCURRENTLY) t' ], '<', \$in, '>', \my $out, '2>', \my $err);
	$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_progress_repack WHERE phase = 'rebuilding index')}) or die;
	return ($lock, $repack);
}

# Rows that go meanwhile are removed rows of the new file.
sql('UPDATE t SET purge_after = now() WHERE id <= 900');
my ($lock, $repack) = begin_repack();
my ($status, $out, $err) = $node->psql('postgres', 'CALL facematch.purge()');
is(sql('SELECT count(*) FROM t WHERE id <= 900'), 0, 'a purge removes rows that are being copied');
is(sql(q{SELECT bool_or(erased IS NOT NULL) FROM facematch.report_erasure WHERE table_name = 'public.t'}), 'f', 'it leaves their receipt open');
cmp_ok(marks(900), '>=', 300, 'and their bytes');
isnt(join('', glob "$base/pgsql_tmp/*"), '', 'changes are gathered in temporary files');
$lock->quit;
$repack->finish;
is(join('', glob "$base/pgsql_tmp/*"), '', 'which are gone in the end');
sql('CALL facematch.purge()');
is(marks(900), 0, 'the next purge erases them from the files that REPACK has written');
is(sql(q{SELECT bool_and(verified) FROM facematch.report_erasure WHERE table_name = 'public.t'}), 't', 'and says so');
is(sql(q{SELECT facematch.index_check('t_e', true)}), '', 'the index is sound');

# A crash.
($lock, $repack) = begin_repack();
kill 9, sql('SELECT pid FROM pg_stat_progress_repack');
eval { $repack->finish };
eval { $lock->quit };
$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die;
my @left = map { $node->data_dir . "/$_" } split /\n/, sql('SELECT path FROM facematch_internal.orphaned_files()');
cmp_ok(marks_in(3000, grep { -f } @left), '>=', 2000, 'a crash leaves the rows in files of no relation, and they are named');
cmp_ok(scalar(grep { m{/pgsql_tmp/} } @left), '>=', 1, 'so are its temporary files, where the server keeps them');
my $then = time - 600;
utime $then, $then, @left;
is(sql(q{SELECT clean FROM facematch.verify_erased('t') WHERE part = 'orphaned files'}), 'f', 'later they are nobody\'s');
$node->stop;
done_testing();
