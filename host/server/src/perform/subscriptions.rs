//! The owner's side of subscriptions: who subscribes, who asks to, and what the owner says.

use std::sync::Arc;
use std::time::Duration;

use fnap::command::Format;
use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use fnap::rights::Right;
use fnap::value::{Settings, Word};
use host_events::clock::now;
use host_iam::Principal;
use host_registry::{Asked, Hold, Lens, Request, Subscribed, Subscriber, Transport, Whose};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use super::describe::{Description, list as list_of, time};
use super::flows::{all_streams_settled, streams_settled};
use super::lent;
use super::processors::candidate_failure;
use super::{Answer, find_flow, registry_failure};
use crate::carried::Carried;
use crate::may::subscriptions as may;
use crate::services::Services;

pub(crate) async fn subscribe(
    services: &Services,
    who: &Principal,
    flow: Name,
    settings: &Settings,
    from: may::From,
) -> Answer {
    let way = may::way(services, who, &flow, from).await?;
    let known = find_flow(services, &flow).await?;
    let Wanted { reference, filter, transport } = wanted(settings)?;
    let lend = lent::broker_for(services, &known, transport)?;
    if let Some(filter) = &filter {
        check_lens(services, &flow, &Lens::filter(Whose::Subscribers, filter)).await?;
    }
    let principal = who.subject().clone();
    let asked = Asked { flow: flow.clone(), principal, reference, filter, way, lend };
    match services.registry.subscribe_to(asked).await.map_err(registry_failure)? {
        Subscribed::Pending(request) => {
            Err(Failure::new(Code::Pending, format!("request={request}")))
        }
        Subscribed::To(name) => {
            // What he may can have changed since it was looked at.
            keep_covered(services).await?;
            match services.registry.subscriber(&name) {
                Some(row) if row.is_live() => {
                    lent::made(services, &row).await?;
                    Ok(Reply::data([name]))
                }
                _ => Err(Failure::new(Code::NotFound, format!("flow {flow}"))),
            }
        }
    }
}

/// What SUBSCRIBE says behind the flow.
struct Wanted {
    reference: Option<Uuid>,
    filter: Option<String>,
    transport: Transport,
}

fn wanted(settings: &Settings) -> Result<Wanted, Failure> {
    let (mut reference, mut filter, mut transport) = (None, None, Transport::default());
    for (key, value) in settings.iter() {
        match key {
            "ref" => reference = Some(reference_of(value)?),
            "filter" => filter = Some(value.to_owned()),
            "transport" => transport = lent::transport(value)?,
            _ => {
                let words =
                    format!("{key} is no setting of a subscription: REF, filter, transport");
                return Err(Failure::new(Code::BadFormat, words));
            }
        }
    }
    Ok(Wanted { reference, filter, transport })
}

pub(crate) async fn unsubscribe(services: &Services, who: &Principal, name: Name) -> Answer {
    let ended = services.registry.unsubscribe(&name, who.subject().clone()).await;
    ended.map_err(registry_failure)?;
    ended_streams(services, &name).await?;
    lent::gone(services, &name).await?;
    Ok(Reply::ok_with(name))
}

/// The subscriber ends what he asked for under a reference, whatever has become of it: he may not have heard.
pub(crate) async fn withdraw(
    services: &Services,
    who: &Principal,
    flow: Name,
    settings: &Settings,
) -> Answer {
    let [("ref", reference)] = settings.iter().collect::<Vec<_>>()[..] else {
        return Err(Failure::new(Code::BadFormat, "UNSUBSCRIBE takes REF and nothing else"));
    };
    let reference = reference_of(reference)?;
    let began = now();
    let his = who.subject();
    let withdrawn = services.registry.withdraw(&flow, his.clone(), reference).await;
    withdrawn.map_err(registry_failure)?;
    let same = |row: &Subscriber| {
        row.flow == flow && row.principal == *his && row.reference == Some(reference)
    };
    let_go(services, same).await?;
    lent::ended_since(services, began, same).await?;
    Ok(Reply::ok_with(flow))
}

fn reference_of(text: &str) -> Result<Uuid, Failure> {
    Uuid::try_parse(text).map_err(|_| Failure::new(Code::BadFormat, "REF is a uuid"))
}

/// What carries one that has ended looks at it now.
async fn ended_streams(services: &Services, name: &Name) -> Result<(), Failure> {
    streams_settled(services, name).await?;
    let_go(services, |row| row.name == *name).await
}

