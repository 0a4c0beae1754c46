//! Processors: asked for, changed, moved, looked at, taken away.

use std::collections::BTreeMap;
use std::time::Duration;

use fnap::command::{Format, KeepState, NewProcessor, Start};
use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use fnap::rights::Right;
use fnap::value::{Json, Settings, Word};
use host_events::Incarnation;
use host_iam::Principal;
use host_plugins::catalog::{Active, Snapshot};
use host_processors::{Candidate, Report, ShardReport, SpecError};
use host_registry::{
    Config, Desired, LIMIT_PREFIX, Maker, Processor, ProcessorChange, derived_name,
};
use serde_json::{Value, json};

use super::describe::{Description, list as list_of, time};
use super::{Answer, carried_out, log, registry_failure, usage};
use crate::services::Services;

pub(super) async fn create(services: &Services, who: &Principal, new: NewProcessor) -> Answer {
    let kind = new.processor_type().to_owned();
    let config = config_of(&new).to_owned();
    let options = options(services, &new.settings)?;
    let name = match &new.name {
        Some(name) => name.clone(),
        None => derived(services, &new).await?,
    };
    let pin = running(services, &kind).unwrap_or_default();
    let mut new = host_registry::NewProcessor {
        config,
        start: new.start.map_or_else(Default::default, start),
        options,
        // A type that is not installed is refused below.
        pin: Some(pin),
        maker: Maker {
            owner: Some(who.subject().clone()),
            most: services.quotas.of(who).processors,
        },
        ..host_registry::NewProcessor::named(name.clone(), &kind, new.inputs, new.outputs)
    };
    new.former = super::dead::former(services, &new.preview()).await?;
    // What somebody else added to a topic before now is no growth after the creation.
    services.processors.refresh(&new.inputs).await;
    // What exists is 409 whatever its configuration.
    services.registry.check_new_processor(&new).await.map_err(registry_failure)?;
    let candidate = services.processors.check_new(&new.preview()).await;
    candidate.map_err(candidate_failure)?;
    carried_out(services, services.registry.create_processor(new).await).await?;
    Ok(Reply::ok_with(name))
}

/// Digest of the version of a type that runs now.
pub(super) fn running(services: &Services, kind: &str) -> Option<String> {
    services.catalog.active(kind).map(|active| active.plugin.digest().to_string())
}

/// `<type>-<hash>.<namespace>`, in the namespace of the first output.
///
/// # Errors
/// When that output is not there.
pub(crate) async fn derived(services: &Services, new: &NewProcessor) -> Result<Name, Failure> {
    let first = new.outputs.first().ok_or_else(|| Failure::new(Code::BadFormat, "no output"))?;
    let flow = super::find_flow(services, first).await?;
    let (kind, config) = (new.processor_type(), config_of(new));
    derived_name(kind, &new.inputs, &new.outputs, config, &flow.namespace).map_err(registry_failure)
}

fn config_of(new: &NewProcessor) -> &str {
    new.config.as_ref().map_or("{}", Json::as_str)
}

pub(super) async fn configure(services: &Services, name: Name, config: Json) -> Answer {
    let mut processor = find(services, &name).await?;
    config.as_str().clone_into(&mut processor.config);
    services.processors.check(&processor).await.map_err(candidate_failure)?;
    let change = ProcessorChange { config: Some(processor.config), ..Default::default() };
    carried_out(services, services.registry.update_processor(&name, change).await).await?;
    Ok(Reply::ok_with(name))
}

pub(super) async fn set_options(services: &Services, name: Name, settings: &Settings) -> Answer {
    let pin = services.processors.version_of(&find(services, &name).await?);
    let change =
        ProcessorChange { options: options(services, settings)?, pin, ..Default::default() };
    let tried = |key: &String| key.starts_with(LIMIT_PREFIX) || key == "delivery";
    if change.options.keys().any(tried) {
        try_options(services, &name, &change.options).await?;
    }
    carried_out(services, services.registry.update_processor(&name, change).await).await?;
    Ok(Reply::ok_with(name))
}

