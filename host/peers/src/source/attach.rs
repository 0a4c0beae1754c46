//! What somebody may follow, from where, and whether he still may.
//!
//! A subscription is its principal's alone; any other flow is for who may read it. Whoever may not is told what he would
//! be told if there were nothing. The events of a subscription with a filter or a policy come
//! through a view, and never as they are.

use std::sync::Arc;

use fnap::name::Name;
use fnap::reply::{Code, Failure};
use fnap::rights::Right;
use fnap::stream::{Begin, Partition, Wanted};
use host_brokers::{Broker, PartitionInfo, TopicRef};
use host_events::Incarnation;
use host_iam::Principal;
use host_processors::topic_of;
use host_registry::{Attachment, Flow, FlowStatus, Hold, Lens, Subscriber};

use super::House;
use super::logs::Log;
use super::words::{absent, broker_failure, end_of, registry_failure};

/// What a stream carries.
#[derive(Clone, Debug)]
pub(super) struct Carried {
    /// As it was asked for.
    pub(super) name: Name,
    /// Whether that is a subscription.
    pub(super) subscription: bool,
    pub(super) flow: Name,
    pub(super) incarnation: Incarnation,
    /// What is done to its events on the way.
    pub(super) view: Vec<Lens>,
}

/// A stream that may begin.
pub(super) struct Begun {
    pub(super) carried: Carried,
    /// Somebody is attached to the subscription while this is held.
    pub(super) attachment: Option<Attachment>,
    pub(super) partitions: Vec<Partition>,
    /// Those of which something is to be sent.
    pub(super) places: Vec<Sending>,
    pub(super) extent: Extent,
}

/// A partition of which something is to be sent, from there on.
pub(super) type Sending = (u32, Arc<Log>, u64);

/// How much of a flow is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// How many partitions the follower has been told of.
    pub(super) known: u32,
    /// Whether he wants what comes to them.
    pub(super) all: bool,
}

/// What a stream is now.
pub(super) struct Held {
    pub(super) held: bool,
    /// How many partitions the flow should have.
    pub(super) partitions: u32,
}

/// Finds what is wanted, and where each partition begins.
pub(super) async fn attach(
    house: House<'_>,
    who: &Principal,
    wanted: Wanted,
) -> Result<Begun, Failure> {
    let (carried, attachment) = find(house, who, &wanted.flow).await?;
    let flow = usable(house, &carried).await?;
    if !wanted.incarnation.is_empty() && wanted.incarnation != carried.incarnation.to_string() {
        let words = format!("flow {} is another one now: {}", carried.name, carried.incarnation);
        return Err(Failure::new(Code::Conflict, words));
    }
    let broker = house.brokers.get(&flow.broker).ok_or_else(|| {
        Failure::new(Code::Unavailable, format!("broker {} is not configured", flow.broker))
    })?;
    let topic = topic_of(&flow);
    let info = broker.describe(&topic).await.map_err(|error| broker_failure(&error))?;
    let partitions = begin(&**broker, &topic, &wanted, &info.partitions).await?;
    let follows = wanted.begin != Begin::None || !wanted.positions.is_empty();
    let send = |partition| sending(house, &carried, &flow, (broker, &topic), partition);
    let places = if follows { partitions.iter().map(send).collect() } else { Vec::new() };
    let known = u32::try_from(info.partitions.len()).unwrap_or(u32::MAX);
    let extent = Extent { known, all: wanted.begin != Begin::None };
    Ok(Begun { carried, attachment, partitions, places, extent })
}

/// What is sent of a partition.
pub(super) fn sending(
    house: House<'_>,
    carried: &Carried,
    flow: &Flow,
    (broker, topic): (&Arc<dyn Broker>, &TopicRef),
    &Partition { partition, latest, next, .. }: &Partition,
) -> Sending {
    let log = house.logs.open((flow.broker.as_str(), broker), topic, partition, latest);
    if carried.view.is_empty() {
        return (partition, log, next);
    }
    let (view, flow) = (&carried.view, &carried.flow);
    (partition, house.logs.view(house.processors, flow, &log, view), next)
}

