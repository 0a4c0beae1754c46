//! SCRAM-SHA-256 (RFC 5802, RFC 7677): a password that never travels, and a host that has to know it too.
//!
//! No channel binding: the host offers none. The verifier that the host keeps is computed here anew each time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::bearer::{escaped, gs2_header};
use super::{SaslError, Secret, name};
use crate::sasl::{MAX_PASSWORD, MAX_USER, Mechanism};

/// Random bytes of the client's nonce.
pub const NONCE: usize = 24;

/// Fewest iterations taken from a host (RFC 7677, section 4): with fewer, a host that asks for a proof could
/// guess the password from it.
pub const MIN_ITERATIONS: u32 = 4096;

/// Most iterations taken from a host: more would keep the client busy for seconds.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Longest nonce and salt taken from a host, in octets. Ours have 32 and 16.
const MAX_NONCE: usize = 256;
const MAX_SALT: usize = 256;

const MECHANISM: Mechanism = Mechanism::ScramSha256;

type Key = Zeroizing<[u8; 32]>;

/// The client's side of one exchange.
pub(super) struct Scram {
    header: String,
    /// `n=…,r=…`, the first message without its header.
    first: String,
    nonce: String,
    password: Zeroizing<String>,
    state: State,
}

enum State {
    /// Nothing is said yet.
    Begin,
    /// The first message is out.
    First,
    /// The proof is out; the host has to sign this message with this key.
    Proof { key: Key, message: String },
    /// The host has proved itself.
    Proved,
    /// The host has said no.
    Refused,
}

impl Scram {
    pub(super) fn new(
        authorize: &str,
        user: &str,
        password: &str,
        nonce: [u8; NONCE],
    ) -> Result<Self, SaslError> {
        Self::with_nonce(authorize, user, password, STANDARD.encode(nonce))
    }

    /// With a nonce as it travels: visible ASCII without a comma.
    pub(super) fn with_nonce(
        authorize: &str,
        user: &str,
        password: &str,
        nonce: String,
    ) -> Result<Self, SaslError> {
        let header = gs2_header(name("the name to act as", authorize, MECHANISM)?);
        let user = prepared("the user's name", user, MAX_USER)?;
        let password = prepared("the password", password, MAX_PASSWORD)?;
        let first = format!("n={},r={nonce}", escaped(&user));
        Ok(Self { header, first, nonce, password, state: State::Begin })
    }

    pub(super) fn respond(&mut self, challenge: &[u8]) -> Result<Secret, SaslError> {
        match &self.state {
            State::Begin if challenge.is_empty() => {
                self.state = State::First;
                Ok(Zeroizing::new(format!("{}{}", self.header, self.first).into_bytes()))
            }
            State::First => self.prove(challenge),
            State::Proof { key, message } => {
                self.state = verdict(key, message, challenge)?;
                Ok(Secret::default())
            }
            _ => Err(wrong()),
        }
    }

    pub(super) fn finish(&self) -> Result<(), SaslError> {
        if matches!(self.state, State::Proved) { Ok(()) } else { Err(SaslError::NotProved) }
    }

    /// The answer to `r=…,s=…,i=…`.
    fn prove(&mut self, challenge: &[u8]) -> Result<Secret, SaslError> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| wrong())?;
        let asked = Asked::read(challenge, &self.nonce)?;
        let final_bare = format!("c={},r={}", STANDARD.encode(&self.header), asked.nonce);
        let message = format!("{},{challenge},{final_bare}", self.first);
        let salted = salted(&self.password, &asked.salt, asked.iterations);
        let client_key = mac(&*salted, b"Client Key");
        let stored_key = Sha256::digest(*client_key);
        let mut proof = mac(&stored_key, message.as_bytes());
        for (byte, key) in proof.iter_mut().zip(client_key.iter()) {
            *byte ^= key;
        }
        self.state = State::Proof { key: mac(&*salted, b"Server Key"), message };
        let proof = Zeroizing::new(STANDARD.encode(*proof));
        Ok(Zeroizing::new(format!("{final_bare},p={}", *proof).into_bytes()))
    }
}

/// What a host asks for.
struct Asked<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> Asked<'a> {
    /// Extensions behind the three are allowed and ignored; `m=` in front of them is not (RFC 5802, section 5.1).
    fn read(challenge: &'a str, ours: &str) -> Result<Self, SaslError> {
        let mut parts = challenge.split(',');
        let mut next = |key| parts.next().and_then(|part| part.strip_prefix(key)).ok_or_else(wrong);
        let (nonce, salt, iterations) = (next("r=")?, next("s=")?, next("i=")?);
        let visible = nonce.bytes().all(|byte| byte.is_ascii_graphic());
        if !nonce.starts_with(ours) || nonce.len() == ours.len() {
            return Err(SaslError::Nonce);
        }
        if !visible || nonce.len() > MAX_NONCE || salt.is_empty() || salt.len() > MAX_SALT {
            return Err(wrong());
        }
        let salt = STANDARD.decode(salt).map_err(|_| wrong())?;
        let iterations: u64 = iterations.parse().map_err(|_| wrong())?;
        let iterations = u32::try_from(iterations)
            .ok()
            .filter(|count| (MIN_ITERATIONS..=MAX_ITERATIONS).contains(count))
            .ok_or(SaslError::Iterations(iterations))?;
        Ok(Self { nonce, salt, iterations })
    }
}

/// What `v=…` or `e=…` comes to.
fn verdict(key: &Key, message: &str, challenge: &[u8]) -> Result<State, SaslError> {
    let text = std::str::from_utf8(challenge).map_err(|_| wrong())?;
    let first = text.split(',').next().unwrap_or_default();
    if first.starts_with("e=") {
        return Ok(State::Refused);
    }
    let theirs = first.strip_prefix("v=").ok_or_else(wrong)?;
    let theirs = STANDARD.decode(theirs).map_err(|_| wrong())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&**key).map_err(|_| SaslError::NotTheHost)?;
    mac.update(message.as_bytes());
    mac.verify_slice(&theirs).map_err(|_| SaslError::NotTheHost)?;
    Ok(State::Proved)
}

/// SASLprep (RFC 4013).
fn prepared(
    what: &'static str,
    text: &str,
    longest: usize,
) -> Result<Zeroizing<String>, SaslError> {
    let unusable = || SaslError::Unusable { what, mechanism: MECHANISM.name() };
    if text.len() > longest {
        return Err(unusable());
    }
    let prepared = stringprep::saslprep(text).map_err(|_| unusable())?;
    if prepared.is_empty() || prepared.len() > longest {
        return Err(unusable());
    }
    Ok(Zeroizing::new(prepared.into_owned()))
}

fn salted(password: &str, salt: &[u8], iterations: u32) -> Key {
    let mut salted = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut *salted);
    salted
}

fn mac(key: &[u8], message: &[u8]) -> Key {
    // A key of any length is taken, so the error cannot happen; an all-zero result matches no host.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Zeroizing::default() };
    mac.update(message);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

const fn wrong() -> SaslError {
    SaslError::Challenge(MECHANISM.name())
}
