//! Uploads against a folder in memory that fails at any question.
use super::*;
use proto_core::Meta;
use std::collections::BTreeMap;

const FOLDER: FileId = FileId(1);

/// A folder, and who has what open in it.
#[derive(Default)]
struct Disk {
    files: BTreeMap<String, Vec<u8>>,
    open: BTreeMap<u32, String>,
    next: u32,
    questions: usize,
    /// The question that fails, and how.
    fails: Option<(usize, Reason)>,
}

impl Disk {
    fn ask(&mut self, ask: Ask) -> Result<Answer, Reason> {
        if !matches!(ask, Ask::CloseFile(_) | Ask::Remove { .. }) {
            self.questions += 1;
            if let Some((_, why)) = self.fails.filter(|(n, _)| *n == self.questions) {
                return Err(why);
            }
        }
        match ask {
            Ask::Open { how, .. } if how.dir => Ok(self.opened(FOLDER.0, ".")),
            Ask::Open { path, how, .. } => {
                let there = self.files.contains_key(&path);
                match (how.new, there) {
                    (true, true) => return Err(Reason::Exists),
                    (false, false) => return Err(Reason::NotFound),
                    (true, false) => drop(self.files.insert(path.clone(), Vec::new())),
                    (false, true) => {}
                }
                self.next += 1;
                Ok(self.opened(100 + self.next, &path))
            }
            Ask::Write { file, offset, data } => {
                let name = self.open[&file.0].clone();
                let bytes = self.files.get_mut(&name).expect("it is open");
                assert_eq!(bytes.len() as u64, offset, "in order");
                data.iter().for_each(|d| bytes.extend_from_slice(d));
                Ok(Answer::Done)
            }
            Ask::Sync { file, .. } => {
                assert!(self.open.contains_key(&file.0));
                Ok(Answer::Done)
            }
            Ask::Rename { from, to, .. } => {
                let bytes = self.files.remove(&from).ok_or(Reason::NotFound)?;
                self.files.insert(to, bytes);
                Ok(Answer::Done)
            }
            Ask::Remove { path, .. } => self.files.remove(&path).map(|_| Answer::Done).ok_or(Reason::NotFound),
            Ask::CloseFile(file) => {
                assert!(self.open.remove(&file.0).is_some(), "closed twice");
                Ok(Answer::Done)
            }
            other => panic!("{other:?}"),
        }
    }
    fn opened(&mut self, file: u32, path: &str) -> Answer {
        self.open.insert(file, path.into());
        Answer::Opened { file: FileId(file), meta: Meta::default() }
    }
    /// Plays a body in pieces; `None`: the client went away after so many of them.
    fn play(&mut self, mut u: Upload, pieces: &[&[u8]], whole: bool) -> Option<Result<(Vec<String>, bool), Failed>> {
        let mut pieces = pieces.iter();
        let folder = Ask::Open { dir: None, path: "in".into(), how: How { dir: true, ..How::default() } };
        let mut ask = Some(u.start(folder));
        let mut result = None;
        while result.is_none() {
            if let Some(ask) = ask.take() {
                let over = u.heard(self.ask(ask));
                u.take_seen().into_iter().for_each(|file| drop(self.ask(Ask::CloseFile(file))));
                if let Some(Next::Over(ended)) = over {
                    result = Some(ended);
                    break;
                }
            }
            match u.next() {
                Next::Ask(next) => ask = Some(next),
                Next::Over(ended) => result = Some(ended),
                Next::More => match pieces.next() {
                    Some(piece) => u.put(piece),
                    None if whole => u.end(),
                    None => break,
                },
            }
        }
        u.leftovers().into_iter().for_each(|ask| drop(self.ask(ask)));
        assert!(self.open.is_empty(), "left open: {:?}", self.open);
        result
    }
}

fn file(overwrite: bool) -> Upload {
    Upload::new(Source::Whole("a.txt".into()), overwrite, 7)
}

