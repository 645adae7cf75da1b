//! Chat: rooms, nicknames and commands as a pure core, and the server that puts it on lines over TCP.
pub mod commands;
pub mod core;
pub mod member;
pub mod names;
pub mod nicks;
pub mod server;
