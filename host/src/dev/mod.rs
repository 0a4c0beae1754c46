//! `fnaad dev DIR`: prepares a directory so that a participant runs out of it, and again next time.
//!
//! In the directory: `layout` (format of all this), `lock`, `listen` (the kept address), `broker` (the kept
//! Kafka, where one was named), `fnua.toml`
//! (for the user agent, with the password in the clear: mode 0600), `users.toml` (its verifiers),
//! `tls` (an authority of its own, and the host's certificate), `plugins` (the inbox, filled at the first start only) and `data`. What belongs to somebody else in
//! the directory is left alone.

mod agent;
mod broker;
mod certificate;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fnap::name::Name;

use crate::config::Config;
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

impl Dev {
    /// Makes or opens a directory. Without an address the one of the last start is taken, without
    /// namespaces those of the last start, without a broker that of the last start.
    ///
    /// # Errors
    /// When another host runs on it, a newer one made it, or it cannot be written.
    pub fn prepare(
        dir: &Path,
        listen: Option<SocketAddr>,
        namespaces: &[Name],
        broker: Option<&DevBroker>,
    ) -> Result<Self> {
        let dir = std::path::absolute(dir).context("directory")?;
        let lock = DirLock::take(&dir)?;
        check_layout(&dir)?;
        let mut agent = AgentFile::open(&dir)?;
        let namespaces = agent.add_namespaces(namespaces)?;
        let listen = choose_address(listen, kept_address(&dir)?);
        let brokers = broker::brokers(&dir, broker)?;
        let config = Config::dev(&dir, listen, namespaces, brokers);
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

    /// Keeps the address that is listened on, and tells the user agent. To be called before `ready`
    /// is printed.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn listening(&mut self, address: SocketAddr) -> Result<()> {
        let kept = format!("{address}\n");
        files::replace(&self.dir.join("listen"), kept.as_bytes())?;
        self.agent.set_address(reachable(address))?;
        self.agent.save()
    }
}

/// The namespace where none is asked for; `test` is nobody's (RFC 6761).
pub const DEFAULT_NAMESPACE: &str = "flows.test";

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

fn kept_address(dir: &Path) -> Result<Option<SocketAddr>> {
    let path = dir.join("listen");
    let Some(text) = files::read(&path)? else { return Ok(None) };
    let address = text.trim().parse();
    address.map(Some).with_context(|| format!("{}: not an address and port", path.display()))
}

/// An asked port counts; without one the kept port of that address.
fn choose_address(asked: Option<SocketAddr>, kept: Option<SocketAddr>) -> SocketAddr {
    match (asked, kept) {
        (None, None) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
        (None, Some(kept)) => kept,
        (Some(asked), Some(kept)) if asked.port() == 0 && asked.ip() == kept.ip() => kept,
        (Some(asked), _) => asked,
    }
}

/// Where a client on this machine reaches an address that is listened on.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests;
