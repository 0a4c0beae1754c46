//! What is shown of processors.
//!
//! Changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use fnap::command::Format;
use fnap::name::Name;
use fnap::reply::{Code, Failure};
use fnap::rights::Right;
use fnap::value::Word;
use host_events::Incarnation;
use host_iam::Principal;
use host_processors::{Phase, Report, ShardReport};
use host_registry::{Desired, Processor};
use serde_json::{Value, json};

use super::types::{followers, type_description};
use crate::perform::describe::{Description, list as list_of, time};
use crate::perform::{Answer, log, registry_failure, usage};
use crate::services::Services;

pub(in crate::perform) async fn list(
    services: &Services,
    who: &Principal,
    format: Format,
) -> Answer {
    let processors = services.registry.processors().await.map_err(registry_failure)?;
    let mut described = Vec::new();
    let there = |processor: &&Processor| {
        processor.desired != Desired::Deleted && services.grants.sees(who, &processor.name)
    };
    let processors: Vec<_> = processors.iter().filter(there).collect();
    // Together, so that a broker that is away is waited for once.
    let open = processors.iter().map(|processor| crate::perform::dead::open(services, processor));
    let open = futures::future::join_all(open).await;
    for (processor, open) in processors.into_iter().zip(open) {
        let report = services.processors.report(processor.id).await;
        let mut summary = summary(services, who, processor, report.as_ref());
        if let Some(open) = open {
            summary = summary.with("dead-letters", open);
        }
        summary = summary.with_owner(processor.owner.as_ref());
        described.push((processor.name.to_string(), summary));
    }
    described.extend(crate::perform::mirrors::list(services, who));
    Ok(list_of(described, format))
}

/// A processor by its name, or an installed type by its.
pub(in crate::perform) async fn describe(
    services: &Services,
    who: &Principal,
    word: &Word,
    format: Format,
) -> Answer {
    // What he may not see is not there.
    let name = word.as_str().parse::<Name>().ok().filter(|name| services.grants.sees(who, name));
    let processor = match &name {
        Some(name) => services.registry.processor(name).await.map_err(registry_failure)?,
        None => None,
    };
    if let Some(processor) = processor {
        let report = services.processors.report(processor.id).await;
        let dead = crate::perform::dead::describe(services, &processor).await;
        let delivery = services.processors.delivery(&processor).await;
        let limits = services.processors.limits_of(&processor).await.map_err(registry_failure)?;
        let mut description =
            detail(services, who, &processor, report, limits.shown()).with("dead-letters", dead);
        description = crate::perform::snapshots::describe(services, description, &processor).await;
        if let Some(delivery) = delivery {
            description = description.with("delivery", delivery.word());
            if let Some(why) = delivery.why() {
                description = description.with("delivery-reason", why);
            }
        }
        return Ok(description.reply(format));
    }
    if let Some(description) =
        name.as_ref().and_then(|name| crate::perform::mirrors::describe(services, who, name))
    {
        return Ok(description.reply(format));
    }
    let snapshot = services.catalog.snapshot();
    let not_found = || Failure::new(Code::NotFound, format!("processor or processor type {word}"));
    let active = snapshot.types.get(word.as_str()).ok_or_else(not_found)?;
    let info = active.plugin.info();
    let schema: Value = serde_json::from_str(&info.config_schema).unwrap_or(Value::Null);
    let followers = followers(services, who).await?;
    let description = type_description(&snapshot, word.as_str(), active, &followers)
        .with("summary", info.summary.clone())
        .with("config-schema", schema.to_string());
    Ok(description.reply(format))
}

fn summary(
    services: &Services,
    who: &Principal,
    processor: &Processor,
    report: Option<&Report>,
) -> Description {
    let lag = services.processors.lag(processor.id);
    let phase = report.map(Report::phase);
    let total = |count: fn(&ShardReport) -> u64| -> u64 {
        report.iter().flat_map(|report| &report.shards).map(count).sum()
    };
    let description = Description::default()
        .with("processor", processor.name.to_string())
        .with("type", processor.kind.clone())
        .with("state", phase.as_ref().map_or("unknown", |phase| phase.word()))
        .with("events-in", total(|shard| shard.events_in))
        .with("events-out", total(|shard| shard.events_out))
        .with("failures", total(|shard| shard.failures))
        .with("version", versions(report))
        .with("lag-events", lag.events.map_or(Value::Null, Value::from))
        .with("lag-seconds", lag.seconds.map_or(Value::Null, tenths));
    let held = report.and_then(|report| report.held.clone());
    // What is about to go on, and cannot: before that has failed.
    let is_under_way = matches!(phase, Some(Phase::Starting | Phase::Running));
    let away = report.and_then(|report| report.away.clone()).filter(|_| is_under_way);
    match phase {
        // Reasons name flows, and quote what plugins say.
        _ if !services.grants.may(who, Right::Administer, &processor.name) => description,
        Some(Phase::Failed(reason)) => description.with("reason", reason),
        _ => match held.or(away).or_else(|| processor.because.clone()) {
            Some(reason) => description.with("reason", reason),
            None => description,
        },
    }
}

