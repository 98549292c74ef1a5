# A dump restores to the same models, galleries, templates and pseudonyms, and goes on from there; and what it contains
# of the pseudonyms' key is what docs/pseudonyms.md says.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off");
$node->start;

$node->safe_psql('postgres', 'CREATE DATABASE old');
$node->safe_psql('old', q{
	CREATE EXTENSION facematch CASCADE;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 7, 2), ('three', 32767, 3);
	INSERT INTO facematch.gallery_kind (name, description) VALUES ('stadium', 'season ticket holders');
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES
		('gone', 'flight', 'two', 0.1, NULL), ('flight', 'flight', 'two', 0.25, '2099-11-23 12:00+00'), ('north', 'stadium', 'three', -1, NULL);
	-- A class and a rule of the site's own, without which its rows could not come back.
	INSERT INTO facematch.retention_class (name, description) VALUES ('member', 'season ticket holders');
	INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation)
		VALUES ('club', 'member', 'reference', '{recorded}', '{100 years}', 'statutes');
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, quality, purge_after)
		SELECT 2, facematch.subject_id('UTO', 'passport', 'P' || n), 'member', ARRAY[cosd(n), sind(n)]::face_embedding, 'passport', n % 101, '2100-01-01'
		FROM generate_series(1, 200) n;
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT 3, facematch.subject_id('UTO', 'passport', 'P' || n), 'member', ARRAY[n, 1, 6e-8]::face_embedding, 'own' FROM generate_series(1, 100) n;
	DELETE FROM facematch.gallery WHERE name = 'gone';
	DELETE FROM facematch.reference WHERE reference_id > 290;
	-- A person with three documents, and two that a mistake had merged.
	SELECT facematch.merge_subjects(facematch.subject_id('UTO', 'passport', 'P1'), facematch.subject_id('UTO', 'passport', 'P301')),
		facematch.merge_subjects(facematch.subject_id('UTO', 'passport', 'P302'), facematch.subject_id('UTO', 'passport', 'P301')),
		facematch.merge_subjects(facematch.subject_id('UTO', 'passport', 'P303'), facematch.subject_id('UTO', 'passport', 'P304'));
	UPDATE facematch.subject_merge SET undone_at = clock_timestamp() WHERE merge_id = 3;
	-- A kind of role of the site's own, as src/access/README.md makes one: it places holds.
	CREATE ROLE counsel LOGIN;
	INSERT INTO facematch_internal.access_kind (name, description) VALUES ('counsel', 'places and releases holds');
	INSERT INTO facematch_internal.access_right (kind, object_kind, object_name, privilege, columns) VALUES
		('counsel', 'table', 'hold', 'SELECT', NULL),
		('counsel', 'table', 'hold', 'INSERT', '{table_name,row_id,subject_id,reason,authority,until,may_be_told}'),
		('counsel', 'table', 'hold', 'UPDATE', '{released_at}');
	SELECT facematch_internal.give_access('counsel', 'counsel', NULL);
	-- A table of the user's own, with a typmod.
	CREATE TABLE mine (id int, e face_embedding(3, 5), a face_embedding[]);
	INSERT INTO mine VALUES (1, '[0.1,-0.2,65504]', '{}'), (2, '5:[1,2,3]', ARRAY['[1]', '9:[2,2]']::face_embedding[]), (3, NULL, NULL);
});

