//! Strangers: whether a peer's certificate is that of a domain's agent, as iam asks it.
//!
//! Brings iam and names together, who do not know each other. Decides nothing.

use std::sync::Arc;

use async_trait::async_trait;
use fnap::name::Name;
use host_iam::{DomainProof, Peer};
use host_names::{Domains, SetupError, Verdict};

use crate::config::NamesConfig;

/// What answers iam; nothing on a machine without name servers.
///
/// # Errors
/// When a file that the configuration names cannot be used.
pub(crate) fn proof(config: &NamesConfig) -> Result<Option<Arc<dyn DomainProof>>, SetupError> {
    match config.domains() {
        Ok(domains) => Ok(Some(Arc::new(Strangers(domains)))),
        Err(error @ SetupError::NoServers(_)) => {
            tracing::debug!(%error, "domains cannot prove themselves");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[derive(Debug)]
struct Strangers(Domains);

#[async_trait]
impl DomainProof for Strangers {
    async fn proves(&self, domain: &Name, peer: &Peer) -> Result<bool, String> {
        match self.0.proves(domain, &peer.certificates).await {
            Ok(Verdict::Proven) => Ok(true),
            Ok(Verdict::Refused(reason)) => {
                tracing::debug!(%domain, peer = %peer.address, %reason, "not the agent of the domain");
                Ok(false)
            }
            Err(error) => Err(error.to_string()),
        }
    }
}
