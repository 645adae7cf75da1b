//! Echo: a server that logs what it sends back, a client that verifies, and the server for load.
pub mod load;
pub mod server;
pub mod verify;
