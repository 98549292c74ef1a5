# Three sites that subscribe to each other's rights, as docs/howto-sites.md says, whose statements run here: another key is
# refused; what one site records holds at all; rules come from one; one site is killed and catches up; one is restored from
# yesterday and gets its own rights back; what does not fit is refused and named.  Lags are printed.
use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my %node;
my %variable = (passphrase => 'seven words that dice have chosen');

sub subject { return sprintf("'00000000-0000-8000-8000-%012d'", shift); }
sub opt_out { return 'INSERT INTO facematch.opt_out (subject_id) VALUES (' . join('), (', map { subject($_) } @_) . ');'; }
sub sql { my ($site, $query, @more) = @_; return $node{$site}->safe_psql('postgres', $query, @more); }

sub refused
{
	my ($site, $query, $expected, $what) = @_;
	$node{$site}->psql('postgres', "\\set VERBOSITY verbose\n$query", stderr => \my $error, extra_params => variables());
	like($error, $expected, $what);
}

sub variables { return [ map { ('-v', "$_=$variable{$_}") } sort keys %variable ]; }

# The statements of the page under a heading: a line "-- a, b" says at which sites.
my $page = slurp_file(abs_path(dirname(__FILE__)) . '/../../docs/howto-sites.md');
sub statements
{
	my ($heading, @only) = @_;
	my ($section) = $page =~ /^## \Q$heading\E\n(.*?)(?=^## |\z)/ms or die "no heading $heading";
	my ($answer, $ran);
	for my $block ($section =~ /<!-- not run: [^\n]* runs it -->\n```sql\n(.*?)```/sg)
	{
		while ($block =~ /^-- ([abc, ]+)\n((?:(?!-- )[^\n]*\n)+)/mg)
		{
			my ($sites, $statements) = ($1, $2);
			for my $site (grep { my $s = $_; !@only || grep { $_ eq $s } @only } split /, /, $sites)
			{
				$answer = sql($site, $statements, extra_params => variables());
				$ran++;
				$variable{sealed} = $answer if $statements =~ /AS sealed/;
				$variable{$site} = $answer if $statements =~ /AS site/;
			}
		}
	}
	ok($ran, "$heading: $ran times");
	return $answer;
}

sub reached
{
	my ($site, $query, $expected, $what) = @_;
	my $begin = time;
	ok($node{$site}->poll_query_until('postgres', "SELECT ($query) IS NOT DISTINCT FROM $expected"), "$site: $what")
		or diag(sql($site, $query), "\n", sql($site, 'SELECT finding, object FROM facematch.health_check()'));
	return time - $begin;
}

my $staged = q{(SELECT string_agg(ltrim(right(subject_id::text, 2), '0'), ' ' ORDER BY subject_id) FROM facematch.reference)};
my $stream = q{SELECT md5(string_agg(e::text, E'\n' ORDER BY site, number)) FROM facematch.rights_event e};
my $rights = q{SELECT string_agg(DISTINCT severity || ': ' || finding, '; ') FROM facematch.health_check() WHERE finding ~ 'rights|lacks events|events are still|which events|key of|takes its rules'};

