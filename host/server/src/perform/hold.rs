//! PAUSE, RESUME and STOP: of a processor, of a flow, or of a subscription that others have here.

use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use host_registry::{Desired, Hold};

use super::flows::streams_settled;
use super::{Answer, carried_out, registry_failure, subscriptions};
use crate::services::Services;

enum Thing {
    Flow,
    /// Itself, or what carries a subscription elsewhere.
    Processor(Name),
    /// By its own name.
    Subscriber(Name),
}

pub(super) async fn pause(services: &Services, name: Name) -> Answer {
    let decision = match thing(services, &name).await? {
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

pub(super) async fn resume(services: &Services, name: Name) -> Answer {
    let decision = match thing(services, &name).await? {
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

pub(super) async fn stop(services: &Services, name: Name) -> Answer {
    let decision = match thing(services, &name).await? {
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

/// Names are unique over flows, processors and subscriptions.
async fn thing(services: &Services, name: &Name) -> Result<Thing, Failure> {
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
    let elsewhere = services.registry.subscription(name);
    if let Some(row) = elsewhere.filter(|row| row.remote.as_ref() == Some(name)) {
        return Ok(Thing::Processor(row.processor));
    }
    if services.registry.flow(name).await.map_err(registry_failure)?.is_some() {
        return Ok(Thing::Flow);
    }
    if services.registry.subscriber(name).is_some() {
        return Ok(Thing::Subscriber(name.clone()));
    }
    Err(Failure::new(Code::NotFound, format!("flow or processor {name}")))
}
