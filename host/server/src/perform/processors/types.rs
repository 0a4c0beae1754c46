//! What is shown of processor types.

use fnap::command::Format;
use fnap::reply::Failure;
use fnap::rights::Right;
use host_iam::Principal;
use host_plugins::catalog::{Active, Snapshot};
use host_registry::Processor;

use crate::perform::describe::{Description, list as list_of};
use crate::perform::{Answer, registry_failure};
use crate::services::Services;

/// Installed types, and files that were refused with the reason.
pub(in crate::perform) async fn types(
    services: &Services,
    who: &Principal,
    format: Format,
) -> Answer {
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
pub(super) async fn followers(
    services: &Services,
    who: &Principal,
) -> Result<Vec<Processor>, Failure> {
    let mut rows = services.registry.processors().await.map_err(registry_failure)?;
    rows.retain(|row| row.followed().is_some() && services.grants.sees(who, &row.name));
    Ok(rows)
}

pub(super) fn type_description(
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
