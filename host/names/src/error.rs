//! What can go wrong, by what the caller can do about it.

use std::path::PathBuf;

/// A question that has no answer. That something does not exist is no error, but an empty answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// DNSSEC says that the answer is forged or damaged: nothing of it may be used.
    #[error("dnssec refutes the answer about {what}")]
    Bogus {
        /// Name and type that were asked for.
        what: String,
    },
    /// Nothing is signed, and nothing proves that it need not be: signatures were taken away on the way, or no zone that is
    /// known to DNSSEC has it. Nothing of it may be used either.
    #[error("no chain of trust leads to the answer about {what}: it bears no signature")]
    Unproven {
        /// Name and type that were asked for.
        what: String,
    },
    /// Nobody could answer; later, somebody may.
    #[error("no answer about {what}: {reason}")]
    Unavailable {
        /// Name and type that were asked for.
        what: String,
        /// What came instead.
        reason: String,
    },
    /// More aliases than anybody needs, or aliases in a ring.
    #[error("too many aliases on the way to {what}")]
    Aliases {
        /// Name and type that were asked for.
        what: String,
    },
    /// The text is no name of DNS, or too long for one.
    #[error("not a name of dns: {0}")]
    NoName(String),
    /// The answer did not come in time.
    #[error("no answer in time")]
    TooSlow,
}

/// A resolver that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The system names no servers.
    #[error("no name servers: {0}")]
    NoServers(String),
    /// The file of trust anchors cannot be used.
    #[error("trust anchors {}: {reason}", path.display())]
    Anchors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file of certificate authorities cannot be used.
    #[error("certificate authorities {}: {reason}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Something of the resolver itself.
    #[error("resolver: {0}")]
    Resolver(String),
}
