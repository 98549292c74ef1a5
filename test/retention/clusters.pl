# Retention where there is more than one cluster or version: a standby, a logical subscriber, a dump that is brought up to
# date by later opt-outs, and an upgrade of the extension.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub subject { return sprintf("'00000000-0000-8000-8000-%012d'", shift); }

my $setup = q{
	CREATE EXTENSION facematch CASCADE;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('G', 'flight', 'two', 0.5, now());
};
# One reference for each subject, all with the same template.
sub stage
{
	my ($from, $to, $purge_after) = @_;
	$purge_after //= 'NULL';
	return qq{INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source, purge_after)
		SELECT gallery_id, ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid, 'us_citizen', '[1,0]', 'passport', $purge_after
		FROM facematch.gallery, generate_series($from, $to) n WHERE name = 'G';};
}
my $matches = q{SELECT count(*) FROM facematch.identify('[1,0]', 'G', 1000)};
my $rows = q{SELECT string_agg(right(subject_id::text, 2), ' ' ORDER BY subject_id) FROM facematch.reference};

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 'logical');
$primary->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'");
$primary->start;
$primary->safe_psql('postgres', $setup);

### standby: a row stops matching at its deadline, although nothing is replayed then

$primary->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', stage(1, 3) . stage(4, 5, q{clock_timestamp() + interval '4 seconds'}));
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
is($standby->safe_psql('postgres', $matches), '5', 'standby: all match before the deadline');
$standby->poll_query_until('postgres', q{SELECT bool_or(purge_after < clock_timestamp()) FROM facematch.reference});
is($standby->safe_psql('postgres', "$matches; SELECT count(*) FROM facematch.reference"), "3\n5", 'standby: due rows match nobody, although they are there');
$primary->safe_psql('postgres', q{CREATE ROLE app LOGIN; GRANT USAGE ON SCHEMA facematch, facematch_internal TO app; GRANT SELECT ON facematch.reference, facematch.gallery TO app});
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
is($standby->safe_psql('postgres', 'SELECT count(*) FROM facematch.reference', extra_params => [ '-U', 'app' ]), '3', 'standby: nor does a non-owner see them');
$primary->safe_psql('postgres', 'INSERT INTO facematch.opt_out (subject_id) VALUES (' . subject(1) . ')');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
is($standby->safe_psql('postgres', $matches), '2', 'standby: an opt-out takes templates there too');
$standby->stop;

### logical replication: the guard stands at the subscriber's door

my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'");
$subscriber->start;
$subscriber->safe_psql('postgres', 'CREATE EXTENSION facematch CASCADE;'
	  # known here and not to the publisher: an opt-out, a hold, and a shorter rule
	  . 'INSERT INTO facematch.opt_out (subject_id) VALUES (' . subject(2) . ');'
	  . 'INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (' . subject(3) . q{, 'inquiry', 'court');}
	  . q{INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation, valid_from)
		VALUES ('site', 'us_citizen', 'reference', '{recorded}', '{1 hour}', 'site', '-infinity')});
$primary->safe_psql('postgres', 'CREATE PUBLICATION faces FOR TABLE facematch.model, facematch.gallery, facematch.reference, facematch.opt_out');
my $connection = $primary->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION faces CONNECTION '$connection' PUBLICATION faces WITH (copy_data = false)");
# Changes only, so the numbers of what is there already are kept apart by the caller.
$primary->safe_psql('postgres', 'DELETE FROM facematch.reference');
$subscriber->safe_psql('postgres', q{INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
	INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('G', 'flight', 'two', 0.5, now())});
$primary->safe_psql('postgres', stage(2, 6));
$primary->wait_for_catchup('faces');
is($subscriber->safe_psql('postgres', $rows), '03 04 05 06', 'subscriber: the template of who opted out there is left out');
is($subscriber->safe_psql('postgres', q{SELECT bool_and(purge_after <= enrolled_at + interval '1 hour') FROM facematch.reference}), 't',
	'subscriber: its own shorter rule gives the deadline');
$primary->safe_psql('postgres', 'INSERT INTO facematch.opt_out (subject_id) VALUES (' . subject(4) . ')');
$primary->safe_psql('postgres', 'DELETE FROM facematch.reference WHERE subject_id IN (' . subject(3) . ', ' . subject(5) . ')');
$primary->wait_for_catchup('faces');
is($subscriber->safe_psql('postgres', $rows), '03 06', 'subscriber: an opt-out is applied, a deletion too, and a held row stays without stopping replication');
is($subscriber->safe_psql('postgres', q{SELECT (SELECT string_agg(cause, ' ' ORDER BY cause) FROM facematch.purge_receipt), intact, finding FROM facematch.verify_audit()}), 'by_hand opt_out|f|opt_out:2 of facematch.opt_out was never written to the log',
	'subscriber: what an opt-out or a deletion from elsewhere removes here has a receipt and is in the log here, and that the opt-out itself is not is named');
