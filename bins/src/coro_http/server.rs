//! The app: an executor, a front, and what passes between them.
use super::line::{Answer, Line, Shape, Stage};
use super::message::{Body, Error, Head, Request, Response};
use super::{File, Handle, Router};
use crate::coro::{Counts, Executor, MAX_TASKS, Panicked, WINDOW, caught, timeout};
use crate::front::{Desk, Front};
use crate::service::{Note, ServerCx, Settings};
use crate::work::Work;
use core::time::Duration;
use proto_core::http1::{self, Config, Length, Limits, Method, Times, server};
use proto_core::{App, Bytes, Deadline, Input, Peer, Signal, Slots, Start, Token};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// The part byte of the executor's tokens and questions.
const TASKS: u8 = 1;
/// Rounds of tasks and connections before inputs are looked at again.
const ROUNDS: usize = 4;
/// Lines of the log that wait to be written.
const LOG_MAX: usize = 1000;

/// How the server treats its handlers.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a handler may take to begin its answer.
    pub handler: Duration,
    /// Bytes of a request's body.
    pub body_max: usize,
    /// A client that is gone does not cancel its handler.
    pub finish: bool,
    /// What goes wrong is told to clients.
    pub debug_errors: bool,
    /// Tasks at once.
    pub max_tasks: usize,
    /// Tasks run in an order that this seed decides; for tests.
    pub shuffle: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            handler: Duration::from_secs(60),
            body_max: 1 << 20,
            finish: false,
            debug_errors: false,
            max_tasks: MAX_TASKS,
            shuffle: None,
        }
    }
}

/// What tasks have to say to the log, and what is counted of them.
#[derive(Debug, Default)]
struct Journal {
    lines: VecDeque<String>,
    errors: u64,
    panics: u64,
    timeouts: u64,
}

/// What all connections' tasks share.
#[derive(Debug)]
struct Common {
    router: Router,
    options: Options,
    journal: Mutex<Journal>,
}

/// The app.
#[derive(Debug)]
pub struct CoroServer {
    front: Front,
    executor: Executor<Work, Bytes>,
    lines: Lines,
}

#[derive(Debug)]
struct Connection {
    line: Line,
    task: u64,
    /// The file that is being sent.
    file: Option<File>,
    /// Bytes of a streamed answer that were promised and not sent yet.
    left: Option<u64>,
}

#[derive(Debug)]
struct Lines {
    connections: Slots<Connection>,
    handle: Handle,
    common: Arc<Common>,
    refused: u64,
}

type CoroCx<'a> = ServerCx<'a, Work>;

impl CoroServer {
    /// With the service's settings.
    pub fn new(settings: Settings, router: Router, options: Options) -> Self {
        let limits = Limits { body: options.body_max as u64, requests: u32::MAX, ..Limits::SERVER };
        let times = Times { head: Duration::from_secs(30), ..Times::SERVER };
        let mut front = Front::new(settings, Config { limits, times, ..Config::SERVER });
        front.finish_for_gone = options.finish;
        let mut executor = Executor::new(TASKS, options.max_tasks);
        if let Some(seed) = options.shuffle {
            executor = executor.shuffled(seed);
        }
        let handle = executor.handle().clone();
        let common = Arc::new(Common { router, options, journal: Mutex::default() });
        let lines = Lines { connections: Slots::default(), handle, common, refused: 0 };
        CoroServer { front, executor, lines }
    }
    /// What its tasks are doing.
    pub fn counts(&self) -> Counts {
        self.executor.counts()
    }
    fn start(&mut self, start: &Start, cx: &mut CoroCx<'_>) {
        let at = start.port().map_or_else(|| "a unix socket".into(), |p| format!("port {p}"));
        self.front.start(start, &format!("Coroutine HTTP server on {at} (async/await)"), cx);
    }
    fn write_log(&mut self, cx: &mut CoroCx<'_>) {
        let lines = std::mem::take(&mut self.lines.common.journal().lines);
        for line in lines {
            self.front.service.log(cx, format_args!("{line}"));
        }
    }
    fn report(&self, cx: &mut CoroCx<'_>) {
        let (c, refused) = (self.executor.counts(), self.lines.refused);
        let (errors, panics, timeouts) = {
            let j = self.lines.common.journal();
            (j.errors, j.panics, j.timeouts)
        };
        self.front.service.warn(
            cx,
            format_args!(
                "tasks {} waits {} sockets {} polls {} late {} errors {errors} panics {panics} timeouts {timeouts} \
                 refused {refused}",
                c.tasks, c.waits, c.sockets, c.polls, c.late
            ),
        );
    }
}

