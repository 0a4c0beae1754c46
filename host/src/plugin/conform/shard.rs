//! A shard for rules that compare what instances decide: its state, and what one call changes there.

use std::sync::Arc;

use bytes::Bytes;
use host_events::Batch;
use host_plugins::{Action, CallError, Instance, Plugin, Setup, SharedState, reason};

use crate::plugin::desk::Order;

/// What was decided, and what it changed in the state.
pub(super) type Decision = (Result<Vec<Action>, String>, Changes);

/// What a call changed in the state, in the order of the keys.
pub(super) type Changes = Vec<(Bytes, Option<Bytes>)>;

/// Batches are small, so that many boundaries are met.
pub(super) const SIZE: usize = 37;

/// What becomes of a decision.
#[derive(Clone, Copy)]
pub(super) enum Then {
    /// The shard goes on from it; from one that failed nobody does.
    Committed,
    /// Nothing comes of it.
    Thrown,
}

/// A shard with a state of its own.
pub(super) struct Shard {
    pub(super) setup: Setup,
    pub(super) state: SharedState,
    flows: Vec<Arc<str>>,
}

impl Shard {
    pub(super) fn new(order: &Order) -> Self {
        let setup = order.setup("conform", 0);
        let state = setup.state.clone();
        let flows = order.inputs.iter().map(|flow| flow.as_str().into()).collect();
        Self { setup, state, flows }
    }

    pub(super) async fn start(&self, plugin: &Plugin) -> Result<Instance, CallError> {
        plugin.instantiate(self.setup.clone()).await
    }

    /// Takes a batch.
    pub(super) async fn decide(
        &self,
        instance: &mut Instance,
        input: u32,
        batch: &Batch,
        then: Then,
    ) -> Decision {
        let flow = self.flows.get(input as usize).cloned().unwrap_or_default();
        self.state.lock().begin();
        let decided = instance.process(input, &flow, batch.clone()).await;
        self.answered(decided, then)
    }

    /// Lets it act at a moment, as if it were committed.
    pub(super) async fn tick(&self, instance: &mut Instance, now: i64) -> Decision {
        self.state.lock().begin();
        let decided = instance.tick(now).await;
        self.answered(decided, Then::Committed)
    }

    fn answered(&self, decided: Result<Vec<Action>, CallError>, then: Then) -> Decision {
        let mut state = self.state.lock();
        let changes = state.take_changes();
        match (&decided, then) {
            (Ok(_), Then::Committed) => state.committed(),
            _ => state.abandon(),
        }
        (decided.map_err(|error| why(&error)), changes)
    }
}

/// Without the frames of a trap, which are addresses.
pub(super) fn why(error: &CallError) -> String {
    reason::of(&error.to_string())
}

/// The first thing that differs.
pub(super) fn difference(usual: &Decision, found: &Decision) -> String {
    match (&usual.0, &found.0) {
        (Ok(usual), Ok(found)) if usual != found => {
            let at = usual.iter().zip(found).position(|(one, other)| one != other);
            let at = at.unwrap_or_else(|| usual.len().min(found.len()));
            let shown = |actions: &[Action]| {
                actions.get(at).map_or("nothing".to_owned(), |action| cut(&format!("{action:?}")))
            };
            format!("action {at} was {} and is {}", shown(usual), shown(found))
        }
        (Ok(_), Ok(_)) => {
            format!("the state changed in {} entries, and in {}", usual.1.len(), found.1.len())
        }
        (Ok(_), Err(error)) => format!("decided before, and now {error}"),
        (Err(error), Ok(_)) => format!("{error} before, and now decided"),
        (Err(one), Err(other)) => format!("{one}, and now {other}"),
    }
}

/// The beginning of an action or a configuration.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(MOST_TOLD).collect()
}

/// Characters of them that are told.
const MOST_TOLD: usize = 300;
