# Sealed templates: answers are those of plain ones; a key that is destroyed reaches every copy and every backend; a key
# that is lost, refused or not to be had is an error and loses nothing; rotation goes on where it was killed.
use strict;
use warnings;

use Bytes;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Fcntl qw(:flock);
use File::Copy qw(copy);
use IPC::Run ();
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
my $keys = PostgreSQL::Test::Utils::tempdir_short() . '/keys';
mkdir $keys, 0700 or die;
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', qq{
fsync = off
autovacuum = off
restart_after_crash = on
shared_preload_libraries = facematch
facematch.key_directory = '$keys'
});
$node->start;

sub sql { return $node->safe_psql('postgres', @_); }
sub error { my ($ret, $out, $err) = $node->psql('postgres', @_); return $ret == 0 ? "no error: $out" : $err; }
sub setting
{
	my ($name, $value) = @_;
	$node->append_conf('postgresql.conf', "$name = '$value'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('$name') = '" . ($value =~ s/'/''/gr) . "'") or die;
}
sub leave { my ($name, $content) = @_; open my $out, '>', "$keys/$name" or die; binmode $out; print $out $content; close $out; chmod 0600, "$keys/$name"; }
# Without the sites' keys, which the indexes of each database have one of: their names end in "site".
sub files { return scalar(grep { !/73697465\.template$/ } glob "$keys/*.template"); }
sub live { return sql('SELECT count(*) FROM facematch_internal.template_key WHERE destroyed_at IS NULL'); }

# The key of the site's indexes, as a crash left it before it was written.
leave(sql(q{SELECT encode(int8send(system_identifier) || int4send(oid::int8::int4) || 'site', 'hex')::uuid FROM pg_control_system(), pg_database
	WHERE datname = current_database()}) . '.template', '');

# Two galleries of the same 300 templates, one sealed; some subjects have two.
sql(q{
	CREATE EXTENSION facematch CASCADE;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 7, 128);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed)
		SELECT n, 'flight', 'm', 0.1, now() + interval '6 hours', n <> 'plain' FROM unnest('{plain,sealed}'::text[]) n;
	SELECT setseed(0.25);
	CREATE TABLE face AS SELECT i, array_agg((random() - 0.5)::real)::face_embedding AS e
		FROM generate_series(1, 300) i, generate_series(1, 128) GROUP BY i;
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT g.gallery_id, md5((i % 250)::text)::uuid, (ARRAY['us_citizen', 'noncitizen', 'exempt_alien'])[1 + i % 3], e, 's'
		FROM face, facematch.gallery g WHERE g.name <> 'gallery' ORDER BY g.gallery_id, i;
	CREATE FUNCTION told(probe face_embedding, gallery text, by text) RETURNS text LANGUAGE sql AS
		$$ SELECT string_agg(concat_ws(' ', rank, subject_id, similarity, matches), E'\n' ORDER BY rank) FROM facematch.identify(probe, gallery, 10, 0.1, by) $$;
	CREATE FUNCTION differ(sealed text DEFAULT 'sealed') RETURNS bigint LANGUAGE sql AS
		$$ SELECT count(*) FROM (SELECT e FROM face ORDER BY i LIMIT 40) f, unnest('{subject,reference}'::text[]) u (by)
		   WHERE told(e, 'plain', u.by) IS DISTINCT FROM told(e, sealed, u.by) $$;
	CREATE FUNCTION of_gallery(name text) RETURNS bigint LANGUAGE sql AS $$ SELECT gallery_id FROM facematch.gallery g WHERE g.name = $1 $$});
my $sealed = q{FROM facematch.reference r JOIN facematch.gallery g USING (gallery_id) WHERE g.name = 'sealed'};
my $open = q{SELECT count(facematch.unseal(embedding)) } . $sealed;

#---------------------------------------------------------------- exactness
is(sql("SELECT count(*), count(facematch_internal.sealed_by(embedding)) $sealed"), '300|300', 'every template of a sealed gallery is sealed');
is(sql(q{SELECT count(facematch_internal.sealed_by(embedding)) FROM facematch.reference WHERE gallery_id = of_gallery('plain')}), '0', 'and none of another');
is(sql('SELECT differ()'), '0', 'identify() says the same of sealed and plain templates, to the last bit');
is(sql('SET enable_seqscan = off; SET enable_sort = off; SELECT differ()'), '0', 'by the index, too');
is(sql(q{SELECT count(*) FROM facematch_internal.index_problems('facematch.facematch_reference_face_idx', true)}), '0', 'in which nothing is wrong');
is(sql(q{SELECT count(*) FROM (SELECT e, s.reference_id s, p.reference_id p FROM face JOIN facematch.reference s ON s.subject_id = md5((i % 250)::text)::uuid AND s.gallery_id = of_gallery('sealed')
		JOIN facematch.reference p ON p.subject_id = s.subject_id AND p.gallery_id = of_gallery('plain') AND p.reference_id = s.reference_id - 300 LIMIT 50) x,
		LATERAL facematch.verify(e, s) vs, LATERAL facematch.verify(e, p) vp WHERE (vs.match, vs.similarity) IS DISTINCT FROM (vp.match, vp.similarity)}), '0', 'verify() too');
is(sql(q{SELECT count(*) FROM face f, facematch.identify_many(ARRAY[f.e], 'sealed', 3, -1) a FULL JOIN facematch.identify_many(ARRAY[f.e], 'plain', 3, -1) b USING (rank)
		WHERE f.i <= 20 AND (a.subject_id, a.similarity) IS DISTINCT FROM (b.subject_id, b.similarity)}), '0', 'and identify_many()');
