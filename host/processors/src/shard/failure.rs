//! Why a shard has to begin again, and what that says about who is to blame.

use host_brokers::BrokerError;
use host_plugins::{BeginError, CallError, StoreError};

use crate::dead::DeadError;
use crate::outputs::OutputError;
use crate::snapshots::ReadError;
use crate::start::StartError;

/// Why a shard had to begin again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("broker: {0}")]
    Broker(#[from] BrokerError),
    #[error("plugin: {0}")]
    Plugin(#[from] CallError),
    #[error("plugin: {0}")]
    Output(#[from] OutputError),
    #[error("another host holds this shard")]
    Fenced,
    #[error(transparent)]
    Dead(#[from] DeadError),
    #[error(
        "the plugin fails on every event, {row} in a row became dead letters, the position is kept (UPDATE PROCESSOR … dead-letters=all lets them all go there): plugin: {cause}"
    )]
    Everything { row: u32, cause: CallError },
    #[error("version {digest} of {kind}, which this processor is pinned to, cannot be loaded")]
    NoPinned { kind: String, digest: String },
    #[error("no plugin of type {0} is installed")]
    NoPlugin(String),
    /// Knowing more than before, so that beginning again is no repeat.
    #[error("a commit was refused, the event to blame is looked for: {0}")]
    Suspect(BrokerError),
    #[error(
        "a broker refuses event after event, {row} in a row became dead letters, the position is kept (UPDATE PROCESSOR … dead-letters=all lets them all go there): {cause}"
    )]
    RefusesEverything { row: u32, cause: String },
    #[error("broker: {0}")]
    Unwanted(String),
    /// Another version goes on, as soon as the supervisor says so.
    #[error("the new version of the plugin is rejected: {0}")]
    Rejected(String),
    #[error("the new version of the plugin fails, and cannot be rejected: {cause}: {reason}")]
    NotRejected { reason: String, cause: String },
    /// It says nothing of the version: the shard begins again with it.
    #[error("what becomes of the new version of the plugin is not noted: {0}")]
    NotNoted(#[from] StoreError),
    /// Of a comparison over past events.
    #[error("snapshot {number}: {cause}")]
    Snapshot { number: u64, cause: ReadError },
    #[error("the shard's task broke")]
    Broke,
    /// Asked about each event alone it is another question.
    #[error("new events of several ones")]
    OneByOne,
}

impl Failure {
    /// A short hiccup that says nothing about plugin or flow: no reason to alarm anybody.
    pub(super) fn is_quiet(&self) -> bool {
        matches!(self, Self::Plugin(CallError::Retry(_)))
    }

    /// Whether a version that runs goes on where this is why another one cannot follow it.
    pub(crate) fn keeps_running(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::NotRejected { .. })
    }

    /// The plugin asked to be stopped: only another version or an operator's word begins again.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Plugin(CallError::Fatal(_)))
    }
}

impl From<BeginError> for Failure {
    fn from(cause: BeginError) -> Self {
        match cause {
            BeginError::Withheld(reason) => Self::Rejected(reason),
            BeginError::Store(cause) => Self::NotNoted(cause),
        }
    }
}
