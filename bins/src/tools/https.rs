//! `https_client`: `httpclient` with the report of the handshake in front.
use super::HttpClientTool;
use super::fetch::More;
use crate::certs::peer::Fake;
use crate::cli::{DriverArgs, Plan, Tool};
use crate::fetch::options::Job;
use crate::fetch::report::Report;
use crate::fetch::scan::{Probe, Scan, Scanned};
use crate::fetch::secured::Secured;
use crate::fetch::starttls::Protocol;
use crate::fetch::{Fetch, Options};
use crate::outcome::{Code, Failure};
use clap::Parser;
use core::convert::Infallible;
use drivers::Kind;
use proto_core::tls::{Common, Peers, Roots, Skip, groups, suites, tls_version};
use proto_core::x509::Date;
use proto_core::{App, Cx, Deadline, Input, Shard, Wall};

/// Fetches over TLS, and says what the handshake agreed on or why a certificate is refused
#[derive(Parser, Clone, Debug)]
#[command(
    name = "https_client",
    version,
    max_term_width = 100,
    disable_help_flag = true,
    after_help = "\
Examples:
  https_client https://localhost:8443/                   the handshake, then status line, headers and body
  https_client -v --cert-only localhost:8443             all there is to know of it, and nothing is asked
  https_client --cert-only --warn-days 30 example.com    ends with 10 if the certificate ends within 30 days
  https_client --ca ca.crt --crl ca.crl https://localhost:8443/
  https_client --insecure=name --sni other.example https://localhost:8443/
  https_client --resume https://localhost:8443/          a second connection that continues the first one's session
  https_client --report-json --cert-only localhost:8443 | jq ."
)]
pub struct HttpsClientTool {
    #[command(flatten)]
    http: HttpClientTool,
    /// End after the handshake
    #[arg(long, conflicts_with_all = ["output", "remote_name", "write_out"], help_heading = "Report")]
    cert_only: bool,
    /// The report as one line of JSON on standard output
    #[arg(long, help_heading = "Report")]
    report_json: bool,
    /// End with 10 if the certificate ends within DAYS
    #[arg(long, value_name = "DAYS", help_heading = "Report")]
    warn_days: Option<u32>,
    /// Write the server's certificates to FILE, PEM, also if they are refused
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    chain_out: Option<String>,
    /// Fetch everything twice, the second time on a connection that may continue the first one's session
    #[arg(long = "resume", conflicts_with_all = ["cert_only", "output", "remote_name"], help_heading = "Report")]
    resume_session: bool,
    /// Add the keys of connections to the file that SSLKEYLOGFILE names
    #[arg(long, help_heading = "Report")]
    keylog: bool,
    /// Try versions, suites and groups one by one, and say which the server takes
    #[arg(long, conflicts_with_all = ["cert_only", "report_json", "warn_days", "chain_out", "keylog"], help_heading = "Report")]
    scan: bool,
    /// Do not send the server's name
    #[arg(long, help_heading = "TLS")]
    no_sni: bool,
    /// A stapled OCSP response must come
    #[arg(long, help_heading = "TLS")]
    require_staple: bool,
    /// Judge certificates as of TIME (UTC), such as 2024-06-01 or 2024-06-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "TLS")]
    at: Option<Wall>,
    /// Begin TLS within another protocol, and end after the handshake: smtp, imap, pop3, ftp, xmpp or postgres
    #[arg(long, value_name = "PROTOCOL", value_enum, hide_possible_values = true, help_heading = "TLS")]
    starttls: Option<Protocol>,
    /// With --driver sim: what is wrong with the server: nothing, expired, wrong-host, self-signed, ...
    #[arg(long, value_name = "WHAT", default_value = "nothing", value_enum, help_heading = "Driver")]
    sim_peer: Fake,
}

fn moment(s: &str) -> Result<Wall, String> {
    let date = Date::read(s).and_then(|d| d.0.checked_mul(1_000_000_000));
    let unix_ns = date.ok_or_else(|| format!("'{s}' is not a time such as 2024-06-01 or 2024-06-01T12:00:00Z"))?;
    Ok(Wall { unix_ns, utc_offset_s: 0 })
}

/// The tool: it fetches, or it scans.
#[derive(Debug)]
pub enum HttpsClient {
    /// Fetches.
    Fetch(Box<Fetch>),
    /// Scans.
    Scan(Box<Scan>),
}

impl App for HttpsClient {
    type Job = Infallible;
    type Msg = Infallible;

