//! Files that are written: in order, each question answered, and whole at the end.
use super::apps::{Ctx, In, tell};
use super::{Seen, start};
use crate::plain_app;
use drivers::Kind;
use proto_core::{Answer, Ask, Bytes, FileId, How, Input, OpId};
use std::sync::mpsc::Sender;

/// Writes asked at once: more than threads could have begun at the end.
pub const WRITES: u64 = 500;
const PIECE: usize = 4096;
const OPEN: u64 = 1000;

/// Asks for everything at once, as soon as the file is open: writes, a sync, the end of the file, one more write.
pub struct Scribe {
    pub path: String,
    /// Ends the program in the same breath; else tells each answer.
    pub exits: bool,
    pub tell: Sender<Seen>,
}

impl Scribe {
    fn on(&mut self, input: In<'_>, cx: Ctx<'_, '_>) {
        match input {
            Input::Start(_) => {
                let how = How { write: true, create: true, ..How::default() };
                cx.ask(OpId::new(0, OPEN), Ask::Open { dir: None, path: self.path.clone(), how });
            }
            Input::Answer(_, Ok(Answer::Opened { file, .. })) => {
                for i in 0..WRITES {
                    write(i, file, cx);
                }
                cx.ask(OpId::new(0, WRITES), Ask::Sync { file, data_only: true });
                cx.ask(OpId::new(0, WRITES + 1), Ask::CloseFile(file));
                write(WRITES + 2, file, cx);
                if self.exits {
                    cx.exit(3);
                }
            }
            Input::Answer(id, done) => tell(&self.tell, Seen::Said(format!("{} {done:?}", id.key()))),
            _ => {}
        }
    }
}
plain_app!(Scribe);

fn write(i: u64, file: FileId, cx: Ctx<'_, '_>) {
    let data = vec![Bytes::from(vec![i as u8; PIECE])];
    cx.ask(OpId::new(0, i), Ask::Write { file, offset: i * PIECE as u64, data });
}

/// What the file holds when all is done.
pub fn whole() -> Vec<u8> {
    (0..WRITES).flat_map(|i| [i as u8; PIECE]).collect()
}

/// What the app hears, in the order of the questions.
pub fn answers() -> Vec<String> {
    let done = (0..=WRITES + 1).map(|i| format!("{i} Ok(Done)"));
    done.chain([format!("{} Err(NotFound)", WRITES + 2)]).collect()
}

struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str, kind: Kind) -> Scratch {
        let name = format!("drywire-{}-{name}-{}", std::process::id(), kind.name());
        Scratch(std::env::temp_dir().join(name))
    }
    fn path(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The program ends while hundreds of writes have not begun: all of them are in the file.
pub fn what_is_to_be_written_at_the_end_is_written(kind: Kind) {
    let scratch = Scratch::new("ends", kind);
    let path = scratch.path();
    let mut run = start(kind, move |tell| Scribe { path: path.clone(), exits: true, tell });
    assert_eq!(run.join().unwrap().unwrap(), 3);
    let got = std::fs::read(&scratch.0).unwrap();
    assert!(got == whole(), "{} of {} bytes", got.len(), whole().len());
}

/// Questions that wait when their file is closed are answered, and done.
pub fn what_was_asked_before_a_file_is_closed_is_answered(kind: Kind) {
    let scratch = Scratch::new("closes", kind);
    let path = scratch.path();
    let run = start(kind, move |tell| Scribe { path: path.clone(), exits: false, tell });
    let mut said: Vec<String> = Vec::new();
    while said.len() < answers().len() {
        match run.next() {
            Seen::Said(text) => said.push(text),
            other => panic!("{other:?}"),
        }
    }
    said.sort_by_key(|s| s.split(' ').next().and_then(|n| n.parse::<u64>().ok()));
    assert_eq!(said, answers());
    assert!(std::fs::read(&scratch.0).unwrap() == whole());
    assert_eq!(run.end(), []);
}
