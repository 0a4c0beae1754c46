//! Where TLS is spoken, with which certificate, and where clear text is allowed for everybody.
//!
//! An address that is not loopback has TLS, or its clear text is allowed by name: nobody opens it by leaving
//! something out.

use std::net::SocketAddr;
use std::path::Path;

use host_server::{Tls, TlsFiles};
use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;
use toml::Spanned;

use super::Config;
use super::check::Finding;
use super::meaning::Reader;
use super::raw::At;

/// `[tls]`.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
#[serde(deny_unknown_fields)]
pub(super) struct RawCertificate {
    certificate_file: Spanned<String>,
    key_file: Spanned<String>,
    client_ca_file: At<String>,
}

/// Addresses as they are written.
pub(super) type RawAddresses = Option<Vec<Spanned<String>>>;

/// What is listened on, and how.
#[derive(Debug)]
pub(super) struct Listens {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) listen_tls: Vec<SocketAddr>,
    pub(super) clear_text_on: Vec<SocketAddr>,
    pub(super) tls: Option<TlsFiles>,
}

impl Reader<'_> {
    /// What the four keys mean together.
    pub(super) fn listens(
        &mut self,
        listen: RawAddresses,
        listen_tls: RawAddresses,
        clear_text_on: RawAddresses,
        tls: Option<RawCertificate>,
        base: &Path,
    ) -> Listens {
        let has_tls = tls.is_some();
        let is_there = |all: &RawAddresses| all.as_ref().is_some_and(|all| !all.is_empty());
        if !is_there(&listen) && !is_there(&listen_tls) {
            self.fault_of_file("listen is missing or empty, and so is listen_tls");
        }
        let tls = tls.and_then(|tls| self.tls_files(tls, base));
        let clear = self.addresses(listen.unwrap_or_default());
        let encrypted = self.addresses(listen_tls.unwrap_or_default());
        let named = self.addresses(clear_text_on.unwrap_or_default());
        for (at, address) in &encrypted {
            if !has_tls {
                self.fault(at, "listen_tls needs a certificate: [tls]");
            }
            // Port 0 is another one each time.
            if address.port() != 0 && has(&clear, *address) {
                self.fault(at, format!("{address} is in listen, too"));
            }
        }
        for (at, address) in &clear {
            if is_open(*address) && !has_tls && !has(&named, *address) {
                let what = format!(
                    "{address} is not a loopback address: it needs [tls], or to be named in clear_text_on"
                );
                self.fault(at, what);
            }
        }
        for (at, address) in &named {
            if !has(&clear, *address) {
                self.fault(at, format!("{address} is not in listen"));
            }
        }
        let plain = |all: Vec<Written>| all.into_iter().map(|(_, address)| address).collect();
        let (listen, listen_tls, clear_text_on) = (plain(clear), plain(encrypted), plain(named));
        Listens { listen, listen_tls, clear_text_on, tls }
    }

    fn addresses(&mut self, texts: Vec<Spanned<String>>) -> Vec<Written> {
        let mut parsed: Vec<Written> = Vec::new();
        for text in texts {
            match self.address(&text) {
                Some(socket) if has(&parsed, socket) => {
                    self.fault(&text, format!("{socket} is listed twice"));
                }
                socket => parsed.extend(socket.map(|socket| (text, socket))),
            }
        }
        parsed
    }

    fn tls_files(&mut self, raw: RawCertificate, base: &Path) -> Option<TlsFiles> {
        let certificate = self.file(&raw.certificate_file, base);
        let key = self.file(&raw.key_file, base);
        let client_ca = raw.client_ca_file.and_then(|file| self.file(&file, base));
        Some(TlsFiles { certificate: certificate?, key: key?, client_ca })
    }
}

/// An address and where it stands.
type Written = (Spanned<String>, SocketAddr);

impl Config {
    /// What an operator should know of the addresses though nothing is wrong.
    pub(super) fn clear_text_warnings(&self) -> impl Iterator<Item = String> {
        self.clear_text_on.iter().map(|address| {
            format!(
                "CLEAR_TEXT_ON: passwords and events travel to {address} for everybody on the way to read and change"
            )
        })
    }

    /// What is wrong with the certificate, or should be known of it.
    pub(super) fn tls_findings(&self) -> Vec<Finding> {
        match self.tls.clone().map(Tls::open) {
            None => Vec::new(),
            Some(Err(error)) => vec![Finding::error(format!("tls: {error}"))],
            Some(Ok(tls)) => tls.warnings().into_iter().map(Finding::warning).collect(),
        }
    }

