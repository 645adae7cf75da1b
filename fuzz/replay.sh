#!/usr/bin/env bash
# Runs every input of the committed corpus once, and every artifact that an earlier run left.
set -euo pipefail
cd "$(dirname "$0")"
./build.sh
bin=$(./build.sh --where)
for source in fuzz_targets/*.rs; do
  target=$(basename "$source" .rs)
  inputs=("corpus/$target"/*)
  [ -e "${inputs[0]}" ] || { echo "$target: no corpus" >&2; exit 1; }
  [ -d "artifacts/$target" ] && inputs+=("artifacts/$target"/*)
  existing=()
  for f in "${inputs[@]}"; do [ -f "$f" ] && existing+=("$f"); done
  log=$("$bin/$target" -runs=0 -timeout=10 "${existing[@]}" 2>&1) || { echo "$log"; echo "$target: FAILED" >&2; exit 1; }
  echo "$target: ${#existing[@]} inputs"
done
