//! Commands, performed: from what a session asks to a reply.
//!
//! What this host does not have yet answers `501 NOT_IMPLEMENTED`; nothing is faked.

mod dead;
mod describe;
mod flows;
mod grants;
mod hold;
mod lent;
mod log;
pub(crate) mod mirrors;
mod namespaces;
mod outside;
mod participant;
pub(crate) mod processors;
mod shadow;
mod snapshots;
mod subscribed;
pub(crate) mod subscriptions;
mod taking;
mod usage;

use std::fmt::Display;
use std::time::Duration;

use fnap::command::Command;
use fnap::name::Name;
use fnap::reply::{Code, Failure, Reply};
use host_brokers::BrokerError;
use host_iam::Principal;
use host_observe::{Outcome, Verb};
use host_registry::{Flow, JournalId, RegistryError};

use crate::by;
use crate::may;
use crate::may::subscriptions::From;
use crate::services::Services;

type Answer = Result<Reply, Failure>;

/// Performs a command. READ and WRITE have modules of their own.
pub(crate) async fn perform(services: &Services, principal: &Principal, command: Command) -> Reply {
    tracing::debug!(principal = principal.name(), command = by::shown(&command), "command");
    let shown = Verb::of(&command);
    let answer = match may::check(services, principal, &command).await {
        Ok(()) => dispatch(services, principal, command).await,
        Err(failure) => Err(failure),
    };
    let reply = answer.unwrap_or_else(Reply::from);
    let refusal = match &reply {
        Reply::Error(failure) => Some(failure.code),
        _ => None,
    };
    services.traffic.commands.count_verb(shown, outcome(refusal));
    reply
}

/// Counts a command that is performed elsewhere, and how it was answered.
pub(crate) fn count(services: &Services, command: &dyn Display, refusal: Option<Code>) {
    services.traffic.commands.count_verb(Verb::of(command), outcome(refusal));
}

fn outcome(refusal: Option<Code>) -> Outcome {
    match refusal.map(Code::number) {
        None => Outcome::Ok,
        Some(..500) => Outcome::Refused,
        Some(_) => Outcome::Failed,
    }
}

async fn dispatch(services: &Services, who: &Principal, command: Command) -> Answer {
    match command {
        Command::CreateNamespace { namespace, broker } => {
            namespaces::create(services, who, namespace, broker).await
        }
        Command::UpdateNamespace { namespace, settings } => {
            namespaces::update(services, namespace, &settings).await
        }
        Command::DeleteNamespace { namespace } => namespaces::delete(services, namespace).await,
        Command::DescribeNamespace { namespace, format } => {
            namespaces::describe(services, namespace, format).await
        }
        Command::GetNamespaces { format } => namespaces::list(services, who, format).await,

        Command::CreateFlow { flow, settings } => {
            flows::create(services, who, flow, &settings).await
        }
        Command::UpdateFlow { flow, settings } => flows::update(services, flow, &settings).await,
        Command::DeleteFlow { flow } => flows::delete(services, flow).await,
        Command::PurgeFlow { flow } => flows::purge(services, flow).await,
        Command::DescribeFlow { flow, format } => {
            flows::describe(services, who, flow, format).await
        }
        Command::GetFlows { namespace, format } => {
            flows::list(services, who, namespace, format).await
        }

        Command::CreateProcessor(new) => processors::create(services, who, new).await,
        Command::CreateMirror(new) => mirrors::create(services, who, new).await,
        Command::ConfigureProcessor { processor, config } => {
            processors::configure(services, processor, config).await
        }
        Command::UpdateProcessor { processor, settings } => {
            processors::set_options(services, processor, &settings).await
        }
        Command::MoveProcessor { processor, position, state } => {
            processors::reposition(services, processor, position, state).await
        }
        Command::ShadowProcessor { processor, step } => {
            shadow::step(services, processor, step).await
        }
        Command::Compare { processor, version, from, to } => {
            shadow::compare(services, who, processor, &version, from, to).await
        }
        Command::StopComparing { processor } => shadow::stop_comparing(services, processor).await,
        Command::Snapshot { processor, forget } => {
            snapshots::snapshot(services, processor, forget).await
        }
        Command::DeleteProcessor { processor } => processors::delete(services, processor).await,
        Command::Replay { processor, letters } => dead::replay(services, processor, letters).await,
        Command::Discard { processor, letters } => {
            dead::discard(services, processor, letters).await
        }
        Command::DescribeProcessor { processor, format } => {
            processors::describe(services, who, &processor, format).await
        }
        Command::GetLog { processor, since, format } => {
            log::get(services, &processor, since, format).await
        }
        Command::GetProcessors { format } => processors::list(services, who, format).await,
        Command::GetProcessorTypes { format } => processors::types(services, who, format).await,

        Command::Grant(grant) => grants::grant(services, who, grant).await,
        Command::Revoke(grant) => grants::revoke(services, who, grant).await,
        Command::GetGrants { object, subject, format } => {
            grants::list(services, who, object.as_ref(), subject, format)
        }

        Command::Subscribe { flow, local: None, settings } => {
            subscriptions::subscribe(services, who, flow, &settings, From::Connection).await
        }
        Command::Subscribe { flow, local: Some(local), settings } => {
            subscribed::subscribe(services, who, flow, local, &settings).await
        }
        Command::Unsubscribe { subscription, settings } if !settings.is_empty() => {
            subscriptions::withdraw(services, who, subscription, &settings).await
        }
        Command::Unsubscribe { subscription, .. } => {
            match subscribed::find(services, who, &subscription) {
                Some(row) => subscribed::unsubscribe(&services.peers, &row).await,
                None => subscriptions::unsubscribe(services, who, subscription).await,
            }
        }
        Command::GetSubscriptions { format } => subscribed::list(services, who, format).await,
        Command::GetSubscribers { flow, format } => {
            subscriptions::subscribers(services, flow, format).await
        }
        Command::GetCredentials { subscription, format } => {
            lent::credentials(services, who, subscription, format).await
        }
        Command::RemoveSubscriber { subscription } => {
            subscriptions::remove(services, who, subscription).await
        }
        Command::GetRequests { format } => Ok(subscriptions::requests(services, who, format)),
        Command::Approve { request, filter, policy } => {
            subscriptions::approve(services, who, &request, filter, policy).await
        }
        Command::Deny { request, reason } => {
            subscriptions::deny(services, who, &request, reason).await
        }

        Command::Pause { name } => hold::pause(services, who, name).await,
        Command::Resume { name } => hold::resume(services, who, name).await,
        Command::Stop { name } => hold::stop(services, who, name).await,

        Command::GetBrokers { format } => Ok(participant::brokers(services, format)),
        Command::DescribeBroker { broker, format } => {
            participant::describe_broker(services, &broker, format)
        }
        Command::GetAgents { format } => Ok(outside::agents(services, format)),
        Command::DescribeAgent { namespace, format } => {
            outside::describe_agent(services, namespace, format).await
        }
        Command::DescribeNameserver { namespace, format } => {
            outside::describe_nameserver(services, who, namespace, format).await
        }
        other => Err(Failure::new(Code::NotImplemented, verb(&other))),
    }
}

