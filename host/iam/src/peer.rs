//! What a connection knows of its other end, and who may tell from it which domain that is.

use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;
use fnap::name::Name;

/// What the connection knows of its other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it comes from.
    pub address: IpAddr,
    /// Whether nobody else can read along.
    pub encrypted: bool,
    /// Its certificates in DER, the leaf first, if it proved to have the leaf's key; else none.
    pub certificates: Vec<Vec<u8>>,
    /// Whether they lead to the authority that the operator configured for clients.
    pub verified: bool,
}

impl Peer {
    /// Somebody on a connection without encryption.
    #[must_use]
    pub fn in_clear(address: IpAddr) -> Self {
        Self { address, encrypted: false, certificates: Vec::new(), verified: false }
    }
}

/// Tells whether a peer's certificate is that of a domain's agent: by an authority, or by what the domain
/// itself publishes.
#[async_trait]
pub trait DomainProof: fmt::Debug + Send + Sync {
    /// Whether `peer` proved to be the agent of `domain`.
    ///
    /// # Errors
    /// When it cannot be told; in words for the log.
    async fn proves(&self, domain: &Name, peer: &Peer) -> Result<bool, String>;
}
