//! The same echo on io_uring.
fn main() {
    bins::cli::main::<bins::tools::IoUringEchoTool>()
}
