use std::collections::BTreeSet;

use bind_node::checkzone;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::publish::{Owner, Service};

#[test]
fn a_record_is_one_line_whatever_its_strings_are() {
    let set = Set::txt(
        "_flow._tcp.f.example".parse().unwrap(),
        300,
        vec!["a=\"b\\c\"".into(), "x\ny; é".into(), String::new()],
    );
    let line =
        "_flow._tcp.f.example. 300 IN TXT \"a=\\\"b\\\\c\\\"\" \"x\\010y; \\195\\169\" \"\"\n";
    assert_eq!(set.to_string(), line);
}

#[test]
fn a_set_is_the_same_after_it_was_stored() {
    let service = Service { priority: 1, weight: 2, port: 3, target: "a.example".parse().unwrap() };
    let set = Set::srv("a\\.b.example".parse().unwrap(), 300, service);
    let stored = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<Set>(&stored).unwrap(), set);
    let wrong = stored.replace("a.example", "a..example");
    assert!(serde_json::from_str::<Set>(&wrong).is_err());
}

/// Any labels, with those that mean something in zone files more often than others.
fn owner() -> impl Strategy<Value = Owner> {
    let octet =
        prop_oneof![any::<u8>(), proptest::sample::select(b".\\\"();@$*_ \t\n-a0".to_vec())];
    vec(vec(octet, 1..12), 1..4).prop_map(|labels| {
        let zone = b"example".to_vec();
        Owner::from_labels(labels.into_iter().chain([zone])).unwrap()
    })
}

fn data() -> impl Strategy<Value = Data> {
    let string = prop_oneof![".{0,60}", "[ -~]{0,60}", "[\\\\\"; ]{0,8}"];
    prop_oneof![
        owner().prop_map(|target| Data::Ptr([target].into())),
        (any::<(u16, u16, u16)>(), owner()).prop_map(|((priority, weight, port), target)| {
            Data::Srv([Service { priority, weight, port, target }].into())
        }),
        vec(string, 0..4).prop_map(|strings| Data::Txt([strings].into())),
        any::<[u8; 4]>().prop_map(|octets| Data::A([octets.into()].into())),
        any::<[u8; 16]>().prop_map(|octets| Data::Aaaa([octets.into()].into())),
    ]
}

/// A record's line, so that two ways of writing the same are the same.
fn same(line: &str) -> (Owner, String, Vec<Vec<u8>>) {
    let mut rest = line;
    let mut next = || {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap();
        rest = after.trim_start();
        word
    };
    let (owner, ttl, _, kind) = (next(), next(), next(), next());
    let data = rest;
    assert_eq!(ttl, "300");
    let name = |text: &str| text.parse::<Owner>().unwrap().to_string().into_bytes();
    let data = match kind {
        "PTR" => vec![name(data)],
        "SRV" => {
            let (numbers, target) = data.rsplit_once(' ').unwrap();
            vec![numbers.as_bytes().to_vec(), name(target)]
        }
        "TXT" => strings(data),
        _ => vec![data.as_bytes().to_vec()],
    };
    (owner.parse().unwrap(), kind.to_owned(), data)
}

fn strings(text: &str) -> Vec<Vec<u8>> {
    let (mut strings, mut inside) = (Vec::new(), None::<Vec<u8>>);
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        match (octet, &mut inside) {
            (b'"', Some(_)) => strings.extend(inside.take()),
            (b'"', None) => inside = Some(Vec::new()),
            (b'\\', Some(string)) => string.push(match octets.next().unwrap() {
                first @ b'0'..=b'9' => [first, octets.next().unwrap(), octets.next().unwrap()]
                    .iter()
                    .fold(0, |value, digit| value * 10 + (digit - b'0')),
                other => other,
            }),
            (other, Some(string)) => string.push(other),
            (b' ', None) => {}
            (other, None) => panic!("{other} in {text}"),
        }
    }
    strings
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bind_reads_what_was_written(sets in vec((owner(), data()), 1..40)) {
        let sets: Vec<Set> =
            sets.into_iter().map(|(owner, data)| Set { owner, ttl: 300, data }).collect();
        let written: String = sets.iter().map(ToString::to_string).collect();
        let zone = format!(
            "example. 300 IN SOA ns.example. h.example. 1 2 3 4 5\nexample. 300 IN NS ns.example.\n\
             ns.example. 300 IN A 127.0.0.1\n{written}"
        );
        let read = checkzone("example", &zone).map_err(TestCaseError::fail)?;
        let own = ["SOA", "NS"];
        let records = |text: &str| -> BTreeSet<_> {
            text.lines().map(|line| line.to_owned())
                .filter(|line| !own.contains(&line.split_whitespace().nth(3).unwrap_or_default()))
                .map(|line| same(&line))
                .filter(|(owner, kind, _)| owner.as_str() != "ns.example." || kind != "A")
                .collect()
        };
        prop_assert_eq!(records(&read), records(&written), "{}", zone);
    }
}
