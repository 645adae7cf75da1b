//! Both machines of HTTP/1 as subjects, with an app around them that does as a transcript says.
//!
//! Knows nothing of the bed but the runner, so that fuzz targets use it too.
use super::drive::{Said, Subject};
use proto_core::http1::{Client, Config, Fields, Framing, Length, Page, Server, Version, client, server};
use proto_core::{Deadline, Fault, Instant, Machine, Rx, Step, Tx};
use std::str::FromStr;
use std::time::Duration;

type Settings = [(String, String)];

fn number<T: FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("not a number: {value}"))
}

fn seconds(value: &str) -> Result<Duration, String> {
    if value == "off" { Ok(Duration::MAX) } else { number(value).map(Duration::from_secs) }
}

/// Reads one setting; false if it is none of HTTP's.
pub fn setting(config: &mut Config, name: &str, value: &str) -> Result<bool, String> {
    let (limits, times, lenient) = (&mut config.limits, &mut config.times, &mut config.lenient);
    match name {
        "request_line" => limits.request_line = number(value)?,
        "head" => limits.head = number(value)?,
        "fields" => limits.fields = number(value)?,
        "body" => limits.body = number(value)?,
        "chunk_line" => limits.chunk_line = number(value)?,
        "chunk_extensions" => limits.chunk_extensions = number(value)?,
        "chunk_framing" => limits.chunk_framing = number(value)?,
        "trailers" => limits.trailers = number(value)?,
        "trailer_fields" => limits.trailer_fields = number(value)?,
        "drain" => limits.drain = number(value)?,
        "requests" => limits.requests = number(value)?,
        "pipeline" => limits.pipeline = number(value)?,
        "informational" => limits.informational = number(value)?,
        "head_time" => times.head = seconds(value)?,
        "idle_time" => times.idle = seconds(value)?,
        "body_grace" => times.body_grace = seconds(value)?,
        "body_rate" => times.body_rate = number(value)?,
        "stall_time" => times.stall = seconds(value)?,
        "forgive" => match value {
            "bare_lf" => lenient.bare_lf = true,
            "fold" => lenient.fold = true,
            "space_before_colon" => lenient.space_before_colon = true,
            "same_lengths" => lenient.same_lengths = true,
            "coding_wins" => lenient.coding_wins = true,
            "no_space_after_status" => lenient.no_space_after_status = true,
            _ => return Err(format!("nothing to forgive: {value}")),
        },
        "tunnels" => config.tunnels = true,
        "say_keep_alive" => config.say_keep_alive = true,
        "page" => config.page = if value == "html" { Page::Html } else { Page::Empty },
        _ => return Ok(false),
    }
    Ok(true)
}

fn fields_text(fields: &Fields<'_>) -> String {
    let one = |f: proto_core::http1::Field<'_>| format!(" [{}: {}]", f.name.escape_default(), f.value.escape_ascii());
    fields.clone().map(one).collect()
}

fn framing_text(framing: Framing) -> String {
    match framing {
        Framing::Length(0) => String::new(),
        Framing::Length(n) => format!(" length {n}"),
        Framing::Chunked => " chunked".into(),
        Framing::UntilClose => " until close".into(),
    }
}

fn version_text(version: Version) -> &'static str {
    if version == Version::Http10 { "1.0" } else { "1.1" }
}

/// At most 60 bytes.
fn short(text: &str) -> String {
    match text.get(..60) {
        Some(head) if text.len() > 60 => format!("{head}..."),
        _ => text.into(),
    }
}

/// A request's head in a line.
pub fn request_text(r: &server::Request<'_>) -> String {
    let keep = if r.keep_alive() { "keep" } else { "close" };
    let mut text = format!("request {} {} {} {keep}", r.method_name(), short(r.target()), version_text(r.version()));
    text += &framing_text(r.framing());
    for (is, word) in [(r.expects_continue(), " expects"), (r.wants_upgrade(), " upgrade")] {
        text += if is { word } else { "" };
    }
    text
}

/// An answer's head in a line.
pub fn response_text(r: &client::Response<'_>) -> String {
    let keep = if r.keep_alive() { "keep" } else { "close" };
    let reason = r.reason().escape_ascii();
    format!("{} {reason} {} {keep}{}", r.status(), version_text(r.version()), framing_text(r.framing()))
}

/// Lists all fields of a head behind it.
const FIELDS: &str = "fields";

