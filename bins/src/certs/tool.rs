//! The command line of `generate_certs`.
use super::issue::{Ca, Issued, Subject, Validity, root};
use super::store::{Batch, Store};
use crate::cli;
use crate::outcome::{Code, Failure};
use clap::{Parser, Subcommand};
use proto_core::tls::{Identity, revocation_lists};
use proto_core::x509::{Certificate, Date, RevocationList};
use std::io::Write;
use std::path::PathBuf;

/// Makes a small CA, and certificates of it for a server and its clients
#[derive(Parser, Clone, Debug)]
#[command(
    name = "generate_certs",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  generate_certs                                     ca, server (localhost), alice and bob
  generate_certs --name carol@example.com            one more client, of the CA that is here
  generate_certs --server chat.example.com --san 192.0.2.1
  generate_certs revoke alice                        write ca.crl
  generate_certs list"
)]
struct Flags {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    folder: Folder,
    /// A client's certificate, by mail address (repeatable)
    #[arg(long, value_name = "MAIL")]
    name: Vec<String>,
    /// A server's certificate, by host name
    #[arg(long, value_name = "HOST")]
    server: Option<String>,
    /// Another name or address of that server (repeatable)
    #[arg(long, value_name = "HOST", requires = "server")]
    san: Vec<String>,
    /// How long certificates are good
    #[arg(long, value_name = "N", default_value = "365", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// How long the CA is good
    #[arg(long, value_name = "N", default_value = "3650", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    ca_days: u32,
    /// The CA's name
    #[arg(long, value_name = "NAME", default_value = "My Chat CA")]
    ca_name: String,
    /// Overwrite what is there
    #[arg(long)]
    force: bool,
}

#[derive(clap::Args, Clone, Debug)]
struct Folder {
    /// Where the files are
    #[arg(long, value_name = "DIR", default_value = ".", global = true)]
    dir: PathBuf,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// Take certificates back: write ca.crl, or add to it
    Revoke {
        /// Whose: NAME of NAME.crt
        #[arg(required = true)]
        names: Vec<String>,
        /// How long the list is good
        #[arg(long, value_name = "N", default_value = "30", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        crl_days: u32,
    },
    /// Print the certificates that are here
    List,
}

/// Runs the tool with the process's arguments and exits.
pub fn main() -> ! {
    cli::catch_panics("generate_certs");
    let now = drivers::wall().unix_ns.div_euclid(1_000_000_000);
    let done = cli::parse::<Flags, _>(std::env::args_os()).and_then(|f| f.map_or(Ok(()), |f| run(&f, now)));
    let code = match done {
        Ok(()) => Code::Ok,
        Err(failure) => {
            cli::complain("generate_certs", &failure.text);
            failure.code
        }
    };
    std::process::exit(code as i32)
}

fn run(flags: &Flags, now: i64) -> Result<(), Failure> {
    let store = Store::new(&flags.folder.dir, flags.force);
    match &flags.command {
        None => generate(flags, &store, now),
        Some(Command::Revoke { names, crl_days }) => revoke(names, *crl_days, &store, now),
        Some(Command::List) => list(&store, now),
    }
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}"); // nobody reads it: the files are there
}

/// A name of files: the local part of a mail address, or the host.
fn stem(name: &str) -> Result<String, Failure> {
    let stem = name.split('@').next().unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if stem.is_empty() || stem.starts_with(['.', '-']) || stem.len() > 64 || !stem.chars().all(fits) || stem == "ca" {
        return Err(Failure::usage(format!("'{}' cannot be the name of a file", name.escape_debug())));
    }
    Ok(stem.into())
}

/// What is asked for: the four of the first run, or what flags name.
fn wanted(flags: &Flags) -> Result<Vec<(String, Subject)>, Failure> {
    let mut all = Vec::new();
    if let Some(host) = &flags.server {
        let names = core::iter::once(host).chain(&flags.san).cloned().collect();
        all.push((stem(host)?, Subject::Server(names)));
    }
    for mail in &flags.name {
        if mail.split('@').filter(|part| !part.is_empty()).count() != 2 {
            return Err(Failure::usage(format!("--name: '{}' is not a mail address", mail.escape_debug())));
        }
        all.push((stem(mail)?, Subject::Client(mail.clone())));
    }
    if all.is_empty() {
        let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
        all.push(("server".into(), Subject::Server(names.to_vec())));
        for name in ["alice", "bob"] {
            all.push((name.into(), Subject::Client(format!("{name}@example.com"))));
        }
    }
    Ok(all)
}

fn files(name: &str) -> [String; 2] {
    [format!("{name}.crt"), format!("{name}.key")]
}

