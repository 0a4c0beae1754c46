//! Whom to ask about names, and whom to believe about domains.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host_names::{Domains, Names, Options, Roots, SetupError, ZoneServers, name_server_of};
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
    pub(super) zones: Option<Vec<RawZone>>,
    pub(super) trust_anchor_file: At<String>,
    pub(super) ca_file: At<String>,
    pub(super) timeout_seconds: At<u64>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawZone {
    pub(super) zone: Spanned<String>,
    pub(super) servers: Vec<Spanned<String>>,
    pub(super) trust_anchor_file: At<String>,
}

impl NamesConfig {
    /// Has these zones asked about at these servers, whatever the configuration says of them.
    pub fn overrule(&mut self, zones: &[ZoneServers]) {
        ZoneServers::overrule(&mut self.options.zones, zones);
    }

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
        let zones = self.zones(raw.zones.unwrap_or_default(), base);
        let options = Options { servers, trust_anchors, timeout, zones, ..usual };
        NamesConfig { options, ca_file: raw.ca_file.and_then(|file| self.file(&file, base)) }
    }

    fn zones(&mut self, written: Vec<RawZone>, base: &Path) -> Vec<ZoneServers> {
        if let Some(one) = written.get(MOST_ZONES) {
            self.fault(&one.zone, format!("more than {MOST_ZONES} zones"));
        }
        let mut zones: Vec<ZoneServers> = Vec::new();
        for RawZone { zone, servers, trust_anchor_file } in written {
            let Some(name) = self.name(&zone) else { continue };
            if zones.iter().any(|other| other.name == name) {
                self.fault(&zone, format!("a second zone {name}"));
            }
            if servers.is_empty() {
                self.fault(&zone, "a zone without name servers");
            }
            let trust_anchors = trust_anchor_file.and_then(|file| self.file(&file, base));
            zones.push(ZoneServers { name, servers: self.name_servers(servers), trust_anchors });
        }
        zones
    }

    pub(super) fn name_servers(&mut self, written: Vec<Spanned<String>>) -> Vec<SocketAddr> {
        if let Some(one) = written.get(MOST_SERVERS) {
            self.fault(one, format!("more than {MOST_SERVERS} name servers"));
        }
        let mut servers = Vec::new();
        for text in written {
            match name_server_of(text.get_ref()) {
                Ok(server) => servers.push(server),
                Err(error) => self.fault(&text, error),
            }
        }
        servers
    }
}

/// As many as anybody lists: each is asked when those before it are silent.
const MOST_SERVERS: usize = 16;

/// As many zones as anybody asks about elsewhere.
const MOST_ZONES: usize = 256;
