//! Who is it: users and their passwords.
//!
//! Keeps verifiers, never passwords. Says of a failed attempt only that it failed: which part was
//! wrong shows neither in the answer nor in its duration. What a principal may do is not decided here.

mod attempts;
mod exchange;
mod list;
mod principal;
mod users;
mod verifier;

pub use exchange::{Exchange, Peer, Step};
pub use list::{MAX_USERS, UserList, UsersError};
pub use principal::{DOMAINS, MAX_GROUP, MAX_GROUPS, NoSubject, Principal, Subject, USERS};
pub use users::{Users, VerifyError};
pub use verifier::{Verifier, VerifierError, hash_password};
