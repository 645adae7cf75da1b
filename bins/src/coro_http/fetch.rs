//! Requests to other servers: resolve, check, connect, ask, read.
use super::Handle;
use super::message::Error;
use crate::coro::{Socket, timeout};
use crate::reach::Reach;
use crate::work::Work;
use core::net::SocketAddr;
use core::time::Duration;
use proto_core::http1::{Client, Config, Length, Limits, client};
use proto_core::{Addr, Bytes, Machine, Reason, Rx, Step, Tx};

/// A whole answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// Its status.
    pub status: u16,
    /// `Content-Type`, empty if there is none.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}

/// How long connecting to one address may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long all of it may take.
const ALL: Duration = Duration::from_secs(30);
/// Bytes of a body.
const BODY_MAX: u64 = 8 << 20;

/// `http://host[:port]/path` in parts: host, port, target.
fn parse(url: &str) -> Option<(&str, u16, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, target) = rest.find(['/', '?']).map_or((rest, "/"), |at| rest.split_at(at));
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, port) = v6.split_once(']')?;
            (host, port.strip_prefix(':').or(port.is_empty().then_some("80"))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "80")),
    };
    if host.is_empty() || !target.starts_with('/') || host.contains('@') {
        return None;
    }
    Some((host, port.parse().ok().filter(|p| *p != 0)?, target))
}

/// GETs `url`. Fragments and redirects are the caller's.
///
/// # Errors
/// 400 for a URL that is none, 403 for one out of reach, 502 and 504 for servers that fail.
pub async fn fetch(cx: &Handle, reach: &Reach, url: &str) -> Result<Fetched, Error> {
    let (host, port, target) = parse(url).ok_or_else(|| Error::new(400, "the URL is not http://host/path"))?;
    let fetched = timeout(cx, ALL, async {
        let bad_gateway = |why: Reason| Error::new(502, format!("{host}: {why}"));
        let ips = cx.resolve(host).await.map_err(bad_gateway)?;
        let mut last = Error::new(502, format!("{host}: no address"));
        for ip in ips {
            // Each address by itself, and the one that was checked is the one that is used: a name may have both kinds.
            if let Err(kind) = reach.check(ip) {
                last = Error::new(403, format!("{host} is a {kind} address"));
                continue;
            }
            match timeout(cx, CONNECT, cx.connect(Addr::Ip(SocketAddr::new(ip, port)))).await {
                Ok(Ok(socket)) => return converse(cx, socket, url, target).await,
                Ok(Err(why)) => last = bad_gateway(why),
                Err(_) => last = Error::new(504, format!("{host}: no answer to a connect")),
            }
        }
        Err(last)
    });
    fetched.await.unwrap_or_else(|_| Err(Error::new(504, format!("{host}: too slow"))))
}

async fn converse(cx: &Handle, mut socket: Socket<Work, Bytes>, url: &str, target: &str) -> Result<Fetched, Error> {
    let authority = url.trim_start_matches("http://").split(['/', '?']).next().unwrap_or_default();
    let limits = Limits { body: BODY_MAX, ..Limits::CLIENT };
    let mut http = Client::new(Config { limits, ..Config::CLIENT });
    let mut tx = Tx::default();
    let fields = [("Host", authority.as_bytes()), ("Connection", b"close"), ("Accept", b"*/*")];
    let request = client::Request::new("GET", target, &fields);
    http.request(&mut tx, &request, Length::None).map_err(|misuse| Error::new(400, misuse.0))?;
    let out: Vec<u8> = tx.chunks().flatten().copied().collect();
    tx.consume(out.len(), None);
    let broken = |why: Reason| Error::new(502, why.to_string());
    socket.write(out.into()).await.map_err(broken)?;
    let mut fetched = Fetched { status: 0, content_type: String::new(), body: Bytes::new() };
    let (mut body, mut kept) = (Vec::new(), Vec::new());
    loop {
        let more = socket.read().await.map_err(broken)?;
        let eof = more.is_none();
        kept.extend_from_slice(&more.unwrap_or_default());
        let before = kept.len();
        let mut rx = Rx::new(&mut kept, eof);
        let over = loop {
            let step = http.poll(cx.now(), &mut rx, &mut tx).map_err(|f| Error::new(502, f.what))?;
            match step {
                Step::Event(client::Event::Response(head)) => {
                    fetched.status = head.status();
                    let kind = head.field("content-type").unwrap_or_default();
                    fetched.content_type = String::from_utf8_lossy(kind).into_owned();
                    if !head.has_body() {
                        break true;
                    }
                }
                Step::Event(client::Event::Body(bytes)) => body.extend_from_slice(bytes),
                Step::Event(client::Event::End) => break true,
                Step::Event(_) => {}
                Step::NeedMore => break false,
                Step::Paused | Step::Closed => return Err(Error::new(502, "an answer that was cut short")),
            }
        };
        if over {
            socket.close();
            fetched.body = body.into();
            return Ok(fetched);
        }
        let used = before - rx.len();
        kept.drain(..used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, want) in [
            ("http://a/", Some(("a", 80, "/"))),
            ("http://a", Some(("a", 80, "/"))),
            ("http://a:81/b?c", Some(("a", 81, "/b?c"))),
            ("http://[::1]:8080/x", Some(("::1", 8080, "/x"))),
            ("http://[::1]/x", Some(("::1", 80, "/x"))),
            ("https://a/", None),
            ("http://", None),
            ("http://a:0/", None),
            ("http://a:x/", None),
            ("http://u@a/", None),
            ("http://a?b", None),
            ("http://[::1/x", None),
        ] {
            assert_eq!(parse(url), want, "{url}");
        }
    }
}
