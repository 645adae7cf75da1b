//! The routes of `coro_http_server`, which are examples too.
use super::message::{Error, Request, Response};
use super::{File, Router, fetch};
use crate::coro::{Semaphore, timeout};
use crate::reach::Reach;
use crate::work::{Kind, Work};
use core::time::Duration;
use proto_core::http1::Method;
use proto_core::{Bytes, FileId, How};
use std::sync::{Arc, Mutex};

/// What is served.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The folder whose files are served; none without it.
    pub dir: Option<String>,
    /// Whether `/proxy` is there, and where it may go.
    pub proxy: Option<Reach>,
}

/// The longest sleep, in milliseconds.
const SLEEP_MAX: u64 = 60_000;
/// The largest stream, in bytes.
const STREAM_MAX: u64 = 1 << 30;
/// Calls to other servers at once.
const OUTGOING: usize = 100;

/// All routes.
pub fn routes(options: &Options) -> Router {
    let mut router = Router::default()
        .route(Method::Get, "/sleep/:ms", sleep)
        .route(Method::Get, "/hash", hash)
        .route(Method::Get, "/stream/:bytes", stream)
        .route(Method::Get, "/panic", panic)
        .route(Method::Post, "/echo", echo);
    if let Some(reach) = options.proxy.clone() {
        let shared = Arc::new((reach, Semaphore::new(OUTGOING)));
        router = router.route(Method::Get, "/proxy", move |request| proxy(request, shared.clone()));
    }
    match options.dir.clone() {
        Some(dir) => {
            let folder = Arc::new(Folder { path: dir, open: Mutex::new(None) });
            router.fallback(move |request| file(request, folder.clone()))
        }
        None => router.route(Method::Get, "/", home),
    }
}

const HOME: &str = "<!doctype html>\n<title>coro_http_server</title>\n<h1>It works</h1>\n<p>Try /sleep/100, /hash?n=1000, \
                    /stream/100000, POST /echo.\n";

async fn home(_: Request) -> Result<Response, Error> {
    Ok(Response::new(200, HOME).typed("text/html"))
}

/// Answers after so many milliseconds. Ten thousand of them asleep need no thread.
async fn sleep(request: Request) -> Result<Response, Error> {
    let ms: u64 = request.param("ms")?;
    if ms > SLEEP_MAX {
        return Err(Error::new(400, format!("'ms' is at most {SLEEP_MAX}")));
    }
    request.cx().sleep(Duration::from_millis(ms)).await;
    Ok(Response::text(format!("slept {ms} ms\n")))
}

/// CPU work belongs on a worker: the loop goes on meanwhile.
async fn hash(request: Request) -> Result<Response, Error> {
    let size = request.query("n")?.unwrap_or(Kind::Crypto.size());
    if size > 10_000_000 {
        return Err(Error::new(400, "'n' is at most 10000000"));
    }
    let line = request.cx().job(Work { kind: Kind::Crypto, size }, Duration::ZERO).await?;
    Ok(Response::new(200, line).typed("text/plain"))
}

/// So many bytes, made while they are sent: a slow reader slows this down, and memory stays small.
async fn stream(request: Request) -> Result<Response, Error> {
    let total: u64 = request.param("bytes")?;
    if total > STREAM_MAX {
        return Err(Error::new(400, format!("'bytes' is at most {STREAM_MAX}")));
    }
    let answer = Response::stream(None, move |out| async move {
        let mut at = 0u64;
        while at < total {
            let piece: Vec<u8> = (at..total.min(at + 8192)).map(letter).collect();
            at += piece.len() as u64;
            out.write(piece).await?;
        }
        Ok(())
    });
    Ok(answer.typed("text/plain"))
}

/// Byte `at` of a stream: lines of 64, each different from its neighbours.
pub fn letter(at: u64) -> u8 {
    if at % 64 == 63 { b'\n' } else { b'a' + ((at + at / 64) % 26) as u8 }
}

#[allow(clippy::panic, reason = "shows what a handler's panic does: 500, and nothing else")]
async fn panic(_: Request) -> Result<Response, Error> {
    panic!("a handler was asked to panic")
}

