//! A chat in which every member proves by a certificate who it is.
fn main() {
    bins::cli::main::<bins::tools::TlsChatServerTool>()
}
