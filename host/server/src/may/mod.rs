//! May he do that: what a command needs, and whether somebody has it.
//!
//! Asked before a command is performed, and from rights alone: whether something exists plays no part, so that no
//! answer tells it to who may not know. Where somebody has no right at all on a name he hears what he would
//! hear if there were nothing of that name; where he has another one than is needed, that it is not granted.

mod needs;
pub(crate) mod subscriptions;

use fnap::command::Command;
use fnap::name::Name;
use fnap::reply::{Code, Failure};
use fnap::rights::{Object, Right};
use fnap::value::Settings;
use host_iam::Principal;
use host_registry::ADOPT;

use crate::perform::{mirrors, processors, registry_failure};
use crate::services::Services;
use needs::{Kind, Need, needs};

/// Whether somebody may have a command performed.
///
/// # Errors
/// `404` where he may not know that there is something, `403` where he may know and no more.
pub(crate) async fn check(
    services: &Services,
    who: &Principal,
    command: &Command,
) -> Result<(), Failure> {
    for need in needs(command) {
        match need {
            Need::Anyone | Need::Performer => {}
            Need::Host => host(services, who)?,
            Need::On(right, kind, name) => one(services, who, right, kind, &name)?,
            Need::OnObject(right, Object::Everything) => everything(services, who, right)?,
            Need::OnObject(right, Object::Name(name)) => {
                one(services, who, right, Kind::Thing, &name)?;
            }
            Need::Held(name) if subscriptions::is_owner(services, who, &name) => {}
            Need::Held(name) => {
                one(services, who, Right::Administer, Kind::FlowOrProcessor, &name)?;
            }
            Need::Sight(_, name) if services.grants.sees(who, &name) => {}
            Need::Sight(kind, name) => return Err(kind.absent(&name)),
        }
    }
    beyond(services, who, command).await?;
    later(services, who, command)
}

/// What runs on while whoever made it is away needs its rights then, too, when no token names his groups.
fn later(services: &Services, who: &Principal, command: &Command) -> Result<(), Failure> {
    if !matches!(command, Command::CreateProcessor(_) | Command::CreateMirror(_)) {
        return Ok(());
    }
    for need in needs(command) {
        let Need::On(right, _, name) = need else { continue };
        if !services.grants.owner_may(Some(who.subject()), right, &name) {
            let words = format!(
                "{right} on {name} is granted by groups of a token alone, and a processor runs while its owner is away: it takes a grant to {}, or groups in the users file",
                who.subject()
            );
            return Err(Failure::new(Code::Forbidden, words));
        }
    }
    Ok(())
}

/// Whether somebody has a right on a flow.
///
/// # Errors
/// As [`check`].
pub(crate) fn on_flow(
    services: &Services,
    who: &Principal,
    right: Right,
    flow: &Name,
) -> Result<(), Failure> {
    one(services, who, right, Kind::Flow, flow)
}

/// What somebody is told who is not allowed something that he knows of.
pub(crate) fn forbidden(right: Right, on: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Forbidden, format!("{right} on {on} is not granted"))
}

fn one(
    services: &Services,
    who: &Principal,
    right: Right,
    kind: Kind,
    name: &Name,
) -> Result<(), Failure> {
    let rights = services.grants.rights(who, name);
    if rights.allow(right) {
        Ok(())
    } else if rights.is_empty() {
        Err(kind.absent(name))
    } else {
        Err(forbidden(right, name))
    }
}

/// Whether somebody may have a name for what he makes. Whether it is taken plays no part.
pub(crate) fn place(services: &Services, who: &Principal, name: &Name) -> Result<(), Failure> {
    one(services, who, Right::Administer, Kind::Place, name)
}

/// That there is a host is no secret: it is said what is missing.
fn everything(services: &Services, who: &Principal, right: Right) -> Result<(), Failure> {
    if services.grants.may_everywhere(who, right) {
        return Ok(());
    }
    Err(forbidden(right, &Object::Everything))
}

fn host(services: &Services, who: &Principal) -> Result<(), Failure> {
    everything(services, who, Right::Administer)
}

/// What reaches beyond the names that it is about: topics of a broker that are no flow's, or a name elsewhere.
async fn beyond(services: &Services, who: &Principal, command: &Command) -> Result<(), Failure> {
    match command {
        Command::CreateFlow { flow, settings }
            if takes_elsewhere(services, flow, settings).await? =>
        {
            host(services, who)
        }
        // Whoever holds a flow reads what its topic holds, whosever that was.
        Command::UpdateFlow { settings, .. } if settings.get("topic").is_some() => {
            host(services, who)
        }
        Command::UpdateNamespace { settings, .. } if settings.get(ADOPT).is_some() => {
            host(services, who)
        }
        Command::CreateProcessor(new) => {
            let Some(name) = &new.name else { return Ok(()) };
            if processors::derived(services, new).await.is_ok_and(|derived| derived == *name) {
                return Ok(());
            }
            place(services, who, name)
        }
        Command::CreateMirror(new) => {
            let Some(name) = &new.name else { return Ok(()) };
            if mirrors::derived(services, new).await.is_ok_and(|derived| derived == *name) {
                return Ok(());
            }
            place(services, who, name)
        }
        _ => Ok(()),
    }
}

/// Whether a flow would have a topic that is there, or one on another broker than its namespace's.
async fn takes_elsewhere(
    services: &Services,
    flow: &Name,
    settings: &Settings,
) -> Result<bool, Failure> {
    let Some(broker) = settings.get("broker") else { return Ok(settings.get("topic").is_some()) };
    let namespace = services.registry.namespace_of(flow).await.map_err(registry_failure)?;
    let own = namespace.is_some_and(|namespace| namespace.broker == *broker);
    Ok(!own || settings.get("topic").is_some())
}
