//! Finds open ports.
fn main() {
    bins::cli::main::<bins::tools::PortScanTool>()
}
