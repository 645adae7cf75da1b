//! A SOCKS5 proxy.
fn main() {
    bins::cli::main::<bins::tools::Socks5Tool>()
}
