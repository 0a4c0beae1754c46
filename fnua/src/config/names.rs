//! How hosts are found that no agent of the configuration is: name servers, and whom to believe.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use host_names::{Options, ZoneServers, name_server_of};

use super::Fault;
use super::meaning::path;
use super::node::{Node, Table, fault};

/// Name servers, and whom to believe about names and about hosts that were found by them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameService {
    /// Whom to ask; those of the system where there are none.
    pub servers: Vec<SocketAddr>,
    /// Zones that are asked about elsewhere.
    pub zones: Vec<ZoneServers>,
    /// File of DNSKEY records that are believed in place of the root's own keys.
    pub trust_anchors: Option<PathBuf>,
    /// The authorities that may vouch for hosts that no agent is; the system's where there is none.
    pub ca_file: Option<PathBuf>,
}

impl NameService {
    /// How names are looked up. Servers that one has named oneself are believed, unless there are trust anchors to check
    /// them by: most of those who name one have a name server that knows no root.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            servers: self.servers.clone(),
            zones: self.zones.clone(),
            trust_anchors: self.trust_anchors.clone(),
            checked: self.servers.is_empty() || self.trust_anchors.is_some(),
            ..Options::default()
        }
    }

    /// Whether one has said who is to be asked about a host.
    #[must_use]
    pub fn covers(&self, host: &fnap::Name) -> bool {
        let holds = |zone: &ZoneServers| *host == zone.name || host.is_within(&zone.name);
        !self.servers.is_empty() || self.zones.iter().any(holds)
    }

    /// What it says that leads to other hosts than are meant. Name servers of zones on this machine, as `fnaad dev` writes
    /// them, lead to whoever runs here already.
    pub(super) fn leads_away(&self) -> Option<&'static str> {
        let is_near = |server: &SocketAddr| server.ip().to_canonical().is_loopback();
        let near = |zone: &ZoneServers| zone.servers.iter().all(is_near);
        let says = [
            (!self.servers.is_empty(), "nameservers"),
            (!self.zones.iter().all(near), "resolve"),
            (self.trust_anchors.is_some(), "trust_anchor_file"),
            (self.ca_file.is_some(), "ca_file"),
        ];
        says.into_iter().find(|(says, _)| *says).map(|(_, key)| key)
    }
}

/// Takes its keys out of the top of a configuration.
pub(super) fn read(root: &mut Table, directory: &Path) -> Result<NameService, Fault> {
    let list = |node: Option<Node>| node.map_or(Ok(Vec::new()), Node::list);
    let servers =
        list(root.take("nameservers"))?.into_iter().map(|node| parsed(node, name_server_of));
    let servers = servers.collect::<Result<_, _>>()?;
    let named = list(root.take("resolve"))?.into_iter().map(|node| parsed(node, str::parse));
    let mut zones = Vec::new();
    ZoneServers::overrule(&mut zones, &named.collect::<Result<Vec<ZoneServers>, _>>()?);
    let mut file = |key| root.take(key).map(|node| path(node, directory)).transpose();
    let (trust_anchors, ca_file) = (file("trust_anchor_file")?, file("ca_file")?);
    Ok(NameService { servers, zones, trust_anchors, ca_file })
}

fn parsed<T, E: ToString>(node: Node, parse: impl Fn(&str) -> Result<T, E>) -> Result<T, Fault> {
    let line = node.line;
    parse(&node.text()?).map_err(|error| fault(line, error.to_string()))
}
