//! `fnap/stream.proto` says the same as the structs: octets made from the one by hand are read and written
//! again by the others.

use std::collections::BTreeMap;
use std::fmt::Debug;

use prost::Message as Encoded;

use super::super::messages::*;

const PROTO: &str = include_str!("../../../stream.proto");

#[derive(Debug)]
struct Field {
    label: String,
    kind: String,
    name: String,
    number: u64,
}

#[derive(Default)]
struct Schema {
    messages: BTreeMap<String, Vec<Field>>,
    enums: BTreeMap<String, Vec<(String, i32)>>,
}

/// Reads as much of the language as the file uses; whatever else is in it fails.
fn schema() -> Schema {
    let mut schema = Schema::default();
    let mut open: Vec<(String, String)> = Vec::new();
    for line in PROTO.lines() {
        let line = line.split("//").next().unwrap().trim();
        let words: Vec<&str> = line.trim_end_matches(';').split_whitespace().collect();
        match &words[..] {
            [] => {}
            ["syntax", "=", "\"proto3\""] | ["package", "fnap.stream.v1"] => {}
            [what @ ("message" | "enum" | "oneof"), name, "{"] => {
                if *what == "message" {
                    schema.messages.insert((*name).to_owned(), Vec::new());
                }
                open.push(((*what).to_owned(), (*name).to_owned()));
            }
            ["}"] => drop(open.pop().unwrap()),
            [name, "=", number] => {
                let (what, of) = open.last().unwrap();
                assert_eq!(what, "enum");
                let values = schema.enums.entry(of.clone()).or_default();
                values.push(((*name).to_owned(), number.parse().unwrap()));
            }
            [label @ .., kind, name, "=", number] => {
                let (_, of) = open.iter().rfind(|(what, _)| what == "message").unwrap();
                let inside = open.last().unwrap().0 == "oneof";
                let label = if inside { "oneof".to_owned() } else { label.join(" ") };
                assert!(["", "oneof", "optional", "repeated"].contains(&label.as_str()), "{line}");
                let (kind, name) = ((*kind).to_owned(), (*name).to_owned());
                let number = number.parse().unwrap();
                schema.messages.get_mut(of).unwrap().push(Field { label, kind, name, number });
            }
            _ => panic!("not understood: {line}"),
        }
    }
    assert!(open.is_empty());
    schema
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

/// A field with octets, or with a number.
fn octets(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn number(field: u64, raw: u64) -> Vec<u8> {
    [varint(field << 3), varint(raw)].concat()
}

/// A field's octets that only its own type reads and writes again like this, and what is then to be seen.
fn sample(schema: &Schema, field: &Field) -> (Vec<u8>, String) {
    let at = field.number;
    match field.kind.as_str() {
        "uint32" => (number(at, u32::MAX.into()), "4294967295".to_owned()),
        "uint64" => (number(at, u64::MAX), "18446744073709551615".to_owned()),
        "sint64" => (number(at, 3), "-2".to_owned()),
        "bool" => (number(at, 1), "true".to_owned()),
        "string" => (octets(at, b"seen"), "\"seen\"".to_owned()),
        "bytes" => (octets(at, b"\xffseen"), "b\"\\xffseen\"".to_owned()),
        kind => match schema.enums.get(kind) {
            Some(values) => {
                let (name, value) = values.last().unwrap();
                let seen = name[..1].to_owned() + &name[1..].to_lowercase();
                (number(at, *value as u64), seen)
            }
            None => (octets(at, &content(schema, kind)), kind.to_owned()),
        },
    }
}

/// A message with all its fields; of a oneof, the last.
fn content(schema: &Schema, message: &str) -> Vec<u8> {
    let fields = &schema.messages[message];
    let skipped =
        |field: &&Field| field.label != "oneof" || field.number == fields.last().unwrap().number;
    let samples = fields.iter().filter(skipped).map(|field| sample(schema, field).0);
    samples.collect::<Vec<_>>().concat()
}

/// Reads and writes again; and what was read, for people.
type Trip = fn(&[u8]) -> Option<(Vec<u8>, String)>;

fn trip<M: Encoded + Default + Debug>(bytes: &[u8]) -> Option<(Vec<u8>, String)> {
    let message = M::decode(bytes).ok()?;
    Some((message.encode_to_vec(), format!("{message:#?}")))
}

const STRUCTS: &[(&str, Trip)] = &[
    ("Ack", trip::<Ack>),
    ("Attach", trip::<Attach>),
    ("Attached", trip::<Attached>),
    ("Close", trip::<Close>),
    ("Credit", trip::<Credit>),
    ("Detach", trip::<Detach>),
    ("Ended", trip::<Ended>),
    ("Frame", trip::<Frame>),
    ("Header", trip::<Header>),
    ("Hello", trip::<Hello>),
    ("Partition", trip::<Partition>),
    ("Ping", trip::<Ping>),
    ("Pong", trip::<Pong>),
    ("Position", trip::<Position>),
    ("Record", trip::<Record>),
    ("RecordSet", trip::<RecordSet>),
    ("Records", trip::<Records>),
];

#[test]
fn the_proto_file_and_the_structs_have_the_same_messages_and_fields() {
    let schema = schema();
    assert_eq!(Vec::from_iter(schema.messages.keys()), Vec::from_iter(STRUCTS.iter().map(|s| s.0)));
    for (message, trip) in STRUCTS {
        let fields = &schema.messages[*message];
        let numbers: Vec<u64> = fields.iter().map(|field| field.number).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{message}");
        if fields[0].label == "oneof" {
            continue;
        }
        let (_, shown) = trip(&[]).unwrap();
        let lines = shown.lines().filter_map(|line| line.strip_prefix("    "));
        let own = lines.filter(|line| !line.starts_with([' ', ']', '}']));
        let own: Vec<&str> = own.map(|line| line.split(':').next().unwrap()).collect();
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(own, names, "{message}");
    }
}

#[test]
fn every_field_of_the_proto_file_has_its_number_its_type_and_its_label_in_the_structs() {
    let schema = schema();
    for (message, trip) in STRUCTS {
        for field in &schema.messages[*message] {
            let place = format!("{message}.{}", field.name);
            let (bytes, seen) = sample(&schema, field);
            let (again, shown) = trip(&bytes).expect(&place);
            assert_eq!(again, bytes, "{place}");
            assert!(shown.contains(&seen), "{place}: {seen} in {shown}");
            let utf8 = trip(&octets(field.number, b"\xff")).is_none();
            assert_eq!(utf8, !matches!(field.kind.as_str(), "bytes"), "{place}");
            let twice = trip(&[bytes.clone(), bytes.clone()].concat()).unwrap().0;
            assert_eq!(
                twice == [bytes.clone(), bytes].concat(),
                field.label == "repeated",
                "{place}"
            );
            if field.kind == "bytes" {
                let empty = octets(field.number, b"");
                assert_eq!(trip(&empty).unwrap().0 == empty, field.label == "optional", "{place}");
            }
        }
    }
}

/// The value with a number, by its name.
type NameOf<'a> = &'a dyn Fn(i32) -> Option<String>;

#[test]
fn the_values_of_enums_are_those_of_the_proto_file() {
    let schema = schema();
    let start = |number| Start::try_from(number).ok().map(|value| format!("{value:?}"));
    let codec = |number| Codec::try_from(number).ok().map(|value| format!("{value:?}"));
    let known: [(&str, NameOf<'_>); 2] = [("Codec", &codec), ("Start", &start)];
    assert_eq!(Vec::from_iter(schema.enums.keys()), ["Codec", "Start"]);
    for (name, of) in known {
        let values = &schema.enums[name];
        for (value, number) in values {
            assert_eq!(of(*number).unwrap().to_uppercase(), *value);
        }
        assert_eq!(of(values.len() as i32), None);
    }
}
