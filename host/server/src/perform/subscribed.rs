//! The subscriber's side: flows of other participants that somebody here subscribes to.

use fnap::command::Format;
use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use fnap::rights::Right;
use fnap::value::Settings;
use host_iam::Principal;
use host_peers::{CARRIER, Standstill, Subscriptions, Trouble};
use host_registry::{Most, NewSubscription, Stage, Subscription, Transport, derived_name};

use super::describe::{Description, list as list_of, time};
use super::lent;
use super::{Answer, registry_failure};
use crate::may;
use crate::services::Services;

pub(super) async fn subscribe(
    services: &Services,
    who: &Principal,
    flow: Name,
    local: Name,
    settings: &Settings,
) -> Answer {
    let Some(peers) = &services.peers else { return Err(alone()) };
    let namespace = services.registry.counts_to(&local).map_err(registry_failure)?;
    may::place(services, who, if local.is_within(&namespace) { &local } else { &namespace })?;
    if services.registry.namespace_of(&flow).await.map_err(registry_failure)?.is_some() {
        let words = "LOCAL with a flow of this host: REPLICATE copies it";
        return Err(Failure::new(Code::NotImplemented, words));
    }
    let (filter, transport) = wanted(settings)?;
    let (inputs, outputs) = ([flow.clone()], [local.clone()]);
    let config = filter.as_deref().unwrap_or_default();
    let processor = derived_name(CARRIER, &inputs, &outputs, config, &namespace);
    let quota = services.quotas.of(who);
    let new = NewSubscription {
        processor: processor.map_err(registry_failure)?,
        local,
        flow,
        filter,
        transport,
        owner: Some(who.subject().clone()),
        most: Most { flows: quota.flows, processors: quota.processors },
    };
    match peers.subscribe(new).await {
        Ok(Subscription { local, remote: Some(remote), .. }) => {
            Ok(Reply::data([format!("{local} SUBSCRIBED TO {remote}")]))
        }
        Ok(row) => Err(Failure::new(Code::Unavailable, format!("{} goes on", row.local))),
        Err(trouble) => Err(failure(trouble)),
    }
}

fn alone() -> Failure {
    Failure::new(Code::NotImplemented, "flows of other participants: this host has no [peers]")
}

pub(super) fn failure(trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Refused(failure)
        | Trouble::Pending(failure)
        | Trouble::Later(failure, _)
        | Trouble::Unclear(failure, _) => failure,
        Trouble::Registry(error) => registry_failure(error),
    }
}

fn wanted(settings: &Settings) -> Result<(Option<String>, Option<Transport>), Failure> {
    let (mut filter, mut transport) = (None, None);
    for (key, value) in settings.iter() {
        match key {
            "filter" => filter = Some(value.to_owned()),
            "transport" => transport = Some(lent::transport(value)?),
            _ => {
                let words =
                    format!("{key} is no setting of a subscription with LOCAL: filter, transport");
                return Err(Failure::new(Code::BadFormat, words));
            }
        }
    }
    Ok((filter, transport))
}

/// One's own subscription elsewhere, by its local flow or the name that its owner gave it.
pub(super) fn find(services: &Services, who: &Principal, name: &Name) -> Option<Subscription> {
    services.registry.subscription(name).filter(|row| is_his(services, who, row))
}

fn is_his(services: &Services, who: &Principal, row: &Subscription) -> bool {
    let made = row.owner.as_ref() == Some(who.subject());
    made || services.grants.may(who, Right::Administer, &row.local)
}

pub(super) async fn unsubscribe(peers: &Subscriptions, row: &Subscription) -> Answer {
    peers.end(&row.local).await.map_err(registry_failure)?;
    Ok(Reply::ok_with(&row.local))
}

pub(super) async fn list(services: &Services, who: &Principal, format: Format) -> Reply {
    let mut rows = services.registry.subscriptions();
    rows.retain(|row| is_his(services, who, row));
    let mut told = Vec::with_capacity(rows.len());
    for row in &rows {
        let stands = services.peers.as_ref().and_then(|peers| peers.standstill(row));
        let (line, description) = described(row, stands);
        let carried = services.carried_here(row).await;
        told.push((line, description.with("usage", carried.usage())));
    }
    list_of(told, format)
}

fn described(row: &Subscription, stands: Option<Standstill>) -> (String, Description) {
    let (since, why) = stands
        .map_or_else(|| (row.since, row.why.clone()), |Standstill { since, why }| (since, why));
    let state = match &row.stage {
        // It does not go on by itself.
        Stage::Asking | Stage::Making | Stage::Active | Stage::Ending if !why.is_empty() => {
            "waiting"
        }
        stage => stage.as_str(),
    };
    let condition = row.condition.as_ref().filter(|_| row.stage == Stage::Active);
    let (state, since, why) = match condition {
        Some(condition) if why.is_empty() => {
            (condition.kind.as_str(), condition.since, condition.words.clone())
        }
        _ => (state, since, why),
    };
    let mut told = Description::default()
        .with("local", row.local.to_string())
        .with("flow", row.flow.to_string())
        .with("state", state)
        .with("since", time(since));
    let is_kafka = row.transport == Transport::Kafka;
    let texts = [
        ("subscription", row.remote.as_ref().map(ToString::to_string)),
        ("why", Some(why).filter(|why| !why.is_empty())),
        (
            "request",
            match &row.stage {
                Stage::Pending { request } => Some(request.clone()),
                _ => None,
            },
        ),
        ("filter", row.filter.clone()),
        ("transport", Some(row.transport.as_str().to_owned()).filter(|_| is_kafka)),
        ("owner", row.owner.as_ref().map(ToString::to_string)),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            told = told.with(key, text);
        }
    }
    told = told
        .with("processor", row.processor.to_string())
        .with("ref", row.reference.to_string())
        .with("created", time(row.created_at));
    let to = row.remote.as_ref().unwrap_or(&row.flow);
    (format!("{} SUBSCRIBED TO {to} {state}", row.local), told)
}