$primary->safe_psql('postgres', "UPDATE facematch.reference SET quality = 7");
$primary->wait_for_catchup('faces');
is($subscriber->safe_psql('postgres', q{SELECT count(*) FROM facematch.reference WHERE quality = 7 AND purge_after <= enrolled_at + interval '1 hour'}), '1',
	'subscriber: an update does not push a deadline away');
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION faces');
$subscriber->stop;
$primary->safe_psql('postgres', 'DELETE FROM facematch.reference');

### dump and restore: everything about rights comes along, in an order that works, and nothing is revived

my $dir = $primary->basedir;
$primary->safe_psql('postgres', stage(10, 19) . stage(20, 22, q{now() - interval '1 hour'}) . q{
	INSERT INTO facematch.retention_class (name, description) VALUES ('guest', 'g');
	INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES
		('guests', 'guest', 'reference', '{recorded}', '{2 days}', 'c'), ('guests/encounter', 'guest', 'encounter', '{recorded}', '{1 day}', 'c'),
		('longer', 'us_citizen', 'reference', '{recorded}', '{40 days}', 'c');
	UPDATE facematch.gallery SET anchor_at = now() + interval '1 day';
	SELECT FROM facematch.record_encounter('G', '[1,0]', port => 'JFK', idempotency_key => 'k1');
	CREATE TABLE visit (id bigint PRIMARY KEY, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, e face_embedding(2));
	SELECT facematch.retain('visit', 'reference');
	-- What had another name, or was another table: the log says so, and no more of it once it is restored.
	DROP TABLE visit;
	INSERT INTO facematch.model (name, tag, dims) VALUES ('spare', 2, 2);
	UPDATE facematch.model SET name = 'kept' WHERE name = 'spare';
	INSERT INTO facematch.model (name, tag, dims) VALUES ('spare', 3, 2);
	CREATE TABLE visit (id bigint PRIMARY KEY, retention_class text, recorded_at timestamptz DEFAULT now(), subject_id uuid, e face_embedding(2));
	INSERT INTO visit SELECT n, 'guest', now() - interval '3 days' * (n % 2), gen_random_uuid(), '[1,0]' FROM generate_series(1, 4) n;
	SELECT facematch.retain('visit', 'reference');
	CREATE TABLE dropped (LIKE visit);
	SELECT facematch.retain('dropped', 'reference');
	DROP TABLE dropped;}
	# a held row of a subject who opts out: due, and there; held by its number and by its subject
	. q{INSERT INTO facematch.hold (table_name, row_id, reason, authority) SELECT 'facematch.reference', reference_id, 'inquiry', 'court' FROM facematch.reference WHERE subject_id = } . subject(11) . ';'
	. q{INSERT INTO facematch.hold (subject_id, reason, authority) VALUES (} . subject(10) . q{, 'inquiry', 'court');}
	. q{INSERT INTO facematch.hold (table_name, row_id, reason, authority) VALUES ('visit', '1', 'inquiry', 'court');}
	. 'INSERT INTO facematch.opt_out (subject_id) VALUES (' . subject(10) . '), (' . subject(11) . '), (' . subject(12) . ');'
	. 'CALL facematch.purge();');
my $everything = q{
	SELECT 'gallery', g::text FROM facematch.gallery g UNION ALL SELECT 'reference', r::text FROM facematch.reference r
	UNION ALL SELECT 'encounter', e::text FROM facematch.encounter e UNION ALL SELECT 'candidate', c::text FROM facematch.candidate c
	UNION ALL SELECT 'opt_out', o::text FROM facematch.opt_out o UNION ALL SELECT 'hold', h::text FROM facematch.hold h
	UNION ALL SELECT 'rule', u::text FROM facematch.retention_rule u UNION ALL SELECT 'class', c::text FROM facematch.retention_class c
	UNION ALL SELECT 'receipt', p::text FROM facematch.purge_receipt p UNION ALL SELECT 'audit', a::text FROM facematch.audit_event a
	UNION ALL SELECT 'visit', v::text FROM visit v UNION ALL SELECT 'attached', a::text FROM facematch.attached a
	UNION ALL SELECT 'intact', intact::text FROM facematch.verify_audit()
	UNION ALL SELECT 'finding', c::text FROM facematch.health_check() c WHERE severity = 'error' AND finding NOT LIKE '%not purged%'
	UNION ALL SELECT 'match', i::text FROM facematch.identify('[1,0]', 'G', 1000) i ORDER BY 1, 2};
