//! Measures either.
fn main() {
    bins::cli::main::<bins::tools::BenchmarkTool>()
}
