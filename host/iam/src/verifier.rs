//! Verifiers of passwords: argon2id in the PHC string format. Those of SCRAM are in `scram`.
//!
//! Takes no other algorithm, and no verifier that would make this host work for seconds.

use std::sync::{Mutex, PoisonError};

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher, Version};

use zeroize::{Zeroize as _, Zeroizing};

use crate::prepare;

/// What a password is checked against.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier(PasswordHash);

/// Why a text is no verifier, or none could be made. Never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// It does not begin with `$argon2id$`, or what follows is malformed.
    #[error("not an argon2id verifier ($argon2id$v=19$m=…,t=…,p=…$salt$hash)")]
    Malformed,
    /// It asks for more than [`MAX_MEMORY`], [`MAX_WORK`] or [`MAX_LANES`].
    #[error(
        "verifier asks for too much work: at most m={MAX_MEMORY}, p={MAX_LANES}, and m times t {MAX_WORK}"
    )]
    TooMuchWork,
    /// It asks for less work than [`MIN_MEMORY`] and one pass.
    #[error("verifier is too weak: at least m={MIN_MEMORY}")]
    TooWeak,
    /// A password is empty, longer than a client can send, or holds what SASLprep forbids.
    #[error("a password has 1 to {} octets and no control characters", fnap::sasl::MAX_PASSWORD)]
    Password,
    /// It does not have the form of a SCRAM verifier.
    #[error("not a scram verifier (SCRAM-SHA-256$iterations:salt$storedkey:serverkey)")]
    MalformedScram,
    /// Guessing at it would be too cheap.
    #[error("scram verifier is too weak: at least 4096 iterations")]
    WeakScram,
    /// Clients would have to work for seconds, and a check would take longer than a failure.
    #[error("scram verifier asks for too much work: at most 500000 iterations")]
    DearScram,
    /// No random numbers, or no memory.
    #[error("cannot make a verifier")]
    Failed,
}

impl Verifier {
    /// All of it, to tell it from another.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_string())
    }

    /// Reads a verifier in the PHC string format.
    ///
    /// # Errors
    /// See [`VerifierError`].
    pub fn parse(text: &str) -> Result<Self, VerifierError> {
        let hash = PasswordHash::new(text).map_err(|_| VerifierError::Malformed)?;
        let known = hash.algorithm.as_str() == "argon2id" && hash.version == Some(VERSION);
        if !known || hash.salt.is_none() || hash.hash.is_none() {
            return Err(VerifierError::Malformed);
        }
        let params = Params::try_from(&hash).map_err(|_| VerifierError::Malformed)?;
        let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
        if memory > MAX_MEMORY || memory.saturating_mul(passes) > MAX_WORK || lanes > MAX_LANES {
            return Err(VerifierError::TooMuchWork);
        }
        if memory < MIN_MEMORY {
            return Err(VerifierError::TooWeak);
        }
        Ok(Self(hash))
    }

    /// Whether a prepared password is the one. Takes tens of milliseconds and 19 MiB: not for an async thread.
    #[must_use]
    pub fn accepts(&self, password: &str) -> bool {
        self.computed(password).is_some_and(|computed| Some(computed) == self.0.hash)
    }

    fn computed(&self, password: &str) -> Option<Output> {
        let (salt, hash) = (self.0.salt.as_ref()?, self.0.hash.as_ref()?);
        let params = Params::try_from(&self.0).ok()?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut memory = Memory::take(argon2.params().block_count());
        let mut out = Zeroizing::new(vec![0; hash.len()]);
        let (password, salt): (&[u8], &[u8]) = (password.as_bytes(), salt.as_ref());
        argon2.hash_password_into_with_memory(password, salt, &mut out, &mut *memory.0).ok()?;
        Output::new(&out).ok()
    }
}

/// Memory in which a password is checked; wiped, and kept for the next check.
///
/// Threads that check come and go, and an allocator that keeps what each of them gave back for that thread
/// alone kept 19 MiB for every one of them.
struct Memory(Vec<Block>);

/// Of checks that are over.
static SPARE: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

impl Memory {
    fn take(blocks: usize) -> Self {
        let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = spare.filter(|spare| spare.capacity() >= blocks).unwrap_or_default();
        memory.resize(blocks, Block::default());
        Self(memory)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|block| block.as_mut().zeroize());
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else's verifier may need more than ours ever do.
        if self.0.len() <= MEMORY as usize && spare.len() < MAX_SPARE {
            spare.push(std::mem::take(&mut self.0));
        }
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Verifier(..)")
    }
}

/// Makes a verifier for a password, with a salt of its own.
///
/// # Errors
/// When the password is empty, too long, or there are no random numbers.
pub fn hash_password(password: &str) -> Result<String, VerifierError> {
    let password = prepare::password(password).ok_or(VerifierError::Password)?;
    let params = Params::new(MEMORY, PASSES, LANES, None).map_err(|_| VerifierError::Failed)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password(password.as_bytes()).map_err(|_| VerifierError::Failed)?;
    Ok(hash.to_string())
}

