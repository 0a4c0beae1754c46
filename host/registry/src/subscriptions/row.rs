//! Rows of subscriptions to flows of other participants, and their words.

use std::collections::BTreeMap;

use fnap::subject::Subject;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Name;

/// How the events of a subscription reach its subscriber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// Over a connection to the owner's host.
    #[default]
    Stream,
    /// As a topic that he reads with clients of his own.
    Kafka,
}

impl Transport {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Kafka => "kafka",
        }
    }

    /// The one of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Self::Stream, Self::Kafka].into_iter().find(|one| one.as_str() == word)
    }
}

/// A subscription to a flow, elsewhere or here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The flow here that gets the events.
    pub local: Name,
    /// The flow.
    pub flow: Name,
    /// Whether that is a flow of this very host.
    #[serde(default)]
    pub here: bool,
    /// By what its owner knows the subscription; the same however often it is asked for.
    pub reference: Uuid,
    /// Which events are wanted, in CEL.
    pub filter: Option<String>,
    /// How its events are to come; where nothing was said, as the owner's host offers it.
    #[serde(default)]
    pub wanted: Option<Transport>,
    /// How they come, once its owner has given it a name.
    #[serde(default)]
    pub transport: Transport,
    /// Whose it is.
    pub owner: Option<Subject>,
    /// The name that its owner has given it, `id.flow`, once he has.
    pub remote: Option<Name>,
    /// The processor that carries the events.
    pub processor: Name,
    /// How far it has come.
    pub stage: Stage,
    /// Whether events were ever carried: before that the local flow is part of what is being made.
    #[serde(default)]
    pub carried: bool,
    /// Whether, of one that its owner has ended, everything is taken away here.
    #[serde(default)]
    pub cleared: bool,
    /// Whether, of one that ends before anything was granted, its owner has nothing that he would have to be told of.
    #[serde(default)]
    pub unheard: bool,
    /// Since when it stands there, or nothing goes on.
    pub since: i64,
    /// Why it does not go on; empty where it does.
    pub why: String,
    /// What stands in the way of the events of an active one.
    #[serde(default)]
    pub condition: Option<Condition>,
    /// When it was asked for.
    pub created_at: i64,
}

/// What stands in the way of an active subscription's events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What.
    pub kind: ConditionKind,
    /// Why, for people; may be empty.
    pub words: String,
    /// Figures, by name.
    pub facts: BTreeMap<String, u64>,
    /// Since when.
    pub since: i64,
}

/// The kinds of what stands in the way; of several the first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConditionKind {
    /// Records are gone that were not carried yet.
    Gap,
    /// The owner holds it.
    Paused,
    /// Something is away.
    Waiting,
    /// It is behind.
    Lagging,
}

impl ConditionKind {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Paused => "paused",
            Self::Waiting => "waiting",
            Self::Lagging => "lagging",
        }
    }

    /// The report when it begins.
    pub(crate) const fn begins(self) -> &'static str {
        match self {
            Self::Gap => "subscription.gap",
            Self::Paused => "subscription.paused",
            Self::Waiting => "subscription.waiting",
            Self::Lagging => "subscription.lagging",
        }
    }

    /// The report when it is over and nothing else stands in the way.
    pub(crate) const fn ends(self) -> &'static str {
        match self {
            Self::Gap | Self::Waiting => "subscription.active",
            Self::Paused => "subscription.resumed",
            Self::Lagging => "subscription.caught-up",
        }
    }
}

/// How far a subscription has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The other participant is being asked.
    Asking,
    /// The flow's owner has not said his word yet.
    Pending {
        /// What his host calls the request.
        request: String,
    },
    /// It is granted; flows and processor are being made here.
    Making,
    /// Events are carried.
    Active,
    /// It goes: the other participant is told, and what was made for it is taken away.
    Ending,
    /// Its owner has ended it; the events that came stay.
    Ended,
}

impl Stage {
    /// Its word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Asking => "asking",
            Self::Pending { .. } => "pending",
            Self::Making => "making",
            Self::Active => "active",
            Self::Ending => "ending",
            Self::Ended => "ended",
        }
    }
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct NewSubscription {
    /// The flow here.
    pub local: Name,
    /// The flow elsewhere.
    pub flow: Name,
    /// Which events, in CEL.
    pub filter: Option<String>,
    /// How its events are to come, where that was said.
    pub transport: Option<Transport>,
    /// Who wants it.
    pub owner: Option<Subject>,
    /// The processor that is to carry the events.
    pub processor: Name,
    /// How much of it may be his.
    pub most: Most,
}

/// How many flows and processors may be somebody's who wants one of each; none is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Most {
    /// Flows.
    pub flows: Option<u64>,
    /// Processors.
    pub processors: Option<u64>,
}
