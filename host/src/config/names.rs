//! Whom to ask about names, and whom to believe about domains.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use host_names::{Domains, Names, Options, Roots, SetupError};
use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;
use toml::Spanned;

use super::meaning::Reader;
use super::raw::At;

/// How this host finds out which domain a stranger speaks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamesConfig {
    /// Whom it asks, and which keys it believes.
    pub options: Options,
    /// File of the certificate authorities that it believes; none for those of the system.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawNames {
    pub(super) servers: Option<Vec<Spanned<String>>>,
    pub(super) trust_anchor_file: At<String>,
    pub(super) ca_file: At<String>,
    pub(super) timeout_seconds: At<u64>,
}

impl NamesConfig {
    /// What decides about domains.
    ///
    /// # Errors
    /// When a file that is named cannot be used, or there are no name servers.
    pub fn domains(&self) -> Result<Domains, SetupError> {
        let roots = match &self.ca_file {
            Some(path) => Roots::of_file(path)?,
            None => Roots::of_the_system(),
        };
        let names = Names::new(&self.options)?;
        Ok(Domains::new(names, roots, self.options.timeout))
    }
}

impl Reader<'_> {
    pub(super) fn names(&mut self, raw: RawNames, base: &Path) -> NamesConfig {
        let usual = Options::default();
        let servers = self.name_servers(raw.servers.unwrap_or_default());
        let timeout = self.number(raw.timeout_seconds, 1..=60).map(Duration::from_secs);
        let trust_anchors = raw.trust_anchor_file.and_then(|file| self.file(&file, base));
        let timeout = timeout.unwrap_or(usual.timeout);
        let options = Options { servers, trust_anchors, timeout, ..usual };
        NamesConfig { options, ca_file: raw.ca_file.and_then(|file| self.file(&file, base)) }
    }

    pub(super) fn name_servers(&mut self, written: Vec<Spanned<String>>) -> Vec<SocketAddr> {
        if let Some(one) = written.get(MOST_SERVERS) {
            self.fault(one, format!("more than {MOST_SERVERS} name servers"));
        }
        let mut servers = Vec::new();
        for text in written {
            let alone = || text.get_ref().parse::<IpAddr>().ok().map(|ip| (ip, DNS).into());
            match text.get_ref().parse().ok().or_else(alone) {
                Some(server) => servers.push(server),
                None => self.fault(&text, "not a name server, as in 192.0.2.53 or [::1]:53"),
            }
        }
        servers
    }
}

/// Where name servers are reached if nobody says otherwise.
const DNS: u16 = 53;

/// As many as anybody lists: each is asked when those before it are silent.
const MOST_SERVERS: usize = 16;
