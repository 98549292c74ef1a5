#!/bin/bash
# installed.sh DEB: in a bare Debian root, installs the package as an administrator would, uses it, runs its demonstration,
# and purges it; twice.  Nothing may be left behind but what Debian keeps of every package it has had.
set -eu

deb=$1
package=$(dpkg-deb --field "$deb" Package)
major=$(echo "$package" | tr -dc 0-9)

# Every file there is, without what servers write, and the records of the package manager.
files()
{
	find / -xdev \( -path /proc -o -path /dev -o -path /sys -o -path /tmp -o -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg \
		-o -path /var/lib/postgresql -o -path /run \) -prune -o -print | sort
	dpkg-query --show | sort
	find /var/lib/dpkg -name "*facematch*"
}

as_postgres()
{
	runuser -u postgres -- "$@"
}

sql()
{
	as_postgres psql -XqAt -v ON_ERROR_STOP=1 -d passengers "$@"
}

# The package and the administrator's first commands, on the cluster that Debian made.
use()
{
	apt-get install -y --no-install-recommends "$deb"
	pg_lsclusters --no-header | grep -q online || pg_ctlcluster "$major" main start
	as_postgres createdb passengers
	sql -c 'CREATE EXTENSION facematch CASCADE'
	sql <<-'SQL'
		INSERT INTO facematch.model (name, tag, dims) VALUES ('m', 1, 3);
		INSERT INTO facematch.gallery (name, kind, model, min_similarity, anchor_at) VALUES ('G', 'flight', 'm', 0.5, now() + interval '1 hour');
		INSERT INTO facematch.reference (gallery_id, subject_id, retention_class, embedding, source)
		SELECT 1, facematch.subject_id('UTO', 'passport', 'P' || n), 'us_citizen', ARRAY[n, 1, 1]::real[]::face_embedding, 'passport' FROM generate_series(1, 100) n;
	SQL
	[ "$(sql -c "SELECT reference_id FROM facematch.identify('[50,1,1]', 'G', 1)")" = 50 ]
	# Batch comparison opens the OpenBLAS that the package depends on.
	[ "$(sql -c 'SELECT sum(mated + non_mated) FROM facematch.score_histogram($$SELECT reference_id, subject_id, embedding FROM facematch.reference$$)')" = 4950 ]
	"/usr/share/postgresql/$major/facematch/demo"
	documentation
}

# A database that has lost the library lets its administrator go on, as docs/install.md says: then it may be dropped.
lost_library()
{
	sql -c 'SELECT count(*) FROM facematch.gallery' | grep -qx 1
	! sql -c 'CREATE TABLE other (id int)' 2>/tmp/refused || { echo 'the event trigger was passed over without its library'; return 1; }
	grep 'could not access file ".*facematch"' /tmp/refused
	sql -c 'ALTER EVENT TRIGGER facematch_keep DISABLE' -c 'CREATE TABLE other (id int)'
	as_postgres dropdb passengers
}

# What the package's documentation refers to is in the package: all links but those to the list of changes, which Debian
# keeps under a name of its own, and the files for other programs.
documentation()
{
	local doc=/usr/share/doc/$package file path

	find "$doc" -name '*.md' >/tmp/pages
	[ -s /tmp/pages ]
	while read -r file; do
		grep -oE '\]\([^)#:]+' "$file" | cut -c3- | sed "s,^,$(dirname "$file")/," || true
		grep -oE '`(contrib|examples|test/clients)/[A-Za-z0-9_./-]+' "$file" | tr -d '`' | sed "s,^,$doc/," || true
	done </tmp/pages | grep -v CHANGELOG.md | sort -u >/tmp/paths
	[ -s /tmp/paths ]
	while read -r path; do
		[ -e "$path" ] || { echo "the documentation refers to $path, which is not in the package"; return 1; }
	done </tmp/paths
	echo "the documentation refers to $(wc -l </tmp/paths) other files, and they are here"
}

purge()
{
	apt-get purge -y "$package"
	files >"/tmp/after$1"
	diff /tmp/before "/tmp/after$1"
}

apt-get update
apt-get install -y --no-install-recommends $(dpkg-deb --field "$deb" Depends | tr , '\n' | sed -E 's/\(.*//; s/\|.*//')
files >/tmp/before
for round in 1 2; do
	use
	[ $round != 2 ] || as_postgres dropdb passengers
	purge $round
	[ $round != 1 ] || lost_library
done
echo "$package: installed, used and purged twice, and nothing is left"
