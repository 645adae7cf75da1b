//! A host to be scanned in virtual time: some ports are open, some silent, some forbidden, the rest refuse.
use core::convert::Infallible;
use core::net::SocketAddr;
use drivers::sim::{Filter, NodeConfig};
use proto_core::{App, Cx, Input, Reason};

/// Open ports.
pub const OPEN: [u16; 4] = [22, 80, 443, 8080];
/// Silent ports.
pub const SILENT: [u16; 3] = [135, 139, 445];
/// A port that a firewall forbids.
pub const FORBIDDEN: u16 = 25;
/// A port to which there is no way.
pub const UNREACHABLE: u16 = 111;
/// What port 22 says.
pub const GREETING: &[u8] = b"SSH-2.0-drywire\r\n";

/// The part byte of port 22; the others have 0.
const GREETS: u8 = 1;

/// The host as a machine of a simulation.
pub fn config() -> NodeConfig {
    let at = |port: u16| {
        let part = if port == 22 { GREETS } else { 0 };
        (part, SocketAddr::from(([0, 0, 0, 0], port)).into())
    };
    let mut filters: Vec<_> = SILENT.into_iter().map(|port| (port..=port, Filter::Drop)).collect();
    filters.push((FORBIDDEN..=FORBIDDEN, Filter::Reject(Reason::Prohibited)));
    filters.push((UNREACHABLE..=UNREACHABLE, Filter::Reject(Reason::HostUnreachable)));
    NodeConfig { listen: OPEN.into_iter().map(at).collect(), filters, ..NodeConfig::default() }
}

/// Its program: accepts, greets, and waits for the other side to go.
#[derive(Clone, Copy, Debug)]
pub struct Host;

impl App for Host {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut Cx<'_, Infallible, Infallible>) {
        match input {
            Input::Accepted { conn, .. } if conn.part() == GREETS => {
                if let Some(tx) = cx.tx(conn) {
                    tx.put(GREETING);
                }
            }
            Input::Eof(conn) => {
                if let Some(tx) = cx.tx(conn) {
                    tx.finish();
                }
            }
            _ => {}
        }
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}
