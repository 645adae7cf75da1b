//! What is left of the ops for a driver.
use proto_core::{Addr, ConnectOpts, OpId, Token};
use std::net::IpAddr;

/// The ops that a driver must do itself.
#[derive(Debug)]
pub enum NetOp {
    /// See [`proto_core::Op::Connect`].
    Connect(Token, Addr, ConnectOpts),
    /// See [`proto_core::Op::Listen`].
    Listen(Token, Addr),
    /// See [`proto_core::Op::Udp`]: bind, peer.
    Udp(Token, Option<Addr>, Option<Addr>),
    /// See [`proto_core::Op::Raw`].
    Raw(Token, IpAddr, u8),
    /// See [`proto_core::Op::SendTo`].
    SendTo(Token, Option<Addr>, Vec<u8>),
    /// See [`proto_core::Op::Close`]; the linger time runs already.
    Close(Token),
    /// See [`proto_core::Op::Abort`].
    Abort(Token),
    /// See [`proto_core::Ask::SocketInfo`].
    Info(OpId, Token),
}
