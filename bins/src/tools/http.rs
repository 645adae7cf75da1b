//! `httpserver`.
use super::simulate::{DISK, Scene, simulate};
use super::{running, server_plan};
use crate::cli::{Cidr, DriverArgs, Plan, ServerArgs, ServerTlsArgs, Target, Tool, complain, duration, size};
use crate::http::{CacheLimits, HttpServer, MAX_SITES, Options, Site, Types, UploadOptions, access, resolve};
use crate::outcome::{Code, Failure};
use crate::service::Settings;
use crate::users::Users;
use clap::Parser;
use core::time::Duration;
use drivers::Kind;
use proto_core::Shard;
use std::collections::BTreeMap;

/// What is spoken over TLS.
const ALPN: &[&str] = &["http/1.1"];

/// Serves the files of one directory over HTTP/1.1
#[derive(Parser, Clone, Debug)]
#[command(
    name = "httpserver",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  httpserver -p 8080 -d ./www
  httpserver 8080 --listing                       the working directory, with lists
  httpserver 8080 -d dist --spa index.html        an application that routes by itself
  httpserver 8080 -d dist --precompressed --header 'Cache-Control: max-age=60'
  httpserver 8080 --listen 0.0.0.0 --access-log combined
  httpserver 8443 --cert server.pem --key server.key --auth-file users.txt
  httpserver 8080 -d www --site docs.example=./docs --site '*.example=./rest'
  httpserver 8080 --upload=incoming --upload-auth users.txt --listing
                                                  curl -u bob:word -T file http://localhost:8080/incoming/"
)]
pub struct HttpServerTool {
    #[command(flatten)]
    args: ServerArgs,
    #[command(flatten)]
    tls: ServerTlsArgs,
    /// The directory to serve
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    dir: String,
    /// Serve DIR to who asks for HOST, or for a host beneath *.DOMAIN (repeatable)
    #[arg(long, value_name = "HOST=DIR", value_parser = site, help_heading = "Files")]
    site: Vec<(String, String)>,
    /// What a directory is answered with, the first that is there (repeatable) [default: index.html]
    #[arg(long, value_name = "NAME", value_parser = beneath, help_heading = "Files")]
    index: Vec<String>,
    /// List directories that have no index
    #[arg(long, help_heading = "Files")]
    listing: bool,
    /// Serve names that begin with a dot
    #[arg(long, help_heading = "Files")]
    dotfiles: bool,
    /// Follow symbolic links out of DIR
    #[arg(long, help_heading = "Files")]
    follow_symlinks: bool,
    /// Send FILE, with status 200, instead of what is not there
    #[arg(long, value_name = "FILE", value_parser = beneath, help_heading = "Files")]
    spa: Option<String>,
    /// Send FILE with this error status (repeatable)
    #[arg(long, value_name = "STATUS=FILE", value_parser = error_page, help_heading = "Files")]
    error_page: Vec<(u16, String)>,
    /// Send FILE.br, FILE.zst or FILE.gz to who accepts that
    #[arg(long, help_heading = "Files")]
    precompressed: bool,
    /// Compress text from 1 KiB to 8 MiB for who accepts that: br, zstd or gzip. Workers do it, once for each file
    #[arg(long, help_heading = "Files")]
    compress: bool,
    /// Ask for a password: FILE has lines of user:password or user:$argon2id$... (socks5_proxy --hash-password makes them)
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    auth_file: Option<String>,
    /// Believe what proxies at these addresses say of their clients, in Forwarded or X-Forwarded-For (repeatable)
    #[arg(long, value_name = "CIDR", help_heading = "Access")]
    trust_proxy: Vec<Cidr>,
    /// Their connections begin with a PROXY header, of version 1 or 2
    #[arg(long, requires = "trust_proxy", help_heading = "Access")]
    proxy_protocol: bool,
    /// Take files by PUT, and by POST of a form, into FOLDER beneath DIR; all of DIR if none is named
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true, default_missing_value = ".", value_parser = folder, help_heading = "Access")]
    upload: Option<String>,
    /// Who may send files, instead of the users of --auth-file
    #[arg(long, value_name = "FILE", requires = "upload", help_heading = "Access")]
    upload_auth: Option<String>,
    /// Files that are there may be replaced
    #[arg(long, requires = "upload", help_heading = "Access")]
    overwrite: bool,
    /// Largest body of an upload
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size, requires = "upload", help_heading = "Access")]
    max_upload: usize,
    /// Take uploads from everybody, on an address that others can reach
    #[arg(long, requires = "upload", help_heading = "Access")]
    open: bool,
    /// Character set to announce for text
    #[arg(long, value_name = "NAME", value_parser = token, help_heading = "Answers")]
    charset: Option<String>,
    /// Media type of an extension (repeatable)
    #[arg(long, value_name = "EXT=TYPE", value_parser = media, help_heading = "Answers")]
    mime: Vec<(String, String)>,
    /// A field of every answer (repeatable)
    #[arg(long, value_name = "NAME: VALUE", value_parser = field, help_heading = "Answers")]
    header: Vec<(String, String)>,
    /// Let pages of every ORIGIN, or of one, read the answers
    #[arg(long, value_name = "ORIGIN", num_args = 0..=1, require_equals = true, default_missing_value = "*", help_heading = "Answers")]
    cors: Option<String>,
    /// Fields that make browsers careful: nosniff, no frames elsewhere, no full referrer elsewhere
    #[arg(long, help_heading = "Answers")]
    security_headers: bool,
    /// Print a line per request: common, combined or json
    #[arg(long, value_name = "FORMAT", value_enum, hide_possible_values = true)]
    access_log: Option<access::Format>,
    /// How long a file is sent from memory before anybody looks whether it has changed
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration, help_heading = "Cache")]
    cache_time: Duration,
    /// Bytes of small files that are kept in memory
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size, help_heading = "Cache")]
    cache_size: usize,
    /// How long a request's head may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Limits")]
    header_timeout: Duration,
    /// How long a connection may be idle between requests
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, help_heading = "Limits")]
    keep_alive: Duration,
    /// How long a body may be slower than --min-rate
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration, help_heading = "Limits")]
    body_timeout: Duration,
    /// Bytes per second that a request's body must have
    #[arg(long, value_name = "SIZE", default_value = "240", value_parser = size, help_heading = "Limits")]
    min_rate: usize,
    /// How long a client may take nothing of an answer
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration, help_heading = "Limits")]
    write_timeout: Duration,
    /// Largest body of a request
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size, help_heading = "Limits")]
    max_body: usize,
    /// Largest head of a request
    #[arg(long, value_name = "SIZE", default_value = "32KiB", value_parser = size, help_heading = "Limits")]
    max_head: usize,
    /// Requests of one connection
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    max_requests: u32,
    /// Accept lines that end in LF alone
    #[arg(long, help_heading = "Limits")]
    lenient_lf: bool,
}

