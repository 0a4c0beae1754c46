//! CloudEvents of a batch, decoded once and only as far as somebody asks.
//!
//! A record in binary mode is checked and then read header by header; one in structured mode is
//! parsed as a whole.

use bytes::Bytes;
use host_events::{CloudEvent, EventRef, HeadersBuilder, Record, Timestamp, Value};

/// What a record turned out to be.
#[derive(Debug)]
pub(crate) enum Checked {
    /// No CloudEvent, or a broken one.
    Other,
    /// A valid one in binary mode.
    Binary,
    /// A valid one in structured mode.
    Structured(Box<CloudEvent>),
}

/// A record with what it turned out to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    record: &'a Record,
    checked: &'a Checked,
}

impl Checked {
    /// Looks at a record.
    pub(crate) fn of(record: &Record) -> Self {
        match EventRef::of(record) {
            Ok(Some(EventRef::Binary(_))) => Self::Binary,
            Ok(Some(EventRef::Structured(event))) => Self::Structured(event),
            Ok(None) | Err(_) => Self::Other,
        }
    }
}

impl<'a> Seen<'a> {
    /// Puts the two together.
    pub(crate) fn new(record: &'a Record, checked: &'a Checked) -> Self {
        Self { record, checked }
    }

    /// Whether it is a CloudEvent.
    pub(crate) fn is_event(self) -> bool {
        !matches!(self.checked, Checked::Other)
    }

    /// One attribute.
    pub(crate) fn attribute(self, name: &str) -> Option<Value> {
        match self.checked {
            Checked::Other => None,
            Checked::Structured(event) => event.attribute(name).cloned(),
            Checked::Binary => {
                let mut headers = self.record.headers.iter();
                let (_, value) = headers.find(|(header, _)| carries(header, name))?;
                typed(name, std::str::from_utf8(value?).ok()?)
            }
        }
    }

    /// The event's data; of a record that is no event, its value.
    pub(crate) fn data(self) -> Option<Bytes> {
        match self.checked {
            Checked::Structured(event) => event.data().cloned(),
            Checked::Binary | Checked::Other => self.record.value.clone(),
        }
    }

    /// The whole event.
    pub(crate) fn event(self) -> Option<CloudEvent> {
        CloudEvent::from_record(self.record).ok()?
    }
}

/// Whether the data of a record may be something else than its value, which is cheaper to know than
/// whether it is an event.
pub(crate) fn may_be_structured(record: &Record) -> bool {
    record.headers.iter().any(|(name, value)| {
        let head = value.and_then(|value| value.get(..STRUCTURED.len()));
        name.eq_ignore_ascii_case(CONTENT_TYPE)
            && head.is_some_and(|head| head.eq_ignore_ascii_case(STRUCTURED))
    })
}

/// Writes a changed event in binary mode with the key, the timestamp and the other headers of the
/// record that it was.
pub(crate) fn rewritten(event: &CloudEvent, old: &Record) -> Record {
    let mut record = event.to_record(old.timestamp);
    let mut others = old.headers.iter().filter(|(name, _)| !is_attribute(name)).peekable();
    if others.peek().is_some() {
        let mut headers = HeadersBuilder::default();
        record.headers.iter().chain(others).for_each(|(name, value)| headers.push(name, value));
        record.headers = headers.build();
    }
    record.key.clone_from(&old.key);
    record
}

fn carries(header: &[u8], name: &str) -> bool {
    match header.strip_prefix(PREFIX) {
        Some(rest) => rest == name.as_bytes(),
        None => name == "datacontenttype" && header.eq_ignore_ascii_case(CONTENT_TYPE),
    }
}

fn is_attribute(header: &[u8]) -> bool {
    header.starts_with(PREFIX) || header.eq_ignore_ascii_case(CONTENT_TYPE)
}

fn typed(name: &str, text: &str) -> Option<Value> {
    Some(match name {
        "source" => Value::UriReference(text.to_owned()),
        "dataschema" => Value::Uri(text.to_owned()),
        "time" => Value::Timestamp(Timestamp::parse(text)?),
        _ => Value::String(text.to_owned()),
    })
}

const PREFIX: &[u8] = b"ce_";
const CONTENT_TYPE: &[u8] = b"content-type";
const STRUCTURED: &[u8] = b"application/cloudevents";

#[cfg(test)]
mod tests {
    use super::*;
    use host_events::attribute_of;

    const STRUCTURED_JSON: &str =
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","n":7,"data":{"a":1}}"#;

    fn binary() -> Record {
        let mut event = CloudEvent::new("1", "/s", "t").unwrap();
        let time = Timestamp::parse("2024-02-29T12:00:00Z").unwrap();
        event.set("time", Value::Timestamp(time)).unwrap();
        event.set("dataschema", Value::Uri("http://example.com/s".to_owned())).unwrap();
        event.set("datacontenttype", Value::String("text/plain".to_owned())).unwrap();
        event.set_data(Some(Bytes::from_static(b"data")));
        Record { key: Some(Bytes::from_static(b"key")), ..event.to_record(5) }
    }

    fn structured() -> Record {
        let content_type: &[u8] = b"Application/CloudEvents+json; charset=utf-8";
        Record {
            value: Some(Bytes::from_static(STRUCTURED_JSON.as_bytes())),
            headers: [(b"Content-Type".as_slice(), Some(content_type))].into_iter().collect(),
            ..Record::default()
        }
    }

    #[test]
    fn one_attribute_is_what_the_whole_event_says_it_is() {
        for record in [binary(), structured()] {
            let checked = Checked::of(&record);
            let seen = Seen::new(&record, &checked);
            assert!(seen.is_event());
            for (name, value) in seen.event().unwrap().attributes() {
                assert_eq!(seen.attribute(name).as_ref(), Some(value), "{name}");
                assert_eq!(attribute_of(&record, name).as_ref(), Some(value), "{name}");
            }
            assert_eq!(seen.attribute("absent"), None);
        }
    }

    #[test]
    fn the_data_of_a_structured_event_is_inside_its_value() {
        let record = structured();
        assert!(may_be_structured(&record));
        let checked = Checked::of(&record);
        let data = Seen::new(&record, &checked).data().unwrap();
        assert_eq!(data, r#"{"a":1}"#);
        assert!(!may_be_structured(&binary()));
    }

    #[test]
    fn a_record_that_is_no_event_has_a_value_and_no_attributes() {
        let record = Record { value: Some(Bytes::from_static(b"raw")), ..Record::default() };
        let checked = Checked::of(&record);
        let seen = Seen::new(&record, &checked);
        assert!(!seen.is_event());
        assert_eq!((seen.attribute("id"), seen.event()), (None, None));
        assert_eq!(seen.data(), record.value);
    }

    #[test]
    fn a_changed_event_keeps_key_timestamp_and_foreign_headers() {
        let mut old = binary();
        let extra = [(b"trace".as_slice(), Some(b"1".as_slice())), (b"null".as_slice(), None)];
        old.headers = old.headers.iter().chain(extra).collect();
        let mut event = CloudEvent::from_record(&old).unwrap().unwrap();
        event.set("subject", Value::String("new".to_owned())).unwrap();
        let new = rewritten(&event, &old);
        assert_eq!((&new.key, new.timestamp), (&old.key, 5));
        assert_eq!(new.headers.get(b"trace"), Some(Some(b"1".as_slice())));
        assert_eq!(new.headers.get(b"null"), Some(None));
        assert_eq!(CloudEvent::from_record(&new).unwrap().unwrap(), event);
    }
}
