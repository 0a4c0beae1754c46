//! When something was, by two clocks at once: what is judged by its age never looks younger than it is.
//!
//! The time of day may be days behind when a machine has just been started, and may be set back. The other clock
//! counts from the machine's start, sleep included, and nobody sets it; it says nothing about another start. So
//! across a restart of the machine nothing has an age, and where a clock cannot be read nothing has one either.

use std::fs;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::truth::now;

/// The kernel's name for this start of the machine.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// A moment of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Moment {
    /// Which start of the machine it was in.
    pub(super) boot: Uuid,
    /// Milliseconds since that start.
    pub(super) up: u64,
    /// Milliseconds since 1970 UTC.
    pub(super) wall: u64,
}

impl Moment {
    /// This one, where the machine says all of it.
    pub(super) fn now() -> Option<Self> {
        let boot = Uuid::parse_str(fs::read_to_string(BOOT).ok()?.trim()).ok()?;
        let up = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(up.tv_sec).ok()?;
        let up = seconds.checked_mul(1000)? + u64::try_from(up.tv_nsec).ok()? / 1_000_000;
        Some(Self { boot, up, wall: now() })
    }

    /// How long ago it was, in milliseconds: what the clock says that says more. Or why nobody knows.
    pub(super) fn age(&self, now: &Self) -> Result<u64, &'static str> {
        if self.boot != now.boot {
            return Err("the machine was started again since then, and its clock may be behind");
        }
        let by_up = now.up.checked_sub(self.up);
        let by_wall = now.wall.checked_sub(self.wall);
        by_up.zip(by_wall).map(|(up, wall)| up.max(wall)).ok_or("it is from the future")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: Moment = Moment { boot: Uuid::from_u128(1), up: 50, wall: 5000 };

    #[test]
    fn of_two_clocks_the_one_counts_that_says_more() {
        for (up, wall, age) in [(50, 5000, 0), (57, 5003, 7), (53, 5009, 9)] {
            assert_eq!(THEN.age(&Moment { up, wall, ..THEN }), Ok(age));
        }
    }

    #[test]
    fn nothing_has_an_age_in_the_future_or_across_a_start_of_the_machine() {
        for (up, wall) in [(49, 6000), (60, 4999)] {
            assert!(THEN.age(&Moment { up, wall, ..THEN }).unwrap_err().contains("future"));
        }
        let again = Moment { boot: Uuid::from_u128(2), ..THEN };
        assert!(THEN.age(&again).unwrap_err().contains("started again"));
    }

    #[test]
    fn this_machine_says_when_it_is() {
        let (then, now) = (Moment::now().unwrap(), Moment::now().unwrap());
        assert_eq!(then.boot, now.boot);
        assert!(then.up > 0 && then.up <= now.up);
    }
}