my $encounter = sql(q{SELECT outcome, similarity FROM facematch.record_encounter('sealed', (SELECT e FROM face WHERE i = 3), port => 'JFK', idempotency_key => 'k')});
is($encounter, 'match|1', 'an encounter');
is(sql(q{SELECT facematch_internal.sealed_by(probe) IS NOT NULL FROM facematch.encounter}), 't', 'whose probe is sealed');
is(sql(q{SELECT differ FROM (SELECT count(*) AS differ FROM facematch.encounter n, facematch.identify(n.probe, 'plain', 5, -1) a FULL JOIN facematch.identify((SELECT e FROM face WHERE i = 3), 'plain', 5, -1) b USING (rank)
		WHERE (a.subject_id, a.similarity) IS DISTINCT FROM (b.subject_id, b.similarity)) x}), '0', 'and searches as the plain one');

#---------------------------------------------------------------- who gets it back
sql(q{CREATE ROLE reader LOGIN; SELECT facematch.grant_template_reader('reader'); GRANT SELECT ON facematch.reference TO reader});
sub reader { my ($ret, $out, $err) = $node->psql('postgres', $_[0], extra_params => [ '-U', 'reader' ]); return "$out$err"; }
like(reader("$open"), qr/no reading of the templates of the gallery .* is announced/, 'nobody unseals without having announced it');
like(reader(q{SELECT embedding::real[] FROM facematch.reference WHERE gallery_id = 2 LIMIT 1}), qr/the template is sealed/, 'nor by a cast');
like(reader(q{SELECT avg(embedding) FROM facematch.reference WHERE gallery_id = 2}), qr/the template is sealed/, 'nor by a mean');
like(reader(q{SELECT facematch_internal.opened(embedding) FROM facematch.reference LIMIT 1}), qr/permission denied/, 'nor by what is within');
is(reader(q{CALL facematch.announce_reading(gallery => 'sealed', purpose => 'inquiry 7')}), '', 'announced');
is(reader(q{SELECT count(facematch.unseal(embedding)) FROM facematch.reference WHERE gallery_id = 2}), '300', 'it is unsealed');
is(reader(q{SELECT count(embedding::real[]) FROM facematch.read_templates('sealed')}), '300', 'and read');
is(sql(q{SELECT count(*) FROM facematch.reference r JOIN face ON md5((i % 250)::text)::uuid = r.subject_id WHERE gallery_id = 2 AND facematch.unseal(embedding) = face_with_model(e, 7)}), '300', 'as it was');
isnt(sql(q{SELECT count(*) FROM facematch.audit_event WHERE action = 'template_unsealed'}), '0', 'the owner, too, is in the log');

# Distances to a few vectors are the template: who may not read templates has a stolen one opened by no comparison.
my $stolen = sql('SELECT embedding FROM facematch.reference WHERE gallery_id = 2 LIMIT 1');
my $near = sql('SELECT e FROM face WHERE i = 3');
sql("CREATE ROLE thief LOGIN; GRANT CREATE ON SCHEMA public TO thief; CREATE TABLE loot AS SELECT embedding AS e FROM facematch.reference WHERE gallery_id = 2;
	GRANT SELECT ON loot TO thief; CREATE INDEX ON loot USING facematch (e)");
sub thief { my ($ret, $out, $err) = $node->psql('postgres', "SET enable_seqscan = $_[1]; $_[0]", extra_params => [ '-U', 'thief' ]); return "$out$err"; }
for my $scan ('on', 'off')
{
	like(thief("SELECT $_ FROM loot ORDER BY 1 LIMIT 1", $scan), qr/decrypted only for roles that may read templates/, "a thief: $_, sequential scan $scan")
		for "e <=> '$near'", "e <-> '$near'", "e <#> '$near'", "'$near' <=> e", "face_similarity(e, '$near')", "face_match(e, '$near', 0.1)";
}
like(thief("SELECT e FROM loot WHERE $_ LIMIT 1", 'off'), qr/decrypted only for roles that may read templates/, "nor tells an index: $_")
	for "e =~ face_probe('$near', 0.1)", "e =~? face_probe('$near', 0.1)", "e <=> '$near' < 0.5";
is(thief("SELECT count(*) FILTER (WHERE e =~? face_probe('$near', 0.9)) FROM loot", 'on'), '300', 'what may match is all');
is(thief("SELECT count(DISTINCT e) FROM loot", 'on'), '300', 'as values they are told apart');
like(thief("SELECT '$stolen' <=> '$near'", 'on'), qr/decrypted only for/, 'nor is a constant');
sql("SELECT facematch.grant_operator('thief')");
like(thief("SELECT $_", 'on'), qr/decrypted only for roles that may read templates/, "nor an operator: $_")
	for "facematch.identify('$stolen', 'plain')", "facematch.verify('$stolen', 1)", "facematch.record_encounter('plain', '$stolen', port => 'P')",
	"facematch.enrol('plain', md5('x')::uuid, '$stolen', 'us_citizen', 's')", "facematch.enrol('sealed', md5('x')::uuid, '$stolen', 'us_citizen', 's')";
is(thief("SELECT count(*) FROM facematch.identify('$near', 'sealed', 1)", 'on'), '1', 'who searches as before');
# A retry is known by its probe, although that is stored sealed.
is(thief("SELECT outcome FROM facematch.record_encounter('sealed', '$near', port => 'JFK', idempotency_key => 'k')", 'on'), 'match', 'a retry gets its answer');
like(thief("SELECT outcome FROM facematch.record_encounter('sealed', '$_', port => 'JFK', idempotency_key => 'k')", 'on'), qr/was used for another encounter/, 'and nobody else')
	for sql('SELECT e FROM face WHERE i = 4'), $stolen;
sql("DROP TABLE loot; REVOKE CREATE ON SCHEMA public FROM thief; SELECT facematch.revoke_access('thief'); DROP ROLE thief");

#---------------------------------------------------------------- mixed tables, moved rows
sql(q{UPDATE facematch.gallery SET sealed = false WHERE name = 'sealed'; INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
	SELECT 2, md5('late')::uuid, 'us_citizen', e, 's' FROM face WHERE i = 1;
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT 1, md5('late')::uuid, 'us_citizen', e, 's' FROM face WHERE i = 1});
is(sql('SELECT differ()'), '0', 'a gallery with sealed and plain templates answers the same');
sql(q{UPDATE facematch.gallery SET sealed = true WHERE name = 'sealed'});
like(sql(q{SELECT string_agg(finding, '; ') FROM facematch.health_check() WHERE object = 'gallery 2'}), qr/is sealed, but older templates/, 'the health check names it');
sql(q{CALL facematch.rotate_keys('sealed', 50)});
is(sql("SELECT count(*) - count(facematch_internal.sealed_by(embedding)) $sealed"), '0', 'until it is sealed whole');
is(sql('SELECT differ()'), '0', 'and answers the same');
is(sql(q{SELECT count(*) FROM facematch_internal.template_key k WHERE k.destroyed_at IS NULL AND k.retired_at IS NOT NULL}), '0', 'the keys from before the rotation are destroyed');
is(files(), live(), 'and their files gone');
sql(q{INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed) VALUES ('other', 'flight', 'm', 0.1, now() + interval '8 hours', true);
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT of_gallery('other'), subject_id, retention_class, embedding, source FROM facematch.reference WHERE gallery_id = 2 AND retention_class = 'us_citizen'});
is(sql(q{SELECT count(*) FROM facematch.reference r JOIN facematch_internal.template_key k ON k.key_id = facematch_internal.sealed_by(r.embedding) WHERE k.gallery_id <> r.gallery_id}), '0', 'a template that is copied to another gallery goes under that one\'s key');

