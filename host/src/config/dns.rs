//! What this host says of itself in DNS, and where: as it stands in a file, and what it means.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use fnap::name::Name;
use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;
use toml::Spanned;

use super::meaning::Reader;
use super::raw::At;
use super::{Broker, BrokerKind, Config};

/// What of this host stands in DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsConfig {
    /// What SRV records name; the host's own name where nothing is said.
    pub agent: Option<Name>,
    /// Its port; that of the first listener that others reach where nothing is said.
    pub port: Option<u16>,
    /// Whether TLS begins with the connection there; where nothing is said, whether a listener says so.
    pub tls: Option<bool>,
    /// Addresses of the agent that are published with it.
    pub addresses: Vec<IpAddr>,
    /// TTL of records, in seconds.
    pub ttl: u32,
    /// Where the embedded name server answers.
    pub listen: Vec<SocketAddr>,
    /// Zones that this host writes to.
    pub zones: Vec<DnsZone>,
}

/// A zone that this host writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsZone {
    /// Its name.
    pub name: Name,
    /// Who serves it.
    pub served: Served,
}

/// Who serves a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// This host.
    Embedded,
    /// Name servers that take updates (RFC 2136), signed with a key (TSIG, RFC 8945).
    Update {
        /// The primary, and others that pass updates on to it, in the order in which they are asked.
        servers: Vec<SocketAddr>,
        /// File of the key.
        key_file: PathBuf,
    },
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawDns {
    agent: At<String>,
    tls: Option<bool>,
    addresses: Option<Vec<Spanned<String>>>,
    ttl: At<u64>,
    listen: Option<Vec<Spanned<String>>>,
    zones: Option<Vec<RawZone>>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
struct RawZone {
    name: Spanned<String>,
    server: Option<Vec<Spanned<String>>>,
    key_file: At<String>,
    embedded: At<bool>,
}

impl Default for DnsConfig {
    fn default() -> Self {
        let (addresses, listen, zones) = (Vec::new(), Vec::new(), Vec::new());
        Self { agent: None, port: None, tls: None, addresses, ttl: TTL, listen, zones }
    }
}

impl DnsConfig {
    /// Of a host on this machine that serves the zones of its domains itself.
    pub(super) fn dev(
        host: IpAddr,
        listen: SocketAddr,
        domains: impl Iterator<Item = Name>,
    ) -> Self {
        let mut all: Vec<Name> = domains.collect();
        all.sort();
        all.dedup();
        let is_inner = |name: &Name| all.iter().any(|other| name.is_within(other) && name != other);
        let zones = all.iter().filter(|name| !is_inner(name)).take(MOST_ZONES);
        let zones = zones.map(|name| DnsZone { name: name.clone(), served: Served::Embedded });
        let (addresses, zones) = (vec![host], zones.collect());
        Self { addresses, listen: vec![listen], zones, ..Self::default() }
    }

    /// Has all zones written to a name server, by updates that are signed with the key of a file.
    pub fn write_to(&mut self, server: SocketAddr, key_file: PathBuf) {
        self.listen.clear();
        let served = Served::Update { servers: vec![server], key_file };
        self.zones.iter_mut().for_each(|zone| zone.served = served.clone());
    }
}

impl Reader<'_> {
    pub(super) fn dns(&mut self, raw: RawDns, base: &Path) -> DnsConfig {
        let (agent, port) = raw.agent.map_or((None, None), |text| self.agent(&text));
        let addresses = self.publishable(raw.addresses.unwrap_or_default());
        let ttl = self.number(raw.ttl, 1..=MOST_TTL).and_then(|ttl| u32::try_from(ttl).ok());
        let written = raw.zones.unwrap_or_default();
        if let Some(one) = written.get(MOST_ZONES) {
            self.fault(&one.name, format!("more than {MOST_ZONES} zones"));
        }
        let mut zones: Vec<DnsZone> = Vec::new();
        for raw in written {
            let name = raw.name.clone();
            let Some(zone) = self.zone(raw, base) else { continue };
            if zones.iter().any(|other| other.name == zone.name) {
                self.fault(&name, format!("a second zone {}", zone.name));
            }
            zones.push(zone);
        }
        let embedded = zones.iter().any(|zone| zone.served == Served::Embedded);
        let listen = match raw.listen {
            Some(written) => self.served_on(&written, embedded),
            None if embedded => {
                self.fault_of_file("[dns] listen is missing: an embedded zone is served somewhere");
                Vec::new()
            }
            None => Vec::new(),
        };
        let ttl = ttl.unwrap_or(TTL);
        DnsConfig { agent, port, tls: raw.tls, addresses, ttl, listen, zones }
    }

    /// `host`, `host:port` or `:port`.
    fn agent(&mut self, text: &Spanned<String>) -> (Option<Name>, Option<u16>) {
        const WORDS: &str =
            "an agent is a host name, with or without a port, as in fnaa.example.com:61000";
        let (name, port) = match text.get_ref().rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text.get_ref().as_str(), None),
        };
        let port = port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0));
        // An address has no name that an SRV record could give.
        let name = name.parse::<Name>().ok().filter(|_| name.parse::<IpAddr>().is_err());
        if name.is_none() || port == Some(None) {
            self.fault(text, WORDS);
        }
        (name, port.flatten())
    }

    fn publishable(&mut self, written: Vec<Spanned<String>>) -> Vec<IpAddr> {
        if let Some(one) = written.get(MOST_ADDRESSES) {
            self.fault(one, format!("more than {MOST_ADDRESSES} addresses"));
        }
        let mut addresses = Vec::new();
        for text in written {
            match text.get_ref().parse::<IpAddr>() {
                Ok(address) if address.is_unspecified() || address.is_multicast() => {
                    self.fault(&text, "nobody can connect to such an address");
                }
                Ok(address) => addresses.push(address),
                Err(_) => self.fault(&text, "not an address, as in 192.0.2.1 or 2001:db8::1"),
            }
        }
        addresses
    }

    fn served_on(&mut self, written: &[Spanned<String>], embedded: bool) -> Vec<SocketAddr> {
        match written.first() {
            Some(one) if !embedded => {
                self.fault(one, "nothing is served there: no zone is embedded")
            }
            None if embedded => self.fault_of_file("[dns] listen is empty, and a zone embedded"),
            _ => {}
        }
        written.iter().filter_map(|text| self.address(text)).collect()
    }

    fn zone(&mut self, raw: RawZone, base: &Path) -> Option<DnsZone> {
        let name = self.name(&raw.name);
        let embedded = raw.embedded.as_ref().is_some_and(|embedded| *embedded.get_ref());
        let served = match (raw.server, raw.key_file) {
            (None, None) if embedded => Served::Embedded,
            (server, key_file) if embedded => {
                let key = if server.is_some() { "server" } else { "key_file" };
                drop(key_file);
                self.fault(&raw.name, format!("an embedded zone has no {key}"));
                return None;
            }
            (Some(servers), Some(key_file)) if !servers.is_empty() => {
                let servers = self.name_servers(servers);
                Served::Update { servers, key_file: self.file(&key_file, base)? }
            }
            (None, _) => {
                let words = "a zone has server and key_file, or embedded = true";
                self.fault(&raw.name, words);
                return None;
            }
            (Some(servers), None) if !servers.is_empty() => {
                self.fault(&raw.name, "key_file is missing: updates are signed (TSIG)");
                return None;
            }
            (Some(_), _) => {
                self.fault(&raw.name, "server is empty: addresses of the zone's name servers");
                return None;
            }
        };
        Some(DnsZone { name: name?, served })
    }

    /// Under which name and port Kafka clients reach a broker from outside.
    pub(super) fn advertised(&mut self, text: &Spanned<String>) -> Option<(Name, u16)> {
        let (name, port) = text.get_ref().rsplit_once(':').unwrap_or((text.get_ref(), ""));
        let port = port.parse::<u16>().ok().filter(|port| *port > 0);
        let name = name.parse::<Name>().ok().filter(|_| name.parse::<IpAddr>().is_err());
        let both = name.zip(port);
        if both.is_none() {
            self.fault(text, "advertise is a host name and a port, as in kafka.example.com:9092");
        }
        both
    }
}

