#!/bin/bash
# machine.sh MACHINE STEP [COMMANDS]: one step of script/fresh.sh, in a Debian root, where it is the first process: what README
# says is typed by its reader, and then nothing may run that did not before, and /etc is as it was.
set -eu

machine=$1 step=$2 commands=${3:-}
reader=root home=/root tree=/root/facematch environment=()
case $machine in
	bare) environment=(TMPDIR=/mnt/noexec) ;;
	git) tree=/srv/facematch environment=(LC_ALL=de_DE.UTF-8 LANG=de_DE.UTF-8 LANGUAGE=de) ;;
	headers) tree="/root/face match" environment=(TMPDIR="/var/tmp/$(printf 'long%.0s' {1..20})") ;;
	sudo) reader=reader home=/home/reader tree=/opt/facematch ;;
esac

# as_user NAME DIRECTORY COMMANDS: with little in its environment, as after a login.
as_user()
{
	local home

	home=$(getent passwd "$1" | cut -d: -f6)
	(cd "$2" && runuser -u "$1" -- env -u LC_ALL HOME="$home" USER="$1" PATH=/usr/local/bin:/usr/bin:/bin ${environment[@]+"${environment[@]}"} \
		bash -euo pipefail -c "$3")
}

prepare()
{
	local packages=()

	case $machine in
		git) packages=(git) ;;
		headers) packages=(postgresql-15) ;;
		sudo) packages=(sudo) ;;
	esac
	if [ ${#packages[@]} != 0 ]; then
		apt-get update
		apt-get install -y --no-install-recommends "${packages[@]}"
	fi
	cp -r /facematch "$tree"
	case $machine in
		bare) rm -rf /var/lib/apt/lists/* && mkdir /mnt/noexec ;;
		git)
			git -C "$tree" init --quiet
			git -C "$tree" add --all
			git -C "$tree" -c user.name=keeper -c user.email=keeper@localhost commit --quiet --message 'A clone'
			useradd keeper
			chown -R keeper: "$tree"
			;;
		headers)
			mkdir -m 1777 "${environment[0]#*=}"
			# A server from elsewhere, which Debian 12 has nothing for.
			mkdir -p /usr/lib/postgresql/17/bin
			cp /bin/true /usr/lib/postgresql/17/bin/postgres
			;;
		sudo)
			useradd --create-home --shell /bin/bash --groups sudo reader
			useradd --create-home --shell /bin/bash guest
			echo 'reader ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/reader
			chmod -R a-w "$tree"
			;;
	esac
	touch /ready
}

# Files of /etc with what they hold, but those in which Debian keeps users, libraries and alternatives.
etc()
{
	find /etc -xdev \( -type f -o -type l \) ! -path '/etc/alternatives/*' ! -path '/etc/rc?.d/*' ! -name 'ld.so.cache' \
		! -regex '/etc/g?\(passwd\|group\|shadow\)-?' ! -regex '/etc/sub[ug]id-?' ! -name ca-certificates.conf ! -path '/etc/ssl/certs/*' \
		! -name resolv.conf -printf '%p %l ' -exec sh -c 'test -L "$1" && echo || sha256sum <"$1"' sh {} \; | sort
}

# Processes besides this one.
running()
{
	local dir command

	for dir in /proc/[0-9]*; do
		[ "${dir#/proc/}" != $$ ] || continue
		{ read -r -d '' command <"$dir/cmdline"; } 2>/dev/null || continue
		echo "still running: $command"
	done
}

# as_printed COMMANDS: they succeed and leave nothing.
as_printed()
{
	local left

	etc >/tmp/etc.before
	as_user "$reader" "$tree" "$1"
	running >/tmp/running
	etc >/tmp/etc.after
	# What was there is there unchanged; what is new belongs to a package or was made by one.
	comm -23 /tmp/etc.before /tmp/etc.after >/tmp/etc.gone
	find /etc -name '*facematch*' ! -name facematch-root >>/tmp/etc.gone
	left=$(find /tmp /var/tmp -maxdepth 1 \( -name 'facematch.*' -o -name 'facematch-bootstrap*' \))
	if [ -s /tmp/running ] || [ -s /tmp/etc.gone ] || [ -n "$left" ]; then
		cat /tmp/running /tmp/etc.gone
		echo "left in temporary directories: $left"
		return 1
	fi
	if dpkg --verify | grep ' c /etc/'; then
		echo "these settings of packages were changed"
		return 1
	fi
}

# Somebody who may not install anything is told what to install, and nothing else happens.
refused()
{
	local command

	for command in script/demo script/package; do
		if as_user guest "$tree" "$command" >/tmp/refused 2>&1; then
			echo "$command succeeded without rights"
			return 1
		fi
		cat /tmp/refused
		grep -q 'apt-get install .*\(postgresql-15\|debhelper\)' /tmp/refused
	done
}

# PG_MAJOR is honoured, and what cannot be had is named.
chosen()
{
	local major

	[ -z "$("$tree/script/bootstrap" build 2>&1)" ]
	for major in 14 17; do
		if PG_MAJOR=$major "$tree/script/bootstrap" build >/tmp/chosen 2>&1; then
			echo "PG_MAJOR=$major does not fail"
			return 1
		fi
		cat /tmp/chosen
		grep -E "PG_MAJOR=14: facematch is for|Unable to locate package postgresql-17" /tmp/chosen
	done
}

# Another program holds apt's lock for a while.
hold_apt()
{
	perl -e 'use Fcntl; open my $f, ">>", $_ and fcntl($f, F_SETLK, pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0)) and push @held, $f
		for qw(/var/lib/dpkg/lock-frontend /var/lib/apt/lists/lock); @held == 2 or die; sleep 15' &
}

# README's lines, on the cluster that Debian makes; then its first SQL block prints what it says.
install()
{
	local at=$tree

	command -v sudo >/dev/null || apt-get install -y --no-install-recommends sudo
	[ -n "$(pg_lsclusters --no-header)" ] || pg_createcluster 15 main
	pg_ctlcluster 15 main start
	if [ ! -w "$tree" ] || [ "$reader" != root ]; then
		at=$home/facematch
		as_user "$reader" "$home" "cp -r --no-preserve=mode '$tree' '$at'"
	fi
	as_user "$reader" "$at" "$commands"
	runuser -u postgres -- /facematch/test/docs/blocks.py run /facematch/README.md 1
	pg_ctlcluster 15 main stop
}

case $step in
	prepare) prepare ;;
	demo)
		[ "$machine" != sudo ] || refused
		[ "$machine" != git ] || hold_apt
		[ "$machine" != bare ] || mount -t tmpfs -o noexec,mode=1777 tmpfs /mnt/noexec
		as_printed "$commands"
		;;
	test)
		[ "$machine" != bare ] || mount -t tmpfs -o noexec,mode=1777 tmpfs /mnt/noexec
		as_printed "TEST=type $commands"
		[ "$machine" != headers ] || chosen
		;;
	install) install ;;
	package)
		as_printed "$commands"
		ls -l "$home"/packages/*.deb
		;;
esac
