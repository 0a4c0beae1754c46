//! A signed token (RFC 7515, RFC 7519) and what has to be true of it.
//!
//! The signature is checked by `ring`, with the algorithm that the key has: a token cannot choose a weaker
//! one, nor none. Encrypted tokens and critical extensions are refused.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature;
use serde_json::{Map, Value};

/// A token that was taken apart; nothing of it is believed yet.
#[derive(Debug)]
pub(super) struct Token<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

/// A provider's key, and with it the algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// RS256.
    Rsa {
        /// Modulus, big-endian.
        n: Vec<u8>,
        /// Exponent, big-endian.
        e: Vec<u8>,
    },
    /// ES256: an uncompressed point.
    P256(Vec<u8>),
    /// EdDSA with Ed25519.
    Ed25519(Vec<u8>),
}

impl Key {
    /// Its algorithm, as tokens name it.
    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn has_signed(&self, text: &[u8], proof: &[u8]) -> bool {
        let with = |how: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            signature::UnparsedPublicKey::new(how, key).verify(text, proof)
        };
        let checked = match self {
            Self::Rsa { n, e } => signature::RsaPublicKeyComponents { n, e }.verify(
                &signature::RSA_PKCS1_2048_8192_SHA256,
                text,
                proof,
            ),
            Self::P256(point) => with(&signature::ECDSA_P256_SHA256_FIXED, point),
            Self::Ed25519(key) => with(&signature::ED25519, key),
        };
        checked.is_ok()
    }
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, &'static str> {
        const NONE: &str = "the token is no signed jwt";
        let (signed, proof) = text.rsplit_once('.').ok_or(NONE)?;
        let (header, claims) = signed.split_once('.').ok_or(NONE)?;
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| NONE);
        let object = |text: &str| serde_json::from_slice(&bytes(text)?).map_err(|_| NONE);
        let (header, claims): (Map<_, _>, _) = (object(header)?, object(claims)?);
        if header.contains_key("crit") {
            return Err("the token has critical extensions");
        }
        Ok(Self { header, claims, signed: signed.as_bytes(), signature: bytes(proof)? })
    }

    pub(super) fn algorithm(&self) -> Result<&str, &'static str> {
        let named = self.header.get("alg").and_then(Value::as_str);
        named.ok_or("the token names no algorithm")
    }

    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// Who it says that it is of: good for choosing whose keys it is checked with.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// What it claims, once the key's owner said so.
    pub(super) fn verified(&self, key: &Key) -> Result<&Map<String, Value>, &'static str> {
        if self.algorithm()? != key.algorithm() {
            return Err("the token's algorithm is not that of its key");
        }
        if !key.has_signed(self.signed, &self.signature) {
            return Err("the token's signature is wrong");
        }
        Ok(&self.claims)
    }
}

/// A token without an end is refused, and one whose times are no numbers.
pub(super) fn refuse_out_of_time(
    claims: &Map<String, Value>,
    now: SystemTime,
) -> Result<(), &'static str> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let ends = claims.get("exp").and_then(Value::as_f64).ok_or("the token has no end")?;
    if now >= ends + LEEWAY {
        return Err("the token is expired");
    }
    match claims.get("nbf").map(Value::as_f64) {
        Some(None) => Err("the token's beginning is none"),
        Some(Some(begins)) if begins > now + LEEWAY => Err("the token is not valid yet"),
        _ => Ok(()),
    }
}

impl Token<'_> {
    /// A token that tells a client who its user is, or something else, is refused: only what was given out for access is
    /// taken. Its header says so (RFC 9068, section 2.1), or a claim of the provider; where nothing does, the audience
    /// has to. Claims that are an ID token's alone by the book are in some providers' access tokens, too.
    pub(super) fn refuse_other_purpose(&self) -> Result<(), &'static str> {
        const OTHER: &str = "the token is no access token";
        let is = |value: Option<&Value>, known: &[&str]| match value {
            None => true,
            Some(Value::String(text)) => known.iter().any(|one| one.eq_ignore_ascii_case(text)),
            Some(_) => false,
        };
        let sound = is(self.header.get("typ"), &["JWT", "at+jwt", "application/at+jwt"])
            && is(self.claims.get("typ"), &["Bearer"]);
        if sound { Ok(()) } else { Err(OTHER) }
    }
}

/// When whoever comes in with a token now has to come again: when [`refuse_out_of_time`] begins to refuse it for its
/// end, and no later than [`LONGEST`] from now. An end that no clock reaches is none.
pub(super) fn holds_until(
    claims: &Map<String, Value>,
    now: SystemTime,
) -> Result<SystemTime, &'static str> {
    let ends = claims.get("exp").and_then(Value::as_f64);
    let ends = ends.and_then(|ends| Duration::try_from_secs_f64(ends + LEEWAY).ok());
    let ends = ends.and_then(|ends| UNIX_EPOCH.checked_add(ends));
    Ok(ends.ok_or("the token's end is none")?.min(now + LONGEST))
}

pub(super) fn refuse_other_audience(
    claims: &Map<String, Value>,
    audience: &str,
) -> Result<(), &'static str> {
    let meant = match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(many)) => many.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    };
    if meant { Ok(()) } else { Err("the token is for another audience") }
}

/// Seconds by which the clocks of a provider and of this host may differ.
const LEEWAY: f64 = 30.0;

/// Longest time in which a token is not looked at again: keys that a provider took back, and users whom it has let
/// go, end within a day, whatever their tokens say.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 3600);
