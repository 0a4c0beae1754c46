//! A version that runs beside the one that counts: it gets the same batches with a copy of the state, its
//! answers are compared and thrown away.
//!
//! Nothing waits for it: where it is slower than the one that counts, batches pass it by, are counted as skipped,
//! and it goes on later from a new copy of the state. It writes nothing, logs nothing, and takes nothing of the
//! shard away; what it does wrong is a difference, never a failure.

mod answer;
mod asked;
mod companion;
mod compare;
mod past;
mod report;
mod side;
mod span;

use std::sync::Arc;
use std::time::Duration;

use host_plugins::{Action, CallError, Optional, Plugin, Setup, SharedState};
use host_registry::Processor;

pub(crate) use companion::{Companion, Did, Outcome};
use companion::{Message, Shadow};
pub(crate) use past::Pasts;
pub use past::{PastError, PastReport};
pub use report::{Difference, ShadowReport};
pub use span::{Begin, Span};

use crate::inputs::Next;
use crate::shard::setup;
use crate::supervisor::Processors;
use crate::worker::Worker;

/// What shall run beside the version that counts.
#[derive(Clone)]
pub(crate) enum Beside {
    Nothing,
    /// A version. Of another round nothing counts that was found before.
    Version {
        plugin: Plugin,
        round: i64,
    },
    /// It has run for long enough: what was found is kept.
    Ended,
    /// One that cannot be loaded.
    Missing {
        digest: String,
        round: i64,
        why: String,
    },
}

impl Beside {
    /// What makes it another one.
    pub(crate) fn key(&self) -> (u8, String, i64) {
        match self {
            Self::Nothing => (0, String::new(), 0),
            Self::Version { plugin, round } => (1, plugin.digest().to_string(), *round),
            Self::Ended => (2, String::new(), 0),
            Self::Missing { digest, round, .. } => (3, digest.clone(), *round),
        }
    }
}

impl Processors {
    /// What a processor's row names as its shadow.
    pub(crate) async fn shadow_of(&self, processor: &Processor) -> Beside {
        let Some(digest) = processor.shadow.clone() else { return Beside::Nothing };
        let round = processor.followed().map_or(0, |successor| successor.since);
        if self.0.comparisons.is_over(processor.id, round) {
            return Beside::Ended;
        }
        match self.0.catalog.version(&digest).await {
            Ok(plugin) => Beside::Version { plugin, round },
            Err(error) => {
                tracing::warn!(processor = %processor.name, digest, cause = %error, "shadow cannot be loaded");
                let why = format!("cannot be loaded: {error}");
                Beside::Missing { digest, round, why }
            }
        }
    }
}

impl Worker<'_> {
    /// Begins, changes or ends the shadow, as it is wanted now.
    pub(crate) fn follow_shadow(&mut self) {
        self.companion = None;
        let beside = self.shard.shadow.borrow_and_update().clone();
        let status = &self.shard.status;
        match beside {
            Beside::Nothing => status.without_shadow(),
            Beside::Ended => status.shadow(|report| report.is_ended = true),
            Beside::Missing { digest, round, why } => {
                status.with_shadow(ShadowReport::new(&digest, "", round));
                status.shadow(|report| {
                    report.problem = Some(why);
                    report.is_passing = true;
                });
            }
            Beside::Version { plugin, round } => self.begin_shadow(plugin, round),
        }
    }

    fn begin_shadow(&mut self, plugin: Plugin, round: i64) {
        let shard = &*self.shard;
        let version = &plugin.info().version;
        shard.status.with_shadow(ShadowReport::new(plugin.digest(), version, round));
        let copy = SharedState::new(self.state.lock().copy());
        let setup = setup(&shard.spec, shard.shard, &copy, &shard.limits, &shard.silent());
        let setup = Setup { usage: shard.status.usage(), ..setup };
        let other = self.plugin.digest() != plugin.digest() && plugin.exports(Optional::Migrate);
        let from = other.then(|| self.plugin.info().version.clone());
        let outputs = shard.spec.output_names();
        let interval = self.living.interval();
        let idle = Duration::from_millis(shard.limits.idle_ms);
        let status = Arc::clone(&shard.status);
        let shadow = Shadow { plugin, setup, from, outputs, interval, idle, status };
        self.companion = Some(Companion::start(shadow));
    }

    /// Shows a batch to the shadow, with what came of it.
    pub(crate) fn show(&mut self, seen: impl FnOnce() -> Outcome) {
        if let Some(companion) = &mut self.companion {
            companion.show(Message::Batch(Box::new(seen())), || self.state.lock().copy());
        }
    }

    /// Shows a tick, and what the version that counts did then.
    pub(crate) fn show_tick(&mut self, now: i64, actions: &[Action]) {
        if let Some(companion) = &mut self.companion {
            let changes = self.state.lock().take_changes();
            let ticked = Message::Tick { now, actions: actions.to_vec(), changes };
            companion.show(ticked, || self.state.lock().copy());
        }
    }

    /// Shows an event on which the version that counts failed.
    pub(crate) fn show_failed(&mut self, piece: &Next, flow: &Arc<str>, cause: &CallError) {
        self.show(|| Outcome {
            next: piece.clone(),
            flow: Arc::clone(flow),
            did: Did::Failed(cause.to_string()),
        });
    }
}
