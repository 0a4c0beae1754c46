//! The line decoder: the same lines however the bytes are cut, none that is no text or too long.

use bytes::Bytes;
use fnap::line::{LineDecoder, LineError};

use crate::input::Input;

/// Lines of any bytes in any pieces.
pub fn line(data: &[u8]) {
    let input = Input::of(data);
    let limit = usize::from(input.choice(0) % 64) + DONE.len();
    let pieces: Vec<&[u8]> = input.pieces().into_iter().map(|(piece, _)| piece).collect();
    let whole = lines(&[input.payload], limit);
    assert_eq!(whole, lines(&pieces, limit));
    for line in whole.iter().flatten() {
        assert!(line.len() <= limit && !line.contains(&b'\n') && !line.contains(&0));
        assert!(std::str::from_utf8(line).is_ok());
    }
    taken_out_of_the_middle(input.payload, whole, limit);
}

fn lines(pieces: &[&[u8]], limit: usize) -> Vec<Result<Bytes, LineError>> {
    let (mut decoder, mut lines) = (LineDecoder::new(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            let first = decoder.next_is(|line| line == DONE);
            let Some(line) = decoder.next_line(limit) else { break };
            assert!(!first || line.as_deref() == Ok(DONE));
            lines.push(line);
        }
        assert!(decoder.held() <= limit + 1, "{} held", decoder.held());
    }
    lines
}

/// Whatever is taken out of what waits, the other lines stay as they are.
fn taken_out_of_the_middle(payload: &[u8], whole: Vec<Result<Bytes, LineError>>, limit: usize) {
    let (mut decoder, mut from) = (LineDecoder::new(), 0);
    decoder.push(payload);
    while decoder.take_waiting(&mut from, |line| line == DONE) {}
    let left: Vec<_> = std::iter::from_fn(|| decoder.next_line(limit)).collect();
    let others: Vec<_> = whole.into_iter().filter(|line| line.as_deref() != Ok(DONE)).collect();
    assert_eq!(left, others);
}

const DONE: &[u8] = b"DONE";
