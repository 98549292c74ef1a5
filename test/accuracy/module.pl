# OpenBLAS is in no backend but one that compares in batches, and has no threads there; a comparison can be cancelled.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'there is no /proc to look into' if !-r '/proc/self/maps';

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION facematch CASCADE;
INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 64);
INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('g', 'watchlist', 'm', 0.5);
CREATE TABLE face AS
SELECT s * 3 + k AS id, s AS subject, (SELECT array_agg(sin(s * 12.9898 + d * 78.233) + 0.5 * sin(s * 39.425 + d * 3.7 + k * 11.1)) FROM generate_series(1, 64) d)::real[]::face_embedding AS e
FROM generate_series(1, 400) s, generate_series(0, 2) k;
INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
SELECT 1, md5(subject::text)::uuid, 'watchlist', e, 'test' FROM face WHERE id % 3 = 0;
SQL

# What a backend has mapped, and how many threads.
sub look
{
	my ($session) = @_;
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	chomp $pid;
	my @tasks = glob "/proc/$pid/task/*";
	my $maps = slurp_file("/proc/$pid/maps");
	return ($maps =~ /openblas/i ? 1 : 0, $maps =~ /facematch_accuracy/ ? 1 : 0, scalar(@tasks), $maps);
}

my $gate = $node->background_psql('postgres', on_error_stop => 0);
like($gate->query_safe(q{SELECT count(*) FROM face f, facematch.identify(f.e, 'g')}), qr/^[1-9]/, 'a gate searches');
$gate->query_safe(q{SELECT outcome FROM facematch.record_encounter('g', (SELECT e FROM face WHERE id = 4), port => 'JFK')});
my ($blas, $batch, $threads, $maps) = look($gate);
is($blas, 0, 'a backend that only searches has not mapped OpenBLAS');
is($batch, 0, 'nor the module that opens it');
is($threads, 1, 'and has one thread');
like($maps, qr/facematch\.so/, 'what was looked at is its memory');

my $batcher = $node->background_psql('postgres', on_error_stop => 0);
like($batcher->query_safe(q{SELECT count(*) FROM facematch.compare_sets('SELECT id, subject, e FROM face', NULL, 0.5)}), qr/^[1-9]/, 'an analyst compares');
($blas, $batch, $threads, $maps) = look($batcher);
is($blas, 1, 'a backend that compares in batches has mapped OpenBLAS');
like($maps, qr/openblas-serial|libopenblas-r/, 'the serial one') if $maps =~ m{/usr/lib/};
unlike($maps, qr/libopenblasp|libpthread.*openblas|gomp/, 'and none with threads');
is($threads, 1, 'and has one thread');

# In the middle of comparing: a timeout ends it, and the session and its memory go on.
my ($status, $out, $err) = $node->psql('postgres', q{SET statement_timeout = '300ms';
	SELECT count(*) FROM facematch.score_histogram('SELECT row_number() OVER (), f.subject, f.e FROM face f, generate_series(1, 100)')});
like($err, qr/canceling statement due to statement timeout/, 'it can be cancelled');
$batcher->query_safe(q{SET statement_timeout = '200ms'});
for my $round (1 .. 3)
{
	$batcher->query(q{SELECT count(*) FROM facematch.score_histogram('SELECT row_number() OVER (), f.subject, f.e FROM face f, generate_series(1, 100)')});
}
like($batcher->{stderr}, qr/(canceling.*){3}/s, 'again and again');
$batcher->{stderr} = '';
$batcher->query_safe(q{RESET statement_timeout});
like($batcher->query_safe(q{SELECT count(*) FROM facematch.compare_sets('SELECT id, subject, e FROM face', NULL, 0.5)}), qr/^[1-9]/, 'and works again afterwards');
my $held = $batcher->query_safe(q{SELECT sum(total_bytes) < 30000000 FROM pg_backend_memory_contexts});
like($held, qr/^t/, 'nothing of what was cancelled is kept');

$gate->quit;
$batcher->quit;

# OpenBLAS adds in another order on every kind of processor; the counts and candidates are the type's own on all of them.
my $answers = q{SELECT md5(string_agg(h::text, ' ')) FROM facematch.score_histogram('TABLE face') h
	UNION ALL SELECT md5(string_agg(c::text, ' ' ORDER BY c)) FROM facematch.compare_sets('TABLE face', 'TABLE face', 0.5) c
	UNION ALL SELECT md5(string_agg(s::text, ' ' ORDER BY s)) FROM facematch.search_set('TABLE face', 'SELECT * FROM face WHERE id % 3 = 0') s};
my $here = $node->safe_psql('postgres', $answers);
for my $processor (qw(PRESCOTT NEHALEM SANDYBRIDGE))
{
	local $ENV{OPENBLAS_CORETYPE} = $processor;
	$node->restart;
	is($node->safe_psql('postgres', $answers), $here, "the same answers by OpenBLAS's kernels for $processor");
}
$node->stop;
done_testing();
