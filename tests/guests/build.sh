#!/bin/sh
# Builds the guest components and their digests. Usage: tests/guests/build.sh [--check]
# With --check nothing is written here; it fails if the result differs from what is committed.
set -eu

guests="cart logger rival dice greeter"
rust=1.96
llvm=22

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
web=$root/.tools/rustc-web
target=$root/.tools/guests-target

case "${1-}" in
    "") out=$here ;;
    --check) out=$target/out ;;
    *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

# Rust with std's sources, from Debian's archive, unpacked beside the project and never installed.
if [ ! -e "$web/unpacked" ]; then
    rm -rf "$web"
    mkdir -p "$web/debs"
    (
        cd "$web/debs"
        apt-get download rustc-web cargo-web "libstd-rust-web-$rust" libstd-rust-web-dev rust-web-src \
            rust-web-llvm "libllvm$llvm" "lld-$llvm" \
            libgit2-1.5 libhttp-parser2.9 libmbedcrypto7 libmbedx509-1 libmbedtls14 || {
            echo "build.sh: no such packages; try 'apt-get update' (needs Debian 12 with its security archive)" >&2
            exit 1
        }
        for deb in *.deb; do dpkg -x "$deb" ..; done
    )
    rm -rf "$web/debs"
    touch "$web/unpacked"
fi

# Paths of this machine stay out of the bytes.
flags="-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none -Clink-arg=--compress-relocations"
flags="$flags --remap-path-prefix=$root=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"

cd "$here"
packages=""
for guest in $guests; do packages="$packages -p $guest"; done
# shellcheck disable=SC2086
env LD_LIBRARY_PATH="$web/usr/lib/x86_64-linux-gnu:$web/usr/lib/llvm-$llvm/lib" \
    PATH="$web/usr/bin:$PATH" RUSTC="$web/usr/bin/rustc" RUSTC_BOOTSTRAP=1 \
    RUSTFLAGS="$flags" CARGO_TARGET_DIR="$target/wasm" \
    "$web/usr/bin/cargo" build --locked --release --target wasm32-unknown-unknown \
    -Zbuild-std=std,panic_abort $packages

CARGO_TARGET_DIR="$target/encode" cargo build --locked --release -p encode

mkdir -p "$out"
for guest in $guests; do
    echo "$guest"
    "$target/encode/release/encode" "$target/wasm/wasm32-unknown-unknown/release/$guest.wasm" "$out/$guest.wasm"
done
cd "$out"
if [ "$out" = "$here" ]; then
    for guest in $guests; do sha256sum "$guest.wasm"; done > SHA256SUMS
fi
sha256sum -c "$here/SHA256SUMS"
