//! Flags of TLS: of servers, and of clients.
use super::args::DriverArgs;
use super::units::duration;
use crate::outcome::Failure;
use crate::tls::{ClientTls, Files, Guard, PemFile, Pin, Trust, roots, trust};
use clap::{Args, ValueEnum};
use core::time::Duration;
use drivers::Kind;
use proto_core::tls::{ClientSetup, Common, Limits, Peers, Roots, ServerSetup, Skip, revocation_lists, tls_version};

/// What to think of a certificate of which no revocation list tells, or only an old one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum CrlPolicy {
    /// It is refused.
    #[default]
    Fail,
    /// It is accepted.
    Warn,
}

/// Flags of both sides.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsArgs {
    /// Certificate and its chain, PEM
    #[arg(long, alias = "tls-cert", value_name = "FILE", value_parser = PemFile::read, requires = "key", help_heading = "TLS")]
    pub cert: Option<PemFile>,
    /// Its private key, PEM, readable by its owner only
    #[arg(long, alias = "tls-key", value_name = "FILE", value_parser = PemFile::read, requires = "cert", help_heading = "TLS")]
    pub key: Option<PemFile>,
    /// Revocation lists of the CA, PEM
    #[arg(long, alias = "tls-crl", value_name = "FILE", value_parser = PemFile::read, requires = "ca", help_heading = "TLS")]
    pub crl: Option<PemFile>,
    /// A certificate of which no list tells, or only an old one: fail or warn (accept it)
    #[arg(
        long,
        value_name = "HOW",
        default_value = "fail",
        value_enum,
        hide_possible_values = true,
        help_heading = "TLS"
    )]
    pub crl_policy: CrlPolicy,
    /// Lowest version: 1.2 or 1.3
    #[arg(long, value_name = "VERSION", default_value = "1.2", value_parser = ["1.2", "1.3"], hide_possible_values = true, help_heading = "TLS")]
    pub tls_min: String,
    /// Highest version: 1.2 or 1.3
    #[arg(long, value_name = "VERSION", default_value = "1.3", value_parser = ["1.2", "1.3"], hide_possible_values = true, help_heading = "TLS")]
    pub tls_max: String,
    /// Cipher suites to offer, by their IANA names
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', help_heading = "TLS")]
    pub ciphers: Vec<String>,
    /// Key exchange groups to offer, by their IANA names
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', help_heading = "TLS")]
    pub groups: Vec<String>,
    /// How long a handshake may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "TLS")]
    pub handshake_timeout: Duration,
    /// Use a key that others can read
    #[arg(long, help_heading = "TLS")]
    pub allow_open_key: bool,
}

impl TlsArgs {
    fn common(&self, alpn: &[&str]) -> Result<Common, Failure> {
        if self.tls_min > self.tls_max {
            return Err(Failure::usage(format!("--tls-min {} is above --tls-max {}", self.tls_min, self.tls_max)));
        }
        if let Some(key) = self.key.as_ref().filter(|k| k.open && !self.allow_open_key) {
            let path = &key.path;
            let text = format!("{path} can be read by others (chmod 600 {path}, or --allow-open-key)");
            return Err(Failure::usage(text));
        }
        let versions = ["1.2", "1.3"].into_iter().filter(|v| (self.tls_min.as_str()..=&self.tls_max).contains(v));
        Ok(Common {
            versions: versions.filter_map(tls_version).collect(),
            suites: self.ciphers.clone(),
            groups: self.groups.clone(),
            alpn: alpn.iter().map(|p| p.as_bytes().to_vec()).collect(),
            lenient: self.crl_policy == CrlPolicy::Warn,
            limits: Limits { handshake: self.handshake_timeout, ..Limits::default() },
            ..Common::default()
        })
    }
}

/// What neither a simulation nor a recording can do: the keys of a connection are never the same twice.
fn repeatable(driver: &DriverArgs) -> Result<(), Failure> {
    if driver.driver == Some(Kind::Sim) {
        return Err(Failure::usage("TLS cannot be simulated: its keys are never the same twice"));
    }
    match driver.record {
        Some(_) => Err(Failure::usage("--record cannot be used with TLS: its keys are never the same twice")),
        None => Ok(()),
    }
}

/// Flags of a server.
#[derive(Args, Clone, Debug, Default)]
pub struct ServerTlsArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub tls: TlsArgs,
    /// Clients must have a certificate of this CA, PEM
    #[arg(long, alias = "tls-ca", value_name = "FILE", value_parser = PemFile::read, requires = "cert", help_heading = "TLS")]
    pub ca: Option<PemFile>,
    /// With --ca: clients may continue earlier sessions, whose certificates are not looked at again
    #[arg(long, requires = "ca", help_heading = "TLS")]
    pub tickets: bool,
}

