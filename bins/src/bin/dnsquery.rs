//! Asks name servers.
fn main() {
    bins::cli::main::<bins::tools::DnsQueryTool>()
}
