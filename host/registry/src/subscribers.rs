//! Subscriptions that others have to flows here, and requests for one: what they are, and how many.
//!
//! Only keeps them. Whether somebody may subscribe is decided elsewhere, and how events travel, too.

mod attach;
mod change;
mod end;
mod failure;
mod lent;
mod request;
mod sent;

pub use attach::{Attachment, Standing};
pub use change::{Asked, Subscribed, Way};
pub use failure::{FAILED_AGAIN, ViewFailure};
pub use lent::{Lent, MAX_LENT, MAX_LENT_OF_ONE};
pub use sent::Sent;

use fnap::subject::Subject;
use host_events::Incarnation;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Name;
use crate::error::RegistryError;
use crate::registry::Registry;
use crate::state::State;

/// Subscriptions of a host that have not ended. A row of some 500 octets each, and a view of a flow where somebody
/// is attached.
pub const MAX_SUBSCRIBERS: usize = 20_000;

/// Those of one flow: half, so that no flow leaves nothing to all others.
pub const MAX_SUBSCRIBERS_OF_FLOW: usize = 10_000;

/// Those of one principal: a participant with a thousand local flows that come from here is a large one, and
/// strangers who may subscribe to open flows leave room to others.
pub const MAX_SUBSCRIBERS_OF_ONE: usize = 1_000;

/// Ended ones of one principal that are remembered; the oldest go first.
pub const MAX_ENDED_OF_ONE: usize = 64;

/// Requests of a host: any domain may ask, and owners are people.
pub const MAX_REQUESTS: usize = 10_000;

/// Requests of one principal, so that nobody who has one domain fills the list of all.
pub const MAX_REQUESTS_OF_ONE: usize = 64;

/// Requests of one principal for one flow: each with a reference of its own.
pub const MAX_REQUESTS_FOR_FLOW: usize = 8;

/// Octets of a filter: a screen full of conditions.
pub const MAX_FILTER: usize = 4 * 1024;

/// Octets of a policy, a processor type and its configuration: as much as a command line carries.
pub const MAX_POLICY: usize = 8 * 1024;

/// Octets of a reason that somebody gives for a no; it comes back in one line of a reply.
pub const MAX_REASON: usize = 512;

/// How long a subscription lives to which nobody attaches, in milliseconds: whoever asked comes at once, or
/// not at all.
pub const UNATTACHED_FOR: i64 = 10 * 60 * 1000;

/// How long a request waits for a word, its approval for whoever asked, and what has ended is remembered, in
/// milliseconds: an owner is on holiday for a week.
pub const REMEMBERED_FOR: i64 = 7 * 24 * 3600 * 1000;

/// A subscription that somebody has to a flow here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriber {
    /// `id.flow`; the id cannot be guessed.
    pub name: Name,
    /// The flow.
    pub flow: Name,
    /// The life of it that is meant.
    pub incarnation: Incarnation,
    /// Whose it is.
    pub principal: Subject,
    /// By what he knows it; who gives none has one subscription to a flow.
    pub reference: Option<Uuid>,
    /// Which events he wants, in CEL: a stranger's words.
    pub filter: Option<String>,
    /// The owner's word, where it was asked for.
    pub approval: Option<Approval>,
    /// What the owner lets it do.
    pub hold: Hold,
    /// When it was made.
    pub created_at: i64,
    /// When its name was first given to whoever asked; none while he has not come for it.
    pub handed_at: Option<i64>,
    /// When somebody first attached to it.
    pub attached_at: Option<i64>,
    /// Why no event got through to it, when that was noted last.
    #[serde(default)]
    pub failure: Option<ViewFailure>,
    /// Why it is over, if it is.
    pub ended: Option<End>,
    /// The topic of its own that it has, if it does.
    #[serde(default)]
    pub lent: Option<Lent>,
}

/// The owner's yes, and what he wants done with the events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The request that it answers.
    pub request: String,
    /// Who said it.
    pub by: Subject,
    /// When.
    pub at: i64,
    /// Which events the subscriber gets at most, in CEL.
    pub filter: Option<String>,
    /// What is done to them on the way: a processor type, and behind a blank its configuration, JSON.
    pub policy: Option<String>,
}

/// Whether events flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// They do.
    #[default]
    Active,
    /// Held, ready to go on.
    Paused,
    /// Held until somebody says otherwise; what is under way is finished.
    Stopped,
}

