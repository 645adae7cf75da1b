//! https through proxies, and with servers of others.
use crate::httpclient_peers::{Foreign, serve};
use crate::https::{HELLO, World, ended, url};
use proto_core::tls::{ClientAuth, Common, ServerSetup};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use tests::certs;
use tests::odd::{Do, Odd};
use tests::process::{Tool, have, tool};
use tests::scenario::drivers;
use tests::secure::{Ending, Secure};

/// An HTTP proxy that passes on; it tells what it was asked.
fn proxy() -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a port").port();
    let (tell, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut s in listener.incoming().flatten() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && s.read(&mut byte).is_ok_and(|n| n > 0) {
                head.push(byte[0]);
            }
            let text = String::from_utf8_lossy(&head).into_owned();
            let port = text.split([':', ' ']).nth(2).and_then(|p| p.parse::<u16>().ok()).unwrap_or(0);
            let _ = tell.send(text); // the test may have heard enough
            let Ok(mut up) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let _ = s.write_all(b"HTTP/1.1 200 OK\r\n\r\n"); // the client may have gone
            let (mut s2, mut up2) = (s.try_clone().expect("a socket"), up.try_clone().expect("a socket"));
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut s2, &mut up2); // either side may have gone
                let _ = up2.shutdown(std::net::Shutdown::Write);
            });
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut up, &mut s);
                let _ = s.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    (port, heard)
}

#[test]
fn through_proxies() {
    let w = World::new();
    let made = w.ca.sign(certs::server(&["no.such.host.invalid"]));
    let common = Common { identity: Some(made.identity(&[])), ..Common::default() };
    let server = Secure::start(ServerSetup::new(common, ClientAuth::No).expect("a setup"), HELLO, Ending::Goodbye);
    let at = format!("https://no.such.host.invalid:{}/", server.port);
    for driver in drivers() {
        let (port, heard) = proxy();
        let via = format!("http://u:p@127.0.0.1:{port}");
        let got = w.fetch(&["-b", "--driver", driver, "--via", &via, &at]);
        assert_eq!(got, ended(0, "hello\n", ""), "{driver}");
        let asked = heard.recv().expect("it was asked");
        assert!(asked.starts_with(&format!("CONNECT no.such.host.invalid:{} HTTP/1.1\r\n", server.port)), "{asked}");
        assert!(asked.contains("Proxy-Authorization: Basic dTpw\r\n"), "{asked}");
    }
    let (port, _heard) = proxy();
    let got = w.ask(&["-b", "--via", &format!("127.0.0.1:{port}"), "--sni", "localhost", &at]);
    assert_eq!(got.code, Some(6), "{}", got.stderr);
    assert!(got.stderr.contains("Reason: hostname mismatch\n"), "{}", got.stderr);
}

#[test]
fn through_our_own_socks_proxy() {
    let w = World::new();
    let secure = w.serve(HELLO, Ending::Goodbye);
    let mut open = w.start("socks5_proxy", &["0", "-q", "--allow", "loopback"]);
    let port = open.port();
    for driver in drivers() {
        for scheme in ["socks5", "socks5h"] {
            let via = format!("{scheme}://127.0.0.1:{port}");
            let plain = Odd::once(HELLO);
            let http = format!("http://localhost:{}/", plain.port);
            for at in [http, url(secure.port), format!("https://127.0.0.1:{}/", secure.port)] {
                let got = w.fetch(&["-b", "-4", "--driver", driver, "--via", &via, &at]);
                assert_eq!(got, ended(0, "hello\n", ""), "{driver} {scheme} {at}");
            }
        }
    }
    let via = format!("socks5h://127.0.0.1:{port}");
    let odd = Odd::once(HELLO);
    let mut command = Command::new(tool("httpclient"));
    command.args(["-b", &odd.url("/")]).env("ALL_PROXY", &via).env_remove("http_proxy").env_remove("HTTP_PROXY");
    assert_eq!(Tool::spawn(command).wait(), ended(0, "hello\n", ""));
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let got = w.fetch(&["--via", &via, &format!("http://127.0.0.1:{gone}/")]);
    let text = format!("httpclient: proxy 127.0.0.1:{port} for 127.0.0.1:{gone}: connection refused\n");
    assert_eq!(got, ended(4, "", &text));
    let got = w.fetch(&["--via", &format!("socks5://127.0.0.1:{port}"), "http://no.such.host.invalid/"]);
    assert_eq!(got.code, Some(3), "looked up here: {}", got.stderr);
    let got = w.fetch(&["--via", &via, "http://no.such.host.invalid/"]);
    assert_eq!(got.code, Some(4), "looked up there: {}", got.stderr);
    // Who is no proxy, and who says nothing.
    for (script, code, why) in [
        (vec![Do::Say(b"HTTP/1.1 400 No\r\n\r\n".to_vec()), Do::Linger], 7, "not SOCKS5"),
        (vec![Do::Say(vec![5, 255]), Do::Linger], 8, "the proxy wants a user name and a password"),
        (vec![Do::Linger], 5, "the proxy does not answer in time"),
        (vec![], 4, "the proxy closed the connection during the handshake"),
    ] {
        let odd = Odd::start(vec![[&[Do::Hello][..], &script].concat()]);
        let via = format!("socks5h://127.0.0.1:{}", odd.port);
        let got = w.fetch(&["--connect-timeout", "300ms", "--via", &via, "http://a/"]);
        assert_eq!(got, ended(code, "", &format!("httpclient: proxy 127.0.0.1:{} for a:80: {why}\n", odd.port)));
    }
    assert_eq!(open.stop().code, Some(0));
}

