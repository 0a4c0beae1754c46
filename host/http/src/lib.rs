//! Asks servers that the configuration names over HTTP: whom it trusts, how long it waits, what of an address may be said.
//!
//! Follows no redirection, takes no proxy from the environment, and blocks: not for an async thread. The only place that
//! names ureq.

use std::error::Error;
use std::fmt::{self, Display};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::uri::Authority;
use ureq::http::{Request, Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Time for one question, with its answer.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// What asks.
pub struct Client(Agent);

impl Client {
    /// One that trusts the authorities of a file of PEM, or the system's.
    ///
    /// # Errors
    /// The file's name and what is wrong with it.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        agent(ca_file).map(Self)
    }

    /// What lies at an address, at most so many octets, where the server answers 200.
    ///
    /// # Errors
    /// Why there is no such answer, for the log.
    pub fn get(&self, url: &str, most: u64) -> Result<Vec<u8>, String> {
        let mut answer = self.0.get(url).call().map_err(|error| error.to_string())?;
        if answer.status() != 200 {
            return Err(format!("status {}", answer.status().as_u16()));
        }
        let body = answer.body_mut().with_config().limit(most);
        body.read_to_vec().map_err(|error| error.to_string())
    }

    /// What a server answers, whatever its status, with a body of at most so many octets.
    ///
    /// # Errors
    /// Why there is no answer, for the log.
    pub fn send(
        &self,
        request: Request<Vec<u8>>,
        most: u64,
    ) -> Result<Response<Vec<u8>>, Box<dyn Error + Send + Sync>> {
        let (head, mut body) = self.0.run(request)?.into_parts();
        let body = body.with_config().limit(most).read_to_vec()?;
        Ok(Response::from_parts(head, body))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client").finish_non_exhaustive()
    }
}

fn agent(ca_file: Option<&Path>) -> Result<Agent, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = ca_file.map_or_else(|| Ok(system()), authorities)?;
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .tls_config(tls)
        .build();
    Ok(config.into())
}

fn system() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    found.iter().map(|found| Certificate::from_der(found).to_owned()).collect()
}

fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let named = |error: &dyn Display| format!("{}: {error}", path.display());
    let text = std::fs::read(path).map_err(|error| named(&error))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| named(&error))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(named(&"no certificate in it"));
    }
    Ok(certificates)
}

/// Whether what travels from an address cannot be changed on its way: over https, or on this machine.
#[must_use]
pub fn is_safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost"
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => here,
        _ => false,
    }
}

/// Whether it is an address of http or https without a user, which would be a secret that stands in the log.
#[must_use]
pub fn is_bare(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let bare = |part: &Authority| !part.host().is_empty() && !part.as_str().contains('@');
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some_and(bare)
}

/// An address as a log may hold it: without a user and without what is asked for, where keys of services stand.
#[must_use]
pub fn shown(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else { return "an address that is none".to_owned() };
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    format!("{}://{place}{}", uri.scheme_str().unwrap_or_default(), uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_changed_on_its_way_is_over_https_or_on_this_machine() {
        for url in [
            "https://id.example.com/r",
            "http://127.0.0.1:80/r",
            "http://[::1]/r",
            "http://localhost/r",
        ] {
            assert!(is_safe(url), "{url}");
        }
        for url in [
            "http://id.example.com/r",
            "http://127.0.0.1.example.com/",
            "ftp://127.0.0.1/",
            "file:///etc",
            "",
            "https://",
        ] {
            assert!(!is_safe(url), "{url}");
        }
    }

    #[test]
    fn a_log_holds_no_key_of_an_address() {
        for (url, said) in [
            ("https://c.example:4318/v1/traces?token=hunter2", "https://c.example:4318/v1/traces"),
            ("http://me:hunter2@c.example/v1", "http://c.example/v1"),
            ("hunter2 hunter2", "an address that is none"),
        ] {
            assert_eq!(shown(url), said);
        }
    }

    #[test]
    fn a_file_of_authorities_holds_one_or_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let wrong = |path: &Path| Client::new(Some(path)).err().unwrap();
        assert!(wrong(&path).contains("ca.pem"));
        std::fs::write(&path, "nothing\n").unwrap();
        assert!(wrong(&path).ends_with("ca.pem: no certificate in it"));
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&path, own.cert.pem()).unwrap();
        assert!(Client::new(Some(&path)).is_ok());
    }
}
