//! Who somebody is, once his word was checked, and how grants name him.
//!
//! A principal is a user with an account, a domain whose agent proved its name, or nobody in particular.
//! Whether he may do something is not decided here.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use fnap::name::Name;
use fnap::sasl::MAX_USER;

/// Somebody whose word was checked. Cloning shares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal(Arc<Inner>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Inner {
    subject: Subject,
    groups: BTreeSet<String>,
}

/// Whom a grant, a quota or a line of the audit log means: `user:ana`, `group:ops`, `domain:emiliano.ar`,
/// `anonymous` or `everybody`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// One user with an account.
    User(String),
    /// Everybody of a group: those that the users file or an identity provider names, and [`USERS`] and
    /// [`DOMAINS`].
    Group(String),
    /// The agent of one domain.
    Domain(Name),
    /// Whoever proved nothing.
    Anonymous,
    /// Every principal, whoever he is.
    Everybody,
}

/// The group of all users with an account.
pub const USERS: &str = "users";

/// The group of all domains.
pub const DOMAINS: &str = "domains";

/// Longest name of a group in octets.
pub const MAX_GROUP: usize = 128;

/// Most groups of one principal: an identity provider may name thousands, and each question asks all.
pub const MAX_GROUPS: usize = 64;

/// The text is no subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not user:NAME, group:NAME, domain:NAME, anonymous or everybody")]
pub struct NoSubject;

impl Principal {
    /// A user, in some groups. What is no name of a group, or over [`MAX_GROUPS`], is left out.
    #[must_use]
    pub fn user(name: &str, groups: impl IntoIterator<Item = String>) -> Self {
        let groups = groups.into_iter().filter(|group| is_group(group));
        let groups = groups.take(MAX_GROUPS).chain([USERS.to_owned()]).collect();
        Self(Arc::new(Inner { subject: Subject::User(name.to_owned()), groups }))
    }

    /// The agent of a domain.
    #[must_use]
    pub fn domain(name: Name) -> Self {
        let groups = BTreeSet::from([DOMAINS.to_owned()]);
        Self(Arc::new(Inner { subject: Subject::Domain(name), groups }))
    }

    /// Whoever proved nothing.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(Arc::new(Inner { subject: Subject::Anonymous, groups: BTreeSet::new() }))
    }

    /// What he is called in grants and logs.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.0.subject
    }

    /// The name without its kind: `ana`, `emiliano.ar`, `anonymous`.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.0.subject {
            Subject::User(name) | Subject::Group(name) => name,
            Subject::Domain(name) => name.as_str(),
            Subject::Anonymous => "anonymous",
            Subject::Everybody => "everybody",
        }
    }

    /// His groups, in order.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.0.groups.iter().map(String::as_str)
    }

    /// Whether a subject means him.
    #[must_use]
    pub fn is(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Everybody => true,
            Subject::Group(group) => self.0.groups.contains(group),
            other => self.0.subject == *other,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.subject.fmt(out)
    }
}

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
            Some(("group", name)) if is_word(name, MAX_GROUP) => Ok(Self::Group(name.to_owned())),
            Some(("domain", name)) => name.parse().map(Self::Domain).map_err(|_| NoSubject),
            _ => Err(NoSubject),
        }
    }
}

/// Whether grants can name a group so.
pub(crate) fn is_group(text: &str) -> bool {
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

    fn subject(text: &str) -> Subject {
        text.parse().unwrap()
    }

    #[test]
    fn a_subject_is_written_as_it_is_read() {
        for text in
            ["user:ana", "user:a:b", "group:ops", "domain:emiliano.ar", "anonymous", "everybody"]
        {
            assert_eq!(subject(text).to_string(), text);
        }
        for text in
            ["", "ana", "user:", "user:a b", "group:", "domain:a..b", "root:ana", "USER:ana"]
        {
            assert_eq!(text.parse::<Subject>(), Err(NoSubject), "{text}");
        }
        assert!(format!("group:{}", "g".repeat(MAX_GROUP + 1)).parse::<Subject>().is_err());
    }

    #[test]
    fn a_user_is_himself_his_groups_and_everybody() {
        let ana = Principal::user("ana", ["ops".to_owned(), "two words".to_owned()]);
        for text in ["user:ana", "group:ops", "group:users", "everybody"] {
            assert!(ana.is(&subject(text)), "{text}");
        }
        for text in ["user:bo", "group:domains", "anonymous", "domain:ana"] {
            assert!(!ana.is(&subject(text)), "{text}");
        }
        assert_eq!(ana.groups().collect::<Vec<_>>(), ["ops", "users"]);
    }

    #[test]
    fn a_domain_is_no_user_and_nobody_is_neither() {
        let domain = Principal::domain("emiliano.ar".parse().unwrap());
        assert!(domain.is(&subject("domain:emiliano.ar")) && domain.is(&subject("group:domains")));
        assert!(!domain.is(&subject("group:users")) && !domain.is(&subject("user:emiliano.ar")));
        let nobody = Principal::anonymous();
        assert!(nobody.is(&Subject::Anonymous) && nobody.is(&Subject::Everybody));
        assert!(!nobody.is(&subject("group:users")));
    }

    #[test]
    fn nobody_brings_more_groups_than_so_many() {
        let ana = Principal::user("ana", (0..1000).map(|number| format!("g{number}")));
        assert_eq!(ana.groups().count(), MAX_GROUPS + 1);
    }
}
