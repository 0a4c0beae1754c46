//! Events that a plugin is tried with: somebody's own, ordinary ones, odd ones and large ones.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use host_events::{Batch, CloudEvent, Headers, Incarnation, Record, Stored, Timestamp, Value};
use uuid::Uuid;

use crate::plugin::desk::Order;
use crate::plugin::run::lines::Lines;

/// Ordinary events.
pub(crate) struct Trial {
    records: Vec<Record>,
    inputs: usize,
}

/// Events that are tried, at most; each is given to the plugin some ten times.
const MOST: usize = 10_000;

/// Octets of somebody's own events.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

impl Trial {
    /// Those of a file, or made up.
    pub(crate) fn of(path: Option<&Path>, order: &Order) -> Result<Self> {
        let records = match path {
            None => (0..ORDINARY).filter_map(ordinary).collect(),
            Some(path) => read(path)?,
        };
        if records.is_empty() {
            bail!("no event to try the plugin with");
        }
        Ok(Self { records, inputs: order.inputs.len() })
    }

    /// One batch of so many events, from the first on and over again.
    pub(crate) fn one_of(&self, size: usize) -> Batch {
        batch(self.records.iter().cycle().take(size).cloned().collect(), 0)
    }

    /// Octets of an event, in the mean.
    pub(crate) fn mean_bytes(&self) -> usize {
        let all: usize = self.records.iter().map(Record::size).sum();
        all / self.records.len().max(1)
    }

    /// All of them in batches of one partition; inputs take turns.
    pub(super) fn batches(&self, size: usize) -> Vec<(u32, Batch)> {
        let chunks = self.records.chunks(size.max(1));
        let inputs = (0..self.inputs.max(1)).cycle();
        let mut next = vec![0; self.inputs.max(1)];
        let batch = |(chunk, input): (&[Record], usize)| {
            let from = next.get(input).copied().unwrap_or(0);
            let batch = batch(chunk.to_vec(), from);
            if let Some(next) = next.get_mut(input) {
                *next = batch.next;
            }
            (u32::try_from(input).unwrap_or(0), batch)
        };
        chunks.zip(inputs).map(batch).collect()
    }
}

/// Records as one batch that begins at an offset.
pub(super) fn batch(records: Vec<Record>, from: u64) -> Batch {
    let records: Arc<[Stored]> =
        records.into_iter().zip(from..).map(|(record, offset)| Stored { offset, record }).collect();
    let next = from + records.len() as u64;
    Batch { flow: Incarnation(Uuid::nil()), partition: 0, records, next }
}

fn read(path: &Path) -> Result<Vec<Record>> {
    let shown = path.display().to_string();
    let file = File::open(path).with_context(|| shown.clone())?;
    let mut lines = Lines::new(&shown, Box::new(file), false);
    let (mut records, mut bytes) = (Vec::new(), 0);
    loop {
        let batch = lines.batch(MOST, MOST_BYTES)?;
        bytes += batch.iter().map(|event| event.record.size() as u64).sum::<u64>();
        if batch.is_empty() {
            return Ok(records);
        }
        records.extend(batch.into_iter().map(|event| event.record));
        if records.len() > MOST || bytes > MOST_BYTES {
            bail!("{shown}: more than {MOST} events or {MOST_BYTES} octets; a part of them does");
        }
    }
}

/// Ordinary events that are made up: more than one full batch.
const ORDINARY: u32 = 600;

/// A measurement of one of five things, every second.
fn ordinary(number: u32) -> Option<Record> {
    let kind = ["reading", "quake", "knock"].get(number as usize % 3).copied().unwrap_or_default();
    let thing = format!("thing-{}", number % 5);
    let mut event = base(&number.to_string(), kind)?;
    set(&mut event, "subject", Value::String(thing.clone()));
    set(&mut event, "partitionkey", Value::String(thing.clone()));
    let time = 1_700_000_000_000 + i64::from(number) * 1000;
    if let Some(time) = Timestamp::from_unix_millis(time) {
        set(&mut event, "time", Value::Timestamp(time));
    }
    let data = serde_json::json!({
        "number": number, "value": f64::from(number % 50) / 10.0, "mag": f64::from(number % 70) / 10.0,
        "unit": "C", "place": thing, "name": "Ana", "email": "ana@example.org",
    });
    json(&mut event, data.to_string());
    let key = Some(Bytes::from(thing));
    Some(Record { key, ..event.to_record(time) })
}

fn base(id: &str, kind: &str) -> Option<CloudEvent> {
    CloudEvent::new(id, "/conform", kind).ok()
}

fn set(event: &mut CloudEvent, name: &str, value: Value) {
    // An attribute that is refused is not tried.
    event.set(name, value).ok();
}

