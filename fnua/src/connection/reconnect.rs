//! Trying again: with growing pauses, and not for ever.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Connection;
use crate::config::Agent;
use crate::error::Error;
use crate::trace::Trace;

/// First pause between two attempts; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Longest pause: a host that is back is found soon, and a host that is down is not flooded.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long to go on trying, and how long to pause.
#[derive(Debug)]
pub(crate) struct Patience {
    total: Duration,
    // None while all is well: the time runs from the first failure.
    until: Option<Instant>,
    pause: Duration,
}

impl Patience {
    pub(crate) const fn new(total: Duration) -> Self {
        Self { total, until: None, pause: FIRST_PAUSE }
    }

    /// Something went well: the next failure has all the time again.
    pub(crate) const fn renew(&mut self) {
        self.until = None;
        self.pause = FIRST_PAUSE;
    }

    /// Waits before the next attempt, at least `least`; `false` when time is up.
    pub(crate) async fn wait(&mut self, least: Duration) -> bool {
        let now = Instant::now();
        let until = *self.until.get_or_insert(now + self.total);
        if now >= until {
            return false;
        }
        let pause = self.pause.max(least);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if now + pause > until && least > Duration::ZERO {
            // The host asked for more time than there is.
            return false;
        }
        sleep_until((now + jittered(pause).max(least)).min(until)).await;
        true
    }
}

/// Opens a connection, trying again for a while where that may help.
pub(crate) async fn connect_within(
    agent: &Agent,
    trace: &Trace,
    patience: &mut Patience,
) -> Result<Connection, Error> {
    loop {
        match Connection::open(agent, trace.clone()).await {
            Ok(connection) => return Ok(connection),
            Err(error) if !error.may_pass() => return Err(error),
            Err(error) => {
                if !patience.wait(Duration::ZERO).await {
                    return Err(error);
                }
            }
        }
    }
}

/// Between half and all of the pause, so that many clients of a host do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    pause / 2 + pause.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}
