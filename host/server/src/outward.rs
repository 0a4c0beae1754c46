//! What this host says of itself to others, and whether it stands in DNS: as commands ask for it.
//!
//! Whoever publishes says it; here are only the shapes.

use std::net::{IpAddr, SocketAddr};

use fnap::name::Name;

/// Whoever publishes.
pub trait Outward: Send + Sync {
    /// The host as records name it.
    fn agent(&self) -> AgentFacts;

    /// Who serves the zone of a namespace, and how far its records are; none where the host writes to no such zone.
    fn nameserver(&self, namespace: &Name) -> Option<NameserverFacts>;
}

/// A host, as others reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// Its name.
    pub name: String,
    /// Its TCP port; none where it listens nowhere yet.
    pub port: Option<u16>,
    /// Whether TLS begins with the connection.
    pub tls: bool,
    /// Addresses that are published with it.
    pub addresses: Vec<IpAddr>,
}

/// Who serves a zone, and how far the records of one namespace are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameserverFacts {
    /// The zone.
    pub zone: Name,
    /// `embedded`, or `update` where another takes updates.
    pub kind: &'static str,
    /// Where it is asked.
    pub servers: Vec<SocketAddr>,
    /// Things whose records are there as they should be.
    pub published: usize,
    /// Things whose records are not, or not yet gone.
    pub waiting: usize,
    /// Since when the first of these waits; milliseconds since 1970 UTC.
    pub since: Option<i64>,
    /// Why it does, where a try has failed.
    pub why: Option<String>,
}
