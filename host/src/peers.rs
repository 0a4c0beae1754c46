//! Other participants: what of the configuration says how their hosts are reached.
//!
//! Brings the configuration and `host-peers` together. Connects to nobody.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use host_names::{Names, Roots};
use host_peers::agent::{Agents, OwnCertificate};
use host_peers::dev::{SecretError, SharedSecret};
use host_peers::home::{HomeWay, Ways};
use host_peers::reach::{Nowhere, Reach};
use host_peers::{BorrowRules, PeerBroker, Subscriptions};
use host_registry::{PEER, Registry};
use tokio::sync::mpsc;

use crate::brokers::ByName;
use crate::config::{BrokerKind, Config};

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

/// Ends of subscriptions that wait to be carried out; whoever finds no room tells of his again.
const ENDS: usize = 256;

/// Subscriptions, a broker of their flows among the `brokers`, and the way to this host, which the host has to lead
/// somewhere once it runs. Where the configuration does not say who we are, nobody subscribes to flows of others.
pub(crate) fn open(
    config: &Config,
    registry: &Registry,
    brokers: &mut ByName,
) -> Result<(Subscriptions, HomeWay)> {
    let outside: Arc<dyn Reach> = match agents(config) {
        Ok(Some(agents)) => Arc::new(agents),
        Ok(None) => Arc::new(Nowhere),
        // A machine without a network, as `fnaad dev` runs on; what somebody has written has to work.
        Err(error) if config.peers.assumed => {
            tracing::warn!(cause = format!("{error:#}"), "no way to other participants");
            Arc::new(Nowhere)
        }
        Err(error) => return Err(error),
    };
    let ways = Ways { outside, home: HomeWay::default() };
    let (gone, ends) = mpsc::channel(ENDS);
    let own = Arc::from(config.hostname.as_str());
    let broker = PeerBroker::new(ways.clone(), registry.clone(), own, borrow_rules(config), gone);
    let broker = Arc::new(broker);
    brokers.insert(PEER.to_owned(), Arc::clone(&broker) as _);
    let home = ways.home.clone();
    Ok((Subscriptions::new(registry.clone(), ways, broker, ends), home))
}

/// Whose topics are read, and where: as the configuration says, and never at brokers of our own.
fn borrow_rules(config: &Config) -> BorrowRules {
    let ours = config.brokers.iter().filter_map(|broker| match &broker.kind {
        BrokerKind::Kafka(kafka) => Some(&kafka.servers),
        BrokerKind::Embedded => None,
    });
    let ours = ours.flat_map(|servers| servers.split(',')).map(str::to_owned).collect();
    let ca_file = config.peers.ca_file.clone();
    BorrowRules { ours, ca_file, ..config.peers.kafka.clone() }
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
