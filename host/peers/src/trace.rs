//! Which hosts an event has come through: beside it on the wire, in a header of its record on a broker.
//!
//! Whoever finds himself in it leaves the event out: it went in a circle (draft, section 3.2.2, with two flows that
//! feed each other). The header is ours; whoever writes one by himself stops his own event and nobody else's.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fnap::stream::{Header, MAX_HOST_NAME, MAX_TRACE, Record as Sent};
use host_events::{Headers, HeadersBuilder, Record, Stored};

/// The header, with the hosts' names, oldest first, separated by commas.
pub const HEADER: &[u8] = crate::source::TRACE;

/// Records that came from a host, as they are kept here; those that were here before are left out.
pub(crate) fn received(records: Vec<Sent>, from: &str, own: &str) -> Vec<Stored> {
    let (mut new, mut far) = (Vec::with_capacity(records.len()), 0_usize);
    for record in records {
        if record.trace.iter().any(|host| host == own) || from == own {
            continue;
        }
        match record.trace.len() < MAX_TRACE {
            true => new.push(stored(record, from)),
            false => far += 1,
        }
    }
    if far > 0 && is_told() {
        tracing::warn!(
            host = from,
            events = far,
            most = MAX_TRACE,
            "events have come through too many hosts and are left out, like all that come as far"
        );
    }
    new
}

/// Whether it is said again, which others bring about as often as they like.
fn is_told() -> bool {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    // Nothing panics while it holds the lock.
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let told = last.is_none_or(|last| now - last >= AGAIN);
    if told {
        *last = Some(now);
    }
    told
}

/// Between two words about the same.
const AGAIN: Duration = Duration::from_secs(60);

/// Records that lay in a topic of another host's, as [`received`] takes them.
pub(crate) fn read(records: &[Stored], from: &str, own: &str) -> Vec<Stored> {
    let new = records.iter().filter_map(|Stored { offset, record }| {
        let trace = of(&record.headers);
        let known = trace.iter().any(|host| host == own) || from == own;
        if known || trace.len() >= MAX_TRACE {
            return None;
        }
        let mut built = HeadersBuilder::default();
        for (name, value) in record.headers.iter().filter(|(name, _)| *name != HEADER) {
            built.push(name, value);
        }
        built.push(HEADER, Some(hosts(&trace, from).as_bytes()));
        let record = Record { headers: built.build(), ..record.clone() };
        Some(Stored { offset: *offset, record })
    });
    new.collect()
}

fn hosts(trace: &[String], from: &str) -> String {
    let mut hosts = trace.join(",");
    if !hosts.is_empty() {
        hosts.push(',');
    }
    hosts.push_str(from);
    hosts
}

fn stored(sent: Sent, from: &str) -> Stored {
    let Sent { offset, key, value, headers, timestamp, trace } = sent;
    let hosts = hosts(&trace, from);
    let mut built = HeadersBuilder::default();
    for Header { name, value } in headers.iter().filter(|header| header.name != HEADER) {
        built.push(name, value.as_deref());
    }
    built.push(HEADER, Some(hosts.as_bytes()));
    Stored { offset, record: Record { key, value, headers: built.build(), timestamp } }
}

/// The hosts that a record on a broker has come through; the last that fit, of what anybody may have written.
#[must_use]
pub fn of(headers: &Headers) -> Vec<String> {
    let Some(Some(hosts)) = headers.get(HEADER) else { return Vec::new() };
    let hosts = std::str::from_utf8(hosts).unwrap_or_default();
    let fits = |host: &&str| (1..=MAX_HOST_NAME).contains(&host.len());
    let hosts: Vec<&str> = hosts.split(',').filter(fits).collect();
    let last = hosts.len().saturating_sub(MAX_TRACE);
    hosts.into_iter().skip(last).map(str::to_owned).collect()
}

/// The headers that are sent: all but the trace.
pub fn sent(headers: &Headers) -> impl Iterator<Item = Header> + '_ {
    let others = headers.iter().filter(|(name, _)| *name != HEADER);
    others.map(|(name, value)| Header {
        name: Bytes::copy_from_slice(name),
        value: value.map(Bytes::copy_from_slice),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(trace: &[&str], from: &str) -> Option<Headers> {
        let sent = Sent {
            offset: 7,
            headers: vec![Header { name: "a".into(), value: None }],
            trace: trace.iter().map(|host| (*host).to_owned()).collect(),
            ..Sent::default()
        };
        let mut stored = received(vec![sent], from, "own.example");
        stored.pop().map(|stored| stored.record.headers)
    }

    #[test]
    fn an_event_says_whom_it_came_through_and_does_not_come_a_second_time() {
        let headers = came(&["a.example", "b.example"], "c.example").unwrap();
        assert_eq!(of(&headers), ["a.example", "b.example", "c.example"]);
        assert_eq!(sent(&headers).count(), 1);
        assert_eq!(came(&["own.example", "b.example"], "c.example"), None);
        assert_eq!(came(&[], "own.example"), None);
        assert_eq!(came(&["a.example"; MAX_TRACE], "c.example"), None);
        assert_eq!(of(&came(&[], "c.example").unwrap()), ["c.example"]);
    }

    #[test]
    fn an_event_passes_sixteen_hosts_and_no_more() {
        let hosts: Vec<String> = (0..20).map(|number| format!("h{number}.example")).collect();
        let mut sent = vec![Sent::default()];
        for (passed, hosts) in hosts.windows(2).enumerate() {
            let [from, own] = hosts else { unreachable!() };
            let mut came = received(sent, from, own);
            let Some(Stored { record, .. }) = came.pop() else {
                assert_eq!(
                    passed, MAX_TRACE,
                    "the seventeenth is the first that it does not reach"
                );
                return;
            };
            sent = vec![Sent { trace: of(&record.headers), ..Sent::default() }];
        }
        panic!("it went through all of them");
    }

    #[test]
    fn an_event_of_a_topic_says_the_same() {
        let read = |hosts: &str, from| {
            let headers: Headers =
                [(b"a".as_slice(), None), (HEADER, Some(hosts.as_bytes()))].into_iter().collect();
            let record = Record { headers, ..Record::default() };
            let mut read = read(&[Stored { offset: 7, record }], from, "own.example");
            read.pop().map(|stored| (stored.offset, stored.record.headers))
        };
        let (offset, headers) = read("a.example", "c.example").unwrap();
        assert_eq!((offset, of(&headers)), (7, vec!["a.example".into(), "c.example".into()]));
        assert_eq!(sent(&headers).count(), 1);
        assert_eq!(read("own.example", "c.example"), None);
        assert_eq!(read("", "own.example"), None);
    }

    #[test]
    fn what_somebody_wrote_into_the_header_is_bounded() {
        let written = |text: &[u8]| of(&[(HEADER, Some(text))].into_iter().collect());
        assert_eq!(written(b""), Vec::<String>::new());
        assert_eq!(written(b"\xff"), Vec::<String>::new());
        assert_eq!(written(b",,a,,"), ["a"]);
        assert_eq!(written(format!("{},b", "x".repeat(300)).as_bytes()), ["b"]);
        assert_eq!(written("a,".repeat(100).as_bytes()).len(), MAX_TRACE);
    }
}
