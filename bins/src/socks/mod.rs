//! `socks5_proxy`: clients ask it to connect somewhere, and it relays.
//!
//! A session: *handshake* -> (*judging* -> *penalty*) -> *resolving* -> *connecting* -> *relaying*. Names are looked up once,
//! every address is checked, and what is connected to is an address that was checked.
pub mod account;
mod association;
pub mod auth;
mod connector;
pub mod dry_run;
mod ledger;
mod lookup;
pub mod policy;
pub mod proxy;
mod session;
#[cfg(test)]
mod tests;
pub mod text;
pub mod visit;
