# An old base backup and the archived WAL of a sealed site, after the key was destroyed: no template and no code is in them,
# and who starts the backup, at a time when the key was there, compares with nobody.  Beside it, in the same copies, a site
# that stores templates as they are, of which all of this succeeds; and the sealed one with yesterday's copy of the keys.
use strict;
use warnings;

use Bytes;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $keys = PostgreSQL::Test::Utils::tempdir_short() . '/keys';
my $yesterday = "$keys.yesterday";
mkdir $keys, 0700 or die;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(has_archiving => 1, allows_streaming => 1);
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nshared_preload_libraries = facematch\nfacematch.key_directory = '$keys'");
$node->start;

# Other people at each site, 100 of them, the second half after the backup; and 160 templates that are alike, for their codes.
my %first = (plain => 1, sealed => 1001);
my $enrol = q{INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
	SELECT 1, md5(n::text)::uuid, 'us_citizen', face(n), 's' FROM generate_series(%d, %d) n};
my $alike = q{INSERT INTO alike SELECT embedding FROM facematch.reference WHERE gallery_id = 2 ORDER BY reference_id LIMIT 80 OFFSET %d};
my $dir = $PostgreSQL::Test::Utils::tmp_check;
my %file;
foreach my $site (sort keys %first)
{
	$node->safe_psql('postgres', "CREATE DATABASE $site");
	$node->safe_psql($site, q{
		CREATE EXTENSION facematch CASCADE;
		CREATE FUNCTION face(seed int) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS $$
			SELECT array_agg(sin(seed * 12.9898 + i * 78.233 + seed * i * 0.37) ORDER BY i)::real[]::face_embedding FROM generate_series(1, 384) i $$;
		INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 7, 384);
		INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed)
			SELECT n, 'flight', 'm', 0.5, now() + interval '6 hours', current_database() = 'sealed' FROM unnest('{F,G}'::text[]) n;
		CREATE TABLE alike (e face_embedding);
		INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
			SELECT 2, md5('alike ' || n)::uuid, 'us_citizen', face(-1), 's' FROM generate_series(1, 160) n;});
	$node->safe_psql($site, sprintf($enrol, $first{$site}, $first{$site} + 49));
	$node->safe_psql($site, sprintf($alike, 0) . '; CREATE INDEX alike_face ON alike USING facematch (e)');
	$file{$site} = $node->safe_psql($site, q{SELECT pg_relation_filepath('alike_face')});
	append_to_file("$dir/$site", $node->safe_psql($site, "SELECT face(n) FROM generate_series($first{$site}, $first{$site} + 99) n") . "\n");
}
$node->backup('old');

# In WAL alone, that of each site's codes in segments of its own.
my %segment;
foreach my $site (sort keys %first)
{
	$node->safe_psql($site, sprintf($enrol, $first{$site} + 50, $first{$site} + 99));
	$node->safe_psql($site, 'SELECT pg_switch_wal()');
	$segment{$site} = $node->safe_psql($site, 'SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
	$node->safe_psql($site, sprintf($alike, 80));
	$node->safe_psql($site, 'SELECT pg_switch_wal()');
}
$node->safe_psql('postgres', q{SELECT pg_create_restore_point('before')});
command_ok([ 'cp', '-a', $keys, $yesterday ], 'a copy of the keys');

# All are due, and the purge destroys the keys of those that are sealed.
foreach my $site (sort keys %first)
{
	$node->safe_psql($site, 'UPDATE facematch.reference SET purge_after = now()');
	$node->safe_psql($site, 'CALL facematch.purge()');
}
is($node->safe_psql('sealed', 'SELECT count(*) > 0, bool_and(destroyed_at IS NOT NULL) FROM facematch_internal.template_key'), 't|t', 'the keys are destroyed');
my $last = $node->safe_psql('postgres', 'SELECT pg_walfile_name(pg_switch_wal())');
$node->poll_query_until('postgres', "SELECT last_archived_wal >= '$last' FROM pg_stat_archiver") or die;
$node->stop;

#---------------------------------------------------------------- their bytes
foreach my $site (sort keys %first)
{
	my %found;

	foreach my $copy ($node->backup_dir . '/old', $node->archive_dir)
	{
		my ($out, $err) = run_command([ '/usr/bin/python3', "$FindBin::Bin/../lib/find_bytes.py", $copy, "$dir/$site" ]);
		is($err, '', "$site: a search of $copy");
		while ($out =~ /^(.*): (\d+) of 100$/mg)
		{
			$found{$1} += $2;
		}
	}
	is(scalar(keys %found), 4, "$site: templates were looked for in each form");
	cmp_ok($found{stored}, '>=', 100, 'plain: everybody\'s template is in the backup or in archived WAL') if $site eq 'plain';
	is_deeply(\%found, { map { $_ => 0 } keys %found }, 'sealed: nobody\'s is, in any form') if $site eq 'sealed';
	my $wanted = $site eq 'plain' ? 1 : 0;
	is(readable_codes(slurp_bytes($node->backup_dir . "/old/$file{$site}")), $wanted, "$site: codes in the backup's index");
	is(readable_codes(slurp_bytes($node->archive_dir . "/$segment{$site}") =~ s/\0+\z//r), $wanted, "$site: codes in archived WAL");
}

#---------------------------------------------------------------- the backup, started
my $measured = q{
	SET enable_sort = off;
	SELECT count(*), count(embedding <=> face(%1$d)), count(*) FILTER (WHERE face_match(embedding, face(%1$d), -1)), count(facematch_internal.opened(embedding))
	FROM facematch.reference WHERE gallery_id = 1;
	SELECT count(*), count(d) FROM (SELECT embedding <=> face(%1$d) AS d FROM facematch.reference WHERE gallery_id = 1 ORDER BY embedding <=> face(%1$d)) s;
	SELECT count(*) FROM generate_series(%1$d, %1$d + 99) n, LATERAL facematch.identify(face(n), 'F', 1, 0.5) i WHERE i.subject_id = md5(n::text)::uuid;
	SELECT count(*) FROM facematch.identify_many((SELECT array_agg(face(n)) FROM generate_series(%1$d, %1$d + 99) n), 'F', 3, -1);};

# Answers of both sites, as they were before the purge.
sub started
{
	my ($name, $directory) = @_;
	my $old = PostgreSQL::Test::Cluster->new($name);
	my @answers;

	$old->init_from_backup($node, 'old', has_restoring => 1);
	$old->append_conf('postgresql.conf', "archive_mode = off\nrecovery_target_name = 'before'\nrecovery_target_action = promote\n"
		. "recovery_target_timeline = current\nfacematch.key_directory = '$directory'");
	$old->start;
	$old->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die;
	foreach my $site (sort keys %first)
	{
		push @answers, map { $old->safe_psql($site, "SET enable_seqscan = $_; " . sprintf($measured, $first{$site})) } qw(on off);
	}
	$old->stop;
	return @answers;
}

my $everybody = "100|100|100|100\n100|100\n100\n300";
my $nobody = "100|0|0|0\n100|0\n0\n0";
is_deeply([ started('now', $keys) ], [ $everybody, $everybody, $nobody, $nobody ], 'with today\'s keys the plain site\'s backup matches everybody, the sealed one\'s nobody');
is_deeply([ started('then', $yesterday) ], [ ($everybody) x 4 ], 'with yesterday\'s, both match everybody');

done_testing();
