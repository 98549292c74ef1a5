#!/bin/sh
# What the index's codes cost and save: the figures of docs/exactness.md.  Needs no server.
# Usage: bench/codec.sh [speed|bits|faces]        (default: all; the real faces are looked for in $FACES_DIR, else ../shared/faces)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
faces=${FACES_DIR:-$root/../shared/faces}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

${CC:-cc} -std=gnu11 -O2 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -ffp-contract=off \
	-I"$root/test/unit/shim" -I"$root/src" -o "$build/codec_bench" "$root/bench/codec_bench.c" \
	"$root"/src/index/rotation.c "$root"/src/index/quantizer.c "$root"/src/index/bounds.c "$root"/src/index/tail.c \
	"$root"/src/simd/*.c -lm

run() { [ "${1:-}" = "$2" ] || [ -z "${1:-}" ]; }
if run "${1:-}" speed; then "$build/codec_bench" speed; fi
if run "${1:-}" bits; then "$build/codec_bench" bits; fi
if run "${1:-}" faces; then
	# the thresholds of a false match rate of 1e-5: similarity 0.480, distance 0.425
	"$build/codec_bench" faces "$faces/mobilefacenet_512.f16" 512 cosine 0.52
	"$build/codec_bench" faces "$faces/dlib_128.f16" 128 euclidean 0.425
fi
