//! Makes a small CA, and certificates of it for a server and its clients.
fn main() {
    bins::certs::main()
}