impl HttpServerTool {
    fn fields(&self) -> Vec<(String, Vec<u8>)> {
        let mut all: Vec<(&str, &str)> = Vec::new();
        if self.security_headers {
            all.extend([
                ("X-Content-Type-Options", "nosniff"),
                ("X-Frame-Options", "SAMEORIGIN"),
                ("Referrer-Policy", "strict-origin-when-cross-origin"),
                ("Cross-Origin-Opener-Policy", "same-origin"),
            ]);
        }
        if let Some(origin) = &self.cors {
            all.push(("Access-Control-Allow-Origin", origin));
            if origin != "*" {
                all.push(("Vary", "Origin"));
            }
        }
        all.extend(self.header.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        all.into_iter().map(|(n, v)| (n.into(), v.as_bytes().to_vec())).collect()
    }
    fn preflight(&self) -> Vec<(String, Vec<u8>)> {
        let fields = [
            ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"),
            ("Access-Control-Allow-Headers", "Range, If-None-Match, If-Modified-Since"),
            ("Access-Control-Max-Age", "86400"),
        ];
        let fields = fields.into_iter().filter(|_| self.cors.is_some());
        fields.map(|(n, v)| (n.into(), v.as_bytes().to_vec())).collect()
    }
    fn options(&self) -> Options {
        let base = Options::default();
        let mut http = base.http;
        // Under TLS the kernel cannot send a file by itself, so that memory is the better place for more of them.
        let small = if self.tls.tls.cert.is_some() { 1 << 20 } else { CacheLimits::default().small };
        let body = if self.upload.is_some() { self.max_body.max(self.max_upload) } else { self.max_body };
        http.limits.body = body as u64;
        http.limits.head = self.max_head;
        http.limits.request_line = http.limits.request_line.min(self.max_head);
        http.limits.requests = self.max_requests;
        http.times.head = self.header_timeout;
        http.times.idle = self.keep_alive;
        http.times.body_grace = self.body_timeout;
        http.times.body_rate = u32::try_from(self.min_rate).unwrap_or(u32::MAX);
        http.times.stall = self.write_timeout;
        http.lenient.bare_lf = self.lenient_lf;
        Options {
            root: self.dir.clone(),
            sites: self.site.clone(),
            users: None,
            upload: self.upload.clone().map(|folder| UploadOptions { folder, users: None, overwrite: self.overwrite }),
            auth_files: [self.auth_file.clone(), self.upload_auth.clone()],
            index: if self.index.is_empty() { base.index } else { self.index.clone() },
            listing: self.listing,
            dotfiles: self.dotfiles,
            follow_symlinks: self.follow_symlinks,
            spa: self.spa.clone(),
            error_pages: self.error_page.iter().cloned().collect::<BTreeMap<_, _>>(),
            precompressed: self.precompressed,
            compress: self.compress,
            types: Types {
                extra: self.mime.iter().cloned().collect(),
                charset: self.charset.clone().unwrap_or_default(),
            },
            fields: self.fields(),
            preflight: self.preflight(),
            cache: CacheLimits { bytes: self.cache_size, fresh: self.cache_time, small, ..CacheLimits::default() },
            access: self.access_log,
            http,
            ..base
        }
    }
    /// With the users that may ask.
    fn guarded_options(&self) -> Result<Options, Failure> {
        let mut options = self.options();
        options.users = HttpServerTool::users(self.auth_file.as_ref())?;
        if let Some(upload) = &mut options.upload {
            upload.users = HttpServerTool::users(self.upload_auth.as_ref())?;
        }
        Ok(options)
    }
    /// The users of a file.
    fn users(path: Option<&String>) -> Result<Option<Users>, Failure> {
        let Some(path) = path else { return Ok(None) };
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|e| Failure::usage(format!("{path}: {}", crate::text::reason(&e))))?;
        Users::parse_file(path, &text).map(Some).map_err(Failure::usage)
    }
    /// Everybody's uploads are taken only if somebody has asked for that.
    fn check_open(&self) -> Result<(), Failure> {
        let guarded = self.open || self.upload_auth.is_some() || self.auth_file.is_some();
        if self.upload.is_none() || guarded || !self.args.allow_from.is_empty() || self.tls.ca.is_some() {
            return Ok(());
        }
        let far = self.args.listen.iter().find(|t| matches!(t, Target::Ip(ip, _) if !ip.is_loopback()));
        let Some(Target::Ip(ip, _)) = far else { return Ok(()) };
        Err(Failure::usage(format!(
            "refusing to take uploads from everybody on {ip}; use --upload-auth, --auth-file, --allow-from or --open"
        )))
    }
    /// What the app would find out too, but in time for an exit code of its own.
    fn check(&self) -> Result<(), Failure> {
        for dir in core::iter::once(&self.dir).chain(self.site.iter().map(|(_, dir)| dir)) {
            check_dir(dir)?;
        }
        if self.site.len() >= MAX_SITES {
            return Err(Failure::usage(format!("at most {} of --site", MAX_SITES - 1)));
        }
        self.check_open()?;
        let fields: Vec<(String, Vec<u8>)> = self.fields().into_iter().chain(self.preflight()).collect();
        for (name, value) in &fields {
            proto_core::http1::FieldBlock::new(&[(name, value)])
                .map_err(|why| Failure::usage(format!("field '{}': {why}", crate::text::Escaped(name.as_bytes()))))?;
        }
        Ok(())
    }
}

