//! Why the registry did not do it.

use host_store::StoreError;

/// Named by what the caller can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// There is no such thing.
    #[error("{what} {name}")]
    NotFound {
        /// `flow`, `namespace`, `processor`, `plugin` or `journal entry`.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// A flow or processor whose name is below none of our namespaces.
    #[error("no namespace of this host holds {name}")]
    NoNamespace {
        /// The name.
        name: String,
    },
    /// It exists already, is in use, or something else stands against it now.
    #[error("{words}")]
    Conflict {
        /// For people.
        words: String,
    },
    /// It can never work as it is.
    #[error("{words}")]
    Invalid {
        /// For people.
        words: String,
    },
    /// It is about more than the right of whoever wants it.
    #[error("administer on the names below {object} is not granted")]
    Beyond {
        /// On what his right ends.
        object: String,
    },
    /// Somebody whose word counts has said no.
    #[error("{words}")]
    Denied {
        /// For people.
        words: String,
    },
    /// The host holds as many of these as it is willing to.
    #[error("this host holds at most {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Somebody has as many of these as he may.
    #[error("{who} has {most} {what}, which is his quota")]
    OverQuota {
        /// Of what.
        what: &'static str,
        /// Who.
        who: String,
        /// His quota.
        most: u64,
    },
    /// It was not carried out in the time that a command waits, and goes on in the background.
    #[error("goes on in the background{}{trouble}", if trouble.is_empty() { "" } else { ": " })]
    Pending {
        /// What the last try met; empty where nothing is in the way.
        trouble: String,
    },
    /// The disk has no room; nothing was changed.
    #[error("registry is full: {0}")]
    Full(String),
    /// The disk has become read-only; nothing was changed.
    #[error("registry is read-only: {0}")]
    ReadOnly(String),
    /// What is stored cannot be read.
    #[error("registry is damaged: {0}")]
    Damaged(String),
    /// The database failed.
    #[error("registry failed: {0}")]
    Store(#[source] StoreError),
}

impl RegistryError {
    pub(crate) fn conflict(words: impl Into<String>) -> Self {
        Self::Conflict { words: words.into() }
    }

    pub(crate) fn invalid(words: impl Into<String>) -> Self {
        Self::Invalid { words: words.into() }
    }

    pub(crate) fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound { what, name: name.to_string() }
    }
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(words) => Self::Full(words),
            StoreError::ReadOnly(words) => Self::ReadOnly(words),
            StoreError::Damaged(words) => Self::Damaged(words),
            other => Self::Store(other),
        }
    }
}

impl From<rusqlite::Error> for RegistryError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}
