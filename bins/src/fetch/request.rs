//! What is sent: the four lines that every request has, then what the user added.
use super::address::{Address, Origin};
use super::net::Route;
use super::options::Options;
use crate::via::basic;

/// A request, ready to be written: [`Head::length`] says whether a body follows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The method.
    pub method: String,
    /// The target.
    pub target: String,
    /// All fields but the length.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Bytes of the body.
    pub length: Option<u64>,
}

/// What a request is made of, besides the options.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Where to.
    pub url: &'a Address,
    /// The first URL of its redirects: only there goes what was given for it.
    pub first: &'a Origin,
    /// How it is reached.
    pub route: &'a Route,
    /// The method.
    pub method: &'a str,
    /// The body's length, if there is one.
    pub length: Option<u64>,
    /// `Authorization` by a token, or by a netrc file.
    pub auth: Option<String>,
    /// Cookies of the jar.
    pub cookies: Option<String>,
    /// From which byte on, and of which state of it.
    pub from: Option<(u64, Option<&'a str>)>,
    /// Wait for `100 Continue` before the body.
    pub expect: bool,
}

/// Fields that say who we are.
const SECRETS: [&str; 2] = ["authorization", "cookie"];

impl Head {
    /// Puts it together.
    pub fn new(o: &Options, w: &Wanted<'_>) -> Head {
        let home = w.url.origin == *w.first;
        let mut f: Vec<(String, Vec<u8>)> = Vec::new();
        let mut add = |name: &str, value: &[u8]| f.push((name.into(), value.to_vec()));
        add("Host", w.url.origin.authority().as_bytes());
        add("User-Agent", o.agent.as_bytes());
        add("Connection", b"keep-alive");
        if let Some(accept) = o.upload.accept {
            add("Accept", accept.as_bytes());
        }
        if w.length.is_some() && !o.upload.media.is_empty() {
            add("Content-Type", o.upload.media.as_bytes());
        }
        if o.compressed {
            add("Accept-Encoding", b"gzip, deflate, br, zstd");
        }
        let own = || o.user.as_ref().map(|(name, password)| basic(name, &password.0));
        let url = || w.url.user.as_ref().map(|(name, password)| basic(name, password));
        if let Some(auth) = if home { url().or_else(own).or(w.auth.clone()) } else { w.auth.clone() } {
            add("Authorization", auth.as_bytes());
        }
        if let (Route::Proxy(_), Some(auth)) = (w.route, w.route.auth()) {
            add("Proxy-Authorization", auth.as_bytes());
        }
        let given = o.cookies.as_ref().filter(|_| home);
        let all: Vec<&str> = given.map(String::as_str).into_iter().chain(w.cookies.as_deref()).collect();
        if !all.is_empty() {
            add("Cookie", all.join("; ").as_bytes());
        }
        if let Some(referer) = &o.referer {
            add("Referer", referer.as_bytes());
        }
        if let Some((at, validator)) = w.from {
            add("Range", format!("bytes={at}-").as_bytes());
            if let Some(validator) = validator {
                add("If-Range", validator.as_bytes());
            }
        }
        if w.expect {
            add("Expect", b"100-continue");
        }
        let mut head = Head { method: w.method.into(), target: target(w), fields: f, length: w.length };
        for (name, value) in &o.fields {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            let of_body = w.length.is_none() && (is("content-type") || is("content-encoding"));
            if of_body && o.upload.some || !home && SECRETS.iter().any(|s| is(s)) {
                continue;
            }
            head.apply(name, value.as_deref());
        }
        head
    }
    /// A field of the user's takes the place of ours; more of the same name follow.
    fn apply(&mut self, name: &str, value: Option<&str>) {
        let ours = ["host", "user-agent", "connection"].iter().any(|n| name.eq_ignore_ascii_case(n));
        let at = self.fields.iter().position(|(n, _)| n.eq_ignore_ascii_case(name));
        match (at, value) {
            (Some(at), None) => {
                self.fields.remove(at);
            }
            (Some(at), Some(value)) if ours => {
                if let Some(field) = self.fields.get_mut(at) {
                    *field = (name.into(), value.as_bytes().to_vec());
                }
            }
            (Some(at), Some(value))
                if ["content-type", "accept", "accept-encoding"].iter().any(|n| name.eq_ignore_ascii_case(n)) =>
            {
                self.fields.remove(at);
                self.fields.push((name.into(), value.as_bytes().to_vec()));
            }
            (_, Some(value)) => self.fields.push((name.into(), value.as_bytes().to_vec())),
            (None, None) => {}
        }
    }
    /// The lines as they go over the wire, without their ends.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        let mut lines = vec![format!("{} {} HTTP/1.1", self.method, self.target).into_bytes()];
        lines.extend(self.fields.iter().map(|(n, v)| [n.as_bytes(), b": ", v].concat()));
        lines.extend(self.length.map(|n| format!("Content-Length: {n}").into_bytes()));
        lines
    }
}

