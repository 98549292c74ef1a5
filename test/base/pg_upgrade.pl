# pg_upgrade from an older PostgreSQL: the files of tables and of facematch indexes are taken over as they are, and read.
#
# FACEMATCH_OLD_POSTGRES is the older one's directory (…/lib/postgresql/15), with this facematch installed in it; script/test
# sets it where there is one.
use strict;
use warnings;

use Checksums;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old_home = $ENV{FACEMATCH_OLD_POSTGRES} // '';
plan skip_all => 'there is no older PostgreSQL here (FACEMATCH_OLD_POSTGRES)' unless -x "$old_home/bin/postgres";

my @same = (extra => [ '--encoding=UTF8', '--locale=C' ]);
my $old = PostgreSQL::Test::Cluster->new('old', install_path => $old_home);
$old->init(@same);
$old->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'");
$old->start;
$old->safe_psql('postgres', q{
	CREATE EXTENSION facematch CASCADE;
	CREATE FUNCTION face(seed int, dims int, shift real DEFAULT 0) RETURNS face_embedding LANGUAGE sql IMMUTABLE AS
		$$ SELECT array_agg((sin(seed * 12.9898 + d * 78.233) + shift)::real ORDER BY d)::face_embedding FROM generate_series(1, dims) d $$;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 128);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at)
		SELECT 'flight ' || n, 'flight', 'm', 0.5, now() + interval '1 hour' FROM generate_series(0, 9) n;
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT 1 + n % 10, md5(n::text)::uuid, 'noncitizen', face(n, 128, 0.3), 'passport' FROM generate_series(1, 5000) n;
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT 1 + n % 10, md5(n::text)::uuid, 'noncitizen', face(n, 128, 0.3), 'passport' FROM generate_series(5001, 6000) n;
	INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('facematch.reference', 100, 'litigation', 'a court');
	INSERT INTO facematch.opt_out (subject_id) SELECT md5(n::text)::uuid FROM generate_series(200, 300) n;
	-- Tables and indexes of a user's own: text keys, two models, an unlogged one, an expression.
	CREATE TABLE mine (id int PRIMARY KEY, k text, e face_embedding) WITH (autovacuum_enabled = off);
	INSERT INTO mine SELECT n, 'k' || n % 7, face(n, 512) FROM generate_series(1, 600) n;
	INSERT INTO mine SELECT 1000 + n, 'k' || n % 7, face_with_model(face(n, 64), 9) FROM generate_series(1, 300) n;
	INSERT INTO mine SELECT 2000 + n, 'k' || n % 7, NULL FROM generate_series(1, 10) n;
	CREATE INDEX mine_k ON mine USING facematch (k, e);
	CREATE INDEX mine_all ON mine USING facematch ((length(k)), e) WHERE face_dims(e) = 512;
	DELETE FROM mine WHERE id % 3 = 0;
	CREATE UNLOGGED TABLE fleeting (e face_embedding);
	INSERT INTO fleeting SELECT face(n, 32) FROM generate_series(1, 100) n;
	CREATE INDEX fleeting_e ON fleeting USING facematch (e);
});
$old->safe_psql('postgres', 'VACUUM mine');

my $state = q{
	SET enable_seqscan = off;
	SELECT 'reference', r::text || face_embedding_send(r.embedding)::text FROM facematch.reference r
	UNION ALL SELECT 'opt_out', o::text FROM facematch.opt_out o
	UNION ALL SELECT 'hold', h::text FROM facematch.hold h
	UNION ALL SELECT 'receipt', p::text FROM facematch.purge_receipt p
	UNION ALL SELECT 'event', a::text FROM facematch.audit_event a
	UNION ALL SELECT 'whole', intact::text FROM facematch.verify_audit()
	UNION ALL SELECT 'pseudonym', facematch.subject_id('UTO', 'passport', 'P1')::text
	UNION ALL SELECT 'found', n || ' ' || i::text FROM generate_series(1, 60) n, facematch.identify(face(n, 128, 0.301), 'flight ' || n % 10, 3) i
	UNION ALL SELECT 'mine', n || ' ' || m.id FROM generate_series(1, 40) n, LATERAL (SELECT id FROM mine WHERE k = 'k' || n % 7 AND face_dims(e) = 512 ORDER BY e <-> face(n, 512) LIMIT 2) m
	UNION ALL SELECT 'above', n || ' ' || id FROM generate_series(1, 40) n, LATERAL (SELECT id FROM mine WHERE length(k) = 2 AND face_dims(e) = 512 AND face_match(e, face(n, 512), 0.9)) m
	UNION ALL SELECT 'fleeting', count(*)::text FROM (SELECT FROM fleeting ORDER BY e <=> face(1, 32)) f
	ORDER BY 1, 2};
my $before = $old->safe_psql('postgres', $state);
cmp_ok(scalar(grep { /^found/ } split /\n/, $before), '>=', 50, 'there is something to find');
my $checksums = $old->safe_psql('postgres', 'SHOW data_checksums');
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
# Checksums became the default in 18; pg_upgrade wants the old cluster's choice.
$new->init(extra => [ '--encoding=UTF8', '--locale=C', $checksums eq 'on' ? '--data-checksums' : @{ without_checksums($new) } ]);
$new->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'");
chdir $PostgreSQL::Test::Utils::tmp_check;
command_ok([ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', "$old_home/bin", '-B', config_bindir(),
		'-s', $new->host, '-p', $old->port, '-P', $new->port ], 'pg_upgrade');
$new->start;
is($new->safe_psql('postgres', $state), $before, 'every row and every answer is as it was');
foreach my $index (qw(facematch.facematch_reference_face_idx mine_k mine_all fleeting_e))
{
	is($new->safe_psql('postgres', "SELECT facematch.index_check('$index', true)"), '', "$index is sound, and has the table's rows");
}
like($new->safe_psql('postgres', q{SET enable_seqscan = off; EXPLAIN SELECT id FROM mine WHERE k = 'k1' ORDER BY e <=> face(1, 512) LIMIT 1}), qr/mine_k/, 'the old index is used');
$new->safe_psql('postgres', q{
	INSERT INTO mine SELECT 5000 + n, 'k' || n % 7, face(n, 512) FROM generate_series(1, 600) n;
	DELETE FROM mine WHERE id < 300});
$new->safe_psql('postgres', 'VACUUM mine');
is($new->safe_psql('postgres', q{SELECT facematch.index_check('mine_k', true), facematch.index_check('mine_all', true)}), '|', 'and written and vacuumed');
my ($status, $stdout, $stderr) = $new->psql('postgres', 'DELETE FROM facematch.reference WHERE reference_id = 100');
like($stderr, qr/is held/, 'holds hold');
$new->safe_psql('postgres', 'REINDEX TABLE mine');
is($new->safe_psql('postgres', q{SELECT facematch.index_check('mine_k', true)}), '', 'and rebuilt');
$new->stop;

sub config_bindir
{
	my $bindir = `pg_config --bindir`;
	chomp $bindir;
	return $bindir;
}

done_testing();
