//! `--dry-run`: which rule would decide, with the proxy's own resolver and without a connection.
use super::lookup::Lookups;
use super::policy::{Policy, Who, address_of};
use crate::outcome::Code;
use core::convert::Infallible;
use core::net::{IpAddr, SocketAddr};
use proto_core::dns::Known;
use proto_core::{App, Cx, Deadline, Input, Start, Token};

/// The part byte of its questions.
const NAMES: u8 = 1;

/// The app: it answers one question on standard output and ends.
#[derive(Debug)]
pub struct DryRun {
    policy: Policy,
    user: Option<Vec<u8>>,
    host: String,
    port: u16,
    lookups: Lookups,
    outputs: Option<[Token; 2]>,
}

type DryCx<'a> = Cx<'a, Infallible, Infallible>;

impl DryRun {
    /// Whether `user` would get to that host and port; `servers` are asked for names, if there are any.
    pub fn new(policy: Policy, user: Option<&str>, to: (&str, u16), servers: Vec<SocketAddr>) -> Self {
        let (lookups, user) = (Lookups::new(NAMES, servers), user.map(|u| u.as_bytes().to_vec()));
        DryRun { policy, user, host: to.0.into(), port: to.1, lookups, outputs: None }
    }
    fn who(&self) -> Who<'_> {
        Who { user: self.user.as_deref(), from: None }
    }
    fn start(&mut self, start: &Start, cx: &mut DryCx<'_>) {
        self.outputs = Some([start.stdout, start.stderr]);
        if let Some(ip) = self.host.parse().ok().or_else(|| address_of(&self.host)) {
            return self.decide(None, &[ip], cx);
        }
        if let Err(rule) = self.policy.check_name(&self.who(), &self.host, self.port) {
            self.say(0, &format!("{}:{}: denied by rule: {rule}", self.host, self.port), cx);
            return cx.exit(Code::Answered as u8);
        }
        self.lookups.start(start.stdout, &self.host, cx);
    }
    fn known(&mut self, known: Known, cx: &mut DryCx<'_>) {
        match known {
            Ok(ips) => self.decide(Some(&self.host.clone()), &ips, cx),
            Err(why) => {
                self.say(1, &format!("socks5_proxy: cannot resolve '{}': {why}", self.host), cx);
                cx.exit(Code::Name as u8);
            }
        }
    }
    fn decide(&self, name: Option<&str>, ips: &[IpAddr], cx: &mut DryCx<'_>) {
        let mut code = Code::Answered;
        for ip in ips.iter().copied() {
            let end = match self.policy.check(&self.who(), name, ip, self.port) {
                Ok(()) => {
                    code = Code::Ok;
                    "allowed".into()
                }
                Err(rule) => format!("denied by rule: {rule}"),
            };
            self.say(0, &format!("{}:{}: {ip}: {end}", self.host, self.port), cx);
        }
        cx.exit(code as u8);
    }
    fn say(&self, output: usize, line: &str, cx: &mut DryCx<'_>) {
        let to = self.outputs.and_then(|all| all.get(output).copied());
        if let Some(tx) = to.and_then(|t| cx.tx(t)) {
            tx.put(format!("{line}\n").as_bytes());
        }
    }
}

impl App for DryRun {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut DryCx<'_>) {
        if let Input::Start(start) = &input {
            self.start(start, cx);
        }
        self.lookups.handle(&input, cx);
        while let Some((_, _, known)) = self.lookups.next_done() {
            self.known(known, cx);
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        self.lookups.deadline()
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}