/// What a broker says to Kafka clients elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// The name of the host.
    pub host: Name,
    /// The port.
    pub port: u16,
    /// Whether TLS begins with the connection.
    pub tls: bool,
}

impl Config {
    /// Brokers that Kafka clients elsewhere may reach, by name.
    pub fn advertised(&self) -> impl Iterator<Item = (&str, Advertised)> {
        self.brokers.iter().filter_map(|Broker { name, kind }| {
            let BrokerKind::Kafka(kafka) = kind else { return None };
            let (host, port) = kafka.advertise.clone()?;
            Some((name.as_str(), Advertised { host, port, tls: kafka.tls.is_some() }))
        })
    }

    /// Port of the agent, and whether TLS begins with the connection there, when it listens on these addresses in
    /// the clear and under TLS. None where no port is known.
    #[must_use]
    pub fn agent_port(&self, clear: &[SocketAddr], tls: &[SocketAddr]) -> Option<(u16, bool)> {
        let all = || tls.iter().map(|at| (at, true)).chain(clear.iter().map(|at| (at, false)));
        let found = match self.dns.port {
            Some(port) => (port, all().any(|(at, tls)| tls && at.port() == port)),
            None => {
                let public = all().find(|(at, _)| !at.ip().is_loopback());
                let (at, tls) = public.or_else(|| all().next())?;
                (at.port(), tls)
            }
        };
        let (port, tls) = (found.0, self.dns.tls.unwrap_or(found.1));
        (port > 0).then_some((port, tls))
    }
}

/// TTL where nothing is said: what may be withdrawn at any moment is not to be remembered for long.
const TTL: u32 = 300;

/// Longest TTL: what the draft has for PTR records (section 3.1.2) and a day more than anybody needs.
const MOST_TTL: u64 = 86_400;

/// Zones of one participant: each has a task, and a connection now and then.
const MOST_ZONES: usize = 64;

/// Addresses of one agent: all of them are in each answer about it.
const MOST_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests;
