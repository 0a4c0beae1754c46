//! From a component's decisions to records at places of the flow.
//!
//! What becomes of an event lies where the event lies, so that a position means the same with a view and without. A new
//! event has no place of its own: whoever makes some is asked about each event by itself, and they lie where that does.

use host_events::{Headers, HeadersBuilder, Record, Stored};
use host_plugins::Action;

/// What became of some events.
pub(super) enum Outcome {
    /// These go on, in order; so many were refused.
    Done(Vec<Stored>, u64),
    /// There are new ones among them: ask about each event alone.
    Alone,
    /// More than one came of an event.
    Many,
}

/// What decisions about some events make of them; `beside` is the header that stays with whatever comes of an event.
pub(super) fn outcome(events: &[Stored], actions: Vec<Action>, beside: &[u8]) -> Outcome {
    let mut refused = 0;
    let mut came: Vec<Option<Record>> = events.iter().map(|_| None).collect();
    for action in actions {
        let (index, record) = match action {
            Action::Drop { .. } => continue,
            Action::DeadLetter { .. } => {
                refused += 1;
                continue;
            }
            Action::ForwardAll { .. } => {
                for (place, event) in came.iter_mut().zip(events) {
                    if place.replace(event.record.clone()).is_some() {
                        return Outcome::Many;
                    }
                }
                continue;
            }
            Action::Forward { index, .. } => {
                let Some(event) = events.get(index as usize) else { continue };
                (index, event.record.clone())
            }
            Action::Rewrite { index, record, .. } => (index, record),
            Action::Emit { .. } if events.len() > 1 => return Outcome::Alone,
            Action::Emit { key, record, .. } => {
                let key = key.or_else(|| record.key.clone());
                let old = events.first().map(|event| &event.record.headers);
                let headers = old.and_then(|old| with(&record.headers, old, beside));
                let headers = headers.unwrap_or_else(|| record.headers.clone());
                (0, Record { key, headers, ..record })
            }
        };
        match came.get_mut(index as usize) {
            Some(Some(_)) => return Outcome::Many,
            Some(place) => *place = Some(record),
            None => {}
        }
    }
    let events = events.iter().zip(came);
    let went = events.filter_map(|(event, record)| Some((event.offset, record?)));
    let went = went.map(|(offset, record)| Stored { offset, record });
    Outcome::Done(went.collect(), refused)
}

/// Some headers and one more that others have; none where they have not.
pub(crate) fn with(headers: &Headers, others: &Headers, name: &[u8]) -> Option<Headers> {
    let more = others.iter().filter(|(found, _)| *found == name);
    let mut more = more.peekable();
    more.peek()?;
    let mut built = HeadersBuilder::default();
    let own = headers.iter().filter(|(found, _)| *found != name);
    own.chain(more).for_each(|(name, value)| built.push(name, value));
    Some(built.build())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn events(count: u64) -> Vec<Stored> {
        let headers: Headers = [(b"trace".as_slice(), Some(b"a".as_slice()))].into_iter().collect();
        let record = |text: String| Record {
            value: Some(Bytes::from(text)),
            headers: headers.clone(),
            ..Record::default()
        };
        (0..count).map(|at| Stored { offset: at * 10, record: record(at.to_string()) }).collect()
    }

    fn done(events: &[Stored], actions: Vec<Action>) -> (Vec<(u64, Bytes)>, u64) {
        let Outcome::Done(went, refused) = outcome(events, actions, b"trace") else {
            panic!("not done");
        };
        let of = |stored: Stored| (stored.offset, stored.record.value.unwrap());
        (went.into_iter().map(of).collect(), refused)
    }

    fn new(text: &'static str) -> Record {
        Record { value: Some(Bytes::from_static(text.as_bytes())), ..Record::default() }
    }

    #[test]
    fn what_becomes_of_an_event_lies_where_it_lies_in_whatever_order_it_was_decided() {
        let letter = Action::DeadLetter { index: 1, reason: String::new() };
        let rewrite = Action::Rewrite { output: 0, index: 2, record: new("x"), keyed: true };
        let forward = Action::Forward { index: 0, output: 0 };
        let (went, refused) = done(&events(4), vec![rewrite, letter, forward]);
        assert_eq!(went, [(0, Bytes::from_static(b"0")), (20, Bytes::from_static(b"x"))]);
        assert_eq!(refused, 1);
        let all = vec![Action::Drop { index: 0 }, Action::ForwardAll { output: 0 }];
        assert_eq!(done(&events(2), all).0.len(), 2);
    }

    #[test]
    fn a_new_event_lies_where_the_one_lies_that_was_asked_about_and_keeps_its_trace() {
        let emit = || vec![Action::Emit { output: 0, key: None, record: new("x") }];
        assert!(matches!(outcome(&events(2), emit(), b"trace"), Outcome::Alone));
        let one = &events(3)[2..];
        assert_eq!(done(one, emit()).0, [(20, Bytes::from_static(b"x"))]);
        let Outcome::Done(went, _) = outcome(one, emit(), b"trace") else { panic!("not done") };
        assert_eq!(went[0].record.headers.get(b"trace"), Some(Some(b"a".as_slice())));
    }

    #[test]
    fn two_of_one_event_have_no_place() {
        let twice = vec![Action::ForwardAll { output: 0 }, Action::Forward { index: 0, output: 0 }];
        assert!(matches!(outcome(&events(2), twice, b"trace"), Outcome::Many));
    }
}
