//! Who we are to other participants, and whom we believe to be them.

use std::path::{Path, PathBuf};

use fnap::name::Name;
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
}

impl Reader<'_> {
    pub(super) fn peers(&mut self, raw: RawPeers, base: &Path) -> PeersConfig {
        PeersConfig {
            domain: raw.domain.and_then(|name| self.name(&name)),
            ca_file: raw.ca_file.and_then(|file| self.file(&file, base)),
            // Made where it is not there.
            secret_file: raw.secret_file.and_then(|file| self.path(&file, base)),
            assumed: false,
        }
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