fn target(w: &Wanted<'_>) -> String {
    match w.route {
        Route::Proxy(_) => Address { user: None, ..w.url.clone() }.to_string(),
        Route::Direct | Route::Unix(_) | Route::Tunnel(_) => w.url.target.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::upload::Upload;
    use crate::text::Secret;

    fn url(text: &str) -> Address {
        Address::parse(text, false).expect("a URL")
    }
    fn lines(o: &Options, to: &str, first: &str, length: Option<u64>) -> String {
        let (url, first) = (url(to), url(first).origin);
        let route = super::super::net::route(&o.reach, &url.origin);
        let method = if length.is_some() { "POST" } else { "GET" };
        let wanted = Wanted {
            url: &url,
            first: &first,
            route: &route,
            method,
            length,
            auth: None,
            cookies: None,
            from: None,
            expect: false,
        };
        let lines = Head::new(o, &wanted).lines();
        lines.iter().map(|l| format!("{}\n", String::from_utf8_lossy(l))).collect()
    }
    const FOUR: &str = "GET /x HTTP/1.1\nHost: a:81\nUser-Agent: drywire/0.1\nConnection: keep-alive\n";

    #[test]
    fn four_lines_then_what_the_user_added() {
        let o = Options::default();
        assert_eq!(lines(&o, "http://a:81/x", "http://a:81/", None), FOUR);
        let more = [("X-A", Some("1")), ("X-A", Some("2")), ("user-agent", Some("me")), ("Connection", None)];
        let fields = more.map(|(n, v)| (n.to_string(), v.map(String::from))).to_vec();
        let got = lines(&Options { fields, ..o }, "http://a:81/x", "http://a:81/", None);
        assert_eq!(got, "GET /x HTTP/1.1\nHost: a:81\nuser-agent: me\nX-A: 1\nX-A: 2\n");
    }

    #[test]
    fn what_is_secret_stays_at_home() {
        let fields = ["Authorization", "COOKIE", "X"].map(|n| (n.to_string(), Some("s".to_string()))).to_vec();
        let o = Options {
            fields,
            user: Some(("u".into(), Secret("p".into()))),
            cookies: Some("c=1".into()),
            ..Options::default()
        };
        let home = lines(&o, "http://u:p@a:81/x", "http://a:81/", None);
        assert_eq!(home, format!("{FOUR}Authorization: Basic dTpw\nCookie: c=1\nAuthorization: s\nCOOKIE: s\nX: s\n"));
        for other in ["http://a:82/x", "http://b:81/x", "https://a:81/x"] {
            let away = lines(&o, other, "http://a:81/", None);
            assert!(away.ends_with("Connection: keep-alive\nX: s\n"), "{away}");
        }
    }

    #[test]
    fn a_body_has_a_type_and_a_proxy_is_told_the_whole_url() {
        let upload = Upload { some: true, media: "text/x".into(), ..Upload::default() };
        let fields = vec![("Content-Type".into(), Some("text/y".into()))];
        let o = Options { upload, fields, ..Options::default() };
        assert!(lines(&o, "http://a/", "http://a/", Some(3)).ends_with("Content-Type: text/y\nContent-Length: 3\n"));
        assert!(!lines(&o, "http://a/", "http://a/", None).contains("Content-"), "the body was left behind");
        let mut o = Options::default();
        o.reach.via = crate::via::Proxy::parse("http://u:p@proxy:3128").ok();
        let got = lines(&o, "http://a/x?y", "http://a/", None);
        assert!(got.starts_with("GET http://a/x?y HTTP/1.1\nHost: a\n"), "{got}");
        assert!(got.ends_with("Proxy-Authorization: Basic dTpw\n"), "{got}");
    }
}
