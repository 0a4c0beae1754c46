//! Makes DNS agree with the registry: what is there by this host's knowledge becomes what should be.
//!
//! A task for each zone; no command waits for any of them. What a zone's records are is in `wanted`, what is done next
//! in `plan`, and what may be there is a table of the registry. Changes no flow.

mod plan;
mod source;
#[cfg(test)]
mod tests;
pub(crate) mod wanted;
mod zone;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, Result};
use fnap::name::Name;
use host_names::publish::{
    Embedded, EmbeddedOptions, Key, Owner, Publisher, Updater, Zone, zone_of,
};
use host_registry::Registry;
use host_server::{AgentFacts, NameserverFacts, Outward};
use tokio::task::JoinHandle;

use crate::config::{Config, Served};
use plan::{Row, Rows};
use source::Source;
use wanted::{AGENT, Presence};
use zone::{Agreement, LOOK_EVERY};

/// What this host publishes, and how far that is.
pub(crate) struct Publishing {
    config: Config,
    presence: OnceLock<Presence>,
    zones: BTreeMap<Zone, Arc<Mutex<State>>>,
    embedded: OnceLock<Vec<SocketAddr>>,
}

/// What is known of a zone.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) rows: Rows,
    /// Why nothing of the zone is tried now.
    pub(crate) trouble: Option<String>,
}

impl Publishing {
    /// Of a configuration. Publishes nothing yet.
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        let zones = config.dns.zones.iter();
        let zones = zones.map(|zone| (Zone::new(zone.name.clone()), Arc::default())).collect();
        let (presence, embedded) = (OnceLock::new(), OnceLock::new());
        Arc::new(Self { config: config.clone(), presence, zones, embedded })
    }

    /// Begins, now that it is known where the host listens.
    ///
    /// # Errors
    /// When a key or a stored row cannot be used, or the embedded name server cannot listen.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        registry: &Registry,
        clear: &[SocketAddr],
        tls: &[SocketAddr],
    ) -> Result<Vec<JoinHandle<()>>> {
        let Some((port, tls)) = self.config.agent_port(clear, tls) else { return Ok(Vec::new()) };
        let Some(presence) = Presence::of(&self.config, port, tls) else { return Ok(Vec::new()) };
        let presence = self.presence.get_or_init(|| presence).clone();
        self.read(registry).await?;
        let mut tasks = Vec::new();
        let embedded = self.serve(&presence).await?;
        let source = Source::new(registry, &presence);
        for (zone, state) in &self.zones {
            let Some(publisher) = self.publisher(zone, embedded.as_ref())? else { continue };
            let agreement = Agreement {
                zone: zone.clone(),
                publisher,
                registry: registry.clone(),
                source: Arc::clone(&source),
                look_every: LOOK_EVERY,
                state: Arc::clone(state),
                is_kept: self.is_updated(zone.name().as_str()),
            };
            if !agreement.is_kept {
                // Nobody finds it empty once the host is ready. What fails is tried again.
                agreement.first().await;
            }
            tasks.push(tokio::spawn(agreement.keep()));
        }
        Ok(tasks)
    }

    /// Who writes to a zone.
    fn publisher(
        &self,
        zone: &Zone,
        embedded: Option<&Arc<Embedded>>,
    ) -> Result<Option<Arc<dyn Publisher>>> {
        let found = self.config.dns.zones.iter().find(|one| one.name == *zone.name());
        Ok(match found.map(|found| &found.served) {
            Some(Served::Update { servers, key_file }) => {
                let key = Key::of_file(key_file).with_context(|| format!("dns zone {zone}"))?;
                Some(Arc::new(Updater::new(servers.clone(), key)))
            }
            Some(Served::Embedded) => embedded.map(|embedded| Arc::clone(embedded) as _),
            None => None,
        })
    }

    /// Starts the embedded name server, where a zone lies in it.
    async fn serve(&self, presence: &Presence) -> Result<Option<Arc<Embedded>>> {
        let dns = &self.config.dns;
        let embedded = dns.zones.iter().filter(|zone| zone.served == Served::Embedded);
        let zones: Vec<Zone> = embedded.map(|zone| Zone::new(zone.name.clone())).collect();
        if zones.is_empty() {
            return Ok(None);
        }
        let server = presence.agent.name.clone();
        let options = EmbeddedOptions { zones, listen: dns.listen.clone(), server };
        let embedded = Arc::new(Embedded::start(&options).await?);
        drop(self.embedded.set(embedded.addresses().to_vec()));
        Ok(Some(embedded))
    }

    /// Takes over what is stored of zones that others serve.
    async fn read(&self, registry: &Registry) -> Result<()> {
        let mut left = BTreeMap::<String, usize>::new();
        for (zone, unit, row) in registry.published().await.context("published")? {
            match zone.parse().ok().and_then(|name| self.state(&Zone::new(name))) {
                Some(mut state) if self.is_updated(&zone) => {
                    let row = Row::read(row).with_context(|| format!("published {unit}"))?;
                    state.rows.insert(unit, row);
                }
                _ => *left.entry(zone).or_default() += 1,
            }
        }
        for (zone, units) in left {
            // Nobody says any more who serves it, so nothing of it can be withdrawn.
            tracing::warn!(
                zone,
                units,
                "a zone has left the configuration: its records stay as they are until it comes back"
            );
        }
        Ok(())
    }

    fn is_updated(&self, zone: &str) -> bool {
        let found = self.config.dns.zones.iter().find(|one| one.name.as_str() == zone);
        found.is_some_and(|one| one.served != Served::Embedded)
    }

    /// What is known of a zone that is configured.
    fn state(&self, zone: &Zone) -> Option<MutexGuard<'_, State>> {
        let state = self.zones.get(zone)?;
        Some(state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where the embedded name server answers, in the order of the settings.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        self.embedded.get().map_or(&[], Vec::as_slice)
    }
}

