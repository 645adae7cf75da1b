//! Sends back exactly what it gets.
fn main() {
    bins::cli::main::<bins::tools::EchoServerTool>()
}
