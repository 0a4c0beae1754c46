//! REPLICATE and COLLECT with a pattern: asked for, looked at, ended.
//!
//! What a pattern makes are ordinary flows and processors; they stay when it ends.

use fnap::command::{MirrorTo, NewMirror};
use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use fnap::rights::Right;
use fnap::value::Json;
use host_iam::Principal;
use host_registry::{MAX_MIRRORS_OF_ONE, Mirror, derived_name};

use super::describe::{Description, time};
use super::{Answer, carried_out, processors, registry_failure};
use crate::services::Services;

pub(super) async fn create(services: &Services, who: &Principal, new: NewMirror) -> Answer {
    let config = config_of(&new).to_owned();
    let name = match &new.name {
        Some(name) => name.clone(),
        None => derived(services, &new).await?,
    };
    let mirror = Mirror {
        name,
        from: new.from,
        to: new.to,
        start: new.start.map_or_else(Default::default, processors::start),
        options: processors::options(services, &new.settings)?,
        config,
        owner: Some(who.subject().clone()),
        created_at: 0,
        made: 0,
    };
    if services.catalog.active(mirror.kind()).is_none() {
        let words = format!("no processor type {} is installed", mirror.kind());
        return Err(Failure::new(Code::NotFound, words));
    }
    let name = mirror.name.clone();
    let is_operator = services.grants.may_everywhere(who, Right::Administer);
    let most = (!is_operator).then_some(MAX_MIRRORS_OF_ONE);
    carried_out(services, services.registry.create_mirror(mirror, most).await).await?;
    // So that whoever waits for the reply sees what was made of what is there.
    services.processors.take_in_soon().await;
    Ok(Reply::ok_with(name))
}

/// `<type>-<hash>.<namespace>`, the hash over the patterns.
///
/// # Errors
/// When the output is no name, or lies nowhere.
pub(crate) async fn derived(services: &Services, new: &NewMirror) -> Result<Name, Failure> {
    let config = config_of(new);
    let (kind, output, to) = match &new.to {
        MirrorTo::One(to) => ("collector", Ok(to.clone()), to.to_string()),
        MirrorTo::Each(to) => ("bridge", to.fill("x"), to.to_string()),
    };
    let output = output.map_err(|error| Failure::new(Code::BadFormat, error.to_string()))?;
    let namespace = services.registry.namespace_of(&output).await.map_err(registry_failure)?;
    let none = || Failure::new(Code::NotFound, format!("no namespace of this host holds {output}"));
    let namespace = namespace.ok_or_else(none)?.name;
    let what = format!("{} {to} {config}", new.from);
    derived_name(kind, &[], &[], &what, &namespace).map_err(registry_failure)
}

fn config_of(new: &NewMirror) -> &str {
    new.config.as_ref().map_or("{}", Json::as_str)
}

pub(super) fn is_one(services: &Services, name: &Name) -> bool {
    services.registry.mirrors().iter().any(|mirror| mirror.name == *name)
}

pub(super) async fn delete(services: &Services, name: Name) -> Answer {
    carried_out(services, services.registry.delete_mirror(&name).await).await?;
    Ok(Reply::ok_with(name))
}

pub(super) fn list(services: &Services, who: &Principal) -> Vec<(String, Description)> {
    let mut mirrors = services.registry.mirrors();
    mirrors.retain(|mirror| services.grants.sees(who, &mirror.name));
    let described =
        mirrors.iter().map(|mirror| (mirror.name.to_string(), summary(services, who, mirror)));
    described.collect()
}

pub(super) fn describe(services: &Services, who: &Principal, name: &Name) -> Option<Description> {
    let mirror = services.registry.mirrors().into_iter().find(|mirror| mirror.name == *name)?;
    let description = summary(services, who, &mirror);
    if !services.grants.may(who, Right::Administer, name) {
        return Some(description);
    }
    let taken = services.processors.taken_by(&mirror);
    let taken: Vec<String> = taken.iter().map(ToString::to_string).collect();
    let troubles = services.processors.troubles(name.as_str());
    let description = description
        .with("config", mirror.config.clone())
        .with("created", time(mirror.created_at))
        .with_all("option.", &mirror.options)
        .with("flows", taken)
        .with("trouble", troubles);
    Some(description)
}

fn summary(services: &Services, who: &Principal, mirror: &Mirror) -> Description {
    let troubles = services.processors.troubles(mirror.name.as_str());
    let to = match &mirror.to {
        MirrorTo::Each(to) => to.to_string(),
        MirrorTo::One(to) => to.to_string(),
    };
    let description = Description::default()
        .with("processor", mirror.name.to_string())
        .with("type", mirror.kind())
        .with("state", if troubles.is_empty() { "pattern" } else { "failed" })
        .with("from-pattern", mirror.from.to_string())
        .with("to-pattern", to)
        .with("taken", services.processors.taken_by(mirror).len())
        .with_owner(mirror.owner.as_ref());
    match troubles.first() {
        // It names flows.
        Some(trouble) if services.grants.may(who, Right::Administer, &mirror.name) => {
            description.with("reason", trouble.clone())
        }
        _ => description,
    }
}