fn form() -> (Upload, Vec<u8>) {
    let form = Form::new(b"multipart/form-data; boundary=B").expect("a form");
    let body = b"--B\r\nContent-Disposition: form-data; filename=\"a.txt\"\r\n\r\none\r\n--B\r\n\
                 Content-Disposition: form-data; name=x\r\n\r\nno file\r\n--B\r\n\
                 Content-Disposition: form-data; filename=\"b.txt\"\r\n\r\ntwo\r\n--B--\r\n";
    (Upload::new(Source::Form(form), false, 7), body.to_vec())
}

#[test]
fn a_file_comes_whole_or_not_at_all() {
    let mut disk = Disk::default();
    assert_eq!(disk.play(file(false), &[b"hello ", b"world"], true), Some(Ok((vec!["a.txt".into()], false))));
    assert_eq!(disk.files, BTreeMap::from([("a.txt".into(), b"hello world".to_vec())]));
    let questions = disk.questions;
    for cut in 0..3 {
        let mut disk = Disk::default();
        assert_eq!(disk.play(file(false), &[&b"hello "[..], b"world"][..cut], false), None);
        assert!(disk.files.is_empty(), "{:?}", disk.files);
    }
    for n in 1..=questions {
        for (why, status) in [(Reason::NoSpace, 507), (Reason::Denied, 403), (Reason::Io(5), 500)] {
            let mut disk = Disk { fails: Some((n, why)), ..Disk::default() };
            let got = disk.play(file(false), &[b"hello ", b"world"], true);
            // What was only the folder's sync is stored all the same.
            if n == questions {
                assert!(matches!(got, Some(Ok(_))) && disk.files.len() == 1);
            } else {
                assert!(matches!(&got, Some(Err((s, _))) if *s == status), "question {n}: {got:?}");
                assert!(disk.files.is_empty(), "question {n}: {:?}", disk.files);
            }
        }
    }
}

#[test]
fn what_is_there_stays_unless_it_may_go() {
    let old = || BTreeMap::from([("a.txt".to_string(), b"old".to_vec())]);
    let mut disk = Disk { files: old(), ..Disk::default() };
    assert!(matches!(disk.play(file(false), &[b"new"], true), Some(Err((409, _)))));
    assert_eq!(disk.files, old());
    // It came while the body did: the look saw nothing (the second question).
    let mut disk = Disk { files: old(), fails: Some((2, Reason::NotFound)), ..Disk::default() };
    assert!(matches!(disk.play(file(false), &[b"new"], true), Some(Err((409, _)))));
    assert_eq!(disk.files, old());
    let mut disk = Disk { files: old(), ..Disk::default() };
    assert_eq!(disk.play(file(true), &[b"new"], true), Some(Ok((vec!["a.txt".into()], true))));
    assert_eq!(disk.files["a.txt"], b"new");
}

#[test]
fn files_of_a_form() {
    let (_, body) = form();
    for step in 1..=body.len() {
        let mut disk = Disk::default();
        let pieces: Vec<&[u8]> = body.chunks(step).collect();
        let names = vec!["a.txt".into(), "b.txt".into()];
        assert_eq!(disk.play(form().0, &pieces, true), Some(Ok((names, false))), "pieces of {step}");
        assert_eq!(disk.files, BTreeMap::from([("a.txt".into(), b"one".to_vec()), ("b.txt".into(), b"two".to_vec())]));
    }
    for cut in 0..body.len() - 4 {
        let mut disk = Disk::default();
        let got = disk.play(form().0, &[&body[..cut]], true);
        assert!(matches!(got, Some(Err((400, _)))), "cut at {cut}: {got:?}");
        assert!(disk.files.keys().all(|name| !name.starts_with('.')), "{:?}", disk.files);
    }
}

#[test]
fn names_of_one_file() {
    for good in ["a", "a.txt", "\u{e4} b", "a..b"] {
        assert_eq!(check_name(good), Ok(()), "{good}");
    }
    for bad in ["", ".", "..", ".hidden", "a/b", "/etc/passwd", "..\\a", "a\0b", "a\nb", &"x".repeat(300)] {
        assert_eq!(check_name(bad).map_err(|(status, _)| status), Err(400), "{bad:?}");
    }
}
