//! An echo for ten thousand connections, on edge-triggered epoll.
fn main() {
    bins::cli::main::<bins::tools::EpollEchoTool>()
}
