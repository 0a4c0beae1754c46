//! Flows: made, changed, emptied, looked at, taken away.

use std::time::Duration;

use fnap::command::Format;
use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use fnap::rights::Right;
use fnap::subject::Subject;
use fnap::value::Settings;
use host_brokers::{BrokerError, Consumer, TopicInfo};
use host_events::clock::now;
use host_iam::Principal;
use host_processors::topic_of;
use host_registry::{ACCESS, Config, Flow, FlowChange, FlowStatus, Lens, Maker, NewFlow, POLICY};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::describe::{Description, list as list_of, time};
use super::taking::{self, Wanted};
use super::{Answer, carried_out, find_flow, lent, registry_failure, subscriptions};
use crate::services::Services;

pub(super) async fn create(
    services: &Services,
    who: &Principal,
    name: Name,
    settings: &Settings,
) -> Answer {
    let wanted = Wanted::of(settings)?;
    let broker = &wanted.broker;
    if let Some(broker) = broker.as_ref().filter(|broker| !services.brokers.contains_key(*broker)) {
        return Err(Failure::new(Code::NotFound, format!("broker {broker}")));
    }
    check_policy(services, &name, &wanted).await?;
    let mut new = NewFlow {
        broker: wanted.broker.clone(),
        partitions: wanted.partitions.unwrap_or(1),
        replication: wanted.replication,
        config: wanted.config.clone(),
        maker: Maker { owner: Some(who.subject().clone()), most: services.quotas.of(who).flows },
        ..NewFlow::named(name.clone())
    };
    if let Some(topic) = &wanted.topic {
        wanted.check_taken()?;
        let namespace = services.registry.namespace_of(&name).await.map_err(registry_failure)?;
        let broker = wanted.broker.or(namespace.map(|namespace| namespace.broker));
        // Without a namespace the registry says what is wrong.
        if let Some(broker) = broker {
            let taken = taking::find(services, &broker, topic).await?;
            (new.topic_id, new.partitions) = (taken.id, taken.partitions);
        }
        (new.topic, new.owned) = (Some(topic.clone()), false);
    }
    carried_out(services, services.registry.create_flow(new).await).await?;
    Ok(Reply::ok_with(name))
}

pub(super) async fn update(services: &Services, name: Name, settings: &Settings) -> Answer {
    let wanted = Wanted::of(settings)?;
    if wanted.broker.is_some() || wanted.replication.is_some() {
        let words = "broker= and replication= are for CREATE FLOW";
        return Err(Failure::new(Code::BadFormat, words));
    }
    let mut taken = None;
    if let Some(topic) = &wanted.topic {
        wanted.check_taken()?;
        let flow = find_flow(services, &name).await?;
        taken = Some(taking::find(services, &flow.broker, topic).await?);
    }
    if let Some(partitions) = wanted.partitions {
        let held = services.processors.held_by_keys(&name, partitions).await;
        if let Some(words) = held.map_err(registry_failure)? {
            return Err(Failure::new(Code::Conflict, words));
        }
    }
    check_policy(services, &name, &wanted).await?;
    let before = find_flow(services, &name).await?;
    let policy = wanted.config.get(POLICY);
    let is_other = policy.is_some_and(|policy| policy != before.policy().unwrap_or_default());
    let began = now();
    let change = FlowChange { partitions: wanted.partitions, config: wanted.config, taken };
    carried_out(services, services.registry.update_flow(&name, change).await).await?;
    // What the former policy let through is on its way no more.
    if is_other {
        streams_settled(services, &name).await?;
    }
    // Another topic makes it another flow, and another `access` may cover fewer.
    services.registry.subscriptions_pass_now().await.map_err(registry_failure)?;
    subscriptions::keep_covered(services).await?;
    lent::ended_since(services, began, |row| row.flow == name).await?;
    Ok(Reply::ok_with(name))
}

/// Whether a policy can be what it is to be; without any there is nothing to say.
async fn check_policy(services: &Services, name: &Name, wanted: &Wanted) -> Result<(), Failure> {
    match wanted.config.get(POLICY).filter(|policy| !policy.is_empty()) {
        Some(policy) => subscriptions::check_lens(services, name, &Lens::policy(policy)).await,
        None => Ok(()),
    }
}

pub(super) async fn delete(services: &Services, name: Name) -> Answer {
    lent::check_not_lent(services, &name)?;
    carried_out(services, services.registry.delete_flow(&name).await).await?;
    streams_settled(services, &name).await?;
    Ok(Reply::ok_with(name))
}

pub(super) async fn purge(services: &Services, name: Name) -> Answer {
    let flow = find_flow(services, &name).await?;
    // What carriers have read before is in topics of subscribers when they are held, and no more of it comes.
    let held = lent::hold_carriers(services, &name).await?;
    carried_out(services, services.registry.purge_flow(&name).await).await?;
    services.logs.forget(&flow.broker, &topic_of(&flow));
    streams_settled(services, &name).await?;
    lent::emptied(services, held).await?;
    Ok(Reply::ok_with(name))
}

/// Waits until nothing of before is on its way to who follows: who has purged or paused something hears that it is done
/// only after this.
pub(super) async fn streams_settled(services: &Services, about: &Name) -> Result<(), Failure> {
    let settled = timeout(SETTLED, services.logs.settled(about));
    settled.await.map_err(|_| unsettled())
}

/// The same of all that is sent to anybody.
pub(super) async fn all_streams_settled(services: &Services) -> Result<(), Failure> {
    let settled = timeout(SETTLED, services.logs.all_settled());
    settled.await.map_err(|_| unsettled())
}

fn unsettled() -> Failure {
    Failure::new(Code::Unavailable, "it is done, and what was sent before is not taken yet")
}

