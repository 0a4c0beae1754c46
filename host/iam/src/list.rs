//! The users file: TOML, `[[users]]` with `name`, `verifier`, `scram`, `groups` and `disabled`.
//!
//! Refuses a file that others can read, unknown keys, and two users of one name.

mod file;

use std::collections::{BTreeMap, BTreeSet};

use ring::digest;

use crate::prepare;
use crate::principal::{MAX_GROUPS, is_group};
use crate::scram::ScramVerifier;
use crate::verifier::Verifier;

/// Users, by their prepared names, and what they are checked against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserList(pub(crate) BTreeMap<String, User>);

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    /// Without one, PLAIN is checked against the other.
    pub(crate) verifier: Option<Verifier>,
    /// Without one, SCRAM-SHA-256 does not let him in.
    pub(crate) scram: Option<ScramVerifier>,
    pub(crate) groups: BTreeSet<String>,
    /// Whatever he proves, he is not let in.
    pub(crate) disabled: bool,
}

/// A user as he is written down.
#[derive(Clone, Default)]
pub struct Account<'a> {
    /// The name.
    pub name: &'a str,
    /// What PLAIN checks against; where there is none, what SCRAM-SHA-256 does.
    pub verifier: Option<&'a str>,
    /// What SCRAM-SHA-256 checks against, if he may come in so.
    pub scram: Option<&'a str>,
    /// His groups.
    pub groups: &'a [String],
    /// Whether he is kept out.
    pub disabled: bool,
}

/// A user as he is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name.
    pub name: &'a str,
    /// Whether there is a verifier for PLAIN alone.
    pub plain: bool,
    /// Whether SCRAM-SHA-256 can let him in.
    pub scram: bool,
    /// His groups.
    pub groups: &'a BTreeSet<String>,
    /// Whether he is kept out.
    pub disabled: bool,
}

/// Who came, went, or is another one than before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Names that are new.
    pub added: Vec<String>,
    /// Names that are gone.
    pub removed: Vec<String>,
    /// Names that are kept out from now on.
    pub disabled: Vec<String>,
    /// Names of which anything else changed.
    pub changed: Vec<String>,
}

impl Changes {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Why there is no list of users. Never holds a verifier.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UsersError {
    /// The file cannot be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// Others than its owner could read or change the file.
    #[error("{path}: mode is {mode:04o}: only its owner may read it (chmod 600)")]
    Exposed {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Its text is not what it should be.
    #[error("{path}:{line}: {what}")]
    Syntax {
        /// The file.
        path: String,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A user cannot be taken in.
    #[error("user {name}: {reason}")]
    User {
        /// The name, shortened and escaped.
        name: String,
        /// Why not.
        reason: String,
    },
}

impl UserList {
    /// Users whose SCRAM verifiers were made elsewhere, with other settings than here.
    pub(crate) fn of_other_shape(&self) -> impl Iterator<Item = &str> {
        let other = |user: &User| user.scram.as_ref().is_some_and(|scram| !scram.has_own_shape());
        self.0.iter().filter(move |(_, user)| other(user)).map(|(name, _)| name.as_str())
    }

    /// Adds a user with a password.
    ///
    /// # Errors
    /// [`UsersError::User`] when the name or the verifier is none, or the name is taken.
    pub fn insert(&mut self, name: &str, verifier: &str) -> Result<(), UsersError> {
        self.add(&Account { name, verifier: Some(verifier), ..Account::default() })
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`UsersError::User`] when something of it is not what it should be, or the name is taken.
    pub fn add(&mut self, account: &Account<'_>) -> Result<(), UsersError> {
        let refused = |reason: String| UsersError::User { name: shorten(account.name), reason };
        let user = User::read(account).map_err(refused)?;
        self.insert_user(account.name, user)
    }

    /// Adds everybody of another list.
    ///
    /// # Errors
    /// [`UsersError::User`] when somebody is in both.
    pub fn merge(&mut self, other: Self) -> Result<(), UsersError> {
        other.0.into_iter().try_for_each(|(name, user)| self.insert_user(&name, user))
    }

    /// Who differs in a later list.
    #[must_use]
    pub fn changes(&self, later: &Self) -> Changes {
        let mut changes = Changes::default();
        let gone = self.0.keys().filter(|name| !later.0.contains_key(*name));
        changes.removed = gone.cloned().collect();
        for (name, now) in &later.0 {
            let list = match self.0.get(name) {
                None => &mut changes.added,
                Some(before) if before == now => continue,
                Some(before) if now.disabled && !before.disabled => &mut changes.disabled,
                Some(_) => &mut changes.changed,
            };
            list.push(name.clone());
        }
        changes
    }

    /// Names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Users, in the order of their names, without what they are checked against.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.0.iter().map(|(name, user)| Entry {
            name,
            plain: user.verifier.is_some(),
            scram: user.scram.is_some(),
            groups: &user.groups,
            disabled: user.disabled,
        })
    }

