//! How far comparisons by `upgrade=shadow-first` are. Decides nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// Time that counts between two looks at most: what was not looked at was perhaps not compared.
const LONGEST_LOOK: Duration = Duration::from_secs(3);

/// How far comparisons are, by processor. Gone with the host.
#[derive(Default)]
pub(crate) struct Comparisons(Mutex<BTreeMap<Uuid, Progress>>);

/// How far one is.
#[derive(Clone)]
pub(super) struct Progress {
    /// [`Successor::since`] of what it is about.
    since: i64,
    /// When this host first looked at it.
    began: Instant,
    /// For so long both ran.
    pub(super) time: Duration,
    looked: Option<Instant>,
    /// When the shadow could not be loaded, or the comparison began.
    pub(super) loaded: Instant,
    /// It has differed, and there is enough to look at.
    pub(super) is_over: bool,
}

impl Comparisons {
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<Uuid, Progress>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn at<T>(&self, id: Uuid, since: i64, look: impl FnOnce(&mut Progress, Instant) -> T) -> T {
        let now = Instant::now();
        let new = || Progress {
            since,
            began: now,
            time: Duration::ZERO,
            looked: None,
            loaded: now,
            is_over: false,
        };
        self.with(|all| {
            let progress = all.entry(id).or_insert_with(new);
            if progress.since != since {
                *progress = new();
            }
            look(progress, now)
        })
    }

    /// Another look; the time before it counts where both ran.
    pub(super) fn looked(&self, id: Uuid, since: i64, both_run: bool) -> Progress {
        self.at(id, since, |progress, now| {
            let before = progress.looked.replace(now).filter(|_| both_run);
            progress.time +=
                before.map_or(Duration::ZERO, |before| (now - before).min(LONGEST_LOOK));
            progress.clone()
        })
    }

    /// Whether it began less than so long ago and is not over, whether or not anything could be compared.
    pub(super) fn is_young(&self, id: Uuid, since: i64, longest: Duration) -> bool {
        self.at(id, since, |progress, now| {
            !progress.is_over && now.duration_since(progress.began) < longest
        })
    }

    pub(super) fn change(&self, id: Uuid, change: impl FnOnce(&mut Progress)) {
        self.with(|all| all.get_mut(&id).map(change));
    }

    pub(super) fn of(&self, id: Uuid, since: i64) -> Option<Progress> {
        self.with(|all| all.get(&id).filter(|progress| progress.since == since).cloned())
    }

    /// Whether enough was seen of a shadow that differs.
    pub(crate) fn is_over(&self, id: Uuid, since: i64) -> bool {
        self.of(id, since).is_some_and(|progress| progress.is_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_never_runs_is_not_young_for_ever() {
        let (all, id) = (Comparisons::default(), Uuid::nil());
        let longest = Duration::from_secs(3600);
        assert!(all.is_young(id, 1, longest));
        all.change(id, |progress| progress.began -= longest);
        assert!(!all.is_young(id, 1, longest), "nothing was compared, and its time is over");
        assert!(all.is_young(id, 2, longest), "another round");
        all.change(id, |progress| progress.is_over = true);
        assert!(!all.is_young(id, 2, longest));
    }

    #[test]
    fn the_time_before_the_first_look_does_not_count() {
        let (all, id) = (Comparisons::default(), Uuid::nil());
        assert_eq!(all.looked(id, 1, true).time, Duration::ZERO);
        all.change(id, |progress| {
            progress.looked = progress.looked.map(|looked| looked - 2 * LONGEST_LOOK);
        });
        assert_eq!(all.looked(id, 1, true).time, LONGEST_LOOK);
    }
}
