//! A broker's record as it crosses: byte for byte, but for the header that holds its trace.
//!
//! Who wrote the record may have written any nonsense there: what is no name of a host is left out.

use bytes::Bytes;
use fnap::stream::Recorded;
use host_events::Stored;

use crate::trace;

/// A record on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent<'a>(pub(super) &'a Stored);

impl Recorded for Sent<'_> {
    fn offset(&self) -> u64 {
        self.0.offset
    }

    fn key(&self) -> Option<&Bytes> {
        self.0.record.key.as_ref()
    }

    fn value(&self) -> Option<&Bytes> {
        self.0.record.value.as_ref()
    }

    fn timestamp(&self) -> i64 {
        self.0.record.timestamp
    }

    fn headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        trace::sent(&self.0.record.headers)
    }

    fn trace(&self) -> impl Iterator<Item = &str> {
        trace::of(&self.0.record.headers)
    }
}

#[cfg(test)]
mod tests {
    use fnap::stream::MAX_TRACE;
    use host_events::{Headers, Record};

    use super::*;
    use crate::trace::HEADER as TRACE;

    fn stored(headers: &[(&[u8], Option<&[u8]>)]) -> Stored {
        let headers = headers.iter().copied().collect::<Headers>();
        Stored { offset: 1, record: Record { headers, ..Record::default() } }
    }

    #[test]
    fn the_trace_is_taken_out_of_its_header_and_nothing_else_is() {
        let stored = stored(&[
            (b"a", None),
            (TRACE, Some(b"one.example, two.example")),
            (b"b", Some(b"\xff")),
            (b"a", Some(b"")),
            (TRACE, Some(b"three.example")),
        ]);
        let sent = Sent(&stored);
        let expected: [(&[u8], Option<&[u8]>); 3] =
            [(b"a", None), (b"b", Some(b"\xff")), (b"a", Some(b""))];
        assert_eq!(Vec::from_iter(sent.headers()), expected);
        assert_eq!(Vec::from_iter(sent.trace()), ["one.example", "two.example", "three.example"]);
    }

    #[test]
    fn nonsense_in_a_trace_is_left_out_and_what_is_left_is_bounded() {
        let (long, many) = ("x".repeat(254), "h.example,".repeat(40));
        let odd = stored(&[
            (TRACE, None),
            (TRACE, Some(b"\xff\xfe")),
            (TRACE, Some(b",,a b.example,,good.example,\x01,")),
            (TRACE, Some(long.as_bytes())),
        ]);
        assert_eq!(Vec::from_iter(Sent(&odd).trace()), ["good.example"]);
        assert_eq!(Sent(&stored(&[(TRACE, Some(many.as_bytes()))])).trace().count(), MAX_TRACE);
    }
}
