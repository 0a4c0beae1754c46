//! Which version of its plugin a processor runs: the newest of its type, the one before while it waits for others, or
//! the one that it stays with.
//!
//! Decides from what is written down. Who follows whom is the business of `rollouts` and `successors`.

use host_plugins::Active;
use host_plugins::catalog::Snapshot;
use host_registry::Processor;

use crate::probation::Offer;
use crate::rollouts::waits;
use crate::spec::{Spec, is_one_first};
use crate::supervisor::Processors;

/// The version that a processor stays with, if it does. One that takes others when they have shown what they do does
/// not stay with one that is not to run any more.
fn stays_with<'a>(
    snapshot: &Snapshot,
    kind: &str,
    pinned: Option<&'a String>,
    shadow_first: bool,
) -> Option<&'a String> {
    pinned.filter(|digest| !shadow_first || !is_withheld(snapshot, kind, digest))
}

/// Whether a version of a type was rejected, or gone back from.
pub(crate) fn is_withheld(snapshot: &Snapshot, kind: &str, digest: &str) -> bool {
    snapshot.states.get(kind).is_some_and(|state| state.withheld(digest).is_some())
}

impl Processors {
    /// The version that a processor shall run: the one that it stays with, or the newest.
    pub(crate) async fn plugin_for(&self, spec: &Spec) -> Option<Offer> {
        let snapshot = self.0.catalog.snapshot();
        let active = snapshot.types.get(&spec.kind);
        let pinned = stays_with(&snapshot, &spec.kind, spec.pinned.as_ref(), spec.shadow_first);
        let Some(digest) = pinned else {
            let Active { plugin, before, .. } = active?.clone();
            let rollout = snapshot.states.get(&spec.kind).and_then(|state| state.rollout.as_ref());
            return Some(match before {
                Some(before) if waits(spec.one_first, &spec.name, rollout) => {
                    Offer::new(before, None)
                }
                before => Offer::new(plugin, before),
            });
        };
        // It has taken the newest by now, and is on probation with all others.
        let newest =
            active.filter(|active| spec.shadow_first && **active.plugin.digest() == *digest);
        if let Some(Active { plugin, before, .. }) = newest.cloned() {
            return Some(Offer::new(plugin, before));
        }
        match self.0.catalog.version(digest).await {
            Ok(plugin) => Some(Offer::new(plugin, None)),
            Err(error) => {
                // The shards say that they have none; they are asked again and again.
                tracing::debug!(processor = %spec.name, digest, cause = %error, "pinned version cannot be loaded");
                None
            }
        }
    }

    /// Digest of the version that a processor runs, or would.
    #[must_use]
    pub fn version_of(&self, processor: &Processor) -> Option<String> {
        let snapshot = self.0.catalog.snapshot();
        let active = snapshot.types.get(&processor.kind)?;
        let state = snapshot.states.get(&processor.kind);
        let rollout = state.and_then(|state| state.rollout.as_ref());
        let waits = waits(is_one_first(processor), processor.name.as_str(), rollout);
        let before = active.before.as_ref().filter(|_| waits);
        let plugin = before.unwrap_or(&active.plugin);
        let (pinned, shadow_first) = (processor.pinned.as_ref(), processor.is_shadow_first());
        let pinned = stays_with(&snapshot, &processor.kind, pinned, shadow_first);
        Some(pinned.cloned().unwrap_or_else(|| plugin.digest().to_string()))
    }
}
