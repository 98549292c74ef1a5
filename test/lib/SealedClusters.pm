# SealedClusters.pm: every cluster that a test makes has a place for keys, so that new galleries are sealed.  SEALED=1
# script/test loads it before the test (perl -MSealedClusters).  Clusters of one test share the place, as a site that restores a
# dump or that pg_upgrade makes has the keys of the one before.
package SealedClusters;

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $keys;
my $init = \&PostgreSQL::Test::Cluster::init;

no warnings 'redefine';
*PostgreSQL::Test::Cluster::init = sub {
	my ($node, @arguments) = @_;

	$node->$init(@arguments);
	# Outside every data directory.
	if (!defined $keys)
	{
		$keys = PostgreSQL::Test::Utils::tempdir_short();
		chmod 0700, $keys or die "$keys: $!";
	}
	$node->append_conf('postgresql.conf', "facematch.key_directory = '$keys'");
	return;
};

1;
