//! `fnaad user`: the users file, as an operator changes it.
//!
//! Asks for passwords on the terminal, without showing them, or takes one line of standard input; keeps
//! verifiers only. Changes nothing but the file: a running host takes it over by itself.

mod ask;
mod edit;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use host_iam::{UserList, hash_password, prepared_name, scram_verifier};
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::{ListFormat, UserCommand, UsersAt, Verifiers};
use crate::config::Config;
use edit::{Change, Passwords};

/// Does what was asked for, and says so in a line of `out`.
///
/// # Errors
/// When the file cannot be read or written, somebody is not there or is there already, or a password can be
/// none.
pub fn run(command: &UserCommand, out: &mut impl Write) -> Result<()> {
    run_with(command, ask::password, out)
}

type Ask = fn() -> Result<Zeroizing<String>>;

fn run_with(command: &UserCommand, ask: Ask, out: &mut impl Write) -> Result<()> {
    match command {
        UserCommand::Add { name, groups, no_password, verifiers, at } => {
            let place = Place::find(at, name)?;
            place.refuse_if_there()?;
            let made = if *no_password { Passwords::default() } else { make(ask, verifiers)? };
            place.edit(&Change::Add { made: &made, groups })?;
            writeln!(out, "user {} added", place.name)?;
        }
        UserCommand::Passwd { name, verifiers, at } => {
            let place = Place::find(at, name)?;
            place.refuse_if_not_there()?;
            let made = make(ask, verifiers)?;
            place.edit(&Change::Passwords(&made))?;
            writeln!(out, "user {} has another password", place.name)?;
        }
        UserCommand::Disable { name, at } => {
            let place = Place::find(at, name)?;
            place.edit(&Change::Disable)?;
            writeln!(out, "user {} disabled", place.name)?;
        }
        UserCommand::Enable { name, at } => {
            let place = Place::find(at, name)?;
            place.edit(&Change::Enable)?;
            writeln!(out, "user {} enabled", place.name)?;
        }
        UserCommand::Remove { name, at } => {
            let place = Place::find(at, name)?;
            place.edit(&Change::Remove)?;
            writeln!(out, "user {} removed", place.name)?;
            left(&place.name, out)?;
        }
        UserCommand::List { format, at } => list(at, *format, out)?,
    }
    Ok(())
}

/// What an operator has to know about a name that is free again.
fn left(name: &str, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "what user:{name} owns and was granted stays so; his processors are held, and the next user of that name has it all:"
    )?;
    writeln!(out, "  fnua get grants --to user:{name}")?;
    writeln!(out, "  fnua get flows --format json        # \"owner\":\"user:{name}\"")?;
    writeln!(out, "  fnua get processors --format json   # the same")?;
    Ok(())
}

fn make(ask: Ask, verifiers: &Verifiers) -> Result<Passwords> {
    let password = ask()?;
    let plain = (!verifiers.scram_only).then(|| hash_password(&password)).transpose()?;
    let scram = (!verifiers.no_scram).then(|| scram_verifier(&password)).transpose()?;
    Ok(Passwords { plain, scram })
}

/// The file that is changed, and who is meant in it.
struct Place {
    path: PathBuf,
    name: String,
}

impl Place {
    fn find(at: &UsersAt, name: &str) -> Result<Self> {
        let name =
            prepared_name(name).context("not a name of a user: no blanks, nothing unseen")?;
        let path = match (&at.file, &at.config) {
            (Some(file), _) => file.clone(),
            (None, Some(config)) => {
                let read = Config::load(config)?;
                if read.users.names().any(|other| other == name) {
                    bail!("user {name} stands in {}: change it there", config.display());
                }
                let shown = config.display();
                read.users_file.with_context(|| format!("{shown} names no users_file"))?
            }
            (None, None) => bail!("neither --config nor --file"),
        };
        Ok(Self { path, name })
    }

    fn is_there(&self) -> Result<bool> {
        let list = read(&self.path)?;
        Ok(list.names().any(|other| other == self.name))
    }

    // Both before the password is asked for; it is looked at again when the file is changed.
    fn refuse_if_there(&self) -> Result<()> {
        if self.is_there()? { bail!("user {} is there already", self.name) } else { Ok(()) }
    }

    fn refuse_if_not_there(&self) -> Result<()> {
        if self.is_there()? { Ok(()) } else { bail!("there is no user {}", self.name) }
    }

    fn edit(&self, change: &Change<'_>) -> Result<()> {
        edit::edit(&self.path, &self.name, change)
    }
}

/// The users of a file; nobody where there is none yet.
fn read(path: &Path) -> Result<UserList> {
    if path.exists() { Ok(UserList::load(path)?) } else { Ok(UserList::default()) }
}

fn list(at: &UsersAt, format: ListFormat, out: &mut impl Write) -> Result<()> {
    let users = match (&at.file, &at.config) {
        (Some(file), _) => UserList::load(file)?,
        (None, Some(config)) => Config::load(config)?.all_users()?,
        (None, None) => bail!("neither --config nor --file"),
    };
    for user in users.entries() {
        let groups: Vec<&str> = user.groups.iter().map(String::as_str).collect();
        match format {
            ListFormat::Json => {
                let line = json!({ "name": user.name, "plain": user.plain, "scram": user.scram,
                    "groups": groups, "disabled": user.disabled });
                writeln!(out, "{line}")?;
            }
            ListFormat::Text => {
                let ways = [("plain", user.plain), ("scram", user.scram)];
                let ways = ways.iter().filter(|(_, has)| *has).map(|(way, _)| *way);
                let ways = ways.collect::<Vec<_>>().join(",");
                let state = if user.disabled { "disabled" } else { "enabled" };
                let (ways, groups) = (or_dash(ways), or_dash(groups.join(",")));
                writeln!(out, "{:<24} {state:<8} {ways:<11} {groups}", user.name)?;
            }
        }
    }
    Ok(())
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}