async fn find(
    house: House<'_>,
    who: &Principal,
    name: &Name,
) -> Result<(Carried, Option<Attachment>), Failure> {
    if house.registry.subscriber(name).is_some() {
        let attached = house.registry.attach(who.subject(), name).await;
        let (row, attachment) = attached.map_err(|error| registry_failure(&error, name))?;
        let view = view_of(house, &row).await?;
        let Subscriber { flow, incarnation, .. } = row;
        let carried = Carried { name: name.clone(), subscription: true, flow, incarnation, view };
        return Ok((carried, Some(attachment)));
    }
    may_read(house, who, name)?;
    // It would be asked for here again and again.
    if house.registry.subscription(name).is_some_and(|row| row.here && row.local != *name) {
        return Err(absent(name));
    }
    let flow = house.registry.flow(name).await.map_err(|error| registry_failure(&error, name))?;
    let incarnation = flow.ok_or_else(|| absent(name))?.incarnation;
    let flow = name.clone();
    let (subscription, view) = (false, Vec::new());
    Ok((Carried { name: name.clone(), subscription, flow, incarnation, view }, None))
}

/// Whether a stream may go on, and as what.
///
/// # Errors
/// What it ends with.
pub(super) async fn held(
    house: House<'_>,
    who: &Principal,
    carried: &Carried,
) -> Result<Held, Failure> {
    let mut held = false;
    if carried.subscription {
        let row = house.registry.subscriber(&carried.name).ok_or_else(|| absent(&carried.name))?;
        if let Some(failure) = end_of(&row) {
            return Err(failure);
        }
        if view_of(house, &row).await? != carried.view {
            let words = "what is done to its events has changed: attach again";
            return Err(Failure::new(Code::Unavailable, words));
        }
        held = row.hold != Hold::Active;
    }
    // A flow that goes takes the rights on it along: what is said is that it is gone.
    let flow = usable(house, carried).await?;
    if !carried.subscription {
        may_read(house, who, &carried.flow)?;
    }
    Ok(Held { held: held || flow.status == FlowStatus::Paused, partitions: flow.partitions })
}

/// What is done to the events of a subscription, now.
async fn view_of(house: House<'_>, row: &Subscriber) -> Result<Vec<Lens>, Failure> {
    let flow = house.registry.flow(&row.flow).await;
    let flow = flow.map_err(|error| registry_failure(&error, &row.name))?;
    flow.map(|flow| row.view(&flow)).ok_or_else(|| absent(&row.name))
}

fn may_read(house: House<'_>, who: &Principal, flow: &Name) -> Result<(), Failure> {
    let rights = house.grants.rights(who, flow);
    if rights.allow(Right::Read) {
        Ok(())
    } else if rights.is_empty() {
        Err(absent(flow))
    } else {
        Err(Failure::new(Code::Forbidden, format!("{} on {flow} is not granted", Right::Read)))
    }
}

/// The flow, in the life that is carried.
pub(super) async fn usable(house: House<'_>, carried: &Carried) -> Result<Flow, Failure> {
    let name = &carried.name;
    let flow = house.registry.flow(&carried.flow).await;
    let flow = flow.map_err(|error| registry_failure(&error, name))?;
    flow.filter(Flow::is_usable)
        .filter(|flow| flow.incarnation == carried.incarnation)
        .ok_or_else(|| absent(name))
}

/// The partitions that are wanted, and where each begins.
async fn begin(
    broker: &dyn Broker,
    topic: &TopicRef,
    wanted: &Wanted,
    logs: &[PartitionInfo],
) -> Result<Vec<Partition>, Failure> {
    let Wanted { flow, positions, begin, .. } = wanted;
    if let Some(none) = positions.keys().find(|partition| **partition as usize >= logs.len()) {
        let words = format!("partition {none} of flow {flow} does not exist");
        return Err(Failure::new(Code::OutOfRange, words));
    }
    let mut partitions = Vec::new();
    for (partition, log) in (0..).zip(logs) {
        let PartitionInfo { earliest, latest } = *log;
        let next = match (positions.get(&partition), *begin) {
            (Some(next), _) if !(earliest..=latest).contains(next) => {
                return Err(gone(partition, *next, *log));
            }
            (Some(next), _) => *next,
            (None, Begin::None) if !positions.is_empty() => continue,
            (None, Begin::None | Begin::Earliest) => earliest,
            (None, Begin::Latest) => latest,
            (None, Begin::Time(time)) => {
                let found = broker.offset_at(topic, partition, time).await;
                found.map_err(|error| broker_failure(&error))?.clamp(earliest, latest)
            }
        };
        partitions.push(Partition { partition, earliest, latest, next });
    }
    Ok(partitions)
}

fn gone(partition: u32, offset: u64, PartitionInfo { earliest, latest }: PartitionInfo) -> Failure {
    let words =
        format!("offset {offset} of partition {partition} earliest={earliest} latest={latest}");
    Failure::new(Code::OutOfRange, words)
}
