//! How far processors are behind: records not committed yet, and the age of the oldest of them.
//!
//! Looked at now and then by one task for all of them, so that whoever asks waits for no broker and a
//! thousand processors cost what one question to each of their flows costs. What cannot be known is said
//! to be unknown, never 0. The same look tells of partitions that somebody else has added.

mod sweep;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use host_events::Incarnation;
use uuid::Uuid;

use crate::spec::Spec;
use crate::status::ShardStatus;
use crate::supervisor::Processors;
use sweep::{Mark, Sweep};

/// How far a processor is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lag {
    /// Offsets between the committed positions and the ends of the inputs' partitions, all together;
    /// `None` where it is not known. Offsets may have gaps, so there may be fewer events.
    pub events: Option<u64>,
    /// Age in seconds of the oldest record that is not committed, 0 where there is none; `None` where it
    /// is not known.
    pub seconds: Option<f64>,
}

/// The processors' lags as they were last seen.
#[derive(Default)]
pub(crate) struct Lags {
    seen: Mutex<HashMap<Uuid, Seen>>,
    /// Processors that were moved while somebody looked: what was seen of them may be of before.
    moved: Mutex<HashSet<Uuid>>,
    turn: AtomicUsize,
}

/// The lag of one processor.
#[derive(Clone, Debug, Default)]
struct Seen {
    events: Option<u64>,
    oldest: Oldest,
    marks: Marks,
}

/// Looks at the first record behind a position, for each partition that lags.
type Marks = BTreeMap<(Incarnation, u32), Mark>;

/// Time of the oldest record that is not committed, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Oldest {
    #[default]
    Unknown,
    None,
    Since(i64),
}

/// A processor as a sweep meets it.
pub(crate) enum Followed {
    /// Just being changed: what was seen last still counts.
    Busy,
    /// It cannot run: nobody knows where it would begin.
    Not,
    /// It runs, or is held.
    Is(Arc<Spec>, Vec<Arc<ShardStatus>>),
}

/// Pause between two sweeps: what a person who watches takes for now.
const PERIOD: Duration = Duration::from_secs(2);

/// The pause is so many times what a sweep took: with thousands of partitions on a network it costs no
/// more than two hundredths of the time.
const SHARE: u32 = 50;

/// Longest pause: how late growth of a flow is noticed, and how old a lag becomes.
const LONGEST_PERIOD: Duration = Duration::from_secs(10);

impl Processors {
    /// Looks how far every processor is behind, again and again, until the future is dropped.
    pub async fn watch_lag(&self) {
        loop {
            let began = Instant::now();
            self.look_at_lag().await;
            let pause = began.elapsed() * SHARE;
            tokio::time::sleep(pause.clamp(PERIOD, LONGEST_PERIOD)).await;
        }
    }

    /// How far a processor is behind, as of some seconds ago; unknown before the first look.
    #[must_use]
    pub fn lag(&self, id: Uuid) -> Lag {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.lags.seen().get(&id).map(|seen| seen.lag(now)).unwrap_or_default()
    }

    /// One look at every processor.
    pub(crate) async fn look_at_lag(&self) {
        self.0.lags.moved().clear();
        let mut followed = self.followed().await;
        // Until the sweep is done, which a broker can hold up, the last look is shown.
        let mut before = self.0.lags.seen().clone();
        let mut sweep = Sweep::default();
        let specs = followed.iter().filter_map(|(_, followed)| match followed {
            Followed::Is(spec, _) => Some(&**spec),
            Followed::Busy | Followed::Not => None,
        });
        for (flow, life, partitions) in sweep.survey(specs).await {
            self.grew(flow, life, partitions).await;
        }
        // Reads of one sweep are limited: it is not always the same ones who come too late.
        let turn = self.0.lags.turn.fetch_add(sweep::MOST_READS as usize, Ordering::Relaxed);
        let turn = turn.checked_rem(followed.len()).unwrap_or(0);
        followed.rotate_left(turn);
        let mut now = HashMap::with_capacity(followed.len());
        for (id, followed) in followed {
            let last = before.remove(&id).unwrap_or_default();
            let seen = match followed {
                Followed::Busy => last,
                Followed::Not => Seen::default(),
                Followed::Is(spec, statuses) => sweep.look(&spec, &statuses, last.marks).await,
            };
            now.insert(id, seen);
        }
        self.0.lags.show(now);
    }
}

impl Lags {
    /// What was seen of a processor counts no more: until the next look nobody knows.
    pub(crate) fn forget(&self, id: Uuid) {
        let mut moved = self.moved();
        moved.insert(id);
        self.seen().remove(&id);
    }

    /// Shows what was seen since [`Self::moved`] was cleared.
    fn show(&self, mut now: HashMap<Uuid, Seen>) {
        let mut moved = self.moved();
        moved.drain().for_each(|id| drop(now.remove(&id)));
        *self.seen() = now;
    }

    fn moved(&self) -> std::sync::MutexGuard<'_, HashSet<Uuid>> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Seen>> {
        // A map that is replaced as a whole is sound wherever a thread ends.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn lag(&self, now: Duration) -> Lag {
        let seconds = match self.oldest {
            Oldest::Unknown => None,
            Oldest::None => Some(0.0),
            // A producer's clock may be ahead of ours, and what waits is behind all the same.
            Oldest::Since(millis) => {
                let since = Duration::from_millis(millis.try_into().unwrap_or(0));
                Some(now.saturating_sub(since).as_secs_f64())
            }
        };
        Lag { events: self.events, seconds }
    }
}

#[cfg(test)]
pub(crate) mod tests;
