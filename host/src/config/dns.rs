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
mod tests {
    use super::super::ConfigError;
    use super::*;

    const SMALL: &str =
        "hostname = \"fnaa.test\"\nlisten = [\"127.0.0.1:61000\"]\ndata_dir = \"data\"\n";

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(&format!("{SMALL}{text}"), Path::new("fnaad.toml"))
    }

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn zones_are_embedded_or_updated() {
        let config = parse(
            "[dns]\nlisten = [\"127.0.0.1:0\"]\n[[dns.zones]]\nname = \"a.test\"\nembedded = true\n\
             [[dns.zones]]\nname = \"b.test\"\nserver = [\"192.0.2.1\", \"[::1]:5353\"]\nkey_file = \"k\"\n",
        );
        let zones = config.unwrap().dns.zones;
        assert_eq!(zones[0].served, Served::Embedded);
        let servers = ["192.0.2.1:53", "[::1]:5353"].map(|at| at.parse().unwrap()).to_vec();
        let key_file = PathBuf::from("k");
        assert_eq!(zones[1].served, Served::Update { servers, key_file });
        assert_eq!(parse("").unwrap().dns, DnsConfig::default());
    }

    #[test]
    fn what_is_wrong_with_a_zone_is_said_with_its_line() {
        for (text, words) in [
            ("name = \"a.test\"\n", "fnaad.toml:6: a zone has server and key_file, or embedded"),
            ("name = \"a..b\"\nembedded = true\n", "fnaad.toml:6: not a name"),
            ("name = \"a.test\"\nserver = [\"::1\"]\n", "fnaad.toml:6: key_file is missing"),
            ("name = \"a.test\"\nserver = []\nkey_file = \"k\"\n", "fnaad.toml:6: server is empty"),
            (
                "name = \"a.test\"\nserver = [\"ns\"]\nkey_file = \"k\"\n",
                "fnaad.toml:7: not a name server",
            ),
            (
                "name = \"a.test\"\nembedded = true\nkey_file = \"k\"\n",
                "an embedded zone has no key_file",
            ),
            ("name = \"a.test\"\nembedded = true\n", "[dns] listen is missing"),
        ] {
            let refused = refusal(&format!("[dns]\n[[dns.zones]]\n{text}"));
            assert!(refused.contains(words), "{text}: {refused}");
        }
        let second = "[[dns.zones]]\nname = \"a.test\"\nserver = [\"::1\"]\nkey_file = \"k\"\n";
        assert!(
            refusal(&format!("{second}{second}")).contains("fnaad.toml:9: a second zone a.test")
        );
        let idle = refusal("[dns]\nlisten = [\"127.0.0.1:0\"]\n");
        assert!(idle.contains("fnaad.toml:5: nothing is served there"), "{idle}");
    }

    #[test]
    fn a_participant_for_trying_out_has_a_zone_for_each_domain_and_none_within_another() {
        let names = ["unix.ar", "test", "deep.unix.ar", "unix.ar", "a.emiliano.ar"];
        let names = names.map(|name| name.parse::<Name>().unwrap());
        let (host, listen) = ("127.0.0.9".parse().unwrap(), "127.0.0.9:0".parse().unwrap());
        let dns = DnsConfig::dev(host, listen, names.into_iter());
        let zones: Vec<&str> = dns.zones.iter().map(|zone| zone.name.as_str()).collect();
        assert_eq!(zones, ["a.emiliano.ar", "test", "unix.ar"]);
        assert!(dns.zones.iter().all(|zone| zone.served == Served::Embedded));
        assert_eq!((dns.addresses, dns.listen), (vec![host], vec![listen]));
    }

    #[test]
    fn an_agent_is_a_name_and_perhaps_a_port() {
        let agent = |text: &str| {
            let dns = parse(&format!("[dns]\nagent = \"{text}\"\n"))?.dns;
            Ok::<_, ConfigError>((dns.agent.map(|name| name.to_string()), dns.port))
        };
        assert_eq!(agent("a.test").unwrap(), (Some("a.test".into()), None));
        assert_eq!(agent("a.test:61").unwrap(), (Some("a.test".into()), Some(61)));
        for wrong in ["", "a..b", "a.test:0", "a.test:x", "192.0.2.1:53", "a.test:65536"] {
            assert!(agent(wrong).is_err(), "{wrong}");
        }
        for wrong in ["x", "0.0.0.0", "ff02::1"] {
            assert!(parse(&format!("[dns]\naddresses = [\"{wrong}\"]\n")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_agents_port_is_that_of_the_first_listener_that_others_reach() {
        let config = |dns: &str| parse(&format!("[dns]\n{dns}")).unwrap();
        let at = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let (clear, tls) = (at(&["127.0.0.1:1", "192.0.2.1:2"]), at(&["127.0.0.1:3"]));
        assert_eq!(config("").agent_port(&clear, &tls), Some((2, false)));
        assert_eq!(config("").agent_port(&clear, &at(&["[::]:4"])), Some((4, true)));
        assert_eq!(config("").agent_port(&at(&["127.0.0.1:1"]), &tls), Some((3, true)));
        assert_eq!(config("").agent_port(&at(&["127.0.0.1:0"]), &[]), None);
        assert_eq!(config("agent = \"a.b:3\"").agent_port(&clear, &tls), Some((3, true)));
        assert_eq!(
            config("agent = \"a.b:9\"\ntls = true").agent_port(&clear, &[]),
            Some((9, true))
        );
    }

    #[test]
    fn a_kafka_broker_may_be_advertised_and_no_other() {
        let kafka = |advertise: &str| {
            parse(&format!(
                "[[brokers]]\nname = \"k\"\ntype = \"kafka\"\nservers = \"k:9092\"\nadvertise = \"{advertise}\"\n"
            ))
        };
        let config = kafka("kafka.test:9092").unwrap();
        let advertised: Vec<_> = config.advertised().collect();
        assert_eq!(advertised.len(), 1);
        assert_eq!((advertised[0].0, advertised[0].1.port), ("k", 9092));
        assert!(kafka("192.0.2.1:9092").is_err() && kafka("kafka.test").is_err());
        let embedded = "[[brokers]]\nname = \"e\"\ntype = \"embedded\"\nadvertise = \"a.b:1\"\n";
        assert!(refusal(embedded).contains("an embedded broker has no advertise"));
    }

    #[test]
    fn check_reads_the_keys_of_zones() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("fnaad.toml"), dir.path().join("k"));
        let zone = "[[dns.zones]]\nname = \"a.test\"\nserver = [\"::1\"]\nkey_file = \"k\"\n";
        std::fs::write(&path, format!("{SMALL}{zone}")).unwrap();
        let findings = || -> Vec<String> {
            let found = super::super::check(&path).unwrap();
            found.into_iter().filter(|one| one.fatal).map(|one| one.what).collect()
        };
        assert!(findings()[0].starts_with("key_file "), "{:?}", findings());
        std::fs::write(&key, "nothing of use").unwrap();
        let mode =
            |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o600);
        assert!(findings()[0].starts_with("dns zone a.test: "), "{:?}", findings());
        let secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";
        let good = format!("key \"a\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};\n");
        std::fs::write(&key, good).unwrap();
        assert_eq!(findings(), [""; 0]);
        mode(0o644);
        let exposed = findings().remove(0);
        assert!(exposed.contains("only its owner") && !exposed.contains(secret), "{exposed}");
    }
}
