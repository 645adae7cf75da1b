//! A line chat for many clients.
fn main() {
    bins::cli::main::<bins::tools::ChatServerTool>()
}
