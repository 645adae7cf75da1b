#!/usr/bin/env bash
# Fuzzes one target: fuzz/run.sh TARGET [libFuzzer options], such as fuzz/run.sh tx_ops -max_total_time=60.
# Needs nightly and a C++ compiler, not cargo-fuzz. What it finds goes to fuzz/artifacts/TARGET, new inputs to
# fuzz/found/TARGET; the committed corpus is only read.
set -euo pipefail
cd "$(dirname "$0")"
target=${1:?which target? one of: $(cd fuzz_targets && ls ./*.rs | sed 's#./##; s#\.rs$##' | tr '\n' ' ')}
shift
./build.sh
# Freed memory that is kept to catch its use counts against the limit; many small pieces cost most.
export ASAN_OPTIONS=${ASAN_OPTIONS:-quarantine_size_mb=64}
mkdir -p "found/$target" "artifacts/$target"
exec "$(./build.sh --where)/$target" -artifact_prefix="artifacts/$target/" -max_len=4096 -timeout=10 -rss_limit_mb=512 "$@" \
  "found/$target" "corpus/$target"
