//! Outputs against a model: a queue of bytes in which a file's byte at offset n is `n as u8`.
#![no_main]
use libfuzzer_sys::fuzz_target;
use proto_core::{Bytes, Chunk, FileId, Flight, Next, Pool, Tx};
use std::collections::VecDeque;

/// A byte, and whether it is still in a file.
type Model = VecDeque<(u8, bool)>;

struct Ops<'a>(&'a [u8]);

impl Ops<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
    /// Small, or around the sizes at which bytes become segments of their own.
    fn size(&mut self) -> usize {
        let b = usize::from(self.byte().unwrap_or(0));
        [b % 32, 2040 + b % 16, b * 80, b][b % 4]
    }
}

fn filled(n: usize, seed: u8) -> Vec<u8> {
    (0..n).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

/// What is there must be what the model has up to its first file byte.
fn compare(tx: &Tx, model: &Model) {
    assert_eq!(tx.len(), model.len());
    assert_eq!(tx.room(), tx.limit().saturating_sub(model.len()));
    let mut want = model.iter().take_while(|(_, file)| !file);
    assert!(tx.chunks().flatten().all(|b| want.next().is_some_and(|(w, _)| w == b)));
    assert!(want.next().is_none());
    match tx.next() {
        Next::Empty => assert!(model.is_empty()),
        Next::Bytes => assert!(model.front().is_some_and(|(_, file)| !file)),
        Next::File { offset, len, .. } => {
            assert!(
                model.iter().take(len).enumerate().all(|(i, (b, file))| *file && *b == (offset as usize + i) as u8)
            );
        }
    }
}

fn put(op: u8, ops: &mut Ops<'_>, tx: &mut Tx, model: &mut Model) {
    let (n, seed) = (ops.size(), ops.byte().unwrap_or(0));
    let bytes = filled(n, seed);
    match op % 5 {
        0 => tx.put(&bytes),
        1 => tx.share(Bytes::from(bytes.clone())),
        2 => {
            let mut store = filled(n + 9, seed);
            let mut chunk = Chunk::new(&mut store, n);
            chunk.skip(usize::from(seed % 2) * (n / 2));
            model.extend(chunk.iter().map(|b| (*b, false)));
            return tx.forward(chunk);
        }
        3 => tx.put_with(n + 5, |room| {
            room[..n].copy_from_slice(&bytes);
            n
        }),
        _ => {
            tx.file(FileId(1), u64::from(seed), n);
            return model.extend((0..n).map(|i| ((usize::from(seed) + i) as u8, true)));
        }
    }
    model.extend(bytes.iter().map(|b| (*b, false)));
}

fn take(op: u8, ops: &mut Ops<'_>, tx: &mut Tx, model: &mut Model, pool: &mut Pool) {
    let n = ops.size();
    let flight = &mut Flight::default();
    match (op % 4, tx.next()) {
        // Completion drivers, whose flight may be sent in part.
        (0, _) if tx.launch(1 + n % 5, flight) => {
            let n = n.min(flight.len());
            let sent: Vec<u8> = flight.chunks().flatten().copied().take(n).collect();
            assert!(sent.iter().zip(model.drain(..n)).all(|(a, (b, file))| *a == b && !file));
            put(op, ops, tx, model); // while it is under way
            tx.land(n, flight, Some(pool));
        }
        (1, Next::File { offset, len, .. }) => {
            let n = n.clamp(1, len);
            let bytes: Vec<u8> = (0..n).map(|i| (offset as usize + i) as u8).collect();
            model.iter_mut().take(n).for_each(|(_, file)| *file = false);
            tx.supply(Bytes::from(bytes));
        }
        (2, Next::File { len, .. }) => {
            let n = n.min(len);
            model.drain(..n);
            tx.consume(n, Some(pool));
        }
        (_, Next::Bytes) => {
            let there: usize = tx.chunks().map(<[u8]>::len).sum();
            let n = n.min(there);
            model.drain(..n);
            tx.consume(n, Some(pool));
        }
        _ => {}
    }
}

fuzz_target!(|data: &[u8]| {
    let mut ops = Ops(data);
    let (mut tx, mut other) = (Tx::with_limit(5000), Tx::default());
    let (mut model, mut other_model) = (Model::new(), Model::new());
    let mut pool = Pool::new(4096);
    for _ in 0..200 {
        let Some(op) = ops.byte() else { break };
        if model.len() + other_model.len() > 20_000 {
            break;
        }
        match op >> 5 {
            0 | 1 => put(op, &mut ops, &mut tx, &mut model),
            2 => put(op, &mut ops, &mut other, &mut other_model),
            3 => {
                let max = ops.size();
                let moved = tx.append(&mut other, max);
                assert_eq!(moved, max.min(other_model.len()));
                model.extend(other_model.drain(..moved));
            }
            _ => take(op, &mut ops, &mut tx, &mut model, &mut pool),
        }
        compare(&tx, &model);
        compare(&other, &other_model);
    }
});
