//! The app: its start, and which part hears what.
use super::job::Job;
use super::shop::{GATE, LIST_OPEN, LIST_READ, MyCx, Shop, UPLOAD_GATE, UPLOADS};
use super::site::Site;
use crate::front::Front;
use crate::outcome::Code;
use crate::service::{Note, Settings};
use crate::text::Escaped;
use proto_core::{Answer, App, Ask, Deadline, How, Input, OpId, Reason, Start};

/// Part byte of the directories that are served.
const ROOT: u8 = 3;
/// The app.
#[derive(Debug)]
pub struct HttpServer {
    front: Front,
    shop: Shop,
    /// Until all directories are open.
    start: Option<Start>,
    /// Directories that are not open yet.
    closed: usize,
}

impl HttpServer {
    /// With the service's settings and its own.
    pub fn new(settings: Settings, site: Site) -> Self {
        let mut front = Front::new(settings, site.options.http);
        front.finish_for_gone = true; // `nc -N` wants its answer
        HttpServer { front, shop: Shop::new(site), start: None, closed: 0 }
    }
    /// What is cached: names, bytes, open files.
    pub fn usage(&self) -> (usize, usize, usize) {
        let all = self.shop.places.iter().map(|p| p.store.usage());
        all.fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2))
    }

    // Nobody is accepted before all directories are open.

    fn start(&mut self, start: &Start, cx: &mut MyCx<'_>) {
        for l in start.listeners.iter().filter(|l| l.token.part() == 0) {
            cx.accept(l.token, false);
        }
        self.start = Some(start.clone());
        for (i, place) in (0..).zip(self.shop.places.iter()) {
            let how = How { dir: true, ..How::default() };
            cx.ask(OpId::new(ROOT, i), Ask::Open { dir: None, path: place.dir.clone(), how });
            self.closed += 1;
        }
    }
    fn rooted(&mut self, i: usize, answer: Result<Answer, Reason>, cx: &mut MyCx<'_>) {
        let Some(start) = &self.start else { return };
        let Ok(Answer::Opened { file, .. }) = answer else {
            let why = answer.err().map_or("not a directory".into(), |why| why.to_string());
            let dir = self.shop.places.iter().nth(i).map_or("", |p| &p.dir);
            let dir = Escaped(dir.as_bytes());
            if let Some(tx) = cx.tx(start.stderr) {
                tx.put(format!("httpserver: root '{dir}': {why}\n").as_bytes());
            }
            return cx.exit(Code::Usage as u8);
        };
        self.shop.places.opened(i, file);
        self.closed -= 1;
        if self.closed == 0
            && let Some(start) = self.start.take()
        {
            self.open(&start, cx);
        }
    }
    fn open(&mut self, start: &Start, cx: &mut MyCx<'_>) {
        let port = start.port().map_or_else(|| "a unix socket".into(), |p| format!("port {p}"));
        let mut banner = format!("HTTP server listening on {port}");
        for place in self.shop.places.iter() {
            let host = if place.host.is_empty() { String::new() } else { format!(" for {}", place.host) };
            banner += &format!("\nServing files from {}{host}", Escaped(place.dir.as_bytes()));
        }
        self.front.start(start, &banner, cx);
        for l in start.listeners.iter().filter(|l| l.token.part() == 0) {
            cx.accept(l.token, true);
        }
    }
}

impl App for HttpServer {
    type Job = Job;
    type Msg = Note;

    fn handle(&mut self, input: Input<'_, Note>, cx: &mut MyCx<'_>) {
        self.shop.site.tick(cx.wall());
        let (front, shop) = (&mut self.front, &mut self.shop);
        shop.reloading(&input, &front.service, cx);
        match input {
            Input::Start(start) => self.start(start, cx),
            Input::Answer(id, answer) if id.part() == ROOT => {
                self.rooted(usize::try_from(id.key()).unwrap_or(usize::MAX), answer, cx);
            }
            Input::Answer(id, answer) if shop.places.by_part(id).is_some() => shop.looked(id, answer, front, cx),
            Input::Answer(id, answer) if id.part() == UPLOADS => shop.deposited(id.key(), answer, front, cx),
            Input::Job(id, made) if matches!(id.part(), GATE | UPLOAD_GATE) => shop.checked(id, &made, front, cx),
            Input::Job(id, made) => shop.packed(id, made, front, cx),
            Input::Answer(id, answer) if id.part() == LIST_OPEN => shop.list_opened(id.key(), answer, front, cx),
            Input::Answer(id, answer) if id.part() == LIST_READ => shop.listed(id.key(), answer, front, cx),
            other => front.handle(other, shop, cx),
        }
        self.front.settle(&mut self.shop, cx);
    }
    fn deadline(&self) -> Option<Deadline> {
        self.front.deadline()
    }
    fn work(job: Job) -> Note {
        Note::Made(job.run())
    }
}
