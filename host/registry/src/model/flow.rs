//! Flows, as rows and as wishes.

use fnap::subject::Subject;
use host_events::Incarnation;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Config, HOST_KEYS, PROTECTED};
use crate::Name;
use crate::access::ACCESS;
use crate::grants::Maker;
use crate::publish::{PUBLISH, Publish};

/// What the broker of flows is called whose events come by a subscription. Whoever writes a configuration
/// cannot call one so.
pub const PEER: &str = "@peer";

/// A flow and its topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Its name.
    pub name: Name,
    /// The namespace that is its longest suffix.
    pub namespace: Name,
    /// This life of it.
    pub incarnation: Incarnation,
    /// The broker that holds the topic.
    pub broker: String,
    /// The topic: decided at creation, never computed from the name later.
    pub topic: String,
    /// The broker's own id of this life of the topic, where it has one: learnt when the topic was made or
    /// taken over.
    #[serde(default)]
    pub topic_id: Option<Uuid>,
    /// How many partitions it should have; at least 1.
    pub partitions: u32,
    /// Copies of each partition that were asked for; the broker's default where nothing was.
    #[serde(default)]
    pub replication: Option<u16>,
    /// Settings, the topic's and the host's own ([`HOST_KEYS`]).
    pub config: Config,
    /// Whether we made the topic. A topic that was taken over is released, never destroyed.
    pub owned: bool,
    /// Where it stands.
    pub status: FlowStatus,
    /// Whose it is; none where the host made it, or an earlier version that did not ask.
    #[serde(default)]
    pub owner: Option<Subject>,
    /// Counts its changes.
    pub revision: u64,
    /// When it was created.
    pub created_at: i64,
    /// How many changes the registry had seen then; 0 where that was not counted yet.
    #[serde(default)]
    pub made: u64,
    /// Whether its name belongs to nobody here: known to this host alone, and never published.
    #[serde(default)]
    pub alias: bool,
}

impl Flow {
    /// Whether it is neither being made nor on its way out.
    #[must_use]
    pub const fn is_usable(&self) -> bool {
        matches!(self.status, FlowStatus::Active | FlowStatus::Paused)
    }

    /// Whether its events are a subscription's, which are only read from whoever has the flow.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.broker == PEER
    }

    /// The settings that are the topic's, under the broker's names.
    #[must_use]
    pub fn topic_config(&self) -> Config {
        let ours = |key: &str| HOST_KEYS.contains(&key);
        self.config
            .iter()
            .filter(|(key, _)| !ours(key))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }

    /// Whether its events must not be destroyed.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.config.get(PROTECTED).is_some_and(|value| value == "true")
    }

    /// What of it stands in DNS. Of a flow of which nobody shall learn, nothing, unless that is said.
    #[must_use]
    pub fn publish(&self) -> Publish {
        let is_closed = self.config.get(ACCESS).is_some_and(|access| access == "closed");
        let usual = if is_closed { Publish::None } else { Publish::default() };
        // What a newer host has written, and this one does not know, is kept to oneself.
        self.config.get(PUBLISH).map_or(usual, |text| text.parse().unwrap_or(Publish::None))
    }
}

/// Where a flow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowStatus {
    /// Its topic is being made; nobody can use it yet.
    Creating,
    /// In use.
    Active,
    /// Readers are held, WRITE is refused.
    Paused,
    /// Its topic is being deleted or released; the name is free afterwards.
    Deleting,
}

/// A flow to create.
#[derive(Clone, Debug)]
pub struct NewFlow {
    /// Its name; it must lie below a namespace.
    pub name: Name,
    /// The broker, or the namespace's.
    pub broker: Option<String>,
    /// The topic, or one called as the flow.
    pub topic: Option<String>,
    /// The broker's own id of a topic that is taken over.
    pub topic_id: Option<Uuid>,
    /// At least 1.
    pub partitions: u32,
    /// Copies of each partition; the broker's default where `None`.
    pub replication: Option<u16>,
    /// Settings.
    pub config: Config,
    /// Whether we make the topic (otherwise it is there and is taken over).
    pub owned: bool,
    /// Who makes it.
    pub maker: Maker,
    /// For a name outside of the host's namespaces: the one that it counts to. Nobody else gets to know it.
    pub alias_of: Option<Name>,
    /// Whether it is what a subscription of somebody else's has its events in, and is called as that.
    pub for_subscription: bool,
}

impl NewFlow {
    /// A flow of one partition with a topic of its own, called as the flow.
    #[must_use]
    pub fn named(name: Name) -> Self {
        Self {
            name,
            broker: None,
            topic: None,
            topic_id: None,
            partitions: 1,
            replication: None,
            config: Config::new(),
            owned: true,
            maker: Maker::default(),
            alias_of: None,
            for_subscription: false,
        }
    }
}

/// A topic that is there, as its broker describes it.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its name.
    pub topic: String,
    /// The broker's own id of it.
    pub id: Option<Uuid>,
    /// How many partitions it has.
    pub partitions: u32,
}

/// A change of a flow.
#[derive(Clone, Debug, Default)]
pub struct FlowChange {
    /// New number of partitions; never fewer.
    pub partitions: Option<u32>,
    /// Settings to set.
    pub config: Config,
    /// The topic that becomes the flow's, instead of the one that it has.
    pub taken: Option<Taken>,
}
