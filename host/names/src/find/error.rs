//! Why a flow was not found, and at which step.

use fnap::name::Name;

use super::Stage;
use crate::LookupError;

/// A search that led nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// Nobody has published anything under the name.
    #[error("no such name: {name}")]
    NoSuchName {
        /// The flow.
        name: Name,
    },
    /// The name is there, but nothing says which host has it, nor for the namespaces above it.
    #[error("no srv record says which host has {name}")]
    NoService {
        /// The flow.
        name: Name,
    },
    /// A pointer leads to a service that is not there.
    #[error("the pointer leads to {owner}, where no srv record is")]
    Dangling {
        /// Where the pointer leads.
        owner: String,
    },
    /// The target is `.`: whoever published it says that there is no such service (RFC 2782).
    #[error("no such service: the srv record of {owner} has the target \".\"")]
    Closed {
        /// Where the SRV record is.
        owner: String,
    },
    /// The target of an SRV record is an alias, which RFC 2782 forbids.
    #[error("the target {target} of the srv record of {owner} is an alias (cname)")]
    Alias {
        /// The target.
        target: String,
        /// Where the SRV record is.
        owner: String,
    },
    /// The host has no address.
    #[error("{target} has no address")]
    NoAddress {
        /// The host.
        target: String,
    },
    /// The target is no host name, or the port none.
    #[error("the srv record of {owner} means no host: {what}")]
    Nonsense {
        /// Where the SRV record is.
        owner: String,
        /// What it says.
        what: String,
    },
    /// A question that has no answer.
    #[error("{stage}: {source}")]
    Lookup {
        /// Which one.
        stage: Stage,
        /// Why.
        source: LookupError,
    },
    /// All questions together took too long.
    #[error("not found in time")]
    TooSlow,
}

impl FindError {
    pub(super) const fn of(stage: Stage, source: LookupError) -> Self {
        Self::Lookup { stage, source }
    }

    /// At which step the search ended; none where it was no single one.
    #[must_use]
    pub const fn stage(&self) -> Option<Stage> {
        match self {
            Self::NoSuchName { .. } => Some(Stage::Delegation),
            Self::NoService { .. } | Self::Dangling { .. } => Some(Stage::Service),
            Self::Closed { .. } | Self::Nonsense { .. } => Some(Stage::Service),
            Self::Alias { .. } | Self::NoAddress { .. } => Some(Stage::Address),
            Self::Lookup { stage, .. } => Some(*stage),
            Self::TooSlow => None,
        }
    }

    /// Whether the same may go well a little later.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::TooSlow
                | Self::Lookup {
                    source: LookupError::Unavailable { .. } | LookupError::TooSlow,
                    ..
                }
        )
    }
}
