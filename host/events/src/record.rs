//! What lies on a broker: a key, a value, headers and a timestamp, as bytes.
//!
//! Nothing here is decoded and no UTF-8 is assumed; [`crate::cloudevent`] reads CloudEvents out of a
//! record when somebody asks. Cloning a record shares its bytes.

use bytes::{BufMut, Bytes, BytesMut};

/// One record of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The key; absent is not empty.
    pub key: Option<Bytes>,
    /// The value; absent (a tombstone on compacted topics) is not empty.
    pub value: Option<Bytes>,
    /// Headers in order, repeats and nulls kept.
    pub headers: Headers,
    /// Milliseconds since 1970 UTC.
    pub timestamp: i64,
}

impl Record {
    /// Bytes that the payload takes: key, value and headers.
    #[must_use]
    pub fn size(&self) -> usize {
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        len(&self.key) + len(&self.value) + self.headers.encoded().len()
    }
}

/// Headers in one shared buffer, so that a record that is only passed on costs no allocation.
///
/// Layout of each header: name length, name, value length + 1 (0 for null), value; lengths are
/// unsigned LEB128. Invariant: the buffer holds whole headers only; [`Headers::decode`] is the only
/// way in for foreign bytes and checks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Bytes);

/// The bytes are no encoded headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed headers at byte {at}")]
pub struct MalformedHeaders {
    /// Offset of the header that cannot be read.
    pub at: usize,
}

impl Headers {
    /// Takes encoded headers after checking them.
    ///
    /// # Errors
    /// When the bytes end inside a header or a length does not fit.
    pub fn decode(encoded: Bytes) -> Result<Self, MalformedHeaders> {
        let mut rest: &[u8] = &encoded;
        while !rest.is_empty() {
            let at = encoded.len() - rest.len();
            (_, rest) = split_header(rest).ok_or(MalformedHeaders { at })?;
        }
        Ok(Self(encoded))
    }

    /// The encoded form, for a store.
    #[must_use]
    pub fn encoded(&self) -> &Bytes {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Name and value of each header, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let (header, after) = split_header(rest)?;
            rest = after;
            Some(header)
        })
    }

    /// The first value under a name; the inner `None` is a null header.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Option<&[u8]>> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

impl<'a> FromIterator<(&'a [u8], Option<&'a [u8]>)> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>>(headers: I) -> Self {
        let mut builder = HeadersBuilder::default();
        for (name, value) in headers {
            builder.push(name, value);
        }
        builder.build()
    }
}

/// Writes headers one after another.
#[derive(Debug, Default)]
pub struct HeadersBuilder(BytesMut);

impl HeadersBuilder {
    /// With room for so many encoded bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(BytesMut::with_capacity(bytes))
    }

    /// Adds one header.
    pub fn push(&mut self, name: &[u8], value: Option<&[u8]>) {
        put_varint(&mut self.0, name.len() as u64);
        self.0.put_slice(name);
        put_varint(&mut self.0, value.map_or(0, |bytes| bytes.len() as u64 + 1));
        self.0.put_slice(value.unwrap_or_default());
    }

    /// The finished headers.
    #[must_use]
    pub fn build(self) -> Headers {
        Headers(self.0.freeze())
    }
}

/// Writes an unsigned LEB128 number.
pub fn put_varint(out: &mut impl BufMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8((number as u8) | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

/// Reads an unsigned LEB128 number of at most ten bytes from the front, and gives what follows.
#[must_use]
#[inline]
pub fn split_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    // Nearly every length is one byte.
    if let Some((&byte, rest)) = bytes.split_first()
        && byte < 0x80
    {
        return Some((u64::from(byte), rest));
    }
    split_long_varint(bytes)
}

fn split_long_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        let low = u64::from(byte & 0x7f);
        let shift = 7 * index as u32;
        if shift == 63 && low > 1 {
            return None;
        }
        number |= low << shift;
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(index + 1..)?));
        }
    }
    None
}

type Header<'a> = (&'a [u8], Option<&'a [u8]>);

fn split_header(bytes: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (len, rest) = split_varint(bytes)?;
    let (name, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    let (len, rest) = split_varint(rest)?;
    let Some(len) = len.checked_sub(1) else {
        return Some(((name, None), rest));
    };
    let (value, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    Some(((name, Some(value)), rest))
}
