//! Another version of a processor's plugin beside the one that counts: which one is meant, and whether it would
//! take the processor over; and what two versions do with past events.

use fnap::command::{Origin, ShadowStep, Start};
use fnap::name::Name;
use fnap::reply::{Code, Reply};
use fnap::rights::Right;
use fnap::value::Word;
use host_events::clock::millis;
use host_iam::Principal;
use host_plugins::Plugin;
use host_plugins::catalog::VersionError;
use host_processors::{Begin, Difference, PastError, PastReport, Report, ShadowReport, Span};
use host_registry::{Processor, ProcessorChange, ShadowChange};
use serde_json::{Value, json};

use super::describe::{Description, time};
use super::processors::{candidate_failure, find, running, start};
use super::{Answer, Failure, carried_out, registry_failure};
use crate::services::Services;

/// Shortest beginning of a digest that names a version: git's is as long, and a version is never so.
const DIGEST_OCTETS: usize = 8;

/// Begins a shadow, lets it take over, or ends it.
pub(super) async fn step(services: &Services, name: Name, step: ShadowStep) -> Answer {
    let processor = find(services, &name).await?;
    let shadow = match step {
        ShadowStep::Begin(word) => begin(services, processor, &word).await?,
        ShadowStep::Promote(word) => promote(services, processor, word.as_ref()).await?,
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

/// What takes over is what was compared, whatever lies in the directory by now.
async fn promote(
    services: &Services,
    processor: Processor,
    word: Option<&Word>,
) -> Result<ShadowChange, Failure> {
    let conflict = |words: String| Failure::new(Code::Conflict, words);
    let name = processor.name.clone();
    let Some(digest) = processor.shadow.clone() else {
        return Err(conflict(format!("processor {name} has no shadow")));
    };
    let loaded = services.catalog.version(&digest).await;
    let loaded =
        loaded.map_err(|error| conflict(format!("the shadow of processor {name}: {error}")))?;
    let version = &loaded.info().version;
    if let Some(word) = word.filter(|word| !is_called(word.as_str(), &digest, version)) {
        let short = digest.get(..12).unwrap_or(&digest);
        let words = format!("the shadow of processor {name} is {version} ({short}), not {word}");
        return Err(conflict(words));
    }
    let withheld = services.catalog.withheld(&processor.kind, &digest);
    if let Some(reason) = withheld.filter(|_| processor.is_shadow_first()) {
        return Err(conflict(format!("version {version} was rejected: {reason}")));
    }
    would_run(services, Processor { pinned: Some(digest.clone()), ..processor }).await?;
    Ok(ShadowChange::Promote(digest))
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
    from: Option<Origin>,
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
        from: match from.unwrap_or(Origin::Start(Start::Earliest)) {
            Origin::Start(from) => Begin::Start(start(from)),
            Origin::Snapshot(number) => Begin::Snapshot(number),
        },
        to: start(to.unwrap_or(Start::Latest)),
    };
    let begun = services.processors.compare_past(&processor, other, span, who).await;
    begun.map_err(|error| {
        let code = match error {
            PastError::Span(_) => Code::OutOfRange,
            PastError::NoSnapshot { .. } => Code::NotFound,
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
    let kept = services.registry.kept_versions(kind).await.map_err(registry_failure)?;
    let none = || Failure::new(Code::NotFound, format!("version {word} of processor type {kind}"));
    let meant = kept.into_iter().find(|ran| is_called(word, &ran.digest, &ran.version));
    let digest = meant.ok_or_else(none)?.digest;
    services.catalog.version(&digest).await.map_err(|error| match error {
        // It was forgotten meanwhile.
        VersionError::Gone => none(),
        error => Failure::new(Code::Conflict, format!("version {word} of {kind}: {error}")),
    })
}

/// Whether a word means a version: what that calls itself, or the beginning of its digest.
fn is_called(word: &str, digest: &str, version: &str) -> bool {
    let is_digest =
        word.len() >= DIGEST_OCTETS && word.bytes().all(|octet| octet.is_ascii_hexdigit());
    if is_digest { digest.starts_with(word) } else { version == word }
}

/// What a description says of the shadow of a processor; `his` says whether he may see what events hold.
pub(super) fn describe(
    description: Description,
    processor: &Processor,
    report: Option<&Report>,
    his: bool,
) -> Description {
    let Some(digest) = &processor.shadow else { return description };
    let shards = report.iter().flat_map(|report| &report.shards);
    let found = shards.filter_map(|shard| shard.shadow.clone());
    let mut found = found.filter(|found| found.digest == *digest);
    let Some(mut all) = found.next() else {
        // No shard runs, or none has got as far.
        let description = description.with("shadow.state", "waiting");
        return description.with("shadow.digest", digest.clone());
    };
    found.for_each(|other| all.add(other));
    let state = match (&all.problem, all.is_ended) {
        (Some(_), _) => "failed",
        (None, true) => "ended",
        (None, false) => "running",
    };
    found_of(description.with("shadow.state", state), "shadow", &all, his)
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
    found_of(description, "comparison", &past.found, his)
}

fn found_of(
    mut description: Description,
    what: &str,
    all: &ShadowReport,
    his: bool,
) -> Description {
    let ShadowReport { digest, version, since, problem, examples, .. } = all;
    let key = |name: &str| format!("{what}.{name}");
    description = description
        .with(&key("version"), version.clone())
        .with(&key("digest"), digest.clone())
        .with(&key("since"), time(millis(*since)))
        .with(&key("agree"), all.agree)
        .with(&key("differ"), all.differ)
        .with(&key("emitted-agree"), all.emitted_agree)
        .with(&key("emitted-differ"), all.emitted_differ)
        .with(&key("state-differ"), all.state_differ)
        .with(&key("skipped"), all.skipped);
    if let Some(ticks) = &all.ticks {
        description = description.with(&key("ticks"), ticks.clone());
    }
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
