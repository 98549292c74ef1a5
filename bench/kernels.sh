#!/bin/sh
# Nanoseconds of every kernel by instruction set, side by side, beside the memory bandwidth of the same run.
# Needs no server.  Usage: bench/kernels.sh        (CC chooses the compiler; the flags are those of a PostgreSQL package: -O2, no -march)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

${CC:-cc} -std=gnu11 -O2 -ffp-contract=off -I"$root/test/unit/shim" -I"$root/src" \
	-o "$build/kernel_bench" "$root/bench/kernel_bench.c" "$root"/src/simd/*.c -lm

echo "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1), $(nproc) CPUs, $(${CC:-cc} --version | head -n 1)"
"$build/kernel_bench"