/// Waits until nothing is sent any more to subscriptions that are meant and have ended: who ended one hears that it is
/// done only after this.
async fn let_go(
    services: &Services,
    is_meant: impl Fn(&Subscriber) -> bool,
) -> Result<(), Failure> {
    timeout(LET_GO, services.registry.until_let_go(is_meant)).await.map_err(|_| {
        Failure::new(Code::Unavailable, "it has ended, and the last of it is still being sent")
    })
}

/// Longer than a stream is given for the rest of its last frame.
const LET_GO: Duration = Duration::from_secs(18);

pub(super) async fn remove(services: &Services, who: &Principal, name: Name) -> Answer {
    may::of_owner(services, who, &name)?;
    services.registry.remove_subscriber(&name).await.map_err(registry_failure)?;
    ended_streams(services, &name).await?;
    lent::gone(services, &name).await?;
    tracing::info!(principal = %who, subscription = %name, "removed");
    Ok(Reply::ok_with(name))
}

pub(super) async fn hold(services: &Services, name: Name, held: Name, hold: Hold) -> Answer {
    services.registry.hold_subscriber(&held, hold).await.map_err(registry_failure)?;
    streams_settled(services, &held).await?;
    lent::held(services, &held).await?;
    Ok(Reply::ok_with(name))
}

pub(super) async fn approve(
    services: &Services,
    who: &Principal,
    request: &Word,
    filter: Option<String>,
    policy: Option<String>,
) -> Answer {
    let flow = his_request(services, who, request)?;
    if let Some(filter) = &filter {
        check_lens(services, &flow, &Lens::filter(Whose::Owners, filter)).await?;
    }
    if let Some(policy) = &policy {
        check_lens(services, &flow, &Lens::policy(policy)).await?;
    }
    let by = who.subject().clone();
    let approved = services.registry.approve(request.as_str(), by, filter, policy).await;
    let name = approved.map_err(registry_failure)?;
    tracing::info!(principal = %who, %request, subscription = %name, "approved");
    // One that was there already is sent nothing of what its policy leaves out, once this is answered.
    streams_settled(services, &name).await?;
    Ok(Reply::ok_with(name))
}

pub(super) async fn deny(
    services: &Services,
    who: &Principal,
    request: &Word,
    reason: Option<String>,
) -> Answer {
    his_request(services, who, request)?;
    let by = who.subject().clone();
    services.registry.deny(request.as_str(), by, reason).await.map_err(registry_failure)?;
    tracing::info!(principal = %who, %request, "denied");
    Ok(Reply::ok())
}

/// The flow of a request that is somebody's to answer; to all others there is no such request.
fn his_request(services: &Services, who: &Principal, request: &Word) -> Result<Name, Failure> {
    let flow = services.registry.flow_of_request(request.as_str());
    let his = flow.filter(|flow| services.grants.may(who, Right::Administer, flow));
    his.ok_or_else(|| Failure::new(Code::NotFound, format!("request {request}")))
}

/// Whether a component can stand between a flow and a subscriber: asked of the plugin itself, in its sandbox.
pub(super) async fn check_lens(
    services: &Services,
    flow: &Name,
    step: &Lens,
) -> Result<(), Failure> {
    services.processors.check_lens(flow, step).await.map_err(candidate_failure)
}

/// Those that have not ended, by name; as JSON all that are remembered.
pub(super) async fn subscribers(services: &Services, flow: Name, format: Format) -> Answer {
    let known = find_flow(services, &flow).await?;
    let rows = services.registry.subscribers(&flow);
    if format == Format::Text {
        let live = rows.iter().filter(|row| row.is_live());
        let names = live.map(|row| (row.name.to_string(), Description::default()));
        return Ok(list_of(names.collect(), format));
    }
    let seen = services.look_at_flows(std::slice::from_ref(&known)).await.pop().flatten();
    let ends = seen.map(|seen| seen.partitions.iter().map(|log| log.latest).collect::<Vec<_>>());
    let mut shown = Vec::with_capacity(rows.len());
    for row in &rows {
        let carried = services.carried_to(row, ends.as_deref()).await;
        shown.push((row.name.to_string(), described(services, row, &carried)));
    }
    Ok(list_of(shown, format))
}