# Everything that must be the same, as text.
my $everything = q{
	SELECT 'model', m::text FROM facematch.model m
	UNION ALL SELECT 'kind', k::text FROM facematch.gallery_kind k
	UNION ALL SELECT 'kind of role', k::text FROM facematch_internal.access_kind k
	UNION ALL SELECT 'list', r::text FROM facematch_internal.access_right r
	UNION ALL SELECT 'unlisted', object FROM facematch.health_check() WHERE finding ~ 'privileges that no record grants'
	UNION ALL SELECT 'gallery', g::text FROM facematch.gallery g
	UNION ALL SELECT 'rule', u::text FROM facematch.retention_rule u
	UNION ALL SELECT 'reference', r::text || face_embedding_send(r.embedding)::text FROM facematch.reference r
	UNION ALL SELECT 'merge', m::text FROM facematch.subject_merge m
	UNION ALL SELECT 'merged', action || ' ' || detail::text FROM facematch.audit_event WHERE action LIKE 'subjects%'
	UNION ALL SELECT 'person', p::text FROM facematch_internal.person p
	UNION ALL SELECT 'mine', m::text FROM mine m
	UNION ALL SELECT 'column', format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'mine'::regclass AND attnum > 0
	UNION ALL SELECT 'pseudonym', facematch.subject_id('UTO', 'passport', 'P' || n)::text FROM generate_series(1, 3) n
	UNION ALL SELECT 'search', s::text FROM facematch.search s WHERE role_name = 'gate'
	UNION ALL SELECT 'attempt', a::text FROM facematch_internal.attempt a
	UNION ALL SELECT 'found', i::text FROM facematch.identify('[1,1]', 'flight') i
	ORDER BY 1, 2};
# Somebody whom a role may not search for any more: the restored database does not begin to count anew.
$node->safe_psql('old', q{CREATE ROLE gate LOGIN; SELECT facematch.grant_operator('gate')});
my $ask = q{SELECT count(*) FROM facematch.identify('[1,1]', 'flight', 1)};
$node->psql('old', "$ask;\n" x 11, extra_params => [ '-U', 'gate' ], stderr => \my $refused);
like($refused, qr/too many searches have come near one person/, 'a role has used its attempts');
my $before = $node->safe_psql('old', $everything);
is(scalar(grep { /^reference/ } split /\n/, $before), 290, 'there is something to restore');

my $dir = $node->basedir;
for my $format ('plain', 'custom')
{
	my $file = "$dir/dump.$format";
	my $new = "new_$format";
	command_ok([ 'pg_dump', '-d', $node->connstr('old'), "--format=$format", '-f', $file ], "pg_dump, $format");
	$node->safe_psql('postgres', "CREATE DATABASE $new");
	if ($format eq 'plain')
	{
		command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($new), '-f', $file ], 'restored by psql');
	}
	else
	{
		# Data one table after the other, as docs/howto-backup.md says; the rest in parallel.
		command_ok([ 'pg_restore', '--exit-on-error', '--section=pre-data', '--section=data', '-d', $node->connstr($new), $file ], 'restored by pg_restore');
		command_ok([ 'pg_restore', '--exit-on-error', '--section=post-data', '-j', '2', '-d', $node->connstr($new), $file ], 'indexes restored by pg_restore -j');
	}
	is($node->safe_psql($new, $everything), $before, "$format: the same values, tags, galleries and pseudonyms");
	$node->psql($new, $ask, extra_params => [ '-U', 'gate' ], stderr => \my $again);
	like($again, qr/too many searches have come near one person/, "$format: no new attempts");
	is( $node->safe_psql($new, q{
		INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('next', 'flight', 'two', 0.5);
		INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		VALUES (2, gen_random_uuid(), 'member', '[1,1]', 's') RETURNING gallery_id, reference_id, (SELECT gallery_id FROM facematch.gallery WHERE name = 'next')}),
		'2|301|4', "$format: identities go on from where they were");

	$node->safe_psql($new, q{INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (gen_random_uuid(), 'inquiry', 'court');
		UPDATE facematch.hold SET released_at = clock_timestamp()}, extra_params => [ '-U', 'counsel' ]);
	is($node->safe_psql($new, 'SELECT placed_by, released_by FROM facematch.hold'), 'counsel|counsel', "$format: a kind of the site's own");

	# The restored database dumps to the same.
	command_ok([ 'pg_dump', '-d', $node->connstr($new), '-f', "$dir/again.sql" ], "$format: dumped again");
}

