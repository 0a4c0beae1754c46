//! Choices at random that can be repeated.

use std::time::{Duration, SystemTime};

/// A number from the environment, or another one.
///
/// # Panics
/// When it is no number.
#[must_use]
pub fn number(variable: &str, otherwise: usize) -> usize {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Numbers that look random and follow from a seed.
pub struct Dice(u64);

impl Dice {
    /// With the seed of an environment variable, or one of the clock's; says which, so that a run can be
    /// repeated.
    #[must_use]
    pub fn of(variable: &str) -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as usize;
        let seed = number(variable, now % 1_000_000_007);
        println!("{variable}={seed}");
        Self(seed as u64 ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// Others, which follow from the same seed.
    #[must_use]
    pub fn other(&self) -> Self {
        Self(self.0 ^ 0x2545_f491_4f6c_dd1d)
    }

    /// One of `0..below`.
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }

    /// Waits so many milliseconds.
    pub fn wait(&mut self, from: u64, to: u64) {
        std::thread::sleep(Duration::from_millis(from + self.roll(to - from)));
    }
}
