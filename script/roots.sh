# roots.sh: Debian roots, in which other versions of PostgreSQL and the packages are tested.  Sourced after lib.sh, by root.
#
# A root is made once by debootstrap and kept in the cache (FACEMATCH_CACHE, else facematch in XDG_CACHE_HOME or ~/.cache);
# remove that directory to have them made anew.  A command runs in a root in mount, process and IPC namespaces of its own:
# when it ends, however it ends, the kernel undoes its mounts and ends what it left running.

cache=${FACEMATCH_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/facematch}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
in_root=

# The Debian release that has a major version of PostgreSQL.
suite_of()
{
	case $1 in
		15) echo bookworm ;;
		17) echo trixie ;;
		18) echo forky ;;
		19) echo sid ;;
		*) die "no Debian release has PostgreSQL $1" ;;
	esac
}

can_make_roots()
{
	[ "$(id -u)" = 0 ] && unshare --mount --pid --ipc --fork mount --bind / /mnt 2>/dev/null
}

# run_in_root [OPTION...] ROOT COMMAND...: -b FROM:TO binds a directory of this machine into the root, -r makes the rest of
# it read-only.
run_in_root()
{
	local binds='' read_only='' root_dir status

	while :; do
		case $1 in
			-b) binds+="$2"$'\n'; shift 2 ;;
			-r) read_only=yes; shift ;;
			*) break ;;
		esac
	done
	root_dir=$1
	shift
	binds=$binds read_only=$read_only root_dir=$root_dir setpriv --pdeathsig KILL -- \
		unshare --mount --pid --ipc --fork --kill-child --propagation private bash -c '
			set -eu
			mount --bind "$root_dir" "$root_dir"
			if [ -n "$read_only" ]; then
				mount -o remount,bind,ro "$root_dir"
			fi
			mount -t proc proc "$root_dir/proc"
			mount --rbind /dev "$root_dir/dev"
			mount -t tmpfs tmpfs "$root_dir/dev/shm"
			mount --bind /etc/resolv.conf "$root_dir/etc/resolv.conf"
			while IFS=: read -r from to; do
				[ -z "$from" ] || mount --bind "$from" "$root_dir$to"
			done <<<"$binds"
			exec chroot "$root_dir" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
				HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"' bash "$@" </dev/null &
	in_root=$!
	wait $in_root
	status=$?
	in_root=
	return $status
}

# A root of the cache is made by one process at a time, and not made anew while another uses it.
# with_root NAME READY MAKE: succeeds with the root shared, when READY does or MAKE has made it so.
with_root()
{
	mkdir -p "$cache" && exec 7>"$cache/$1.lock" && flock -s 7 || return 1
	$2 || { flock 7 && { $2 || $3; } && flock -s 7; }
}

# bare_root SUITE: Debian's smallest root, $cache/bare-SUITE.
bare_root()
{
	mkdir -p "$cache" && (flock 8 && make_bare_root "$1") 8>"$cache/bare-$1.lock"
}

