# What the tests of erasure share: WAL that is let go, and the search for templates in files.
package ErasedBytes;

use strict;
use warnings;

use Exporter 'import';
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(let_go_of_wal find_bytes);

# As docs/erasure.md says: wal_recycle is off, segments are switched and checkpoints made until no file holds what was before.
sub let_go_of_wal
{
	my ($primary, $standby) = @_;
	my $erased = $primary->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');

	for my $round (1 .. 10)
	{
		$primary->safe_psql('postgres', "SELECT pg_switch_wal(); CHECKPOINT; SELECT pg_logical_emit_message(false, 'test', 'x')");
		if ($standby)
		{
			$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
			$standby->safe_psql('postgres', 'CHECKPOINT');
		}
		my $gone = grep { $_->safe_psql('postgres', "SELECT oldest_lsn >= '$erased' AND unknown_files = 0 FROM facematch.wal_horizon()") eq 't' }
			grep { defined } $primary, $standby;
		return 1 if $gone == ($standby ? 2 : 1) && $round >= 3;
	}
	return 0;
}

# What find_bytes.py prints, by kind: [found, total]; and the files.
sub find_bytes
{
	my ($node, @arguments) = @_;
	my ($out, $err) = run_command([ '/usr/bin/python3', "$FindBin::Bin/../lib/find_bytes.py", $node->data_dir, @arguments ]);
	my %found;

	diag($err) if $err ne '';
	while ($out =~ /^(.*): (\d+) of (\d+)$/mg)
	{
		$found{$1} = [ $2, $3 ];
	}
	my $files = join("\n", $out =~ /^(in .*)$/mg);
	return (\%found, $files);
}

1;
