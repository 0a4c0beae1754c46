//! Participants that find each other by DNS, each at an address of its own.

use std::path::Path;

use crate::Config;

/// Where a participant is, so that ports can be told beforehand.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// Its domain.
    pub domain: &'static str,
    /// The namespace of its flows.
    pub namespace: &'static str,
    /// Its address.
    pub address: [u8; 4],
    /// Its port.
    pub port: u16,
}

impl At {
    /// Its address as text.
    #[must_use]
    pub fn text(self) -> String {
        std::net::Ipv4Addr::from(self.address).to_string()
    }

    /// Its configuration in a directory. It has a name server, knows those of the others, and shares a secret with them.
    #[must_use]
    pub fn config(self, dir: &Path, others: &[Self], secret: &Path) -> Config {
        let (Self { domain, namespace, port, .. }, own) = (self, self.text());
        let mut config = Config::new(dir);
        config.text = config
            .text
            .replace("fnaa.unix.ar", &format!("fnaa.{domain}"))
            .replace("flows.unix.ar", namespace)
            .replace("127.0.0.1:0", &format!("{own}:{port}"));
        let zone = |other: &Self| {
            format!("{{ zone = \"{}\", servers = [\"{}:5300\"] }}", other.domain, other.text())
        };
        config.text += &format!(
            "\n[names]\nzones = [{}]\n\n[peers]\ndomain = \"{domain}\"\nsecret_file = \"{}\"\n\
             \n[dns]\nagent = \"fnaa.{domain}:{port}\"\naddresses = [\"{own}\"]\nlisten = [\"{own}:5300\"]\n\
             [[dns.zones]]\nname = \"{domain}\"\nembedded = true\n",
            others.iter().map(zone).collect::<Vec<_>>().join(", "),
            secret.display()
        );
        config
    }
}
