//! What else belongs to the participant: its brokers.

use fnap::command::Format;
use fnap::reply::{Code, Failure, Reply};
use fnap::value::Word;
use host_brokers::Broker;
use host_registry::PEER;

use super::Answer;
use super::describe::{Description, list};
use crate::services::Services;

pub(super) fn brokers(services: &Services, format: Format) -> Reply {
    // Flows of others lie on none of ours.
    let described = services.brokers.iter().filter(|(name, _)| *name != PEER);
    let described =
        described.map(|(name, broker)| (name.clone(), description(name, broker.as_ref())));
    list(described.collect(), format)
}

pub(super) fn describe_broker(services: &Services, name: &Word, format: Format) -> Answer {
    let broker = services.brokers.get(name.as_str());
    let broker = broker.ok_or_else(|| Failure::new(Code::NotFound, format!("broker {name}")))?;
    Ok(description(name.as_str(), broker.as_ref()).reply(format))
}

fn description(name: &str, broker: &dyn Broker) -> Description {
    Description::default()
        .with("broker", name)
        .with("type", broker.kind())
        .with("server", broker.server())
}