# Until all have what the first has.
sub same_everywhere
{
	my ($what, @sites) = @_;
	my $begin = time;
	my $copied = q{(SELECT count(*) FROM pg_subscription_rel WHERE srsubstate <> 'r')};
	reached($_, $copied, 0, 'all is copied') for @sites;
	for my $from (@sites)
	{
		my $own = sql($from, 'SELECT max(number) FROM facematch.rights_event WHERE site = (SELECT site FROM facematch_internal.site)');
		next if $own eq '';
		reached($_, "(SELECT max(number) FROM facematch.rights_event WHERE site = '$variable{$from}')", $own, "$what: all of $from") for @sites;
	}
	note(sprintf('%s: after %.2f s', $what, time - $begin));
	is(sql($_, $stream), sql($sites[0], $stream), "$what: one stream at $sites[0] and $_") for @sites[1 .. $#sites];
}

### before

for my $site (qw(a b c))
{
	$node{$site} = PostgreSQL::Test::Cluster->new($site);
	$node{$site}->init(allows_streaming => 'logical');
	$node{$site}->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'\nmax_replication_slots = 20\nmax_logical_replication_workers = 12\nmax_worker_processes = 24\nwal_retrieve_retry_interval = '500ms'");
	$node{$site}->start;
	sql($site, q{CREATE ROLE sites LOGIN REPLICATION; CREATE EXTENSION facematch CASCADE; INSERT INTO facematch.model (name, tag, dims) VALUES ('two', 1, 2);
		INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('G', 'flight', 'two', 0.5, now() + interval '1 day');});
	$variable{"connection_to_$site"} = $node{$site}->connstr('postgres') . ' user=sites';
}
# What a has recorded before lies in its table in another order than that of the numbers.
sql('a', opt_out($_)) for 1 .. 5;
sql('a', q{INSERT INTO facematch.retention_class (name, description) VALUES ('crew', 'crews');
	INSERT INTO facematch.retention_rule (name, retention_class, what, anchors, keep, citation) VALUES ('site/crew', 'crew', 'reference', '{recorded}', '{1 day}', 'site rule');
	UPDATE facematch.opt_out SET revoked_at = clock_timestamp() WHERE subject_id = } . subject(5) . q{;
	CREATE INDEX backwards ON facematch.rights_event (number DESC); CLUSTER facematch.rights_event USING backwards; DROP INDEX facematch.backwards;});
is(sql('a', 'SELECT number FROM facematch.rights_event WHERE ctid = (SELECT min(ctid) FROM facematch.rights_event)'), '8', 'the last one lies first');

### one key

statements('Publish');
refused('b', q{SELECT facematch.subscribe_rights(:'connection_to_a', :'a', rules_from => :'a');}, qr/55000: .*another key/, 'another key is refused');
refused('b', q{SELECT facematch.subscribe_rights(:'connection_to_b', :'b', rules_from => :'a');}, qr/22023: .*is this one/, 'a site does not subscribe to itself');
refused('b', q{SELECT facematch.publish_rights(:'b');}, qr/22023: .*is this one/, 'nor does it publish to itself');
is(sql('b', 'SELECT count(*) FROM facematch.rights_event'), '0', 'nothing has come');
is(sql('b', 'SELECT count(*) FROM pg_subscription'), '0', 'and nothing is left');
statements('One key');
is(sql($_, q{SELECT facematch.subject_id('UTO', 'passport', 'P1')}), sql('a', q{SELECT facematch.subject_id('UTO', 'passport', 'P1')}), "one pseudonym at a and $_") for qw(b c);
refused('b', q{BEGIN; } . opt_out(77) . q{ UPDATE facematch.pseudonym_key SET key = decode(repeat('0c', 32), 'hex')},
	qr/55000: .*facematch.opt_out/, 'no other key once there are subjects');
refused('b', q{UPDATE facematch.pseudonym_key SET key = pgp_sym_decrypt_bytea(dearmor(:'sealed'), 'some other words that dice chose')}, qr/39000: /, 'another passphrase');

### publish, subscribe

sql($_, q{INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
	SELECT gallery_id, ('00000000-0000-8000-8000-' || lpad(n::text, 12, '0'))::uuid, 'us_citizen', '[1,0]', 'passport' FROM facematch.gallery, generate_series(1, 20) n}) for qw(b c);
# Its name has changed with the key.
statements('Publish');
statements('Subscribe');
same_everywhere('first copy', qw(a b c));
is(sql($_, "SELECT $staged"), join(' ', 6 .. 20), "$_: who declined at a is gone, with who has revoked it since") for qw(b c);
is(sql($_, q{SELECT keep FROM facematch.retention_rule WHERE name = 'site/crew'}), '{"1 day"}', "$_: a's rule is in force") for qw(b c);
reached($_, "($rights)", 'NULL', 'sound') for qw(a b c);
my $role = q{SELECT string_agg(finding || ': ' || object, '; ') FROM facematch.health_check() WHERE object ~ 'sites'};
is(sql('a', $role), '', 'the health check has nothing against the role of the connections');
is(sql('a', "BEGIN; GRANT SELECT ON facematch.hold TO sites; $role; ROLLBACK"), 'the role has privileges that no record grants: role sites (SELECT ON TABLE facematch.hold)', 'but against what is not published');
like(sql('a', "BEGIN; ALTER ROLE sites NOREPLICATION; $role; ROLLBACK"), qr/role sites \(SELECT ON TABLE facematch.rights_event, SELECT ON TABLE facematch_internal.site_state\)/, 'and against one that may not replicate');

### rights flow

for my $round (6 .. 8)
{
	my $begin = time;
	sql('b', opt_out($round));
	reached('c', $staged, "'" . join(' ', $round + 1 .. 20) . "'", "who declines at b is gone");
	note(sprintf('from b to c, one opt-out: %.0f ms with the polling; %s ms from its event to the receipt', 1000 * (time - $begin),
		sql('c', q{SELECT round(1000 * extract(epoch FROM r.purged_at - e.at)) FROM facematch.purge_receipt r, facematch.rights_event e
			WHERE e.what = 'opt_out' ORDER BY r.receipt_id DESC, e.at DESC LIMIT 1})));
}
sql('a', q{UPDATE facematch.retention_rule SET valid_to = '2100-01-01' WHERE name = 'site/crew'});
reached('c', q{(SELECT valid_to FROM facematch.retention_rule WHERE name = 'site/crew')}, q{'2100-01-01'}, 'a rule that a ends');
refused('b', q{INSERT INTO facematch.retention_class (name, description) VALUES ('guest', 'guests')}, qr/55000: .*rules come from site.*class 'guest'/s, 'b makes no rules');
# All three at the same time, each event by two ways.
my @work = map { my $site = $_; my $in = join("\n", map { opt_out($_ + 1000 * ord($site)) } 1 .. 60); IPC::Run::start([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node{$site}->connstr('postgres') ], '<', \$in) } qw(a b c);
ok($_->finish, 'sixty opt-outs') for @work;
same_everywhere('180 opt-outs', qw(a b c));
is(sql($_, 'SELECT count(*) FROM facematch.opt_out'), 188, "$_: each once") for qw(a b c);

### one is killed

$node{c}->stop;
$node{c}->backup_fs_cold('yesterday');
$node{c}->start;
$node{b}->stop('immediate');
sql('a', opt_out(9));
sql('c', opt_out(10));
reached('a', "(SELECT count(*) FROM facematch.opt_out WHERE subject_id = " . subject(10) . ')', 1, 'rights flow while b is down');
reached('a', "($rights)", q{'error: rights do not arrive: the subscription fails repeatedly; error: rights do not reach the site: it does not read its slot'}, 'says that b is down');
$node{b}->start;
same_everywhere('b was killed', qw(a b c));
is(sql('b', "SELECT $staged"), join(' ', 11 .. 20), 'b: has caught up');
reached($_, "($rights)", 'NULL', 'sound again') for qw(a b c);

### one is restored from yesterday

sql('c', opt_out(11));
sql('a', opt_out(12));
same_everywhere('today', qw(a b c));
$node{c}->stop('immediate');
# Whoever records rights there before it has got the others back is refused, and named.
my $hasty = $node{hasty} = PostgreSQL::Test::Cluster->new('hasty');
$hasty->init_from_backup($node{c}, 'yesterday');
$hasty->append_conf('postgresql.conf', "max_logical_replication_workers = 0");
$hasty->start;
sql('hasty', opt_out(13));
$hasty->append_conf('postgresql.conf', "max_logical_replication_workers = 12");
$hasty->restart;
sql('hasty', q{SELECT facematch.subscribe_rights(:'connection_to_a', :'a', rules_from => :'a')}, extra_params => variables());
reached('hasty', q{(SELECT coalesce(to_jsonb(s) ->> 'sync_table_error_count', to_jsonb(s) ->> 'sync_error_count')::bigint > 0 FROM pg_stat_subscription_stats s WHERE subname = 'facematch_' || translate('} . $variable{a} . q{', '-', ''))}, 'true', 'a conflict stops the copy');
like(slurp_file($hasty->logfile), qr/event \d+ of site $variable{c} differs from the event of that number here, which is about opt_out/, 'and the log names it');
like(sql('hasty', $rights), qr/error: rights do not arrive: copying the site's events fails/, 'so does health_check()');
sql('hasty', qq{INSERT INTO facematch_internal.site_state (site, at, rules_from, has) VALUES ('$variable{b}', now(), '$variable{a}', jsonb_build_object('$variable{c}', 100000))});
like(sql('hasty', $rights), qr/this site lacks events that other sites have/, 'and what is missing');
$hasty->stop('immediate');

my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($node{c}, 'yesterday');
$restored->start;
$node{c} = $restored;
$variable{connection_to_c} = $restored->connstr('postgres');
is(sql('c', "SELECT $staged"), join(' ', 9 .. 20), 'c: as yesterday') or diag('an event may have arrived already');
# Nothing stops, and no event is refused: what the others say of themselves names it.
unlike(sql('c', $rights), qr/do not arrive|restored/, 'c: nothing seems to be missing');
sql($_, 'CALL facematch.purge()') for qw(a b);
reached('c', "($rights) ~ 'this site lacks events that other sites have: it was restored'", 'true', 'names that it was restored');
statements('After a restore');
same_everywhere('c was restored', qw(a b c));
is(sql('c', "SELECT $staged"), join(' ', 13 .. 20), 'c: has got back its own opt-outs and those of the others');
sql('c', opt_out(14));
same_everywhere('c goes on', qw(a b c));
reached($_, "($rights)", 'NULL', 'sound at last') for qw(a b c);
for my $site (qw(a b c))
{
	is(sql($site, 'SELECT intact FROM facematch.verify_audit()'), 't', "$site: the log is whole");
	unlike(slurp_file($node{$site}->logfile), qr/differs from the event of that number here|rights_event_pkey/, "$site: nothing was refused");
}

### another site for the rules

sql($_, 'CALL facematch.purge()') for qw(a b c);
reached($_, "($rights)", 'NULL', 'one site for the rules') for qw(a b c);
sql('b', "UPDATE facematch_internal.site SET rules_from = site");
sql($_, 'CALL facematch.purge()') for qw(a b c);
reached('a', "($rights)", "'error: the site takes its rules from another site than this one does'", 'names the site that has rules from elsewhere');
reached('b', "($rights)", "'error: the site takes its rules from another site than this one does'", 'so does that one');
sql('b', "UPDATE facematch_internal.site SET rules_from = '$variable{a}'");
sql($_, 'CALL facematch.purge()') for qw(a b c);
reached($_, "($rights)", 'NULL', 'one site again') for qw(a b c);

### a site that has lost what the others have of it, and tells them

sql('c', opt_out(15));
same_everywhere('before the loss', qw(a b c));
sql('c', qq{INSERT INTO facematch_internal.site_state (site, at, rules_from, has)
	SELECT site, at + interval '20 seconds', rules_from, has || jsonb_build_object('$variable{c}', 1) FROM facematch_internal.site_now});
reached($_, "($rights)", "'error: the site lacks events that it recorded itself: it was restored'", 'names it') for qw(a b);

### another key, whoever puts it there

sql('b', q{INSERT INTO facematch.pseudonym_key (key, created_at) SELECT decode(repeat('0c', 32), 'hex'), '2020-01-01'});
like(sql('b', $rights), qr/the key of pseudonyms has changed.*publication of rights is of another key/, 'b: another key is named');

### an event that no site can carry out

sql('c', q{INSERT INTO facematch.rights_event SELECT site, max(number) + 1, now(), 'a later version', 'parking', NULL, '{"lot": 1}' FROM facematch.rights_event
	WHERE site = (SELECT site FROM facematch_internal.site) GROUP BY site});
reached('a', "($rights) ~ 'the subscription fails repeatedly'", 'true', 'names a worker that fails');
is(scalar(grep { sql('a', $rights) !~ /the subscription fails repeatedly/ } 1 .. 40), 0, 'also while it has been started again');
done_testing();
