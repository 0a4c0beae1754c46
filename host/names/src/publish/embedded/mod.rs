//! The embedded name server: authoritative for a few zones, in memory, for one machine and for trying it out.
//!
//! It begins with empty zones whenever the host begins: whoever starts it publishes everything again. It
//! answers for its own zones (others: REFUSED), lets nobody change them over the network (REFUSED), gives no
//! whole zones (REFUSED), signs nothing, and follows nobody's delegation. Answers are computed by hickory; the sockets
//! are ours, because hickory's have no limit of connections and end for good when a connection is aborted before it
//! is accepted.

mod answer;
mod places;
mod rate;
mod records;
mod serve;
mod zone;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fnap::name::Name;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneHandler, ZoneType};
use tokio::task::JoinSet;

pub use places::{MAX_CONNECTIONS, MAX_OF_ONE};
pub use serve::{IDLE, LONGEST, MAX_UDP_ANSWER};

use self::zone::Served;
use super::wire::{impossible, name};
use super::zone::check;
use super::{Change, Outcome, Owner, PublishError, Publisher, Zone, zone_of};

/// What the embedded server serves, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Its zones.
    pub zones: Vec<Zone>,
    /// Its addresses, for UDP and TCP; with port 0 one that is free for both.
    pub listen: Vec<SocketAddr>,
    /// The name that the zones call their name server.
    pub server: Name,
}

/// A server that cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// An address that cannot be listened on.
    #[error("name server on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A zone that cannot be made.
    #[error("zone {zone}: {reason}")]
    Zone {
        /// The zone.
        zone: Zone,
        /// Why not.
        reason: String,
    },
}

/// A running name server; ends when dropped.
pub struct Embedded {
    zones: Vec<(Zone, Arc<Served>)>,
    addresses: Vec<SocketAddr>,
    _tasks: JoinSet<()>,
}

impl Embedded {
    /// Listens and answers, with empty zones.
    ///
    /// # Errors
    /// When an address is in use, or not ours.
    pub async fn start(options: &EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let mut zones: Vec<(Zone, Arc<Served>)> = Vec::new();
        let mut catalog = Catalog::new();
        for zone in &options.zones {
            let handler = empty(zone, &options.server)
                .map_err(|reason| EmbeddedError::Zone { zone: zone.clone(), reason })?;
            let handler = Arc::new(Served(handler));
            let answering: Arc<dyn ZoneHandler> = handler.clone();
            catalog.upsert(handler.origin().clone(), vec![answering]);
            zones.push((zone.clone(), handler));
        }
        let mut tasks = JoinSet::new();
        let catalog = Arc::new(catalog);
        let mut addresses = Vec::new();
        for address in &options.listen {
            let listening = serve::listen(*address, &catalog, &mut tasks).await;
            addresses.push(
                listening.map_err(|source| EmbeddedError::Listen { address: *address, source })?,
            );
        }
        Ok(Self { zones, addresses, _tasks: tasks })
    }

    /// Where it answers, in the order of the options, with the ports that it has.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The serial of a zone: it rises with every change.
    pub async fn serial(&self, zone: &Zone) -> Option<u32> {
        Some(self.handler(zone)?.0.serial().await)
    }

    fn handler(&self, zone: &Zone) -> Option<&Served> {
        self.zones.iter().find(|(one, _)| one == zone).map(|(_, handler)| handler.as_ref())
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Embedded").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl Publisher for Embedded {
    async fn change(&self, zone: &Zone, change: &Change) -> Result<Outcome, PublishError> {
        check(zone, change)?;
        let no_zone = || impossible(format!("no zone {zone} here"));
        let handler = self.handler(zone).ok_or_else(no_zone)?;
        // In the zone that is cut out of another one, nobody would find it in that other one.
        let doubtful = change.doubtful.iter().flat_map(|doubt| &doubt.remove);
        for set in change.add.iter().chain(&change.remove).chain(doubtful) {
            let zones = self.zones.iter().map(|(zone, _)| zone);
            if zone_of(&set.owner, zones) != Some(zone) {
                return Err(impossible(format!("{} is in a zone below {zone}", set.owner)));
            }
        }
        // Held to the end: whoever asks sees all of a change or nothing.
        let mut records = handler.0.records_mut().await;
        records::change(&mut records, &name(&Owner::from(zone.name()))?, change, now())
    }
}

fn empty(zone: &Zone, server: &Name) -> Result<InMemoryZoneHandler, String> {
    let origin = name(&Owner::from(zone.name())).map_err(|error| error.to_string())?;
    let records =
        records::apex(&origin, &Owner::from(server), now()).map_err(|error| error.to_string())?;
    // No update comes to it (`answer.rs`); and if one did, this handler implements none.
    InMemoryZoneHandler::new(origin, records, ZoneType::Primary, AxfrPolicy::Deny)
}

/// Seconds since 1970: where serials begin, so that they rise over a restart too.
fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // A serial is what comes round (RFC 1982).
    u32::try_from(since.as_secs() & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