impl Tool for HttpServerTool {
    type App = HttpServer;
    const NAME: &'static str = "httpserver";
    const DRIVER: Kind = Kind::Auto;

    fn driver(&self) -> &DriverArgs {
        &self.args.driver
    }
    fn instead(&self) -> Option<Result<Code, Failure>> {
        running(Self::NAME, &self.args)
    }
    fn simulate(&self) -> Result<Code, Failure> {
        self.tls.check(ALPN, &self.args.driver)?;
        let access_log = self.access_log.or(Some(access::Format::Common));
        let tool = Self { dir: DISK.into(), access_log, ..self.clone() };
        simulate(&tool, self.args.driver.sim.as_ref(), Scene::Files)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        self.check()?;
        self.guarded_options()?;
        self.tls.check(ALPN, &self.args.driver)?;
        let mut plan = server_plan(Self::NAME, &self.args)?;
        let asks = self.auth_file.is_some() || self.upload_auth.is_some();
        if (self.compress || asks) && self.args.workers.is_none() {
            plan.config.workers = std::thread::available_parallelism().map_or(1, Into::into);
        }
        let paths: Vec<&String> = self.auth_file.iter().chain(&self.upload_auth).collect();
        plan.notes.extend(paths.iter().filter_map(|path| crate::users::too_open(path)));
        let far = |t: &Target| matches!(t, Target::Ip(ip, _) if !ip.is_loopback());
        if !paths.is_empty() && self.tls.tls.cert.is_none() && self.args.listen.iter().any(far) {
            plan.notes.push("passwords come in clear text; use --cert and --key".into());
        }
        Ok(plan)
    }
    fn app(&self, _: Shard) -> HttpServer {
        // The files could be read a moment ago, when they were checked.
        let options = self.guarded_options().unwrap_or_else(|e| {
            complain(Self::NAME, &e.text);
            std::process::exit(e.code as i32)
        });
        let settings = Settings::new(&self.args, None).guarded(self.tls.guard(ALPN));
        HttpServer::new(settings.behind(self.trust_proxy.clone(), self.proxy_protocol), Site::new(options))
    }
}

