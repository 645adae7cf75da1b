//! `httpserver`: the files of one directory over HTTP/1.1.
//!
//! | file | what |
//! |---|---|
//! | `target` | from a request target to a path beneath the root |
//! | `wants`, `conditional`, `range` | what the request says that decides about the answer |
//! | `media`, `date` | media types and codings; dates |
//! | `store` | files that were opened or read lately: the cache; compressed forms of them |
//! | `pack` | compressing as a job |
//! | `lookup` | from a path to what is sent: index, fallback, error page, side file, listing |
//! | `answer` | files, parts of files and pages as answers |
//! | `listing`, `access` | lists of directories; log lines |
//! | `place` | the directories, by host |
//! | `forwarded` | what proxies say of their clients |
//! | `gate` | who may ask: passwords |
//! | `upload` | files that clients send |
//! | `shop` | requests and what becomes of them |
//! | `server` | the app |
pub mod access;
mod answer;
mod conditional;
mod date;
mod forwarded;
mod gate;
mod job;
pub mod listing;
mod lookup;
mod media;
mod pack;
mod place;
mod range;
mod server;
mod shop;
mod site;
mod store;
mod target;
mod upload;
mod wants;

pub use answer::page;
pub use conditional::{Outcome, Version, decide};
pub use job::Job;
pub use media::{Coding, Types, accepted};
pub use place::MOST as MAX_SITES;
pub use range::{MAX_RANGES, Ranges, parse as ranges};
pub use server::HttpServer;
pub use site::{Options, Site, UploadOptions};
pub use store::CacheLimits;
pub use target::{Bad, Target, resolve};
pub use wants::Wants;
