//! Looks through octets before anything is made of them: how many of what, and how long.
//!
//! Two octets on the wire can become a hundred in memory, so numbers are bounded before a message is
//! decoded. Depth is that of the shapes below, whatever the octets say.

use prost::encoding::{WireType, decode_key, decode_varint};

use super::error::StreamError;
use super::limits::{
    MAX_BODY, MAX_CODE_NAME, MAX_FRAME_HEADERS, MAX_HEADERS, MAX_HOST_NAME, MAX_INCARNATION,
    MAX_OFFER, MAX_OFFERS, MAX_PARTITIONS, MAX_RECORDS, MAX_TRACE, MAX_WORDS,
};
use crate::name::MAX_NAME;

/// The fields of a message, from number 1 on.
type Shape = [Rule];

/// What a field may be.
struct Rule {
    what: &'static str,
    most: usize,
    longest: usize,
    inside: &'static Shape,
}

const fn one(what: &'static str) -> Rule {
    Rule { what, most: 1, longest: usize::MAX, inside: &[] }
}

impl Rule {
    const fn times(self, most: usize) -> Self {
        Self { most, ..self }
    }

    const fn long(self, longest: usize) -> Self {
        Self { longest, ..self }
    }

    const fn of(self, inside: &'static Shape) -> Self {
        Self { inside, ..self }
    }
}

const HELLO: &Shape = &[one("version"), one("offer").times(MAX_OFFERS).long(MAX_OFFER)];
const POSITION: &Shape = &[one("partition of a position"), one("offset of a position")];
const PARTITION: &Shape = &[
    one("number of a partition"),
    one("earliest of a partition"),
    one("latest of a partition"),
    one("next of a partition"),
];
const ATTACH: &Shape = &[
    one("stream"),
    one("flow").long(MAX_NAME),
    one("incarnation").long(MAX_INCARNATION),
    one("position").times(MAX_PARTITIONS).of(POSITION),
    one("start"),
    one("time"),
    one("credit"),
];
const ATTACHED: &Shape = &[
    one("stream"),
    one("incarnation").long(MAX_INCARNATION),
    one("partition").times(MAX_PARTITIONS).of(PARTITION),
    one("held"),
];
const RECORDS: &Shape = &[
    one("stream"),
    one("partition"),
    one("next"),
    one("latest"),
    one("count"),
    one("codec"),
    one("unpacked"),
    one("body").long(MAX_BODY),
];
const CREDIT: &Shape = &[one("stream"), one("octets")];
const ACK: &Shape = &[one("stream"), one("position").times(MAX_PARTITIONS).of(POSITION)];
const DETACH: &Shape = &[one("stream")];
const ENDED: &Shape =
    &[one("stream"), one("code"), one("name").long(MAX_CODE_NAME), one("words").long(MAX_WORDS)];
const PING: &Shape = &[one("token")];
const CLOSE: &Shape = &[one("code"), one("name").long(MAX_CODE_NAME), one("words").long(MAX_WORDS)];
const FRAME: &Shape = &[
    one("hello").of(HELLO),
    one("attach").of(ATTACH),
    one("attached").of(ATTACHED),
    one("records").of(RECORDS),
    one("credit").of(CREDIT),
    one("ack").of(ACK),
    one("detach").of(DETACH),
    one("ended").of(ENDED),
    one("ping").of(PING),
    one("pong").of(PING),
    one("close").of(CLOSE),
];

const HEADER: &Shape = &[one("name of a header"), one("value of a header")];
const RECORD: &Shape = &[
    one("offset"),
    one("key"),
    one("value"),
    one("header").times(MAX_HEADERS).of(HEADER),
    one("timestamp"),
    one("host in a trace").times(MAX_TRACE).long(MAX_HOST_NAME),
];
const RECORD_SET: &Shape = &[one("record").times(MAX_RECORDS)];

/// Looks through a frame.
///
/// # Errors
/// Malformed, or too much of something; also when there are two messages in it.
pub(super) fn frame(bytes: &[u8]) -> Result<(), StreamError> {
    let found = walk(bytes, "frame", FRAME, &mut |_| Ok(()))?;
    match found.iter().sum::<usize>() {
        0 => Err(StreamError::UnknownMessage),
        1 => Ok(()),
        _ => Err(StreamError::TooMany { what: "message of a frame", most: 1 }),
    }
}

/// Looks through the records of a frame, and counts them.
///
/// # Errors
/// Malformed, or too much of something.
pub(super) fn records(bytes: &[u8]) -> Result<usize, StreamError> {
    let (mut headers, mut hosts) = (0, 0);
    let found = walk(bytes, "records", RECORD_SET, &mut |record| {
        let found = walk(record, "record", RECORD, &mut |_| Ok(()))?;
        let [_, _, _, with, _, through, ..] = found;
        (headers, hosts) = (headers + with, hosts + through);
        if headers.max(hosts) > MAX_FRAME_HEADERS {
            let what = "header or host of a frame";
            return Err(StreamError::TooMany { what, most: MAX_FRAME_HEADERS });
        }
        Ok(())
    })?;
    Ok(found.first().copied().unwrap_or_default())
}

/// Most fields of a message, so that counting needs no allocation.
const FIELDS: usize = 11;

/// How often each field came, from number 1 on.
type Found = [usize; FIELDS];

/// What is done with the octets of a field.
type Each<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), StreamError>;

/// Goes through the fields of one message and of those inside it; `each` sees the octets of those that have a length and
/// are in the shape.
fn walk(
    mut bytes: &[u8],
    what: &'static str,
    shape: &Shape,
    each: Each<'_>,
) -> Result<Found, StreamError> {
    let malformed = |_| StreamError::Malformed { what };
    let mut found = Found::default();
    while !bytes.is_empty() {
        let (field, wire) = decode_key(&mut bytes).map_err(malformed)?;
        let content = content(&mut bytes, wire).ok_or(StreamError::Malformed { what })?;
        let index = field as usize - 1;
        let (Some(rule), Some(count)) = (shape.get(index), found.get_mut(index)) else {
            continue;
        };
        *count += 1;
        if *count > rule.most {
            return Err(StreamError::TooMany { what: rule.what, most: rule.most });
        }
        if content.len() > rule.longest {
            return Err(StreamError::TooLong { what: rule.what, most: rule.longest });
        }
        if wire == WireType::LengthDelimited {
            if !rule.inside.is_empty() {
                walk(content, rule.what, rule.inside, &mut |_| Ok(()))?;
            }
            each(content)?;
        }
    }
    Ok(found)
}

/// Takes a field's content from the front; a number has none. Groups are gone from the language, and could be nested.
fn content<'a>(bytes: &mut &'a [u8], wire: WireType) -> Option<&'a [u8]> {
    let len = match wire {
        WireType::Varint => {
            decode_varint(bytes).ok()?;
            return Some(&[]);
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(bytes).ok()?).ok()?,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let (content, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(content)
}
