//! Another version of a processor's plugin beside the one that counts: which one is meant, and whether it would
//! take the processor over; and what two versions do with past events.

use fnap::command::{ShadowStep, Start};
use fnap::name::Name;
use fnap::reply::{Code, Reply};
use fnap::rights::Right;
use fnap::value::Word;
use host_iam::Principal;
use host_plugins::Plugin;
use host_processors::{Difference, PastError, PastReport, Report, ShadowReport, Span};
use host_registry::{Processor, ProcessorChange, ShadowChange};
use serde_json::{Value, json};

use super::describe::{Description, time};
use super::processors::{candidate_failure, find, running, start};
use super::{Answer, Failure, carried_out, registry_failure};
use crate::services::Services;

/// Shortest beginning of a digest that names a version: git's is as long, and a version is never so.
const DIGEST_OCTETS: usize = 8;

/// Versions of a type that are looked through for one that is named by its number; each has to be loaded.
const VERSIONS: usize = 64;

/// Begins a shadow, lets it take over, or ends it.
pub(super) async fn step(services: &Services, name: Name, step: ShadowStep) -> Answer {
    let processor = find(services, &name).await?;
    let shadow = match step {
        ShadowStep::Begin(word) => begin(services, processor, &word).await?,
        ShadowStep::Promote => {
            let digest = processor.shadow.clone();
            if digest.is_some() {
                would_run(services, Processor { pinned: digest, ..processor }).await?;
            }
            ShadowChange::Promote
        }
        ShadowStep::Discard => ShadowChange::Discard,
    };
    let change = ProcessorChange { shadow: Some(shadow), ..Default::default() };
    carried_out(services, services.registry.update_processor(&name, change).await).await?;
    Ok(Reply::ok_with(name))
}

async fn begin(
    services: &Services,
    processor: Processor,
    word: &Word,
) -> Result<ShadowChange, Failure> {
    let plugin = version(services, &processor.kind, word.as_str()).await?;
    let digest = plugin.digest().to_string();
    let runs = processor.pinned.clone().or_else(|| running(services, &processor.kind));
    if runs.as_ref() == Some(&digest) {
        let version = &plugin.info().version;
        let words = format!("processor {} runs version {version} already", processor.name);
        return Err(Failure::new(Code::Conflict, words));
    }
    would_run(services, Processor { pinned: Some(digest.clone()), ..processor }).await?;
    Ok(ShadowChange::Begin(digest))
}

/// Begins to compare two versions over past events.
///
/// # Errors
/// `403` where who asks may not read what it is about: what differs is shown.
pub(super) async fn compare(
    services: &Services,
    who: &Principal,
    name: Name,
    word: &Word,
    from: Option<Start>,
    to: Option<Start>,
) -> Answer {
    let processor = find(services, &name).await?;
    let unread = |input: &&Name| !services.grants.may(who, Right::Read, input);
    if let Some(input) = processor.inputs.iter().find(unread) {
        let words = format!("{} on {input} is not granted", Right::Read);
        return Err(Failure::new(Code::Forbidden, words));
    }
    let other = version(services, &processor.kind, word.as_str()).await?;
    let pinned = Some(other.digest().to_string());
    would_run(services, Processor { pinned, ..processor.clone() }).await?;
    let span = Span {
        from: start(from.unwrap_or(Start::Earliest)),
        to: start(to.unwrap_or(Start::Latest)),
    };
    let begun = services.processors.compare_past(&processor, other, span).await;
    begun.map_err(|error| {
        let code = match error {
            PastError::Span(_) => Code::OutOfRange,
            PastError::UnderWay(_)
            | PastError::TooMany
            | PastError::Spec(_)
            | PastError::NoPlugin(_) => Code::Conflict,
        };
        Failure::new(code, error.to_string())
    })?;
    Ok(Reply::ok_with(name))
}

/// Ends a comparison and forgets what it found.
pub(super) async fn stop_comparing(services: &Services, name: Name) -> Answer {
    let processor = find(services, &name).await?;
    if !services.processors.end_comparison(processor.id) {
        let words = format!("a comparison of processor {name}");
        return Err(Failure::new(Code::NotFound, words));
    }
    Ok(Reply::ok_with(name))
}

async fn would_run(services: &Services, processor: Processor) -> Result<(), Failure> {
    services.processors.check(&processor).await.map_err(candidate_failure)
}

/// The newest version of a type that is called so, or whose digest begins so.
async fn version(services: &Services, kind: &str, word: &str) -> Result<Plugin, Failure> {
    let versions = services.registry.plugin_versions(kind).await.map_err(registry_failure)?;
    let is_digest =
        word.len() >= DIGEST_OCTETS && word.bytes().all(|octet| octet.is_ascii_hexdigit());
    let none = || Failure::new(Code::NotFound, format!("version {word} of processor type {kind}"));
    if is_digest {
        let digest = versions.into_iter().find(|version| version.digest.starts_with(word));
        let digest = digest.ok_or_else(none)?.digest;
        let failed =
            |error| Failure::new(Code::Conflict, format!("version {word} of {kind}: {error}"));
        return services.catalog.version(&digest).await.map_err(failed);
    }
    for row in versions.into_iter().take(VERSIONS) {
        // One whose bytes are not kept is not to be had.
        if let Ok(plugin) = services.catalog.version(&row.digest).await
            && plugin.info().version == word
        {
            return Ok(plugin);
        }
    }
    Err(none())
}

/// What a description says of the shadow of a processor; `his` says whether he may see what events hold.
pub(super) fn describe(description: Description, report: &Report, his: bool) -> Description {
    let mut shadows = report.shards.iter().filter_map(|shard| shard.shadow.clone());
    let Some(mut all) = shadows.next() else { return description };
    shadows.for_each(|other| all.add(other));
    let state = if all.problem.is_some() { "failed" } else { "running" };
    found(description.with("shadow.state", state), "shadow", &all, his)
}

/// What it says of a comparison over past events.
pub(super) fn describe_past(description: Description, past: &PastReport, his: bool) -> Description {
    let state = match (&past.found.problem, past.runs) {
        (Some(_), _) => "failed",
        (None, true) => "running",
        (None, false) => "done",
    };
    let description = description
        .with("comparison.state", state)
        .with("comparison.done", past.done)
        .with("comparison.all", past.all);
    found(description, "comparison", &past.found, his)
}

fn found(mut description: Description, what: &str, all: &ShadowReport, his: bool) -> Description {
    let ShadowReport { digest, version, since, problem, examples, .. } = all;
    let since = since.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let key = |name: &str| format!("{what}.{name}");
    description = description
        .with(&key("version"), version.clone())
        .with(&key("digest"), digest.clone())
        .with(&key("since"), time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
        .with(&key("agree"), all.agree)
        .with(&key("differ"), all.differ)
        .with(&key("emitted-agree"), all.emitted_agree)
        .with(&key("emitted-differ"), all.emitted_differ)
        .with(&key("state-differ"), all.state_differ)
        .with(&key("skipped"), all.skipped);
    if let Some(problem) = problem.as_ref().filter(|_| his) {
        description = description.with(&key("reason"), problem.clone());
    }
    if his && !examples.is_empty() {
        let examples: Vec<Value> = examples.iter().map(example).collect();
        description = description.with(&key("example"), examples);
    }
    description
}

fn example(difference: &Difference) -> Value {
    let Difference { event, counts, shadow } = difference;
    json!({ "event": event, "counts": counts, "shadow": shadow })
}
