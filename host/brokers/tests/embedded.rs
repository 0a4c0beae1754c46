//! The embedded broker: the battery, and what only it can be asked.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect"
)]

mod battery;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use battery::Place;
use host_brokers::Broker;
use host_brokers::embedded::{Embedded, EmbeddedOptions};
use tempfile::TempDir;

struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("log")
    }
}

impl Place for Dir {
    async fn open(&self) -> Arc<dyn Broker> {
        Embedded::open(&self.path(), options()).await.unwrap()
    }
}

fn options() -> EmbeddedOptions {
    EmbeddedOptions { retention_period: Duration::from_millis(20) }
}

battery!(embedded, Dir::new());
