//! Who makes the journal's steps: brokers and processors, seen from the registry.

use async_trait::async_trait;
use uuid::Uuid;

use crate::journal::Refusal;
use crate::model::{Flow, Processor, Start};

/// Makes steps. Each may be asked for again after it was made, because a crash can lie between making
/// a step and recording it; doing it again must be harmless.
#[async_trait]
pub trait Performer: Send + Sync + 'static {
    /// Creates the topic (`owned`) and gives the broker's own id of it, or sees that the one to take over
    /// is there. After a refusal nothing of it is there.
    async fn create_topic(&self, flow: &Flow) -> Result<Option<Uuid>, PerformError>;
    /// Brings the topic to the flow's partitions and settings.
    async fn update_topic(&self, flow: &Flow) -> Result<(), PerformError>;
    /// Deletes the topic of this incarnation; harmless when there is none.
    async fn delete_topic(&self, flow: &Flow) -> Result<(), PerformError>;
    /// Lets a topic go that was taken over; its records stay.
    async fn release_topic(&self, _flow: &Flow) -> Result<(), PerformError> {
        Ok(())
    }
    /// Deletes every record of the topic.
    async fn purge_topic(&self, flow: &Flow) -> Result<(), PerformError>;
    /// Brings the processor to its desired state, configuration and options, and returns when that is
    /// so: running, held, drained; for `Desired::Deleted` drained and its instances destroyed. After
    /// a refusal it goes on as it was before (or, if new, nothing of it runs).
    async fn apply_processor(&self, processor: &Processor) -> Result<(), PerformError>;
    /// Sets the position of a processor that is held.
    async fn move_processor(
        &self,
        processor: &Processor,
        to: Start,
        keep_state: bool,
    ) -> Result<(), PerformError>;
    /// Forgets positions and state of a processor that is gone.
    async fn forget_processor(&self, processor: &Processor) -> Result<(), PerformError>;
}

/// Why a step was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PerformError {
    /// Try again later: the words say what is in the way.
    #[error("{0}")]
    Retry(String),
    /// Trying again changes nothing.
    #[error("{0:?}")]
    Refused(Refusal),
}

impl PerformError {
    /// Something stands against it now.
    #[must_use]
    pub fn conflict(words: impl Into<String>) -> Self {
        Self::Refused(Refusal::Conflict(words.into()))
    }

    /// It can never work as it is.
    #[must_use]
    pub fn invalid(words: impl Into<String>) -> Self {
        Self::Refused(Refusal::Invalid(words.into()))
    }
}
