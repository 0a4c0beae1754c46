//! Rules about what lasts: an instance may go at any batch boundary, and nobody may notice.

use host_plugins::{CallError, Instance, Plugin};

use super::events::Trial;
use super::report::{Report, Rule};
use super::shard::{Decision, SIZE, Shard, Then, difference};
use crate::plugin::desk::Order;

/// The same batches through one instance, through a fresh one each, and through one that is paused and resumed.
pub(super) async fn instances(plugin: &Plugin, order: &Order, trial: &Trial, report: &mut Report) {
    let batches = trial.batches(SIZE);
    let (mut recycled, mut again, mut paused) = (None, None, None);
    let [one, other, third] = [Shard::new(order), Shard::new(order), Shard::new(order)];
    let (Ok(mut old), Ok(mut held)) = (one.start(plugin).await, third.start(plugin).await) else {
        return report.rest_is_not_applicable("init refuses the configuration");
    };
    for (number, (input, batch)) in (1..).zip(batches) {
        let usual = one.decide(&mut old, input, &batch, Then::Committed).await;
        let told = |what: &str, found: &Decision| {
            (*found != usual)
                .then(|| format!("batch {number}: {what}: {}", difference(&usual, found)))
        };
        // An aborted commit: decided, thrown away with the instance, and decided again.
        for _ in 0..2 {
            if let Ok(mut fresh) = other.start(plugin).await {
                let found = other.decide(&mut fresh, input, &batch, Then::Thrown).await;
                again = again.or_else(|| told("again, in a fresh instance", &found));
            }
        }
        if let Ok(mut fresh) = other.start(plugin).await {
            let found = other.decide(&mut fresh, input, &batch, Then::Committed).await;
            recycled = recycled.or_else(|| told("in a fresh instance", &found));
        }
        paused = paused.or(pause(&mut held).await);
        let found = third.decide(&mut held, input, &batch, Then::Committed).await;
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
            drop(shard.decide(&mut instance, input, &batch, Then::Committed).await);
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
