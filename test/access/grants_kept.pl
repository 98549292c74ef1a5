# What roles were granted survives a dump, where the roles are there and where they come later, and an upgrade.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
$node->safe_psql('postgres', q{
	CREATE ROLE gate LOGIN; CREATE ROLE acme LOGIN; CREATE ROLE oig LOGIN; CREATE ROLE "odd ""role" LOGIN;
	CREATE EXTENSION facematch CASCADE;
	SELECT facematch.grant_operator('gate'), facematch.grant_partner('acme', 'Acme Air', per_minute => 7), facematch.grant_auditor('oig'),
		facematch.grant_auditor('"odd ""role"');
	INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 2);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('F', 'flight', 'm', 0.5, now() + interval '1 hour');
	INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source) VALUES (1, gen_random_uuid(), 'us_citizen', '[1,0]', 'x');
	INSERT INTO facematch.partner_gallery (partner, gallery_id, valid_until) VALUES ('Acme Air', 1, now() + interval '1 day')});

my $access = q{SELECT a.role_id::regrole, a.clause
	FROM facematch_internal.actual_access a WHERE a.role_id <> 0 AND a.role_id::regrole::text !~ '^pg_' ORDER BY a.role_id::regrole::text COLLATE "C", 2};
my $findings = q{SELECT f.object, f.finding FROM facematch_internal.access_findings f};
my $ask = q{CALL facematch.ask('F', '[1,0.1]')};
my $before = $node->safe_psql('postgres', $access);
like($before, qr/gate\|EXECUTE ON ROUTINE facematch\.identify/, 'there are grants');
is($node->safe_psql('postgres', $findings), '', 'and nothing goes beyond them');
my $answer = $node->safe_psql('postgres', $ask, extra_params => [ '-U', 'acme' ]);
like($answer, qr/^t\|[0-9a-f-]{36}$/, 'a partner is answered');

my $dump = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'dumped');

$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'restored beside it');
is($node->safe_psql('restored', $access), $before, 'the same grants');
is($node->safe_psql('restored', $findings), '', 'and no others');
is($node->safe_psql('restored', $ask, extra_params => [ '-U', 'acme' ]), $answer, 'the same answer, with the same token');
is($node->safe_psql('restored', 'SELECT count(*) FROM facematch.disclosure'), '2', 'disclosures came along');

# Without the grants of the dump the record alone grants, and where a role is missing it waits.
my $elsewhere = PostgreSQL::Test::Cluster->new('elsewhere');
$elsewhere->init;
$elsewhere->append_conf('postgresql.conf', 'fsync = off');
$elsewhere->start;
$elsewhere->safe_psql('postgres', q{CREATE ROLE gate LOGIN; CREATE ROLE acme LOGIN; CREATE ROLE "odd ""role" LOGIN});
command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '--no-acl', '-f', "$dump.bare" ], 'dumped without grants');
my ($out, $warned) = run_command([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $elsewhere->connstr('postgres'), '-f', "$dump.bare" ]);
like($warned, qr/role oig does not exist: it is granted nothing/, 'a role that is missing is warned of');
like($elsewhere->safe_psql('postgres', $findings), qr/role oig\|the role is recorded as auditor and does not exist/, 'and found');
$elsewhere->safe_psql('postgres', 'CREATE ROLE oig LOGIN');
like($elsewhere->safe_psql('postgres', $findings), qr/role oig \(.*\|the role lacks /, 'a role that came later lacks its rights');
is($elsewhere->safe_psql('postgres', 'SELECT facematch.reinstate()'), '0', 'what install made is there; grants come at the commit');
is($elsewhere->safe_psql('postgres', $access), $before, 'the same grants');
is($elsewhere->safe_psql('postgres', $findings), '', 'and no others');
is($elsewhere->safe_psql('postgres', $ask, extra_params => [ '-U', 'acme' ]), $answer, 'the same answer there');

# An upgrade drops and makes a function again: its grants are gone, and come back at the commit of what renews them.
my $again = $node->safe_psql('postgres', q{SELECT pg_get_functiondef('facematch.identify'::regproc)});
$node->safe_psql('postgres', "BEGIN; ALTER EXTENSION facematch DROP FUNCTION facematch.identify; DROP FUNCTION facematch.identify; $again;"
	. ' ALTER EXTENSION facematch ADD FUNCTION facematch.identify; SELECT facematch.reinstate(); SELECT facematch.reinstate(); COMMIT');
is($node->safe_psql('postgres', $access), $before, 'a function that was made again is granted again');
unlike($node->safe_psql('postgres', q{SELECT proacl FROM pg_proc WHERE oid = 'facematch.identify'::regproc}), qr/[{,]=X/, 'and not to PUBLIC');

is($node->safe_psql('postgres', q{SELECT facematch.revoke_access('"odd ""role"')}), 't', 'a role of an odd name is revoked');
unlike($node->safe_psql('postgres', $access), qr/odd/, 'and has nothing');

done_testing();
