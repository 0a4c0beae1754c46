//! Who we are to other participants, and whom we believe to be them.

use std::path::{Path, PathBuf};

use fnap::name::Name;
use host_peers::BorrowRules;
use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;
use toml::Spanned;

use super::meaning::Reader;
use super::raw::At;

/// How this host meets those of other participants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeersConfig {
    /// The domain that it speaks for; without one it subscribes to nothing elsewhere.
    pub domain: Option<Name>,
    /// File of the certificate authorities that vouch for other hosts; none for those of the system.
    pub ca_file: Option<PathBuf>,
    /// File with the secret of the hosts of this user on this machine, who then speak clear text over loopback.
    pub secret_file: Option<PathBuf>,
    /// Whose subscriptions may come as topics at brokers of theirs, and where those may be.
    pub kafka: BorrowRules,
    /// Nobody wrote that there is a way to others: where there is none, the host does without.
    pub assumed: bool,
}

#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawPeers {
    domain: Option<Spanned<String>>,
    ca_file: At<String>,
    secret_file: At<String>,
    kafka: Option<RawPeersKafka>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
struct RawPeersKafka {
    domains: Vec<Spanned<String>>,
    networks: Option<Vec<Spanned<String>>>,
    ports: Option<Vec<Spanned<u16>>>,
}

impl PeersConfig {
    /// As those of one machine meet, whose brokers lie on it too.
    pub(super) fn dev() -> Self {
        let near = ["127.0.0.0/8", "::1"].into_iter().filter_map(|text| text.parse().ok());
        let kafka = BorrowRules { networks: near.collect(), ..BorrowRules::of_anybody() };
        Self { kafka, ..Self::default() }
    }
}

impl Reader<'_> {
    pub(super) fn peers(&mut self, raw: RawPeers, base: &Path) -> PeersConfig {
        PeersConfig {
            domain: raw.domain.and_then(|name| self.name(&name)),
            ca_file: raw.ca_file.and_then(|file| self.file(&file, base)),
            // Made where it is not there.
            secret_file: raw.secret_file.and_then(|file| self.path(&file, base)),
            kafka: raw.kafka.map(|raw| self.borrowing(raw)).unwrap_or_default(),
            assumed: false,
        }
    }

    fn borrowing(&mut self, raw: RawPeersKafka) -> BorrowRules {
        let RawPeersKafka { domains, networks, ports } = raw;
        let mut rules = BorrowRules::default();
        rules.domains.extend(domains.iter().filter_map(|name| self.name(name)));
        for network in networks.unwrap_or_default() {
            match network.get_ref().parse() {
                Ok(known) => rules.networks.push(known),
                Err(why) => self.fault(&network, why),
            }
        }
        for port in ports.unwrap_or_default() {
            if *port.get_ref() == 0 {
                self.fault(&port, "a port is 1 to 65535");
            }
            rules.ports.push(port.into_inner());
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError};
    use super::*;

    const SMALL: &str =
        "hostname = \"fnaa.test\"\nlisten = [\"127.0.0.1:61000\"]\ndata_dir = \"data\"\n";

    fn parse(text: &str) -> Result<PeersConfig, ConfigError> {
        let text = format!("{SMALL}[peers]\n{text}");
        Ok(Config::parse(&text, Path::new("/etc/fnaad/fnaad.toml"))?.peers)
    }

    #[test]
    fn topics_of_others_are_allowed_by_name_and_their_brokers_by_network() {
        let kafka = |text: &str| Ok(parse(&format!("[peers.kafka]\n{text}"))?.kafka);
        let rules = kafka(
            "domains = [\"unix.ar\"]\nnetworks = [\"10.20.0.0/16\", \"::1\"]\nports = [9094]\n",
        );
        let rules = rules.unwrap();
        assert_eq!(rules.domains, ["unix.ar".parse().unwrap()]);
        assert_eq!((rules.networks.len(), rules.ports, rules.anybody), (2, vec![9094], false));
        for (wrong, words) in [
            ("", "missing field"),
            ("domains = [\"a..b\"]\n", ":6: "),
            ("domains = []\nnetworks = [\"10.0.0.0/33\"]\n", ":7: a network is"),
            ("domains = []\nports = [0]\n", ":7: a port is"),
            ("domains = []\nports = [65536]\n", ":7:"),
            ("domains = []\nhosts = []\n", "unknown field"),
        ] {
            let refused = kafka(wrong).map(drop).map_err(|error: ConfigError| error.to_string());
            assert!(
                refused.as_ref().is_err_and(|said| said.contains(words)),
                "{wrong}: {refused:?}"
            );
        }
    }

    #[test]
    fn a_participant_says_which_domain_it_is_and_whom_it_believes() {
        let peers = parse("domain = \"A.test\"\nca_file = \"ca.pem\"\nsecret_file = \"/run/s\"\n");
        let peers = peers.unwrap();
        assert_eq!(peers.domain.unwrap().as_str(), "a.test");
        assert_eq!(peers.ca_file.unwrap(), Path::new("/etc/fnaad/ca.pem"));
        assert_eq!(peers.secret_file.unwrap(), Path::new("/run/s"));
        assert_eq!(parse("").unwrap(), PeersConfig::default());
        for wrong in ["domain = \"a..b\"\n", "domain = 1\n", "clear_text = true\n"] {
            assert!(parse(wrong).unwrap_err().to_string().contains("fnaad.toml:5"), "{wrong}");
        }
    }
}