pub(super) async fn reposition(
    services: &Services,
    name: Name,
    position: Start,
    state: Option<KeepState>,
) -> Answer {
    let keep = state != Some(KeepState::Reset);
    let decision = services.registry.move_processor(&name, start(position), keep).await;
    carried_out(services, decision).await?;
    Ok(Reply::ok_with(name))
}

pub(super) async fn delete(services: &Services, name: Name) -> Answer {
    // Another one in its place would carry everything a second time.
    if let Some(row) = services.registry.carried_by(&name) {
        let words =
            format!("processor {name} carries the subscription {0}: UNSUBSCRIBE {0}", row.local);
        return Err(Failure::new(Code::Conflict, words));
    }
    super::lent::check_not_carrier(services, &name)?;
    if super::mirrors::is_one(services, &name) {
        return super::mirrors::delete(services, name).await;
    }
    carried_out(services, services.registry.delete_processor(&name).await).await?;
    Ok(Reply::ok_with(name))
}

pub(super) async fn list(services: &Services, who: &Principal, format: Format) -> Answer {
    let processors = services.registry.processors().await.map_err(registry_failure)?;
    let mut described = Vec::new();
    let there = |processor: &&Processor| {
        processor.desired != Desired::Deleted && services.grants.sees(who, &processor.name)
    };
    let processors: Vec<_> = processors.iter().filter(there).collect();
    // Together, so that a broker that is away is waited for once.
    let open = processors.iter().map(|processor| super::dead::open(services, processor));
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
    described.extend(super::mirrors::list(services, who));
    Ok(list_of(described, format))
}

/// A processor by its name, or an installed type by its.
pub(super) async fn describe(
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
        let dead = super::dead::describe(services, &processor).await;
        let delivery = services.processors.delivery(&processor).await;
        let limits = services.processors.limits_of(&processor).await.map_err(registry_failure)?;
        let mut description =
            detail(services, who, &processor, report, limits.shown()).with("dead-letters", dead);
        description = super::snapshots::describe(services, description, &processor).await;
        if let Some(delivery) = delivery {
            description = description.with("delivery", delivery.word());
            if let Some(why) = delivery.why() {
                description = description.with("delivery-reason", why);
            }
        }
        return Ok(description.reply(format));
    }
    if let Some(description) =
        name.as_ref().and_then(|name| super::mirrors::describe(services, who, name))
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

/// Installed types, and files that were refused with the reason.
pub(super) async fn types(services: &Services, who: &Principal, format: Format) -> Answer {
    let snapshot = services.catalog.snapshot();
    let followers = followers(services, who).await?;
    let installed = snapshot.types.iter();
    let mut described: Vec<_> = installed
        .map(|(name, active)| (name.clone(), type_description(&snapshot, name, active, &followers)))
        .collect();
    // What lies in the operator's directory is his matter.
    let his = services.grants.may_everywhere(who, Right::Administer);
    for (file, rejected) in snapshot.rejected.iter().filter(|_| his) {
        let description = Description::default()
            .with("file", file.clone())
            .with("health", "rejected")
            .with("reason", rejected.reason.clone());
        described.push((format!("{file} rejected: {}", rejected.reason), description));
    }
    Ok(list_of(described, format))
}

/// Processors that compare a new version of their type before they take it, and that somebody may see.
async fn followers(services: &Services, who: &Principal) -> Result<Vec<Processor>, Failure> {
    let mut rows = services.registry.processors().await.map_err(registry_failure)?;
    rows.retain(|row| row.followed().is_some() && services.grants.sees(who, &row.name));
    Ok(rows)
}