# The key is in a superuser's dump, as it must be, and can be left out and kept apart.
my $key = $node->safe_psql('old', 'SELECT key FROM facematch.pseudonym_key');
like(slurp_file("$dir/dump.plain"), qr/\Q$key\E/, 'a dump has the key');
command_ok([ 'pg_dump', '-d', $node->connstr('old'), '--exclude-table-data=facematch.pseudonym_key', '-f', "$dir/keyless.sql" ], 'pg_dump without the key');
unlike(slurp_file("$dir/keyless.sql"), qr/\Q$key\E/, 'has none');
$node->safe_psql('old', "COPY facematch.pseudonym_key TO '$dir/key'");
$node->safe_psql('postgres', 'CREATE DATABASE keyless');
command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('keyless'), '-f', "$dir/keyless.sql" ], 'restored without the key');
isnt($node->safe_psql('keyless', $everything), $before, 'other pseudonyms without the key');
$node->safe_psql('keyless', "COPY facematch.pseudonym_key FROM '$dir/key'");
is($node->safe_psql('keyless', $everything), $before, 'the same with it');

# pg_read_all_data reads no key, by pg_dump neither.
$node->safe_psql('old', 'CREATE ROLE reader LOGIN; GRANT pg_read_all_data TO reader');
is($node->safe_psql('old', 'SELECT count(*) FROM facematch.pseudonym_key', extra_params => [ '-U', 'reader' ]), '0', 'a reader of all data sees no key');
command_fails_like([ 'pg_dump', '-U', 'reader', '-d', $node->connstr('old'), '-f', "$dir/reader.sql" ],
	qr/row-level security policy/, 'nor dumps it');

# What a site adds to the extension's tables is in no dump: the health check names it, with what puts it back.
my $additions = q{SELECT severity, object, remedy FROM facematch.health_check() WHERE finding ~ 'a user added' ORDER BY 1, 2};
is($node->safe_psql('old', $additions), '', 'nothing is added');
$node->safe_psql('old', 'CREATE INDEX reference_quality_idx ON facematch.reference USING btree (quality)');
my $index = 'CREATE INDEX reference_quality_idx ON facematch.reference USING btree (quality)';
is($node->safe_psql('old', $additions), "notice|index reference_quality_idx on facematch.reference|run this after each restore: $index", 'an index is named');
command_ok([ 'pg_dump', '-d', $node->connstr('old'), '--format=custom', '-f', "$dir/indexed.custom" ], 'pg_dump with an index of the site');
$node->safe_psql('postgres', 'CREATE DATABASE indexed');
command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('indexed'), "$dir/indexed.custom" ], 'restored');
is($node->safe_psql('indexed', q{SELECT to_regclass('facematch.reference_quality_idx') IS NULL, (SELECT count(*) FROM facematch.reference)}), 't|290', 'without the index, with all rows');
$node->safe_psql('indexed', $index);
$node->safe_psql('old', q{CREATE STATISTICS facematch.more ON gallery_id, subject_id FROM facematch.reference; CREATE POLICY more ON facematch.hold USING (true);
	CREATE TRIGGER more BEFORE INSERT ON facematch.model FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
	ALTER TABLE facematch.model ADD CONSTRAINT more CHECK (name <> ''); ALTER TABLE facematch.gallery ADD COLUMN more int});
is($node->safe_psql('old', q{SELECT severity, found, object FROM facematch.health_check() WHERE finding ~ 'a user added'}),
	"error|1|column more on facematch.gallery\nnotice|5|constraint more on facematch.model, index reference_quality_idx on facematch.reference, policy more on facematch.hold, statistics more on facematch.reference, trigger more on facematch.model", 'each kind is named, a column as an error');