    /// Whether everybody who comes in with a password can do so with SCRAM-SHA-256. Who is kept out does not
    /// count, nor who has no password.
    pub(crate) fn all_prove_by_scram(&self) -> bool {
        let mut asked = self.0.values().filter(|user| !user.disabled && user.has_password());
        asked.clone().next().is_some() && asked.all(|user| user.scram.is_some())
    }

    /// What tells each user from what he was, as words that hold no secret: [`DISABLED`] first where he is kept
    /// out.
    pub(crate) fn states(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(name, user)| (name.clone(), user.state())).collect()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn insert_user(&mut self, given: &str, user: User) -> Result<(), UsersError> {
        let refused = |reason: String| UsersError::User { name: shorten(given), reason };
        let Some(name) = prepare::name(given) else {
            let most = fnap::sasl::MAX_USER;
            return Err(refused(format!("a name has 1 to {most} octets and no blanks")));
        };
        if self.0.len() >= MAX_USERS {
            return Err(refused(format!("at most {MAX_USERS} users")));
        }
        if self.0.contains_key(&name) {
            return Err(refused("named twice".to_owned()));
        }
        self.0.insert(name, user);
        Ok(())
    }
}

impl User {
    fn has_password(&self) -> bool {
        self.verifier.is_some() || self.scram.is_some()
    }

    fn state(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut take = |part: &[u8]| {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        };
        let plain = self.verifier.as_ref().map(Verifier::text);
        take(plain.as_ref().map_or(&[], |text| text.as_bytes()));
        take(&[self.scram.is_some().into()]);
        for part in self.scram.as_ref().map(ScramVerifier::parts).into_iter().flatten() {
            take(part);
        }
        self.groups.iter().for_each(|group| take(group.as_bytes()));
        let digest: String =
            context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        if self.disabled { format!("{DISABLED} {digest}") } else { digest }
    }

    fn read(account: &Account<'_>) -> Result<Self, String> {
        if let Some(group) = account.groups.iter().find(|group| !is_group(group)) {
            return Err(format!("not a name of a group: {}", shorten(group)));
        }
        if account.groups.len() > MAX_GROUPS {
            return Err(format!("in more than {MAX_GROUPS} groups"));
        }
        let verifier = account.verifier.map(Verifier::parse).transpose();
        let scram = account.scram.map(ScramVerifier::parse).transpose();
        Ok(Self {
            verifier: verifier.map_err(|error| error.to_string())?,
            scram: scram.map_err(|error| error.to_string())?,
            groups: account.groups.iter().cloned().collect(),
            disabled: account.disabled,
        })
    }
}

fn shorten(name: &str) -> String {
    name.chars().take(SHOWN).collect::<String>().escape_debug().to_string()
}

/// Users of a file. More than that belong into a directory service.
pub const MAX_USERS: usize = 10_000;

/// How the state of a user begins who is kept out.
pub const DISABLED: &str = "disabled";

/// Characters of a wrong name that an error repeats.
const SHOWN: usize = 64;

#[cfg(test)]
mod tests;
