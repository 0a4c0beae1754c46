//! Events a second, out of counters that are seen twice.
//!
//! Counters begin again with the host, and a name may come back as another thing: what is less than before
//! is no rate.

use std::collections::HashMap;
use std::time::Instant;

use crate::look::{Thing, number, word};

/// The counters of one look.
pub(super) struct Counters {
    at: Instant,
    seen: HashMap<(String, &'static str), u64>,
}

impl Counters {
    /// Notes the counters of things, each known by the key that names it.
    pub(super) fn note(
        at: Instant,
        things: &[(&'static str, &[Thing])],
        counted: &[&'static str],
    ) -> Self {
        let mut seen = HashMap::new();
        for (key, things) in things {
            for thing in *things {
                let Some(name) = word(thing, key) else { continue };
                for counter in counted {
                    if let Some(count) = number(thing, counter) {
                        seen.insert((format!("{key} {name}"), *counter), count);
                    }
                }
            }
        }
        Self { at, seen }
    }

    /// How much a counter of a thing grew since an earlier look.
    pub(super) fn grown(
        &self,
        before: Option<&Self>,
        (key, thing): (&str, &Thing),
        counter: &'static str,
    ) -> Option<u64> {
        let name = (format!("{key} {}", word(thing, key)?), counter);
        self.seen.get(&name)?.checked_sub(*before?.seen.get(&name)?)
    }

    /// How much a counter of a thing grew a second since an earlier look.
    pub(super) fn rate(
        &self,
        before: Option<&Self>,
        (key, thing): (&str, &Thing),
        counter: &'static str,
    ) -> Option<f64> {
        let grown = self.grown(before, (key, thing), counter)?;
        let seconds = self.at.saturating_duration_since(before?.at).as_secs_f64();
        // Counts beyond 2^53 in one interval are not met.
        (seconds > 0.0).then(|| grown as f64 / seconds)
    }
}

/// A rate as it is shown: `-` where there is none.
pub(super) fn shown(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate > 0.0 && rate < 10.0 => format!("{rate:.1}"),
        Some(rate) => format!("{rate:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn processor(events: u64) -> Thing {
        let value = serde_json::json!({"processor": "p.b", "events-in": events});
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_rate_is_what_was_added_a_second_and_never_negative() {
        let start = Instant::now();
        let look = |seconds, events| {
            let things = [processor(events)];
            let at = start + Duration::from_secs(seconds);
            Counters::note(at, &[("processor", &things)], &["events-in"])
        };
        let rate = |before: Option<&Counters>, now: &Counters| {
            shown(now.rate(before, ("processor", &processor(0)), "events-in"))
        };
        let (first, second, restarted) = (look(0, 100), look(4, 500), look(6, 20));
        assert_eq!(rate(None, &first), "-");
        assert_eq!(rate(Some(&first), &second), "100");
        assert_eq!(rate(Some(&second), &restarted), "-");
        assert_eq!(rate(Some(&restarted), &look(8, 25)), "2.5");
        assert_eq!(rate(Some(&first), &look(0, 900)), "-");
        assert_eq!(
            shown(second.rate(Some(&first), ("processor", &processor(0)), "events-out")),
            "-"
        );
    }
}
