//! Whom grants, quotas and logs name: a user, a group, a domain, whoever proved nothing, or all of them.
//!
//! Whether somebody is meant by a subject is not known here.

use std::fmt;
use std::str::FromStr;

use crate::name::Name;
use crate::sasl::MAX_USER;

/// Whom a grant, a quota or a line of the audit log means: `user:ana`, `group:ops`, `domain:emiliano.ar`,
/// `anonymous` or `everybody`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// One user with an account.
    User(String),
    /// Everybody of a group: those that the users file or an identity provider names, and the built-in
    /// `users` and `domains`.
    Group(String),
    /// The agent of one domain.
    Domain(Name),
    /// Whoever proved nothing.
    Anonymous,
    /// Every principal, whoever he is.
    Everybody,
}

/// Longest name of a group in octets.
pub const MAX_GROUP: usize = 128;

/// The text is no subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not user:NAME, group:NAME, domain:NAME, anonymous or everybody")]
pub struct NoSubject;

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(out, "user:{name}"),
            Self::Group(name) => write!(out, "group:{name}"),
            Self::Domain(name) => write!(out, "domain:{name}"),
            Self::Anonymous => out.write_str("anonymous"),
            Self::Everybody => out.write_str("everybody"),
        }
    }
}

impl FromStr for Subject {
    type Err = NoSubject;

    fn from_str(text: &str) -> Result<Self, NoSubject> {
        match text.split_once(':') {
            None if text.eq_ignore_ascii_case("anonymous") => Ok(Self::Anonymous),
            None if text.eq_ignore_ascii_case("everybody") => Ok(Self::Everybody),
            Some(("user", name)) if is_word(name, MAX_USER) => Ok(Self::User(name.to_owned())),
            Some(("group", name)) if is_group(name) => Ok(Self::Group(name.to_owned())),
            Some(("domain", name)) => name.parse().map(Self::Domain).map_err(|_| NoSubject),
            _ => Err(NoSubject),
        }
    }
}

crate::text::as_text!(Subject);

/// Whether a text can be the name of a group.
#[must_use]
pub fn is_group(text: &str) -> bool {
    is_word(text, MAX_GROUP)
}

/// One word that a line of the protocol can carry.
fn is_word(text: &str, longest: usize) -> bool {
    let odd = |c: char| c.is_control() || c.is_whitespace();
    (1..=longest).contains(&text.len()) && !text.contains(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_written_as_it_is_read() {
        for text in
            ["user:ana", "user:a:b", "group:ops", "domain:emiliano.ar", "anonymous", "everybody"]
        {
            let subject: Subject = text.parse().unwrap();
            assert_eq!(subject.to_string(), text);
            let json = serde_json::to_string(&subject).unwrap();
            assert_eq!(serde_json::from_str::<Subject>(&json).unwrap(), subject);
        }
        for text in
            ["", "ana", "user:", "user:a b", "group:", "domain:a..b", "root:ana", "USER:ana"]
        {
            assert_eq!(text.parse::<Subject>(), Err(NoSubject), "{text}");
        }
        assert!(format!("group:{}", "g".repeat(MAX_GROUP + 1)).parse::<Subject>().is_err());
    }
}
