//! Processors: asked for, changed, moved, looked at, taken away.

mod shown;
mod types;

use fnap::command::{KeepState, NewProcessor, Start};
use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use fnap::value::{Json, Settings};
use host_iam::Principal;
use host_processors::{Candidate, SpecError};
use host_registry::{Config, LIMIT_PREFIX, Maker, Processor, ProcessorChange, derived_name};

use super::{Answer, carried_out, registry_failure};
use crate::services::Services;
pub(super) use shown::{describe, list};
pub(super) use types::types;

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
        Candidate::Shape { .. } | Candidate::Refused(_) | Candidate::Place(_) => Code::BadFormat,
    };
    Failure::new(code, candidate.to_string())
}