fn type_description(
    snapshot: &Snapshot,
    name: &str,
    active: &Active,
    followers: &[Processor],
) -> Description {
    let info = active.plugin.info();
    let health = if active.available { "ok" } else { "removed" };
    let mut description = Description::default()
        .with("type", name)
        .with("version", info.version.clone())
        .with("digest", active.plugin.digest().to_string())
        .with("generation", active.generation)
        .with("shape", format!("{}:{}", side(info.inputs), side(info.outputs)))
        .with("contract", active.plugin.contract())
        .with("health", health);
    let interfaces = active.plugin.interfaces();
    if !interfaces.is_empty() {
        description = description.with("interfaces", interfaces.join(","));
    }
    for (key, open) in [("compared-by", true), ("held-by", false)] {
        let meant = |row: &&Processor| {
            row.kind == name && row.followed().is_some_and(|followed| followed.is_open() == open)
        };
        let names: Vec<_> =
            followers.iter().filter(meant).map(|row| row.name.to_string()).collect();
        if !names.is_empty() {
            description = description.with(key, names);
        }
    }
    let Some(state) = snapshot.states.get(name) else { return description };
    if let Some(pinned) = &state.pinned {
        description = description.with("pinned", pinned.version.clone());
    }
    if let Some(waiting) = &state.waiting {
        description = description.with("waiting", waiting.version.clone());
    }
    if let Some(before) = &active.before {
        description = description.with("on-probation-after", before.info().version.clone());
    }
    description
}

fn side(cardinality: host_plugins::Cardinality) -> &'static str {
    match cardinality {
        host_plugins::Cardinality::One => "1",
        host_plugins::Cardinality::Many => "N",
    }
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
    match phase {
        // Reasons name flows, and quote what plugins say.
        _ if !services.grants.may(who, Right::Administer, &processor.name) => description,
        Some(host_processors::Phase::Failed(reason)) => description.with("reason", reason),
        _ => match held {
            Some(held) => description.with("reason", held),
            None => match &processor.because {
                Some(because) => description.with("reason", because.clone()),
                None => description,
            },
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
    description = super::shadow::describe(description, processor, report.as_ref(), sees);
    if let Some(past) = services.processors.comparison(processor.id) {
        description = super::shadow::describe_past(description, &past, sees);
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

pub(super) async fn find(services: &Services, name: &Name) -> Result<Processor, Failure> {
    let processor = services.registry.processor(name).await.map_err(registry_failure)?;
    processor.ok_or_else(|| Failure::new(Code::NotFound, format!("processor {name}")))
}

pub(super) fn start(start: Start) -> host_registry::Start {
    match start {
        Start::Earliest => host_registry::Start::Earliest,
        Start::Latest => host_registry::Start::Latest,
        Start::Offset { partition, offset } => host_registry::Start::Offset { partition, offset },
        Start::Time(time) => host_registry::Start::Time(time.unix_millis()),
    }
}

/// Limits with which the plugin would not even start are refused, and a delivery that cannot be.
async fn try_options(services: &Services, name: &Name, options: &Config) -> Result<(), Failure> {
    let mut processor = find(services, name).await?;
    processor.options.extend(options.clone());
    services.processors.check(&processor).await.map_err(candidate_failure)
}

pub(super) fn options(services: &Services, settings: &Settings) -> Result<Config, Failure> {
    let options = settings.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let granted = services.processors.check_limits(&options);
    granted.map_err(|words| Failure::new(Code::BadFormat, words))?;
    Ok(options)
}

pub(super) fn candidate_failure(candidate: Candidate) -> Failure {
    if let Candidate::Spec(SpecError::Registry(error)) = candidate {
        return registry_failure(error);
    }
    let code = match &candidate {
        Candidate::NoType(_) => Code::NotFound,
        Candidate::Spec(SpecError::NoFlow(_)) => Code::NotFound,
        Candidate::Spec(SpecError::NoPartition { .. }) => Code::BadFormat,
        Candidate::Spec(_) | Candidate::Keys(_) => Code::Conflict,
        Candidate::Shape { .. } | Candidate::Refused(_) => Code::BadFormat,
    };
    Failure::new(code, candidate.to_string())
}
