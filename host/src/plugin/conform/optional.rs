//! Rules about the interfaces that a plugin need not export: `reconfigure` and `migrate`. `timer` has a place of its own.

use host_plugins::{CallError, Instance, Optional, Plugin, Setup};

use super::about::not_a_refusal;
use super::events::Trial;
use super::report::{Report, Rule};
use super::shard::{Changes, SIZE, Shard, Then, cut, difference, why};
use crate::plugin::desk::Order;
use crate::plugin::schema;

/// The same configuration again before each batch, and configurations that `init` refuses: nothing of it may be seen.
pub(super) async fn reconfigure(
    plugin: &Plugin,
    order: &Order,
    trial: &Trial,
    report: &mut Report,
) {
    const RULES: [Rule; 2] = [Rule::Reconfigure, Rule::ReconfigureRefuses];
    if !plugin.exports(Optional::Reconfigure) {
        return report.none_applicable(&RULES, "the plugin exports no reconfigure");
    }
    let right = async |instance: &mut Instance| asked(instance, &order.config).await;
    let broken = unnoticed(plugin, order, trial, right).await;
    report.held(Rule::Reconfigure, broken);
    let mut wrong = Vec::new();
    for (member, config) in
        schema::wrong_configurations(&plugin.info().config_schema, &order.config)
    {
        let tried = Order { config: config.clone(), ..order.clone() };
        // What init takes although the schema forbids it is told by another rule.
        let refused = plugin.instantiate(tried.setup("conform", 0)).await;
        if matches!(refused, Err(CallError::Fatal(_))) {
            wrong.push((member, config));
        }
    }
    if wrong.is_empty() {
        let reason = "init refuses nothing that could be tried";
        return report.none_applicable(&[Rule::ReconfigureRefuses], reason);
    }
    let refused = async |instance: &mut Instance| refusing(instance, &wrong).await;
    let broken = unnoticed(plugin, order, trial, refused).await;
    report.held(Rule::ReconfigureRefuses, broken);
}

/// Why an instance to which something is done before each batch, and whose state nobody else writes, decides otherwise than
/// one that is left alone.
async fn unnoticed(
    plugin: &Plugin,
    order: &Order,
    trial: &Trial,
    done: impl AsyncFn(&mut Instance) -> Option<String>,
) -> Option<String> {
    let [one, other] = [Shard::new(order), Shard::new(order)];
    let mut alone = one.start(plugin).await.ok()?;
    let mut asked = other.start(plugin).await.ok()?;
    for (number, (input, batch)) in (1..).zip(trial.batches(SIZE)).take(BATCHES) {
        if let Some(reason) = done(&mut asked).await {
            return Some(reason);
        }
        let usual = one.decide(&mut alone, input, &batch, Then::Committed).await;
        let found = other.decide(&mut asked, input, &batch, Then::Committed).await;
        if found != usual {
            return Some(format!("batch {number} afterwards: {}", difference(&usual, &found)));
        }
        if usual.0.is_err() {
            break;
        }
    }
    let untimely = other.state.lock().untimely_writes();
    (untimely > 0).then(|| format!("{untimely} writes of state in reconfigure: hosts refuse them"))
}

async fn asked(instance: &mut Instance, config: &str) -> Option<String> {
    let taken = instance.reconfigure(config).await;
    taken.err().map(|error| format!("with {}: {}", cut(config), why(&error)))
}

async fn refusing(instance: &mut Instance, wrong: &[(String, String)]) -> Option<String> {
    for (member, config) in wrong {
        let reason = match instance.reconfigure(config).await {
            Ok(()) => Some("it is taken, and init refuses it".to_owned()),
            Err(CallError::Fatal(words)) => not_a_refusal(member, &words),
            Err(other) => Some(why(&other)),
        };
        if let Some(reason) = reason {
            return Some(format!("{}: {reason}", cut(config)));
        }
    }
    None
}

/// What `migrate` makes of the state that this very version left, and of versions that it cannot know.
pub(super) async fn migrate(plugin: &Plugin, order: &Order, trial: &Trial, report: &mut Report) {
    if !plugin.exports(Optional::Migrate) {
        return report.none_applicable(&[Rule::Migrate], "the plugin exports no migrate");
    }
    let shard = Shard::new(order);
    if let Ok(mut instance) = shard.start(plugin).await {
        for (input, batch) in trial.batches(SIZE).into_iter().take(BATCHES) {
            drop(shard.decide(&mut instance, input, &batch, Then::Committed).await);
        }
    }
    let own = plugin.info().version.as_str();
    let mut broken = None;
    for from in [own, "", UNKNOWN] {
        let found = [taken(plugin, &shard, from).await, taken(plugin, &shard, from).await];
        broken = broken.or_else(|| {
            let reason = wrong_with(&shard, &found, from == own)?;
            Some(format!("from version `{from}`: {reason}"))
        });
    }
    report.held(Rule::Migrate, broken);
}

/// What taking over changes in the state, or why it is refused. Nothing comes of it.
async fn taken(plugin: &Plugin, shard: &Shard, from: &str) -> Result<Changes, CallError> {
    shard.state.lock().begin();
    let setup = Setup { takes_over: Some(from.to_owned()), ..shard.setup.clone() };
    let made = plugin.instantiate(setup).await.map(drop);
    let mut state = shard.state.lock();
    let changes = state.take_changes();
    state.abandon();
    made.map(|()| changes)
}

fn wrong_with(
    shard: &Shard,
    found: &[Result<Changes, CallError>; 2],
    is_own: bool,
) -> Option<String> {
    let [one, other] = found;
    match (one, other) {
        (Err(CallError::Fatal(one)), Err(CallError::Fatal(other))) if one == other => None,
        (Err(error), _) | (_, Err(error)) if !matches!(error, CallError::Fatal(_)) => {
            Some(why(error))
        }
        (Ok(one), Ok(other)) if one == other => {
            let state = shard.state.lock();
            let changed = one.iter().filter(|(key, value)| state.get(key) != *value).count();
            let words = format!("{changed} entries of its own state are changed");
            (is_own && changed > 0).then_some(words)
        }
        _ => Some("the same state is taken over in two ways".to_owned()),
    }
}

/// Batches that are enough to see a difference.
const BATCHES: usize = 8;

/// A version that nobody has made.
const UNKNOWN: &str = "4294967295.0.0";
