//! Changes of the users file that leave everything else in it as it was written, comments too.
//!
//! One change at a time, under a lock of the directory; after a crash the file is the old one or the new
//! one. Owner and group stay, the mode is 0600.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use host_iam::{UserList, prepared_name};
use rustix::fs::{FlockOperation, flock};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

use crate::files;

/// What a user is checked against.
#[derive(Default)]
pub(super) struct Passwords {
    pub(super) plain: Option<String>,
    pub(super) scram: Option<String>,
}

/// A change of one user.
pub(super) enum Change<'a> {
    Add { made: &'a Passwords, groups: &'a [String] },
    Passwords(&'a Passwords),
    Disable,
    Enable,
    Remove,
}

/// Changes a users file, or makes it.
pub(super) fn edit(path: &Path, name: &str, change: &Change<'_>) -> Result<()> {
    // What a link points at is replaced, and not the link.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let shown = path.display().to_string();
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let lock = File::open(dir).with_context(|| dir.display().to_string())?;
    flock(&lock, FlockOperation::LockExclusive).with_context(|| dir.display().to_string())?;
    let text = if path.exists() {
        // Also refuses a file that others can read.
        UserList::load(path)?;
        std::fs::read_to_string(path).with_context(|| shown.clone())?
    } else {
        String::new()
    };
    let document = text.parse().map_err(|_| anyhow::anyhow!("{shown}: not toml"))?;
    let mut file = UsersFile(document);
    file.apply(name, change)?;
    let text = file.0.to_string();
    UserList::parse(&text, &shown)?;
    files::replace_for_its_owner(path, text.as_bytes())
}

/// The file while it is changed.
struct UsersFile(DocumentMut);

impl UsersFile {
    fn apply(&mut self, name: &str, change: &Change<'_>) -> Result<()> {
        let users = self.0.entry("users").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        let users = users.as_array_of_tables_mut();
        let users =
            users.context("users are not written as [[users]] there: change them by hand")?;
        let written =
            |user: &Table| user.get("name").and_then(Item::as_str).and_then(prepared_name);
        let index = users.iter().position(|user| written(user).as_deref() == Some(name));
        match (change, index) {
            (Change::Add { .. }, Some(_)) => bail!("user {name} is there already"),
            (Change::Add { made, groups }, None) => users.push(new_user(name, made, groups)),
            (_, None) => bail!("there is no user {name}"),
            (Change::Remove, Some(index)) => drop(users.remove(index)),
            (change, Some(index)) => {
                let user = users.get_mut(index).context("no such user")?;
                match change {
                    Change::Passwords(made) => set_passwords(user, made),
                    Change::Disable => drop(user.insert("disabled", value(true))),
                    _ => drop(user.remove("disabled")),
                }
            }
        }
        Ok(())
    }
}

fn new_user(name: &str, made: &Passwords, groups: &[String]) -> Table {
    let mut user = Table::new();
    user.insert("name", value(name));
    set_passwords(&mut user, made);
    if !groups.is_empty() {
        user.insert("groups", value(groups.iter().map(String::as_str).collect::<Array>()));
    }
    user
}

/// The old ones count no longer, also of a kind that was not made anew.
fn set_passwords(user: &mut Table, made: &Passwords) {
    for (key, made) in [("verifier", &made.plain), ("scram", &made.scram)] {
        match made {
            Some(text) => drop(user.insert(key, value(text.as_str()))),
            None => drop(user.remove(key)),
        }
    }
}
