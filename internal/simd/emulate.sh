#!/bin/sh
# Test the kernels that this machine's processor lacks, for real, by emulation:
#
#   AVX512-VNNI   SIMDe computes each intrinsic with AVX2    (Debian: libsimde-dev)
#   NEON          a cross compiler and QEMU run the arm64 build
#                 (gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)
#
# Runs the tests of internal/simd and internal/encoder with each; a part whose
# tools are missing is skipped and says so. Made with simde 0.7.4, gcc 12.2,
# qemu 7.2.
set -eu
cd "$(dirname "$0")/../.."

if printf '#include <simde/x86/avx512.h>\n' | ${CC:-cc} -E -x c - >/dev/null 2>&1 && [ "$(go env GOARCH)" = amd64 ] && grep -qw avx2 /proc/cpuinfo; then
	echo "== AVX512-VNNI through SIMDe"
	CGO_CFLAGS="-O2 -mavx2 -mfma -Wno-psabi -DQT_EMULATE" QT_EXPECT_KERNELS="avx512vnni avx2" \
		go test -count=1 -timeout 60m "$@" ./internal/simd ./internal/encoder
else
	echo "== AVX512-VNNI skipped: needs an amd64 machine with AVX2 and the headers of SIMDe (libsimde-dev)"
fi

if command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64 >/dev/null; then
	# cortex-a53 has no dot product, so that the dispatcher must choose plain NEON.
	for cpu in max:"neondot neon" cortex-a53:"neon"; do
		echo "== NEON through qemu-aarch64 -cpu ${cpu%%:*}"
		CGO_ENABLED=1 GOARCH=arm64 CC=aarch64-linux-gnu-gcc QT_EXPECT_KERNELS="${cpu#*:}" \
			go test -count=1 -timeout 60m "$@" -exec "qemu-aarch64 -cpu ${cpu%%:*} -L /usr/aarch64-linux-gnu" \
			./internal/simd ./internal/encoder
	done
else
	echo "== NEON skipped: needs aarch64-linux-gnu-gcc and qemu-aarch64"
fi