impl Common {
    fn journal(&self) -> std::sync::MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(|e| e.into_inner())
    }
    fn log(&self, line: String) {
        let mut journal = self.journal();
        if journal.lines.len() < LOG_MAX {
            journal.lines.push_back(line);
        }
    }
    /// The answer that an error becomes. What is not the client's fault stays in the log, under a number that both have.
    fn error(&self, error: &Error) -> Response {
        let page = Response::page(error.status);
        if error.status < 500 {
            return if error.text == http1::reason(error.status) {
                page
            } else {
                Response::new(error.status, format!("{}\n", error.text)).typed("text/plain")
            };
        }
        let number = {
            let mut journal = self.journal();
            journal.errors += 1;
            journal.errors
        };
        self.log(format!("error {number}: {error}"));
        let page = page.field("X-Error-Id", &number.to_string());
        let page = if error.status == 503 { page.field("Retry-After", "1") } else { page };
        if self.options.debug_errors {
            Response { body: Body::Whole(format!("{error}\n").into()), content_type: "text/plain".into(), ..page }
        } else {
            page
        }
    }
    async fn answer(&self, handle: &Handle, request: Request) -> Response {
        let limit = self.options.handler;
        match timeout(handle, limit, caught(self.router.answer(request))).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(error))) => self.error(&error),
            Ok(Err(Panicked)) => {
                self.journal().panics += 1;
                Response { close: true, ..self.error(&Error::new(500, "a handler panicked")) }
            }
            Err(_) => {
                self.journal().timeouts += 1;
                let text = format!("a handler took more than {}", crate::text::span(limit));
                self.error(&Error::new(503, text))
            }
        }
    }
}

/// A connection: requests and their answers, one after the other.
async fn serve(line: Line, handle: Handle, common: Arc<Common>) {
    while let Some(head) = line.request().await {
        let is_head = head.method == Method::Head;
        let body_max = common.options.body_max;
        let request = Request { head, line: line.clone(), handle: handle.clone(), params: Vec::new(), body_max };
        let Response { status, content_type, fields, close, body } = common.answer(&handle, request).await;
        let (shape, write) = match body {
            Body::Whole(bytes) => (Shape::Whole(bytes), None),
            Body::File(file) => {
                let len = file.meta.len;
                (Shape::File(file, len), None)
            }
            Body::Stream(length, write) => (Shape::Stream(length), Some(write)),
        };
        line.answer(Answer { status, content_type, fields, close, body: shape });
        let Some(write) = write else { continue };
        if is_head || matches!(status, 204 | 205 | 304) {
            line.end(Stage::None); // there is nothing to write
            continue;
        }
        match caught(write(super::BodyWriter(line.clone()))).await {
            Ok(Ok(())) => line.end(Stage::Finished),
            failed => {
                let why =
                    failed.map_or_else(|_| "it panicked".into(), |e| e.err().map_or_else(String::new, |e| e.text));
                common.log(format!("an answer was cut short: {why}"));
                line.end(Stage::Broken);
            }
        }
    }
}

