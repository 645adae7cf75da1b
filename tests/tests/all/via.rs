//! `--via` in every client tool: through our own proxy, microsocks and dante's protocol by name, address and login.
use super::dns::nsd::lines;
use super::socks::{File, proxy};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use tests::process::{Ended, RuntimeDir, Tool, have, tool, until};
use tests::scenario::drivers;

/// The servers of all clients, and their certificates.
struct Field {
    dir: RuntimeDir,
    servers: Vec<Tool>,
    echo: String,
    secret: String,
    work: String,
    chat: String,
}

impl Field {
    fn new() -> Self {
        let dir = RuntimeDir::new();
        let mut make = Command::new(tool("generate_certs"));
        make.current_dir(&dir.0);
        assert_eq!(Tool::spawn(make).wait().code, Some(0));
        let path = |name: &str| dir.0.join(name).display().to_string();
        let (cert, key) = (path("server.crt"), path("server.key"));
        let start = |name: &str, args: &[&str]| {
            let mut server = Tool::start(name, &[&["0"], args].concat());
            let port = server.port().to_string();
            (server, port)
        };
        let (a, echo) = start("echo_server", &["-q", "--max-conns", "100"]);
        let (b, secret) = start("echo_server", &["-q", "--max-conns", "100", "--cert", &cert, "--key", &key]);
        let (c, work) = start("threadpool_server", &["-q"]);
        let (d, chat) = start("chat_server", &["-q"]);
        Field { dir, servers: vec![a, b, c, d], echo, secret, work, chat }
    }
    /// Every client but dnsquery goes to its server through the proxy at `via`.
    fn all(&self, driver: &str, via: &str) {
        // Types a line, and ends its input when it has seen what it waits for: not all proxies know half of an end.
        let run = |name: &str, args: &[&str], input: &str, wanted: &str| {
            let mut client = Tool::start(name, &[args, &["-4", "--driver", driver, "--via", via]].concat());
            if !input.is_empty() {
                client.type_in(input);
            }
            while !client.line().contains(wanted) {}
            client.end_input();
            let ended = client.wait();
            assert_eq!(ended.code, Some(0), "{name} on {driver} via {via}: {ended:?}");
        };
        run("echo_client", &["localhost", &self.echo], "hello\n", "hello");
        run("benchmark_client", &["localhost", &self.work, "--requests", "50", "-c", "5"], "", "Throughput: ");
        run("chat_client", &["localhost", &self.chat], "/nick ann\n", "ann");
    }
    /// What needs a proxy that passes on the end of one direction: known streams, and TLS, which says goodbye.
    fn ends(&self, driver: &str, via: &str) {
        let more = ["-4", "--driver", driver, "--via", via];
        let args = ["localhost", &self.echo, "--verify", "--size", "1MiB", "--conns", "20"];
        let ended = Tool::start("echo_client", &[&args[..], &more].concat()).wait();
        assert!(ended.stdout.contains("on 20 connections came back unchanged"), "{driver} via {via}: {ended:?}");
        let ca = self.dir.0.join("ca.crt").display().to_string();
        let mut client = Tool::start("echo_client", &[&["localhost", &self.secret, "--ca", &ca], &more[..]].concat());
        client.type_in("secret\n");
        client.end_input();
        let ended = client.wait();
        assert!(ended.code == Some(0) && ended.stdout.contains("secret"), "{driver} via {via}: {ended:?}");
    }
}

#[test]
fn every_client_goes_through_our_own_proxy_on_all_drivers() {
    let field = Field::new();
    let users = File::new("via-users", "user:pass\n");
    for driver in drivers() {
        let (open, port) = proxy("epoll", &[]);
        let via = format!("socks5h://127.0.0.1:{port}");
        field.all(driver, &via);
        field.ends(driver, &via);
        let log = open.stop().stdout;
        // 1 + 1 + 20 + 5 + 1, each asked for by name.
        assert_eq!(log.matches("CONNECT localhost:").count(), 28, "{log}");
        let (open, port) = proxy("epoll", &["--auth", users.path()]);
        let via = format!("socks5://user:pass@localhost:{port}");
        field.all(driver, &via);
        field.ends(driver, &via);
        let log = open.stop().stdout;
        assert_eq!((log.matches("CONNECT localhost:").count(), log.matches("CONNECT 127.0.0.1:").count()), (0, 28));
    }
    for server in field.servers {
        assert_eq!(server.stop().code, Some(0));
    }
}

