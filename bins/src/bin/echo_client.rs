//! A line client for an echo server.
fn main() {
    bins::cli::main::<bins::tools::EchoClientTool>()
}
