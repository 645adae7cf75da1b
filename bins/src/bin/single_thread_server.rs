//! The same server without workers.
fn main() {
    bins::cli::main::<bins::tools::SingleThreadTool>()
}
