//! Flows: made, changed, emptied, looked at, taken away.

use fnap::command::Format;
use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use fnap::value::Settings;
use host_registry::{Config, Flow, FlowChange, FlowStatus, NewFlow};
use serde_json::Value;

use super::describe::{Description, list as list_of, time};
use super::{Answer, broker_failure, carried_out, find_flow, registry_failure};
use crate::services::Services;

/// Setting that is the flow's number of partitions.
const PARTITIONS: &str = "partitions";

pub(super) async fn create(services: &Services, name: Name, settings: &Settings) -> Answer {
    let (partitions, mut config) = split(settings)?;
    let broker = config.remove("broker");
    if let Some(broker) = broker.as_ref().filter(|broker| !services.brokers.contains_key(*broker)) {
        return Err(Failure::new(Code::NotFound, format!("broker {broker}")));
    }
    let new = NewFlow {
        name: name.clone(),
        broker,
        topic: None,
        partitions: partitions.unwrap_or(1),
        config,
        owned: true,
    };
    carried_out(services, services.registry.create_flow(new).await).await?;
    Ok(Reply::ok_with(name))
}

pub(super) async fn update(services: &Services, name: Name, settings: &Settings) -> Answer {
    let (partitions, config) = split(settings)?;
    let change = FlowChange { partitions, config };
    carried_out(services, services.registry.update_flow(&name, change).await).await?;
    Ok(Reply::ok_with(name))
}

pub(super) async fn delete(services: &Services, name: Name) -> Answer {
    carried_out(services, services.registry.delete_flow(&name).await).await?;
    Ok(Reply::ok_with(name))
}

pub(super) async fn purge(services: &Services, name: Name) -> Answer {
    carried_out(services, services.registry.purge_flow(&name).await).await?;
    Ok(Reply::ok_with(name))
}

/// The draft's four keys first and in its order, then ours.
pub(super) async fn describe(services: &Services, name: Name, format: Format) -> Answer {
    let flow = find_flow(services, &name).await?;
    let (broker, topic) = services.topic_of(&flow)?;
    let info = broker.describe(&topic).await.map_err(|error| broker_failure(&error))?;
    let logs = info.partitions.iter().zip(0_u32..);
    let logs = logs.map(|(log, partition)| {
        serde_json::json!({"partition": partition, "earliest": log.earliest, "latest": log.latest})
    });
    let used_by = services.registry.users_of_flow(&name).await.map_err(registry_failure)?;
    let used_by: Vec<String> = used_by.iter().map(ToString::to_string).collect();
    let mut description = Description::default()
        .with("flow", flow.name.to_string())
        .with("type", broker.kind())
        .with("topic", flow.topic.clone())
        .with("server", broker.server())
        .with("status", status(&flow))
        .with("broker", flow.broker.clone())
        .with("partitions", flow.partitions)
        .with("incarnation", flow.incarnation.to_string())
        .with("created", time(flow.created_at))
        .with("isolation", "read_committed");
    if let Some(bytes) = info.bytes {
        description = description.with("bytes", bytes);
    }
    let description = description
        .with_all("config.", &flow.config)
        .with("log", logs.collect::<Vec<_>>())
        .with("used-by", used_by);
    Ok(description.reply(format))
}

pub(super) async fn list(services: &Services, namespace: Option<Name>, format: Format) -> Answer {
    if let Some(name) = &namespace {
        let known = services.registry.namespace(name).await.map_err(registry_failure)?;
        known.ok_or_else(|| Failure::new(Code::NotFound, format!("namespace {name}")))?;
    }
    let flows = services.registry.flows(namespace.as_ref()).await.map_err(registry_failure)?;
    // Names need no broker.
    let looks = match format {
        Format::Json => services.look_at_flows(&flows).await,
        Format::Text => flows.iter().map(|_| None).collect(),
    };
    let described = flows.iter().zip(looks).map(|(flow, look)| {
        let events = look.as_ref().map(|info| info.partitions.iter().map(|log| log.latest).sum());
        let description = Description::default()
            .with("flow", flow.name.to_string())
            .with("status", status(flow))
            .with("broker", flow.broker.clone())
            .with("partitions", flow.partitions)
            .with("events", events.map_or(Value::Null, |events: u64| events.into()))
            .with("bytes", look.and_then(|info| info.bytes).map_or(Value::Null, Value::from));
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

fn split(settings: &Settings) -> Result<(Option<u32>, Config), Failure> {
    let mut partitions = None;
    let mut config = Config::new();
    for (key, value) in settings.iter() {
        if key == PARTITIONS {
            let number = value.parse().map_err(|_| {
                Failure::new(Code::BadFormat, format!("partitions={value} is no number"))
            })?;
            partitions = Some(number);
        } else {
            config.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok((partitions, config))
}
