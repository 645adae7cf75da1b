//! Fetches over HTTP/1.1.
fn main() {
    bins::cli::main::<bins::tools::HttpClientTool>()
}
