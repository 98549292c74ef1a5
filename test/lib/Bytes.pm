# Bytes.pm: looking for bytes in files.
package Bytes;

use strict;
use warnings;

use Exporter 'import';
use File::Find;

our @EXPORT = qw(files_with);

# files_with(DIRECTORY, BYTES...): the files under a directory in which any of these strings of bytes stands.
sub files_with
{
	my ($directory, @bytes) = @_;
	my $any = join '|', map { quotemeta } @bytes;
	my @found;

	find(
		{
			no_chdir => 1,
			wanted => sub {
				return unless -f $_ && -s _;
				open my $in, '<:raw', $_ or return;
				local $/;
				push @found, $_ if <$in> =~ /$any/;
				close $in;
			}
		},
		$directory);
	return sort @found;
}

1;