# Encounters that show an exit bring no event with them: that is in the dump, or was deleted.
$node->safe_psql('postgres', 'CREATE DATABASE gates');
$node->safe_psql('gates', q{
	CREATE EXTENSION facematch CASCADE;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('three', 1, 3);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity) VALUES ('F1', 'flight', 'three', 0.9), ('W', 'watchlist', 'three', 0.9);
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) SELECT 1, gen_random_uuid(), 'us_citizen', e, 'passport'
		FROM unnest('{"[1,0,0]","[0,0,1]"}'::face_embedding[]) e;
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (2, gen_random_uuid(), 'watchlist', '[0,1,0]', 'file');
	SELECT facematch.record_encounter('F1', '[1,0,0]', port => 'JFK', direction => 'exit'), facematch.record_encounter('F1', '[0,0,1]', port => 'JFK', direction => 'exit'),
		facematch.record_encounter('W', '[0,1,0]', port => 'JFK', direction => 'exit');
	SELECT facematch.resolve_encounter(3, gen_random_uuid(), 'us_citizen', 'seen');
	DELETE FROM facematch.anchor_event WHERE event_id = 2;
	-- One that was posted while the clock was wrong.
	INSERT INTO facematch.notice (name, texts) VALUES ('gate', '{"en": "You may decline."}');
	INSERT INTO facematch.notice_posting (notice, port, posted_at) VALUES ('gate', 'JFK', clock_timestamp() + interval '3 years');
});
my $gates = q{SELECT 'event', a::text FROM facematch.anchor_event a UNION ALL SELECT 'encounter', e::text FROM facematch.encounter e
	UNION ALL SELECT 'candidate', c::text FROM facematch.candidate c UNION ALL SELECT 'posting', p::text FROM facematch.notice_posting p ORDER BY 1, 2};
my $recorded = $node->safe_psql('gates', $gates);
is(join(' ', map { /^(\w+)/ } split /\n/, $recorded), 'candidate candidate candidate encounter encounter encounter event event posting', 'encounters, and an exit less, and a posting ahead of time');
command_ok([ 'pg_dump', '-d', $node->connstr('gates'), '-f', "$dir/gates.sql" ], 'dumped');
$node->safe_psql('postgres', 'CREATE DATABASE gates_again');
command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('gates_again'), '-f', "$dir/gates.sql" ], 'restored');
is($node->safe_psql('gates_again', $gates), $recorded, 'the same encounters and events');
is($node->safe_psql('gates_again', q{SELECT outcome FROM facematch.record_encounter('F1', '[0,0,1]', port => 'JFK', direction => 'exit');
	SELECT count(*) FROM facematch.anchor_event}), "match\n3", 'a new one has an event');

# pg_restore --clean over rows that stand is the accident itself.
my ($out, $err);
IPC::Run::run([ 'pg_restore', '--clean', '--exit-on-error', '-d', $node->connstr('indexed'), "$dir/indexed.custom" ], '>', \$out, '2>', \$err);
like($err, qr/extension facematch cannot be dropped, nor a part of it: it has references/, 'pg_restore --clean is refused');
like($err, qr/HINT/, 'with a hint');
is($node->safe_psql('indexed', 'SELECT count(*) FROM facematch.reference'), '290', 'and nothing is lost');

# Data alone, with triggers disabled: merges join nobody until they are told to; the health check says so, and what mends it.
$node->safe_psql('postgres', 'CREATE DATABASE silent');
command_ok([ 'pg_restore', '--exit-on-error', '--section=pre-data', '-d', $node->connstr('silent'), "$dir/dump.custom" ], 'the schema');
command_ok([ 'pg_restore', '--exit-on-error', '--data-only', '--disable-triggers', '-d', $node->connstr('silent'), "$dir/dump.custom" ], 'data with triggers disabled');
like($node->safe_psql('silent', q{SELECT object, remedy FROM facematch.health_check() WHERE finding ~ 'merge has no effect'}), qr/merge 1, merge 2\|CALL facematch.recompute\(\)/, 'merges without effect are named');
$node->safe_psql('silent', 'SELECT facematch.reinstate(); CALL facematch.recompute()');
is($node->safe_psql('silent', q{SELECT severity, finding, object FROM facematch.health_check() WHERE finding ~ 'merge has no effect|trigger'}), '', 'and repaired');
is($node->safe_psql('silent', $everything), $before, 'with the same values as before');

$node->stop;
done_testing();
