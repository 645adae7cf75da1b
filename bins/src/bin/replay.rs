//! Runs a recorded tool again, without sockets, and reports the first difference.
fn main() {
    bins::replay::main()
}
