//! An answer that is remembered, and when it is asked for anew before its time is over.
//!
//! Where a host cannot be reached at the place that DNS has named, the place may be another one by now. Whoever finds that
//! out asks anew; but a host that is down for a night shall not make this one a flood for somebody's name server: an answer that
//! stays the same is asked for less and less often.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::LookupError;
use crate::asking::Found;

/// How old an answer may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Age {
    /// As old as its TTL allows.
    #[default]
    Any,
    /// Of now: for who has found that what was remembered leads nowhere. An answer stays new for a tenth of a second, and one
    /// that was the same again and again for up to a minute.
    New,
}

/// An answer, or none, with what is known of its life.
#[derive(Clone, Debug)]
pub(super) struct Known {
    answer: Result<Arc<Found>, LookupError>,
    since: Instant,
    /// So long it counts as new.
    steady: Duration,
}

impl Known {
    /// What was answered now, and before that, if it is remembered.
    pub(super) fn new(answer: Result<Arc<Found>, LookupError>, before: Option<&Self>) -> Self {
        let steady = match before {
            Some(before) if is_same(&before.answer, &answer) => {
                (before.steady * 2).min(LONGEST_STEADY)
            }
            _ => FIRST_STEADY,
        };
        Self { answer, since: Instant::now(), steady }
    }

    pub(super) fn answer(&self) -> Result<Arc<Found>, LookupError> {
        self.answer.clone()
    }

    /// Whether it is young enough.
    pub(super) fn counts(&self, age: Age) -> bool {
        match age {
            Age::Any => true,
            Age::New => self.since.elapsed() < self.steady,
        }
    }
}

/// Whether both say the same, in whatever order: servers turn their records round.
fn is_same(
    before: &Result<Arc<Found>, LookupError>,
    after: &Result<Arc<Found>, LookupError>,
) -> bool {
    let (before, after) = match (before, after) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(before), Err(after)) => return before == after,
        _ => return false,
    };
    let records = |found: &Arc<Found>| found.records.iter().cloned().collect::<HashSet<_>>();
    before.security == after.security && records(before) == records(after)
}

/// How long an answer counts as new at first: no host ends and starts elsewhere within it.
const FIRST_STEADY: Duration = Duration::from_millis(100);

/// Longest time for which an answer counts as new that has always been the same: so late a host is found at its new place
/// that was away for long.
const LONGEST_STEADY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::RData;
    use hickory_resolver::proto::rr::rdata::A;

    use super::*;
    use crate::Security;

    fn answer(last: &[u8]) -> Result<Arc<Found>, LookupError> {
        let records = last.iter().map(|last| RData::A(A::new(192, 0, 2, *last))).collect();
        let (security, ttl) = (Security::Insecure, Duration::from_secs(300));
        let (missing, aliased, zone) = (false, false, None);
        Ok(Arc::new(Found { records, security, ttl, missing, aliased, zone }))
    }

    /// So long it counts as new, in tenths of a second.
    fn new_for(known: &Known) -> u128 {
        known.steady.as_millis() / 100
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_stays_the_same_is_asked_for_less_and_less_often() {
        let mut known = Known::new(answer(&[1, 2]), None);
        let mut tenths = Vec::new();
        for _ in 0..12 {
            tokio::time::advance(known.steady - Duration::from_millis(1)).await;
            assert!(known.counts(Age::New));
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(!known.counts(Age::New) && known.counts(Age::Any));
            tenths.push(new_for(&known));
            known = Known::new(answer(&[2, 1]), Some(&known));
        }
        assert_eq!(tenths, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        known = Known::new(answer(&[3]), Some(&known));
        assert_eq!(new_for(&known), 1, "what changes may change again");
        known = Known::new(Err(LookupError::TooSlow), Some(&known));
        assert_eq!(new_for(&known), 1);
        known = Known::new(Err(LookupError::TooSlow), Some(&known));
        assert_eq!(new_for(&known), 2);
    }
}