fn generate(flags: &Flags, store: &Store, now: i64) -> Result<(), Failure> {
    let first = flags.name.is_empty() && flags.server.is_none();
    let wanted = wanted(flags)?;
    let fresh = first || !store.exists("ca.crt") && !store.exists("ca.key");
    let mut names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    if fresh {
        names.insert(0, "ca");
    }
    let key_first: Vec<String> = names.iter().flat_map(|n| files(n).into_iter().rev()).collect();
    store.free(&key_first)?;
    let (days, mut batch) = (flags.days, Batch::new());
    let mut add = |name: &str, made: &Issued| {
        let [cert, key] = files(name);
        batch.push((cert, made.cert.clone(), false));
        batch.push((key, made.key.clone(), true));
    };
    let ca = match fresh {
        true => {
            let made = root(&flags.ca_name, Validity { from: now, days: flags.ca_days })?;
            add("ca", &made);
            made
        }
        false => store.pair("ca")?,
    };
    let ca = Ca::new(&ca)?;
    for (name, subject) in &wanted {
        add(name, &ca.issue(subject, Validity { from: now, days })?);
    }
    store.write(&batch)?;
    for name in names {
        let [cert, key] = files(name);
        say(&format!("Created: {cert}, {key}"));
    }
    Ok(())
}

/// The first certificate in a file.
fn certificate(store: &Store, file: &str) -> Result<Vec<u8>, Failure> {
    let text = store.read(file)?;
    let all = Identity::chain(text.as_bytes()).map_err(|e| Failure::usage(format!("{file}: {e}")))?;
    Ok(all.into_iter().next().unwrap_or_default())
}

fn old_list(store: &Store) -> Result<Option<Vec<u8>>, Failure> {
    if !store.exists("ca.crl") {
        return Ok(None);
    }
    let lists = revocation_lists(store.read("ca.crl")?.as_bytes());
    let lists = lists.map_err(|e| Failure::usage(format!("ca.crl: {e}")))?;
    Ok(lists.first().map(|l| l.as_ref().to_vec()))
}

fn revoke(names: &[String], days: u32, store: &Store, now: i64) -> Result<(), Failure> {
    let ca = Ca::new(&store.pair("ca")?)?;
    let root = certificate(store, "ca.crt")?;
    let bad = |file: &str, e: &dyn core::fmt::Display| Failure::usage(format!("{file}: {e}"));
    let root = Certificate::parse(&root).map_err(|e| bad("ca.crt", &e))?;
    let old = old_list(store)?;
    let old = old.as_deref().map(RevocationList::parse).transpose().map_err(|e| bad("ca.crl", &e))?;
    let mut serials = Vec::new();
    for name in names {
        let file = format!("{}.crt", stem(name)?);
        let der = certificate(store, &file)?;
        let cert = Certificate::parse(&der).map_err(|e| bad(&file, &e))?;
        if cert.issuer != root.subject {
            return Err(Failure::usage(format!("{file} is not of this CA, but of '{}'", cert.issuer.short())));
        }
        if old.as_ref().is_some_and(|l| l.find(cert.serial).is_some()) {
            return Err(Failure::usage(format!("{file} is revoked already")));
        }
        serials.push((cert.subject.short(), cert.serial.to_vec()));
    }
    let new: Vec<&[u8]> = serials.iter().map(|(_, s)| s.as_slice()).collect();
    let text = ca.revoke(old.as_ref(), &new, Validity { from: now, days })?;
    store.write(&vec![("ca.crl".into(), text, false)])?;
    for (who, serial) in &serials {
        say(&format!("Revoked: {who} (serial {})", proto_core::x509::hex(serial, "")));
    }
    say("Created: ca.crl");
    Ok(())
}

fn list(store: &Store, now: i64) -> Result<(), Failure> {
    let old = old_list(store)?;
    let old = old.as_deref().and_then(|l| RevocationList::parse(l).ok());
    for file in store.certificates()? {
        let Ok(der) = certificate(store, &file) else {
            say(&format!("{file}: no certificate in it"));
            continue;
        };
        let Ok(c) = Certificate::parse(&der) else { continue };
        let revoked = old.as_ref().is_some_and(|l| l.issuer == c.issuer && l.find(c.serial).is_some());
        let state = match c.not_after {
            _ if revoked => "revoked".into(),
            Date(end) if end < now => "expired".into(),
            Date(end) => format!("{} days left", (end - now) / 86_400),
        };
        let (who, until) = (c.subject.short(), c.not_after);
        say(&format!("{file}: {who}, until {until:.10}, {state}, serial {}", c.serial_hex()));
    }
    Ok(())
}
