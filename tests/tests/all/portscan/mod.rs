//! `portscan`: as a process, in virtual time, and in a network with a firewall.
mod network;
mod simulated;
mod tool;