fn check_dir(dir: &str) -> Result<(), Failure> {
    let bad = |why: &str| Err(Failure::usage(format!("root '{}': {why}", crate::text::Escaped(dir.as_bytes()))));
    match std::fs::metadata(dir) {
        Ok(meta) if !meta.is_dir() => return bad("not a directory"),
        Ok(_) => {}
        Err(e) => return bad(&crate::text::reason(&e)),
    }
    std::fs::read_dir(dir).map(drop).or_else(|e| bad(&crate::text::reason(&e)))
}

fn site(s: &str) -> Result<(String, String), String> {
    let bad = || format!("'{}' is not HOST=DIR or *.DOMAIN=DIR", crate::text::Escaped(s.as_bytes()));
    let (host, dir) = s.split_once('=').ok_or_else(bad)?;
    let name = host.strip_prefix("*.").unwrap_or(host);
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.:[]".contains(&b);
    if name.is_empty() || dir.is_empty() || !name.bytes().all(legal) || name.starts_with('.') {
        return Err(bad());
    }
    Ok((host.to_ascii_lowercase(), dir.into()))
}

fn folder(s: &str) -> Result<String, String> {
    if s == "." { Ok(String::new()) } else { beneath(s) }
}

/// A path beneath the root, without slashes at its ends.
fn beneath(s: &str) -> Result<String, String> {
    let bad = || format!("'{s}' is not a path within the served directory");
    let encoded = s.replace('%', "%25");
    let target = format!("/{}", encoded.trim_start_matches('/'));
    let path = resolve(&target, true).map_err(|_| bad())?.path.into_owned();
    if path.is_empty() || s.contains('?') { Err(bad()) } else { Ok(path) }
}

fn error_page(s: &str) -> Result<(u16, String), String> {
    let bad = || format!("'{s}' is not a status from 400 to 599, '=' and a file");
    let (status, file) = s.split_once('=').ok_or_else(bad)?;
    let status = status.parse().ok().filter(|n| (400..600).contains(n)).ok_or_else(bad)?;
    Ok((status, beneath(file)?))
}

fn token(s: &str) -> Result<String, String> {
    let ok = !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b));
    if ok { Ok(s.into()) } else { Err(format!("'{}' is not a name such as utf-8", crate::text::Escaped(s.as_bytes()))) }
}

fn media(s: &str) -> Result<(String, String), String> {
    let bad = || format!("'{}' is not an extension, '=' and a media type", crate::text::Escaped(s.as_bytes()));
    let (ext, media) = s.split_once('=').ok_or_else(bad)?;
    let ext = ext.trim_start_matches('.').to_ascii_lowercase();
    let ok = !ext.is_empty() && media.contains('/') && media.bytes().all(|b| (b' '..=b'~').contains(&b));
    if ok { Ok((ext, media.into())) } else { Err(bad()) }
}

fn field(s: &str) -> Result<(String, String), String> {
    let bad = |why: &str| format!("'{}': {why}", crate::text::Escaped(s.as_bytes()));
    let (name, value) = s.split_once(':').ok_or_else(|| bad("a field is NAME: VALUE"))?;
    let (name, value) = (name.trim(), value.trim());
    let ours = ["date", "content-type", "etag", "last-modified", "content-range", "content-encoding"];
    if ours.iter().any(|n| name.eq_ignore_ascii_case(n)) {
        return Err(bad("a field that the server writes itself"));
    }
    proto_core::http1::FieldBlock::new(&[(name, value.as_bytes())]).map_err(|why| bad(&why.to_string()))?;
    Ok((name.into(), value.into()))
}