impl Lines {
    /// Does what a connection's task has asked for.
    fn pump(&mut self, t: Token, front: &mut Front, cx: &mut CoroCx<'_>) {
        let Some(connection) = self.connections.get_mut(t) else { return };
        let (answer, reads) = {
            let mut shared = connection.line.lock();
            (shared.answer.take(), shared.wanted && shared.unread < WINDOW && !shared.body_over)
        };
        if reads
            && answer.is_none()
            && let Some((http, tx)) = front.http(t, cx)
            && http.is_awaiting()
            && http.continue_100(tx).is_ok()
        {
            http.hold(false);
        }
        if let Some(answer) = answer {
            connection.begin(t, answer, front, cx);
        }
        if !connection.send(t, front, cx) {
            front.abort(t, cx);
            self.gone(t, front, cx);
        }
    }
    /// Closes files that were sent.
    fn close_files(&mut self, front: &Front) {
        for (t, connection) in self.connections.iter_mut() {
            if connection.file.is_some() && front.is_idle(t) {
                connection.file = None;
            }
        }
    }
}

impl Connection {
    fn begin(&mut self, t: Token, answer: Answer, front: &mut Front, cx: &mut CoroCx<'_>) {
        let Answer { status, content_type, fields, close, body } = answer;
        let fields: Vec<(&str, &[u8])> = fields.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
        let head = server::Response { close, ..server::Response::new(status).typed(&content_type).fields(&fields) };
        let begun = match &body {
            Shape::Whole(bytes) => {
                front.respond(t, &head, bytes, cx);
                Ok(())
            }
            Shape::File(_, len) => front.begin(t, &head, Length::Known(*len), cx),
            Shape::Stream(Some(n)) => front.begin(t, &head, Length::Known(*n), cx),
            Shape::Stream(None) => front.begin(t, &head, Length::Chunked, cx),
        };
        if front.is_awaiting(t) || begun.is_err() {
            // What the handler said would break the head.
            let plain = server::Response::new(500).closing();
            front.page(t, &plain, cx);
            self.line.tell(|s| s.gone = true);
            return;
        }
        match body {
            Shape::File(file, len) => {
                if let Some((http, _)) = front.http(t, cx)
                    && let Some(out) = http.body()
                {
                    out.file(file.id(), 0, usize::try_from(len).unwrap_or(usize::MAX));
                }
                self.file = Some(file);
            }
            Shape::Stream(length) => self.left = length,
            Shape::Whole(_) => {}
        }
    }
    /// Moves a streamed answer on. False if it can't be ended as it was promised.
    fn send(&mut self, t: Token, front: &mut Front, cx: &mut CoroCx<'_>) -> bool {
        let mut shared = self.line.lock();
        match shared.stage {
            Stage::None => return true,
            Stage::Broken => return false,
            Stage::Streaming | Stage::Finished => {}
        }
        let Some((http, tx)) = front.http(t, cx) else { return true };
        let mut moved = false;
        while tx.room() > 0
            && let Some(mut bytes) = shared.out.pop_front()
        {
            shared.unsent = shared.unsent.saturating_sub(bytes.len());
            moved = true;
            if let Some(left) = &mut self.left {
                bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX)); // more than was promised is cut
                *left -= bytes.len() as u64;
            }
            if !bytes.is_empty() && http.put(tx, &bytes).is_err() {
                return false;
            }
        }
        let mut whole = true;
        if shared.stage == Stage::Finished && shared.out.is_empty() {
            shared.stage = Stage::None;
            whole = match self.left.take() {
                Some(0) => true,
                Some(_) => false, // less than was promised: the client must notice
                None => http.finish(tx, &[]).is_ok(),
            };
        }
        let waker = if moved { shared.waker() } else { None };
        drop(shared);
        waker.into_iter().for_each(core::task::Waker::wake);
        whole
    }
}

