//! The users file: TOML, `[[users]]` with `name` and `verifier`.
//!
//! Refuses a file that others can read, unknown keys, and two users of one name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Deserialize;

use crate::verifier::{Verifier, VerifierError};

/// Users and their verifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserList(pub(crate) BTreeMap<String, Verifier>);

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
    users: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: toml::Spanned<String>,
    verifier: toml::Spanned<String>,
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
            syntax(error.span().map_or(0, |span| span.start), error.message().to_owned())
        })?;
        let mut list = Self::default();
        for Entry { name, verifier } in document.users {
            let (name_at, verifier_at) = (name.span().start, verifier.span().start);
            let parsed = Verifier::parse(verifier.get_ref())
                .map_err(|error| syntax(verifier_at, error.to_string()))?;
            list.add(name.into_inner(), parsed)
                .map_err(|error| syntax(name_at, error.to_string()))?;
        }
        Ok(list)
    }

    /// Adds a user whose verifier is written elsewhere.
    ///
    /// # Errors
    /// [`UsersError::User`] when the name or the verifier is none, or the name is taken.
    pub fn insert(&mut self, name: &str, verifier: &str) -> Result<(), UsersError> {
        let verifier = Verifier::parse(verifier).map_err(|error: VerifierError| {
            UsersError::User { name: shorten(name), reason: error.to_string() }
        })?;
        self.add(name.to_owned(), verifier)
    }

    /// Adds everybody of another list.
    ///
    /// # Errors
    /// [`UsersError::User`] when somebody is in both.
    pub fn merge(&mut self, other: Self) -> Result<(), UsersError> {
        other.0.into_iter().try_for_each(|(name, verifier)| self.add(name, verifier))
    }

    /// Names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, name: String, verifier: Verifier) -> Result<(), UsersError> {
        let sound = (1..=fnap::sasl::MAX_USER).contains(&name.len())
            && !name.chars().any(|c| c.is_control() || c.is_whitespace());
        let refused = |reason: String| UsersError::User { name: shorten(&name), reason };
        if !sound {
            let most = fnap::sasl::MAX_USER;
            return Err(refused(format!("a name has 1 to {most} octets and no blanks")));
        }
        if self.0.len() >= MAX_USERS {
            return Err(refused(format!("at most {MAX_USERS} users")));
        }
        if self.0.contains_key(&name) {
            return Err(refused("named twice".to_owned()));
        }
        self.0.insert(name, verifier);
        Ok(())
    }
}

fn shorten(name: &str) -> String {
    name.chars().take(SHOWN).collect::<String>().escape_debug().to_string()
}

/// Users of a file. More than that belong into a directory service.
pub const MAX_USERS: usize = 10_000;

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
