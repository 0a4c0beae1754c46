//! Namespaces: made, changed, looked at, taken away.

use fnap::command::Format;
use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use fnap::value::{Settings, Word};
use host_iam::Principal;
use host_registry::{ADOPT, Namespace, NewNamespace};

use super::describe::{Description, list as list_of, time};
use super::{Answer, carried_out, registry_failure};
use crate::services::Services;

pub(super) async fn create(
    services: &Services,
    who: &Principal,
    name: Name,
    broker: Option<Word>,
) -> Answer {
    let broker =
        broker.map_or_else(|| services.default_broker.clone(), |word| word.as_str().to_owned());
    if !services.brokers.contains_key(&broker) {
        return Err(Failure::new(Code::NotFound, format!("broker {broker}")));
    }
    let owner = Some(who.subject().clone());
    let new = NewNamespace { name: name.clone(), broker, config: Default::default(), owner };
    carried_out(services, services.registry.create_namespace(new).await).await?;
    Ok(Reply::ok_with(name))
}

pub(super) async fn update(services: &Services, name: Name, settings: &Settings) -> Answer {
    let meant = settings.get(ADOPT).is_some_and(|patterns| !patterns.is_empty());
    if meant
        && let Some(found) = services.registry.namespace(&name).await.map_err(registry_failure)?
    {
        let kind = services.brokers.get(&found.broker).map(|broker| broker.kind());
        if kind.is_some_and(|kind| kind == "embedded") {
            let words =
                format!("{ADOPT}: broker {} has no topics but those of flows", found.broker);
            return Err(Failure::new(Code::BadFormat, words));
        }
    }
    let config = settings.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    carried_out(services, services.registry.update_namespace(&name, config).await).await?;
    if settings.get(ADOPT).is_some() {
        services.processors.take_in_soon().await;
    }
    Ok(Reply::ok_with(name))
}

pub(super) async fn delete(services: &Services, name: Name) -> Answer {
    carried_out(services, services.registry.delete_namespace(&name).await).await?;
    Ok(Reply::ok_with(name))
}

pub(super) async fn describe(services: &Services, name: Name, format: Format) -> Answer {
    let namespace = services.registry.namespace(&name).await.map_err(registry_failure)?;
    let namespace =
        namespace.ok_or_else(|| Failure::new(Code::NotFound, format!("namespace {name}")))?;
    let flows = services.registry.flows(Some(&name)).await.map_err(registry_failure)?;
    let mut description = description(&namespace).with("flows", flows.len());
    if namespace.config.contains_key(ADOPT) {
        description = description.with("trouble", services.processors.troubles(name.as_str()));
    }
    Ok(description.reply(format))
}

pub(super) async fn list(services: &Services, who: &Principal, format: Format) -> Answer {
    let mut namespaces = services.registry.namespaces().await.map_err(registry_failure)?;
    namespaces.retain(|namespace| services.grants.sees(who, &namespace.name));
    let described =
        namespaces.iter().map(|namespace| (namespace.name.to_string(), description(namespace)));
    Ok(list_of(described.collect(), format))
}

fn description(namespace: &Namespace) -> Description {
    Description::default()
        .with("namespace", namespace.name.to_string())
        .with("broker", namespace.broker.clone())
        .with_owner(namespace.owner.as_ref())
        .with("created", time(namespace.created_at))
        .with_all("config.", &namespace.config)
}
