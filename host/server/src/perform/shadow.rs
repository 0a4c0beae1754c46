//! Another version of a processor's plugin beside the one that counts: which one is meant, and whether it would
//! take the processor over.

use fnap::command::ShadowStep;
use fnap::name::Name;
use fnap::reply::{Code, Reply};
use fnap::value::Word;
use host_plugins::Plugin;
use host_processors::{Difference, Report, ShadowReport};
use host_registry::{Processor, ProcessorChange, ShadowChange};
use serde_json::{Value, json};

use super::describe::{Description, time};
use super::processors::{candidate_failure, find, running};
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
pub(super) fn describe(mut description: Description, report: &Report, his: bool) -> Description {
    let mut shadows = report.shards.iter().filter_map(|shard| shard.shadow.clone());
    let Some(mut all) = shadows.next() else { return description };
    shadows.for_each(|other| all.add(other));
    let ShadowReport { digest, version, since, problem, examples, .. } = &all;
    let since = since.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    description = description
        .with("shadow.version", version.clone())
        .with("shadow.digest", digest.clone())
        .with("shadow.state", if problem.is_some() { "failed" } else { "running" })
        .with("shadow.since", time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
        .with("shadow.agree", all.agree)
        .with("shadow.differ", all.differ)
        .with("shadow.emitted-agree", all.emitted_agree)
        .with("shadow.emitted-differ", all.emitted_differ)
        .with("shadow.state-differ", all.state_differ)
        .with("shadow.skipped", all.skipped);
    if let Some(problem) = problem.as_ref().filter(|_| his) {
        description = description.with("shadow.reason", problem.clone());
    }
    if his && !examples.is_empty() {
        let examples: Vec<Value> = examples.iter().map(example).collect();
        description = description.with("shadow.example", examples);
    }
    description
}

fn example(difference: &Difference) -> Value {
    let Difference { event, counts, shadow } = difference;
    json!({ "event": event, "counts": counts, "shadow": shadow })
}