impl Outward for Publishing {
    fn agent(&self) -> AgentFacts {
        match self.presence.get() {
            Some(Presence { agent, .. }) => AgentFacts {
                name: agent.name.to_string(),
                port: Some(agent.port),
                tls: agent.tls,
                addresses: agent.addresses.clone(),
            },
            None => {
                let dns = &self.config.dns;
                let name = dns.agent.as_ref().map(Name::to_string);
                let name = name.unwrap_or_else(|| self.config.hostname.clone());
                let (port, addresses) = (dns.port, dns.addresses.clone());
                AgentFacts { name, port, tls: dns.tls.unwrap_or(false), addresses }
            }
        }
    }

    fn nameserver(&self, namespace: &Name) -> Option<NameserverFacts> {
        let zone = zone_of(&Owner::from(namespace), self.zones.keys())?;
        let found = self.config.dns.zones.iter().find(|one| one.name == *zone.name())?;
        let (kind, servers) = match &found.served {
            Served::Embedded => ("embedded", self.addresses().to_vec()),
            Served::Update { servers, .. } => ("update", servers.clone()),
        };
        let state = self.state(zone)?;
        let inside = |unit: &String| {
            let name = wanted::name_of(unit);
            // The host's own records are of no namespace, and all of them need it.
            unit == AGENT
                || name.is_some_and(|name| name == *namespace || name.is_within(namespace))
        };
        let rows = || state.rows.iter().filter(|(unit, _)| inside(unit)).map(|(_, row)| row);
        let waiting = || rows().filter(|row| !row.settled || row.since.is_some());
        let why = waiting().find_map(|row| row.why.clone());
        let why = why.or_else(|| state.trouble.clone().filter(|_| waiting().next().is_some()));
        Some(NameserverFacts {
            zone: zone.name().clone(),
            kind,
            servers,
            published: rows().count() - waiting().count(),
            waiting: waiting().count(),
            since: waiting().filter_map(|row| row.since).min(),
            why,
        })
    }
}