impl ServerTlsArgs {
    /// The files, if TLS is asked for.
    ///
    /// # Errors
    /// What is wrong with them, or with the flags.
    pub fn files(&self, alpn: &[&str]) -> Result<Option<Files>, Failure> {
        let (Some(cert), Some(key)) = (self.tls.cert.clone(), self.tls.key.clone()) else { return Ok(None) };
        let resume = self.tickets || self.ca.is_none();
        let common = Common { resume, ..self.tls.common(alpn)? };
        Ok(Some(Files { cert, key, ca: self.ca.clone(), crl: self.tls.crl.clone(), common }))
    }
    /// Checks everything, before the tool starts.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, alpn: &[&str], driver: &DriverArgs) -> Result<Option<ServerSetup>, Failure> {
        let Some(files) = self.files(alpn)? else { return Ok(None) };
        repeatable(driver)?;
        files.setup().map(Some)
    }
    /// What stands between the clients and the app.
    pub fn guard(&self, alpn: &[&str]) -> Guard {
        match self.files(alpn) {
            Ok(files) => Guard::new(files.as_ref()),
            Err(_) => Guard::Broken,
        }
    }
}

/// Which checks of the server's certificate are reported only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Insecure {
    /// All.
    All,
    /// That it is for this host.
    Name,
    /// That somebody trusted has signed it.
    Chain,
}

/// Flags of a client.
#[derive(Args, Clone, Debug, Default)]
pub struct ClientTlsArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub tls: TlsArgs,
    /// Believe these CAs instead of the system's: a file, or a folder of files
    #[arg(long, alias = "tls-ca", value_name = "FILE", value_parser = PemFile::read_all, help_heading = "TLS")]
    pub ca: Option<PemFile>,
    /// Whose CAs to believe without --ca: system (platform is the same), or bundled (Mozilla's list)
    #[arg(
        long,
        value_name = "WHOSE",
        default_value = "system",
        value_enum,
        hide_possible_values = true,
        help_heading = "TLS"
    )]
    pub roots: Trust,
    /// Do not mind what is wrong with the server's certificate: all, name or chain
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_enum, hide_possible_values = true, help_heading = "TLS")]
    pub insecure: Option<Insecure>,
    /// The server's public key must be this one: sha256//BASE64 (repeatable)
    #[arg(long, value_name = "PIN", help_heading = "TLS")]
    pub pin: Vec<Pin>,
    /// The name to ask for and to check instead of HOST
    #[arg(long, alias = "sni", value_name = "NAME", help_heading = "TLS")]
    pub server_name: Option<String>,
}

impl ClientTlsArgs {
    /// Some flag is about TLS.
    pub fn is_given(&self) -> bool {
        self.ca.is_some() || self.tls.cert.is_some() || self.insecure.is_some() || !self.pin.is_empty()
    }
    /// What the connections to `host` share.
    ///
    /// # Errors
    /// What is wrong with files or flags.
    pub fn setup(&self, host: &str, alpn: &[&str], driver: &DriverArgs) -> Result<ClientTls, Failure> {
        repeatable(driver)?;
        let (common, peers) = self.parts(alpn, None)?;
        let own = common.identity.as_ref().map(|i| i.leaf().to_vec());
        let setup = ClientSetup::new(common, peers).map_err(|e| Failure::usage(e.0))?;
        let name = self.server_name.clone().unwrap_or_else(|| host.into());
        setup.layer(&name).map_err(|e| Failure::usage(e.0))?;
        Ok(ClientTls { setup, name, own, mutual: false })
    }
    /// What a setup is made of; `known`: whom to believe if no file says so.
    ///
    /// # Errors
    /// What is wrong with files or flags.
    pub fn parts(&self, alpn: &[&str], known: Option<Roots>) -> Result<(Common, Peers), Failure> {
        let mut common = Common { resume: true, ..self.tls.common(alpn)? };
        if let (Some(cert), Some(key)) = (&self.tls.cert, &self.tls.key) {
            common.identity = Some(crate::tls::identity(cert, key)?);
        }
        if let Some(crl) = &self.tls.crl {
            common.revoked = revocation_lists(&crl.bytes).map_err(|why| crl.bad(&why))?;
        }
        let skip = match self.insecure {
            None => Skip::default(),
            Some(Insecure::All) => Skip { chain: true, name: true },
            Some(Insecure::Name) => Skip { chain: false, name: true },
            Some(Insecure::Chain) => Skip { chain: true, name: false },
        };
        let found = match &self.ca {
            Some(file) => Some(roots(file)?),
            None if known.is_some() => known,
            None if skip.chain => trust(self.roots).ok(),
            None => Some(trust(self.roots)?),
        };
        let pins = self.pin.iter().map(|p| p.0).collect();
        Ok((common, Peers { roots: found, skip, pins, staple: false, no_sni: false }))
    }
}
