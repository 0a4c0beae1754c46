//! PAUSE, RESUME and STOP: of a processor, of a flow, or of a subscription that others have here.

use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use host_iam::Principal;
use host_registry::{Desired, Hold};

use super::flows::streams_settled;
use super::{Answer, carried_out, registry_failure, subscriptions};
use crate::may::subscriptions::is_owner;
use crate::services::Services;

enum Thing {
    Flow,
    /// Itself, or what carries a subscription elsewhere.
    Processor(Name),
    /// By its own name.
    Subscriber(Name),
}

pub(super) async fn pause(services: &Services, who: &Principal, name: Name) -> Answer {
    let decision = match thing(services, who, &name).await? {
        Thing::Flow => {
            carried_out(services, services.registry.pause_flow(&name).await).await?;
            return flow_held(services, name).await;
        }
        Thing::Subscriber(held) => {
            return subscriptions::hold(services, name, held, Hold::Paused).await;
        }
        Thing::Processor(carrier) => services.registry.set_desired(&carrier, Desired::Paused).await,
    };
    done(services, decision, name).await
}

pub(super) async fn resume(services: &Services, who: &Principal, name: Name) -> Answer {
    let decision = match thing(services, who, &name).await? {
        Thing::Flow => {
            carried_out(services, services.registry.resume_flow(&name).await).await?;
            return flow_held(services, name).await;
        }
        Thing::Subscriber(held) => {
            return subscriptions::hold(services, name, held, Hold::Active).await;
        }
        Thing::Processor(carrier) => {
            services.registry.set_desired(&carrier, Desired::Running).await
        }
    };
    done(services, decision, name).await
}

pub(super) async fn stop(services: &Services, who: &Principal, name: Name) -> Answer {
    let decision = match thing(services, who, &name).await? {
        Thing::Flow => {
            let words = "STOP of a flow; PAUSE holds its readers and refuses WRITE";
            return Err(Failure::new(Code::NotImplemented, words));
        }
        Thing::Subscriber(held) => {
            return subscriptions::hold(services, name, held, Hold::Stopped).await;
        }
        Thing::Processor(carrier) => {
            services.registry.set_desired(&carrier, Desired::Stopped).await
        }
    };
    done(services, decision, name).await
}

/// Processors that read the flow are held, or go on.
async fn flow_held(services: &Services, name: Name) -> Answer {
    services.processors.flow_changed(&name).await.map_err(registry_failure)?;
    streams_settled(services, &name).await?;
    Ok(Reply::ok_with(name))
}

async fn done(
    services: &Services,
    decision: Result<host_registry::JournalId, host_registry::RegistryError>,
    name: Name,
) -> Answer {
    carried_out(services, decision).await?;
    Ok(Reply::ok_with(name))
}

/// Names are unique over flows, processors and subscriptions; a subscription to a flow here is its owner's thing and its
/// subscriber's, and the owner's for who is both.
async fn thing(services: &Services, who: &Principal, name: &Name) -> Result<Thing, Failure> {
    if services.registry.lent_as(name).is_some() {
        return Ok(Thing::Subscriber(name.clone()));
    }
    // What fills a topic does as its subscription says.
    if let Some(row) = services.registry.lent_through(name) {
        return Ok(Thing::Subscriber(row.name));
    }
    if services.registry.processor(name).await.map_err(registry_failure)?.is_some() {
        return Ok(Thing::Processor(name.clone()));
    }
    let his = services.registry.subscription(name).filter(|row| row.remote.as_ref() == Some(name));
    if let Some(row) = his.filter(|row| !row.here || !is_owner(services, who, name)) {
        return Ok(Thing::Processor(row.processor));
    }
    if services.registry.subscriber(name).is_some() {
        return Ok(Thing::Subscriber(name.clone()));
    }
    if services.registry.flow(name).await.map_err(registry_failure)?.is_some() {
        return Ok(Thing::Flow);
    }
    Err(Failure::new(Code::NotFound, format!("flow or processor {name}")))
}