/// A server of somebody else, with certificates of ours; killed at the end.
fn foreign(w: &World, name: &str, version: &str) -> Option<Foreign> {
    if !have(name) {
        return None;
    }
    let [cert, key] = w.files(&format!("{name}{version}"), certs::server(&["localhost"]));
    let dir = w.folder.0.display().to_string();
    w.folder.put("index.html", b"hello\n");
    Some(serve(&w.folder, |port| {
        let mut command = Command::new(name);
        let port = port.to_string();
        match name {
            "openssl" => {
                let flag = if version == "1.2" { "-tls1_2" } else { "-tls1_3" };
                command.args(["s_server", "-WWW", "-quiet", "-accept", &port, "-cert", &cert, "-key", &key, flag]);
            }
            "gnutls-serv" => {
                let priority = format!("NORMAL:-VERS-ALL:+VERS-TLS{version}");
                command.args(["-q", "--http", "-p", &port, "--x509certfile", &cert, "--x509keyfile", &key]);
                command.args(["--priority", &priority]);
            }
            _ => {
                let config = format!(
                    "daemon off; master_process off; pid {dir}/nginx.pid; error_log /dev/null;\nevents {{}}\nhttp {{ \
                     access_log off; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; \
                     uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5; server {{ listen 127.0.0.1:{port} ssl; root {dir}; \
                     ssl_certificate {dir}/{cert}; ssl_certificate_key {dir}/{key}; ssl_protocols TLSv{version}; }} }}\n"
                );
                w.folder.put("nginx.conf", config.as_bytes());
                command.args(["-p", &dir, "-c", &format!("{dir}/nginx.conf")]);
            }
        }
        command
    }))
}

#[test]
fn servers_of_others() {
    let w = World::new();
    for version in ["1.2", "1.3"] {
        for name in ["openssl", "gnutls-serv", "nginx"] {
            let Some(server) = foreign(&w, name, version) else { continue };
            let at = format!("https://localhost:{}/index.html", server.1);
            for driver in ["epoll", "io_uring", "blocking"].into_iter().filter(|d| drivers().contains(d)) {
                let got = w.ask(&["--driver", driver, "--resume", &at]);
                // gnutls-serv answers with a page of its own about the handshake.
                let body = if name == "gnutls-serv" { "</HTML>" } else { "hello\n" };
                assert!(
                    got.stdout.starts_with(&format!("TLS Handshake:\nProtocol: TLSv{version}\n")),
                    "{name} {got:?}"
                );
                assert!(got.stdout.trim_end().ends_with(body.trim_end()), "{name} {version} {driver}: {got:?}");
                assert!(got.stdout.contains("\nResumed: yes\n"), "{name} {version} {driver}: {}", got.stdout);
                // s_server and gnutls-serv may end without a goodbye, and that is told.
                assert!(matches!(got.code, Some(0 | 7)), "{name} {version} {driver}: {got:?}");
                assert_eq!(got.code == Some(0), got.stderr.is_empty(), "{name} {version} {driver}: {got:?}");
            }
        }
    }
}
