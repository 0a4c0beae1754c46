//! What goes wrong, in codes of the replies.

use fnap::name::Name;
use fnap::reply::{Code, Failure};
use host_brokers::BrokerError;
use host_registry::{RegistryError, Subscriber, Why};

/// What nobody who may not know it is told more of.
pub(super) fn absent(name: &Name) -> Failure {
    Failure::new(Code::NotFound, format!("flow {name}"))
}

pub(super) fn registry_failure(error: &RegistryError, name: &Name) -> Failure {
    match error {
        RegistryError::NotFound { .. } => absent(name),
        RegistryError::Denied { words } => Failure::new(Code::Forbidden, words.clone()),
        RegistryError::Full(_) | RegistryError::ReadOnly(_) => {
            Failure::new(Code::Unavailable, error.to_string())
        }
        _ => incident(error),
    }
}

pub(super) fn broker_failure(error: &BrokerError) -> Failure {
    let code = match error {
        BrokerError::OutOfRange { .. } => Code::OutOfRange,
        // A node that has not heard of a topic yet says so, too: that a flow is gone is the registry's word.
        BrokerError::NotFound(_)
        | BrokerError::Unavailable(_)
        | BrokerError::Refused(_)
        | BrokerError::Full(_) => Code::Unavailable,
        _ => return incident(error),
    };
    Failure::new(code, error.to_string())
}

/// How a subscription that is over is told to its subscriber; none where it is not.
pub(super) fn end_of(row: &Subscriber) -> Option<Failure> {
    let end = row.ended.as_ref()?;
    let code = match end.why {
        Why::Removed | Why::Revoked => Code::Forbidden,
        Why::Unsubscribed | Why::Unused | Why::Moved => Code::NotFound,
    };
    Some(Failure::new(code, end.words.clone()))
}

/// A fault of the host: the peer gets a number that the log repeats, and no inner words.
pub(super) fn incident(error: &dyn std::error::Error) -> Failure {
    let incident = uuid::Uuid::new_v4();
    tracing::error!(%incident, cause = %error, "stream failed");
    Failure::new(Code::ServerErr, format!("incident={incident}"))
}
