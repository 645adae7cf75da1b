//! How a node of a simulation is set up.
use crate::Config;
use proto_core::{Addr, Reason, Tty};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a machine's firewall does with whoever comes to a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filter {
    /// Nothing is heard of it.
    Drop,
    /// A connect fails at once with this; a datagram vanishes.
    Reject(Reason),
}

/// What a node's program finds when it starts.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The part and address of each listener; port 0 picks one.
    pub listen: Vec<(u8, Addr)>,
    /// Standard input: when after the start, and what; nothing means its end. `None`: the program reads none.
    pub stdin: Option<Vec<(Duration, Vec<u8>)>>,
    /// Files that are on its disk, relative to the working directory.
    pub files: Vec<(String, Vec<u8>)>,
    /// Settings that any driver has. The seed comes from the simulation's.
    pub config: Config,
    /// Connections it can hold.
    pub capacity: usize,
    /// Sockets it has descriptors for: a connect beyond them fails.
    pub descriptors: usize,
    /// What happens to who comes from elsewhere to these ports; the first that fits decides.
    pub filters: Vec<(RangeInclusive<u16>, Filter)>,
    /// Connections that wait to be accepted.
    pub backlog: usize,
    /// What its standard streams are.
    pub tty: Tty,
    /// Standard output and error go to this process's, too.
    pub print: bool,
}

impl Default for NodeConfig {
    fn default() -> Self {
        NodeConfig {
            listen: Vec::new(),
            stdin: None,
            files: Vec::new(),
            config: Config::default(),
            capacity: 65_536,
            descriptors: usize::MAX,
            filters: Vec::new(),
            backlog: 1024,
            tty: Tty::default(),
            print: false,
        }
    }
}

impl NodeConfig {
    /// With one listener of part 0 on every address of the node.
    pub fn server(port: u16) -> Self {
        let at = std::net::SocketAddr::from(([0, 0, 0, 0], port));
        NodeConfig { listen: vec![(0, at.into())], ..NodeConfig::default() }
    }
}
