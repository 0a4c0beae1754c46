//! Who is it: users, and the mechanisms by which they and others prove to be whom they say.
//!
//! Keeps verifiers, never passwords. Says of a failed attempt only that it failed: which part was
//! wrong shows neither in the answer nor in its duration. And what may he do: grants, owners, quotas, from memory;
//! where they are stored is not known here.

mod attempts;
mod exchange;
mod external;
mod grants;
mod list;
mod neighbours;
mod oauth;
mod peer;
mod prepare;
mod principal;
mod quotas;
mod scram;
mod shown;
mod standing;
mod strangers;
mod users;
mod verifier;

pub use exchange::{Exchange, Step};
pub use grants::{Absent, Grants, Owner};
pub use host_http::is_safe as is_safe_issuer;
pub use list::{Account, Changes, DISABLED, Entry, MAX_USERS, UserList, UsersError};
pub use oauth::ProviderSettings;
pub use peer::{DomainProof, Peer};
pub use principal::{DOMAINS, MAX_GROUP, MAX_GROUPS, NoSubject, Principal, Subject, USERS};
pub use quotas::{Limited, Quota, Quotas, Seat, Share};
pub use scram::{ScramVerifier, scram_verifier};
pub use shown::without_value;
pub use standing::{Ended, Standing, Until};
pub use strangers::{Stranger, Strangers};
pub use users::{SECRET, Settings, Users, VerifyError};
pub use verifier::{Verifier, VerifierError, hash_password};

/// What strangers send to prove who they are, read and judged without asking, counting or waiting: for tests
/// that try any octets.
pub mod messages {
    pub use crate::exchange::trace;
    pub use crate::external::{Wanted, user_of};
    pub use crate::oauth::{Bearer, KeySet, Request, judge};
    pub use crate::scram::{Asked, ClientFirst, Final};
}

/// A subject as principals are compared with it; `None` where it can be nobody's.
#[must_use]
pub fn prepared_subject(subject: Subject) -> Option<Subject> {
    match subject {
        Subject::User(name) => prepare::name(&name).map(Subject::User),
        other => Some(other),
    }
}

/// A user's name in the one form in which names are compared; `None` where it cannot be one.
#[must_use]
pub fn prepared_name(text: &str) -> Option<String> {
    prepare::name(text)
}