    /// Whether people may authenticate in clear text at an address that is not loopback.
    #[must_use]
    pub fn is_named(&self, address: SocketAddr) -> bool {
        self.clear_text_on.contains(&address)
    }
}

fn has(written: &[Written], address: SocketAddr) -> bool {
    written.iter().any(|(_, other)| *other == address)
}

fn is_open(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::super::ConfigError;
    use super::*;

    const LOOPBACK: &str = "listen = [\"127.0.0.1:0\"]";
    const OPEN: &str = "listen = [\"192.0.2.1:61000\"]";
    const TLS: &str = "[tls]\ncertificate_file = \"c.pem\"\nkey_file = \"/k.pem\"";

    fn parse(lines: &[&str]) -> Result<Config, ConfigError> {
        let text = format!("hostname = \"fnaa.test\"\ndata_dir = \"data\"\n{}\n", lines.join("\n"));
        Config::parse(&text, Path::new("/etc/fnaad/fnaad.toml"))
    }

    fn refusal(lines: &[&str]) -> String {
        parse(lines).unwrap_err().to_string().replace("/etc/fnaad/fnaad.toml", "")
    }

    #[test]
    fn loopback_needs_no_tls_and_may_offer_it() {
        let config = parse(&[LOOPBACK]).unwrap();
        assert_eq!((config.tls, config.listen_tls, config.clear_text_on), (None, vec![], vec![]));
        for loopback in ["[::1]:61000", "[::ffff:127.0.0.1]:61000", "127.1.2.3:61000"] {
            assert!(parse(&[&LOOPBACK.replace("127.0.0.1:0", loopback)]).is_ok(), "{loopback}");
        }
        let files = parse(&[LOOPBACK, TLS, "client_ca_file = \"ca.pem\""]).unwrap().tls.unwrap();
        assert_eq!(files.certificate, Path::new("/etc/fnaad/c.pem"));
        assert_eq!(files.key, Path::new("/k.pem"));
        assert_eq!(files.client_ca.unwrap(), Path::new("/etc/fnaad/ca.pem"));
    }

    #[test]
    fn clear_text_elsewhere_needs_tls_or_its_very_name() {
        let refused = "192.0.2.1:61000 is not a loopback address: it needs [tls], or to be named in clear_text_on";
        assert_eq!(refusal(&[OPEN]), format!(":3: {refused}"));
        for open in ["0.0.0.0:61000", "[::]:61000", "[2001:db8::1]:61000"] {
            assert!(parse(&[&OPEN.replace("192.0.2.1:61000", open)]).is_err(), "{open}");
        }
        let config = parse(&[OPEN, TLS]).unwrap();
        assert!(!config.is_named(config.listen[0]));
        assert!(!config.warnings().iter().any(|warning| warning.contains("192.0.2.1")));
        let config = parse(&[OPEN, "clear_text_on = [\"192.0.2.1:61000\"]"]).unwrap();
        assert!(config.is_named(config.listen[0]));
        assert!(config.warnings()[0].starts_with("CLEAR_TEXT_ON: "), "{:?}", config.warnings());
        let other = refusal(&[OPEN, "clear_text_on = [\"192.0.2.1:61001\"]"]);
        assert!(other.contains(refused) && other.contains("192.0.2.1:61001 is not in listen"));
    }

    #[test]
    fn tls_from_the_first_octet_needs_a_certificate_and_an_address_of_its_own() {
        let implicit = "listen_tls = [\"192.0.2.1:61001\"]";
        let config = parse(&[implicit, TLS]).unwrap();
        assert_eq!((config.listen.len(), config.listen_tls.len()), (0, 1));
        assert_eq!(refusal(&[implicit]), ":3: listen_tls needs a certificate: [tls]");
        assert!(parse(&[LOOPBACK, "listen_tls = [\"127.0.0.1:0\"]", TLS]).is_ok());
        let twice = refusal(&[OPEN, &implicit.replace("61001", "61000"), TLS]);
        assert_eq!(twice, ":4: 192.0.2.1:61000 is in listen, too");
        assert!(
            refusal(&["listen = []", TLS])
                .ends_with("listen is missing or empty, and so is listen_tls")
        );
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let refused = refusal(&[LOOPBACK, "[tls]\ncertificate_file = \"c.pem\""]);
        assert!(refused.contains("missing field `key_file`"), "{refused}");
        let empty = refusal(&[LOOPBACK, &TLS.replace("c.pem", "")]);
        assert_eq!(empty, ":5: empty path");
    }
}