#---------------------------------------------------------------- nearer deadlines, holds
my $before = sql(q{SELECT facematch_internal.sealed_by(embedding) FROM facematch.reference WHERE gallery_id = 2 AND retention_class = 'noncitizen' LIMIT 1});
my $one = sql(q{SELECT min(reference_id) FROM facematch.reference WHERE gallery_id = 2 AND retention_class = 'noncitizen'});
sql("UPDATE facematch.reference SET purge_after = now() + interval '5 hours' WHERE reference_id = $one");
is(sql("SELECT k.due < now() + interval '7 hours', k.earlier = ARRAY['$before'::uuid] FROM facematch.reference r JOIN facematch_internal.template_key k ON k.key_id = facematch_internal.sealed_by(r.embedding) WHERE reference_id = $one"),
	't|t', 'a row with a nearer deadline is under a nearer key, which remembers the one before');
sql(q{INSERT INTO facematch.hold (table_name, row_id, reason, authority) SELECT 'facematch.reference', min(reference_id)::text, 'r', 'a' FROM facematch.reference WHERE gallery_id = 2 AND retention_class = 'us_citizen'});

#---------------------------------------------------------------- the last row goes, and every copy with it
sql(q{CREATE TABLE copied AS SELECT embedding FROM facematch.reference WHERE gallery_id = 2 AND retention_class = 'us_citizen' ORDER BY reference_id LIMIT 3});
my $dump = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'a dump');
my $idle = $node->background_psql('postgres');
my $probe = sql('SELECT e FROM face WHERE i = 3');
$idle->query_safe(q{SELECT count(*) FROM copied WHERE embedding <=> (SELECT e FROM face WHERE i = 3) IS NOT NULL});
$idle->query_safe(q{PREPARE folded AS SELECT (SELECT embedding FROM copied LIMIT 1) IS NOT NULL, '} . sql('SELECT embedding FROM copied LIMIT 1') . qq{'::face_embedding <=> '$probe' IS NULL});
is($idle->query_safe('EXECUTE folded'), 't|f', 'a plan with a distance');
sql(q{UPDATE facematch.reference SET purge_after = now() WHERE gallery_id = 2 AND retention_class = 'us_citizen'});
sql('CALL facematch.purge()');
is(sql("SELECT count(*), bool_and(k.due > now()) FROM facematch.reference r JOIN facematch_internal.template_key k ON k.key_id = facematch_internal.sealed_by(r.embedding) WHERE r.gallery_id = 2 AND r.retention_class = 'us_citizen'"), '1|t', 'the held row stays');
# Its key's term ends: what is held goes under a key of its own.
sql(q{UPDATE facematch_internal.template_key SET due = now() - interval '1 second' WHERE gallery_id = 2 AND retention_class = 'us_citizen' AND destroyed_at IS NULL});
sql('CALL facematch.purge()');
is(sql(q{SELECT k.held, facematch.unseal(r.embedding) IS NOT NULL FROM facematch.reference r JOIN facematch_internal.template_key k ON k.key_id = facematch_internal.sealed_by(r.embedding) WHERE r.gallery_id = 2 AND r.retention_class = 'us_citizen'}), 't|t',
	'under a key of its own, and keeps no other alive');
