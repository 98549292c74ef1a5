# Bytes.pm: looking for bytes in files.
package Bytes;

use strict;
use warnings;

use Exporter 'import';
use File::Find;

our @EXPORT = qw(files_with slurp_bytes readable_codes);

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

sub slurp_bytes
{
	my ($path) = @_;

	open my $fh, '<:raw', $path or die "$path: $!";
	local $/ = undef;
	return scalar <$fh>;
}

# Whether codes can be read in what holds many templates that are alike: what is the same of them is there many times, 40 bytes
# that are not of few values.
sub readable_codes
{
	my ($bytes) = @_;
	my %seen;

	for my $at (0 .. length($bytes) - 40)
	{
		my $window = substr $bytes, $at, 40;
		next if substr($window, 0, 8) eq "\0" x 8 || substr($window, 16, 8) eq "\0" x 8;
		next if ++$seen{$window} < 12;
		my %values = map { $_ => 1 } unpack 'C*', $window;
		return 1 if keys %values > 12;
	}
	return 0;
}

1;
