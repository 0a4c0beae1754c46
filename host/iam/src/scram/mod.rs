//! SCRAM-SHA-256 (RFC 5802, RFC 7677): the server's side.
//!
//! Written here and not taken from `rsasl`, whose server ends with a panic at messages that are cut short.
//! No channel binding: `p=` is refused, and a client that could do it but saw no `-PLUS` offered goes on.

mod message;
mod verifier;

pub use message::{ClientFirst, Final};
pub(crate) use verifier::{ITERATIONS, SALT};
#[cfg(test)]
pub(crate) use verifier::{MAX_ITERATIONS, TAKES};
pub use verifier::{ScramVerifier, scram_verifier};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};

/// The exchange between the server's challenge and the client's proof.
#[derive(Debug)]
pub struct Asked {
    gs2_header: String,
    nonce: String,
    /// What both sides sign, up to the client's last message.
    said: String,
    verifier: ScramVerifier,
}

impl Asked {
    /// The challenge to a client's first message.
    #[must_use]
    pub fn new(first: &ClientFirst<'_>, verifier: ScramVerifier, ours: &[u8]) -> (Self, Vec<u8>) {
        let nonce = format!("{}{}", first.nonce, STANDARD.encode(ours));
        let salt = STANDARD.encode(verifier.salt());
        let challenge = format!("r={nonce},s={salt},i={}", verifier.iterations());
        let said = format!("{},{challenge}", first.bare);
        let asked = Self { gs2_header: first.gs2_header.to_owned(), nonce, said, verifier };
        (asked, challenge.into_bytes())
    }

    /// Checks a client's last message; gives the server's own proof.
    #[must_use]
    pub fn proves(&self, last: &Final<'_>) -> Option<Vec<u8>> {
        let binding = STANDARD.decode(last.binding).ok()?;
        if binding != self.gs2_header.as_bytes() || last.nonce != self.nonce {
            return None;
        }
        let said = format!("{},{}", self.said, last.without_proof);
        let signature = sign(self.verifier.stored_key(), said.as_bytes());
        let proof: [u8; 32] = STANDARD.decode(last.proof).ok()?.try_into().ok()?;
        let key: Vec<u8> = proof.iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        if !same(digest::digest(&digest::SHA256, &key).as_ref(), self.verifier.stored_key()) {
            return None;
        }
        let ours = sign(self.verifier.server_key(), said.as_bytes());
        Some(format!("v={}", STANDARD.encode(ours)).into_bytes())
    }
}

fn sign(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

/// In a time that does not tell where two keys differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |seen, (a, b)| seen | (a ^ b));
    one.len() == other.len() && differ == 0
}

#[cfg(test)]
mod tests;