is(sql(q{SELECT count(*) FROM copied WHERE embedding <=> (SELECT e FROM face WHERE i = 3) IS NULL AND NOT face_match(embedding, (SELECT e FROM face WHERE i = 3), -1)}), '3', 'a copied template compares with nobody');
is(sql(q{SELECT count(*) FROM (SELECT facematch.unseal(embedding) u FROM copied) c WHERE u IS NULL}), '3', 'and is not unsealed');
is($idle->query_safe(q{SELECT count(*) FROM copied WHERE embedding <=> (SELECT e FROM face WHERE i = 3) IS NULL}), '3', 'a backend that had the key has it no more');
is($idle->query_safe('EXECUTE folded'), 't|t', 'nor a plan what it had computed');
$idle->quit;
is(sql(q{SELECT embedding <=> (SELECT e FROM face WHERE i = 1) IS NULL FROM (TABLE copied UNION ALL (SELECT embedding FROM facematch.reference WHERE gallery_id = 1 LIMIT 2)) c ORDER BY embedding <=> (SELECT e FROM face WHERE i = 1)}), "f\nf\nt\nt\nt", 'and comes last in order');
like(sql(q{SELECT note FROM facematch.verify_erased(receipt => (SELECT min(receipt_id) FROM facematch.purge_receipt WHERE table_name = 'facematch.reference')) WHERE part = 'keys'}), qr/unreadable since 20/, 'the receipt says since when');
like(sql(q{SELECT detail::text FROM facematch.audit_event WHERE action = 'template_keys_destroyed' ORDER BY event_id DESC LIMIT 1}), qr/"keys"/, 'and the log which keys');
is(files(), live(), 'no file is left of them');

# An opt-out's receipt says until when copies can be read.
sql(q{INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT of_gallery('other'), md5('declines')::uuid, 'us_citizen', e, 's' FROM face WHERE i = 7;
	INSERT INTO facematch.opt_out (subject_id) VALUES (md5('declines')::uuid)});
like(sql(q{SELECT string_agg(v.note, '') FROM facematch.purge_receipt p CROSS JOIN LATERAL facematch.verify_erased(receipt => p.receipt_id) v WHERE p.cause = 'opt_out' AND v.part = 'keys'}),
	qr/older copies can be read until the first purge after 20.* destroys their keys/, 'an opt-out\'s receipt says until when');

# So does that of rows that somebody deletes, whatever a savepoint took back before the commit.
sql(q{INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT of_gallery('other'), md5('by hand')::uuid, 'us_citizen', e, 's' FROM face WHERE i = 8;
	BEGIN; DELETE FROM facematch.reference WHERE subject_id = md5('by hand')::uuid; SAVEPOINT a; ROLLBACK TO a; COMMIT});
is(sql(q{SELECT count(*), count(k.key_id) FROM facematch.purge_receipt p LEFT JOIN facematch_internal.receipt_key k USING (receipt_id) WHERE p.cause = 'by_hand' AND p.receipt_id = (SELECT max(receipt_id) FROM facematch.purge_receipt)}), '1|1',
	'the receipt of a deletion names the key');
like(sql(q{SELECT v.note FROM facematch.verify_erased(receipt => (SELECT max(receipt_id) FROM facematch.purge_receipt)) v WHERE v.part = 'keys'}),
	qr/older copies can be read until/, 'and says until when as well');

# A template whose key is gone is nobody's best, for a partner either.
sql(q{CREATE ROLE carrier LOGIN; SELECT facematch.grant_partner('carrier', 'Carrier Air', purpose => 'boarding');
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed) VALUES ('boarding', 'flight', 'm', 0.9, now() + interval '6 hours', true);
	INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_from, valid_until) VALUES ('Carrier Air', of_gallery('boarding'), now(), now() + interval '1 hour');
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT of_gallery('boarding'), md5('on board')::uuid, 'us_citizen', e, 's' FROM face WHERE i = 3;
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT of_gallery('boarding'), md5('noise')::uuid, 'us_citizen', embedding, 's' FROM copied LIMIT 1});
my ($asked_ret, $board, $asked_err) = $node->psql('postgres', qq{CALL facematch.ask('boarding', '$near')}, extra_params => [ '-U', 'carrier' ]);
like($board, qr/^t\|/, 'a partner is told who is on board') or diag($asked_err);
my $gone = sql(q{SELECT facematch_internal.sealed_by(embedding) FROM facematch.reference WHERE subject_id = md5('on board')::uuid});
sql(q{DELETE FROM facematch.gallery WHERE name = 'boarding'});
my $gone_key = slurp_file("$keys/$gone.template");

# The dump, restored beside: what was destroyed is noise there, the rest is read, and no row is lost.
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'restored');
is($node->safe_psql('restored', q{SELECT count(*) FILTER (WHERE facematch_internal.opened(embedding) IS NULL) > 50, count(*) FILTER (WHERE facematch_internal.opened(embedding) IS NOT NULL) > 150 FROM facematch.reference WHERE gallery_id = 2}), 't|t', 'a dump shows what has a key, and nothing of the rest');
my $kept = live();
$node->safe_psql('restored', q{DELETE FROM facematch.reference WHERE gallery_id <> 1 AND NOT (gallery_id = 2 AND retention_class = 'us_citizen')});
$node->safe_psql('restored', 'DELETE FROM facematch.encounter');
$node->psql('restored', 'CALL facematch.purge()');
is(files(), $kept, 'a copy destroys no key of the database that made it');
$node->safe_psql('postgres', 'DROP DATABASE restored');

