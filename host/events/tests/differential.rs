//! The same events through the CloudEvents SDK, where it is right: valid events in the JSON format.
//! It accepts much that is invalid, so only what both read is compared.
#![allow(clippy::unwrap_used, reason = "tests say what they expect")]

use cloudevents::{AttributesReader, Data, Event};
use host_events::{CloudEvent, Value};
use proptest::prelude::*;

fn compare(json: &str) {
    let ours = CloudEvent::from_json(json.as_bytes()).unwrap();
    let theirs: Event = serde_json::from_str(json).unwrap();
    assert_eq!(ours.id(), theirs.id());
    assert_eq!(ours.source(), theirs.source());
    assert_eq!(ours.ty(), theirs.ty());
    assert_eq!(
        ours.attribute("subject").map(|value| value.canonical().into_owned()).as_deref(),
        theirs.subject()
    );
    if let (Some(Value::Timestamp(ours)), Some(theirs)) = (ours.attribute("time"), theirs.time()) {
        assert_eq!(ours.unix_millis(), theirs.timestamp_millis());
    } else {
        assert_eq!(ours.attribute("time"), None);
        assert_eq!(theirs.time(), None);
    }
    for (name, theirs) in theirs.iter_extensions() {
        assert_eq!(ours.attribute(name).unwrap().canonical(), theirs.to_string());
    }
    match (ours.data(), theirs.data()) {
        (Some(ours), Some(Data::Json(theirs))) => {
            let ours: serde_json::Value = serde_json::from_slice(ours).unwrap();
            assert_eq!(&ours, theirs);
        }
        (Some(ours), Some(Data::String(theirs))) => assert_eq!(ours, theirs.as_bytes()),
        (Some(ours), Some(Data::Binary(theirs))) => assert_eq!(ours, theirs.as_slice()),
        (ours, theirs) => assert!(ours.is_none() && theirs.is_none(), "{ours:?} {theirs:?}"),
    }
}

proptest! {
    #[test]
    fn both_read_the_same_out_of_an_event(
        id in "[a-zA-Z0-9-]{1,20}",
        subject in proptest::option::of("[a-z]{1,9}"),
        time in proptest::option::of((0_i64..4_000_000_000).prop_map(|seconds| seconds * 1000)),
        number in any::<i32>(),
        text in "[ -~&&[^\"\\\\]]{0,12}",
        data in prop_oneof![
            Just(String::new()),
            Just(r#","data":{"b":[1,2.5,null],"a":"x"}"#.to_owned()),
            Just(r#","data":"text""#.to_owned()),
            Just(r#","datacontenttype":"text/plain","data":"text""#.to_owned()),
            Just(r#","datacontenttype":"image/png","data_base64":"/wA=""#.to_owned()),
            Just(r#","datacontenttype":"application/json","data":[1]"#.to_owned()),
        ],
    ) {
        let subject = subject.map_or(String::new(), |text| format!(r#","subject":"{text}""#));
        let time = time.and_then(host_events::Timestamp::from_unix_millis);
        let time = time.map_or(String::new(), |time| format!(r#","time":"{}""#, time.as_str()));
        compare(&format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/a/b","type":"t"{subject}{time},"n":{number},"s":"{text}","b":true{data}}}"#
        ));
    }
}

#[test]
fn what_we_write_the_sdk_reads() {
    let mut event = CloudEvent::new("1", "urn:a:b", "a.b").unwrap();
    event.set("datacontenttype", Value::String("application/json".into())).unwrap();
    event.set_data(Some(bytes::Bytes::from_static(b"{\"a\": [1,\n2]}")));
    let mut json = Vec::new();
    event.write_json(&mut json);
    compare(std::str::from_utf8(&json).unwrap());
}
