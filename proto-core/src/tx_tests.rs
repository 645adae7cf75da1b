use super::*;
use alloc::{vec, vec::Vec};

/// Miri is slow: it skips the smallest portions, which take the most rounds.
fn portions<const N: usize>(all: [usize; N]) -> impl Iterator<Item = usize> {
    all.into_iter().filter(|n| !cfg!(miri) || *n >= 500)
}

fn flat(tx: &Tx) -> Vec<u8> {
    tx.chunks().flatten().copied().collect()
}

/// Large enough to be a segment of its own.
const BIG: usize = if cfg!(miri) { COPY_MAX + 100 } else { 5000 };

/// Puts a mix of everything; returns the bytes it stands for.
fn mixed(tx: &mut Tx) -> Vec<u8> {
    let big: Vec<u8> = (0..BIG as u32).map(|i| i as u8).collect();
    let mut store = big.clone();
    tx.put(b"head");
    tx.share(Bytes::from(big.clone()));
    tx.put_with(10, |b| {
        b[..3].copy_from_slice(b"mid");
        3
    });
    tx.forward(Chunk::new(&mut store, BIG - 50));
    assert!(store.is_empty(), "a large chunk is moved");
    tx.put(b"tail");
    [b"head".as_slice(), &big, b"mid", &big[..BIG - 50], b"tail"].concat()
}

#[test]
fn consume_in_any_portion_gives_the_same_bytes() {
    for step in portions([1, 3, 7, 100, 4096, 100_000]) {
        let (mut tx, mut got, mut pool) = (Tx::default(), vec![], Pool::new(5000));
        let want = mixed(&mut tx);
        assert_eq!((tx.len(), flat(&tx)), (want.len(), want.clone()));
        while !tx.is_empty() {
            let part: Vec<u8> = tx.chunks().flatten().copied().take(step).collect();
            tx.consume(part.len(), Some(&mut pool));
            got.extend(part);
        }
        assert_eq!(got, want, "step {step}");
    }
}

#[test]
fn a_flight_stays_while_more_is_put() {
    for step in portions([1, 5, 999, 1 << 20]) {
        let (mut tx, mut got, mut pool) = (Tx::default(), vec![], Pool::new(5000));
        let (mut want, mut flight) = (mixed(&mut tx), Flight::default());
        while tx.launch(2, &mut flight) {
            let part: Vec<u8> = flight.chunks().flatten().copied().take(step).collect();
            let unsent = tx.len();
            if want.len() < 4 * BIG && (!cfg!(miri) || want.len() < 2 * BIG + 100) {
                tx.put(b"more");
                want.extend(b"more");
            }
            let more = tx.len() - unsent;
            tx.land(part.len(), &mut flight, Some(&mut pool));
            assert_eq!((tx.len(), flight.is_empty()), (unsent + more - part.len(), true));
            got.extend(part);
        }
        assert_eq!(got, want, "step {step}");
    }
}

#[test]
fn a_flight_outlives_what_its_output_becomes() {
    let (mut tx, mut flight) = (Tx::default(), Flight::default());
    tx.put(b"in flight");
    assert!(tx.launch(8, &mut flight));
    let before = flight.chunks().next().map(<[u8]>::as_ptr);
    drop(mem::replace(&mut tx, Tx::with_limit(10))); // whatever an app does with it
    tx.put(b"new");
    assert_eq!(flight.chunks().next().map(<[u8]>::as_ptr), before);
    tx.land(3, &mut flight, None);
    assert_eq!((tx.len(), flat(&tx)), (9, b"flightnew".to_vec()));
}

#[test]
fn puts_between_consumes_keep_count() {
    let (mut tx, mut want, mut got) = (Tx::default(), vec![], vec![]);
    for i in 0..if cfg!(miri) { 200 } else { 2000u32 } {
        let b = vec![i as u8; (i % 37) as usize * if i % 50 == 0 { 200 } else { 1 }];
        want.extend_from_slice(&b);
        if i % 3 == 0 {
            tx.share(Bytes::from(b))
        } else {
            tx.put(&b)
        }
        let part: Vec<u8> = tx.chunks().flatten().copied().take((i % 41) as usize).collect();
        tx.consume(part.len(), None);
        got.extend(part);
        assert_eq!(tx.len(), want.len() - got.len());
    }
    got.extend(flat(&tx));
    assert_eq!(got, want);
}

#[test]
fn file_ranges_stop_the_bytes_and_are_supplied_in_pieces() {
    let mut tx = Tx::default();
    tx.put(b"ab");
    tx.file(FileId(7), 100, 10);
    tx.put(b"yz");
    assert_eq!((tx.len(), flat(&tx)), (14, b"ab".to_vec()));
    tx.consume(2, None);
    assert_eq!(tx.next(), Next::File { file: FileId(7), offset: 100, len: 10 });
    assert!(!tx.launch(8, &mut Flight::default()), "a file range cannot fly");
    tx.consume(4, None); // sendfile sent some
    tx.supply(Bytes::from_static(b"EFG"));
    assert_eq!(flat(&tx), b"EFG");
    tx.consume(3, None);
    assert_eq!(tx.next(), Next::File { file: FileId(7), offset: 107, len: 3 });
    assert_eq!(tx.files().collect::<Vec<_>>(), [FileId(7)]);
    tx.supply(Bytes::from_static(b"HIJ and more than asked for"));
    assert_eq!(flat(&tx), b"HIJyz");
}

#[test]
fn append_moves_bytes_and_ranges_in_any_portion() {
    for step in portions([1, 16, 3000, 1 << 20]) {
        let (mut from, mut to) = (Tx::default(), Tx::default());
        let mut want = mixed(&mut from);
        from.file(FileId(1), 0, 20);
        while from.next() == Next::Bytes {
            let left = from.len() - 20;
            assert!(to.append(&mut from, step.min(left)) > 0);
        }
        assert_eq!(to.append(&mut from, 5), 5);
        assert_eq!(to.append(&mut from, 500), 15);
        assert_eq!((from.len(), to.len()), (0, want.len() + 20));
        let head = flat(&to);
        to.consume(head.len(), None);
        assert_eq!(to.next(), Next::File { file: FileId(1), offset: 0, len: 5 });
        assert_eq!(head, core::mem::take(&mut want));
    }
}

#[test]
fn room_shrinks_with_what_is_unsent() {
    let mut tx = Tx::with_limit(10);
    tx.put(b"12345678");
    assert_eq!(tx.room(), 2);
    tx.put(b"90ab"); // soft: never refused
    assert_eq!((tx.room(), tx.len()), (0, 12));
    tx.consume(5, None);
    assert_eq!(tx.room(), 3);
}