#---------------------------------------------------------------- a directory that is lost, wrong, half there, refused
my $rows = sql("SELECT count(*) $sealed");
my $searched = q{SELECT count(*) FROM facematch.identify((SELECT e FROM face WHERE i = 5), 'sealed', 5, -1)};
is(sql($searched), '5', 'a search');
my $other = PostgreSQL::Test::Utils::tempdir_short() . '/other';
mkdir $other, 0700 or die;
setting('facematch.key_directory', $other);
like(error($searched), qr/is missing in facematch.key_directory, and was not destroyed/, 'an empty directory is an error, not an empty answer');
like(error(q{INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT 2, md5('new')::uuid, 'us_citizen', e, 's' FROM face WHERE i = 9}), qr/the site's wrapping key is missing/, 'nor is anything sealed with new keys there');
like(sql(q{SELECT string_agg(finding, '; ') FROM facematch.health_check() WHERE object LIKE 'gallery %'}), qr/keys of sealed templates are lost/, 'the health check says so');
is($node->psql('postgres', 'CALL facematch.purge()'), 0, 'a purge');
is(sql("SELECT count(*) $sealed"), $rows, 'takes nothing');
is(sql("SELECT count(*) FROM facematch_internal.template_key WHERE key_id = '$gone' AND destroyed_at IS NULL"), '1', 'nor says that a key is destroyed whose file is elsewhere');
chmod 0755, $other;
like(error($searched), qr/open to others/, 'a directory that others may read is refused');
setting('facematch.key_directory', '/nowhere');
like(error($searched), qr/cannot be found/, 'one that is not there is an error');
setting('facematch.key_directory', '');
like(error($searched), qr/is not set/, 'none is one');
setting('facematch.key_directory', $keys);
is(sql($searched), '5', 'with the directory back, the search answers as before');
sql('CALL facematch.purge()');
ok(!-e "$keys/$gone.template", 'and the next purge destroys that key');
# A key that an older copy of the directory brings back.
{ open my $out, '>', "$keys/$gone.template" or die; binmode $out; print $out $gone_key; close $out; chmod 0600, "$keys/$gone.template"; }
sql('CALL facematch.purge()');
ok(!-e "$keys/$gone.template", 'nor does one come back for longer than until a purge');
# One that is slow: whoever has it locked keeps others waiting.
open my $held, '<', $keys or die "$keys: $!";
flock $held, LOCK_EX or die "$keys: $!";
like(error("SET statement_timeout = '1s'; $searched"), qr/canceling statement due to statement timeout/, 'who waits for a slow directory can be cancelled');
my $waiting = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c', $searched ], '<', \undef, '>', \my $waited);
usleep(500_000);
close $held;
$waiting->finish;
is($waited, "5\n", 'and who waits gets the answer');
my ($file) = map { "$keys/" . sql("SELECT facematch_internal.sealed_by(embedding) $sealed AND r.retention_class = 'exempt_alien' LIMIT 1") . '.template' } 1;
rename $file, "$file.away" or die;
like(error('SELECT differ()'), qr/the key of sealed templates is missing/, 'a key that is lost is an error');
rename "$file.away", $file or die;
is(sql($searched), '5', 'and comes back');
my $bytes = slurp_file($file);
foreach my $damage ([ 'cut', substr($bytes, 0, 50) ], [ 'changed', substr($bytes, 0, 70) . chr(ord(substr($bytes, 70, 1)) ^ 1) . substr($bytes, 71) ], [ 'rubbish', 'x' x length $bytes ])
{
	open my $out, '>', $file or die;
	binmode $out;
	print $out $damage->[1];
	close $out;
	like(error($searched), qr/could not read a key/, "a key that is $damage->[0] is an error");
}
{ open my $out, '>', $file or die; binmode $out; print $out $bytes; close $out; }
is(sql($searched), '5', 'and whole again');

# What was put together of parts of others is not opened, and nothing of it is shown.
my $forged = sql(q{SELECT overlay(a.embedding::text PLACING right(b.embedding::text, 40) FROM length(a.embedding::text) - 39) FROM facematch.reference a, facematch.reference b WHERE a.gallery_id = 2 AND b.gallery_id = 2 AND a.reference_id < b.reference_id LIMIT 1});
my $refused = error("SELECT '$forged'::face_embedding <=> '$probe'");
like($refused, qr/is not the one that was stored/, 'a forged template is an error');
unlike($refused, qr/\[-?0\.\d/, 'that shows nothing');
is(sql("SELECT '$forged'::face_embedding = '$forged'::face_embedding"), 't', 'as a value it is like another');

#---------------------------------------------------------------- a wrapping key is rotated, and the rotation killed
sql(q{UPDATE facematch_internal.template_key SET due = 'infinity', made_at = made_at - interval '9 days' WHERE gallery_id = of_gallery('other') AND destroyed_at IS NULL});
like(sql(q{SELECT string_agg(finding, '; ') FROM facematch.health_check() WHERE object LIKE 'templates (%'}), qr/keys without a deadline are not rotated/, 'keys that nobody rotates are named');
sql('CALL facematch.purge()');
is(sql(q{SELECT string_agg(finding, '; ') FROM facematch.health_check() WHERE object LIKE 'templates (%'}), '', 'until the purge rotates them');
ok(-e "$keys/2.site" && !-e "$keys/1.site", 'another wrapping key, and the old one is gone');
is(sql($searched), '5', 'nothing else has changed');
$rows = sql("SELECT count(*) $sealed");
my ($killed, $crashed_turns) = (0, 0);
# By turns of a gallery's keys and of the wrapping key; each fifth time the server crashes.
foreach my $turn (1 .. 50)
{
	my $rotation = $turn % 2 ? "rotate_keys('sealed', 7)" : 'rotate_keys()';
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->query_until(qr/begun/, "\\echo begun\nCALL facematch.$rotation;\n");
	usleep(int(rand($turn % 2 ? 60_000 : 20_000)));
	if ($turn % 5) { $killed++ if sql("SELECT pg_terminate_backend($pid)") eq 't' }
	elsif (kill 'KILL', $pid)
	{
		$crashed_turns++;
		# psql that is refused at once does not read its query, which would end this test.
		usleep(1000) while kill 0, $pid;
		usleep(10_000) while system('pg_isready', '-q', '-h', $node->host, '-p', $node->port) != 0;
	}
	$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)") or die;
	eval { $session->quit; };
	my $seen = sql("SELECT count(*), count(facematch_internal.sealed_by(embedding)), count(facematch_internal.opened(embedding)) $sealed");
	is($seen, "$rows|$rows|$rows", "killed $turn times, every template is there, sealed, and opens") unless $seen eq "$rows|$rows|$rows";
}
ok($killed > 10, "rotation was killed $killed times of 50");
ok($crashed_turns > 4, "and the server crashed in it $crashed_turns times");
sql(q{CALL facematch.rotate_keys('sealed')});
sql('CALL facematch.purge()');
is(sql("SELECT count(facematch_internal.opened(embedding)) $sealed"), $rows, 'no template is lost');
is(sql(q{SELECT count(*) FROM facematch_internal.template_key k WHERE k.destroyed_at IS NULL AND k.retired_at IS NOT NULL}), '0', 'the next rotation goes on, and destroys what was rotated');
is(files(), live(), 'no key is left that nobody has');

# What a crash in a rotation of the wrapping key leaves of a key goes with it.
sql(q{INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed) VALUES ('half', 'flight', 'm', 0.1, now() + interval '8 hours', true);
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT of_gallery('half'), md5('h')::uuid, 'us_citizen', e, 's' FROM face WHERE i = 1});
my $half = sql(q{SELECT facematch_internal.sealed_by(embedding) FROM facematch.reference WHERE gallery_id = of_gallery('half')});
copy("$keys/$half.template", "$keys/$half.new") or die;
chmod 0600, "$keys/$half.new";
sql(q{DELETE FROM facematch.gallery WHERE name = 'half'});
sql('CALL facematch.purge()');
ok(!-e "$keys/$half.template" && !-e "$keys/$half.new", 'a key is destroyed in both its files');

