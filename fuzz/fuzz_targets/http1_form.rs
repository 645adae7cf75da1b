//! Forms from any bytes, fed in pieces of any size: the same files with the same bytes, or the same refusal.
#![no_main]
use libfuzzer_sys::fuzz_target;
use proto_core::http1::form::{Form, Piece};

type Files = Vec<(String, Vec<u8>)>;

/// The files, and whether the form has come to its end; `None` if it is refused.
fn read(body: &[u8], step: usize) -> Option<(Files, bool)> {
    let mut form = Form::new(b"multipart/form-data; boundary=B")?;
    let (mut files, mut kept, mut open) = (Files::new(), Vec::new(), false);
    for piece in body.chunks(step) {
        kept.extend_from_slice(piece);
        loop {
            let (n, what) = form.next(&kept).ok()?;
            let stuck = n == 0 && what.is_none() || form.is_over();
            match what {
                Some(Piece::File(name)) => {
                    open = true;
                    files.push((name, Vec::new()));
                }
                Some(Piece::Field | Piece::End) => open = false,
                Some(Piece::Data(range)) => {
                    assert!(range.start == 0 && range.end == n && n > 0);
                    if let Some((_, bytes)) = files.last_mut().filter(|_| open) {
                        bytes.extend_from_slice(&kept[range]);
                    }
                }
                None => {}
            }
            kept.drain(..n);
            if stuck {
                break;
            }
        }
        if form.is_over() {
            kept.clear();
        }
    }
    Some((files, form.is_over()))
}

fuzz_target!(|data: &[u8]| {
    let Some((step, body)) = data.split_first() else { return };
    let (whole, pieces) = (read(body, body.len().max(1)), read(body, usize::from(*step).max(1)));
    // A refusal may come earlier or later in a body, but not in one way and not in the other: unless the end hides it.
    if whole.as_ref().is_some_and(|(_, over)| *over) || pieces.as_ref().is_some_and(|(_, over)| *over) {
        assert_eq!(whole, pieces);
    }
});
