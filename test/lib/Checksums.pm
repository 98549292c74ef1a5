# Checksums.pm: clusters without data checksums, for tests that write into the files of one.
package Checksums;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(without_checksums);

# Options of initdb: PostgreSQL 18 makes clusters with checksums unless it is told not to, and older ones do not know the option.
sub without_checksums
{
	my ($node) = @_;

	return $node->pg_version >= 18 ? ['--no-data-checksums'] : [];
}

1;