/// microsocks, with a user if there is a `login`, and its port.
pub fn microsocks(login: &str) -> (Tool, u16) {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let mut command = Command::new("microsocks");
    command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
    if !login.is_empty() {
        command.args(["-u", "user", "-P", "pass"]);
    }
    let other = Tool::spawn(command);
    until("microsocks listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    (other, port)
}

#[test]
fn every_client_goes_through_microsocks() {
    if !have("microsocks") {
        return;
    }
    let field = Field::new();
    for login in ["", "user:pass@"] {
        let (_other, free) = microsocks(login);
        for scheme in ["socks5h", "socks5"] {
            field.all("poll", &format!("{scheme}://{login}127.0.0.1:{free}"));
        }
    }
}

/// Asks for the address of `a.types.example` through the proxy at `via`.
fn query(more: &[&str], via: &str) -> Ended {
    let mut client = Tool::start("dnsquery", &[&["--via", via, "--short", "a.types.example"], more].concat());
    client.end_input();
    client.wait()
}

#[test]
fn questions_go_through_a_proxy() {
    if !have("nsd") {
        return;
    }
    let nsd = super::dns::real::start();
    let (port, tls) = (nsd.port.to_string(), nsd.tls.to_string());
    let ca = nsd.dir.join("ca.crt").display().to_string();
    let server = ["@127.0.0.1", "-p", &port];
    let mut direct = Tool::start("dnsquery", &[&["--short", "a.types.example"], &server[..]].concat());
    direct.end_input();
    let want = lines(&direct.wait().stdout);
    assert!(!want.is_empty());
    let (open, at) = proxy("epoll", &[]);
    for via in [format!("socks5h://127.0.0.1:{at}"), format!("socks5://localhost:{at}")] {
        for args in [&server[..], &["@127.0.0.1", "-p", &tls, "--over", "tls", "--ca", &ca]] {
            for driver in drivers() {
                let got = query(&[args, &["--driver", driver]].concat(), &via);
                assert_eq!((got.code, lines(&got.stdout)), (Some(0), want.clone()), "{via} {args:?}: {}", got.stderr);
            }
        }
    }
    let log = open.stop().stdout;
    let asked = log.matches(&format!("CONNECT 127.0.0.1:{port}\n")).count();
    assert_eq!(asked, 2 * drivers().len(), "{log}");
    // A proxy that is not there, one that does not lead there, a server that is not there.
    let gone = query(&server, "socks5h://127.0.0.1:1");
    let text = "dnsquery: connect to the proxy 127.0.0.1:1: connection refused\n";
    assert_eq!((gone.code, gone.stderr.as_str()), (Some(4), text));
    let mut strict = Tool::start("socks5_proxy", &["0", "-q"]);
    let via = format!("socks5h://127.0.0.1:{}", strict.port());
    let got = query(&server, &via);
    let text = format!("dnsquery: proxy {} for 127.0.0.1:{port}: not allowed by the proxy's rules\n", &via[10..]);
    assert_eq!((got.code, got.stderr), (Some(4), text));
}

#[test]
fn what_a_proxy_says_is_told() {
    let mut strict = Tool::start("socks5_proxy", &["0", "-q"]);
    let at = format!("127.0.0.1:{}", strict.port());
    let users = File::new("via-more-users", "user:pass\n");
    let clients: [(&str, &[&str]); 4] = [
        ("echo_client", &["127.0.0.1", "9"]),
        ("echo_client", &["127.0.0.1", "9", "--verify"]),
        ("benchmark_client", &["127.0.0.1", "9"]),
        ("chat_client", &["127.0.0.1", "9"]),
    ];
    for (name, args) in clients {
        // Of its own, as who fails often is not heard for a while.
        let (_open, port) = proxy("epoll", &["-q", "--auth", users.path()]);
        let said = |via: &str| {
            let mut client = Tool::start(name, &[args, &["--via", via]].concat());
            client.end_input();
            let ended = client.wait();
            (ended.code, ended.stderr.lines().last().map(|l| format!("{l}\n")).unwrap_or_default())
        };
        let refused = format!("{name}: proxy {at} for 127.0.0.1:9: not allowed by the proxy's rules\n");
        assert_eq!(said(&format!("socks5h://{at}")), (Some(4), refused));
        let nobody = format!("{name}: proxy 127.0.0.1:{port} for 127.0.0.1:9: connection refused\n");
        assert_eq!(said(&format!("socks5h://user:pass@127.0.0.1:{port}")), (Some(4), nobody));
        let login = format!(
            "{name}: proxy 127.0.0.1:{port} for 127.0.0.1:9: the proxy does not accept the user name and password\n"
        );
        assert_eq!(said(&format!("socks5h://user:nope@127.0.0.1:{port}")), (Some(8), login));
        let gone = format!("{name}: connect to the proxy 127.0.0.1:1: connection refused (tried 127.0.0.1)\n");
        assert_eq!(said("socks5h://127.0.0.1:1"), (Some(4), gone));
        assert_eq!(said("socks5://no.such.proxy.invalid").0, Some(3));
        assert_eq!(said("ftp://p").0, Some(2));
    }
}
