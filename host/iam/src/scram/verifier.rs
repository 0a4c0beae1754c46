//! What SCRAM-SHA-256 checks against: `SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY`, after RFC 5803.
//!
//! Whoever has it can pretend to be this host to the user, and guess at the password, but not log in.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use zeroize::Zeroizing;

use crate::prepare;
use crate::verifier::VerifierError;

/// What a proof is checked against.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: Zeroizing<[u8; 32]>,
    server_key: Zeroizing<[u8; 32]>,
}

impl ScramVerifier {
    /// Reads a verifier.
    ///
    /// # Errors
    /// When it is malformed, or outside of the limits.
    pub fn parse(text: &str) -> Result<Self, VerifierError> {
        let parsed = parts(text).ok_or(VerifierError::MalformedScram)?;
        match parsed.iterations.get() {
            ..MIN_ITERATIONS => Err(VerifierError::WeakScram),
            MIN_ITERATIONS..=MAX_ITERATIONS => Ok(parsed),
            _ => Err(VerifierError::DearScram),
        }
    }

    /// One that no password fits, whose outside looks like another one's.
    pub(crate) fn impossible(iterations: NonZeroU32, salt: Vec<u8>, key: [u8; 32]) -> Self {
        let key = Zeroizing::new(key);
        Self { iterations, salt, stored_key: key.clone(), server_key: key }
    }

    /// Whether a prepared password is the right one. Takes as long as its rounds.
    pub(crate) fn accepts(&self, password: &str) -> bool {
        let given = Self::of(password, self.iterations, &self.salt);
        super::same(given.stored_key(), self.stored_key())
    }

    /// Whether it looks like one that is made here.
    pub(crate) fn has_own_shape(&self) -> bool {
        self.iterations == ITERATIONS && self.salt.len() == SALT
    }

    pub(crate) fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    pub(crate) fn salt(&self) -> &[u8] {
        &self.salt
    }

    pub(super) fn stored_key(&self) -> &[u8] {
        self.stored_key.as_ref()
    }

    pub(super) fn server_key(&self) -> &[u8] {
        self.server_key.as_ref()
    }

    /// All of it, to tell it from another.
    pub(crate) fn parts(&self) -> [&[u8]; 3] {
        [&self.salt, self.stored_key(), self.server_key()]
    }

    /// That of a prepared password.
    pub(super) fn of(password: &str, iterations: NonZeroU32, salt: &[u8]) -> Self {
        let mut salted = Zeroizing::new([0; 32]);
        let password = password.as_bytes();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password, salted.as_mut());
        let key = hmac::Key::new(hmac::HMAC_SHA256, salted.as_ref());
        let client_key = hmac::sign(&key, b"Client Key");
        let stored = digest::digest(&digest::SHA256, client_key.as_ref());
        let server = hmac::sign(&key, b"Server Key");
        let keep = |bytes: &[u8]| {
            let mut kept = Zeroizing::new([0; 32]);
            kept.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            kept
        };
        let (stored_key, server_key) = (keep(stored.as_ref()), keep(server.as_ref()));
        Self { iterations, salt: salt.to_vec(), stored_key, server_key }
    }
}

fn parts(text: &str) -> Option<ScramVerifier> {
    let (outside, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
    let (iterations, salt) = outside.split_once(':')?;
    let (stored, server) = keys.split_once(':')?;
    let salt = STANDARD.decode(salt).ok()?;
    let key = |text: &str| -> Option<Zeroizing<[u8; 32]>> {
        Some(Zeroizing::new(STANDARD.decode(text).ok()?.try_into().ok()?))
    };
    let iterations = iterations.parse().ok()?;
    let (stored_key, server_key) = (key(stored)?, key(server)?);
    let sound = (MIN_SALT..=MAX_SALT).contains(&salt.len());
    sound.then_some(ScramVerifier { iterations, salt, stored_key, server_key })
}

/// Makes a verifier for a password, with a salt of its own.
///
/// # Errors
/// When it can be no password, or there are no random numbers.
pub fn scram_verifier(password: &str) -> Result<String, VerifierError> {
    let password = prepare::password(password).ok_or(VerifierError::Password)?;
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).map_err(|_| VerifierError::Failed)?;
    Ok(ScramVerifier::of(&password, ITERATIONS, &salt).to_text())
}

impl ScramVerifier {
    pub(super) fn to_text(&self) -> String {
        let [salt, stored, server] =
            [&*self.salt, self.stored_key(), self.server_key()].map(|bytes| STANDARD.encode(bytes));
        format!("SCRAM-SHA-256${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl std::fmt::Debug for ScramVerifier {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ScramVerifier(..)")
    }
}

/// Rounds of a new verifier. The client does this work for each connection, some 30 ms; whoever steals
/// the users file does it for each guess.
pub(crate) const ITERATIONS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();

/// Fewest rounds (RFC 7677, section 4).
const MIN_ITERATIONS: u32 = 4_096;

/// Most rounds: passwords of PLAIN are checked with them, too, and every failed attempt takes so long that nobody sees
/// whose it was.
pub(crate) const MAX_ITERATIONS: u32 = 500_000;

/// What a round takes on a slow, busy core, as it was measured: 30 ms for 100,000.
#[cfg(test)]
pub(crate) const TAKES: std::time::Duration = std::time::Duration::from_nanos(300);

/// Octets of a new salt.
pub(crate) const SALT: usize = 16;

/// Octets of a salt from elsewhere.
const MIN_SALT: usize = 8;

/// Octets of a salt from elsewhere: it goes into a line.
const MAX_SALT: usize = 64;
