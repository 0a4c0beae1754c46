//! Names looked up in DNS: servers, trust anchors, limits and memory.
//!
//! Asks the servers that it is given and believes none of them about DNSSEC: every signature is checked here,
//! from the trust anchor down.

mod known;
mod system;
mod zone;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::RetryDnsHandle;
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use tokio::time::{Instant, timeout};

pub use known::Age;
use known::Known;
pub use zone::{DNS_PORT, NoServer, ZoneServers, name_server_of};

use crate::asking::{Asker, Found, Handle, Servers};
use crate::cache::Cache;
use crate::records::{Answer, Kind, Ptr, Srv, Tlsa, Txt};
use crate::{LookupError, SetupError};

/// Whom to ask, and whom to believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Name servers; empty for those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// Zones that are asked about elsewhere; of several that hold a name the longest one counts.
    pub zones: Vec<ZoneServers>,
    /// File of DNSKEY records that are believed, in the format of zone files; none for the root's own keys.
    pub trust_anchors: Option<PathBuf>,
    /// Whether signatures count. Without, `servers` are believed, and nothing that they say is proven.
    pub checked: bool,
    /// How long one question may take, everything that has to be asked along with it included.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            zones: Vec::new(),
            trust_anchors: None,
            checked: true,
            timeout: TIMEOUT,
        }
    }
}

/// Looks names up.
#[derive(Debug)]
pub struct Names {
    asker: Asker,
    cache: Cache<(Name, RecordType), Known>,
    timeout: Duration,
    /// Why there is nobody to ask about names outside of the zones, where that is so.
    nobody: Option<String>,
}

impl Names {
    /// Reads what the options name; asks nobody yet.
    ///
    /// # Errors
    /// When there are no servers, or the trust anchors cannot be used.
    pub fn new(options: &Options) -> Result<Self, SetupError> {
        let (usual, nobody) = match options.servers.as_slice() {
            [] if !options.zones.is_empty() => system::servers_beside_zones(Path::new(RESOLV_CONF)),
            [] => (system::servers(Path::new(RESOLV_CONF))?, None),
            servers => (servers.iter().map(|server| name_server(*server)).collect(), None),
        };
        let anchors = match (&options.trust_anchors, options.checked) {
            (_, false) => None,
            (Some(path), true) => Some(anchors(path)?),
            (None, true) => Some(TrustAnchors::default()),
        };
        let usual = servers(usual, anchors, options.timeout)?;
        let zones = options.zones.iter().map(|zone| of_zone(zone, options.timeout));
        let asker = Asker::new(usual, zones.collect::<Result<_, _>>()?);
        Ok(Self { asker, cache: Cache::new(MAX_ANSWERS), timeout: options.timeout, nobody })
    }

    /// Services under a name, as in `_flow._tcp.flows.example.org`.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn srv(&self, owner: &str) -> Result<Answer<Srv>, LookupError> {
        self.records(owner, RecordType::SRV).await
    }

    /// Texts under a name.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn txt(&self, owner: &str) -> Result<Answer<Txt>, LookupError> {
        self.records(owner, RecordType::TXT).await
    }

    /// Where a name points to.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn ptr(&self, owner: &str) -> Result<Answer<Ptr>, LookupError> {
        self.records(owner, RecordType::PTR).await
    }

    /// Certificates of the TCP service at a port of a host (RFC 6698, section 3).
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn tlsa(&self, host: &str, port: u16, age: Age) -> Result<Answer<Tlsa>, LookupError> {
        self.records_of(&format!("_{port}._tcp.{host}"), RecordType::TLSA, age).await
    }

    async fn records<T: Kind>(
        &self,
        owner: &str,
        kind: RecordType,
    ) -> Result<Answer<T>, LookupError> {
        self.records_of(owner, kind, Age::Any).await
    }

    async fn records_of<T: Kind>(
        &self,
        owner: &str,
        kind: RecordType,
        age: Age,
    ) -> Result<Answer<T>, LookupError> {
        let found = self.found(owner, kind, age).await?;
        Ok(Answer {
            records: found.records.iter().filter_map(T::read).collect(),
            security: found.security,
            ttl: remembered(&found),
        })
    }

    /// Who is asked about a name; nobody where it is none.
    pub(crate) fn servers(&self, owner: &str) -> &[SocketAddr] {
        name(owner).map_or(&[], |name| &self.asker.servers(&name).addresses)
    }

    /// How long one question may take.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) async fn found(
        &self,
        owner: &str,
        kind: RecordType,
        age: Age,
    ) -> Result<Arc<Found>, LookupError> {
        let key = (name(owner)?, kind);
        if let Some(why) = self.nobody.as_ref().filter(|_| self.servers(owner).is_empty()) {
            let (what, reason) = (format!("{owner} {kind}"), why.clone());
            return Err(LookupError::Unavailable { what, reason });
        }
        let known = self.cache.get(&key);
        if let Some(known) = known.as_ref().filter(|known| known.counts(age)) {
            return known.answer();
        }
        let asked = timeout(self.timeout, self.asker.ask(&key.0, kind)).await;
        let found = asked.unwrap_or(Err(LookupError::TooSlow)).map(Arc::new);
        let ttl = found.as_ref().map_or(SHORTEST, |found| remembered(found));
        self.cache.put(key, Known::new(found.clone(), known.as_ref()), Instant::now() + ttl);
        found
    }
}

