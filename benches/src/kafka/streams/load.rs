//! What is counted: CloudEvents in binary mode whose key is drawn from so many.

use rdkafka::message::{Header, OwnedHeaders};

use super::ALL;
use crate::kafka::records::Writer;
use crate::kafka::topics;

/// Octets of a record's value: a small event's.
const SIZE: usize = 100;

/// Fills a topic, and names it.
pub fn preload(servers: &str, keys: u64) -> String {
    let topic = format!("keys-{keys}");
    topics::create(servers, &topic);
    let writer = Writer::new(servers, 100);
    for number in 0..ALL {
        let key = key(number, keys);
        writer.write_event(&topic, &key, headers(number, &key), &[b'd'; SIZE]);
    }
    writer.end();
    topic
}

/// How often each key is there.
pub fn expected(keys: u64) -> std::collections::HashMap<Vec<u8>, u64> {
    let mut counts = std::collections::HashMap::new();
    for number in 0..ALL {
        *counts.entry(key(number, keys).into_bytes()).or_default() += 1;
    }
    counts
}

/// The key of a record, in no order.
fn key(number: u64, keys: u64) -> String {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    format!("k{}", (mixed >> 32) % keys)
}

fn headers(number: u64, key: &str) -> OwnedHeaders {
    let number = number.to_string();
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", &number),
        ("ce_source", "/bench"),
        ("ce_type", "measured"),
        ("ce_partitionkey", key),
        ("content-type", "text/plain"),
    ];
    headers.into_iter().fold(OwnedHeaders::new(), |all, (key, value)| {
        all.insert(Header { key, value: Some(value) })
    })
}
