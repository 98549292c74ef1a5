#!/bin/bash
# build.sh OUT: in a root with what a build needs, builds the packages twice, in other places, time zones, languages and
# umasks, and asks lintian.  The two must be the same to the byte.
set -eu

out=$1
build()
{
	runuser -u builder -- bash -c "umask $2; mkdir -p '$1' '$1.tmp'; $3 TMPDIR='$1.tmp' /facematch/script/package '$1'" >"$out/$(basename "$1").log" 2>&1 ||
		{ tail -n 60 "$out/$(basename "$1").log"; return 1; }
}

install -d -o builder "$out"
build "$out/first" 022 "env TZ=UTC LC_ALL=C.UTF-8"
build "$out/second_time" 077 "env TZ=Pacific/Kiritimati LC_ALL=C DEB_BUILD_OPTIONS=parallel=1"
debs=0
for deb in "$out"/first/*.deb; do
	echo "$(sha256sum <"$deb") $(basename "$deb")"
	cmp "$deb" "$out/second_time/$(basename "$deb")"
	debs=$((debs + 1))
done
[ $debs -ge 2 ]
lintian --version
lintian --allow-root --display-info --fail-on error,warning "$out"/first/*.changes