/// The version of the plugin that runs; in the middle of a swap there may be two.
fn versions(report: Option<&Report>) -> String {
    let shards = report.iter().flat_map(|report| &report.shards);
    let versions: std::collections::BTreeSet<&str> =
        shards.map(|shard| shard.version.as_str()).filter(|version| !version.is_empty()).collect();
    versions.into_iter().collect::<Vec<_>>().join(",")
}

/// Seconds for people and programs: what is measured every few seconds has no milliseconds.
fn tenths(seconds: f64) -> Value {
    Value::from((seconds * 10.0).round() / 10.0)
}

fn detail(
    services: &Services,
    who: &Principal,
    processor: &Processor,
    report: Option<Report>,
    limits: BTreeMap<String, u64>,
) -> Description {
    // Who only reads in its namespace sees that it is there and how it does, and of its flows what he may see.
    let his = services.grants.may(who, Right::Administer, &processor.name);
    let names = |names: &[Name]| {
        let seen = names.iter().filter(|name| his || services.grants.sees(who, name));
        seen.map(ToString::to_string).collect::<Vec<_>>()
    };
    let mut description = summary(services, who, processor, report.as_ref())
        .with("from", names(&processor.inputs))
        .with("to", names(&processor.outputs))
        .with_owner(processor.owner.as_ref());
    if his {
        description = description.with("config", processor.config.clone());
    }
    description = description
        .with("desired", format!("{:?}", processor.desired).to_lowercase())
        .with("created", time(processor.created_at))
        .with_all("option.", &processor.options);
    if let Some(digest) = &processor.pinned {
        description = description.with("pinned", digest.clone());
    }
    if let Some(mirror) = &processor.mirror {
        description = description.with("pattern", mirror.to_string());
    }
    // What differs shows what events hold.
    let reads = |input: &Name| services.grants.may(who, Right::Read, input);
    let sees = his && processor.inputs.iter().all(reads);
    description = crate::perform::shadow::describe(description, processor, report.as_ref(), sees);
    if let Some(past) = services.processors.comparison(processor.id) {
        description = crate::perform::shadow::describe_past(description, &past, sees);
    }
    if let Some(upgrade) = services.processors.upgrade(processor, report.as_ref()) {
        description =
            description.with("next-version", upgrade.version).with("upgrade-state", upgrade.state);
    }
    let pauses = report.iter().flat_map(|report| &report.shards).flat_map(|shard| &shard.pauses);
    if let Some(pauses) = pauses_value(pauses.copied().collect()) {
        description = description.with("swap-pause-ms", pauses);
    }
    let state_limit = limits.get("state_bytes").copied();
    for shard in report.iter().flat_map(|report| &report.shards) {
        description = description.with(&format!("shard.{}", shard.shard), shard_value(shard));
        if let Some((entries, bytes)) = shard.state.filter(|(entries, _)| *entries > 0) {
            let state = json!({ "entries": entries, "bytes": bytes, "limit": state_limit });
            description = description.with(&format!("state.{}", shard.shard), state);
        }
    }
    if let Some(report) = &report {
        description = usage::with_usage(description, report);
    }
    for (name, value) in limits {
        description = description.with(&format!("limit.{name}"), value);
    }
    if his {
        description = description.with("log", log::last(services, &processor.name, LAST_LOG_LINES));
    }
    description
}

/// How long events waited at changes of the plugin's version: how many of the latest are known, and of them the
/// middle, the longest but one in a hundred, and the longest.
fn pauses_value(mut pauses: Vec<Duration>) -> Option<Value> {
    pauses.sort_unstable();
    let at = |share: usize| {
        let index = (pauses.len() * share).div_ceil(100).saturating_sub(1);
        let millis = pauses.get(index)?.as_secs_f64() * 1000.0;
        Some((millis * 100.0).round() / 100.0)
    };
    Some(json!({ "count": pauses.len(), "p50": at(50)?, "p99": at(99)?, "max": at(100)? }))
}

/// Lines of the log that a description ends with.
const LAST_LOG_LINES: usize = 5;

fn shard_value(shard: &ShardReport) -> Value {
    let positions: Vec<String> = shard
        .positions
        .0
        .iter()
        .map(|((Incarnation(flow), partition), next)| format!("{flow}:{partition}:{next}"))
        .collect();
    json!({
        "state": shard.phase.word(),
        "version": shard.version,
        "digest": shard.digest.get(..12).unwrap_or_default(),
        "events-in": shard.events_in,
        "events-out": shard.events_out,
        "commits": shard.commits,
        "failures": shard.failures,
        "positions": positions.join(","),
    })
}
