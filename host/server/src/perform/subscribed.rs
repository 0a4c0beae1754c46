//! The subscriber's side: flows of other participants, or of this one, that somebody here subscribes to.

use fnap::command::Format;
use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use fnap::rights::Right;
use fnap::value::Settings;
use host_iam::Principal;
use host_peers::{CARRIER, Standstill, Subscriptions, Trouble};
use host_registry::{
    Condition, Desired, Most, NewSubscription, Stage, Subscription, Transport, derived_name,
};

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
    let namespace = services.registry.counts_to(&local).map_err(registry_failure)?;
    may::place(services, who, if local.is_within(&namespace) { &local } else { &namespace })?;
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
    match services.peers.subscribe(new).await {
        // As the draft's first transcript of section 6.4.4.
        Ok(Subscription { remote: Some(remote), here: true, .. }) => Ok(Reply::data([remote])),
        Ok(Subscription { local, remote: Some(remote), .. }) => {
            Ok(Reply::data([format!("{local} SUBSCRIBED TO {remote}")]))
        }
        Ok(row) => Err(Failure::new(Code::Unavailable, format!("{} goes on", row.local))),
        Err(trouble) => Err(failure(trouble)),
    }
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

pub(super) async fn list(services: &Services, who: &Principal, format: Format) -> Answer {
    let mut rows = services.registry.subscriptions();
    rows.retain(|row| is_his(services, who, row));
    let mut told = Vec::new();
    for row in &rows {
        let carrier = services.registry.processor(&row.processor).await;
        let desired = carrier.map_err(registry_failure)?.map(|carrier| carrier.desired);
        let (line, description) = described(row, stands(services, row, desired));
        let carried = services.carried_here(row).await;
        told.push((line, description.with("usage", carried.usage())));
    }
    Ok(list_of(told, format))
}

/// How a subscription stands.
#[derive(Clone)]
struct Stands {
    state: &'static str,
    since: i64,
    why: String,
}

/// `desired` is what its processor should do, where there is one.
fn stands(services: &Services, row: &Subscription, desired: Option<Desired>) -> Stands {
    let state = row.stage.as_str();
    let as_written = Stands { state, since: row.since, why: row.why.clone() };
    if row.stage != Stage::Active {
        return match row.stage {
            // It does not go on by itself.
            Stage::Asking | Stage::Making if !row.why.is_empty() => {
                Stands { state: "waiting", ..as_written }
            }
            _ => as_written,
        };
    }
    // Nobody waits for what its subscriber holds.
    let held = |state| Stands { state, why: HELD_HERE.to_owned(), ..as_written.clone() };
    match (desired, services.peers.standstill(row), &row.condition) {
        (Some(Desired::Paused), ..) => held("paused"),
        (Some(Desired::Stopped), ..) => held("stopped"),
        (_, Some(Standstill { since, why }), _) => Stands { state: "waiting", since, why },
        (_, None, Some(condition)) => {
            let Condition { kind, since, words, .. } = condition;
            Stands { state: kind.as_str(), since: *since, why: words.clone() }
        }
        // It is written down a little later, and only where reports are.
        (_, None, None) if services.peers.is_held(row) => {
            Stands { state: "paused", why: HELD_THERE.to_owned(), ..as_written.clone() }
        }
        (_, None, None) => as_written,
    }
}

/// Why no events come of a subscription that its subscriber holds himself.
const HELD_HERE: &str = "held here: RESUME it";

/// The same of one that the owner holds.
const HELD_THERE: &str = "held by the owner of the flow";

fn described(row: &Subscription, stands: Stands) -> (String, Description) {
    let Stands { state, since, why } = stands;
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