/// Memory of a new verifier in KiB, with [`PASSES`] and [`LANES`]: the second of the equivalent
/// settings of OWASP's password storage cheat sheet. Measured: 27 ms on a slow, busy core, so that a client that
/// opens a connection for each command stays quick, and 19 MiB for each attempt that is checked at once.
pub(crate) const MEMORY: u32 = 19 * 1024;

/// How often that memory is kept: as often as passwords are checked at once.
const MAX_SPARE: usize = 4;

/// Passes of a new verifier.
pub(crate) const PASSES: u32 = 2;

/// Lanes of a new verifier.
pub(crate) const LANES: u32 = 1;

/// Most memory in KiB that a verifier from elsewhere may ask for: four are checked at once.
pub(crate) const MAX_MEMORY: u32 = 64 * 1024;

/// Most memory in KiB times passes that a verifier from elsewhere may ask for: RFC 9106's second recommended
/// setting, 64 MiB in 3 passes. Every failed attempt takes so long that nobody sees whose it was.
pub(crate) const MAX_WORK: u32 = 3 * MAX_MEMORY;

/// What a KiB and pass takes on a slow, busy core, as it was measured: 27 ms for 19 MiB in 2 passes, 360 ms
/// for 64 MiB in 8.
#[cfg(test)]
pub(crate) const TAKES: std::time::Duration = std::time::Duration::from_nanos(700);

/// Most lanes that a verifier from elsewhere may ask for; they are computed one after another.
pub(crate) const MAX_LANES: u32 = 4;

/// Least memory in KiB (the weakest that OWASP lists is 7 MiB).
pub(crate) const MIN_MEMORY: u32 = 7 * 1024;

/// Argon2 version 1.3.
const VERSION: u32 = 0x13;

#[cfg(test)]
mod tests {
    use super::*;

    fn with_params(params: &str) -> String {
        format!(
            "$argon2id$v=19${params}$c2FsdHNhbHRzYWx0$YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY"
        )
    }

    #[test]
    fn a_password_is_accepted_by_its_own_verifier_only() {
        let text = hash_password("secret").unwrap();
        let verifier = Verifier::parse(&text).unwrap();
        assert!(verifier.accepts("secret"));
        assert!(!verifier.accepts("Secret"));
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        assert_ne!(text, hash_password("secret").unwrap());
        assert_eq!(format!("{verifier:?}"), "Verifier(..)");
    }

    #[test]
    fn memory_that_others_have_used_is_wiped_and_makes_no_difference() {
        let own = Verifier::parse(&hash_password("secret").unwrap()).unwrap();
        let text = |memory| {
            let params = Params::new(memory, 3, 2, Some(24)).unwrap();
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon2.hash_password(b"secret").unwrap().to_string()
        };
        for memory in [MIN_MEMORY, MAX_MEMORY] {
            let other = Verifier::parse(&text(memory)).unwrap();
            for verifier in [&own, &other, &own] {
                assert!(verifier.accepts("secret") && !verifier.accepts("Secret"), "{memory}");
            }
        }
        let spare = SPARE.lock().unwrap();
        assert!(!spare.is_empty() && spare.len() <= MAX_SPARE);
        let blocks = spare.iter().flatten().flat_map(AsRef::as_ref);
        assert!(blocks.copied().all(|word: u64| word == 0));
        assert!(spare.iter().all(|spare| spare.capacity() <= MEMORY as usize));
    }

    #[test]
    fn a_verifier_outside_of_its_limits_is_refused() {
        assert!(Verifier::parse(&with_params("m=19456,t=2,p=1")).is_ok());
        assert!(Verifier::parse(&with_params("m=65536,t=3,p=4")).is_ok(), "of RFC 9106");
        for params in [
            "m=4194304,t=1,p=1",
            "m=19456,t=1000,p=1",
            "m=65536,t=4,p=1",
            "m=65536,t=4294967295,p=1",
            "m=19456,t=1,p=64",
        ] {
            let error = Verifier::parse(&with_params(params)).unwrap_err();
            assert_eq!(error, VerifierError::TooMuchWork, "{params}");
        }
        assert_eq!(
            Verifier::parse(&with_params("m=64,t=1,p=1")).unwrap_err(),
            VerifierError::TooWeak
        );
    }

    #[test]
    fn what_is_no_argon2id_verifier_is_refused_without_repeating_it() {
        let argon2d = with_params("m=19456,t=2,p=1").replace("argon2id", "argon2d");
        let no_hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0";
        for text in ["", "test", "$2b$10$abcdefghijklmnopqrstuv", &argon2d, no_hash] {
            let error = Verifier::parse(text).unwrap_err();
            assert_eq!(error, VerifierError::Malformed);
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
    }

    #[test]
    fn an_empty_password_or_one_that_no_client_can_send_gets_no_verifier() {
        let long = "x".repeat(fnap::sasl::MAX_PASSWORD + 1);
        for password in ["", "a\0b", &long] {
            assert_eq!(hash_password(password), Err(VerifierError::Password));
        }
    }
}
