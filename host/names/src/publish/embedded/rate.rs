//! How often strangers are answered by UDP, where nobody proves who asks: a forged address shall not get much that it
//! did not ask for.
//!
//! As other name servers do it: what is too much for a network is dropped, except for every second answer, which
//! is cut, so that whoever is really there comes again by TCP. Does not look at what is asked.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// What to do with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Answer,
    Cut,
    Nothing,
}

/// Networks and what they still get; several of them may share a place.
pub(super) struct Rate {
    places: Vec<Place>,
    hasher: RandomState,
    began: Instant,
    /// Whether this machine itself is counted, too.
    loopback: bool,
}

#[derive(Clone, Copy)]
struct Place {
    left: u32,
    /// Until when `left` has grown, in milliseconds since the beginning.
    at: u64,
    refused: u32,
}

impl Rate {
    pub(super) fn new(loopback: bool) -> Self {
        let place = Place { left: RESERVE, at: 0, refused: 0 };
        let (places, hasher) = (vec![place; PLACES], RandomState::new());
        Self { places, hasher, began: Instant::now(), loopback }
    }

    /// Of a question that has come from an address just now.
    pub(super) fn verdict(&mut self, from: IpAddr) -> Verdict {
        // Whoever forges that is on this machine.
        if from.to_canonical().is_loopback() && !self.loopback {
            return Verdict::Answer;
        }
        let now = self.began.elapsed();
        let place = usize::try_from(self.hasher.hash_one(network(from))).unwrap_or(usize::MAX);
        // There is one: the remainder is below the length.
        self.places.get_mut(place % PLACES).map_or(Verdict::Answer, |place| place.verdict(now))
    }
}

impl Place {
    fn verdict(&mut self, now: Duration) -> Verdict {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let grown = now.saturating_sub(self.at) / MILLISECONDS;
        self.at += grown * MILLISECONDS;
        let left = u64::from(self.left).saturating_add(grown).min(u64::from(RESERVE));
        let left = u32::try_from(left).unwrap_or(RESERVE);
        self.left = left.saturating_sub(1);
        if left > 0 {
            return Verdict::Answer;
        }
        self.refused = self.refused.wrapping_add(1);
        if self.refused.is_multiple_of(2) { Verdict::Cut } else { Verdict::Nothing }
    }
}

/// Whoever may forge one address of a network may forge all of them.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(u32::from(address) >> 8),
        // No IPv4 network has so large a number.
        IpAddr::V6(address) => u64::try_from(u128::from(address) >> 72).unwrap_or(0) | 1 << 63,
    }
}

/// Answers that a network gets at once; one more grows each 10 ms. A resolver of many users remembers what it was told, so
/// it asks for one name once in a TTL.
pub(super) const RESERVE: u32 = 200;

/// How long it takes until one answer more is given.
const MILLISECONDS: u64 = 10;

/// Places for networks: 64 KiB of memory. Two of a hundred networks that ask at the same time share one now and then.
const PLACES: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rate: &mut Rate, from: &str, questions: u32) -> [u32; 3] {
        let mut counts = [0; 3];
        for _ in 0..questions {
            match rate.verdict(from.parse().unwrap()) {
                Verdict::Answer => counts[0] += 1,
                Verdict::Cut => counts[1] += 1,
                Verdict::Nothing => counts[2] += 1,
            }
        }
        counts
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_gets_a_reserve_then_so_many_a_second_and_every_second_refusal_is_cut() {
        let mut rate = Rate::new(false);
        assert_eq!(counts(&mut rate, "192.0.2.1", RESERVE + 100), [RESERVE, 50, 50]);
        assert_eq!(counts(&mut rate, "192.0.2.200", 2), [0, 1, 1], "of the same network");
        tokio::time::advance(Duration::from_millis(105)).await;
        assert_eq!(counts(&mut rate, "::ffff:192.0.2.7", 12), [10, 1, 1]);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(counts(&mut rate, "192.0.2.1", RESERVE + 2), [RESERVE, 1, 1]);
        assert_eq!(counts(&mut rate, "127.0.0.1", 1_000), [1_000, 0, 0]);
    }

    #[test]
    fn networks_are_told_apart_as_far_as_somebody_gets_one() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:200::1"), of("2001:db8:1:2ff::7"));
        assert_ne!(of("2001:db8:1:200::1"), of("2001:db8:1:300::1"));
        assert_eq!(of("192.0.2.1"), of("192.0.2.255"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_ne!(of("0.0.0.1"), of("::1"));
    }
}
