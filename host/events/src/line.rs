//! Lines of READ and WRITE: one record as one JSON object.
//!
//! A CloudEvent travels in its JSON format, with where it stood beside its attributes; any other
//! record, broken events included, as an object of its bytes. Lines have no line end here.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::batch::Stored;
use crate::cloudevent::json::{Members, Object, decode_base64, from_members, members, string};
use crate::cloudevent::text::{push_base64, push_number, push_string};
use crate::cloudevent::{CloudEvent, EventError, EventRef, Value};
use crate::record::{Headers, HeadersBuilder, Record};

/// Appends what READ answers for a record: one line, without its end.
pub fn write_read_line(stored: &Stored, partition: u32, out: &mut Vec<u8>) {
    let record = &stored.record;
    let mut object = Object::begin(out);
    let place = |object: &mut Object<'_>| {
        push_number(object.member(PARTITION), partition.into());
        let out = object.member(OFFSET);
        out.push(b'"');
        push_number(out, stored.offset);
        out.push(b'"');
    };
    if let Ok(Some(event)) = EventRef::of(record) {
        event.write_members(&mut object, &[PARTITION, OFFSET], place);
    } else {
        place(&mut object);
        write_bytes(object.member(KEY), record.key.as_deref());
        write_bytes(object.member(VALUE), record.value.as_deref());
        write_headers(object.member(HEADERS), &record.headers);
    }
    object.end();
}

/// What a line of WRITE stands for.
#[derive(Clone, Debug)]
pub enum WriteLine {
    /// A CloudEvent, and the key its `partitionkey` asks for.
    Event {
        /// The record's key.
        key: Option<Bytes>,
        /// The event, `partitionkey` in it.
        event: CloudEvent,
    },
    /// A record byte for byte.
    Record(Record),
}

impl WriteLine {
    /// The record to append.
    #[must_use]
    pub fn into_record(self, timestamp: i64) -> Record {
        match self {
            Self::Event { key, event } => Record { key, ..event.to_record(timestamp) },
            Self::Record(record) => Record { timestamp, ..record },
        }
    }
}

/// Reads a line of WRITE: a CloudEvent in JSON, or the object that READ gives for a record that is
/// none. `flowpartition` and `flowoffset` are dropped: a record gets its place when it is appended.
///
/// # Errors
/// Names the attribute and the rule, or the byte at which the JSON breaks.
pub fn from_write_line(line: &[u8]) -> Result<WriteLine, EventError> {
    let mut members = members(line)?;
    members.retain(|(name, _)| name != PARTITION && name != OFFSET);
    // No attribute can have such a name.
    if members.iter().any(|(name, _)| name == KEY || name == VALUE) {
        return record(&members).map(WriteLine::Record);
    }
    let event = from_members(&members)?;
    let key = match event.attribute(PARTITION_KEY) {
        Some(Value::String(key)) if key.is_empty() => {
            return Err(EventError::RecordMember("partitionkey: must not be empty"));
        }
        Some(value) => Some(Bytes::from(value.canonical().into_owned())),
        None => None,
    };
    Ok(WriteLine::Event { key, event })
}

fn write_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => push_base64(out, bytes),
        None => out.extend_from_slice(b"null"),
    }
}

fn write_headers(out: &mut Vec<u8>, headers: &Headers) {
    out.push(b'[');
    for (index, (name, value)) in headers.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",[" } else { b"[" });
        let text = std::str::from_utf8(name);
        match text {
            Ok(text) => push_string(out, text),
            Err(_) => out.extend_from_slice(b"null"),
        }
        out.push(b',');
        write_bytes(out, value);
        // Kafka's names are text, ours are bytes: one that is no UTF-8 follows as base64.
        if text.is_err() {
            out.push(b',');
            push_base64(out, name);
        }
        out.push(b']');
    }
    out.push(b']');
}

fn record(members: &Members<'_>) -> Result<Record, EventError> {
    let mut record = Record::default();
    for (name, raw) in members {
        match name.as_ref() {
            KEY => record.key = bytes(KEY, raw)?,
            VALUE => record.value = bytes(VALUE, raw)?,
            HEADERS => record.headers = headers(raw)?,
            _ => return Err(EventError::RecordMember("unknown")),
        }
    }
    Ok(record)
}

fn bytes(name: &'static str, raw: &RawValue) -> Result<Option<Bytes>, EventError> {
    match raw.get() {
        "null" => Ok(None),
        raw => Ok(Some(decode_base64(name, raw)?)),
    }
}

fn headers(raw: &RawValue) -> Result<Headers, EventError> {
    const WRONG: EventError = EventError::RecordMember(HEADERS);
    let lists: Vec<Vec<&RawValue>> = serde_json::from_str(raw.get()).map_err(|_| WRONG)?;
    let mut builder = HeadersBuilder::default();
    for list in lists {
        let (name, value) = match list.as_slice() {
            [name, value] => {
                let name = string(name.get()).ok_or(WRONG)?;
                (Cow::Owned(name.into_owned().into_bytes()), value)
            }
            [name, value, encoded] if name.get() == "null" => {
                let encoded = string(encoded.get()).ok_or(WRONG)?;
                let name = BASE64_STANDARD.decode(encoded.as_bytes()).map_err(|_| WRONG)?;
                (Cow::<[u8]>::Owned(name), value)
            }
            _ => return Err(WRONG),
        };
        let value = bytes(HEADERS, value)?;
        builder.push(&name, value.as_deref());
    }
    Ok(builder.build())
}