    fn handle(&mut self, input: Input<'_, Infallible>, cx: &mut Cx<'_, Infallible, Infallible>) {
        match self {
            HttpsClient::Fetch(app) => app.handle(input, cx),
            HttpsClient::Scan(app) => app.handle(input, cx),
        }
    }
    fn deadline(&self) -> Option<Deadline> {
        match self {
            HttpsClient::Fetch(app) => app.deadline(),
            HttpsClient::Scan(app) => app.deadline(),
        }
    }
    fn work(job: Infallible) -> Infallible {
        job
    }
}

impl HttpsClientTool {
    fn scanned(&self) -> Result<Scanned, Failure> {
        let o = self.options()?;
        let [Job { url, .. }] = &o.jobs[..] else {
            return Err(Failure::usage("--scan takes one URL"));
        };
        let mut probes = Vec::new();
        for version in ["1.2", "1.3"] {
            let name = format!("TLSv{version}");
            let of = |suite: &&str| suite.contains("_WITH_") == (version == "1.2");
            let common = Common { versions: tls_version(version).into_iter().collect(), ..Common::default() };
            probes.push(self.probe("Versions", &name, common.clone())?);
            for suite in suites().into_iter().filter(of) {
                let common = Common { suites: vec![suite.into()], ..common.clone() };
                probes.push(self.probe(&format!("Suites of {name}"), suite, common)?);
            }
        }
        for group in groups() {
            let common = Common { groups: vec![group.clone()], ..Common::default() };
            probes.push(self.probe("Key exchange groups", &group, common)?);
        }
        probes.sort_by_key(|p| p.heading != "Versions"); // first; the others keep their order
        Ok(Scanned { reach: o.reach, to: url.origin.clone(), probes })
    }
    /// Who the server is does not matter here.
    fn probe(&self, heading: &str, what: &str, common: Common) -> Result<Probe, Failure> {
        let (given, _) = self.http.tls().parts(&[], Some(Roots::anchors(&[])))?;
        let common = Common { limits: given.limits, identity: given.identity, ..common };
        let peers = Peers { skip: Skip { chain: true, name: true }, no_sni: self.no_sni, ..Peers::default() };
        let tls = Secured::new(common, peers, self.http.tls().server_name.clone())?.after(self.starttls, false);
        Ok(Probe { heading: heading.into(), what: what.into(), tls })
    }
    fn options(&self) -> Result<Options, Failure> {
        let keylog = match (self.keylog, std::env::var("SSLKEYLOGFILE")) {
            (true, Ok(path)) if !path.is_empty() => Some(path),
            (true, _) => return Err(Failure::usage("--keylog needs the name of a file in SSLKEYLOGFILE")),
            (false, _) => None,
        };
        let more = More {
            no_sni: self.no_sni,
            staple: self.require_staple,
            key_log: self.keylog,
            at: self.at,
            https: true,
            starttls: self.starttls,
            peer: self.is_simulated().then_some(self.sim_peer),
        };
        let mut o = self.http.options(more)?;
        if self.resume_session {
            o.jobs = o.jobs.into_iter().flat_map(|j| [j.clone(), Job { again: true, ..j }]).collect();
        }
        o.report = Some(Report {
            json: self.report_json,
            only: self.cert_only || self.starttls.is_some(),
            warn_days: self.warn_days,
            chain_out: self.chain_out.clone(),
        });
        (o.keylog, o.name) = (keylog, Self::NAME);
        Ok(o)
    }
    fn is_simulated(&self) -> bool {
        self.http.driver().driver == Some(Kind::Sim)
    }
}

impl Tool for HttpsClientTool {
    type App = HttpsClient;
    const NAME: &'static str = "https_client";
    const DRIVER: Kind = Kind::Epoll;

    fn driver(&self) -> &DriverArgs {
        self.http.driver()
    }
    fn simulate(&self) -> Result<Code, Failure> {
        self.options()?;
        super::simulate::secured(self, self.driver().sim.as_ref(), self.http.peer.guard(self.sim_peer)?)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        let options = self.options()?;
        if self.scan {
            self.scanned()?;
        }
        Ok(self.http.plan_of(&options))
    }
    fn app(&self, _: Shard) -> HttpsClient {
        // `plan` has checked it; a replay that is not given the same command line does nothing.
        match self.scan.then(|| self.scanned()) {
            Some(Ok(scanned)) => HttpsClient::Scan(Box::new(Scan::new(scanned))),
            _ => HttpsClient::Fetch(Box::new(Fetch::new(self.options().unwrap_or_default()))),
        }
    }
}
