//! Proxies by their URLs, and the lookup that `socks5://` needs before its proxy is asked.
use super::address::{Address, Scheme};
use super::net::FetchCx;
use crate::dialer::Family;
use crate::names::Names;
use crate::outcome::{Code, Failure};
use crate::text::Escaped;
use core::convert::Infallible;
use core::net::IpAddr;
use core::time::Duration;
use proto_core::{Deadline, Input, Instant};

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
}

/// A host's address being looked up, for a proxy that is to be told it.
#[derive(Debug)]
pub struct Lookup {
    names: Names,
    host: String,
    started: Instant,
    timeout: Duration,
}

impl Lookup {
    /// Begins; its tokens and questions carry `part`.
    pub fn start(part: u8, host: &str, (family, timeout): (Family, Duration), cx: &mut FetchCx<'_>) -> Self {
        let mut names = Names::new(part, 0);
        names.lookup(0, host, family, cx);
        Lookup { names, host: host.into(), started: cx.now, timeout }
    }
    /// An address that was known at once.
    pub fn known(&mut self) -> Option<Result<IpAddr, Failure>> {
        let (_, known) = self.names.next_done()?;
        let no_name = |why: String| Failure::new(Code::Name, format!("cannot resolve '{}': {why}", self.host));
        Some(match known {
            Ok(ips) => ips.first().copied().ok_or_else(|| no_name("no address".into())),
            Err(why) => Err(no_name(why.to_string())),
        })
    }
    /// Takes an input; `Some` once, when it is over.
    pub fn handle(&mut self, input: &Input<'_, Infallible>, cx: &mut FetchCx<'_>) -> Option<Result<IpAddr, Failure>> {
        self.names.handle(input, cx);
        let known = self.known().or_else(|| {
            let late = matches!(input, Input::Deadline) && cx.now >= self.started.after(self.timeout);
            let text = format!("cannot resolve '{}': no name server answers", self.host);
            late.then(|| Err(Failure::new(Code::Name, text)))
        });
        if known.is_some() {
            self.names.rest(cx);
        }
        known
    }
    /// When it wants an [`Input::Deadline`].
    pub fn deadline(&self) -> Option<Deadline> {
        Deadline::earliest(self.names.deadline(), Some(Deadline::new(self.started, self.timeout, "a name")))
    }
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