/// Where a record stood.
const PARTITION: &str = "flowpartition";
const OFFSET: &str = "flowoffset";
const KEY: &str = "key_base64";
const VALUE: &str = "value_base64";
const HEADERS: &str = "headers";
/// The extension whose text is the record's key.
const PARTITION_KEY: &str = "partitionkey";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_line(record: Record) -> String {
        let mut out = Vec::new();
        write_read_line(&Stored { offset: 18_446_744_073_709_551_615, record }, 3, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn read_shows_where_an_event_stood_and_write_drops_it() {
        let line = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","partitionkey":"k","data":{"b":1.0,"a":2}}"#;
        let record = from_write_line(line.as_bytes()).unwrap().into_record(9);
        assert_eq!(record.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(record.timestamp, 9);
        let shown = read_line(record.clone());
        let expected = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","partitionkey":"k","datacontenttype":"application/json","flowpartition":3,"flowoffset":"18446744073709551615","data":{"b":1.0,"a":2}}"#;
        assert_eq!(shown, expected);
        assert_eq!(from_write_line(shown.as_bytes()).unwrap().into_record(9), record);
    }

    #[test]
    fn a_place_that_an_event_claims_itself_is_not_shown() {
        let mut event = CloudEvent::new("1", "/s", "t").unwrap();
        event.set("flowoffset", Value::String("99".into())).unwrap();
        let shown = read_line(event.to_record(0));
        assert_eq!(shown.matches("flowoffset").count(), 1);
    }

    #[test]
    fn json_data_with_line_ends_becomes_one_line() {
        let mut event = CloudEvent::new("1", "/s", "t").unwrap();
        event.set("datacontenttype", Value::String("application/json".into())).unwrap();
        event.set_data(Some(Bytes::from_static(b"{\r\n  \"a\": [1,\n 2]\n}\n")));
        let shown = read_line(event.to_record(0));
        assert!(shown.ends_with(r#""data":{"a":[1,2]}}"#), "{shown}");
    }

    #[test]
    fn data_that_is_not_what_its_type_says_travels_as_base64() {
        let mut event = CloudEvent::new("1", "/s", "t").unwrap();
        for (kind, data) in [
            ("application/json", &b"{\"a\":"[..]),
            ("application/json", b"\"\xff\""),
            ("text/plain", b"\xff"),
            ("application/octet-stream", b"abc"),
            ("text/plain; charset=iso-8859-1", b"abc"),
        ] {
            event.set("datacontenttype", Value::String(kind.into())).unwrap();
            event.set_data(Some(Bytes::from_static(data)));
            let shown = read_line(event.to_record(0));
            assert!(shown.contains("\"data_base64\":"), "{shown}");
            let record = from_write_line(shown.as_bytes()).unwrap().into_record(0);
            assert_eq!(record.value.as_deref(), Some(data));
        }
    }

    #[test]
    fn a_broken_event_is_shown_as_the_record_it_is() {
        let headers: Headers =
            [(&b"ce_id"[..], Some(&b""[..])), (b"x", None)].into_iter().collect();
        let record = Record { headers, ..Record::default() };
        let shown = read_line(record.clone());
        let expected = r#"{"flowpartition":3,"flowoffset":"18446744073709551615","key_base64":null,"value_base64":null,"headers":[["ce_id",""],["x",null]]}"#;
        assert_eq!(shown, expected);
        assert_eq!(from_write_line(shown.as_bytes()).unwrap().into_record(0), record);
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        let error = |line: &str| from_write_line(line.as_bytes()).unwrap_err().to_string();
        assert_eq!(error(""), "not a JSON object: cannot be read at byte 0");
        assert!(error(r#"{"key_base64":"*"}"#).contains("must be base64"));
        assert!(error(r#"{"key_base64":null,"what":1}"#).contains("unknown"));
        assert!(error(r#"{"value_base64":null,"headers":[["a"]]}"#).contains("headers"));
        let empty_key =
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","partitionkey":""}"#;
        assert!(error(empty_key).contains("partitionkey"));
    }

    fn any_bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))
    }

    prop_compose! {
        fn any_record()(
            key in any_bytes(),
            value in any_bytes(),
            headers in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..6), any_bytes()), 0..5),
        ) -> Record {
            let headers = headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()));
            let headers = headers.collect();
            Record { key: key.map(Bytes::from), value: value.map(Bytes::from), headers, timestamp: 0 }
        }
    }

    proptest! {
        #[test]
        fn a_record_that_is_no_event_comes_back_byte_for_byte(record in any_record()) {
            let shown = read_line(record.clone());
            prop_assert!(!shown.contains('\n'));
            let back = from_write_line(shown.as_bytes()).unwrap().into_record(0);
            prop_assert_eq!(back, record);
        }

        #[test]
        fn any_line_is_answered(line: Vec<u8>) {
            let _answer = from_write_line(&line);
        }
    }
}