/// Longer than a stream, and then its connection, is given for what was sent before.
const SETTLED: Duration = Duration::from_secs(35);

/// The draft's four keys first and in its order, then ours. What the broker does not say is left out, and
/// why it does not.
pub(super) async fn describe(
    services: &Services,
    who: &Principal,
    name: Name,
    format: Format,
) -> Answer {
    let flow = find_flow(services, &name).await?;
    let (broker, topic) = services.topic_of(&flow)?;
    let info = match timeout(PATIENCE, broker.describe(&topic)).await {
        Ok(info) => info,
        Err(_) => Err(BrokerError::Unavailable(format!("{} does not answer", flow.broker))),
    };
    let mut used_by = services.registry.users_of_flow(&name).await.map_err(registry_failure)?;
    used_by.retain(|processor| services.grants.sees(who, processor));
    let used_by: Vec<String> = used_by.iter().map(ToString::to_string).collect();
    let his = services.grants.may(who, Right::Administer, &name);
    let mut description = Description::default()
        .with("flow", flow.name.to_string())
        .with("type", broker.kind())
        .with("topic", flow.topic.clone())
        .with("server", broker.server())
        .with("status", status(&flow))
        .with("broker", flow.broker.clone())
        .with("partitions", flow.partitions)
        .with("access", flow.config.get(ACCESS).map_or("ask", String::as_str))
        .with("publish", flow.publish().as_str());
    // What masks something may name it.
    if let Some(policy) = flow.policy().filter(|_| his) {
        description = description.with("policy", policy);
    }
    // A stranger who may read it has no business with the names of users.
    if *who.subject() != Subject::Anonymous {
        description = description.with_owner(flow.owner.as_ref());
    }
    let replication = info.as_ref().ok().and_then(|info| info.replication).or(flow.replication);
    if let Some(replication) = replication {
        description = description.with("replication", replication);
    }
    description = description.with("incarnation", flow.incarnation.to_string());
    if let Some(id) = flow.topic_id {
        description = description.with("topic-id", id.to_string());
    }
    if flow.alias {
        description = description.with("alias", true);
    }
    if !flow.owned {
        description = description.with("taken-over", true);
    }
    description =
        description.with("created", time(flow.created_at)).with("isolation", "read_committed");
    description = match info {
        Ok(info) if !his => described(description, &flow, info),
        Ok(info) => described(description, &flow, info).with("consumers", {
            let asked = tokio::time::timeout(PATIENCE, broker.consumers(&topic)).await;
            asked.ok().and_then(Result::ok).map_or(Value::Null, consumers)
        }),
        Err(error) => {
            description.with_all("config.", &settings(&flow)).with("problem", error.to_string())
        }
    };
    Ok(description.with("used-by", used_by).reply(format))
}

/// A flow's settings but for its policy, which is not everybody's to see.
fn settings(flow: &Flow) -> Config {
    let mut settings = flow.config.clone();
    settings.remove(POLICY);
    settings
}

/// What the broker says of a flow's topic.
fn described(mut description: Description, flow: &Flow, info: TopicInfo) -> Description {
    if let Some(bytes) = info.bytes {
        description = description.with("bytes", bytes);
    }
    let mut config = info.config;
    config.extend(settings(flow));
    let logs = info.partitions.iter().zip(0_u32..);
    let logs = logs.map(|(log, partition)| {
        json!({"partition": partition, "earliest": log.earliest, "latest": log.latest})
    });
    description.with_all("config.", &config).with("log", logs.collect::<Vec<_>>())
}

/// Who reads it by the broker's own books.
fn consumers(consumers: Vec<Consumer>) -> Value {
    let consumers = consumers.into_iter().map(|consumer| {
        let Consumer { group, state, members, lag } = consumer;
        json!({"group": group, "state": state, "members": members, "lag": lag})
    });
    consumers.collect()
}

/// Longest look at a broker: who looks at a flow wants to see what is wrong, not wait for it.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn list(
    services: &Services,
    who: &Principal,
    namespace: Option<Name>,
    format: Format,
) -> Answer {
    let mut flows = services.registry.flows(namespace.as_ref()).await.map_err(registry_failure)?;
    // What others have given a name for is theirs, and no flow of this host.
    flows.retain(|flow| !flow.is_remote() && services.grants.sees(who, &flow.name));
    if let Some(name) =
        namespace.filter(|name| flows.is_empty() && !services.grants.sees(who, name))
    {
        // As where there is none.
        return Err(Failure::new(Code::NotFound, format!("namespace {name}")));
    }
    // Names need no broker.
    let looks = match format {
        Format::Json => services.look_at_flows(&flows).await,
        Format::Text => flows.iter().map(|_| None).collect(),
    };
    // As DESCRIBE does.
    let tells_owners = *who.subject() != Subject::Anonymous;
    let described = flows.iter().zip(looks).map(|(flow, look)| {
        let events = look.as_ref().map(|info| info.partitions.iter().map(|log| log.latest).sum());
        let description = Description::default()
            .with("flow", flow.name.to_string())
            .with("status", status(flow))
            .with("broker", flow.broker.clone())
            .with("partitions", flow.partitions)
            .with("events", events.map_or(Value::Null, |events: u64| events.into()))
            .with("bytes", look.and_then(|info| info.bytes).map_or(Value::Null, Value::from))
            .with_owner(flow.owner.as_ref().filter(|_| tells_owners));
        (flow.name.to_string(), description)
    });
    Ok(list_of(described.collect(), format))
}

fn status(flow: &Flow) -> &'static str {
    match flow.status {
        FlowStatus::Creating => "creating",
        FlowStatus::Active => "active",
        FlowStatus::Paused => "paused",
        FlowStatus::Deleting => "deleting",
    }
}
