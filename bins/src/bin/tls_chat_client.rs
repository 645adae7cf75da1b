//! A client for tls_chat_server, known by its certificate.
fn main() {
    bins::cli::main::<bins::tools::TlsChatClientTool>()
}
