//! A file of users: read whole or not at all, and only where nobody but its owner has rights on it.
//!
//! What it says of a wrong line quotes no value: a verifier may stand there.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Deserialize;

use super::{Account, UserList, UsersError};
use crate::scram::ScramVerifier;
use crate::shown::without_value;
use crate::verifier::Verifier;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    pub(super) users: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    pub(super) name: toml::Spanned<String>,
    pub(super) verifier: Option<toml::Spanned<String>>,
    pub(super) scram: Option<toml::Spanned<String>>,
    #[serde(default)]
    pub(super) groups: Vec<String>,
    #[serde(default)]
    pub(super) disabled: bool,
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
}

/// Octets of a users file: so many users with verifiers of 100 octets and names of some dozens.
pub(super) const MAX_FILE: u64 = 4 * 1024 * 1024;
