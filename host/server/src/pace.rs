//! How fast a connection may make its host work for nothing.
//!
//! A peer that is slow or silent costs nothing; one that floods a host with commands, with what is no
//! command, or with octets that nobody will look at takes processor time from everybody else. So there is a
//! price for each of these: whoever has worked off a reserve that no person and no program at work comes
//! near to is listened to at a steady pace, and what he sends meanwhile waits in his own machine. Nothing is
//! refused and nothing is lost. Events that are written or read have no price here: for them there are quotas.

use std::time::Duration;

use fnap::reply::Reply;
use fnap::server::Toll;
use tokio::time::Instant;

/// The price of a command, several times what the cheapest takes to answer: a thousand a second go on for
/// ever, and cost the host some thousandths of its time.
const COMMAND: Duration = Duration::from_millis(1);

/// The price of a line that is no command. A program that speaks the protocol sends none.
const FAULT: Duration = Duration::from_millis(20);

/// Octets that are thrown away for the price of a command: 4 MiB a second, so that somebody who has sent too
/// much by mistake comes to his answer.
const THROWN_AWAY: u32 = 4 * 1024;

/// Octets that are so few, when a line is still not complete, that each read costs more than what it brings.
const CRUMB: usize = 512;

/// The price of such a read: who types is slower, and a network gathers more.
const CRUMBS: Duration = Duration::from_millis(10);

/// What is free after a time of silence: 2,000 commands at once, 100 mistakes, 8 MiB of a wrong line.
const RESERVE: Duration = Duration::from_secs(2);

/// The least time that a pause lasts: to wake up for each single command would be the greater part of the work.
const PAUSE: Duration = Duration::from_millis(10);

/// The longest pause, however much came at once.
const LONGEST: Duration = Duration::from_millis(500);

/// The pace of one connection.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Until when it has used its time up, in the reserve or beyond; none while nothing was taken.
    used_until: Option<Instant>,
}

impl Pace {
    /// Takes the price of what was done.
    pub(crate) fn pay(&mut self, toll: &Toll) {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let commands = COMMAND.saturating_mul(count(toll.commands));
        let faults = FAULT.saturating_mul(count(toll.faults));
        let thrown_away = COMMAND.saturating_mul(count(toll.thrown_away)) / THROWN_AWAY;
        self.take(commands.saturating_add(faults).saturating_add(thrown_away));
    }

    /// Takes the price of a WRITE that is refused for what its writer did.
    pub(crate) fn pay_for_reply(&mut self, reply: &Reply) {
        if matches!(reply, Reply::Error(failure) if failure.code.number() < 500) {
            self.take(FAULT);
        }
    }

    /// Takes the price of what was just read.
    pub(crate) fn pay_for_read(&mut self, octets: &[u8]) {
        if octets.len() < CRUMB && !octets.contains(&b'\n') {
            self.take(CRUMBS);
        }
    }

    /// Until when the connection has to pause, if it has to.
    pub(crate) fn pause(&self) -> Option<Instant> {
        let used = self.used_until?;
        let now = Instant::now();
        let over = used.saturating_duration_since(now).checked_sub(RESERVE)?;
        (!over.is_zero()).then(|| now + over.clamp(PAUSE, LONGEST))
    }

    fn take(&mut self, price: Duration) {
        if price.is_zero() {
            return;
        }
        let now = Instant::now();
        let used = self.used_until.map_or(now, |used| used.max(now)) + price.min(RESERVE);
        self.used_until = Some(used.min(now + RESERVE + LONGEST));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, pause};

    use super::*;

    /// How often something can be done at once, and in how many seconds so many more with all pauses kept.
    async fn pace(price: impl Fn(&mut Pace), more: u32) -> (usize, u64) {
        let mut pace = Pace::default();
        let free = (0..).take_while(|_| {
            price(&mut pace);
            pace.pause().is_none()
        });
        let free = free.count();
        let began = Instant::now();
        for _ in 0..more {
            price(&mut pace);
            if let Some(until) = pace.pause() {
                advance(until - Instant::now()).await;
            }
        }
        (free, began.elapsed().as_secs())
    }

    fn toll(commands: usize, faults: usize, thrown_away: usize) -> impl Fn(&mut Pace) {
        move |pace| pace.pay(&Toll { commands, faults, thrown_away })
    }

    #[tokio::test]
    async fn whoever_has_used_his_reserve_goes_on_at_a_steady_pace() {
        pause();
        assert_eq!(pace(toll(1, 0, 0), 10_000).await, (2_000, 10));
        assert_eq!(pace(toll(0, 1, 0), 1_000).await, (100, 20));
        assert_eq!(pace(toll(0, 0, 64 << 10), 640).await, (125, 10));
        assert_eq!(pace(|pace| pace.pay_for_read(b"x"), 1_000).await, (200, 10));
    }

    #[tokio::test]
    async fn lines_and_much_at_once_are_read_for_nothing() {
        pause();
        let mut pace = Pace::default();
        for _ in 0..100_000 {
            pace.pay_for_read(b"a\r\n");
            pace.pay_for_read(&[b'x'; CRUMB]);
            pace.pay(&Toll::default());
        }
        assert_eq!(pace.pause(), None);
    }

    #[tokio::test]
    async fn the_reserve_comes_back_and_no_pause_is_longer_than_the_longest() {
        pause();
        let mut pace = Pace::default();
        pace.pay(&Toll { commands: usize::MAX, faults: usize::MAX, thrown_away: usize::MAX });
        pace.pay(&Toll { commands: 3_000, faults: 0, thrown_away: 0 });
        assert_eq!(pace.pause(), Some(Instant::now() + LONGEST));
        advance(LONGEST + RESERVE).await;
        pace.pay(&Toll { commands: 2_000, faults: 0, thrown_away: 0 });
        assert_eq!(pace.pause(), None);
    }
}
