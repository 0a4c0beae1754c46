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
/// not stay with one that is not to run any more: it goes back to where it came from, if it can. An operator's word
/// is for all; `withheld` says whether a version is by that.
fn stays_with<'a>(
    pinned: Option<&'a String>,
    before: Option<&'a String>,
    shadow_first: bool,
    withheld: impl Fn(&str) -> Option<bool>,
) -> Option<&'a String> {
    if !shadow_first {
        return pinned;
    }
    match withheld(pinned?) {
        None => pinned,
        Some(by_operator) => before.filter(|digest| !by_operator && withheld(digest).is_none()),
    }
}

/// Whether a version of a type was rejected, or gone back from, and then whether by an operator.
fn withheld(snapshot: &Snapshot, kind: &str, digest: &str) -> Option<bool> {
    Some(snapshot.states.get(kind)?.withheld(digest)?.by_operator)
}

/// The version that a processor stays with, if it does.
pub(crate) fn stays_at<'a>(snapshot: &Snapshot, row: &'a Processor) -> Option<&'a String> {
    let withheld = |digest: &str| withheld(snapshot, &row.kind, digest);
    stays_with(row.pinned.as_ref(), row.before.as_ref(), row.is_shadow_first(), withheld)
}

impl Processors {
    /// The version that a processor shall run: the one that it stays with, or the newest.
    pub(crate) async fn plugin_for(&self, spec: &Spec) -> Option<Offer> {
        let snapshot = self.0.catalog.snapshot();
        let active = snapshot.types.get(&spec.kind);
        let withheld = |digest: &str| withheld(&snapshot, &spec.kind, digest);
        let (pinned, before) = (spec.pinned.as_ref(), spec.before.as_ref());
        let pinned = stays_with(pinned, before, spec.shadow_first, withheld);
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
        let pinned = stays_at(&snapshot, processor);
        Some(pinned.cloned().unwrap_or_else(|| plugin.digest().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compares_first_goes_back_to_where_it_came_from() {
        let (third, first) = ("3".to_owned(), "1".to_owned());
        let by = |by_operator, withheld: &[&str], shadow_first| {
            let withheld = |digest: &str| withheld.contains(&digest).then_some(by_operator);
            stays_with(Some(&third), Some(&first), shadow_first, withheld).map(String::as_str)
        };
        assert_eq!(by(false, &[], true), Some("3"));
        assert_eq!(by(false, &["3"], true), Some("1"));
        assert_eq!(by(false, &["3", "1"], true), None);
        assert_eq!(by(true, &["3"], true), None, "what an operator goes back to is for all");
        assert_eq!(by(false, &["3"], false), Some("3"));
    }
}
