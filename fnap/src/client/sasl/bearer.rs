//! OAUTHBEARER (RFC 7628): a token of an identity provider.

use zeroize::Zeroizing;

use super::{MAX_OCTETS, SaslError, Secret, name};
use crate::sasl::Mechanism;

const MECHANISM: Mechanism = Mechanism::OauthBearer;

/// What is said to a host that has refused the token, so that it can end the exchange (section 3.2.3).
const ACKNOWLEDGED: &[u8] = b"\x01";

/// Longest status of a refusal that is shown.
const MAX_STATUS: usize = 64;

/// The client's side of one exchange.
pub(super) struct Bearer {
    response: Option<Secret>,
    refused: Option<String>,
}

impl Bearer {
    pub(super) fn new(
        authorize: &str,
        host: &str,
        port: u16,
        token: &str,
    ) -> Result<Self, SaslError> {
        let unusable = |what| SaslError::Unusable { what, mechanism: MECHANISM.name() };
        let authorize = name("the name to act as", authorize, MECHANISM)?;
        if !is_token(token) {
            return Err(unusable("the token"));
        }
        if !host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unusable("the host's name"));
        }
        let mut response = Zeroizing::new(Vec::with_capacity(token.len() + 1024));
        response.extend_from_slice(gs2_header(authorize).as_bytes());
        response.extend_from_slice(format!("\x01host={host}\x01port={port}\x01").as_bytes());
        response.extend_from_slice(b"auth=Bearer ");
        response.extend_from_slice(token.as_bytes());
        response.extend_from_slice(b"\x01\x01");
        if response.len() > MAX_OCTETS {
            return Err(unusable("the token"));
        }
        Ok(Self { response: Some(response), refused: None })
    }

    pub(super) fn respond(&mut self, challenge: &[u8]) -> Result<Secret, SaslError> {
        match self.response.take() {
            Some(response) if challenge.is_empty() => Ok(response),
            None if self.refused.is_none() => {
                self.refused = Some(status(challenge));
                Ok(Zeroizing::new(ACKNOWLEDGED.to_vec()))
            }
            _ => Err(SaslError::Challenge(MECHANISM.name())),
        }
    }

    pub(super) fn finish(&self) -> Result<(), SaslError> {
        // A host that has refused the token and then says yes means nothing that can be relied on.
        match (&self.response, &self.refused) {
            (None, None) => Ok(()),
            _ => Err(SaslError::NotProved),
        }
    }

    pub(super) fn refusal(&self) -> Option<&str> {
        self.refused.as_deref()
    }
}

/// `n,a=NAME,`, with the name's commas and equals signs escaped (RFC 5801).
pub(super) fn gs2_header(authorize: &str) -> String {
    if authorize.is_empty() {
        return "n,,".to_owned();
    }
    format!("n,a={},", escaped(authorize))
}

pub(super) fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// `b64token` of RFC 6750, section 2.1.
fn is_token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !body.is_empty() && body.bytes().all(allowed)
}

/// The `status` of the host's JSON, made harmless.
fn status(challenge: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(challenge).ok();
    let status = json.as_ref().and_then(|json| json.get("status")?.as_str()).unwrap_or("refused");
    status.chars().filter(char::is_ascii_graphic).take(MAX_STATUS).collect()
}
