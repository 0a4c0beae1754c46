//! A version that runs beside the one that counts: it gets the same batches with a copy of the state, its
//! answers are compared and thrown away.
//!
//! Nothing waits for it: where it is slower than the one that counts, batches pass it by, are counted as skipped,
//! and it goes on later from a new copy of the state. It writes nothing, logs nothing, and takes nothing of the
//! shard away; what it does wrong is a difference, never a failure.

mod answer;
mod companion;
mod compare;
mod past;
mod report;
mod side;

use std::sync::Arc;

use host_plugins::{CallError, Plugin, Setup, SharedState};
use host_registry::Processor;

pub(crate) use companion::{Companion, Did, Outcome};
pub(crate) use past::Pasts;
pub use past::{PastError, PastReport, Span};
pub use report::{Difference, ShadowReport};

use crate::inputs::Next;
use crate::migrate::takes_over;
use crate::shard::setup;
use crate::supervisor::Processors;
use crate::worker::Worker;

impl Processors {
    /// The version that a processor's row names as its shadow, where it can be loaded.
    pub(crate) async fn shadow_of(&self, processor: &Processor) -> Option<Plugin> {
        let digest = processor.shadow.as_ref()?;
        match self.0.catalog.version(digest).await {
            Ok(plugin) => Some(plugin),
            Err(error) => {
                tracing::warn!(processor = %processor.name, digest, cause = %error, "shadow cannot be loaded");
                None
            }
        }
    }
}

impl Worker<'_> {
    /// Begins, changes or ends the shadow, as it is wanted now.
    pub(crate) fn follow_shadow(&mut self) {
        self.companion = None;
        let Some(plugin) = self.shard.shadow.borrow_and_update().clone() else {
            return self.shard.status.without_shadow();
        };
        let shard = &*self.shard;
        shard.status.with_shadow(plugin.digest(), &plugin.info().version);
        let copy = SharedState::new(self.state.lock().copy());
        let setup = setup(&shard.spec, shard.shard, &copy, &shard.limits, &shard.silent());
        let other = takes_over(&plugin, self.plugin.digest(), &copy);
        let takes_over = other.then(|| self.plugin.info().version.clone());
        let setup = Setup { takes_over, usage: shard.status.usage(), ..setup };
        let outputs = shard.spec.output_names();
        self.companion = Some(Companion::start(plugin, setup, outputs, &shard.status));
    }

    /// Shows a batch to the shadow, with what came of it.
    pub(crate) fn show(&mut self, seen: impl FnOnce() -> Outcome) {
        if let Some(companion) = &mut self.companion {
            companion.show(seen(), || self.state.lock().copy());
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
