# lib.sh: what script/test, script/demo and script/bench share.  Sourced, never run.
#
# A scratch directory holds everything: a copy of the work tree, a private copy of the PostgreSQL installation into which
# the extension is installed, and the servers' data.  The installed PostgreSQL and the checkout are only read, so both
# may be read-only.  PostgreSQL refuses to run as root: for root, servers run as the user postgres, which owns the scratch
# directory.  On exit every server started here is stopped and the scratch directory removed (KEEP=1 keeps it).

set -u
# Messages are compared: in English, whatever the caller's language.  PATH may be that of somebody who may do less.
export LC_ALL=C.UTF-8 PATH=$PATH:/usr/sbin:/sbin
unset LANGUAGE
umask 022

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=
# The process group of stages that script/test runs beside others.
beside=

# Whether this is the copy that a package installs, beside the extension; PostgreSQL's version is then its directory's.
installed()
{
	[ -e "$root/extension/facematch.control" ]
}

die()
{
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# Debian's own Python: the one that has python3-psycopg and python3-numpy, whatever else stands first in PATH.
python=/usr/bin/python3
[ -x $python ] || python=python3

if [ "$(id -u)" = 0 ]; then server_user=postgres; else server_user=$(id -un); fi

# Seconds after which one command is taken to hang.
patience=${PATIENCE:-900}

# Run a command as the user who may run PostgreSQL.
as_server()
{
	if [ "$(id -u)" = 0 ]; then
		timeout -k 10 $patience runuser -u $server_user -- env HOME="$scratch" "$@"
	else
		timeout -k 10 $patience env HOME="$scratch" "$@"
	fi
}

# The real faces, when they are there: FACES_DIR, else ../shared/faces beside the repository.
find_faces()
{
	local dir=${FACES_DIR:-$root/../shared/faces}

	if [ -r "$dir/mobilefacenet_512.f16" ]; then
		FACES_DIR=$(cd "$dir" && pwd)
		export FACES_DIR
	else
		unset FACES_DIR
		return 1
	fi
}

# try_scratch DIRECTORY: a scratch directory in it, or why_not.  make takes no blanks in names, the path of a socket has at
# most 107 bytes, and the server's user must be able to run programs there.
try_scratch()
{
	local dir

	scratch=
	dir=$(cd "$1" 2>/dev/null && pwd) || { why_not="there is no such directory"; return 1; }
	case $dir in *[!A-Za-z0-9/._+-]*) why_not="its name has a character that make or psql takes for something else"; return 1 ;; esac
	[ ${#dir} -le 48 ] || { why_not="its name is too long for the path of a socket"; return 1; }
	scratch=$(mktemp -d "${dir%/}/facematch.XXXXXX" 2>/dev/null) || { why_not="it cannot be written to"; return 1; }
	chmod 755 "$scratch"
	cp /bin/true "$scratch/try" && as_server "$scratch/try" 2>/dev/null && return 0
	why_not="the user $server_user cannot run programs in it"
	rm -rf "$scratch"
	return 1
}

make_scratch()
{
	local dir why_not

	for dir in "${TMPDIR:-/tmp}" /tmp /var/tmp; do
		! try_scratch "$dir" || break
		echo "$(basename "$0"): not in $dir: $why_not" >&2
	done
	[ -n "$scratch" ] && [ -d "$scratch" ] || die "no place for a scratch directory: set TMPDIR"
	export TMPDIR=${scratch%/*}
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	rm -f "$scratch/try"
	mkdir "$scratch/src" "$scratch/log" "$scratch/s"
	installed || copy_tree "$scratch/src"
	[ "$(id -u)" != 0 ] || chown -R $server_user: "$scratch"
	cd "$scratch" || die "no scratch directory"
}

# The files of the work tree that git knows or would add; all of them, but what make leaves, where there is no git.
copy_tree()
{
	local list=$1/../files

	if [ -e "$root/.git" ] && git -c safe.directory='*' -C "$root" ls-files -z --cached --others --exclude-standard >"$list" 2>/dev/null; then
		(cd "$root" && while IFS= read -r -d '' f; do [ ! -e "$f" ] || printf '%s\0' "$f"; done <"$list" |
			tar --null --no-recursion -T - -cf -) | tar -xf - -C "$1" --no-same-owner
	else
		tar -C "$root" --exclude=./.git --exclude=./built-for --exclude='./facematch--*.sql' --exclude='*.o' --exclude='*.bc' --exclude='*.so' -cf - . | tar -xf - -C "$1" --no-same-owner
	fi && chmod -R u+w "$1" || die "cannot copy the work tree"
}

clean_up()
{
	local status=$? name

	trap '' INT TERM HUP
	# What runs in a root ends with this process of it (script/roots.sh).
	[ -z "${in_root:-}" ] || kill -KILL "$in_root" 2>/dev/null
	[ -z "$beside" ] || kill -KILL -- "-$beside" 2>/dev/null
	# Those that stages beside have started, too.
	for name in "$scratch"/log/*.bin; do
		stop_server "$(basename "$name" .bin)"
	done
	if [ -n "${KEEP:-}" ]; then
		echo "kept: $scratch" >&2
	else
		cd / && rm -rf "$scratch"
	fi
	exit $status
}

# The major versions of PostgreSQL that facematch is for, the newest first.
pg_majors=(19 18 17 15)

# complete_postgres MAJOR: whether all of it is here that a build, a server and the tests use.  Debian has it in three
# packages, of which any may be here without the others: makefiles and test tools come with the client's.
complete_postgres()
{
	local home=/usr/lib/postgresql/$1 clang

	[ -x "$home/bin/postgres" ] && [ -x "$home/bin/psql" ] && [ -x "$home/lib/pgxs/src/test/regress/pg_regress" ] &&
		[ -e "/usr/share/postgresql/$1/extension/pgcrypto.control" ] && [ -e "$home/lib/pgxs/src/makefiles/pgxs.mk" ] &&
		[ -e "$("$home/bin/pg_config" --includedir-server)/postgres.h" ] || return 1
	# What makes bitcode for its JIT.
	clang=$(sed -n 's/^CLANG *= *//p' "$home/lib/pgxs/src/Makefile.global")
	[ -z "$clang" ] || command -v "$clang" >/dev/null
}

# The installed PostgreSQL to copy: PG_MAJOR, else the newest that is complete.
find_postgres()
{
	for pg_major in ${PG_MAJOR:-${pg_majors[*]}}; do
		pg_home=/usr/lib/postgresql/$pg_major
		! complete_postgres "$pg_major" || return 0
	done
	die "no PostgreSQL ${PG_MAJOR:-of ${pg_majors[*]}} with its headers and test tools found: run script/bootstrap"
}

# make_prefix DIR: a private PostgreSQL, into which `make install` can go.
make_prefix()
{
	mkdir -p "$1/lib/postgresql" "$1/share/postgresql" "$1/include" &&
		cp -a "$pg_home" "$1/lib/postgresql/" &&
		cp -a "/usr/share/postgresql/$pg_major" "$1/share/postgresql/" &&
		ln -sfn /usr/include/postgresql "$1/include/postgresql" &&
		chmod -R u+w,a+rX "$1" &&
		{ [ "$(id -u)" != 0 ] || chown -R $server_user: "$1"; }
}

prefix_bin()
{
	echo "$1/lib/postgresql/$pg_major/bin"
}

# build TREE PREFIX MAKE-ARGUMENTS...: a copy of the work tree, compiled and installed.
build()
{
	local tree=$1 prefix=$2

	shift 2
	as_server cp -a "$scratch/src" "$tree" &&
		as_server make -s -C "$tree" -j"$(nproc)" PG_CONFIG="$(prefix_bin "$prefix")/pg_config" "$@" all &&
		as_server make -s -C "$tree" PG_CONFIG="$(prefix_bin "$prefix")/pg_config" "$@" install
}

# start_server NAME PREFIX [LINE-OF-CONFIGURATION...]: a new cluster on a unix socket in the scratch directory.
start_server()
{
	local name=$1 bin line

	bin=$(prefix_bin "$2")
	shift 2
	as_server mkdir -p "$scratch/s/$name" &&
		as_server "$bin/initdb" -D "$scratch/$name" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$scratch/log/$name.initdb" 2>&1 ||
		{ cat "$scratch/log/$name.initdb"; return 1; }
	for line in "listen_addresses = ''" "unix_socket_directories = '$scratch/s/$name'" "fsync = off" \
		"full_page_writes = off" "timezone = 'UTC'" "max_wal_size = '4GB'" "shared_buffers = '256MB'" "$@"; do
		printf '%s\n' "$line"
	done | as_server tee -a "$scratch/$name/postgresql.conf" >/dev/null
	printf '%s\n' "$bin" >"$scratch/log/$name.bin"
	as_server env ${server_env[@]+"${server_env[@]}"} "$bin/pg_ctl" -D "$scratch/$name" -l "$scratch/$name.log" -w -t 120 start >/dev/null ||
		{ cat "$scratch/$name.log"; return 1; }
	use_server "$name"
}

# Point psql and every client at a server.
use_server()
{
	export PGHOST=$scratch/s/$1 PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
	PATH=$(cat "$scratch/log/$1.bin"):$PATH
	export PATH
	unset PGPASSWORD PGSERVICE PGOPTIONS PGCLIENTENCODING
}

stop_server()
{
	local name=$1

	[ -f "$scratch/$name/postmaster.pid" ] || return 0
	as_server "$(cat "$scratch/log/$name.bin")/pg_ctl" -D "$scratch/$name" -m immediate -w stop >/dev/null 2>&1
}

# fresh_database NAME: a new database with the extension, and the current one.
fresh_database()
{
	PGDATABASE=postgres PGOPTIONS='-c client_min_messages=warning' psql -Xq -v ON_ERROR_STOP=1 -c "DROP DATABASE IF EXISTS \"$1\"" -c "CREATE DATABASE \"$1\"" &&
		export PGDATABASE=$1 &&
		PGOPTIONS='-c client_min_messages=warning' psql -Xq -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION facematch CASCADE'
}

# fill_faces COMMAND...: the table faces of the acceptance stories, from a command that writes its COPY text.
fill_faces()
{
	psql -Xq -v ON_ERROR_STOP=1 -c 'CREATE TABLE faces (row_id int, subject int, ordinal int, embedding face_embedding(512,1))' &&
		(set -o pipefail; "$@" | psql -Xq -v ON_ERROR_STOP=1 -c 'COPY faces FROM STDIN') &&
		psql -Xq -v ON_ERROR_STOP=1 -c 'VACUUM ANALYZE faces'
}

load_faces()
{
	fill_faces "$python" "$FACES_DIR/to_copy.py" mobilefacenet_512
}

# Like the real ones: some people with two pictures, more with one.  Rows are numbered by subject and capture, so the second lot begins where the first ends.
synthetic_faces()
{
	local program=$scratch/src/bench/synthfaces

	if installed; then
		program=/usr/lib/postgresql/$pg_major/lib/facematch-synthfaces
	else
		make -s -C "$scratch/src/bench" synthfaces || die "the generator of synthetic faces does not compile"
	fi
	fill_faces sh -c '"$0" --set low-rank --subjects 1100 --captures 2 --seed 1 && "$0" --set low-rank --first 2200 --subjects 2700 --seed 1' \
		"$program"
}
