#!/bin/sh
# Makes a CA, and certificates for a server, alice and bob in the working directory: generate_certs, wherever it is.
here=$(cd "$(dirname "$0")" && pwd)
for tool in "$here/generate_certs" "$here/target/release/generate_certs" "$here/target/debug/generate_certs"; do
  if [ -x "$tool" ]; then exec "$tool" "$@"; fi
done
if command -v generate_certs >/dev/null; then exec generate_certs "$@"; fi
exec cargo run --quiet --release --manifest-path "$here/Cargo.toml" --bin generate_certs -- "$@"
