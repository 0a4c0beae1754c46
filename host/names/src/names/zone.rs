//! Name servers as people write them: `192.0.2.53`, `[::1]:5353`, and for one zone `emiliano.ar=127.0.0.1:5353`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// A zone with name servers of its own, such as one that nobody delegates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneServers {
    /// Its name; names below it are asked about at the same servers.
    pub name: fnap::name::Name,
    /// Its servers, at least one.
    pub servers: Vec<SocketAddr>,
    /// As [`Options::trust_anchors`], for these servers, which have to answer for everything from the anchor down.
    /// Without it they are believed: whoever wrote them here vouches for them, and nothing they say is proven.
    pub trust_anchors: Option<PathBuf>,
}

/// The text is no name server, or none of a zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoServer {
    /// Neither an address nor an address and a port.
    #[error("not a name server, as in 192.0.2.53 or [::1]:5353: {0}")]
    Server(String),
    /// No zone before the server.
    #[error("not a zone and its name server, as in emiliano.ar=127.0.0.1:5353: {0}")]
    Zone(String),
}

/// An address with or without a port.
///
/// # Errors
/// When the text is neither.
pub fn name_server_of(text: &str) -> Result<SocketAddr, NoServer> {
    let alone = || text.parse::<IpAddr>().ok().map(|ip| (ip, DNS_PORT).into());
    let server = text.parse().ok().or_else(alone).filter(|server: &SocketAddr| server.port() != 0);
    server.ok_or_else(|| NoServer::Server(text.to_owned()))
}

impl FromStr for ZoneServers {
    type Err = NoServer;

    fn from_str(text: &str) -> Result<Self, NoServer> {
        let wrong = || NoServer::Zone(text.to_owned());
        let (zone, server) = text.split_once('=').ok_or_else(wrong)?;
        let name = zone.parse().map_err(|_| wrong())?;
        Ok(Self { name, servers: vec![name_server_of(server)?], trust_anchors: None })
    }
}

impl ZoneServers {
    /// Puts zones before others: of the same zone those named here count alone, all servers of it together.
    pub fn overrule(zones: &mut Vec<Self>, named: &[Self]) {
        zones.retain(|zone| !named.iter().any(|other| other.name == zone.name));
        for one in named {
            match zones.iter_mut().find(|zone| zone.name == one.name) {
                Some(zone) => zone.servers.extend(&one.servers),
                None => zones.push(one.clone()),
            }
        }
    }
}

/// Where name servers are reached if nobody says otherwise.
pub const DNS_PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_and_its_server_are_read_and_what_is_none_is_refused() {
        let zone = |text: &str| text.parse::<ZoneServers>();
        let read = zone("Emiliano.AR=[::1]:5353").unwrap();
        assert_eq!(
            (read.name.as_str(), read.servers[0].to_string()),
            ("emiliano.ar", "[::1]:5353".into())
        );
        assert_eq!(zone("ar=192.0.2.1").unwrap().servers[0].port(), DNS_PORT);
        for text in
            ["", "emiliano.ar", "=127.0.0.1", "a..b=127.0.0.1", "ar=", "ar=ns.ar", "ar=127.0.0.1:0"]
        {
            assert!(zone(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_named_overrules_what_was_there_of_the_same_zone() {
        let read =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let mut zones = read(&["a.ar=192.0.2.1", "b.ar=192.0.2.1"]);
        ZoneServers::overrule(
            &mut zones,
            &read(&["a.ar=192.0.2.7", "a.ar=192.0.2.8", "c.ar=192.0.2.9"]),
        );
        let shown: Vec<_> =
            zones.iter().map(|zone| format!("{} {}", zone.name, zone.servers.len())).collect();
        assert_eq!(shown, ["b.ar 1", "a.ar 2", "c.ar 1"]);
        assert!(zones[1].servers.iter().all(|server| server.to_string() != "192.0.2.1:53"));
    }
}
