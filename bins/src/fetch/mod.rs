//! `httpclient`: pages fetched, forms submitted and files downloaded over HTTP/1.1.
//!
//! | file | what |
//! |---|---|
//! | `app` | [`Fetch`]: URLs one after the other |
//! | `exchange`, `body`, `trouble` | one request and its answer; what goes wrong |
//! | `run`, `judge` | where a URL stands; what an answer means for what is done next |
//! | `net`, `tunnel`, `proxy` | connections, the pool of those that are free, layers |
//! | `scan` | an app of its own: what a server takes of TLS |
//! | `secured`, `starttls`, `tap`, `handshake`, `report` | https: what makes it, what it tells, what goes wrong in it |
//! | `address`, `request`, `upload` | URLs, heads and bodies that are sent |
//! | `decode`, `file`, `show`, `pretty` | where bodies go |
//! | `cookies`, `secrets`, `prep` | what is kept and what is read before |
pub mod address;
mod app;
mod body;
mod cookies;
pub mod decode;
mod exchange;
mod file;
mod handshake;
mod judge;
mod net;
pub mod options;
mod prep;
mod pretty;
pub mod report;
mod request;
mod run;
pub mod scan;
mod secrets;
pub mod secured;
mod show;
pub mod starttls;
mod tap;
mod trouble;
pub mod upload;

pub use app::Fetch;
pub use options::Options;