/// When a server's app answers by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Auto {
    /// Only on command.
    Off,
    /// When the head is there.
    Early,
    /// When the request is there.
    Late,
    /// When the head is there, with the request's body as it comes; its length is known.
    Echo,
}

/// A server and its app.
pub struct ServerApp {
    http: Server,
    auto: Auto,
    fields: bool,
}

impl ServerApp {
    fn answer(&mut self, tx: &mut Tx) {
        let told = self.http.respond_whole(tx, &server::Response::new(200), b"ok");
        told.expect("a request waits");
    }
    fn request(&mut self, r: &server::Request<'_>, tx: &mut Tx) -> Said {
        match (self.auto, r.framing()) {
            (Auto::Early, _) => self.answer(tx),
            (Auto::Late, _) if !r.has_body() => self.answer(tx),
            (Auto::Late, _) => self.http.continue_100(tx).expect("a request waits"),
            (Auto::Echo, Framing::Length(n)) => {
                self.http.respond(tx, &server::Response::new(200), Length::Known(n)).expect("a request waits");
            }
            _ => {}
        }
        let fields = if self.fields { fields_text(&r.fields()) } else { String::new() };
        Said::Event(request_text(r) + &fields)
    }
}

impl Machine for ServerApp {
    type Event<'b> = Said;
    fn poll<'b>(&mut self, now: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<Said>, Fault> {
        Ok(match self.http.poll(now, rx, tx)? {
            Step::Event(server::Event::Request(r)) => Step::Event(self.request(&r, tx)),
            Step::Event(server::Event::Body(bytes)) => {
                if self.auto == Auto::Echo {
                    self.http.put(tx, bytes).expect("as long as the request's");
                }
                Step::Event(Said::Piece("body", bytes.to_vec()))
            }
            Step::Event(server::Event::Trailers(fields)) => {
                Step::Event(Said::Event(format!("trailers{}", fields_text(&fields))))
            }
            Step::Event(server::Event::End) => {
                if self.auto == Auto::Late {
                    self.answer(tx);
                }
                Step::Event(Said::Event("end".into()))
            }
            Step::Event(server::Event::Upgraded) => Step::Event(Said::Event("upgraded".into())),
            Step::NeedMore => Step::NeedMore,
            Step::Paused => Step::Paused,
            Step::Closed => Step::Closed,
        })
    }
    fn fill(&mut self, now: Instant, tx: &mut Tx) {
        self.http.fill(now, tx);
    }
    fn deadline(&self) -> Option<Deadline> {
        self.http.deadline()
    }
    fn on_deadline(&mut self, now: Instant, tx: &mut Tx) -> Result<(), Fault> {
        self.http.on_deadline(now, tx)
    }
}

fn length(word: &str) -> Result<Length, String> {
    Ok(match word {
        "none" => Length::None,
        "chunked" => Length::Chunked,
        "close" => Length::UntilClose,
        n => Length::Known(number(n)?),
    })
}

/// `name: value` pairs, separated by `; `.
fn pairs(text: &str) -> Result<Vec<(&str, &[u8])>, String> {
    let pair = |p| str::split_once(p, ": ").map(|(n, v)| (n, v.as_bytes())).ok_or(format!("name: value, not {p}"));
    text.split("; ").filter(|p| !p.is_empty()).map(pair).collect()
}

fn text(m: proto_core::Misuse) -> String {
    m.to_string()
}

/// The first word and the rest.
fn words(command: &str) -> (&str, &str) {
    command.split_once(' ').unwrap_or((command, ""))
}

/// [`Server`]. `= answer early|late|echo`: the app answers by itself. `= fields on`: events show fields.
pub struct ServerSubject;

impl Subject for ServerSubject {
    type Machine = ServerApp;
    const PIECES: &'static [&'static str] = &["body"];
    fn new(settings: &Settings) -> Result<ServerApp, String> {
        let (mut config, mut auto, mut fields) = (Config::SERVER, Auto::Off, false);
        for (name, value) in settings {
            match (name.as_str(), value.as_str()) {
                ("answer", "early") => auto = Auto::Early,
                ("answer", "late") => auto = Auto::Late,
                ("answer", "echo") => auto = Auto::Echo,
                (FIELDS, "on") => fields = true,
                _ if setting(&mut config, name, value)? => {}
                _ => return Err(format!("no such setting: {name} {value}")),
            }
        }
        Ok(ServerApp { http: Server::new(config), auto, fields })
    }
    fn said(event: Said, _: &mut Tx) -> Said {
        event
    }
    fn waits(machine: &ServerApp) -> bool {
        machine.http.waits_for_app()
    }
    fn command(app: &mut ServerApp, tx: &mut Tx, command: &str) -> Result<(), String> {
        // `misuse ...` must be refused, and must write nothing.
        if let Some(wrong) = command.strip_prefix("misuse ") {
            let before = tx.len();
            return match server_command(&mut app.http, tx, wrong) {
                Err(e) if e.starts_with("misuse: ") && tx.len() == before => Ok(()),
                other => Err(format!("`{wrong}` is no misuse: {other:?}, {} bytes written", tx.len() - before)),
            };
        }
        server_command(&mut app.http, tx, command)
    }
}

