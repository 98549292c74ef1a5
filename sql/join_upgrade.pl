#!/usr/bin/perl
# join.pl OLD-SCRIPT HAND-WRITTEN PART...: an upgrade script, on standard output.
#
# Most of what changes between two versions can be read off the two extension scripts: a statement that the old one has not
# is run, with OR REPLACE where the object was there before.  What cannot (a table's columns, rows that are already there,
# an object that goes) is written by hand in sql/upgrades/OLD--NEW.sql, which says by a line `--@ statements` where the
# others come, and by these lines what it deals with itself:
#
#	--@ instead of: HEAD		the statement that begins so is not run: the lines here do what it takes
#	--@ drop: KIND NAME[(ARGUMENTS)]	drops the object, so that all its statements are run again, changed or not
#
# A statement that would need such a line and has none is named on standard error; test/t/005_upgrade.pl then fails too, for
# it compares the catalogs of an upgraded and of a new database.
use strict;
use warnings;

my ($old_file, $hand_file, @parts) = @ARGV;
my $replaceable = qr/FUNCTION|PROCEDURE|VIEW|TRIGGER/;

sub slurp
{
	my $text = '';
	foreach my $file (@_)
	{
		open my $in, '<', $file or die "$file: $!\n";
		local $/;
		$text .= <$in>;
		close $in;
	}
	return $text;
}

# The statements of a script, each with the comments before it.
sub statements
{
	my ($text) = @_;
	my (@found, $begin, $atomic);

	$text =~ s/\A\\echo [^\n]*\n//;
	$begin = 0;
	$atomic = 0;
	while (
		$text =~ m{ --[^\n]* | /\*.*?\*/ | '(?:[^']|'')*' | "[^"]*" | \$(\w*)\$.*?\$\1\$
			| \bBEGIN\s+ATOMIC\b | \bCASE\b | \bEND\b | ; }gsxi)
	{
		my $token = uc $&;
		if ($token =~ /^BEGIN/ or ($atomic and $token eq 'CASE')) { $atomic++; }
		elsif ($token eq 'END') { $atomic-- if $atomic; }
		elsif ($token eq ';' and !$atomic)
		{
			push @found, substr($text, $begin, pos($text) - $begin);
			$begin = pos($text);
		}
	}
	die "a statement does not end\n" if substr($text, $begin) =~ /^\s*[^\s-]/;
	return @found;
}

# A statement without comments and line breaks outside of quotes, to compare it by.
sub plain
{
	my ($statement) = @_;

	$statement =~ s{('(?:[^']|'')*'|\$(\w*)\$.*?\$\2\$)|--[^\n]*|/\*.*?\*/|\s+}{defined $1 ? $1 : ' '}gse;
	$statement =~ s/^ +| +(?=;$)//g;
	$statement =~ s/  +/ /g;
	return $statement;
}

# What a statement makes: "TABLE facematch.gallery", "TRIGGER name ON facematch.gallery"; else undef.
sub object
{
	my ($plain) = @_;

	return "TRIGGER $1 ON $2"
	  if $plain =~ /^CREATE (?:OR REPLACE )?(?:CONSTRAINT )?TRIGGER (\S+) .*? ON ([\w.\@]+)/;
	return "POLICY $1 ON $2" if $plain =~ /^CREATE POLICY (\S+) ON ([\w.\@]+)/;
	return "INDEX $1" if $plain =~ /^CREATE (?:UNIQUE )?INDEX (\S+)/;
	return "CAST $1" if $plain =~ /^CREATE CAST (\([^)]*\))/;
	return "OPERATOR $1" if $plain =~ /^CREATE OPERATOR (\S+ \([^)]*\))/;
	return "$1 $2" if $plain =~ /^CREATE (?:OR REPLACE )?(FUNCTION|PROCEDURE|VIEW|TABLE|TYPE|DOMAIN|SEQUENCE|AGGREGATE|SCHEMA|OPERATOR CLASS|OPERATOR FAMILY|ACCESS METHOD) ([\w.\@]+)/;
	return "ROWS OF $1" if $plain =~ /^INSERT INTO ([\w.]+)/;
	return undef;
}

# Whether a statement creates this object or says something of it, or of a part of it.
sub concerns
{
	my ($plain, $kind, $name) = @_;
	my $it = quotemeta $name;

	return $plain =~ /^CREATE (?:OR REPLACE )?$kind $it\b/
	  || $plain =~ /^COMMENT ON (?:$kind|COLUMN|TRIGGER .* ON) $it\b/
	  || $plain =~ /^(?:REVOKE|GRANT|ALTER) [^;]*? $it\b/;
}

my @old = map { plain($_) } statements(slurp($old_file));
my %had = map { $_ => 1 } @old;
my %existed = map { $_ => 1 } grep { defined } map { object($_) } @old;
my @new = map { { text => $_, plain => plain($_) } } statements(slurp(@parts));
my %kept = map { $_->{plain} => 1 } @new;

# Rows: an INSERT that is gone was changed, and the new one of its table is the changed one.
my %rows_changed = map { $_ => 1 }
  grep { defined && /^ROWS/ } map { object($_) } grep { !$kept{$_} } @old;

my $hand = slurp($hand_file);
my @instead = $hand =~ /^--@ instead of: (.*?)\s*$/mg;
my @dropped;
$hand =~ s{^--@ drop: (\w+) ([\w.]+)(\([^\n]*\))?[ \t]*$}{push @dropped, [ $1, $2 ]; "DROP $1 $2" . ($3 // '') . ';'}gme;

my $generated = '';
foreach my $statement (@new)
{
	my $plain = $statement->{plain};
	my $object = object($plain);
	# What closes every object to PUBLIC has to see those that this script makes.
	my $again = $plain =~ /^SELECT facematch\.reinstate\b/ || grep { concerns($plain, @$_) } @dropped;
	my $text = $statement->{text};

	next if $had{$plain} and !$again;
	next if grep { index($plain, $_) == 0 } @instead;
	if (!$again and defined $object and ($existed{$object} and $object !~ /^ROWS/ or $rows_changed{$object}))
	{
		if ($plain =~ /^CREATE (?:OR REPLACE )?$replaceable /)
		{
			$text =~ s/^(CREATE )(?=$replaceable )/$1OR REPLACE /m;
		}
		else
		{
			print STDERR "$hand_file does not say what becomes of: " . substr($plain, 0, 60) . "\n";
			next;
		}
	}
	$generated .= $text;
}
$generated =~ s/\A\n+//;
$generated .= "\n" if $generated ne '';

$hand =~ s/^--@ statements[ \t]*\n/$generated/m or die "$hand_file has no line --\@ statements\n";
$hand =~ s/^--@ instead of: [^\n]*\n//mg;
my ($version) = $hand_file =~ /--([^-]+)\.sql$/ or die "$hand_file: no version in the name\n";
print "\\echo Use \"ALTER EXTENSION facematch UPDATE TO '$version'\" to load this file. \\quit\n\n", $hand;
