//! A provider's published keys (RFC 7517): fetched when they are needed, kept while the provider is away.
//!
//! Asks a provider seldom, whatever tokens come, and lets only a few wait for it. Takes keys for
//! signatures only, and of three kinds: RSA, P-256 and Ed25519; others are passed over.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::time::Instant;

use super::NoBearer;
use super::fetch;
use super::token::Key;

/// The keys of one provider.
#[derive(Debug)]
pub(super) struct Keys {
    shared: Arc<Shared>,
    /// For those who wait until the provider has answered.
    waiting: Semaphore,
}

#[derive(Debug)]
struct Shared {
    issuer: String,
    ca_file: Option<PathBuf>,
    known: Mutex<Known>,
    /// Held while the provider is asked.
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    keys: KeySet,
    fetched: Option<Instant>,
    /// When the last question ended, with an answer or without.
    asked: Option<Instant>,
    /// Whether that one had no answer.
    silent: bool,
}

/// Keys for signatures, as a provider published them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(Vec<(Option<String>, Key)>);

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    pub(super) fn new(issuer: &str, ca_file: Option<PathBuf>) -> Self {
        let (known, asking) = (Mutex::default(), Arc::default());
        let shared = Shared { issuer: issuer.to_owned(), ca_file, known, asking };
        Self { shared: Arc::new(shared), waiting: Semaphore::new(MAX_WAITING) }
    }

    /// The key of a token, where the provider need not be asked for it.
    pub(super) fn at_hand(&self, id: Option<&str>, algorithm: &str) -> Option<Key> {
        let known = self.shared.known();
        known.find(id, algorithm).filter(|_| known.is_fresh())
    }

    /// The key of a token; asks the provider where it is not known, or was not confirmed for long.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: &str) -> Result<Key, NoBearer> {
        let shared = &self.shared;
        let found = shared.known().find(id, algorithm);
        match (found, shared.known().is_fresh()) {
            (Some(key), true) => return Ok(key),
            // One asks, the others go on with what is known.
            (Some(_), false) => {
                if let Ok(asking) = Arc::clone(&shared.asking).try_lock_owned() {
                    shared.ask_unless_lately(asking).await;
                }
            }
            (None, _) => {
                let _place = self.waiting.try_acquire().map_err(|_| NoBearer::TooMany)?;
                let asking = Arc::clone(&shared.asking).lock_owned().await;
                if shared.known().find(id, algorithm).is_none() {
                    shared.ask_unless_lately(asking).await;
                }
            }
        }
        let known = shared.known();
        match known.find(id, algorithm).filter(|_| known.is_usable()) {
            Some(key) => Ok(key),
            // It may be signed with a key that the provider has by now, or has again.
            None if known.silent || !known.is_usable() => Err(NoBearer::Unknown),
            None => Err(NoBearer::Wrong("the token is signed with no key of the provider")),
        }
    }
}

impl Shared {
    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the answer. Whoever does so may be gone before it: the question is then asked for those
    /// behind him all the same, and not once more for each.
    async fn ask_unless_lately(self: &Arc<Self>, asking: OwnedMutexGuard<()>) {
        if self.known().asked.is_some_and(|asked| asked.elapsed() < ASKED_EVERY) {
            return;
        }
        let shared = Arc::clone(self);
        let question = tokio::spawn(async move {
            shared.ask().await;
            drop(asking);
        });
        if let Err(error) = question.await {
            tracing::error!(issuer = self.issuer, cause = %error, "keys of a provider not fetched");
        }
    }

    async fn ask(&self) {
        let (issuer, ca_file) = (self.issuer.clone(), self.ca_file.clone());
        let fetched =
            tokio::task::spawn_blocking(move || fetch::key_set(&issuer, ca_file.as_deref()));
        let fetched = fetched.await.map_err(|error| error.to_string()).flatten();
        let read = fetched.and_then(|text| KeySet::read(&text));
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.asked = Some(now);
        known.silent = read.is_err();
        match read {
            Ok(keys) => {
                if known.keys != keys {
                    tracing::info!(
                        issuer = self.issuer,
                        keys = keys.0.len(),
                        "keys of a provider changed"
                    );
                }
                known.keys = keys;
                known.fetched = Some(now);
            }
            Err(cause) => {
                tracing::warn!(issuer = self.issuer, cause, "keys of a provider not fetched");
            }
        }
    }
}

impl Known {
    fn find(&self, id: Option<&str>, algorithm: &str) -> Option<Key> {
        self.keys.find(id, algorithm)
    }

    fn is_fresh(&self) -> bool {
        self.fetched.is_some_and(|fetched| fetched.elapsed() < FRESH_FOR)
    }

    fn is_usable(&self) -> bool {
        self.fetched.is_some_and(|fetched| fetched.elapsed() < KEPT_FOR)
    }
}

impl KeySet {
    /// Reads what a provider publishes (RFC 7517).
    ///
    /// # Errors
    /// When it is no set of keys, or has none that can be used, in words for the log.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let set: Jwks = serde_json::from_slice(text).map_err(|_| "not a set of keys".to_owned())?;
        let keys: Vec<_> = set.keys.into_iter().take(MAX_KEYS).filter_map(key).collect();
        if keys.is_empty() { Err("no key for signatures".to_owned()) } else { Ok(Self(keys)) }
    }

    pub(super) fn find(&self, id: Option<&str>, algorithm: &str) -> Option<Key> {
        let mut fitting = self.0.iter().filter(|(known, key)| {
            key.algorithm() == algorithm && (id.is_none() || known.as_deref() == id)
        });
        match (fitting.next(), fitting.next()) {
            (Some((_, key)), None) => Some(key.clone()),
            // Without an id, or with one given twice, it is not said which.
            _ => None,
        }
    }
}

fn key(value: serde_json::Value) -> Option<(Option<String>, Key)> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let octets = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => Key::Rsa { n: octets(&jwk.n)?, e: octets(&jwk.e)? },
        ("EC", Some("P-256")) => {
            let (x, y) = (octets(&jwk.x)?, octets(&jwk.y)?);
            Key::P256([vec![UNCOMPRESSED], x, y].concat())
        }
        ("OKP", Some("Ed25519")) => Key::Ed25519(octets(&jwk.x)?),
        _ => return None,
    };
    let signs = jwk.purpose.is_none_or(|purpose| purpose == "sig");
    // Some providers name the curve where others name the algorithm.
    let known =
        |alg: &str| alg == key.algorithm() || (alg, key.algorithm()) == ("Ed25519", "EdDSA");
    (signs && jwk.alg.as_deref().is_none_or(known)).then_some((jwk.kid, key))
}

/// What stands before a point of a curve that is written in full (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A provider is asked again for a key that is not known after so long: who makes up key ids must not
/// make this host flood it.
pub(super) const ASKED_EVERY: Duration = Duration::from_secs(5);

/// Keys are asked for again after so long: one that the provider takes back counts no longer.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(300);

/// Keys go on for so long while the provider does not answer: a working day.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(8 * 3600);

/// Logins that wait while a provider is asked. It has to answer two questions in 5 s each: so many are let
/// in after it changed its keys, and no more hang on one that is gone.
pub(super) const MAX_WAITING: usize = 64;

/// Keys of one provider that are looked at.
const MAX_KEYS: usize = 64;