/// How long an answer is remembered.
fn remembered(found: &Found) -> Duration {
    let longest = if found.records.is_empty() { NOTHING_FOR } else { LONGEST };
    found.ttl.clamp(SHORTEST, longest)
}

fn name(owner: &str) -> Result<Name, LookupError> {
    let no_name = || LookupError::NoName(owner.escape_debug().to_string());
    let mut name = Name::from_ascii(owner).map_err(|_| no_name())?;
    name.set_fqdn(true);
    Ok(name)
}

fn of_zone(zone: &ZoneServers, timeout: Duration) -> Result<(Name, Servers), SetupError> {
    let anchors = zone.trust_anchors.as_deref().map(anchors).transpose()?;
    let configs = zone.servers.iter().map(|server| name_server(*server)).collect();
    let name = name(zone.name.as_str()).map_err(|error| SetupError::Resolver(error.to_string()))?;
    Ok((name, servers(configs, anchors, timeout)?))
}

/// Servers whose answers are checked where there are anchors.
fn servers(
    configs: Vec<NameServerConfig>,
    anchors: Option<TrustAnchors>,
    timeout: Duration,
) -> Result<Servers, SetupError> {
    let port = |config: &NameServerConfig| config.connections.first().map_or(0, |one| one.port);
    let addresses = configs.iter().map(|config| (config.ip, port(config)).into()).collect();
    let tls = TlsConfig::new().map_err(|error| SetupError::Resolver(error.to_string()))?;
    let context = Arc::new(PoolContext::new(pool_options(timeout, anchors.is_some()), tls));
    let pool = NameServerPool::from_config(configs, context, TokioRuntimeProvider::default());
    let retrying = RetryDnsHandle::new(pool, ATTEMPTS);
    let handle = match anchors {
        Some(anchors) => Handle::Checked(
            DnssecDnsHandle::with_trust_anchor(retrying, Arc::new(anchors))
                .validation_cache_size(MAX_VALIDATIONS),
        ),
        None => Handle::Unchecked(retrying),
    };
    Ok(Servers { handle, addresses })
}

fn pool_options(timeout: Duration, validate: bool) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    // For one question to all servers together; whoever asked waits for `timeout` all in all.
    options.timeout = timeout / 2;
    options.attempts = ATTEMPTS;
    options.edns0 = true;
    options.validate = validate;
    options
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
    let ip: IpAddr = address.ip();
    NameServerConfig::new(ip, true, connections)
}

fn anchors(path: &Path) -> Result<TrustAnchors, SetupError> {
    let wrong = |reason: String| SetupError::Anchors { path: path.to_owned(), reason };
    let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if length > MAX_ANCHOR_FILE {
        return Err(wrong(format!("larger than {MAX_ANCHOR_FILE} octets")));
    }
    let octets = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8(octets).map_err(|_| wrong("not a text of utf-8".to_owned()))?;
    // An empty set would make every zone insecure or bogus without a word.
    if !text.lines().any(|line| !line.trim_start().starts_with(';') && line.contains("DNSKEY")) {
        return Err(wrong("no DNSKEY record in it".to_owned()));
    }
    text.parse().map_err(|error| wrong(format!("{error}")))
}

/// How long one question may take where nobody says otherwise: a few round trips around the world, once again
/// where a datagram was lost.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Where the system says whom to ask.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// How often a question is asked again that nobody answered.
const ATTEMPTS: usize = 1;

/// Shortest time for which an answer, or a failure, is remembered: a peer that comes again and again
/// shall not make this host a flood for somebody's name server.
const SHORTEST: Duration = Duration::from_secs(1);

/// Longest time for which records are remembered: so long may a revoked certificate be let in.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Longest time for which it is remembered that there is nothing: who adds his record does not wait an hour.
const NOTHING_FOR: Duration = Duration::from_secs(60);

/// Most answers that are remembered: each has at most 64 KiB, usually under one.
const MAX_ANSWERS: usize = 1_024;

/// Most sets of records whose signatures are known to be right; a few for each answer.
const MAX_VALIDATIONS: usize = 4_096;

/// Largest file of trust anchors: the root has two or three keys.
const MAX_ANCHOR_FILE: u64 = 64 * 1_024;

#[cfg(test)]
mod tests;
