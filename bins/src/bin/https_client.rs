//! Fetches over TLS and tells what the handshake agreed on.
fn main() {
    bins::cli::main::<bins::tools::HttpsClientTool>()
}
