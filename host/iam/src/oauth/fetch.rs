//! Asks a provider for its keys, over HTTPS; in clear text only on this machine.
//!
//! Follows no redirection, reads a bounded answer in a bounded time. Blocks: not for an async thread.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

/// Where a provider publishes how it is reached (OpenID Connect Discovery 1.0, section 4).
pub(super) fn configuration_of(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

/// A provider's keys, as it writes them; else why not, for the log.
pub(super) fn key_set(issuer: &str, ca_file: Option<&Path>) -> Result<Vec<u8>, String> {
    let agent = agent(ca_file)?;
    let text = get(&agent, &configuration_of(issuer))?;
    let configuration: Configuration =
        serde_json::from_slice(&text).map_err(|_| "not an openid configuration".to_owned())?;
    if configuration.issuer != issuer {
        return Err("the provider calls itself otherwise".to_owned());
    }
    get(&agent, &configuration.jwks_uri)
}

fn get(agent: &ureq::Agent, url: &str) -> Result<Vec<u8>, String> {
    if !is_safe(url) {
        return Err("neither https nor on this machine".to_owned());
    }
    let mut answer = agent.get(url).call().map_err(|error| error.to_string())?;
    if answer.status() != 200 {
        return Err(format!("status {}", answer.status().as_u16()));
    }
    let body = answer.body_mut().with_config().limit(MAX_BODY);
    body.read_to_vec().map_err(|error| error.to_string())
}

/// Whether what travels from an address cannot be changed on its way.
pub fn is_safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<ureq::http::Uri>() else { return false };
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

fn agent(ca_file: Option<&Path>) -> Result<ureq::Agent, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(roots(ca_file)?)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .tls_config(tls)
        .build();
    Ok(config.into())
}

fn roots(ca_file: Option<&Path>) -> Result<RootCerts, String> {
    let certificates: Vec<Certificate<'static>> = match ca_file {
        Some(path) => {
            let text =
                std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let items = ureq::tls::parse_pem(&text).filter_map(Result::ok);
            let certificates = items.filter_map(|item| match item {
                ureq::tls::PemItem::Certificate(certificate) => Some(certificate),
                _ => None,
            });
            certificates.collect()
        }
        None => {
            let found = rustls_native_certs::load_native_certs().certs;
            found.iter().map(|found| Certificate::from_der(found).to_owned()).collect()
        }
    };
    Ok(RootCerts::Specific(Arc::new(certificates)))
}

/// Time for one question.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Octets of an answer: a hundred times those of common providers.
const MAX_BODY: u64 = 256 * 1024;
