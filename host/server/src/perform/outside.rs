//! What others find of this host: its agent, and the name servers of its namespaces.

use fnap::command::Format;
use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use fnap::rights::Right;
use host_iam::Principal;
use serde_json::Value;

use super::describe::{Description, list, time};
use super::{Answer, registry_failure};
use crate::outward::{AgentFacts, NameserverFacts};
use crate::services::Services;

pub(super) fn agents(services: &Services, format: Format) -> Reply {
    let agent = services.outward.agent();
    list(vec![(agent.name.clone(), shown(agent))], format)
}

pub(super) async fn describe_agent(services: &Services, namespace: Name, format: Format) -> Answer {
    find(services, &namespace).await?;
    Ok(shown(services.outward.agent()).reply(format))
}

fn shown(agent: AgentFacts) -> Description {
    let AgentFacts { name, port, tls, addresses } = agent;
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Description::default()
        .with("agent", name)
        .with("port", port.map_or(Value::Null, Value::from))
        .with("tls", tls)
        .with("address", addresses)
}

/// How far the records are is told to who administers the namespace.
pub(super) async fn describe_nameserver(
    services: &Services,
    who: &Principal,
    namespace: Name,
    format: Format,
) -> Answer {
    find(services, &namespace).await?;
    let named = Description::default().with("namespace", namespace.to_string());
    let Some(facts) = services.outward.nameserver(&namespace) else {
        return Ok(named.with("kind", "none").reply(format));
    };
    let NameserverFacts { zone, kind, servers, published, waiting, since, why } = facts;
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let described = named.with("kind", kind).with("zone", zone.to_string()).with("server", servers);
    if !services.grants.may(who, Right::Administer, &namespace) {
        return Ok(described.reply(format));
    }
    let mut described = described.with("published", published).with("waiting", waiting);
    if let Some(since) = since {
        described = described.with("since", time(since));
    }
    if let Some(why) = why {
        described = described.with("why", why);
    }
    Ok(described.reply(format))
}

async fn find(services: &Services, namespace: &Name) -> Result<(), Failure> {
    match services.registry.namespace(namespace).await.map_err(registry_failure)? {
        Some(_) => Ok(()),
        None => Err(Failure::new(Code::NotFound, format!("namespace {namespace}"))),
    }
}