impl Desk<Work> for Lines {
    fn opened(&mut self, t: Token, _: &Peer, _: &mut Front, _: &mut CoroCx<'_>) {
        let line = Line::new(&self.handle, t);
        let task = serve(line.clone(), self.handle.clone(), self.common.clone());
        if let Ok(child) = self.handle.spawn("connection", task) {
            self.connections.insert(t, Connection { line, task: child.detach(), file: None, left: None });
        }
    }
    fn request(&mut self, t: Token, request: &server::Request<'_>, front: &mut Front, cx: &mut CoroCx<'_>) {
        let Some(connection) = self.connections.get_mut(t) else {
            self.refused += 1;
            return front.page(t, &server::Response::new(503).fields(&[("Retry-After", b"1")]).closing(), cx);
        };
        (connection.file, connection.left) = (None, None);
        let head = Head {
            method: request.method(),
            target: request.target().into(),
            fields: Head::copy(request.fields()),
            has_body: request.has_body(),
        };
        if head.has_body
            && let Some((http, _)) = front.http(t, cx)
        {
            http.hold(true); // until the handler asks for it
        }
        connection.line.tell(|s| {
            (s.unread, s.unsent) = (0, 0);
            s.body.clear();
            s.out.clear();
            (s.body_over, s.wanted, s.stage) = (!head.has_body, false, Stage::None);
            s.request = Some(head);
        });
    }
    fn body(&mut self, t: Token, bytes: &[u8], front: &mut Front, cx: &mut CoroCx<'_>) {
        let Some(connection) = self.connections.get(t) else { return };
        let mut full = false;
        connection.line.tell(|s| {
            s.unread += bytes.len();
            s.body.push_back(Bytes::copy_from_slice(bytes));
            full = s.unread >= WINDOW;
        });
        if full && let Some((http, _)) = front.http(t, cx) {
            http.hold(true);
        }
    }
    fn body_end(&mut self, t: Token, _: &mut Front, _: &mut CoroCx<'_>) {
        if let Some(connection) = self.connections.get(t) {
            connection.line.tell(|s| s.body_over = true);
        }
    }
    fn gone(&mut self, t: Token, _: &mut Front, _: &mut CoroCx<'_>) {
        let Some(connection) = self.connections.remove(t) else { return };
        connection.line.tell(|s| s.gone = true);
        if !self.common.options.finish {
            self.handle.kill(connection.task);
        }
    }
}

impl App for CoroServer {
    type Job = Work;
    type Msg = Note;

    fn handle(&mut self, input: Input<'_, Note>, cx: &mut CoroCx<'_>) {
        let CoroServer { front, executor, lines } = self;
        match input {
            Input::Start(start) => self.start(start, cx),
            input if input.part() == Some(TASKS) => executor.input(input, made, cx),
            input => {
                let writable = if let Input::Writable(t) = &input { Some(*t) } else { None };
                let tidy = matches!(input, Input::Deadline | Input::Writable(_));
                let report = matches!(input, Input::Signal(Signal::Report));
                front.handle(input, lines, cx);
                if let Some(t) = writable {
                    lines.pump(t, front, cx);
                }
                if tidy {
                    lines.close_files(front);
                }
                if report {
                    self.report(cx);
                }
            }
        }
        let CoroServer { front, executor, lines } = self;
        for _ in 0..ROUNDS {
            executor.run(cx);
            let notices = executor.notices();
            notices.iter().for_each(|key| lines.pump(Token::from_bits(*key), front, cx));
            if !front.go_on(lines, cx) && notices.is_empty() {
                break;
            }
        }
        front.settle(lines, cx);
        self.write_log(cx);
    }
    fn deadline(&self) -> Option<Deadline> {
        Deadline::earliest(self.front.deadline(), self.executor.deadline())
    }
    fn work(job: Work) -> Note {
        Note::Made(job.run())
    }
}

fn made(note: Note) -> Option<Bytes> {
    if let Note::Made(bytes) = note { Some(bytes) } else { None }
}