# What a crash leaves of a key half destroyed, or not yet written; it has a row, or none.
sub noted { my $id = shift =~ tr/-//dr; open my $out, '>>', "$keys/destroyed" or die; binmode $out; print $out pack('H*', $id); close $out; }
my $noise = join '', map { chr int rand 256 } 1 .. 232;
my ($stray, $unwritten, $unwritten_photograph, $gone_database) = map { sprintf '%08x-0000-4000-8000-000000000000', $_ } 1 .. 4;
sql(q{INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed) VALUES ('torn', 'flight', 'm', 0.1, now() + interval '8 hours', true);
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT of_gallery('torn'), md5('t')::uuid, 'us_citizen', e, 's' FROM face WHERE i = 1});
my $torn = sql(q{SELECT facematch_internal.sealed_by(embedding) FROM facematch.reference WHERE gallery_id = of_gallery('torn')});
my $whole = slurp_file("$keys/$torn.template");
# Overwritten and not unlinked: no file can be removed from the directory.
leave("$stray.template", $whole);
chmod 0500, $keys;
sql('CALL facematch.purge()');
chmod 0700, $keys;
isnt(slurp_file("$keys/$stray.template"), $whole, 'a key is half destroyed');
leave("$torn.template", substr($whole, 0, 24) . $noise);
noted($torn);
leave($_, '') for "$unwritten.template", "$unwritten_photograph.key", '99.site';
is(sql(q{SELECT count(*), count(facematch_internal.opened(embedding)) FROM facematch.reference WHERE gallery_id = of_gallery('torn')}), '1|0', 'a key half destroyed is a destroyed one');
sql(q{INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT of_gallery('torn'), md5('u')::uuid, 'us_citizen', e, 's' FROM face WHERE i = 2});
is(sql(q{SELECT count(*), count(facematch_internal.opened(embedding)) FROM facematch.reference WHERE gallery_id = of_gallery('torn')}), '2|1', 'and the next row gets another');
sql(q{DELETE FROM facematch.gallery WHERE name = 'torn'});
sql('CALL facematch.purge()');
is(files(), live(), 'the next purge destroys the rest');
ok(!-e "$keys/$_", "$_ is gone") for map({ "$_.template" } $stray, $torn, $unwritten), "$unwritten_photograph.key";
# Of a database that is gone: no purge may destroy it, and rotation passes it over. A wrapping key was left below others.
leave("$gone_database.template", substr($whole, 0, 16) . pack('Q', 4_000_000_000) . $noise);
noted($gone_database);
my ($wrapping) = sort { $b <=> $a } map { m{(\d+)\.site$} ? $1 : () } glob "$keys/*.site";
leave('1.site', slurp_file("$keys/$wrapping.site")) if $wrapping > 3;
is(error(q{CALL facematch.rotate_keys()}), 'no error: ', 'what a crash left of keys stops no rotation');
ok(!-e "$keys/$_", "$_ is gone") for '99.site', '1.site';
unlink "$keys/$gone_database.template";

