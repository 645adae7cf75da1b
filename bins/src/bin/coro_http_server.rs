//! Handlers as async functions.
fn main() {
    bins::cli::main::<bins::tools::CoroHttpTool>()
}