/// The words of a command that say what it is, for `501`.
fn verb(command: &Command) -> String {
    let line = command.to_string();
    let words = line.split(' ').take_while(|word| word.chars().all(|c| c.is_ascii_uppercase()));
    words.collect::<Vec<_>>().join(" ")
}

/// A flow that can be used.
pub(crate) async fn find_flow(services: &Services, name: &Name) -> Result<Flow, Failure> {
    let flow = services.registry.flow(name).await.map_err(registry_failure)?;
    match flow {
        Some(flow) if flow.is_usable() => Ok(flow),
        _ => Err(Failure::new(Code::NotFound, format!("flow {name}"))),
    }
}

/// Waits until a decision is carried out.
async fn carried_out(
    services: &Services,
    decision: Result<JournalId, RegistryError>,
) -> Result<(), Failure> {
    let entry = decision.map_err(registry_failure)?;
    services.reconciler.wait(entry).await.map_err(registry_failure)
}

/// What a registry's error means to a client.
pub(crate) fn registry_failure(error: RegistryError) -> Failure {
    let code = match &error {
        RegistryError::NotFound { .. } | RegistryError::NoNamespace { .. } => Code::NotFound,
        RegistryError::Conflict { .. } | RegistryError::TooMany { .. } => Code::Conflict,
        RegistryError::OverQuota { .. } => {
            let retry_after = QUOTA_WAIT.as_secs();
            return Failure::new(Code::RateLimit, format!("retry-after={retry_after} {error}"));
        }
        RegistryError::Beyond { .. } | RegistryError::Denied { .. } => Code::Forbidden,
        RegistryError::Invalid { .. } => Code::BadFormat,
        RegistryError::Full(_) | RegistryError::ReadOnly(_) | RegistryError::Pending { .. } => {
            Code::Unavailable
        }
        _ => return incident(&error),
    };
    Failure::new(code, error.to_string())
}

/// When somebody shall try again who has as many flows or processors as he may: it changes when he deletes one.
const QUOTA_WAIT: Duration = Duration::from_secs(60);

/// What a broker's error means to a client.
pub(crate) fn broker_failure(error: &BrokerError) -> Failure {
    let code = match error {
        BrokerError::NotFound(_) => Code::NotFound,
        BrokerError::Exists(_) => Code::Conflict,
        BrokerError::OutOfRange { .. } => Code::OutOfRange,
        BrokerError::Invalid(_) => Code::BadFormat,
        BrokerError::TooLarge { .. } => Code::TooLarge,
        BrokerError::Unavailable(_) | BrokerError::Full(_) | BrokerError::Refused(_) => {
            Code::Unavailable
        }
        _ => return incident(error),
    };
    Failure::new(code, error.to_string())
}

/// A fault of the host: the client gets a number that the log repeats, and no inner words.
fn incident(error: &dyn std::error::Error) -> Failure {
    let incident = uuid::Uuid::new_v4();
    tracing::error!(%incident, cause = %error, "command failed");
    Failure::new(Code::ServerErr, format!("incident={incident}"))
}