# A session that has a key in its memory hears that it is half destroyed.
sql(q{INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed) VALUES ('heard', 'flight', 'm', 0.1, now() + interval '8 hours', true)});
my $enrol = q{INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT of_gallery('heard'), gen_random_uuid(), 'us_citizen', e, 's' FROM face WHERE i = 1};
my $hears = $node->background_psql('postgres');
$hears->query_safe($enrol);
sql(q{DELETE FROM facematch.reference WHERE gallery_id = of_gallery('heard')});
chmod 0500, $keys;
sql('CALL facematch.purge()');
chmod 0700, $keys;
$hears->query_safe($enrol);
$hears->quit;
is(sql(q{SELECT count(facematch_internal.opened(embedding)) FROM facematch.reference WHERE gallery_id = of_gallery('heard')}), '1', 'a key whose destruction failed half-way seals nothing more');
sql(q{DELETE FROM facematch.gallery WHERE name = 'heard'});
sql('CALL facematch.purge()');

# No key goes by a transaction that has changed anything: what it moved or deleted may come back.
sql(q{INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed) VALUES ('kept', 'flight', 'm', 0.1, now() + interval '8 hours', true);
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT of_gallery('kept'), md5('k')::uuid, 'us_citizen', e, 's' FROM face WHERE i = 1;
	INSERT INTO facematch.hold (subject_id, reason, authority) SELECT md5('k')::uuid, 'inquiry', 'court';
	UPDATE facematch_internal.template_key SET due = clock_timestamp() - interval '1 hour' WHERE gallery_id = of_gallery('kept')});
my $opens = q{SELECT count(facematch_internal.opened(embedding)) FROM facematch.reference WHERE gallery_id = of_gallery('kept')};
my $kept_under = q{SELECT facematch_internal.sealed_by(embedding) FROM facematch.reference WHERE gallery_id = of_gallery('kept')};
my $first_key = sql($kept_under);
is(sql('BEGIN; SELECT facematch_internal.leave_due_keys(); SELECT facematch_internal.destroy_template_keys(); ROLLBACK'), "\n0", 'none by who has moved a row');
is(sql($opens), '1', 'a row that comes back opens');
sql(q{UPDATE facematch.hold SET released_at = clock_timestamp() WHERE subject_id = md5('k')::uuid});
is(sql(q{BEGIN; DELETE FROM facematch.reference WHERE gallery_id = of_gallery('kept'); SELECT facematch_internal.destroy_template_keys(); ROLLBACK}), '0', 'nor by who has deleted one');
is(sql($opens), '1', 'which comes back as well');
sql(q{INSERT INTO facematch.hold (subject_id, reason, authority) SELECT md5('k')::uuid, 'inquiry', 'court'});
# A crash right after the commit may not bring it back either.
sql('SET synchronous_commit = off; SELECT facematch_internal.leave_due_keys(); SELECT facematch_internal.destroy_template_keys()');
ok(!-e "$keys/$first_key.template", 'held, it goes under another key, and its key goes');
$node->stop('immediate');
$node->start;
is(sql($opens), '1', 'a crash does not bring it back to that');
sql(q{UPDATE facematch.hold SET released_at = clock_timestamp() WHERE subject_id = md5('k')::uuid AND released_at IS NULL; DELETE FROM facematch.gallery WHERE name = 'kept'});
sql('CALL facematch.purge()');
is(files(), live(), 'and nothing is left');

# A crash between a key and its row.
my $crashed = $node->background_psql('postgres');
$crashed->query_safe(q{BEGIN; INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed) VALUES ('crash', 'flight', 'm', 0.1, now() + interval '8 hours', true);
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT of_gallery('crash'), md5('c')::uuid, 'us_citizen', e, 's' FROM face WHERE i = 1});
is(files(), live() + 1, 'a key is made before its row');
$node->stop('immediate');
eval { $crashed->quit; };
$node->start;
is(files(), live() + 1, 'a crash leaves it');
sql('CALL facematch.purge()');
is(files(), live(), 'the next purge destroys it');
$node->psql('postgres', q{BEGIN; INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed) VALUES ('crash', 'flight', 'm', 0.1, now() + interval '8 hours', true);
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT of_gallery('crash'), md5('c')::uuid, 'us_citizen', e, 's' FROM face WHERE i = 1; SELECT 1 / 0});
is(files(), live(), 'a transaction that fails leaves none');

# Until VACUUM the index has what such a transaction put there: its key is destroyed, and not lost.
sql(q{INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed) VALUES ('fails', 'flight', 'm', 0.1, now() + interval '8 hours', true);
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT of_gallery('fails'), md5('f')::uuid, 'us_citizen', e, 's' FROM face WHERE i = 1});
$node->psql('postgres', q{BEGIN; INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
	SELECT of_gallery('fails'), md5('g')::uuid, 'noncitizen', e, 's' FROM face WHERE i = 1; SELECT 1 / 0});
