//! An event loop that talks, and worker threads that work.
fn main() {
    bins::cli::main::<bins::tools::ThreadpoolTool>()
}
