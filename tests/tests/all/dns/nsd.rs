//! nsd on loopback, and what others print.
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tests::process::{tool, until};

/// nsd on loopback.
pub struct Nsd {
    child: Child,
    /// Its files, and certificates of `generate_certs`.
    pub dir: PathBuf,
    pub port: u16,
    pub tls: u16,
}

impl Nsd {
    /// With zones of these names from these files.
    pub fn start(zones: &[(&str, PathBuf)]) -> Self {
        let free = || loop {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = tcp.local_addr().unwrap().port();
            if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
                break port;
            }
        };
        let (port, tls) = (free(), free());
        let dir = std::env::temp_dir().join(format!("drywire-nsd-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let made = Command::new(tool("generate_certs")).current_dir(&dir).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let at = dir.display();
        let zones: String = zones
            .iter()
            .map(|(name, file)| format!("zone:\n  name: {name}\n  zonefile: \"{}\"\n", file.display()))
            .collect();
        let conf = format!(
            "server:\n  ip-address: 127.0.0.1@{port}\n  ip-address: 127.0.0.1@{tls}\n  tls-port: {tls}\n  \
             tls-service-key: \"{at}/server.key\"\n  tls-service-pem: \"{at}/server.crt\"\n  username: \"\"\n  zonesdir: \"{at}\"\n  database: \"\"\n  \
             pidfile: \"{at}/pid\"\n  xfrdfile: \"{at}/xfrd\"\n  zonelistfile: \"{at}/list\"\n  xfrdir: \"{at}\"\n  \
             logfile: \"{at}/log\"\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: no\n{zones}"
        );
        let path = dir.join("conf");
        std::fs::write(&path, conf).unwrap();
        let mut command = Command::new("nsd");
        command.arg("-d").arg("-c").arg(path).stdout(Stdio::null()).stderr(Stdio::null());
        let nsd = Nsd { child: command.spawn().unwrap(), dir, port, tls };
        until("nsd listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        nsd
    }
}

impl Drop for Nsd {
    fn drop(&mut self) {
        // Its children end with the one whose id is in the file.
        let pid = std::fs::read_to_string(self.dir.join("pid")).ok().and_then(|p| p.trim().parse().ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir); // it is in the way of nobody
    }
}

/// What a program prints.
pub fn output(command: &mut Command) -> String {
    let out = command.stderr(Stdio::null()).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

/// Lines in one spelling: words with one space between, sorted.
pub fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with(';'));
    let mut all: Vec<String> = lines.map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    all.sort();
    all
}
