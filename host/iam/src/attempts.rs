//! Failed attempts: who guesses has to wait longer and longer.
//!
//! Counts by user and by address, whether the user exists or not. Remembers a bounded number of
//! both, and forgets them after a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    User(String),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Failures of late.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<Key, Failures>>);

impl Attempts {
    /// How long this user, from this address, has to wait before he is listened to.
    pub(crate) fn wait(&self, user: Option<&str>, address: IpAddr) -> Duration {
        let now = Instant::now();
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |key: &Key| {
            let Failures { count, last } = *failures.get(key)?;
            Some((last + delay(key, count)).saturating_duration_since(now))
        };
        keys(user, address).filter_map(|key| left(&key)).max().unwrap_or_default()
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, user: Option<&str>, address: IpAddr) {
        let now = Instant::now();
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut failures, now);
        for key in keys(user, address) {
            let entry = failures.entry(key).or_insert(Failures { count: 0, last: now });
            if now.duration_since(entry.last) > FORGOTTEN_AFTER {
                entry.count = 0;
            }
            entry.count = entry.count.saturating_add(1);
            entry.last = now;
        }
    }

    /// Forgets a user's failures: it was he. The address keeps its own, or whoever has one account
    /// could guess at the others without end.
    pub(crate) fn succeeded(&self, user: &str) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&Key::User(user.to_owned()));
    }
}

fn keys(user: Option<&str>, address: IpAddr) -> impl Iterator<Item = Key> {
    let address = match address {
        // Who has one address of a /64 has all of them.
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    };
    [Key::Address(address)].into_iter().chain(user.map(|user| Key::User(user.to_owned())))
}

fn delay(key: &Key, count: u32) -> Duration {
    let (free, longest) = match key {
        Key::Address(_) => (FREE_FOR_ADDRESS, LONGEST_FOR_ADDRESS),
        Key::User(_) => (0, LONGEST_FOR_USER),
    };
    match count.checked_sub(free + 1) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_DELAY.saturating_mul(1 << doublings.min(16)).min(longest),
    }
}

fn make_room(failures: &mut HashMap<Key, Failures>, now: Instant) {
    if failures.len() + 2 <= MAX_REMEMBERED {
        return;
    }
    failures.retain(|_, entry| now.duration_since(entry.last) <= FORGOTTEN_AFTER);
    // Whoever fills the map pushes out the oldest half at once: not a scan for each attempt.
    if failures.len() + 2 > MAX_REMEMBERED {
        let mut times: Vec<Instant> = failures.values().map(|entry| entry.last).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        failures.retain(|_, entry| entry.last > median);
    }
}

/// Delay after the first counted failure; it doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_millis(250);

/// Longest delay for a user. Short, because anybody can cause it for anybody.
const LONGEST_FOR_USER: Duration = Duration::from_secs(2);

/// Failures of an address that cost nothing yet: many people may sit behind one.
const FREE_FOR_ADDRESS: u32 = 4;

/// Longest delay for an address.
const LONGEST_FOR_ADDRESS: Duration = Duration::from_secs(30);

/// After so much quiet a failure is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Users and addresses remembered, at most some 300 octets each: 3 MiB.
const MAX_REMEMBERED: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    #[tokio::test(start_paused = true)]
    async fn the_delay_of_a_user_grows_to_its_limit_and_success_ends_it() {
        let attempts = Attempts::default();
        assert_eq!(attempts.wait(Some("ana"), HERE), Duration::ZERO);
        let mut seen = Vec::new();
        for from in 0..6 {
            attempts.failed(Some("ana"), Ipv4Addr::new(198, 51, 100, from).into());
            seen.push(attempts.wait(Some("ana"), THERE).as_millis());
        }
        assert_eq!(seen, [250, 500, 1000, 2000, 2000, 2000]);
        attempts.succeeded("ana");
        assert_eq!(attempts.wait(Some("ana"), THERE), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_guesses_waits_whatever_user_it_names() {
        let attempts = Attempts::default();
        for number in 0..12 {
            attempts.failed(Some(&format!("u{number}")), THERE);
        }
        assert_eq!(attempts.wait(Some("ana"), THERE), LONGEST_FOR_ADDRESS);
        assert_eq!(attempts.wait(Some("ana"), HERE), Duration::ZERO);
        attempts.succeeded("ana");
        assert_eq!(attempts.wait(Some("ana"), THERE), LONGEST_FOR_ADDRESS);
        tokio::time::advance(LONGEST_FOR_ADDRESS).await;
        assert_eq!(attempts.wait(Some("ana"), THERE), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_failures_of_one_address_cost_others_behind_it_nothing() {
        let attempts = Attempts::default();
        for _ in 0..FREE_FOR_ADDRESS {
            attempts.failed(Some("bo"), THERE);
        }
        assert_eq!(attempts.wait(Some("ana"), THERE), Duration::ZERO);
        attempts.failed(Some("bo"), THERE);
        assert_eq!(attempts.wait(Some("ana"), THERE), FIRST_DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_forgotten_after_quiet() {
        let attempts = Attempts::default();
        for _ in 0..5 {
            attempts.failed(Some("ana"), HERE);
        }
        tokio::time::advance(FORGOTTEN_AFTER + Duration::from_secs(1)).await;
        attempts.failed(Some("ana"), HERE);
        assert_eq!(attempts.wait(Some("ana"), HERE), FIRST_DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_are_remembered() {
        let attempts = Attempts::default();
        for number in 0..(2 * MAX_REMEMBERED as u32) {
            attempts.failed(Some(&format!("u{number}")), Ipv4Addr::from(number).into());
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(attempts.0.lock().unwrap().len() <= MAX_REMEMBERED);
        let last = 2 * MAX_REMEMBERED as u32 - 1;
        assert!(attempts.wait(Some(&format!("u{last}")), HERE) > Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_of_one_ipv6_network_count_together() {
        let attempts = Attempts::default();
        for number in 0..9_u16 {
            attempts.failed(
                Some("x"),
                std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, number).into(),
            );
        }
        let other = |net| std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, net, 9, 9, 9, 9).into();
        assert!(attempts.wait(Some("ana"), other(1)) > Duration::ZERO);
        assert_eq!(attempts.wait(Some("ana"), other(2)), Duration::ZERO);
    }
}
