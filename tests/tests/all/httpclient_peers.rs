//! `httpclient` against servers of others and our own, with files that do not fit into memory, and in virtual time with
//! faults.
use crate::httpclient::Folder;
use bins::dialer::Family;
use bins::fetch::address::Address;
use bins::fetch::options::{Fail, Job, Out, Reach};
use bins::fetch::{Fetch, Options};
use bins::http::{HttpServer, Options as SiteOptions, Site};
use bins::service::Settings;
use core::convert::Infallible;
use drivers::sim::{NodeConfig, Plan, Sim, check_seeds};
use proto_core::{App, Chunk, Cx, Deadline, Input};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tests::process::{PATIENCE, Tool, have, until};

/// A server of somebody else; killed at the end.
pub struct Foreign(Child, pub u16);

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port()
}

/// Starts a server, again on another port if somebody was faster.
pub fn serve(folder: &Folder, command: impl Fn(u16) -> Command) -> Foreign {
    for _ in 0..5 {
        let port = free_port();
        let mut command = command(port);
        command.current_dir(&folder.0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Foreign(command.spawn().expect("it starts"), port);
        let mut over = false;
        until("it listens or ends", || {
            over = server.0.try_wait().is_ok_and(|s| s.is_some());
            over || TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        if !over {
            return server;
        }
    }
    panic!("no port is free");
}

fn nginx(folder: &Folder) -> Foreign {
    let dir = folder.0.display().to_string();
    serve(folder, |port| {
        let config = format!(
            "daemon off; master_process off; pid {dir}/nginx.pid; error_log /dev/null;\nevents {{}}\nhttp {{ access_log off; \
             client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; \
             scgi_temp_path {dir}/t5; gzip on; gzip_types *; gzip_min_length 1; \
             server {{ listen 127.0.0.1:{port}; root {dir}/www; location = /old {{ return 301 /a.txt; }} }} }}\n"
        );
        std::fs::write(folder.0.join("nginx.conf"), config).expect("a file");
        let mut command = Command::new("nginx");
        command.args(["-p", &dir, "-c", &format!("{dir}/nginx.conf")]);
        command
    })
}

fn python(folder: &Folder) -> Foreign {
    serve(folder, |port| {
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1", "--directory", "www"]);
        command
    })
}

fn site() -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.0.join("www")).expect("a folder");
    folder.put("www/a.txt", b"0123456789");
    folder.put("www/empty", b"");
    folder.put("www/big.txt", "all work and no play\n".repeat(20_000).as_bytes());
    folder
}

/// What curl prints, with line ends as ours and without the time.
fn curl(url: &str) -> String {
    let out = Command::new("curl").args(["-s", "-i", "--raw", "--noproxy", "*", "-A", "drywire/0.1", url]).output();
    let text = String::from_utf8_lossy(&out.expect("curl").stdout).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    undated(&format!("{}\n\n{body}", head.replace("\r\n", "\n")))
}

fn undated(text: &str) -> String {
    let (head, body) = text.split_once("\n\n").expect("a head");
    let lines: Vec<&str> = head.lines().filter(|l| !l.starts_with("Date: ")).collect();
    format!("{}\n\n{body}", lines.join("\n"))
}

#[test]
fn the_same_as_curl() {
    if !have("curl") {
        return;
    }
    let folder = site();
    let mut ours = Tool::start("httpserver", &["0", "-q", "-d", folder.0.join("www").to_str().expect("a name")]);
    let mut servers = vec![("httpserver", ours.port(), None)];
    if have("nginx") {
        let n = nginx(&folder);
        servers.push(("nginx", n.1, Some(n)));
    }
    if have("python3") {
        let p = python(&folder);
        servers.push(("http.server", p.1, Some(p)));
    }
    for (name, port, _keep) in &servers {
        for path in ["/a.txt", "/empty", "/none", "/big.txt", "/www%2f..%2fnginx.conf"] {
            let url = format!("http://127.0.0.1:{port}{path}");
            // http.server answers in HTTP/1.0 and ends the connection.
            let got = folder.run(&[&url]);
            assert_eq!((got.code, undated(&got.stdout)), (Some(0), curl(&url)), "{name} {path}: {}", got.stderr);
        }
        let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
        let got = folder.run(&["-v", "-b", &url("/a.txt"), &url("/a.txt")]);
        assert_eq!(got.stdout, "01234567890123456789", "{name}");
        assert_eq!(got.stderr.contains("* reusing connection 1"), *name != "http.server", "{name}");
        // Half of it is there; nobody but http.server has ranges.
        folder.put("g.part", b"01234");
        let got = folder.run(&["-C", "-", "-o", "g", &url("/a.txt")]);
        assert_eq!(
            (got.code, folder.file("g").as_deref()),
            (Some(0), Some(&b"0123456789"[..])),
            "{name}: {}",
            got.stderr
        );
        std::fs::remove_file(folder.0.join("g")).expect("a file");
    }
    if let Some((_, port, _)) = servers.iter().find(|s| s.0 == "nginx") {
        let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
        let got = folder.run(&["--compressed", "-o", "unpacked", &url("/big.txt"), "-v"]);
        assert!(got.code == Some(0) && got.stderr.contains("< Content-Encoding: gzip"), "{}", got.stderr);
        assert_eq!(folder.file("unpacked"), folder.file("www/big.txt"));
        assert_eq!(folder.run(&["-L", "-b", &url("/old")]).stdout, "0123456789");
    }
}

#[test]
fn our_own_server_of_handlers_echoes_what_is_sent() {
    let folder = Folder::new();
    let noise: Vec<u8> = (0..900_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    folder.put("noise", &noise);
    let mut server = Tool::start("coro_http_server", &["0", "-q", "--max-body", "2MiB"]);
    let url = format!("http://127.0.0.1:{}/echo", server.port());
    let got = folder.run(&["-d", "@noise", "-o", "back", &url]);
    assert_eq!((got.code, folder.file("back")), (Some(0), Some(noise)), "{}", got.stderr);
    let got = folder.run(&["-b", "-F", "f=@noise", &url]);
    assert_eq!(got.code, Some(0), "{}", got.stderr);
    let stream = url.replace("/echo", "/stream/5000000");
    assert_eq!(folder.run(&["-o", "s", &stream]).stdout, "Downloaded 5,000,000 bytes to s\n");
}

/// Where the test's large file is not all zeros: byte and value.
const MARKS: [(u64, u8); 4] = [(0, 1), (123_456_789, 2), (600_000_000, 3), ((1 << 30) - 1, 4)];

/// Serves a sparse file with ranges: of the first answer only `cut` bytes.
fn sparse(path: std::path::PathBuf, cut: u64) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a port").port();
    std::thread::spawn(move || {
        for (n, s) in listener.incoming().flatten().enumerate() {
            let mut s: TcpStream = s;
            let mut head = [0; 4096];
            let len = s.read(&mut head).unwrap_or(0);
            let text = String::from_utf8_lossy(&head[..len]).into_owned();
            let from = text.split("Range: bytes=").nth(1).and_then(|t| t.split('-').next()?.parse::<u64>().ok());
            let all = 1u64 << 30;
            let at = from.unwrap_or(0);
            let range = from.map_or(String::new(), |f| format!("Content-Range: bytes {f}-{}/{all}\r\n", all - 1));
            let status = if from.is_some() { "206 Partial Content" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\nETag: \"x\"\r\n{range}Content-Length: {}\r\n\r\n", all - at);
            let mut file = std::fs::File::open(&path).expect("a file");
            let most = if n == 0 { cut } else { all };
            let sent = file.seek(SeekFrom::Start(at)).and_then(|_| s.write_all(answer.as_bytes()));
            let _ = sent.and_then(|()| std::io::copy(&mut file.take(most), &mut s)); // the client may have gone
        }
    });
    port
}

#[test]
fn a_large_file_takes_little_memory_and_survives_a_cut() {
    let folder = Folder::new();
    let file = std::fs::File::create(folder.0.join("source")).expect("a file");
    file.set_len(1 << 30).expect("room");
    for (at, value) in MARKS {
        std::os::unix::fs::FileExt::write_all_at(&file, &[value], at).expect("room");
    }
    let port = sparse(folder.0.join("source"), 400_000_000);
    let url = format!("http://127.0.0.1:{port}/big");
    let watched = |args: &[&str]| {
        let client = folder.start(args);
        let mut peak = 0;
        let running = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z"));
        let end = std::time::Instant::now() + 8 * PATIENCE;
        while running(client.pid()) && std::time::Instant::now() < end {
            let status = std::fs::read_to_string(format!("/proc/{}/status", client.pid())).unwrap_or_default();
            let kib =
                status.lines().find_map(|l| l.strip_prefix("RssAnon:")?.split_whitespace().next()?.parse::<u64>().ok());
            peak = peak.max(kib.unwrap_or(0));
            std::thread::sleep(Duration::from_millis(5));
        }
        (client.wait(), peak << 10)
    };
    let (first, peak) = watched(&["-o", "big", &url]);
    assert_eq!(
        first.stderr,
        "httpclient: connection closed: got 400,000,000 of 1,073,741,824 bytes (big.part is kept)\n"
    );
    assert!(peak < 16 << 20, "{peak} bytes");
    let (second, peak) = watched(&["-C", "-", "-o", "big", &url]);
    assert_eq!((second.code, second.stdout.as_str()), (Some(0), "Downloaded 1,073,741,824 bytes to big\n"));
    assert!(peak < 16 << 20, "{peak} bytes");
    let mut same = Command::new("cmp");
    assert!(same.args(["source", "big"]).current_dir(&folder.0).status().expect("cmp").success());
    // And up again, from the file.
    let mut server = Tool::start("coro_http_server", &["0", "-q"]);
    let up = format!("http://127.0.0.1:{}/echo", server.port());
    let (got, peak) = watched(&["-b", "-H", "Expect:", "-d", "@big", &up]);
    assert!(got.stdout.contains("413") || got.code == Some(0), "{got:?}");
    assert!(peak < 16 << 20, "{peak} bytes");
}

fn plan(seed: u64) -> Plan {
    let text = match seed % 5 {
        0 => "delay=20ms±19ms",
        1 => "delay=20ms±15ms,split=700,short=20%,again=5%",
        2 => "delay=5ms±5ms,split=900,short=5%,stall=1%:2s,loss=2%",
        3 => "delay=20ms±5ms,split=800,reset=1%,halfclose=1%,short=5%",
        _ => "delay=1ms±1ms,split=500,refuse=10%,reset=1%,stall=2%:3s,bw=200000",
    };
    text.parse().expect("a plan")
}

const SIZE: usize = 60_000;

fn big() -> Vec<u8> {
    (0..SIZE as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect()
}

fn client() -> Fetch {
    let job = |path: &str, out| Job {
        url: Address::parse(&format!("http://server:9000{path}"), false).expect("a URL"),
        out,
        again: false,
    };
    let jobs = vec![job("/small", Out::Stdout), job("/big", Out::File("big".into())), job("/small", Out::Stdout)];
    let reach = Reach { timeout: Duration::from_secs(10), family: Family::Any, ..Reach::default() };
    let mut o = Options { jobs, retry: 30, reach, ..Options::default() };
    o.show.body_only = true;
    o.fail = Fail::Quiet; // a server that sees only a part of a request says 400
    Fetch::new(o)
}

/// Fetches three bodies, one into a file; the hash of everything that happened.
fn download<A: App + 'static>(seed: u64, client: A) -> Result<u64, String> {
    let mut sim = Sim::new(seed, plan(seed));
    let options = SiteOptions { root: "www".into(), ..SiteOptions::default() };
    let server = HttpServer::new(Settings::default(), Site::new(options));
    let files = vec![("www/small".to_string(), b"small\n".to_vec()), ("www/big".to_string(), big())];
    sim.add("server", server, NodeConfig { files, ..NodeConfig::server(9000) }).map_err(|e| e.to_string())?;
    let it = sim.add("client", client, NodeConfig::default()).map_err(|e| e.to_string())?;
    sim.run_until(Duration::from_secs(20_000), |s| s.exit(it).is_some());
    let stderr = String::from_utf8_lossy(sim.stderr(it)).into_owned();
    let code = sim.exit(it).ok_or_else(|| format!("it does not end: {stderr}"))?;
    let small = sim.stdout(it).to_vec();
    match (code, sim.file(it, "big")) {
        (0, Ok(file)) if file == big() => {}
        (0, got) => return Err(format!("a success without the file: {:?} {stderr}", got.map(|f| f.len()))),
        // A body that was shown in part cannot be asked for again.
        (4 | 5 | 7 | 10, _) if seed % 5 >= 3 => return Ok(sim.trace_hash()),
        (code, _) => return Err(format!("it ended with {code}: {stderr}")),
    }
    let want = format!("small\nDownloaded {} bytes to big\nsmall\n", "60,000");
    if small != want.as_bytes() || sim.file(it, "big.part").is_ok() {
        return Err(format!("it said {:?}", String::from_utf8_lossy(&small)));
    }
    Ok(sim.trace_hash())
}

#[test]
fn downloads_with_faults_are_whole_or_failures() {
    check_seeds("downloads_with_faults_are_whole_or_failures", 0..1000, |seed| {
        let hash = download(seed, client())?;
        if seed % 20 == 0 && download(seed, client())? != hash {
            return Err("the same seed gave another run".into());
        }
        Ok(())
    });
}

/// The planted bug: a byte of every large chunk is changed on its way.
struct Careless(Fetch);

impl App for Careless {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut Cx<'_, Infallible, Infallible>) {
        match input {
            Input::Bytes(t, chunk) => {
                let mut kept = chunk.to_vec();
                let len = kept.len();
                if len >= 450
                    && let Some(last) = kept.last_mut()
                {
                    *last ^= 1;
                }
                self.0.handle(Input::Bytes(t, Chunk::new(&mut kept, len)), cx);
            }
            other => self.0.handle(other, cx),
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        self.0.deadline()
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

#[test]
fn a_planted_bug_is_found() {
    let seed = (0..100).find(|seed| download(*seed, Careless(client())).is_err_and(|e| e.contains("without the file")));
    assert!(seed.is_some_and(|seed| download(seed, client()).is_ok()));
}
