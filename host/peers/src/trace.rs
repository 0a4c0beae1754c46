//! Which hosts an event has come through: beside it on the wire, in a header of its record on a broker.
//!
//! Whoever finds himself in it leaves the event out: it went in a circle (draft, section 3.2.2, with two flows that
//! feed each other). The header is ours; whoever writes one by himself stops his own event and nobody else's, and what is
//! no name of a host there is left out.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fnap::stream::{Header, MAX_HOST_NAME, MAX_TRACE, Record as Sent};
use host_events::{Headers, HeadersBuilder, Record, Stored};

pub use host_events::TRACE as HEADER;

/// A record that came from a host, as it is kept here; none where it was here before, or has come too far. What comes
/// from this host itself has come no further for that.
pub(crate) fn received(sent: Sent, from: Option<&str>, own: &str) -> Option<Stored> {
    let Some(from) = from else {
        let hosts = sent.trace.join(",");
        return Some(stored(sent, &hosts));
    };
    if from == own || sent.trace.iter().any(|host| host == own) {
        return None;
    }
    if sent.trace.len() < MAX_TRACE {
        let hosts = joined(sent.trace.join(","), from);
        return Some(stored(sent, &hosts));
    }
    if is_told() {
        tracing::warn!(
            host = from,
            most = MAX_TRACE,
            "an event has come through too many hosts and is left out, like all that come as far"
        );
    }
    None
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
        let trace: Vec<&str> = of(&record.headers).collect();
        let known = trace.contains(&own) || from == own;
        if known || trace.len() >= MAX_TRACE {
            return None;
        }
        let mut built = HeadersBuilder::default();
        for (name, value) in record.headers.iter().filter(|(name, _)| *name != HEADER) {
            built.push(name, value);
        }
        built.push(HEADER, Some(joined(trace.join(","), from).as_bytes()));
        let record = Record { headers: built.build(), ..record.clone() };
        Some(Stored { offset: *offset, record })
    });
    new.collect()
}

fn joined(mut hosts: String, from: &str) -> String {
    if !hosts.is_empty() {
        hosts.push(',');
    }
    hosts.push_str(from);
    hosts
}

fn stored(sent: Sent, hosts: &str) -> Stored {
    let Sent { offset, key, value, headers, timestamp, .. } = sent;
    let mut built = HeadersBuilder::default();
    for Header { name, value } in headers.iter().filter(|header| header.name != HEADER) {
        built.push(name, value.as_deref());
    }
    if !hosts.is_empty() {
        built.push(HEADER, Some(hosts.as_bytes()));
    }
    Stored { offset, record: Record { key, value, headers: built.build(), timestamp } }
}

/// The hosts that a record on a broker has come through, of what anybody may have written: the first that
/// [`MAX_TRACE`] allows, since whoever has so many goes no further wherever he comes to.
pub fn of(headers: &Headers) -> impl Iterator<Item = &str> {
    let traces = headers.iter().filter(|(name, _)| *name == HEADER);
    let texts = traces.filter_map(|(_, value)| std::str::from_utf8(value?).ok());
    let hosts = texts.flat_map(|text| text.split(',')).map(str::trim);
    hosts.filter(|host| is_host(host)).take(MAX_TRACE)
}

/// The headers that are sent: all but the trace.
pub fn sent(headers: &Headers) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    headers.iter().filter(|(name, _)| *name != HEADER)
}

/// Whether a name can stand in a trace.
#[must_use]
pub fn is_host(name: &str) -> bool {
    let proper = |octet: u8| octet.is_ascii_alphanumeric() || b"-._".contains(&octet);
    (1..=MAX_HOST_NAME).contains(&name.len()) && name.bytes().all(proper)
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
        let from = Some(from).filter(|from| !from.is_empty());
        received(sent, from, "own.example").map(|stored| stored.record.headers)
    }

    fn hosts(headers: &Headers) -> Vec<&str> {
        of(headers).collect()
    }

    #[test]
    fn an_event_says_whom_it_came_through_and_does_not_come_a_second_time() {
        let headers = came(&["a.example", "b.example"], "c.example").unwrap();
        assert_eq!(hosts(&headers), ["a.example", "b.example", "c.example"]);
        assert_eq!(sent(&headers).count(), 1);
        assert_eq!(came(&["own.example", "b.example"], "c.example"), None);
        assert_eq!(came(&[], "own.example"), None);
        assert_eq!(came(&["a.example"; MAX_TRACE], "c.example"), None);
        assert_eq!(hosts(&came(&[], "c.example").unwrap()), ["c.example"]);
    }

    #[test]
    fn an_event_that_never_left_this_host_keeps_the_trace_that_it_has() {
        for trace in [&["a.example", "own.example"] as &[&str], &["a.example"; MAX_TRACE]] {
            assert_eq!(hosts(&came(trace, "").unwrap()), trace);
        }
        assert_eq!(came(&[], "").unwrap().iter().count(), 1, "no header of ours");
    }

    #[test]
    fn an_event_passes_sixteen_hosts_and_no_more() {
        let hosts: Vec<String> = (0..20).map(|number| format!("h{number}.example")).collect();
        let mut sent = Sent::default();
        for (passed, hosts) in hosts.windows(2).enumerate() {
            let [from, own] = hosts else { unreachable!() };
            let Some(Stored { record, .. }) = received(sent, Some(from), own) else {
                assert_eq!(
                    passed, MAX_TRACE,
                    "the seventeenth is the first that it does not reach"
                );
                return;
            };
            let trace = of(&record.headers).map(str::to_owned).collect();
            sent = Sent { trace, ..Sent::default() };
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
        assert_eq!((offset, hosts(&headers)), (7, vec!["a.example", "c.example"]));
        assert_eq!(sent(&headers).count(), 1);
        assert_eq!(read("own.example", "c.example"), None);
        assert_eq!(read("", "own.example"), None);
    }

    #[test]
    fn what_somebody_wrote_into_the_header_is_bounded() {
        let written = |text: &[u8]| {
            let headers: Headers = [(HEADER, Some(text))].into_iter().collect();
            of(&headers).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(written(b""), Vec::<String>::new());
        assert_eq!(written(b"\xff"), Vec::<String>::new());
        assert_eq!(written(b",,a,,"), ["a"]);
        assert_eq!(written(b"a b.example, good.example,\x01"), ["good.example"]);
        assert_eq!(written(format!("{},b", "x".repeat(254)).as_bytes()), ["b"]);
        assert_eq!(written("a,".repeat(100).as_bytes()).len(), MAX_TRACE);
    }
}
