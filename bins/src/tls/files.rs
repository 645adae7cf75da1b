//! Files that TLS needs, read once by the command line.
use crate::outcome::Failure;
use crate::text::reason;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proto_core::tls::{BadPem, Roots};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Bytes of a file of certificates or revocation lists: a list of a million serial numbers fits twice.
pub const LARGEST: usize = 64 << 20;

/// A file as it was when the tool started.
#[derive(Clone)]
pub struct PemFile {
    /// Its path, as it was given.
    pub path: String,
    /// What was in it.
    pub bytes: Vec<u8>,
    /// Others than its owner can read it.
    pub open: bool,
}

impl core::fmt::Debug for PemFile {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.path) // its contents may be a secret
    }
}

impl PemFile {
    /// Reads it; for the parser of flags.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read(path: &str) -> Result<Self, String> {
        let file = File::open(path).map_err(|e| format!("{path}: {}", reason(&e)))?;
        let meta = file.metadata().map_err(|e| format!("{path}: {}", reason(&e)))?;
        let mut bytes = Vec::new();
        let read = file.take(LARGEST as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|e| format!("{path}: {}", reason(&e)))?;
        if bytes.len() > LARGEST {
            return Err(format!("{path}: more than {} MiB", LARGEST >> 20));
        }
        Ok(PemFile { path: path.into(), bytes, open: meta.permissions().mode() & 0o077 != 0 })
    }
    /// The same of all files of a folder that look like certificates.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read_all(path: &str) -> Result<Self, String> {
        if !Path::new(path).is_dir() {
            return PemFile::read(path);
        }
        let entries = std::fs::read_dir(path).map_err(|e| format!("{path}: {}", reason(&e)))?;
        let mut names: Vec<_> = entries.flatten().map(|e| e.path()).collect();
        names.retain(|p| p.extension().is_some_and(|x| x == "pem" || x == "crt" || x == "cer"));
        names.sort();
        let mut all = PemFile { path: path.into(), bytes: Vec::new(), open: false };
        for name in names {
            all.bytes.extend(PemFile::read(&name.to_string_lossy())?.bytes);
            all.bytes.push(b'\n');
        }
        Ok(all)
    }
    /// What is wrong with it.
    pub fn bad(&self, why: &BadPem) -> Failure {
        Failure::usage(format!("{}: {why}", self.path))
    }
}

/// The SHA-256 of a public key: `sha256//BASE64`, as curl writes it.
#[derive(Clone, Copy, Debug)]
pub struct Pin(pub [u8; 32]);

impl core::str::FromStr for Pin {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let bytes = s.strip_prefix("sha256//").and_then(|b| BASE64_STANDARD.decode(b).ok());
        let pin = bytes.and_then(|b| <[u8; 32]>::try_from(b).ok());
        pin.map(Pin).ok_or_else(|| format!("'{s}' is not a pin such as sha256//BASE64 of 32 bytes"))
    }
}

/// Whose word counts if no `--ca` says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Trust {
    /// The CAs that this machine trusts: the list that its own programs go by.
    #[default]
    #[value(alias = "platform")]
    System,
    /// Those of Mozilla's list, which are built in.
    Bundled,
}

/// The roots of `--ca`.
///
/// # Errors
/// What is wrong with the file.
pub fn roots(file: &PemFile) -> Result<Roots, Failure> {
    Roots::pem(&file.bytes).map_err(|why| file.bad(&why))
}

/// The roots without `--ca`.
///
/// # Errors
/// This machine has none.
pub fn trust(from: Trust) -> Result<Roots, Failure> {
    if from == Trust::Bundled {
        return Ok(Roots::anchors(webpki_roots::TLS_SERVER_ROOTS));
    }
    let found = rustls_native_certs::load_native_certs();
    let roots = Roots::der(found.certs.iter().map(|c| c.as_ref()));
    if roots.is_empty() {
        let text = "this machine has no list of trusted CAs; use --ca FILE or --roots bundled";
        return Err(Failure::new(crate::outcome::Code::Tls, text));
    }
    Ok(roots)
}
