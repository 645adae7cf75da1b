//! The chat's client.
fn main() {
    bins::cli::main::<bins::tools::ChatClientTool>()
}
