//! The journal: what was decided and how much of it is done outside the registry.
//!
//! An entry is written in the transaction that changes the rows. Its steps are on disk before the
//! first of them is made; `done` counts those that are known to be made, and the one after them may
//! have been made too: every step is safe to repeat.

use serde::{Deserialize, Serialize};

use crate::model::{Flow, Processor, Start};
use crate::{Name, RegistryError};

/// Names an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalId(pub u64);

impl std::fmt::Display for JournalId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(out)
    }
}

/// A decision that is being carried out.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub id: JournalId,
    /// What was decided.
    pub intent: Intent,
    /// What has to be made outside the registry, in order.
    pub steps: Vec<Step>,
    /// How many of the steps are known to be made.
    pub done: usize,
}

impl Entry {
    /// The step to make (again) now.
    #[must_use]
    pub fn next_step(&self) -> Option<Step> {
        self.steps.get(self.done).copied()
    }

    /// What it changes: entries of one subject are carried out in their order.
    #[must_use]
    pub fn subject(&self) -> &Name {
        self.intent.subject()
    }
}

/// What was decided, with everything that carrying it out or undoing it needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// A namespace was created, changed or deleted; a flow or a processor asked for what already is.
    Settled {
        /// Its name.
        name: Name,
        /// What was done, for people.
        verb: String,
    },
    /// Make the topic, or take it over.
    CreateFlow {
        /// The flow.
        flow: Flow,
    },
    /// Bring the topic to new settings.
    UpdateFlow {
        /// As it was.
        before: Flow,
        /// As it should be.
        after: Flow,
    },
    /// Delete every event.
    PurgeFlow {
        /// The flow.
        flow: Flow,
    },
    /// Delete or release the topic, then forget the flow.
    DeleteFlow {
        /// As it was.
        before: Flow,
        /// On its way out.
        flow: Flow,
    },
    /// Start a processor.
    CreateProcessor {
        /// The processor.
        processor: Processor,
    },
    /// Bring a processor to new settings, or to another desired state.
    UpdateProcessor {
        /// As it was.
        before: Box<Processor>,
        /// As it should be.
        after: Processor,
    },
    /// Move the position of a processor that is not running.
    MoveProcessor {
        /// The processor.
        processor: Processor,
        /// Where to.
        to: Start,
        /// Whether its state is kept.
        keep_state: bool,
    },
    /// Drain a processor and forget it, its positions and its state.
    DeleteProcessor {
        /// On its way out.
        processor: Processor,
    },
}

impl Intent {
    /// What it changes.
    #[must_use]
    pub fn subject(&self) -> &Name {
        match self {
            Self::Settled { name, .. } => name,
            Self::CreateFlow { flow }
            | Self::UpdateFlow { after: flow, .. }
            | Self::PurgeFlow { flow }
            | Self::DeleteFlow { flow, .. } => &flow.name,
            Self::CreateProcessor { processor }
            | Self::UpdateProcessor { after: processor, .. }
            | Self::MoveProcessor { processor, .. }
            | Self::DeleteProcessor { processor } => &processor.name,
        }
    }

    /// What it is, for words about it.
    #[must_use]
    pub fn verb(&self) -> &str {
        match self {
            Self::Settled { verb, .. } => verb,
            Self::CreateFlow { .. } | Self::CreateProcessor { .. } => "creation",
            Self::UpdateFlow { .. } | Self::UpdateProcessor { .. } => "change",
            Self::PurgeFlow { .. } => "purge",
            Self::MoveProcessor { .. } => "move",
            Self::DeleteFlow { .. } | Self::DeleteProcessor { .. } => "deletion",
        }
    }

    pub(crate) fn is_deletion(&self) -> bool {
        matches!(self, Self::DeleteFlow { .. } | Self::DeleteProcessor { .. })
    }

    pub(crate) fn steps(&self) -> Vec<Step> {
        match self {
            Self::Settled { .. } => vec![],
            Self::CreateFlow { .. } => vec![Step::CreateTopic],
            // Another topic is looked for, and nothing is changed at it.
            Self::UpdateFlow { before, after } if before.incarnation != after.incarnation => {
                vec![Step::CreateTopic]
            }
            Self::UpdateFlow { .. } => vec![Step::UpdateTopic],
            Self::PurgeFlow { .. } => vec![Step::PurgeTopic],
            Self::DeleteFlow { flow, .. } if flow.owned => vec![Step::DeleteTopic],
            Self::DeleteFlow { .. } => vec![Step::ReleaseTopic],
            Self::CreateProcessor { .. } | Self::UpdateProcessor { .. } => {
                vec![Step::ApplyProcessor]
            }
            Self::MoveProcessor { .. } => vec![Step::MoveProcessor],
            Self::DeleteProcessor { .. } => vec![Step::ApplyProcessor, Step::ForgetProcessor],
        }
    }
}

/// One thing to make outside the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Create the topic, or look whether the one to take over is there.
    CreateTopic,
    /// Bring it to the flow's settings.
    UpdateTopic,
    /// Delete its records.
    PurgeTopic,
    /// Delete it.
    DeleteTopic,
    /// Let it go, with its records.
    ReleaseTopic,
    /// Bring the running processor to what the registry says.
    ApplyProcessor,
    /// Set its position.
    MoveProcessor,
    /// Forget its positions and state.
    ForgetProcessor,
}

/// How an entry ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything is made.
    Done,
    /// Refused for good by who had to make it; the rows are as before.
    Undone(Refusal),
    /// A deletion of the same thing overtook it.
    Superseded,
}

/// A no that trying again does not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Something stands against it now.
    Conflict(String),
    /// It can never work as it is.
    Invalid(String),
}

impl From<Refusal> for RegistryError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Conflict(words) => Self::Conflict { words },
            Refusal::Invalid(words) => Self::Invalid { words },
        }
    }
}