fn described(services: &Services, row: &Subscriber, carried: &Carried) -> Description {
    let standing = services.registry.standing(&row.name).unwrap_or_default();
    let mut told = Description::default()
        .with("subscription", row.name.to_string())
        .with("flow", row.flow.to_string())
        .with("principal", row.principal.to_string())
        .with("state", row.state())
        .with("created", time(row.created_at));
    if let Some(end) = &row.ended {
        told = told
            .with("ended", time(end.at))
            .with("why", end.why.as_str())
            .with("reason", end.words.clone());
    }
    if let Some(at) = row.attached_at {
        told = told.with("attached", time(at));
    }
    told = told.with("connected", standing.connected);
    let acked = standing.acked.iter().map(|(partition, next)| (partition.to_string(), json!(next)));
    told = told.with("acked", Value::Object(acked.collect()));
    told = told.with("usage", carried.usage());
    let texts = [
        ("ref", row.reference.map(|reference| reference.to_string())),
        ("transport", row.lent.as_ref().map(|_| Transport::Kafka.as_str().to_owned())),
        ("processor", row.lent.as_ref().map(|lent| lent.processor.to_string())),
        ("filter", row.filter.clone()),
        ("approved-by", row.approval.as_ref().map(|approval| approval.by.to_string())),
        ("owner-filter", row.approval.as_ref().and_then(|approval| approval.filter.clone())),
        ("policy", row.approval.as_ref().and_then(|approval| approval.policy.clone())),
        ("trouble", standing.trouble),
    ];
    with_texts(told, texts)
}

/// Those that are somebody's to answer.
pub(super) fn requests(services: &Services, who: &Principal, format: Format) -> Reply {
    let his = |row: &Request| services.grants.may(who, Right::Administer, &row.flow);
    let rows = services.registry.requests(his);
    list_of(rows.iter().map(request).collect(), format)
}

fn request(row: &Request) -> (String, Description) {
    let Request { id, flow, principal, .. } = row;
    let state = if row.denied.is_some() { "denied" } else { "pending" };
    let line = format!("request={id} flow={flow} principal={principal} state={state}");
    let told = Description::default()
        .with("request", id.clone())
        .with("flow", flow.to_string())
        .with("principal", principal.to_string())
        .with("state", state)
        .with("asked", time(row.asked_at))
        .with("expires", time(row.expires_at));
    let texts = [
        ("ref", row.reference.map(|reference| reference.to_string())),
        ("transport", row.lend.as_ref().map(|_| Transport::Kafka.as_str().to_owned())),
        ("filter", row.filter.clone()),
        ("denied-by", row.denied.as_ref().map(|denial| denial.by.to_string())),
        ("reason", row.denied.as_ref().and_then(|denial| denial.reason.clone())),
    ];
    (line, with_texts(told, texts))
}

fn with_texts<const N: usize>(
    told: Description,
    texts: [(&str, Option<String>); N],
) -> Description {
    let there = texts.into_iter().filter_map(|(key, text)| Some((key, text?)));
    there.fold(told, |told, (key, text)| told.with(key, text))
}

/// Ends every subscription that nothing covers any more. Who has just taken a right hears that it is done only
/// after this; what of them had topics is taken away meanwhile.
pub(super) async fn keep_covered(services: &Services) -> Result<(), Failure> {
    let grants = services.grants.clone();
    let ended =
        services.registry.end_uncovered(move |row, flow| may::uncovered(&grants, row, flow));
    match ended.await.map_err(registry_failure)? {
        0 => Ok(()),
        ended => {
            tracing::info!(ended, "subscriptions that are not covered any more");
            all_streams_settled(services).await?;
            let_go(services, lent::is_revoked).await
        }
    }
}

/// Ends what rights and time end, until the future is dropped.
pub async fn watch_subscriptions(services: Arc<Services>) {
    let mut rights = services.grants.subscribe();
    loop {
        rights.mark_unchanged();
        let covered = keep_covered(&services).await;
        let passed = services.registry.subscriptions_pass_now().await;
        if let Err(failure) = covered.and(passed.map_err(registry_failure)) {
            tracing::warn!(%failure, "subscriptions are not looked after");
        }
        if let Ok(Err(_)) = tokio::time::timeout(LOOK, rights.changed()).await {
            return;
        }
    }
}

/// Between looks at the clock: what ends after ten minutes may be some seconds late.
const LOOK: Duration = Duration::from_secs(10);
