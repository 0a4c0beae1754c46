//! Zstandard for the bodies of frames, within what the frame says.

use bytes::Bytes;
use fnap::stream::Packed;

/// The quickest of the levels that are not there for speed alone: a stream is to be no slower for it.
const LEVEL: i32 = 1;

/// Bodies under this size are sent as they are.
const SMALLEST: usize = 512;

/// A body in Zstandard; none where that saves less than an eighth, or nothing can be had.
#[must_use]
pub fn pack(packed: &Packed) -> Option<Packed> {
    if packed.len() < SMALLEST {
        return None;
    }
    let mut whole = Vec::with_capacity(packed.len());
    packed.chunks().for_each(|chunk| whole.extend_from_slice(chunk));
    let body = zstd::bulk::compress(&whole, LEVEL).ok()?;
    (body.len() <= whole.len() - whole.len() / 8).then(|| packed.compressed(body.into()))
}

/// What a body unpacks to, if that is exactly so many octets: for [`fnap::stream::Batch::open`], which allows no more than a frame
/// holds. Never makes more than that of it.
#[must_use]
pub fn unpack(packed: &Bytes, size: usize) -> Option<Bytes> {
    let unpacked = zstd::bulk::decompress(packed, size).ok()?;
    (unpacked.len() == size).then(|| unpacked.into())
}
