//! Chat: rooms, nicknames and commands as a pure core, and the server that puts it on lines over TCP.
mod admin;
mod certified;
mod client;
pub mod commands;
pub mod core;
mod delivery;
pub mod events;
pub mod member;
pub mod names;
pub mod nicks;
mod past;
mod resume;
mod rooms;
pub mod server;
mod telnet;

pub use resume::Resume;
