//! Rules about what lasts: an instance may go at any batch boundary, and nobody may notice.

use host_events::Batch;
use host_plugins::{Action, CallError, Instance, Plugin, Setup, SharedState};
use std::sync::Arc;

use super::events::Trial;
use super::report::{Report, Rule};
use crate::plugin::desk::Order;

/// What was decided about a batch, and what it changed in the state.
type Decision = (Result<Vec<Action>, String>, Vec<(bytes::Bytes, Option<bytes::Bytes>)>);

/// Batches are small, so that many boundaries are met.
const SIZE: usize = 37;

/// The same batches through one instance, through a fresh one each, and through one that is paused and resumed.
pub(super) async fn instances(plugin: &Plugin, order: &Order, trial: &Trial, report: &mut Report) {
    let batches = trial.batches(SIZE);
    let (mut recycled, mut again, mut paused) = (None, None, None);
    let [one, other, third] = [Shard::new(order), Shard::new(order), Shard::new(order)];
    let (Ok(mut old), Ok(mut held)) = (one.start(plugin).await, third.start(plugin).await) else {
        return report.rest_is_not_applicable("init refuses the configuration");
    };
    for (number, (input, batch)) in (1..).zip(batches) {
        let usual = one.decide(&mut old, input, &batch).await;
        let told = |what: &str, found: &Decision| {
            (*found != usual)
                .then(|| format!("batch {number}: {what}: {}", difference(&usual, found)))
        };
        // An aborted commit: decided, thrown away with the instance, and decided again.
        for _ in 0..2 {
            if let Ok(mut fresh) = other.start(plugin).await {
                let found = other.look(&mut fresh, input, &batch).await;
                again = again.or_else(|| told("again, in a fresh instance", &found));
            }
        }
        if let Ok(mut fresh) = other.start(plugin).await {
            let found = other.decide(&mut fresh, input, &batch).await;
            recycled = recycled.or_else(|| told("in a fresh instance", &found));
        }
        paused = paused.or(pause(&mut held).await);
        let found = third.decide(&mut held, input, &batch).await;
        paused = paused.or_else(|| told("after pause and resume", &found));
        if usual.0.is_err() {
            // What failed is told by another rule; instances differ from here on.
            break;
        }
    }
    report.held(Rule::SameAgain, again.or_else(|| recycled.clone()));
    report.held(Rule::Recycling, recycled);
    report.held(Rule::PauseAndResume, paused);
}

async fn pause(instance: &mut Instance) -> Option<String> {
    let done = match instance.pause().await {
        Ok(()) => instance.resume().await.map_err(|error| format!("resume: {error}")),
        Err(error) => Err(format!("pause: {error}")),
    };
    done.err()
}

/// `destroy` of an instance that has worked, and of one that has not; and whether anything was written at a wrong time.
pub(super) async fn ends(plugin: &Plugin, order: &Order, trial: &Trial, report: &mut Report) {
    let shard = Shard::new(order);
    let mut broken = None;
    for works in [true, false] {
        let Ok(mut instance) = shard.start(plugin).await else { continue };
        if let (true, Some((input, batch))) = (works, trial.batches(SIZE).into_iter().next()) {
            drop(shard.decide(&mut instance, input, &batch).await);
        }
        let when = if works { "after events" } else { "before any event" };
        // A plugin that refuses to pause is told by another rule.
        let paused = instance.pause().await.is_ok() && instance.resume().await.is_ok();
        if let Err(error) = instance.destroy().await
            && (paused || error != CallError::Dead)
        {
            broken = broken.or(Some(format!("{when}: {error}")));
        }
    }
    report.held(Rule::Destroy, broken);
    let untimely = shard.state.lock().untimely_writes();
    let words = format!("{untimely} writes in init, pause, resume or destroy: hosts refuse them");
    report.held(Rule::StateOutside, (untimely > 0).then_some(words));
}

/// A shard with a state of its own.
struct Shard {
    setup: Setup,
    state: SharedState,
    flows: Vec<Arc<str>>,
}

impl Shard {
    fn new(order: &Order) -> Self {
        let setup = order.setup("conform", 0);
        let state = setup.state.clone();
        let flows = order.inputs.iter().map(|flow| flow.as_str().into()).collect();
        Self { setup, state, flows }
    }

    async fn start(&self, plugin: &Plugin) -> Result<Instance, CallError> {
        plugin.instantiate(self.setup.clone()).await
    }

    /// Takes a batch, as if it were committed.
    async fn decide(&self, instance: &mut Instance, input: u32, batch: &Batch) -> Decision {
        let decision = self.ask(instance, input, batch).await;
        match decision.0 {
            Ok(_) => self.state.lock().committed(),
            Err(_) => self.state.lock().abandon(),
        }
        decision
    }

    /// Takes a batch, and nothing comes of it.
    async fn look(&self, instance: &mut Instance, input: u32, batch: &Batch) -> Decision {
        let decision = self.ask(instance, input, batch).await;
        self.state.lock().abandon();
        decision
    }

    async fn ask(&self, instance: &mut Instance, input: u32, batch: &Batch) -> Decision {
        let flow = self.flows.get(input as usize).cloned().unwrap_or_default();
        self.state.lock().begin();
        let decided = instance.process(input, &flow, batch.clone()).await;
        let changes = self.state.lock().take_changes();
        (decided.map_err(|error| first_line(&error)), changes)
    }
}

/// The rest of a trap are addresses.
fn first_line(error: &CallError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The first thing that differs.
fn difference(usual: &Decision, found: &Decision) -> String {
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

fn cut(text: &str) -> String {
    text.chars().take(MOST_TOLD).collect()
}

/// Characters of an action that are told.
const MOST_TOLD: usize = 300;
