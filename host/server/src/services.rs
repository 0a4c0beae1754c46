//! What commands are performed on.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use host_brokers::{Broker, TopicRef};
use host_iam::{Grants, Quotas, Users};
use host_observe::Traffic;
use host_peers::Subscriptions;
use host_peers::lending::Lender;
use host_plugins::Catalog;
use host_processors::{Brokers, Processors, topic_of};
use host_registry::{Flow, Reconciler, Registry};

use crate::outward::Outward;
pub use crate::read::ReadRoom;
pub use host_peers::source::Logs;

use fnap::reply::{Code, Failure};

/// The parts of the participant that commands need.
pub struct Services {
    /// The host's name, in the greeting and in descriptions.
    pub hostname: String,
    /// What should be.
    pub registry: Registry,
    /// Carries out what the registry decided.
    pub reconciler: Reconciler,
    /// What runs.
    pub processors: Processors,
    /// The brokers by name.
    pub brokers: Brokers,
    /// Broker of namespaces that name none.
    pub default_broker: String,
    /// Installed processor types.
    pub catalog: Catalog,
    /// Who may come in.
    pub users: Arc<Users>,
    /// What they may do.
    pub grants: Grants,
    /// How much they may use.
    pub quotas: Quotas,
    /// What others find of this host.
    pub outward: Arc<dyn Outward>,
    /// Subscriptions to flows of other participants and of this one.
    pub peers: Subscriptions,
    /// Subscriptions of others that have a topic of their own.
    pub lender: Lender,
    /// Spreads events without a key over partitions, one WRITE at a time.
    pub spread: AtomicU32,
    /// Room for what READs have fetched and nobody has taken yet.
    pub read_room: ReadRoom,
    /// What is read for all that follow streams.
    pub logs: Logs,
    /// What is counted of all connections; see [`crate::traffic`].
    pub traffic: Traffic,
}

impl Services {
    /// The broker of a flow, and its topic there.
    pub(crate) fn topic_of(&self, flow: &Flow) -> Result<(Arc<dyn Broker>, TopicRef), Failure> {
        let broker = self.brokers.get(&flow.broker).ok_or_else(|| {
            Failure::new(Code::Unavailable, format!("broker {} is not configured", flow.broker))
        })?;
        Ok((Arc::clone(broker), topic_of(flow)))
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Services").field("hostname", &self.hostname).finish_non_exhaustive()
    }
}
