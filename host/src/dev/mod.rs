//! `fnaad dev DIR`: prepares a directory so that a participant runs out of it, and again next time.
//!
//! In the directory: `layout` (format of all this), `lock`, `listen` and `dns` (the kept addresses), `broker` (the kept
//! Kafka, where one was named), `resolve` (what the host has put into that key of the next), `fnua.toml`
//! (for the user agent, with the password in the clear: mode 0600), `users.toml` (its verifiers),
//! `tls` (an authority of its own, and the host's certificate), `plugins` (the inbox, filled at the first start only) and `data`. What belongs to somebody else in
//! the directory is left alone.

mod agent;
mod broker;
mod certificate;

use std::io::{Write, stderr};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fnap::name::Name;
use host_names::ZoneServers;

use crate::config::{Config, DnsZone, Served};
use crate::lock::DirLock;
use crate::{files, included};
use agent::AgentFile;
pub(crate) use agent::USER;
pub use broker::{DevBroker, kept_kafka};
pub(crate) use certificate::files as certificate_files;

/// A directory that is prepared and held.
#[derive(Debug)]
pub struct Dev {
    dir: PathBuf,
    config: Config,
    agent: AgentFile,
    _lock: DirLock,
}

/// What somebody wants of a directory; what is left out is as at the last start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// Where to listen.
    pub listen: Option<SocketAddr>,
    /// Where the name server answers.
    pub dns: Option<SocketAddr>,
    /// Further namespaces.
    pub namespaces: &'a [Name],
    /// Where new namespaces have their topics.
    pub broker: Option<&'a DevBroker>,
}

impl Dev {
    /// Makes or opens a directory.
    ///
    /// # Errors
    /// When another host runs on it, a newer one made it, or it cannot be written.
    pub fn prepare(dir: &Path, asked: Asked<'_>) -> Result<Self> {
        let dir = std::path::absolute(dir).context("directory")?;
        // Nothing is logged yet.
        let lock = DirLock::take(&dir, |words| drop(writeln!(stderr(), "fnaad: {words}")))?;
        check_layout(&dir)?;
        let mut agent = AgentFile::open(&dir)?;
        let namespaces = agent.add_namespaces(asked.namespaces)?;
        let listen = choose_address(asked.listen, kept_address(&dir, LISTEN)?, LOOPBACK);
        // Who asks about names is on this machine, as those are who believe the host.
        let near = SocketAddr::new(reachable(listen).ip(), 0);
        let dns = choose_address(asked.dns, kept_address(&dir, DNS)?, near);
        let brokers = broker::brokers(&dir, asked.broker)?;
        let config = Config::dev(&dir, listen, dns, namespaces, brokers);
        files::make_dir(&config.data_dir)?;
        certificate::prepare(&dir, &config.hostname, listen.ip())?;
        included::put(&config.plugins_dir)?;
        Ok(Self { dir, config, agent, _lock: lock })
    }

    /// What to run.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Keeps the addresses that are listened on, the name server's too, and tells the user agent, along with who is asked
    /// about its own zones and those of others. To be called before `ready` is printed.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn listening(
        &mut self,
        address: SocketAddr,
        dns: Option<SocketAddr>,
        (own, others): (&[DnsZone], &[ZoneServers]),
    ) -> Result<()> {
        for (name, address) in [(LISTEN, Some(address)), (DNS, dns)] {
            let Some(address) = address else { continue };
            files::replace(&self.dir.join(name), format!("{address}\n").as_bytes())?;
        }
        self.agent.set_address(reachable(address))?;
        let mut all = others.to_vec();
        let own: Vec<ZoneServers> = own.iter().filter_map(|zone| asked_at(zone, dns)).collect();
        ZoneServers::overrule(&mut all, &own);
        self.agent.set_resolved(&self.dir, &all)?;
        self.agent.save()
    }
}

/// Who is asked about a zone of the host's own.
fn asked_at(zone: &DnsZone, dns: Option<SocketAddr>) -> Option<ZoneServers> {
    let servers = match &zone.served {
        Served::Embedded => dns.map(reachable).into_iter().collect(),
        Served::Update { servers, .. } => servers.clone(),
    };
    let (name, trust_anchors) = (zone.name.clone(), None);
    (!servers.is_empty()).then_some(ZoneServers { name, servers, trust_anchors })
}

/// The namespace where none is asked for; `test` is nobody's (RFC 6761).
pub const DEFAULT_NAMESPACE: &str = "flows.test";

/// The file with the kept address, and the one with that of the name server.
const LISTEN: &str = "listen";
const DNS: &str = "dns";

/// Where it listens the first time: for this machine, on whatever port is free.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Format of the directory. One that is newer is refused.
const LAYOUT: &str = "fnaad dev 1\n";

fn check_layout(dir: &Path) -> Result<()> {
    let path = dir.join("layout");
    match files::read(&path)? {
        None => files::replace(&path, LAYOUT.as_bytes()),
        Some(found) if found == LAYOUT => Ok(()),
        Some(found) => {
            let found: String = found.trim().chars().take(40).collect();
            bail!(
                "{} has the layout {:?}, this host knows {:?}",
                dir.display(),
                found,
                LAYOUT.trim()
            )
        }
    }
}

fn kept_address(dir: &Path, name: &str) -> Result<Option<SocketAddr>> {
    let path = dir.join(name);
    let Some(text) = files::read(&path)? else { return Ok(None) };
    let address = text.trim().parse();
    address.map(Some).with_context(|| format!("{}: not an address and port", path.display()))
}

/// An asked port counts; without one the kept port of that address.
fn choose_address(
    asked: Option<SocketAddr>,
    kept: Option<SocketAddr>,
    usual: SocketAddr,
) -> SocketAddr {
    match (asked, kept) {
        (None, None) => usual,
        (None, Some(kept)) => kept,
        (Some(asked), Some(kept)) if asked.port() == 0 && asked.ip() == kept.ip() => kept,
        (Some(asked), _) => asked,
    }
}

/// Where a client on this machine reaches an address that is listened on.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests;