my $before = $primary->safe_psql('postgres', $everything);
is(scalar(grep { /^hold/ } split /\n/, $before), 3, 'there are holds to restore');
unlike($before, qr/^finding/m, 'and no error is found');
like($primary->safe_psql('postgres', 'SELECT action FROM facematch.audit_event'), qr/deadline_lengthened/, 'and a log');
command_ok([ 'pg_dump', '-d', $primary->connstr('postgres'), '--exclude-table-data=facematch.pseudonym_key', '--no-publications', '-f', "$dir/dump.sql" ], 'pg_dump');
$primary->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $primary->connstr('restored'), '-f', "$dir/dump.sql" ], 'restored');
is($primary->safe_psql('restored', $everything), $before, 'restored: the same rows, deadlines, holds, rules, receipts and log, and the same matches');
is($primary->safe_psql('restored', 'SELECT count(*) FROM facematch_internal.retained WHERE NOT shipped'), '1', 'restored: a table that was dropped is not listed');
$primary->psql('restored', 'DELETE FROM facematch.reference WHERE subject_id = ' . subject(11), stderr => \my $refused);
like($refused, qr/is held/, 'restored: holds hold');
$primary->psql('restored', stage(12, 12), stderr => \$refused);
like($refused, qr/has opted out/, 'restored: opt-outs stand');
$primary->psql('restored', q{UPDATE visit SET purge_after = 'infinity'}, stderr => \$refused);
like($refused, qr/made later/, 'restored: attached tables are guarded');

# Rows of an older dump and opt-outs of a newer one.
$primary->safe_psql('postgres', 'INSERT INTO facematch.opt_out (subject_id) VALUES (' . subject(13) . '), (' . subject(14) . ')');
command_ok([ 'pg_dump', '-d', $primary->connstr('postgres'), '--data-only', '-t', 'facematch.opt_out', '-f', "$dir/opt_out.sql" ], 'opt-outs dumped later');
my $newer = slurp_file("$dir/opt_out.sql");
$newer =~ s/COPY facematch\.opt_out/CREATE TEMP TABLE newer (LIKE facematch.opt_out); COPY newer/;
$primary->safe_psql('restored', "$newer; INSERT INTO facematch.opt_out OVERRIDING SYSTEM VALUE SELECT n.* FROM newer n WHERE n.opt_out_id NOT IN (SELECT opt_out_id FROM facematch.opt_out)");
is($primary->safe_psql('restored', $rows), '10 11 15 16 17 18 19', 'an older dump and newer opt-outs: their templates go');

### an upgrade keeps everything, and the guarantees

my $version = $primary->safe_psql('restored', q{SELECT extversion FROM pg_extension WHERE extname = 'facematch'});
my $share = `pg_config --sharedir`;
chomp $share;
my $script = slurp_file("$share/extension/facematch--$version.sql");
# As if a report had come with this version.
(my $older = $script) =~ s/^(CREATE VIEW facematch\.report_opt_out .*?;\n(?:COMMENT ON (?:VIEW|COLUMN) facematch\.report_opt_out\b.*?';\n)+)//ms;
my $step = $1;
isnt($older, $script, 'there is something for the upgrade to add');
append_to_file("$share/extension/facematch--0.0.1.sql", $older);
append_to_file("$share/extension/facematch--0.0.1--$version.sql", $step);
$primary->safe_psql('postgres', 'CREATE DATABASE older');
(my $dump = slurp_file("$dir/dump.sql")) =~ s/CREATE EXTENSION IF NOT EXISTS facematch/CREATE EXTENSION IF NOT EXISTS facematch VERSION '0.0.1'/;
$dump =~ s/(facematch) (VERSION '0\.0\.1') WITH SCHEMA public/$1 WITH SCHEMA public $2/;
append_to_file("$dir/older.sql", $dump);
command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $primary->connstr('older'), '-f', "$dir/older.sql" ], 'a database of an older version');
$primary->safe_psql('older', 'ALTER EXTENSION facematch UPDATE');
is($primary->safe_psql('older', $everything), $before, 'upgraded: everything as it was');
is($primary->safe_psql('older', q{SELECT sum(opt_outs) FROM facematch.report_opt_out}), '5', 'upgraded: what is new is there');
command_ok([ 'pg_dump', '-d', $primary->connstr('older'), '-f', "$dir/upgraded.sql" ], 'upgraded: and dumps');
unlink "$share/extension/facematch--0.0.1.sql", "$share/extension/facematch--0.0.1--$version.sql";

$primary->stop;
done_testing();