/// What was sent, of its own type.
async fn echo(mut request: Request) -> Result<Response, Error> {
    let kind = String::from_utf8_lossy(request.field("content-type").unwrap_or(b"application/octet-stream"));
    let kind = kind.into_owned();
    Ok(Response::new(200, request.body().await?).typed(&kind))
}

/// Another server's page.
async fn proxy(request: Request, shared: Arc<(Reach, Semaphore)>) -> Result<Response, Error> {
    let url: String = request.query("url")?.ok_or_else(|| Error::new(400, "'url' is missing in the query"))?;
    let (reach, gate) = &*shared;
    let turn = timeout(request.cx(), Duration::from_secs(5), gate.acquire()).await;
    let _turn = turn.map_err(|_| Error::new(503, "too many calls to other servers"))?;
    let fetched = fetch(request.cx(), reach, &url).await?;
    let status = if (200..=599).contains(&fetched.status) { fetched.status } else { 502 };
    Ok(Response::new(status, fetched.body).typed(&fetched.content_type))
}

/// The folder that is served, opened with the first request.
#[derive(Debug)]
struct Folder {
    path: String,
    open: Mutex<Option<Arc<File>>>,
}

impl Folder {
    async fn open(&self, request: &Request) -> Result<Arc<File>, Error> {
        let known = self.open.lock().unwrap_or_else(|e| e.into_inner()).clone();
        if let Some(dir) = known {
            return Ok(dir);
        }
        let how = How { dir: true, ..How::default() };
        let dir = Arc::new(request.cx().open(None, &self.path, how).await?);
        *self.open.lock().unwrap_or_else(|e| e.into_inner()) = Some(dir.clone());
        Ok(dir)
    }
}

async fn file(request: Request, folder: Arc<Folder>) -> Result<Response, Error> {
    let path = local(request.path())?;
    let dir = folder.open(&request).await?;
    let mut file = open(&request, dir.id(), &path).await?;
    let mut name = path;
    if file.meta.dir {
        name = format!("{}/index.html", name.trim_end_matches('/'));
        let name = name.trim_start_matches("./");
        file = open(&request, dir.id(), name).await?;
        if file.meta.dir {
            return Err(Error::status(404));
        }
    }
    Ok(Response::file(file).typed(media_type(&name)))
}

async fn open(request: &Request, dir: FileId, path: &str) -> Result<File, Error> {
    let how = How { read: true, beneath: true, ..How::default() };
    Ok(request.cx().open(Some(dir), path, how).await?)
}

/// A path below the folder. What would leave it is 403, whatever the file system would say.
fn local(path: &str) -> Result<String, Error> {
    let text = super::message::decode(path, false).ok_or_else(|| Error::status(400))?;
    if text.contains('\0') {
        return Err(Error::status(400));
    }
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(Error::status(403)),
            part if part.starts_with('.') => return Err(Error::status(404)), // hidden files stay so
            part => parts.push(part),
        }
    }
    Ok(if parts.is_empty() { ".".into() } else { parts.join("/") })
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "js" => "text/javascript",
        "json" => "application/json",
        "txt" | "md" => "text/plain",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

/// Nothing of a stream is known without making it; for tests.
pub fn streamed(total: u64) -> Bytes {
    (0..total).map(letter).collect::<Vec<u8>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_folder() {
        for (path, want) in [
            ("/", Ok(".")),
            ("/a/b.txt", Ok("a/b.txt")),
            ("//a//b", Ok("a/b")),
            ("/a%20b", Ok("a b")),
            ("/./a", Ok("a")),
            ("/../a", Err(403)),
            ("/a/%2e%2e/%2e%2e/etc/passwd", Err(403)),
            ("/.git/config", Err(404)),
            ("/a%00b", Err(400)),
            ("/%zz", Err(400)),
            ("/%ff", Err(400)),
        ] {
            assert_eq!(local(path).map_err(|e| e.status), want.map(String::from), "{path}");
        }
    }
}
