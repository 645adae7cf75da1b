//! Every machine: its transcripts in every cut, its laws, and proof that neither passes what is wrong.
use proto_core::{Deadline, Fault, Instant, Machine, Rx, Step, Tx};
use std::path::Path;
use std::time::Duration;
use tests::drive::{Said, Subject};
use tests::laws::{ends_are_told, looks_once, prefixes_wait, stops_when_full};
use tests::socks5::{Asker, Proxy};
use tests::subjects::{DnsFrames, Echo, Keys, Lines, Requests};
use tests::transcript::Transcript;

fn transcripts<S: Subject>(machine: &str, at_least: usize) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts").join(machine);
    let all = Transcript::load(&dir).unwrap_or_else(|e| panic!("{e}"));
    assert!(all.len() >= at_least, "{} transcripts of {machine}", all.len());
    let wrong: Vec<String> = all.iter().filter_map(|t| t.check::<S>().err()).collect();
    assert!(wrong.is_empty(), "{machine}: {} of {} failed:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

#[test]
fn line_transcripts() {
    transcripts::<Lines>("line", 15);
}

#[test]
fn http1_transcripts() {
    transcripts::<Requests>("http1", 60);
}

#[test]
fn echo_transcripts() {
    transcripts::<Echo>("echo", 10);
}

#[test]
fn terminal_transcripts() {
    transcripts::<Keys>("terminal", 15);
}

#[test]
fn dns_stream_transcripts() {
    transcripts::<DnsFrames>("dns_stream", 13);
    let message = b"\x00\x0e\x00\x07\x81\x80\x00\x00\x00\x00\x00\x00\x00\x00ab";
    prefixes_wait::<DnsFrames>(&[], message).unwrap_or_else(|e| panic!("{e}"));
    let told = |n: usize, last: &str| if n == 0 || n == 16 { last == "closed" } else { last.starts_with("fault") };
    ends_are_told::<DnsFrames>(&[], message, told).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn socks5_transcripts() {
    transcripts::<Proxy>("socks5_server", 15);
    transcripts::<Asker>("socks5_client", 8);
    transcripts::<Proxy>("proxy_server", 15);
}

#[test]
fn socks5_waits_for_whole_messages_and_tells_ends() {
    let whole = b"\x05\x01\x00\x05\x01\x00\x03\x0bexample.com\x01\xbb";
    let cut = |_: usize, last: &str| last.starts_with("fault 0: closed during handshake");
    ends_are_told::<Proxy>(&[], whole, cut).unwrap_or_else(|e| panic!("{e}"));
    prefixes_wait::<Proxy>(&[], whole).unwrap_or_else(|e| panic!("{e}"));
    let all = [("v4".into(), "yes".into()), ("http".into(), "yes".into())];
    let socks4a = b"\x04\x01\x01\xbb\x00\x00\x00\x01me\x00example.com\x00";
    ends_are_told::<Proxy>(&all, socks4a, cut).unwrap_or_else(|e| panic!("{e}"));
    prefixes_wait::<Proxy>(&all, socks4a).unwrap_or_else(|e| panic!("{e}"));
    let connect = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n";
    let short = |at: usize, last: &str| {
        let asked = at == 0 || at == connect.len();
        last.starts_with(if asked { "fault 0: closed during" } else { "fault 400: a request that was cut short" })
    };
    ends_are_told::<Proxy>(&all, connect, short).unwrap_or_else(|e| panic!("{e}"));
    prefixes_wait::<Proxy>(&all, connect).unwrap_or_else(|e| panic!("{e}"));
    prefixes_wait::<Asker>(&[], b"\x05\x00\x05\x00\x00\x01\x0a\x00\x00\x01\x10\x92").unwrap_or_else(|e| panic!("{e}"));
}

/// A terminal that is not read is not drawn on: at most one key's row is put beyond the limit.
#[test]
fn a_terminal_that_is_full_takes_no_keys() {
    let keys = b"some words\x01\x06".repeat(1000);
    stops_when_full::<Keys>(&[], &keys, 2000, 200).unwrap_or_else(|e| panic!("{e}"));
    ends_are_told::<Keys>(&[], b"ab\x1b[D\xc3\xa9\r", |_, last| last == "closed").unwrap_or_else(|e| panic!("{e}"));
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
const CHUNKS: &[u8] =
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n1\r\nd\r\n0\r\nA: b\r\n\r\n";

#[test]
fn a_prefix_of_a_valid_message_waits() {
    for message in [GET, POST, CHUNKS] {
        prefixes_wait::<Requests>(&[], message).unwrap_or_else(|e| panic!("{e}"));
        prefixes_wait::<Echo>(&[], message).unwrap_or_else(|e| panic!("{e}"));
    }
    prefixes_wait::<Lines>(&[], b"one\r\ntwo\n\n").unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn the_end_of_input_is_told() {
    for message in [GET, POST, CHUNKS] {
        let http = |n: usize, last: &str| match last {
            "closed" => n == 0 || n == message.len(),
            fault => fault.starts_with(&format!("fault 400: a request that was cut short at byte {n} ")),
        };
        ends_are_told::<Requests>(&[], message, http).unwrap_or_else(|e| panic!("{e}"));
        let undecided = message.iter().position(|b| *b == b'/').unwrap_or(0);
        ends_are_told::<Echo>(&[], message, |n, last| if n <= undecided { last == "closed" } else { http(n, last) })
            .unwrap_or_else(|e| panic!("{e}"));
    }
    ends_are_told::<Lines>(&[], b"one\r\ntwo\n\n", |_, last| last == "closed").unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn bytes_are_looked_at_once() {
    let wide = |name: &str| vec![(name.to_string(), "70000".to_string())];
    looks_once::<Lines>(&wide("line"), b"", b"a", 65_536, 1, b'\n').unwrap_or_else(|e| panic!("{e}"));

    let (head, line) = (wide("head"), [wide("head"), wide("request_line")].concat());
    looks_once::<Requests>(&line, b"GET /", b"a", 60_000, 1, b'\n').unwrap_or_else(|e| panic!("{e}"));
    looks_once::<Requests>(&head, b"GET / HTTP/1.1\r\nX: ", b"a", 60_000, 1, b'\n').unwrap_or_else(|e| panic!("{e}"));
    looks_once::<Requests>(&head, b"GET / HTTP/1.1\r\n", b"A: b\r\n", 100, 7, b'\n').unwrap_or_else(|e| panic!("{e}"));
    let length = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n";
    looks_once::<Requests>(&[], length, b"a", 65_536, 1, b'\n').unwrap_or_else(|e| panic!("{e}"));
    let chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice();
    let large = [chunked, b"10001\r\n"].concat();
    looks_once::<Requests>(&[], &large, b"a", 65_536, 1, b'\n').unwrap_or_else(|e| panic!("{e}"));
    looks_once::<Requests>(&[], chunked, b"1\r\nx\r\n", 10_000, 7, b'!').unwrap_or_else(|e| panic!("{e}"));
    looks_once::<Requests>(&[], &[chunked, b"1;"].concat(), b"a", 250, 1, b'\n').unwrap_or_else(|e| panic!("{e}"));
    let trailer = [chunked, b"0\r\nX: "].concat();
    looks_once::<Requests>(&[], &trailer, b"a", 8_000, 1, b'\n').unwrap_or_else(|e| panic!("{e}"));
    looks_once::<Echo>(&head, b"GET / HTTP/1.1\r\nX: ", b"a", 60_000, 1, b'\n').unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_peer_that_does_not_read_is_not_read_from() {
    let expect = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx";
    stops_when_full::<Requests>(&[], &expect.repeat(9), 100, 25).unwrap_or_else(|e| panic!("{e}"));
    stops_when_full::<Echo>(&[], &GET.repeat(9), 100, 200).unwrap_or_else(|e| panic!("{e}"));
    stops_when_full::<Echo>(&[], &POST.repeat(9), 1, 200).unwrap_or_else(|e| panic!("{e}"));
    let taken = stops_when_full::<Echo>(&[], &GET.repeat(2), 10_000, 200).expect_err("there was room for all");
    assert!(taken.contains("it took all"), "{taken}");
}

#[test]
fn a_plain_echo_waits_for_room() {
    let (mut echo, mut tx) = (<Echo as Subject>::new(&[]).expect("no settings"), Tx::with_limit(4));
    let (mut first, mut second) = (*b"hello", *b"again");
    let mut poll = |input: &mut [u8], tx: &mut Tx| match echo.poll(Instant::default(), &mut Rx::new(input, false), tx) {
        Ok(Step::Event(event)) => Some(Echo::said(event, tx)),
        Ok(Step::Paused) => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(poll(&mut first, &mut tx), Some(Said::Piece("bytes", b"hello".to_vec())));
    assert_eq!(poll(&mut second, &mut tx), None);
    tx.consume(5, None);
    assert_eq!(poll(&mut second, &mut tx), Some(Said::Piece("bytes", b"again".to_vec())));
}

// What follows proves that the bed can fail.

#[test]
fn a_wrong_transcript_fails() {
    let check = |text: &str| Transcript::parse("t", text).and_then(|t| t.check::<Lines>());
    assert_eq!(check("> a\\nb\\n\n! line a\n! line b\n"), Ok(()));
    for (text, what) in [
        ("> a\\n\n! line b\n", "expected\n! line b\nbut it was\n! line a\n"),
        ("> a\\nb\\n\n! line a\n", "line b"),
        ("> a\\n\n! line a\n! line b\n", "line b"),
        ("> a\\n\n< x\n! line a\n", "< x"),
        ("> a\n! line a\n> \\n\n", "line 1: expected\n! line a\nbut it was"),
        ("> a\n> EOF\n! line a\n", "! closed"),
        ("? dance\n! line a\n", "no such command: dance"),
        ("> EOF\n! closed\n> a\n", "input after EOF"),
        ("= size 5\n> a\\n\n! line a\n", "no such setting: size"),
        ("= line five\n> a\\n\n! line a\n", "not a number: five"),
        ("> \\q\n! line a\n", "unknown escape"),
        ("> \\x4\n! line a\n", "two digits"),
        ("@ 30s\n! line a\n", "time passes as in"),
        ("hello\n", "a line begins with"),
        ("> a\\n\n", "expects nothing"),
    ] {
        let error = check(text).expect_err(text);
        assert!(error.contains(what), "{text}: {error}");
    }
}

/// A machine that breaks one law, named by its setting.
struct Broken {
    law: String,
    seen: usize,
    since: Option<Instant>,
}

impl Machine for Broken {
    type Event<'b> = &'b [u8];
    fn poll<'b>(&mut self, now: Instant, rx: &mut Rx<'b>, tx: &mut Tx) -> Result<Step<&'b [u8]>, Fault> {
        if rx.is_eof() {
            return Ok(if self.law == "waits at the end" { Step::NeedMore } else { Step::Closed });
        }
        self.since.get_or_insert(now);
        let n = match self.law.as_str() {
            "event per read" => rx.len(),
            "pauses with room" => return Ok(Step::Paused),
            "turns in circles" => return Ok(Step::Event(&[])),
            "forgets when cut" if rx.len() < 4 => {
                rx.take(rx.len());
                0
            }
            _ => 4,
        };
        if n == 0 || rx.len() < n {
            self.seen = rx.len();
            return Ok(if rx.is_last() && self.law != "waits at the end" { Step::Closed } else { Step::NeedMore });
        }
        if self.law == "looks twice" && rx.peek().contains(&b'!') {
            return Ok(Step::Closed);
        }
        if self.law == "puts by room" {
            tx.put(if tx.room() > 4096 { b"much" } else { b"few!" });
        }
        Ok(Step::Event(rx.take(n)))
    }
    fn deadline(&self) -> Option<Deadline> {
        let since = self.since.filter(|_| self.law == "never content")?;
        Some(Deadline::new(since, Duration::from_secs(1), "nothing"))
    }
}

struct BrokenSubject;

impl Subject for BrokenSubject {
    type Machine = Broken;
    fn new(settings: &[(String, String)]) -> Result<Broken, String> {
        let law = settings.first().map_or_else(String::new, |(name, value)| format!("{name} {value}"));
        Ok(Broken { law, seen: 0, since: None })
    }
    fn said(event: &[u8], _: &mut Tx) -> Said {
        Said::Event(format!("four {}", event.escape_ascii()))
    }
    fn command(machine: &mut Broken, tx: &mut Tx, text: &str) -> Result<(), String> {
        let law = text.strip_prefix("break ").ok_or("break what?")?;
        machine.law = law.into();
        tx.put(b"as you say");
        Ok(())
    }
}

#[test]
fn a_machine_that_breaks_a_law_fails() {
    let good = "> abcd\n! four abcd\n> efgh\n! four efgh\n> EOF\n! closed\n";
    let check = |law: &str, text: &str| {
        let text = if law.is_empty() { text.to_string() } else { format!("= {law}\n{text}") };
        Transcript::parse(law, &text).and_then(|t| t.check::<BrokenSubject>())
    };
    assert_eq!(check("", good), Ok(()));
    for (law, what) in [
        ("event per read", "four abcdefgh"),
        ("forgets when cut", "(Bytes, "),
        ("pauses with room", "it paused though there is room"),
        ("turns in circles", "polls without progress"),
        ("waits at the end", "it needs more after the end of input"),
        ("puts by room", "much"),
    ] {
        let error = check(law, good).expect_err(law);
        assert!(error.contains(what), "{law}: {error}");
    }
    let late = check("never content", "> abcd\n! four abcd\n@ +5s\n").expect_err("a deadline that stays");
    assert!(late.contains("the deadline for nothing never moves"), "{late}");
}

#[test]
fn commands_are_run_and_what_they_send_is_seen() {
    let text = "> abcd\n! four abcd\n? break event per read\n< as you say\n> xy\n! four xy\n";
    let t = Transcript::parse("command", text).expect("it is well formed");
    let error = t.check::<BrokenSubject>().expect_err("bytes come one by one");
    assert!(error.contains("(Bytes, ") && error.contains("four x\n"), "{error}");
}

#[test]
fn a_broken_law_is_found() {
    let settings =
        |law: &str| law.split_once(' ').map(|(a, b)| (a.to_string(), b.to_string())).into_iter().collect::<Vec<_>>();
    assert_eq!(prefixes_wait::<BrokenSubject>(&[], b"abcd"), Ok(()));
    let at_a_mark = prefixes_wait::<BrokenSubject>(&settings("looks twice"), b"abc!efgh");
    assert!(at_a_mark.is_err_and(|e| e.contains("closed")));
    assert!(prefixes_wait::<Requests>(&[], b"GET / HTTP/1.1\r\n\r\n").is_err());

    let closed = |_: usize, last: &str| last == "closed";
    assert_eq!(ends_are_told::<BrokenSubject>(&[], b"abc", closed), Ok(()));
    assert!(ends_are_told::<BrokenSubject>(&settings("waits at the end"), b"abc", closed).is_err());
    assert!(ends_are_told::<Requests>(&[], GET, closed).is_err(), "a cut head is a fault");
}

#[test]
fn taking_without_room_is_found() {
    let error = stops_when_full::<BrokenSubject>(&[("puts".into(), "by room".into())], &[b'x'; 90], 9, 4);
    assert!(error.is_err_and(|e| e.contains("bytes wait, 9 and an answer are allowed")));
}

/// Finds LF, from the start again each time.
struct Rescanning;

impl Machine for Rescanning {
    type Event<'b> = ();
    fn poll<'b>(&mut self, _: Instant, rx: &mut Rx<'b>, _: &mut Tx) -> Result<Step<()>, Fault> {
        match rx.peek().iter().position(|b| *b == b'\n') {
            Some(i) => {
                rx.take(i + 1);
                Ok(Step::Event(()))
            }
            None if rx.is_last() => Ok(Step::Closed),
            None => Ok(Step::NeedMore),
        }
    }
}

struct RescanningSubject;

impl Subject for RescanningSubject {
    type Machine = Rescanning;
    fn new(_: &[(String, String)]) -> Result<Rescanning, String> {
        Ok(Rescanning)
    }
    fn said((): (), _: &mut Tx) -> Said {
        Said::Event("line".into())
    }
}

#[test]
fn looking_twice_is_found() {
    let error = looks_once::<RescanningSubject>(&[], b"", b"a", 100, 1, b'\n').expect_err("it looks from the start");
    assert!(error.contains("seen before"), "{error}");
}
