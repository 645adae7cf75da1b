#!/usr/bin/env bash
# Builds all targets as cargo-fuzz would: coverage for libFuzzer, AddressSanitizer, checks on. `--where` prints the folder.
set -euo pipefail
cd "$(dirname "$0")"
triple=x86_64-unknown-linux-gnu
export CARGO_TARGET_DIR=${FUZZ_TARGET_DIR:-$PWD/target}
if [ "${1:-}" = --where ]; then
  echo "$CARGO_TARGET_DIR/$triple/release"
  exit
fi
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1"
cargo +nightly build --locked --release --quiet --target "$triple" --bins
