//! What is tried again and again in the background, each with pauses of its own, so that what does not answer holds up
//! nothing else.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use fnap::name::Name;
use tokio::time::Instant;

/// The longest time between two tries: what is away for a night is found within this.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// When each is tried next, and how often it was.
pub(crate) struct Tries {
    times: HashMap<Name, (Instant, u32)>,
    /// Those that are tried just now, each with what it may have to wait for together with others.
    under_way: HashMap<Name, String>,
    of_group: HashMap<String, usize>,
    at_once: usize,
    of_a_group: usize,
}

impl Tries {
    /// So many at once, and so many of those that may have to wait for the same.
    pub(crate) fn new(at_once: usize, of_a_group: usize) -> Self {
        let (times, under_way, of_group) = Default::default();
        Self { times, under_way, of_group, at_once, of_a_group }
    }

    /// Those of the open ones, each with its group, whose time has come, and for which there is room. They count as under
    /// way.
    pub(crate) fn due(&mut self, open: &BTreeMap<&Name, String>) -> Vec<Name> {
        let now = Instant::now();
        self.times.retain(|name, _| open.contains_key(name));
        let mut due = Vec::new();
        for (name, group) in open {
            let is_early = self.times.get(*name).is_some_and(|(at, _)| *at > now);
            if !is_early && self.begin(name, group) {
                due.push((*name).clone());
            }
        }
        due
    }

    /// Whether there is room for one more.
    fn begin(&mut self, name: &Name, group: &str) -> bool {
        if self.under_way.len() >= self.at_once || self.under_way.contains_key(name) {
            return false;
        }
        let many = self.of_group.entry(group.to_owned()).or_default();
        if *many >= self.of_a_group {
            return false;
        }
        *many += 1;
        self.under_way.insert(name.clone(), group.to_owned());
        true
    }

    /// One is done; where it did not go well, it waits at least so long, and longer each time. Gives how long.
    pub(crate) fn tried(&mut self, name: &Name, least: Option<Duration>) -> Duration {
        if let Some(group) = self.under_way.remove(name) {
            let many = self.of_group.get_mut(&group).map(|many| {
                *many -= 1;
                *many
            });
            if many == Some(0) {
                self.of_group.remove(&group);
            }
        }
        let Some(least) = least else {
            self.times.remove(name);
            return Duration::ZERO;
        };
        let times = self.times.get(name).map_or(0, |(_, times)| *times);
        let wait = (least.max(Duration::from_secs(1)) * 2_u32.saturating_pow(times.min(6)))
            .min(LONGEST.max(least));
        self.times.insert(name.clone(), (Instant::now() + wait, times.saturating_add(1)));
        wait
    }

    /// When the next one's time comes. Those whose time has come and who wait for room go on when others are done.
    pub(crate) fn next(&self) -> Instant {
        let now = Instant::now();
        let later = self.times.iter().filter(|(name, _)| !self.under_way.contains_key(*name));
        let at = later.map(|(_, (at, _))| *at).filter(|at| *at > now).min();
        at.unwrap_or(now + LONGEST)
    }

    /// Whether nothing is tried and nothing waits.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty() && self.under_way.is_empty() && self.of_group.is_empty()
    }
}
