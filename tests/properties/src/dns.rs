//! Answers of name servers: whatever is in them, what is taken of it is bounded, and means hosts and nothing else.

use host_names::{MAX_RECORDS, MAX_VALUE, told_by};

/// The octets of an answer about [`ASKED`]; the last one is how the dice fall.
pub fn dns(data: &[u8]) {
    let (throw, octets) = data.split_last().map_or((0, data), |(last, rest)| (*last, rest));
    let asked = ASKED.parse().unwrap();
    let mut dice = |_| u64::from(throw);
    let Some(told) = told_by(octets, &asked, &mut dice) else { return };
    assert!(told.service.is_none_or(|service| service.starts_with("_flow._tcp.")));
    assert!(told.hosts.len() <= MAX_RECORDS);
    assert!(told.hosts.iter().all(|(_, port)| *port != 0));
    for value in [told.words.id, told.words.broker_type].into_iter().flatten() {
        assert!((1..=MAX_VALUE).contains(&value.len()));
        assert!(value.bytes().all(|octet| octet.is_ascii_graphic()));
    }
    assert!(told.addresses.len() * 4 <= octets.len(), "addresses out of nothing");
}

/// What was asked about.
const ASKED: &str = "a.b";