/// How a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// By what.
    pub why: Why,
    /// For people.
    pub words: String,
    /// When.
    pub at: i64,
}

/// What ends a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The subscriber did.
    Unsubscribed,
    /// The owner did.
    Removed,
    /// Nobody came for it.
    Unused,
    /// He may not any more.
    Revoked,
    /// The flow is another one now.
    Moved,
}

/// Somebody wants to subscribe and waits for the owner's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Names it.
    pub id: String,
    /// To which flow.
    pub flow: Name,
    /// The life of it that is meant.
    pub incarnation: Incarnation,
    /// Who.
    pub principal: Subject,
    /// By what he knows it.
    pub reference: Option<Uuid>,
    /// Which events he wants, in CEL.
    pub filter: Option<String>,
    /// When he asked.
    pub asked_at: i64,
    /// When it is forgotten, and with it a no.
    pub expires_at: i64,
    /// The owner's no, if he said it.
    pub denied: Option<Denial>,
    /// The broker that its topic is to lie at, where he wants one of his own.
    #[serde(default)]
    pub lend: Option<String>,
}

/// The owner's no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Who said it.
    pub by: Subject,
    /// Why, for whoever asked.
    pub reason: Option<String>,
    /// When.
    pub at: i64,
}

impl Subscriber {
    /// Whether it has not ended.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// `active`, `paused`, `stopped` or `ended`.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match (&self.ended, self.hold) {
            (Some(_), _) => "ended",
            (None, Hold::Active) => "active",
            (None, Hold::Paused) => "paused",
            (None, Hold::Stopped) => "stopped",
        }
    }
}

impl Why {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Removed => "removed",
            Self::Unused => "unused",
            Self::Revoked => "revoked",
            Self::Moved => "moved",
        }
    }
}

impl State {
    pub(crate) fn find_subscriber(&self, name: &Name) -> Result<&Subscriber, RegistryError> {
        self.subscribers.get(name).ok_or_else(|| RegistryError::not_found("subscription", name))
    }

    /// Subscriptions to a flow of which more is left than what is remembered.
    pub(crate) fn subscribers_of(&self, flow: &Name) -> impl Iterator<Item = &Subscriber> {
        self.subscribers.values().filter(move |row| !row.is_over() && row.flow == *flow)
    }
}

impl Registry {
    /// A subscription that somebody has here, whatever became of it.
    #[must_use]
    pub fn subscriber(&self, name: &Name) -> Option<Subscriber> {
        self.look(|state| state.subscribers.get(name).cloned())
    }

    /// Those to a flow, by name, with those that have ended and are remembered.
    #[must_use]
    pub fn subscribers(&self, flow: &Name) -> Vec<Subscriber> {
        self.look(|state| {
            state.subscribers.values().filter(|row| row.flow == *flow).cloned().collect()
        })
    }

    /// All that have not ended, by name.
    #[must_use]
    pub fn live_subscribers(&self) -> Vec<Subscriber> {
        self.look(|state| state.subscribers.values().filter(|row| row.is_live()).cloned().collect())
    }

    /// Requests that are to be shown, by id.
    #[must_use]
    pub fn requests(&self, mut shown: impl FnMut(&Request) -> bool) -> Vec<Request> {
        self.look(|state| state.requests.values().filter(|row| shown(row)).cloned().collect())
    }
}

pub(crate) fn check_length(
    what: &'static str,
    text: Option<&str>,
    most: usize,
) -> Result<(), RegistryError> {
    match text {
        Some(text) if text.len() > most => {
            Err(RegistryError::invalid(format!("{what} of {} octets, at most {most}", text.len())))
        }
        _ => Ok(()),
    }
}

/// Sixteen characters that nobody guesses: 79 random bits, a letter first, so that it is a label that nobody takes
/// for a number.
pub(crate) fn random_id() -> Result<String, RegistryError> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut octets = [0; 16];
    getrandom::fill(&mut octets)
        .map_err(|error| RegistryError::Damaged(format!("no random octets: {error}")))?;
    let letter = |(at, octet): (usize, u8)| {
        let index = octet & if at == 0 { 0x0f } else { 0x1f };
        LETTERS.get(usize::from(index)).map(|letter| char::from(*letter))
    };
    Ok(octets.into_iter().enumerate().filter_map(letter).collect())
}
