//! Failed attempts: who guesses has to wait longer and longer.
//!
//! Counts by user and by address, whether the user exists or not, and lets only a few try at once, so that
//! nobody outruns the count. Remembers a bounded number of both, and forgets them after a while. Counts apart, by
//! address, what DNS was asked and did not answer: that is no failure of whoever made this host ask, but he
//! cannot make it ask without end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::strangers::Origin;

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    /// All addresses of a site, where one can have so many that each of them need not fail often.
    Site(IpAddr),
    User(String),
    /// An address for which names are looked up.
    Lookups(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Failures of late, and who is trying now.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    failures: HashMap<Key, Failures>,
    trying: HashMap<Key, u32>,
}

/// Why somebody cannot try now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Later {
    /// He has failed too often: so long.
    After(Duration),
    /// Others are trying from there, or for that user: when they are done.
    Behind,
}

/// One attempt. It counts as a failure when it is dropped, unless it was said how it ended.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    attempts: &'a Attempts,
    user: Option<String>,
    address: IpAddr,
    failed: bool,
}

impl Attempts {
    /// How long this user, from this address, has to wait before he is listened to.
    pub(crate) fn wait(&self, user: Option<&str>, address: IpAddr) -> Duration {
        self.state().wait(user, address)
    }

    /// Begins an attempt.
    pub(crate) fn begin(&self, user: Option<&str>, address: IpAddr) -> Result<Turn<'_>, Later> {
        let mut state = self.state();
        let wait = state.wait(user, address);
        if wait > Duration::ZERO {
            return Err(Later::After(wait));
        }
        if keys(user, address).any(|key| state.is_full(&key)) {
            return Err(Later::Behind);
        }
        for key in keys(user, address) {
            *state.trying.entry(key).or_default() += 1;
        }
        Ok(Turn { attempts: self, user: user.map(str::to_owned), address, failed: true })
    }

    /// Waits until an attempt that is under way now has ended.
    pub(crate) fn ended(&self) -> Notified<'_> {
        self.ended.notified()
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, user: Option<&str>, address: IpAddr) {
        self.state().failed(user, address);
    }

    /// Counts a look-up for an address, before it begins, and says how long it has to wait for that.
    ///
    /// # Errors
    /// How long it has to wait where that is more than `most`; then nothing is counted.
    pub(crate) fn looks_up(&self, address: IpAddr, most: Duration) -> Result<Duration, Duration> {
        let now = Instant::now();
        let mut state = self.state();
        let failures = &mut state.failures;
        make_room(failures, now);
        let key = Key::Lookups(Origin::of(address).machine);
        let entry = failures.entry(key.clone()).or_insert(Failures { count: 0, last: now });
        if now.saturating_duration_since(entry.last) > FORGOTTEN_AFTER {
            entry.count = 0;
        }
        let begins = now.max(entry.last + delay(&key, entry.count));
        let wait = begins - now;
        if wait > most {
            return Err(wait);
        }
        *entry = Failures { count: entry.count.saturating_add(1), last: begins };
        Ok(wait)
    }

    /// A look-up for an address was answered: it counts no more.
    pub(crate) fn was_answered(&self, address: IpAddr) {
        let mut state = self.state();
        let failures = &mut state.failures;
        if let Some(entry) = failures.get_mut(&Key::Lookups(Origin::of(address).machine)) {
            entry.count = entry.count.saturating_sub(1);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Forgets the user's failures: it was he. The address keeps its own, or whoever has one account
    /// could guess at the others without end.
    pub(crate) fn succeeded(mut self) {
        self.failed = false;
        if let Some(user) = &self.user {
            self.attempts.state().failures.remove(&Key::User(user.clone()));
        }
    }

    /// Others shall not wait for how it ends.
    pub(crate) fn leave(mut self) {
        self.failed = false;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let (user, address) = (self.user.as_deref(), self.address);
        let mut state = self.attempts.state();
        if self.failed {
            state.failed(user, address);
        }
        for key in keys(user, address) {
            if let Entry::Occupied(mut trying) = state.trying.entry(key) {
                *trying.get_mut() -= 1;
                if *trying.get() == 0 {
                    trying.remove();
                }
            }
        }
        drop(state);
        self.attempts.ended.notify_waiters();
    }
}

impl State {
    fn wait(&self, user: Option<&str>, address: IpAddr) -> Duration {
        let now = Instant::now();
        let left = |key: &Key| {
            let Failures { count, last } = *self.failures.get(key)?;
            Some((last + delay(key, count)).saturating_duration_since(now))
        };
        keys(user, address).filter_map(|key| left(&key)).max().unwrap_or_default()
    }

    /// Whether as many try as may: one after another, where they fail.
    fn is_full(&self, key: &Key) -> bool {
        let count = self.failures.get(key).map_or(0, |failures| failures.count);
        let most = if count > free(key) { 1 } else { AT_ONCE };
        self.trying.get(key).is_some_and(|trying| *trying >= most)
    }

    fn failed(&mut self, user: Option<&str>, address: IpAddr) {
        let now = Instant::now();
        make_room(&mut self.failures, now);
        for key in keys(user, address) {
            let entry = self.failures.entry(key).or_insert(Failures { count: 0, last: now });
            if now.duration_since(entry.last) > FORGOTTEN_AFTER {
                entry.count = 0;
            }
            entry.count = entry.count.saturating_add(1);
            entry.last = now;
        }
    }
}

fn keys(user: Option<&str>, address: IpAddr) -> impl Iterator<Item = Key> {
    let from = Origin::of(address);
    let site = (from.site != from.machine).then_some(Key::Site(from.site));
    let user = user.map(|user| Key::User(user.to_owned()));
    [Key::Address(from.machine)].into_iter().chain(site).chain(user)
}

/// Failures that cost nothing yet.
fn free(key: &Key) -> u32 {
    match key {
        Key::Address(_) => FREE_FOR_ADDRESS,
        Key::Site(_) => FREE_FOR_SITE,
        Key::User(_) => 0,
        Key::Lookups(_) => FREE_LOOKUPS,
    }
}

fn delay(key: &Key, count: u32) -> Duration {
    let longest = match key {
        Key::Address(_) | Key::Lookups(_) => LONGEST_FOR_ADDRESS,
        Key::Site(_) => LONGEST_FOR_SITE,
        Key::User(_) => LONGEST_FOR_USER,
    };
    match count.checked_sub(free(key) + 1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_DELAY.saturating_mul(1 << doublings.min(16)).min(longest),
    }
}

fn make_room(failures: &mut HashMap<Key, Failures>, now: Instant) {
    if failures.len() + MOST_KEYS <= MAX_REMEMBERED {
        return;
    }
    failures.retain(|_, entry| now.duration_since(entry.last) <= FORGOTTEN_AFTER);
    // Whoever fills the map pushes out the oldest half at once: not a scan for each attempt.
    if failures.len() + MOST_KEYS > MAX_REMEMBERED {
        let mut times: Vec<Instant> = failures.values().map(|entry| entry.last).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        failures.retain(|_, entry| entry.last > median);
    }
}

/// Attempts for one user, or from one address, that are checked at once: no more are at all
/// (`MAX_WORKERS`), so that many connections of one client wait for nothing else.
const AT_ONCE: u32 = 4;

/// Delay after the first counted failure; it doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_millis(250);

/// Longest delay for a user. Short, because anybody can cause it for anybody.
const LONGEST_FOR_USER: Duration = Duration::from_secs(2);

/// Failures of an address that cost nothing yet: many people may sit behind one.
const FREE_FOR_ADDRESS: u32 = 4;

/// Look-ups without an answer that cost an address nothing yet: agents of many domains may sit behind one.
const FREE_LOOKUPS: u32 = 16;

/// Longest delay for an address.
const LONGEST_FOR_ADDRESS: Duration = Duration::from_secs(30);

/// Failures of a site that cost nothing yet: a machine that guesses is slowed down long before by itself.
const FREE_FOR_SITE: u32 = 64;

/// Longest delay for a site. Short, because some providers give many customers addresses of one.
const LONGEST_FOR_SITE: Duration = Duration::from_secs(2);

/// What is counted of one attempt.
const MOST_KEYS: usize = 3;

/// After so much quiet a failure is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Users and addresses remembered, at most some 300 octets each: 3 MiB.
const MAX_REMEMBERED: usize = 10_000;

#[cfg(test)]
mod tests;
