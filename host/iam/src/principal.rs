//! Who somebody is, once his word was checked, and how grants name him.
//!
//! A principal is a user with an account, a domain whose agent proved its name, or nobody in particular.
//! Whether he may do something is not decided here.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use fnap::name::Name;
pub(crate) use fnap::subject::is_group;
pub use fnap::subject::{MAX_GROUP, NoSubject, Subject};

/// Somebody whose word was checked. Cloning shares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    subject: Subject,
    groups: BTreeSet<String>,
    /// Those of them that the list of users gave him, if it named him; the same principal without.
    listed: Option<BTreeSet<String>>,
}

impl PartialEq for Inner {
    fn eq(&self, other: &Self) -> bool {
        (&self.subject, &self.groups) == (&other.subject, &other.groups)
    }
}

impl Eq for Inner {}

impl Hash for Inner {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.subject, &self.groups).hash(hasher);
    }
}

/// The group of all users with an account.
pub const USERS: &str = "users";

/// The group of all domains.
pub const DOMAINS: &str = "domains";

/// Most groups of one principal: an identity provider may name thousands, and each question asks all.
pub const MAX_GROUPS: usize = 64;

impl Principal {
    /// A user, in some groups. What is no name of a group, or over [`MAX_GROUPS`], is left out.
    #[must_use]
    pub fn user(name: &str, groups: impl IntoIterator<Item = String>) -> Self {
        Self::listed_user(name, None, groups)
    }

    /// A user, in the groups that the list of users gives him, if it names him, and in further ones.
    pub(crate) fn listed_user(
        name: &str,
        listed: Option<BTreeSet<String>>,
        further: impl IntoIterator<Item = String>,
    ) -> Self {
        let groups =
            listed.iter().flatten().cloned().chain(further).filter(|group| is_group(group));
        let groups = groups.take(MAX_GROUPS).chain([USERS.to_owned()]).collect();
        Self(Arc::new(Inner { subject: Subject::User(name.to_owned()), groups, listed }))
    }

    /// The groups that the list of users gave him, if it named him.
    pub(crate) fn listed(&self) -> Option<&BTreeSet<String>> {
        self.0.listed.as_ref()
    }

    /// The agent of a domain.
    #[must_use]
    pub fn domain(name: Name) -> Self {
        let groups = BTreeSet::from([DOMAINS.to_owned()]);
        Self(Arc::new(Inner { subject: Subject::Domain(name), groups, listed: None }))
    }

    /// Whoever proved nothing.
    #[must_use]
    pub fn anonymous() -> Self {
        let groups = BTreeSet::new();
        Self(Arc::new(Inner { subject: Subject::Anonymous, groups, listed: None }))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(text: &str) -> Subject {
        text.parse().unwrap()
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
