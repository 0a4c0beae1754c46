//! The users file: TOML, `[[users]]` with `name`, `verifier`, `scram`, `groups` and `disabled`.
//!
//! Refuses a file that others can read, unknown keys, and two users of one name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ring::digest;
use serde::Deserialize;

use crate::prepare;
use crate::principal::{MAX_GROUPS, is_group};
use crate::scram::ScramVerifier;
use crate::shown::without_value;
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    users: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: toml::Spanned<String>,
    verifier: Option<toml::Spanned<String>>,
    scram: Option<toml::Spanned<String>>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    disabled: bool,
}

impl UserList {
    /// Reads a users file. Only its owner may have rights on it.
    ///
    /// # Errors
    /// See [`UsersError`].
    pub fn load(path: &Path) -> Result<Self, UsersError> {
        let shown = path.display().to_string();
        let unreadable = |reason: String| UsersError::Unreadable { path: shown.clone(), reason };
        let mut file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| unreadable(error.to_string()))?;
        if !metadata.is_file() {
            return Err(unreadable("not a regular file".to_owned()));
        }
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(UsersError::Exposed { path: shown, mode });
        }
        let mut text = String::new();
        let read = file.by_ref().take(MAX_FILE + 1).read_to_string(&mut text);
        match read.map_err(|error| unreadable(error.to_string()))? {
            length if length as u64 > MAX_FILE => {
                Err(unreadable(format!("larger than {MAX_FILE} octets")))
            }
            _ => Self::parse(&text, &shown),
        }
    }

    /// Users whose SCRAM verifiers were made elsewhere, with other settings than here.
    pub(crate) fn of_other_shape(&self) -> impl Iterator<Item = &str> {
        let other = |user: &User| user.scram.as_ref().is_some_and(|scram| !scram.has_own_shape());
        self.0.iter().filter(move |(_, user)| other(user)).map(|(name, _)| name.as_str())
    }

    /// Reads the text of a users file; `path` is what errors call it.
    ///
    /// # Errors
    /// See [`UsersError`].
    pub fn parse(text: &str, path: &str) -> Result<Self, UsersError> {
        let syntax = |at: usize, what: String| {
            let before = text.as_bytes().iter().take(at);
            let line = 1 + before.filter(|byte| **byte == b'\n').count();
            UsersError::Syntax { path: path.to_owned(), line, what }
        };
        // The message only: the error's Display repeats the line, which may hold a verifier.
        let document: Document = toml::from_str(text).map_err(|error| {
            let what = without_value(error.message());
            syntax(error.span().map_or(0, |span| span.start), what)
        })?;
        let mut list = Self::default();
        for entry in document.users {
            let (verifier, scram) = (entry.verifier.as_ref(), entry.scram.as_ref());
            if let Some(text) = verifier {
                Verifier::parse(text.get_ref())
                    .map_err(|error| syntax(text.span().start, error.to_string()))?;
            }
            if let Some(text) = scram {
                ScramVerifier::parse(text.get_ref())
                    .map_err(|error| syntax(text.span().start, error.to_string()))?;
            }
            let account = Account {
                name: entry.name.get_ref(),
                verifier: verifier.map(|text| text.get_ref().as_str()),
                scram: scram.map(|text| text.get_ref().as_str()),
                groups: &entry.groups,
                disabled: entry.disabled,
            };
            list.add(&account)
                .map_err(|error| syntax(entry.name.span().start, error.to_string()))?;
        }
        Ok(list)
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

/// Octets of a users file: so many users with verifiers of 100 octets and names of some dozens.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Characters of a wrong name that an error repeats.
const SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY";

    fn users(entries: &[(&str, &str)]) -> String {
        let entry = |(name, verifier): &(&str, &str)| {
            format!("[[users]]\nname = {name:?}\nverifier = {verifier:?}\n")
        };
        entries.iter().map(entry).collect()
    }

    fn refusal(text: &str) -> String {
        UserList::parse(text, "users.toml").unwrap_err().to_string()
    }

    #[test]
    fn a_list_is_read_and_an_error_names_its_line() {
        let list = UserList::parse(&users(&[("ana", GOOD), ("bo", GOOD)]), "users.toml").unwrap();
        assert_eq!(list.names().collect::<Vec<_>>(), ["ana", "bo"]);
        let twice = refusal(&users(&[("ana", GOOD), ("ana", GOOD)]));
        assert_eq!(twice, "users.toml:5: user ana: named twice");
        let wrong = refusal(&users(&[("ana", GOOD), ("bo", "hunter2")]));
        assert!(wrong.starts_with("users.toml:6: not an argon2id verifier"), "{wrong}");
        assert!(!wrong.contains("hunter2"));
        let unknown = refusal("[[users]]\nname = \"a\"\npassword = \"hunter2\"\n");
        assert!(unknown.starts_with("users.toml:3: unknown field `password`"), "{unknown}");
        assert!(!unknown.contains("hunter2"));
        let instead = refusal("users = \"hunter2\"\n");
        assert_eq!(instead, "users.toml:1: invalid type: string, expected a sequence");
    }

    #[test]
    fn what_a_user_may_have_beside_his_name_is_read() {
        let scram = crate::scram_verifier("secret").unwrap();
        let text = format!(
            "[[users]]\nname = \"ana\"\nscram = \"{scram}\"\ngroups = [\"ops\"]\ndisabled = true\n\
             [[users]]\nname = \"bo\"\n"
        );
        let list = UserList::parse(&text, "users.toml").unwrap();
        let ana = &list.0["ana"];
        assert!(ana.disabled && ana.scram.is_some() && ana.verifier.is_none());
        assert_eq!(ana.groups, BTreeSet::from(["ops".to_owned()]));
        assert_eq!(list.0["bo"], User::default());
        let wrong = refusal(&text.replace(&scram, "SCRAM-SHA-256$hunter2"));
        assert!(wrong.starts_with("users.toml:3: not a scram verifier"), "{wrong}");
        assert!(!wrong.contains("hunter2"));
        let group = refusal(&text.replace("\"ops\"", "\"two words\""));
        assert!(group.starts_with("users.toml:2: user ana: not a name of a group"), "{group}");
    }

    #[test]
    fn two_names_that_look_the_same_are_one_name() {
        let twice = refusal(&users(&[("IX", GOOD), ("\u{2168}", GOOD)]));
        assert!(twice.contains("named twice"), "{twice}");
    }

    #[test]
    fn a_later_list_says_who_came_who_went_and_who_changed() {
        let parse = |text: &str| UserList::parse(text, "users.toml").unwrap();
        let before = parse(&users(&[("ana", GOOD), ("bo", GOOD), ("cy", GOOD), ("di", GOOD)]));
        assert!(before.changes(&before).is_empty());
        let mut text = users(&[("ana", GOOD), ("ed", GOOD)]);
        text += &users(&[("bo", GOOD)]).replace("verifier", "disabled = true\nverifier");
        text += &users(&[("cy", GOOD)]).replace("verifier", "groups = [\"g\"]\nverifier");
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let changes = Changes {
            added: names(&["ed"]),
            removed: names(&["di"]),
            disabled: names(&["bo"]),
            changed: names(&["cy"]),
        };
        assert_eq!(before.changes(&parse(&text)), changes);
    }

    #[test]
    fn names_have_a_shape() {
        for name in ["", "a b", "a\nb", &"n".repeat(fnap::sasl::MAX_USER + 1)] {
            assert!(UserList::default().insert(name, GOOD).is_err(), "{name}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        std::fs::write(&path, users(&[("ana", GOOD)])).unwrap();
        for mode in [0o644, 0o640, 0o620, 0o604] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let error = UserList::load(&path).unwrap_err();
            assert!(matches!(error, UsersError::Exposed { .. }), "{mode:o}");
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(UserList::load(&path).unwrap().names().count(), 1);
        assert!(UserList::load(dir.path()).is_err());
        assert!(UserList::load(&dir.path().join("none")).is_err());
    }

    #[test]
    fn there_are_at_most_so_many_users_and_octets() {
        let mut list = UserList::default();
        for number in 0..MAX_USERS {
            list.insert(&format!("u{number}"), GOOD).unwrap();
        }
        assert!(list.insert("one-more", GOOD).is_err());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        std::fs::write(&path, vec![b'#'; MAX_FILE as usize + 1]).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(UserList::load(&path).unwrap_err().to_string().contains("larger than"));
    }
}
