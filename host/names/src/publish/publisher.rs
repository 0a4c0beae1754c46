//! What everybody who writes to zones can do.

use super::{Owner, Set, Zone};

/// Somebody who writes to zones.
#[async_trait::async_trait]
pub trait Publisher: Send + Sync + std::fmt::Debug {
    /// Makes a change in one zone. To make it again changes nothing more: what is there already is not added, what
    /// is not there is not removed. After an error it may have been made, or a first part of it.
    ///
    /// # Errors
    /// See [`PublishError`].
    async fn change(&self, zone: &Zone, change: &Change) -> Result<Outcome, PublishError>;

    /// Which of these sets, by their places, a zone does not have any more; at most `most` of them. A set whose text
    /// names an incarnation has to be there alone, of others some records of their type are enough. Changes
    /// nothing. Whoever remembers nothing over a restart has lost nothing.
    ///
    /// # Errors
    /// See [`PublishError`].
    async fn lost(
        &self,
        zone: &Zone,
        marks: &[Set],
        most: usize,
    ) -> Result<Vec<usize>, PublishError> {
        let _ = (zone, marks, most);
        Ok(Vec::new())
    }
}

/// What shall be different in a zone. Everything removed comes before everything added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Records that shall be there. Others of the same owner and type stay.
    pub add: Vec<Set>,
    /// Records that shall not be there; their TTL does not matter.
    pub remove: Vec<Set>,
    /// Flows whose names must not be in use, except by records of the same incarnation: names of flows (not of their
    /// `_flow._tcp`), and the `id` that their TXT records have. This is looked at before anything is removed: an
    /// earlier flow of the name is removed by a change of its own.
    pub fresh: Vec<(Owner, String)>,
    /// Records that shall not be there either, if they are ours: nobody has said yet that they are.
    pub doubtful: Vec<Doubt>,
}

/// Records of a flow that may be ours, or somebody else's who has the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The flow's name.
    pub flow: Owner,
    /// The `id` that its TXT records have if they are ours.
    pub id: String,
    /// What is removed then, and left where it is otherwise.
    pub remove: Vec<Set>,
}

/// What a change was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Names of fresh flows whose own records were there already, from a try whose answer was lost.
    pub recognised: Vec<Owner>,
}

/// Why a change was not made, by what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Nobody answered, or nobody could do it now: try again later.
    #[error("name server away: {reason}")]
    Away {
        /// Which servers, and what each of them did.
        reason: String,
    },
    /// Somebody answered, and cannot do it: perhaps for a time, perhaps only something of it.
    #[error("name server cannot do it: {reason}")]
    Unable {
        /// Which servers, and what each of them did.
        reason: String,
    },
    /// Somebody answered, and does not let us: trying again does not help before an administrator has acted.
    #[error("name server refused: {reason}")]
    Refused {
        /// Which server, and why.
        reason: String,
    },
    /// These names have records that are not ours. Without them the rest can be done.
    #[error("names in use by others: {}", list(.owners))]
    Taken {
        /// The names: of fresh flows, or aliases that hide what would be added.
        owners: Vec<Owner>,
        /// Whether a first part of the change was made, as one may be that does not fit into one message.
        partly: bool,
    },
    /// It cannot be said to a name server at all: a fault of whoever made the change.
    #[error("impossible change: {reason}")]
    Impossible {
        /// What is wrong with it.
        reason: String,
    },
}

fn list(owners: &[Owner]) -> String {
    let shown: Vec<&str> = owners.iter().take(SHOWN).map(Owner::as_str).collect();
    let more = owners.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    shown.join(", ") + &more
}

/// How many names an error's text shows.
const SHOWN: usize = 3;
