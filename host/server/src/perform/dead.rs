//! Dead letters: which there are, and what shall become of them.
//!
//! The letters themselves are read like any flow's events; REPLAY and DISCARD say which are dealt with.

use std::time::Duration;

use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use host_brokers::PartitionInfo;
use host_events::Incarnation;
use host_registry::{Flow, Letters, Processor};
use serde_json::{Value, json};

use super::{Answer, broker_failure, carried_out, registry_failure};
use crate::services::Services;

/// The dead-letter flow as it is now.
struct Dead {
    flow: Flow,
    partitions: Vec<PartitionInfo>,
}

/// `REPLAY p [OFFSET …]`: the letters go through the processor again, at once or when it is resumed.
pub(super) async fn replay(services: &Services, name: Name, named: Vec<(u32, u64)>) -> Answer {
    let (dead, letters) = meant(services, &name, named).await?;
    let life = dead.flow.incarnation;
    carried_out(services, services.registry.replay(&name, life, letters, dead.gone()).await)
        .await?;
    Ok(Reply::ok_with(name))
}

/// `DISCARD p [OFFSET …]`: the letters count as dealt with.
pub(super) async fn discard(services: &Services, name: Name, named: Vec<(u32, u64)>) -> Answer {
    let (dead, letters) = meant(services, &name, named).await?;
    let life = dead.flow.incarnation;
    carried_out(services, services.registry.discard(&name, life, letters, dead.gone()).await)
        .await?;
    Ok(Reply::ok_with(name))
}

async fn meant(
    services: &Services,
    name: &Name,
    named: Vec<(u32, u64)>,
) -> Result<(Dead, Letters), Failure> {
    let processor = super::processors::find(services, name).await?;
    let none = || Failure::new(Code::NotFound, format!("processor {name} has no dead letters"));
    let dead = find(services, &processor).await?.ok_or_else(none)?;
    let letters = if named.is_empty() { dead.all() } else { dead.named(&named)? };
    Ok((dead, letters))
}

/// What lies in somebody else's flow of that name is none of its letters.
async fn find(services: &Services, processor: &Processor) -> Result<Option<Dead>, Failure> {
    let name = services.registry.dead_flow_of(&processor.name).map_err(registry_failure)?;
    let flow = services.registry.flow(&name).await.map_err(registry_failure)?;
    let unfit = flow.as_ref().and_then(|f| services.processors.unfit_for_letters(processor, f));
    if let Some(words) = unfit {
        return Err(Failure::new(Code::Conflict, words));
    }
    let Some(flow) = flow.filter(Flow::is_usable) else { return Ok(None) };
    let (broker, topic) = services.topic_of(&flow)?;
    let late = |_| Failure::new(Code::Unavailable, "the broker does not answer");
    let described = tokio::time::timeout(PATIENCE, broker.describe(&topic)).await.map_err(late)?;
    let info = described.map_err(|error| broker_failure(&error))?;
    Ok(Some(Dead { flow, partitions: info.partitions }))
}

impl Dead {
    fn all(&self) -> Letters {
        let mut letters = Letters::default();
        for (log, partition) in self.partitions.iter().zip(0..) {
            letters.add(partition, log.earliest, log.latest);
        }
        letters
    }

    /// Those that are not dealt with.
    fn open(&self, processor: &Processor) -> Letters {
        self.all().without(&processor.dead.handled_of(self.flow.incarnation))
    }

    /// Offsets that the log does not hold any more.
    fn gone(&self) -> Letters {
        let mut letters = Letters::default();
        for (log, partition) in self.partitions.iter().zip(0..) {
            letters.add(partition, 0, log.earliest);
        }
        letters
    }

    fn named(&self, named: &[(u32, u64)]) -> Result<Letters, Failure> {
        let mut letters = Letters::default();
        for &(partition, offset) in named {
            let log = self.partitions.get(partition as usize);
            let (earliest, latest) = log.map_or((0, 0), |log| (log.earliest, log.latest));
            if !(earliest..latest).contains(&offset) {
                let words = format!(
                    "dead letter {partition}:{offset} of flow {} earliest={earliest} latest={latest}",
                    self.flow.name
                );
                return Err(Failure::new(Code::OutOfRange, words));
            }
            letters.add(partition, offset, offset + 1);
        }
        Ok(letters)
    }
}

/// Dead letters that a processor of this name has left behind, whoever it was.
///
/// # Errors
/// `409` where they lie in a flow that this one's letters must not go to.
pub(super) async fn former(
    services: &Services,
    processor: &Processor,
) -> Result<Option<(Incarnation, Letters)>, Failure> {
    // A name for which there is no such flow is refused elsewhere, with better words.
    if services.registry.dead_flow_of(&processor.name).is_err() {
        return Ok(None);
    }
    let writes_none = || services.registry.dead_letters_of(processor).is_none();
    let dead = match find(services, processor).await {
        Err(failure) if failure.code == Code::Conflict && writes_none() => None,
        found => found?,
    };
    Ok(dead.map(|dead| {
        let mut letters = dead.gone();
        letters.extend(&dead.all());
        (dead.flow.incarnation, letters)
    }))
}

/// Where the dead letters of a processor lie, how many are open, and which are dealt with; `problem`
/// where that cannot be told now.
pub(super) async fn describe(services: &Services, processor: &Processor) -> Value {
    let flow = services.registry.dead_flow_of(&processor.name).ok().map(|flow| flow.to_string());
    let mut value = match find(services, processor).await {
        Err(failure) => json!({ "flow": flow, "open": null, "problem": failure.to_string() }),
        Ok(None) => json!({ "flow": flow, "open": 0, "handled": {} }),
        Ok(Some(dead)) => {
            let open = dead.open(processor);
            json!({ "flow": flow, "open": open.count(), "handled": dead.all().without(&open) })
        }
    };
    if let (Some(replay), Some(value)) = (&processor.dead.replay, value.as_object_mut()) {
        value.insert("replaying".to_owned(), replay.letters.count().into());
    }
    value
}

/// How many dead letters of a processor are open; none where that cannot be told now.
pub(super) async fn open(services: &Services, processor: &Processor) -> Option<u64> {
    let dead = find(services, processor).await.ok()?;
    Some(dead.map_or(0, |dead| dead.open(processor).count()))
}

/// Longest look at a broker: who looks wants to see what is wrong, not wait for it.
const PATIENCE: Duration = Duration::from_secs(2);