fn server_command(http: &mut Server, tx: &mut Tx, command: &str) -> Result<(), String> {
    let (verb, rest) = words(command);
    match verb {
        // respond STATUS LENGTH [close] [fields]; whole STATUS BODY; both with `type/sub` fixed
        "respond" => {
            let (status, rest) = words(rest);
            let (len, rest) = words(rest);
            let (close, rest) = rest.strip_prefix("closing").map_or((false, rest), |r| (true, r.trim_start()));
            let fields = pairs(rest)?;
            let response = server::Response { close, ..server::Response::new(number(status)?).fields(&fields) };
            http.respond(tx, &response, length(len)?).map_err(text)
        }
        "whole" => {
            let (status, body) = words(rest);
            let response = server::Response::new(number(status)?).typed("text/plain");
            http.respond_whole(tx, &response, body.as_bytes()).map_err(text)
        }
        "put" => http.put(tx, rest.as_bytes()).map_err(text),
        "body" => match http.body() {
            Some(body) => {
                body.put(rest.as_bytes());
                Ok(())
            }
            None => Err("misuse: no body".into()),
        },
        "fin" => http.body().map(Tx::finish).ok_or("misuse: no body".into()),
        "end" => http.finish(tx, &pairs(rest)?).map_err(text),
        "continue" => http.continue_100(tx).map_err(text),
        "inform" => {
            let (status, fields) = words(rest);
            http.informational(tx, number(status)?, &pairs(fields)?).map_err(text)
        }
        "upgrade" => {
            let (protocol, fields) = words(rest);
            http.upgrade(tx, protocol, &pairs(fields)?).map_err(text)
        }
        "tunnel" => http.tunnel(tx, &pairs(rest)?).map_err(text),
        "close_after" => {
            http.close_after();
            Ok(())
        }
        "hold" | "release" => {
            http.hold(verb == "hold");
            Ok(())
        }
        "forgiven" => forgiven(&http.take_forgiven(), rest),
        "idle" => (http.is_idle() == (rest == "yes")).then_some(()).ok_or(format!("idle is not {rest}")),
        _ => Err(format!("no such command: {command}")),
    }
}

/// Compares with `what@offset, ...`.
fn forgiven(faults: &[Fault], want: &str) -> Result<(), String> {
    let one = |f: &Fault| format!("{} @{}", f.what, f.offset);
    let got = faults.iter().map(one).collect::<Vec<_>>().join(", ");
    if got == want { Ok(()) } else { Err(format!("forgiven: {got}")) }
}

/// A client and its app. `= ask GET HEAD CONNECT ...`: requests sent at the start.
pub struct ClientApp {
    http: Client,
    ask: Vec<String>,
    fields: bool,
}