fn json(event: &mut CloudEvent, data: String) {
    set(event, "datacontenttype", Value::String("application/json".to_owned()));
    event.set_data(Some(data.into()));
}

/// What lies on brokers, too: each with what is odd about it.
pub(super) fn odd() -> Vec<(&'static str, Record)> {
    let event = |kind: &str, data: Option<&[u8]>| {
        let mut event = base("1", "odd")?;
        if !kind.is_empty() {
            set(&mut event, "datacontenttype", Value::String(kind.to_owned()));
        }
        event.set_data(data.map(Bytes::copy_from_slice));
        Some(event.to_record(1))
    };
    let mut all = Vec::new();
    let mut add = |what, record: Option<Record>| all.extend(record.map(|record| (what, record)));
    add("an event without data", event("", None));
    add("an event with empty data", event("application/json", Some(b"")));
    add("JSON that is cut off", event("application/json", Some(b"{\"a\":")));
    add("JSON that is no UTF-8", event("application/json", Some(b"\"\xff\"")));
    add("JSON 200 levels deep", event("application/json", Some(&[b'['; 200])));
    add("JSON that is a number", event("application/json", Some(b"1e400")));
    add("a JSON null", event("application/json", Some(b"null")));
    add("octets", event("application/octet-stream", Some(&[0, 0xff, 0xfe])));
    add("text", event("text/plain; charset=utf-8", Some("grüße\u{0}".as_bytes())));
    add("attributes of every type", typed());
    add("an event in structured mode", Some(structured()));
    add("a tombstone", Some(Record { key: Some("k".into()), ..Record::default() }));
    add("a record with nothing", Some(Record::default()));
    add(
        "a record that is no event",
        Some(Record { value: Some("raw".into()), ..Record::default() }),
    );
    let odd: [(&[u8], Option<&[u8]>); 3] =
        [(b"x", None), (b"\xff", Some(b"\xff")), (b"x", Some(b"again"))];
    let headers: Headers = odd.into_iter().collect();
    add("headers that are null, repeated, no text", Some(Record { headers, ..Record::default() }));
    let broken: Headers =
        [(&b"ce_specversion"[..], Some(&b"1.0"[..])), (b"ce_id", Some(b""))].into_iter().collect();
    add(
        "a broken event",
        Some(Record { headers: broken, value: Some("{}".into()), timestamp: -1, key: None }),
    );
    all
}

fn typed() -> Option<Record> {
    let mut event = base("grüße-\u{1f600}", "odd.types")?;
    set(&mut event, "flag", Value::Boolean(true));
    set(&mut event, "count", Value::Integer(i32::MIN));
    set(&mut event, "bytes", Value::Binary(Bytes::from_static(&[0, 1, 0xff])));
    set(&mut event, "where", Value::Uri("https://example.org/a?b#c".to_owned()));
    set(&mut event, "dataschema", Value::Uri("urn:x".to_owned()));
    set(&mut event, "long", Value::String("x".repeat(4096)));
    if let Some(time) = Timestamp::parse("0001-01-01T00:00:00.000000001+14:00") {
        set(&mut event, "time", Value::Timestamp(time));
    }
    Some(event.to_record(i64::MAX))
}

fn structured() -> Record {
    let text = r#"{"specversion":"1.0","id":"1","source":"/conform","type":"odd","n":7,"data":{"value":1}}"#;
    let kind: &[u8] = b"application/cloudevents+json";
    Record {
        value: Some(text.into()),
        headers: [(&b"content-type"[..], Some(kind))].into_iter().collect(),
        ..Record::default()
    }
}

/// An event with so many octets of data.
pub(super) fn large(bytes: usize) -> Option<Record> {
    let mut event = base("1", "large")?;
    json(&mut event, format!("{{\"text\":\"{}\"}}", "x".repeat(bytes)));
    Some(event.to_record(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_that_is_made_up_is_what_it_is_called() {
        let all: Vec<_> = (0..ORDINARY).filter_map(ordinary).collect();
        assert_eq!(all.len(), ORDINARY as usize);
        assert!(
            all.iter()
                .all(|record| CloudEvent::from_record(record).is_ok_and(|event| event.is_some()))
        );
        assert_eq!(odd().len(), 16);
        assert!(large(1 << 20).unwrap().size() > 1 << 20);
    }

    #[test]
    fn batches_hold_all_events_and_inputs_take_turns() {
        let trial = Trial { records: vec![Record::default(); 10], inputs: 2 };
        let batches = trial.batches(4);
        let seen: Vec<_> = batches
            .iter()
            .map(|(input, batch)| (*input, batch.records.len(), batch.next))
            .collect();
        assert_eq!(seen, [(0, 4, 4), (1, 4, 4), (0, 2, 6)]);
    }
}
