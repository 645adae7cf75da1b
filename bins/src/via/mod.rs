//! `--via`: a proxy between a client and its server, as a layer beneath what they speak.
use crate::fetch::address::{Address, Scheme};
use crate::outcome::{Code, Failure};
use crate::text::Escaped;
use base64::prelude::{BASE64_STANDARD, Engine};
use core::time::Duration;
use proto_core::socks5::{Credentials, Destination, Via};
use proto_core::{Fault, Layer, Misuse};

mod tunnel;

pub use tunnel::Tunnel;

/// The port of a SOCKS proxy that names none (RFC 1928 3).
const SOCKS_PORT: u16 = 1080;

/// What a proxy speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speaks {
    /// HTTP.
    Http,
    /// SOCKS 5.
    Socks {
        /// It is asked for names (`socks5h`); else for addresses that are looked up here (`socks5`).
        names: bool,
    },
}

/// A proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proxy {
    /// What it speaks.
    pub speaks: Speaks,
    /// Where it is, and who we are to it.
    pub at: Address,
}

impl Proxy {
    /// Reads `http://`, `socks5://` or `socks5h://` with perhaps a name and a password.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(s: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("proxy '{}': {why}", Escaped(s.as_bytes()));
        let socks = [("socks5h://", true), ("socks5://", false)];
        let socks = socks.into_iter().find_map(|(scheme, names)| Some((s.strip_prefix(scheme)?, names)));
        let parse = |text: &str| Address::parse(text, false).map_err(|e| bad(&e.to_string()));
        if let Some((rest, names)) = socks {
            let url = format!("http://{rest}");
            let mut at = parse(&url)?;
            if !at.origin.has_port(&url) {
                at.origin.port = SOCKS_PORT;
            }
            if at.user.as_ref().is_some_and(|(u, p)| ![u, p].iter().all(|t| (1..=255).contains(&t.len()))) {
                return Err(bad("a user name and a password have 1 to 255 bytes each"));
            }
            return Ok(Proxy { speaks: Speaks::Socks { names }, at });
        }
        let other = "there are http://, socks5:// and socks5h:// proxies";
        if s.starts_with("socks") {
            return Err(bad(other));
        }
        let at = parse(s)?;
        match at.origin.scheme {
            Scheme::Http => Ok(Proxy { speaks: Speaks::Http, at }),
            Scheme::Https => Err(bad(other)),
        }
    }
    /// It is told the name of a host, not its address.
    pub fn wants_name(&self) -> bool {
        self.speaks != Speaks::Socks { names: false }
    }
    /// What asks it for a connection to `host`, for which it has `within`; layers above talk to `host`.
    ///
    /// # Errors
    /// It cannot be asked for that.
    pub fn layer(&self, host: &str, port: u16, within: Duration) -> Result<Box<dyn Layer>, Failure> {
        let to = host_port(host, port);
        if self.speaks == Speaks::Http {
            let auth = self.at.user.as_ref().map(|(name, password)| basic(name, password));
            return Ok(Box::new(Tunnel::new(to, auth, within)));
        }
        let cannot = |e: Misuse| Failure::new(Code::Usage, format!("{to}: {}", e.0));
        let destination = Destination::new(host, port).map_err(cannot)?;
        let login = self.at.user.as_ref().map(|(n, p)| Credentials::new(n.as_bytes(), p.as_bytes()));
        Ok(Box::new(Via::new(destination, login.transpose().map_err(cannot)?, within)))
    }
    /// What a fault of its layer means for who wanted to talk to `to`; `None` if it is not of such a layer.
    pub fn failure(&self, fault: &Fault, to: &str) -> Option<Failure> {
        let at = self.at.origin.host_port();
        match (self.speaks, fault.rule) {
            (Speaks::Http, tunnel::RULE) => {
                let code = if fault.code == 407 { Code::Auth } else { Code::Connect };
                Some(Failure::new(code, format!("tunnel to {to}: {} with {}", fault.what, fault.code)))
            }
            (Speaks::Socks { .. }, "RFC 1928 6" | "RFC 1929 2") => {
                let code = match fault {
                    Fault { rule: "RFC 1929 2", .. } | Fault { code: 255, .. } => Code::Auth,
                    Fault { what: "the proxy does not answer in time", .. } => Code::Timeout,
                    Fault { what, .. } if what.contains("SOCKS") => Code::Protocol,
                    _ => Code::Connect,
                };
                Some(Failure::new(code, format!("proxy {at} for {to}: {}", fault.what)))
            }
            _ => None,
        }
    }
}

fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// RFC 7617.
pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_proxies() {
        let speaks = |s: &str| Proxy::parse(s).map(|p| (p.speaks, p.at.origin.host_port()));
        let socks = |names| Speaks::Socks { names };
        for (url, speaks_, at) in [
            ("http://p:3128", Speaks::Http, "p:3128"),
            ("p", Speaks::Http, "p:80"),
            ("socks5://p", socks(false), "p:1080"),
            ("socks5h://u:x@p:80/", socks(true), "p:80"),
            ("socks5h://[::1]:443", socks(true), "[::1]:443"),
            ("socks5h://[::1]", socks(true), "[::1]:1080"),
        ] {
            assert_eq!(speaks(url), Ok((speaks_, at.into())), "{url}");
        }
        for (url, why) in [
            ("socks4://p", "there are http://, socks5:// and socks5h://"),
            ("https://p", "there are http://, socks5:// and socks5h://"),
            ("socks5://u:@p", "1 to 255 bytes"),
            ("socks5://p:x", "bad port"),
            ("socks5://", "no host"),
            ("ftp://p", "unsupported scheme"),
        ] {
            let got = speaks(url).expect_err(url);
            assert!(got.contains(why), "{url}: {got}");
        }
    }
}