impl Machine for ClientApp {
    type Event<'b> = Said;
    fn poll<'b>(&mut self, now: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<Said>, Fault> {
        for method in std::mem::take(&mut self.ask) {
            let upgrade: [(&str, &[u8]); 3] = [("Host", b"a"), ("Connection", b"upgrade"), ("Upgrade", b"x")];
            let (method, fields) = if method == "UPGRADE" { ("GET", &upgrade[..]) } else { (&*method, &upgrade[..1]) };
            let target = if method == "CONNECT" { "a:1" } else { "/" };
            let request = client::Request::new(method, target, fields);
            self.http.request(&mut Tx::default(), &request, Length::None).expect("a request");
        }
        let fields = |r: &client::Response<'_>| if self.fields { fields_text(&r.fields()) } else { String::new() };
        let said = |text: String| Step::Event(Said::Event(text));
        let step = self.http.poll(now, rx, tx)?;
        Ok(match step {
            Step::Event(client::Event::Informational(r)) => {
                said(format!("informational {}{}", response_text(&r), fields(&r)))
            }
            Step::Event(client::Event::Response(r)) => said(format!("response {}{}", response_text(&r), fields(&r))),
            Step::Event(client::Event::Upgraded(r)) => said(format!("upgraded {}{}", response_text(&r), fields(&r))),
            Step::Event(client::Event::Body(bytes)) => Step::Event(Said::Piece("body", bytes.to_vec())),
            Step::Event(client::Event::Trailers(f)) => said(format!("trailers{}", fields_text(&f))),
            Step::Event(client::Event::End) => said("end".into()),
            Step::NeedMore => Step::NeedMore,
            Step::Paused => Step::Paused,
            Step::Closed => Step::Closed,
        })
    }
    fn fill(&mut self, now: Instant, tx: &mut Tx) {
        self.http.fill(now, tx);
    }
    fn deadline(&self) -> Option<Deadline> {
        self.http.deadline()
    }
    fn on_deadline(&mut self, now: Instant, tx: &mut Tx) -> Result<(), Fault> {
        self.http.on_deadline(now, tx)
    }
}

/// [`Client`]. `= ask GET HEAD`: requests that count as sent. `= fields on`: events show fields.
pub struct ClientSubject;

impl Subject for ClientSubject {
    type Machine = ClientApp;
    const PIECES: &'static [&'static str] = &["body"];
    fn new(settings: &Settings) -> Result<ClientApp, String> {
        let (mut config, mut ask, mut fields) = (Config::CLIENT, Vec::new(), false);
        for (name, value) in settings {
            match (name.as_str(), value.as_str()) {
                ("ask", methods) => ask = methods.split_whitespace().map(str::to_string).collect(),
                (FIELDS, "on") => fields = true,
                _ if setting(&mut config, name, value)? => {}
                _ => return Err(format!("no such setting: {name} {value}")),
            }
        }
        Ok(ClientApp { http: Client::new(config), ask, fields })
    }
    fn said(event: Said, _: &mut Tx) -> Said {
        event
    }
    fn waits(machine: &ClientApp) -> bool {
        machine.http.waits_for_app()
    }
    fn command(app: &mut ClientApp, tx: &mut Tx, command: &str) -> Result<(), String> {
        if let Some(wrong) = command.strip_prefix("misuse ") {
            let before = tx.len();
            return match client_command(&mut app.http, tx, wrong) {
                Err(e) if e.starts_with("misuse: ") && tx.len() == before => Ok(()),
                other => Err(format!("`{wrong}` is no misuse: {other:?}, {} bytes written", tx.len() - before)),
            };
        }
        client_command(&mut app.http, tx, command)
    }
}

fn client_command(http: &mut Client, tx: &mut Tx, command: &str) -> Result<(), String> {
    let (verb, rest) = words(command);
    match verb {
        // request METHOD TARGET LENGTH [fields]; whole METHOD TARGET BODY
        "request" | "whole" => {
            let (method, rest) = words(rest);
            let (target, rest) = words(rest);
            if verb == "whole" {
                let request = client::Request::new(method, target, &[("Host", b"a")]);
                return http.request_whole(tx, &request, rest.as_bytes()).map_err(text);
            }
            let (len, rest) = words(rest);
            let fields = if rest.is_empty() { vec![("Host", &b"a"[..])] } else { pairs(rest)? };
            http.request(tx, &client::Request::new(method, target, &fields), length(len)?).map_err(text)
        }
        "put" => http.put(tx, rest.as_bytes()).map_err(text),
        "body" => match http.body() {
            Some(body) => {
                body.put(rest.as_bytes());
                Ok(())
            }
            None => Err("misuse: no body".into()),
        },
        "fin" => http.body().map(Tx::finish).ok_or("misuse: no body".into()),
        "end" => http.finish(tx, &pairs(rest)?).map_err(text),
        "stop" => {
            http.stop_sending();
            Ok(())
        }
        "hold" | "release" => {
            http.hold(verb == "hold");
            Ok(())
        }
        "forgiven" => forgiven(&http.take_forgiven(), rest),
        "idle" => (http.is_idle() == (rest == "yes")).then_some(()).ok_or(format!("idle is not {rest}")),
        "heard" => (http.has_heard() == (rest == "yes")).then_some(()).ok_or(format!("heard is not {rest}")),
        _ => Err(format!("no such command: {command}")),
    }
}
