//! Asks a provider for its keys, over HTTPS; in clear text only on this machine.
//!
//! Follows no redirection, reads a bounded answer in a bounded time. Blocks: not for an async thread.

use std::path::Path;

use host_http::{Client, is_safe};
use serde::Deserialize;

/// Octets of an answer: a hundred times those of common providers.
const MAX_BODY: u64 = 256 * 1024;

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
    let client = Client::new(ca_file)?;
    let text = get(&client, &configuration_of(issuer))?;
    let configuration: Configuration =
        serde_json::from_slice(&text).map_err(|_| "not an openid configuration".to_owned())?;
    if configuration.issuer != issuer {
        return Err("the provider calls itself otherwise".to_owned());
    }
    get(&client, &configuration.jwks_uri)
}

fn get(client: &Client, url: &str) -> Result<Vec<u8>, String> {
    if !is_safe(url) {
        return Err("neither https nor on this machine".to_owned());
    }
    client.get(url, MAX_BODY)
}