make_bare_root()
{
	local dir=$cache/bare-$1 script=

	[ ! -e "$dir/etc/facematch-root" ] || return 0
	command -v debootstrap >/dev/null || { echo "debootstrap is not installed"; return 1; }
	[ -e "/usr/share/debootstrap/scripts/$1" ] || script=/usr/share/debootstrap/scripts/sid
	rm -rf "$dir" "$dir.new"
	debootstrap --variant=minbase "$1" "$dir.new" "$mirror" $script || return 1
	# It can be thrown away: nothing has to be on disk before dpkg goes on.  A snapshot of the archive will do, which is
	# signed like any other and is not refused for its age.
	echo force-unsafe-io >"$dir.new/etc/dpkg/dpkg.cfg.d/unsafe-io" &&
		echo 'Acquire::Check-Valid-Until "false";' >"$dir.new/etc/apt/apt.conf.d/snapshot" &&
		touch "$dir.new/etc/resolv.conf" "$dir.new/etc/facematch-root" &&
		rm -rf "$dir.new"/var/cache/apt/archives/*.deb &&
		mv "$dir.new" "$dir"
}

# copy_root FROM DIR: a root to write into, with places to bind to.
copy_root()
{
	rm -rf "$2" && cp -a --reflink=auto "$cache/$1" "$2" && mkdir -p "$2/facematch" "$2/shared"
}

# recipe FUNCTION [FILE...]: what a root of the cache is made by; when that changes, it is made again.
recipe()
{
	{ declare -f make_bare_root "$1" && shift && printf '%s\n' "$add_older" "$add_experimental" && cat -- "$@" /dev/null; } | sha256sum
}

# made_root NAME RECIPE: whether the cache has it so.
made_root()
{
	[ "$(cat "$cache/$1/etc/facematch-root" 2>/dev/null)" = "$2" ]
}

# finish_root NAME RECIPE: takes the root NAME.new into use.
finish_root()
{
	local dir=$cache/$1

	rm -rf "$dir.new"/var/cache/apt/archives/*.deb "$dir.new"/var/lib/apt/lists/* &&
		printf '%s\n' "$2" >"$dir.new/etc/facematch-root" && rm -rf "$dir" && mv "$dir.new" "$dir"
}

# test_root NAME: a root in which script/test runs, with Debian's own PostgreSQL (pg17) or with one that checks assertions
# (assert15), $cache/NAME.
test_root()
{
	local name=$1 major=${1##*[a-z]}

	with_root "$name" test_root_ready "make_${name%%[0-9]*}_root"
}

test_root_ready()
{
	made_root "$name" "$(test_recipe)"
}

test_recipe()
{
	local kind=${name%%[0-9]*} more=

	[ "$kind" != assert ] || more=$add_assertions
	[ "$name" != pg17 ] || more=$add_pgvector
	{ printf '%s\n' "$more" && recipe "make_${kind}_root" "$root/script/bootstrap"; } | sha256sum
}

make_pg_root()
{
	local suite

	suite=$(suite_of "$major")
	bare_root "$suite" && copy_root "bare-$suite" "$cache/$name.new" &&
		{ [ "$suite" != sid ] || run_in_root "$cache/$name.new" bash -euc "$add_experimental" bash "$major" "$mirror"; } &&
		run_in_root -b "$root:/facematch" "$cache/$name.new" env PG_MAJOR="$major" /facematch/script/bootstrap server &&
		{ [ -z "${older_major[$major]:-}" ] || run_in_root "$cache/$name.new" bash -euc "$add_older" bash "${older_major[$major]}" "$mirror" "$(suite_of "${older_major[$major]}")"; } &&
		{ [ "$major" != 17 ] || run_in_root "$cache/$name.new" bash -euc "$add_pgvector" bash "$major"; } &&
		finish_root "$name" "$(test_recipe)"
}

# The server is put in the place of Debian's: a subshell holds the lock on the root that it begins with.
make_assert_root()
{
	(test_root "pg$major" && copy_root "pg$major" "$cache/$name.new") &&
		run_in_root "$cache/$name.new" bash -euc "$add_assertions" bash "$major" "$mirror" "$(suite_of "$major")" &&
		finish_root "$name" "$(test_recipe)"
}

# Debian's own sources, configured as Debian does but for what no test needs.  Its JIT was built for the other server.
add_assertions='
	echo "deb-src $2 $3 main" >/etc/apt/sources.list.d/source.list
	apt-get update
	apt-get install -y --no-install-recommends bison dpkg-dev flex libicu-dev liblz4-dev libreadline-dev libssl-dev libxml2-dev \
		libxslt1-dev libzstd-dev pkgconf uuid-dev zlib1g-dev
	major=$1
	mkdir /tmp/source
	cd /tmp/source
	apt-get source postgresql-$major
	cd postgresql-$major-*/
	eval "set -- $("/usr/lib/postgresql/$major/bin/pg_config" --configure)"
	for option do
		shift
		[ "${option%%=*}" = --runstatedir ] || set -- "$@" "$option"	# Debian makes another configure, which knows it
	done
	./configure "$@" --enable-cassert --disable-dtrace --disable-nls --disable-tap-tests --without-gssapi --without-ldap \
		--without-llvm --without-pam --without-perl --without-python --without-selinux --without-systemd --without-tcl
	make -s -j"$(nproc)" world-bin
	make -s install-world-bin
	rm -r /tmp/source /usr/lib/postgresql/$major/lib/llvmjit* /usr/lib/postgresql/$major/lib/bitcode'

# Debian 13 is the first that has pgvector, beside which its statements are tried.
add_pgvector='
	apt-get update
	apt-get install -y --no-install-recommends postgresql-$1-pgvector python3-psycopg'

# A PostgreSQL before its release: Debian experimental has it and its libpq, everything else is unstable's.
add_experimental='
	echo "deb $2 experimental main" >/etc/apt/sources.list.d/experimental.list
	printf "Package: src:postgresql-$1\nPin: release a=experimental\nPin-Priority: 500\n" >/etc/apt/preferences.d/experimental'

# The version that pg_upgrade comes from, as Debian's own upgrade leaves it beside the new one: its server, and the headers
# without the compiler that their package would bring.
declare -A older_major=([17]=15 [19]=18)
add_older='
	echo "deb $2 $3 main" >/etc/apt/sources.list.d/older.list
	echo "create_main_cluster = false" >>/etc/postgresql-common/createcluster.conf
	apt-get update
	apt-get install -y --no-install-recommends postgresql-$1
	cd /var/cache/apt/archives
	apt-get download postgresql-server-dev-$1
	dpkg -x postgresql-server-dev-${1}_*.deb /'

# build_root SUITE: a root in which packages are built and tested, $cache/build-SUITE.
build_root()
{
	local suite=$1

	with_root "build-$1" build_root_ready make_build_root
}

build_root_ready()
{
	made_root "build-$suite" "$(recipe make_build_root)"
}

make_build_root()
{
	bare_root "$suite" && copy_root "bare-$suite" "$cache/build-$suite.new" &&
		run_in_root "$cache/build-$suite.new" bash -euc "apt-get update
			apt-get install -y --no-install-recommends autopkgtest build-essential debhelper fakeroot git libopenblas0-serial lintian postgresql-server-dev-all
			useradd --create-home builder" &&
		finish_root "build-$suite" "$(recipe make_build_root)"
}
