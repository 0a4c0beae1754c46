//! The JSON format: what is valid, what is not and why, and round trips.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect")]

use bytes::Bytes;
use host_events::{
    CloudEvent, Record, Timestamp, Value, from_write_line, is_event, write_read_line,
};
use proptest::prelude::*;

/// The four required members, and more.
fn with(more: &str) -> String {
    let comma = if more.is_empty() { "" } else { "," };
    format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{comma}{more}}}"#)
}

fn parse(json: &str) -> CloudEvent {
    CloudEvent::from_json(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn refused(json: &str) -> String {
    match CloudEvent::from_json(json.as_bytes()) {
        Ok(event) => panic!("taken: {json} as {event:?}"),
        Err(error) => error.to_string(),
    }
}

fn written(event: &CloudEvent) -> String {
    let mut out = Vec::new();
    event.write_json(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn every_json_type_of_an_attribute_has_its_type() {
    let event = parse(&with(
        r#""b":true,"f":false,"i":-2147483648,"s":"\u00e9","e":"","time":"2021-12-10T17:31:00+01:00""#,
    ));
    assert_eq!(event.attribute("b"), Some(&Value::Boolean(true)));
    assert_eq!(event.attribute("f"), Some(&Value::Boolean(false)));
    assert_eq!(event.attribute("i"), Some(&Value::Integer(i32::MIN)));
    assert_eq!(event.attribute("s"), Some(&Value::String("é".into())));
    assert_eq!(event.attribute("e"), Some(&Value::String(String::new())));
    let time = Timestamp::parse("2021-12-10T17:31:00+01:00").unwrap();
    assert_eq!(event.attribute("time"), Some(&Value::Timestamp(time)));
}

#[test]
fn null_means_not_set_and_null_data_is_a_payload() {
    let event = parse(&with(r#""subject":null,"x":null"#));
    assert_eq!(event.attribute("subject"), None);
    assert_eq!(event.data(), None);
    assert_eq!(parse(&with(r#""data":null"#)).data().unwrap(), "null");
    assert_eq!(parse(&with(r#""data_base64":null"#)).data(), None);
    assert_eq!(
        refused(r#"{"specversion":"1.0","id":null,"source":"/s","type":"t"}"#),
        "attribute id: is required"
    );
}

#[test]
fn what_breaks_a_rule_is_refused_with_the_attribute_and_the_rule() {
    for (more, words) in [
        (r#""X":1"#, "attribute X: names of attributes"),
        (r#""data_base":1"#, "attribute data_base: names of attributes"),
        (r#""a-b":null"#, "attribute a-b: names of attributes"),
        (r#""":1"#, "attribute : names of attributes"),
        (r#""x":{"a":1}"#, "attribute x: must be a boolean, an integer or a string"),
        (r#""x":[1]"#, "attribute x: must be a boolean"),
        (r#""x":1.5"#, "attribute x: must be an integer"),
        (r#""x":1e2"#, "attribute x: must be an integer"),
        (r#""x":2147483648"#, "attribute x: must be an integer from -2147483648 to 2147483647"),
        (r#""x":"a\u0007""#, "attribute x: must not hold control characters"),
        (r#""x":"\uDEAD""#, "attribute x: must not hold control characters"),
        (r#""x":"\uffff""#, "attribute x: must not hold control characters"),
        (r#""subject":"""#, "attribute subject: must not be empty"),
        (r#""subject":1"#, "attribute subject: must be a string"),
        (r#""time":"2021-12-10T17:31Z""#, "attribute time: must be an RFC 3339 date-time"),
        (r#""datacontenttype":"""#, "attribute datacontenttype: must not be empty"),
        (r#""datacontenttype":"xyz""#, "attribute datacontenttype: must be a media type"),
        (r#""dataschema":"/schema/1""#, "attribute dataschema: must be an absolute URI"),
        (r#""x":1,"x":1"#, "attribute x: occurs more than once"),
        (r#""x":1,"\u0078":2"#, "attribute x: occurs more than once"),
        (r#""data":1,"data":1"#, "attribute data: occurs more than once"),
        (r#""data":1,"data_base64":"""#, "data and data_base64 exclude each other"),
        (r#""data_base64":"a""#, "attribute data_base64: must be base64"),
        (r#""data_base64":5"#, "attribute data_base64: must be base64"),
        (r#""data":{},"datacontenttype":"text/xml""#, "attribute data: must be a string"),
        (r#""data":"é","datacontenttype":"text/plain;charset=latin1""#, "given as data_base64"),
    ] {
        let found = refused(&with(more));
        assert!(found.contains(words), "{more}: {found}");
    }
}

#[test]
fn required_attributes_are_required_and_checked() {
    for (name, bad) in [
        ("id", r#""""#),
        ("id", "12"),
        ("source", r#""""#),
        ("source", r#""urn:nld:gemeente-Bergen (L)""#),
        ("type", r#""""#),
        ("specversion", r#""0.3""#),
        ("specversion", "1.0"),
    ] {
        let members = ["specversion", "id", "source", "type"].map(|member| match member {
            _ if member == name => format!("{member:?}:{bad}"),
            "specversion" => r#""specversion":"1.0""#.into(),
            _ => format!(r#"{member:?}:"x""#),
        });
        let found = refused(&format!("{{{}}}", members.join(",")));
        assert!(found.starts_with(&format!("attribute {name}: ")), "{found}");
    }
}

#[test]
fn what_is_no_object_is_refused_with_its_place() {
    for (json, at) in [("", 0), ("[]", 0), ("{", 1), ("{}x", 3), ("{\"a\":01}", 7), ("\"x\"", 3)] {
        let found = refused(json);
        assert_eq!(found, format!("not a JSON object: cannot be read at byte {at}"), "{json}");
    }
    assert!(CloudEvent::from_json(b"{\"a\":\"\xff\"}").is_err());
    assert!(CloudEvent::from_json(b"\xef\xbb\xbf{}").is_err());
}

#[test]
fn nesting_size_and_number_of_members_are_bounded() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    parse(&with(&format!(r#""data":{}"#, nested(128))));
    assert!(refused(&with(&format!(r#""data":{}"#, nested(129)))).contains("deeper than 128"));
    assert!(refused(&with(&format!(r#""data":{}"#, nested(1_000_000)))).contains("deeper"));
    assert!(refused(&with(&format!(r#""x":{}"#, nested(100_000)))).contains("attribute x"));
    let members: Vec<_> = (0..300).map(|index| format!(r#""x{index}":1"#)).collect();
    assert!(refused(&with(&members.join(","))).contains("one attribute too many"));
    let large = with(&format!(r#""data":"{}""#, "x".repeat(16 * 1024 * 1024)));
    assert!(refused(&large).contains("over the limit"));
}

#[test]
fn json_data_is_kept_as_its_text() {
    let data = r#"{"z":1.000,"a":12345678901234567890123,"z":"again","e":1E5}"#;
    let json = with(&format!(r#""data":{data}"#));
    let event = parse(&json);
    assert_eq!(event.data().unwrap(), data);
    assert_eq!(event.data_content_type(), Some("application/json"));
    assert_eq!(event.attribute("datacontenttype"), None);
    assert_eq!(written(&event), json);
    let string = parse(&with(r#""data":"{\"not\": parsed again}""#));
    assert_eq!(string.data().unwrap(), r#""{\"not\": parsed again}""#);
}

#[test]
fn data_of_other_types_is_text_or_bytes() {
    let text = with(r#""datacontenttype":"text/xml","data":"<a>\n</a>""#);
    assert_eq!(parse(&text).data().unwrap(), "<a>\n</a>");
    assert_eq!(written(&parse(&text)), text);
    let bytes = with(r#""data_base64":"/wA=""#);
    assert_eq!(parse(&bytes).data().unwrap().as_ref(), b"\xff\x00");
    assert_eq!(parse(&bytes).data_content_type(), None);
    assert_eq!(written(&parse(&bytes)), bytes);
    let json = parse(&with(r#""datacontenttype":"application/json","data_base64":"eyJhIjogMX0=""#));
    assert_eq!(json.data().unwrap(), "{\"a\": 1}");
}

#[test]
fn new_data_of_an_event_without_a_content_type_makes_it_explicit() {
    let mut event = parse(&with(r#""data":1"#));
    event.set_data(Some(Bytes::from_static(b"2")));
    assert!(written(&event).ends_with(r#""datacontenttype":"application/json","data":2}"#));
}

fn any_name() -> impl Strategy<Value = String> {
    "x[a-z0-9]{0,12}"
}

fn clean() -> impl Strategy<Value = String> {
    "[ -~é€😀]{0,20}"
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<i32>().prop_map(Value::Integer),
        clean().prop_map(Value::String),
    ]
}

fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<f64>().prop_filter_map("finite", |n| n.is_finite().then(|| n.to_string())),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5)
                .prop_map(|list| format!("[{}]", list.join(" , "))),
            proptest::collection::vec((any::<String>(), inner), 0..5).prop_map(|list| {
                let members = list.into_iter().map(|(name, value)| {
                    format!("{}: {value}", serde_json::to_string(&name).unwrap())
                });
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

prop_compose! {
    fn any_event()(
        id in "[ -~]{1,20}",
        source in "[a-z0-9:/._-]{1,20}".prop_map(|text| format!("/a{text}")),
        ty in "[!-~]{1,20}",
        more in proptest::collection::btree_map(any_name(), any_value(), 0..6),
        time in proptest::option::of(0_i64..4_000_000_000_000),
        data in prop_oneof![
            Just((None, None)),
            any_json().prop_map(|json| (None, Some(Bytes::from(json)))),
            any_json().prop_map(|json| (Some("application/x+json"), Some(Bytes::from(json)))),
            any::<Vec<u8>>().prop_map(|data| (Some("application/json"), Some(Bytes::from(data)))),
            any::<Vec<u8>>().prop_map(|data| (Some("image/png"), Some(Bytes::from(data)))),
            any::<String>().prop_map(|data| (Some("text/plain"), Some(Bytes::from(data)))),
        ],
    ) -> CloudEvent {
        let mut event = CloudEvent::new(&id, &source, &ty).unwrap();
        for (name, value) in more {
            event.set(&name, value).unwrap();
        }
        if let Some(time) = time {
            event.set("time", Value::Timestamp(Timestamp::from_unix_millis(time).unwrap())).unwrap();
        }
        if let Some(kind) = data.0 {
            event.set("datacontenttype", Value::String(kind.into())).unwrap();
        }
        event.set_data(data.1);
        event
    }
}

/// What becomes of attributes in Kafka's headers: those that the specification does not know are text.
fn as_text(event: &CloudEvent) -> CloudEvent {
    let attributes = event.attributes().map(|(name, value)| match value {
        Value::Boolean(_) | Value::Integer(_) => {
            (name, Value::String(value.canonical().into_owned()))
        }
        _ => (name, value.clone()),
    });
    CloudEvent::from_parts(attributes, event.data().cloned()).unwrap()
}

proptest! {
    #[test]
    fn an_event_comes_back_from_its_json(event in any_event()) {
        let json = written(&event);
        prop_assert!(!json.contains(['\n', '\r']));
        let _: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(parse(&json), event);
    }

    #[test]
    fn an_event_comes_back_from_its_record_and_from_what_read_shows(event in any_event()) {
        let record = event.to_record(5);
        prop_assert!(is_event(&record));
        let back = CloudEvent::from_record(&record).unwrap().unwrap();
        prop_assert_eq!(&back, &as_text(&event));
        let mut line = Vec::new();
        let stored = host_events::Stored { offset: 1, record: record.clone() };
        write_read_line(&stored, 0, &mut line);
        let again = from_write_line(&line).unwrap().into_record(5);
        prop_assert_eq!(again.value, record.value);
        prop_assert_eq!(again.headers, record.headers);
    }

    #[test]
    fn a_structured_record_is_the_event_in_it(event in any_event()) {
        let headers = [(&b"content-type"[..], Some(&b"application/cloudevents+json"[..]))];
        let record = Record { value: Some(written(&event).into()), headers: headers.into_iter().collect(), ..Record::default() };
        prop_assert_eq!(CloudEvent::from_record(&record).unwrap(), Some(event));
    }

    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>) {
        let _answer = CloudEvent::from_json(&bytes);
    }

    #[test]
    fn any_damage_to_an_event_is_answered(event in any_event(), at: prop::sample::Index, byte: u8) {
        let mut json = written(&event).into_bytes();
        let at = at.index(json.len());
        json[at] = byte;
        if let Ok(event) = CloudEvent::from_json(&json) {
            prop_assert_eq!(parse(&written(&event)), event);
        }
    }

    #[test]
    fn any_headers_are_answered(
        names in proptest::collection::vec(
            prop::sample::select(vec![
                "ce_id", "ce_specversion", "ce_source", "ce_type", "content-type", "ce_", "ce_é", "",
            ]), 0..8),
        value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..8)),
    ) {
        let headers = names.iter().map(|name| (name.as_bytes(), value.as_deref())).collect();
        let record = Record { headers, ..Record::default() };
        let _answer = CloudEvent::from_record(&record);
        let mut line = Vec::new();
        write_read_line(&host_events::Stored { offset: 0, record: record.clone() }, 0, &mut line);
        prop_assert_eq!(from_write_line(&line).unwrap().into_record(0).headers, record.headers);
    }
}
