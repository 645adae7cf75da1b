//! `dnsquery`: asks name servers and shows what they answer.
mod app;
mod batch;
pub mod explain;
pub mod idn;
pub mod json;
mod looped;
mod race;
pub mod scripted;
pub mod server;
pub mod show;
mod trace;

pub use app::DnsQuery;
pub use batch::Input as BatchInput;

use crate::names::Carrier;
use crate::via::Proxy;
use core::time::Duration;
use proto_core::dns::{Asked, BadName, Class, Domain, Policy, Type};
use server::Server;

/// How answers are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Form {
    /// Text for people.
    #[default]
    Text,
    /// Data only, a line per record.
    Short,
    /// One document.
    Json,
    /// A line per question.
    Lines,
}

/// What to do besides asking once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// One question after the other.
    #[default]
    Plain,
    /// Many questions at once, from a file or standard input.
    Batch(BatchInput),
    /// From the root, referral by referral.
    Trace,
    /// All servers at once; the first answer, then how the others differ.
    Race,
    /// The same question again and again.
    Loop {
        /// How often.
        times: u32,
        /// From one to the next.
        every: Duration,
    },
}

/// A question as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The name as it was written.
    pub text: String,
    /// What is asked.
    pub asked: Asked,
}

impl Wanted {
    /// From a name, in any script if `idn` says so.
    ///
    /// # Errors
    /// `'a..b' is not a legal name (empty label)`.
    pub fn new(text: &str, kind: Type, class: Class, idn: bool) -> Result<Self, String> {
        let wire = if idn { idn::to_wire(text)? } else { text.to_string() };
        let name: Domain = wire.parse().map_err(|why| illegal(text, why))?;
        Ok(Wanted { text: text.into(), asked: Asked { name, kind, class } })
    }
    /// An address, asked for backwards.
    ///
    /// # Errors
    /// It is no address.
    pub fn reverse(text: &str) -> Result<Self, String> {
        let ip = text.parse().map_err(|_| format!("'{text}' is not an IPv4 or IPv6 address"))?;
        let name = Domain::reverse(ip);
        Ok(Wanted { text: name.to_string(), asked: Asked::new(name, Type::PTR) })
    }
}

fn illegal(text: &str, why: BadName) -> String {
    let text = crate::text::Escaped(text.as_bytes()).to_string().replace("\\\\", "\\");
    format!("'{text}' is not a legal name ({why})")
}

/// Everything the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to ask, one after the other.
    pub wanted: Vec<Wanted>,
    /// Whom. Without any, whom resolv.conf names.
    pub servers: Vec<Server>,
    /// The port of servers that are named without one.
    pub port: u16,
    /// What carries questions that do not go as datagrams.
    pub carrier: Carrier,
    /// A proxy on the way to all servers.
    pub via: Option<Proxy>,
    /// How to ask; its servers are filled in.
    pub policy: Policy,
    /// A cookie is drawn and sent (RFC 7873).
    pub new_cookie: bool,
    /// The search list of resolv.conf is used.
    pub search: bool,
    /// What to do.
    pub mode: Mode,
    /// How answers are written.
    pub form: Form,
    /// How much of them.
    pub style: show::Style,
    /// Each reply is taken apart on standard error.
    pub explain: bool,
    /// "No such name" is a success, as with dig.
    pub dig_exit: bool,
    /// Questions under way at once.
    pub parallel: usize,
    /// The type of questions of a batch that name none.
    pub kind: Type,
}