my $by_index = q{FROM facematch.reference WHERE gallery_id = (SELECT of_gallery('fails')) AND face_match(embedding, (SELECT e FROM face WHERE i = 1), 0.1)
	ORDER BY embedding <=> (SELECT e FROM face WHERE i = 1) LIMIT 5};
my $only = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;';
like(sql("$only EXPLAIN SELECT $by_index"), qr/Index Scan using facematch_reference_face_idx/, 'the face index is searched');
is(sql("$only SELECT count(*) FROM (SELECT $by_index) f"), 1, 'and the others of the gallery are found');
sql(q{DELETE FROM facematch.gallery WHERE name = 'fails'});
sql('CALL facematch.purge()');
is(files(), live(), 'no key is left');
is(sql('SELECT intact FROM facematch.verify_audit()'), 't', 'the log is whole');

#---------------------------------------------------------------- a standby hears it with the commit
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay');
my $measured = "SELECT count(*), count(embedding <=> '$probe') FROM facematch.reference WHERE gallery_id = " . sql(q{SELECT of_gallery('other')});
my $reading = $standby->background_psql('postgres');
my $all = $reading->query_safe($measured);
like($all, qr/^([1-9]\d*)\|\1$/, 'a standby that has the directory compares');
sql(q{CREATE TABLE left_over AS SELECT * FROM facematch.reference WHERE gallery_id = of_gallery('other'); DELETE FROM facematch.reference WHERE gallery_id = of_gallery('other')});
sql('CALL facematch.purge()');
$node->wait_for_catchup($standby, 'replay');
like($reading->query_safe($measured =~ s/facematch.reference/left_over/r), qr/^[1-9]\d*\|0$/, 'and a backend of its that had the key has it no more');
$reading->quit;
$standby->stop;

#---------------------------------------------------------------- keys of a command
my $store = PostgreSQL::Test::Utils::tempdir_short();
my $command = "$store/command";
sub write_command
{
	open my $out, '>', $command or die;
	print $out "#!/bin/sh\n$_[0]\n";
	close $out;
	chmod 0755, $command;
}
my $good = <<"SH";
f=$store/\$2
case \$1 in
make) head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \\n' >\$f; cat \$f;;
read) if [ -e \$f ]; then cat \$f; else test -e \$f.gone; fi;;
site) [ -e \$f ] || head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \\n' >\$f; cat \$f;;
destroy) rm -f \$f; : >\$f.gone;;
esac
SH
write_command($good);
my $site = PostgreSQL::Test::Cluster->new('service');
$site->init;
$site->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nshared_preload_libraries = facematch\nfacematch.key_command = '$command %o %k'");
$site->start;
$site->safe_psql('postgres', q{CREATE EXTENSION facematch CASCADE;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at, sealed) VALUES ('F', 'flight', 'two', 0.5, now() + interval '2 hours', true);
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT 1, lpad(n::text, 32, '0')::uuid, 'us_citizen', ARRAY[cosd(n * 10), sind(n * 10)]::face_embedding, 's' FROM generate_series(1, 4) n});
my $asked = q{SELECT string_agg(reference_id::text, ' ') FROM facematch.identify(ARRAY[cosd(20), sind(20)]::face_embedding, 'F', 1)};
is($site->safe_psql('postgres', $asked), '2', 'keys of a command');
foreach my $bad ([ 'exit 1', qr/failed to read a key.*ended with status 1/s, 'fails' ], [ 'echo rubbish', qr/printed something else than 64 hexadecimal digits/, 'prints rubbish' ],
	[ 'yes 00000000', qr/printed something else than 64 hexadecimal digits|ended with status/, 'does not end to print' ], [ 'kill -9 $$', qr/ended with status 137/, 'is killed' ],
	[ 'sleep 60', qr/took longer than 10 seconds/, 'hangs' ])
{
	write_command($bad->[0]);
	my ($ret, $out, $err) = $site->psql('postgres', $asked);
	ok($ret != 0 && $err =~ $bad->[1], "a command that $bad->[2] is an error") or diag("$ret $out $err");
}
my ($ret, $out, $err) = $site->psql('postgres', "SET statement_timeout = '1s'; $asked");
like($err, qr/statement timeout/, 'a command that hangs is cancelled with the statement');
write_command($good);
is($site->safe_psql('postgres', $asked), '2', 'when it works again, nothing is lost');
# A copy of the database has the rows, and tells the command to destroy nothing.
$site->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE postgres');
is($site->safe_psql('copied', $asked), '2', 'a copy reads with keys of the command');
$site->safe_psql('copied', q{CALL facematch.rotate_keys('F'); DELETE FROM facematch.reference});
$site->safe_psql('copied', 'CALL facematch.purge()');
is(scalar(my @copys = glob "$store/*.gone"), 1, 'it has that destroyed which it made');
is($site->safe_psql('postgres', $asked), '2', 'and no other');
$site->safe_psql('postgres', 'DROP DATABASE copied');
is($site->safe_psql('postgres', 'SELECT count(*) FROM facematch_internal.template_key WHERE destroyed_at IS NOT NULL'), '0', 'of the database that made them');
$site->safe_psql('postgres', 'UPDATE facematch.reference SET purge_after = now()');
$site->safe_psql('postgres', 'CALL facematch.purge()');
is($site->safe_psql('postgres', 'SELECT count(*), count(destroyed_at) FROM facematch_internal.template_key'), '1|1', 'the purge destroys it by the command');
is(scalar(my @gone = glob "$store/*.gone"), 2, 'which was told to');
$site->stop;

done_testing();
