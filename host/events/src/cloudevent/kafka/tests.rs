use super::*;
use crate::record::Headers;

fn record(headers: &[(&str, Option<&[u8]>)], value: Option<&'static [u8]>) -> Record {
    let headers: Headers = headers.iter().map(|(name, value)| (name.as_bytes(), *value)).collect();
    Record { key: None, value: value.map(Bytes::from_static), headers, timestamp: 7 }
}

const MINIMAL: [(&str, Option<&[u8]>); 4] = [
    ("ce_specversion", Some(b"1.0")),
    ("ce_id", Some(b"1")),
    ("ce_source", Some(b"/here")),
    ("ce_type", Some(b"a.b")),
];

fn with(more: &[(&'static str, Option<&'static [u8]>)]) -> Record {
    let headers: Vec<_> = MINIMAL.iter().chain(more).copied().collect();
    record(&headers, Some(b"{}"))
}

fn broken(record: &Record) -> String {
    assert!(!is_event(record));
    CloudEvent::from_record(record).unwrap_err().to_string()
}

#[test]
fn binary_mode_gives_typed_attributes_and_the_value_as_data() {
    let record = with(&[
        ("ce_time", Some(b"2021-12-10T17:31:00Z")),
        ("content-type", Some(b"application/json; charset=utf-8")),
        ("ce_partitionkey", Some(b"k")),
        ("other", Some(b"\xff")),
    ]);
    let event = CloudEvent::from_record(&record).unwrap().unwrap();
    assert_eq!(event.attributes().count(), 7);
    assert!(matches!(event.attribute("time"), Some(Value::Timestamp(_))));
    assert_eq!(attribute_of(&record, "source"), Some(Value::UriReference("/here".into())));
    let content_type = Value::String("application/json; charset=utf-8".into());
    assert_eq!(attribute_of(&record, "datacontenttype"), Some(content_type));
    assert_eq!(attribute_of(&record, "other"), None);
    assert_eq!(data_of(&record).unwrap(), "{}");
}

#[test]
fn a_record_without_required_attributes_is_no_event_and_not_broken() {
    for headers in [&[][..], &[("content-type", Some(&b"text/plain"[..]))], &[("ce_", None)]] {
        assert_eq!(CloudEvent::from_record(&record(headers, None)), Ok(None));
    }
}

#[test]
fn a_record_that_claims_to_be_an_event_says_what_is_broken() {
    assert_eq!(broken(&record(&[MINIMAL[1]], None)), "attribute specversion: is required");
    let twice = with(&[("ce_id", Some(b"2"))]);
    assert_eq!(broken(&twice), "attribute id: occurs more than once");
    assert!(broken(&with(&[("ce_Foo", Some(b"2"))])).contains("Foo: names of"));
    assert!(broken(&with(&[("ce_data", Some(b"2"))])).contains("not an attribute"));
    assert!(broken(&with(&[("ce_time", Some(b"now"))])).contains("time"));
    assert!(broken(&with(&[("ce_x", Some(b"\xff"))])).contains("x: must be UTF-8"));
    assert!(broken(&with(&[("content-type", Some(b"xyz"))])).contains("media type"));
}

#[test]
fn null_headers_and_null_values_are_not_set_and_never_panic() {
    let record = with(&[("ce_subject", None), ("content-type", None)]);
    let event = CloudEvent::from_record(&record).unwrap().unwrap();
    assert_eq!(event.attribute("subject"), None);
    let mut headers = MINIMAL;
    headers[1].1 = None;
    assert_eq!(broken(&self::record(&headers, None)), "attribute id: is required");
    let empty = self::record(&MINIMAL, None);
    assert_eq!(CloudEvent::from_record(&empty).unwrap().unwrap().data(), None);
}

#[test]
fn structured_mode_is_found_by_its_content_type_whatever_the_case() {
    let json = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1}}"#;
    for content_type in
        ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=UTF-8"]
    {
        let headers = [("Content-Type", Some(content_type.as_bytes())), ("ce_id", Some(&b"9"[..]))];
        let event = CloudEvent::from_record(&record(&headers, Some(json))).unwrap().unwrap();
        assert_eq!(event.id(), "1");
        let headers = event.to_record(0).headers;
        assert_eq!(headers.get(b"content-type"), Some(Some(&b"application/json"[..])));
    }
    let claim = |content_type: &'static [u8], value| {
        broken(&record(&[("content-type", Some(content_type))], value))
    };
    assert!(claim(b"application/cloudevents+json", None).contains("without a value"));
    assert!(claim(b"application/cloudevents+protobuf", Some(b"x")).contains("unsupported"));
    assert!(claim(b"application/cloudevents-batch+json", Some(b"[]")).contains("unsupported"));
    assert!(claim(b"application/cloudevents+json", Some(b"[]")).contains("not a JSON object"));
}
