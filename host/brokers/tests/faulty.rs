//! The faulty broker: told nothing it is the one inside; told to fail, nobody who does as the traits say
//! loses or repeats anything.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect, and each binary uses a part of the battery"
)]

mod battery;

use std::sync::Arc;
use std::time::Duration;

use battery::Place;
use battery::patient::Patient;
use host_brokers::Broker;
use host_brokers::embedded::{Embedded, EmbeddedOptions};
use host_brokers::faulty::Faulty;
use tempfile::TempDir;

struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }
}

impl Place for Dir {
    async fn open(&self) -> Arc<dyn Broker> {
        let retention_period = Duration::from_millis(20);
        let options = EmbeddedOptions { retention_period, ..EmbeddedOptions::default() };
        Embedded::open(&self.0.path().join("log"), options).await.unwrap()
    }
}

/// Told nothing.
struct Calm(Dir);

impl Place for Calm {
    async fn open(&self) -> Arc<dyn Broker> {
        Faulty::new(self.0.open().await)
    }
}

/// Failing, and asked by somebody patient.
struct UnderFire(Dir, u64);

impl UnderFire {
    fn new() -> Self {
        let seed = uuid::Uuid::new_v4().as_u64_pair().0;
        eprintln!("seed: {seed}");
        Self(Dir::new(), seed)
    }
}

impl Place for UnderFire {
    async fn open(&self) -> Arc<dyn Broker> {
        Patient::over(self.0.open().await, self.1)
    }
}

battery!(calm, Calm(Dir::new()));
battery_of_outcomes!(outcomes, Dir::new());
battery_under_fire!(fixed_seed, UnderFire(Dir::new(), 4));
battery_under_fire!(seed_of_chance, UnderFire::new());
