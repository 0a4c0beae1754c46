//! Other participants: what of the configuration says how their hosts are reached.
//!
//! Brings the configuration and `host-peers` together. Connects to nobody.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use host_names::{Names, Roots};
use host_peers::agent::{Agents, OwnCertificate};
use host_peers::dev::{SecretError, SharedSecret};

use crate::config::Config;

/// What reaches the hosts of other participants; nothing where the configuration does not say who we are.
///
/// # Errors
/// When a file that the configuration names cannot be used, or there are no name servers.
pub fn agents(config: &Config) -> Result<Option<Agents>> {
    let Some(us) = config.peers.domain.clone() else { return Ok(None) };
    let roots = match &config.peers.ca_file {
        Some(path) => Roots::of_file(path).context("peers")?,
        None => Roots::of_the_system(),
    };
    let own = config
        .tls
        .as_ref()
        .map(|tls| OwnCertificate { certificate: tls.certificate.clone(), key: tls.key.clone() });
    let names = Arc::new(Names::new(&config.names.options).context("names")?);
    let agents = Agents::new(names, us, own, roots);
    Ok(Some(match &config.peers.secret_file {
        Some(path) => agents.sharing(SharedSecret::open(path).context("peers")?),
        None => agents,
    }))
}

/// The file with the secret that hosts of this user share: the one that was asked for, else the usual one. None where
/// that cannot be made, as in a container without a home.
///
/// # Errors
/// When the one that was asked for cannot be used, or others can read it.
pub fn dev_secret(asked: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(path) = asked {
        return Ok(Some(std::path::absolute(path).context("--peers-secret")?));
    }
    let Some(path) = SharedSecret::usual_path() else { return Ok(None) };
    match SharedSecret::open(&path) {
        Ok(_) => Ok(Some(path)),
        Err(error @ SecretError::Unusable { .. }) => {
            tracing::warn!(%error, "hosts on this machine are strangers to each other");
            Ok(None)
        }
        Err(error) => Err(error).context("secret of the hosts on this machine"),
    }
}
