//! Subscriptions of others that have a topic of their own, as commands meet them.

use std::time::Duration;

use fnap::command::Format;
use fnap::name::Name;
use fnap::reply::{Code, Failure};
use host_iam::Principal;
use host_peers::Trouble;
use host_peers::lending::{Credentials, Emptying, MECHANISM};
use host_registry::{Flow, Subscriber, Transport, Why};
use tokio::time::timeout;

use super::describe::Description;
use super::subscribed::failure;
use super::{Answer, registry_failure};
use crate::services::Services;

pub(super) fn transport(word: &str) -> Result<Transport, Failure> {
    let unknown = || Failure::new(Code::BadFormat, "a transport is stream or kafka");
    Transport::of(word).ok_or_else(unknown)
}

/// The broker that the topic of a subscription is to lie at, where it is to have one.
pub(super) fn broker_for(
    services: &Services,
    flow: &Flow,
    transport: Transport,
) -> Result<Option<String>, Failure> {
    if transport == Transport::Stream {
        return Ok(None);
    }
    let broker = services.lender.broker_for(flow).ok_or_else(|| {
        let words = "transport kafka: no broker of this host is offered to others";
        Failure::new(Code::NotImplemented, words)
    })?;
    Ok(Some(broker.to_owned()))
}

/// Waits until a new subscription has its topic. What cannot be made ends it.
pub(super) async fn made(services: &Services, row: &Subscriber) -> Result<(), Failure> {
    let Some(driven) = driven(services, row).await else { return Ok(()) };
    if let Err(Trouble::Refused(_) | Trouble::Registry(_)) = &driven {
        let ended = services.registry.unsubscribe(&row.name, row.principal.clone()).await;
        ended.map_err(registry_failure)?;
        gone(services, &row.name).await?;
    }
    driven.map_err(failure)
}

/// Waits until what fills the topic of a subscription does as its owner has said.
pub(super) async fn held(services: &Services, name: &Name) -> Result<(), Failure> {
    match services.registry.subscriber(name) {
        Some(row) => driven(services, &row).await.unwrap_or(Ok(())).map_err(failure),
        None => Ok(()),
    }
}

async fn driven(services: &Services, row: &Subscriber) -> Option<Result<(), Trouble>> {
    row.lent.as_ref()?;
    let driven = timeout(PATIENCE, services.lender.drive(&row.name)).await;
    Some(driven.unwrap_or_else(|_| {
        let words = format!("the topic of {} goes on in the background", row.name);
        Err(Trouble::Later(Failure::new(Code::Unavailable, words), PATIENCE))
    }))
}

/// Waits until nothing is left of what a subscription had that has ended: who ended it hears that it is done only
/// after this.
pub(super) async fn gone(services: &Services, name: &Name) -> Result<(), Failure> {
    if services.registry.lent_as(name).is_none() {
        return Ok(());
    }
    over(timeout(PATIENCE, services.lender.drive(name)).await.ok())
}

/// The same for those that are meant and have ended since a moment: nobody waits for what others have ended.
pub(super) async fn ended_since(
    services: &Services,
    at: i64,
    is_meant: impl Fn(&Subscriber) -> bool,
) -> Result<(), Failure> {
    over(timeout(PATIENCE, services.lender.ended_since(at, is_meant)).await.ok())
}

/// What a right that is gone has ended.
pub(super) fn is_revoked(row: &Subscriber) -> bool {
    row.ended.as_ref().is_some_and(|end| end.why == Why::Revoked)
}

/// Carriers of a flow that are held while it is emptied.
pub(super) async fn hold_carriers(services: &Services, flow: &Name) -> Result<Emptying, Failure> {
    match timeout(PATIENCE, services.lender.begin_emptying(flow)).await {
        Ok(held) => held.map_err(failure),
        Err(_) => {
            Err(Failure::new(Code::Unavailable, "what fills topics of subscribers still works"))
        }
    }
}

/// Empties the topics of those who have copies of a flow, and has them filled again.
pub(super) async fn emptied(services: &Services, held: Emptying) -> Result<(), Failure> {
    let emptied = timeout(PATIENCE, services.lender.empty(held)).await.ok();
    let why = match emptied {
        Some(Ok(())) => return Ok(()),
        Some(Err(trouble)) => trouble.to_string(),
        None => "the broker takes its time".to_owned(),
    };
    let words =
        format!("the flow is empty, and topics of its subscribers are not, PURGE it again: {why}");
    Err(Failure::new(Code::Unavailable, words))
}

fn over(driven: Option<Result<(), Trouble>>) -> Result<(), Failure> {
    let why = match driven {
        Some(Ok(())) => return Ok(()),
        Some(Err(trouble)) => trouble.to_string(),
        None => "the broker takes its time".to_owned(),
    };
    let words = format!("it has ended, and its topic is still being taken away: {why}");
    Err(Failure::new(Code::Unavailable, words))
}

/// How long a command waits for a broker; what is begun goes on in the background.
const PATIENCE: Duration = Duration::from_secs(20);

/// Refuses to touch a flow by itself that is the topic of a subscription.
pub(super) fn check_not_lent(services: &Services, flow: &Name) -> Result<(), Failure> {
    match services.registry.lent_as(flow) {
        Some(row) => Err(belongs("flow", flow, &row)),
        None => Ok(()),
    }
}

/// The same for the processor that fills one.
pub(super) fn check_not_carrier(services: &Services, processor: &Name) -> Result<(), Failure> {
    match services.registry.lent_through(processor) {
        Some(row) => Err(belongs("processor", processor, &row)),
        None => Ok(()),
    }
}

fn belongs(what: &str, name: &Name, row: &Subscriber) -> Failure {
    let words =
        format!("{what} {name} goes with the subscription {0}: REMOVE SUBSCRIBER {0}", row.name);
    Failure::new(Code::Conflict, words)
}

/// With what a subscriber reads his topic. Each answer has another password, and nothing but the answer has it.
pub(super) async fn credentials(
    services: &Services,
    who: &Principal,
    name: Name,
    format: Format,
) -> Answer {
    let made = timeout(PATIENCE, services.lender.credentials(who.subject(), &name)).await;
    let Ok(made) = made else {
        return Err(Failure::new(Code::Unavailable, "the broker takes its time"));
    };
    let Credentials { offer, user, topic } = made.map_err(failure)?;
    tracing::info!(principal = %who, subscription = %name, "credentials");
    let told = Description::default()
        .with("subscription", name.to_string())
        .with("host", services.hostname.clone())
        .with("type", "kafka")
        .with("topic", topic)
        .with("server", offer.servers)
        .with("security", offer.security.as_str())
        .with("mechanism", MECHANISM)
        .with("group", user.name.clone())
        .with("username", user.name)
        .with("password", user.password.as_str());
    Ok(told.reply(format))
}
