//! What `fnua login` keeps: users and their passwords, for each address, in `credentials.toml`.
//!
//! The file is the user's alone (0600), is changed under a lock, and is whole at any moment. One that others can
//! read is refused.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fnap::sasl::Mechanism;
use zeroize::Zeroizing;

use super::node::{Node, fault};
use super::{
    Agent, Config, ConfigError, Fault, Source, TlsMode, meaning, read, refuse_if_others_can_read,
    toml_text,
};
use crate::address::Address;
use crate::secret::Password;

/// One user at one address.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) address: Address,
    pub(crate) username: String,
    pub(crate) password: Password,
    pub(crate) mechanism: Option<Mechanism>,
    pub(crate) tls: Option<TlsMode>,
    pub(crate) ca_file: Option<PathBuf>,
}

/// The place where credentials are kept.
#[derive(Clone, Debug)]
pub(crate) struct Keep {
    directory: PathBuf,
}

/// Why credentials cannot be kept or forgotten.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep credentials in {}: {reason}", path.display())]
pub struct KeepError {
    path: PathBuf,
    reason: String,
}

impl Keep {
    pub(crate) const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join("credentials.toml")
    }

    /// Everything that is kept, the latest first.
    pub(crate) fn all(&self) -> Result<Vec<Kept>, ConfigError> {
        let path = self.path();
        if !path.exists() {
            return Ok(Vec::new());
        }
        refuse_if_others_can_read(&path)?;
        let text = read(&path)?;
        parse(&text).map_err(|fault| ConfigError::Wrong(path, fault))
    }

    /// Keeps a user's password instead of the one that was there.
    pub(crate) fn keep(&self, new: Kept) -> Result<(), crate::Error> {
        self.change(|kept| {
            kept.retain(|old| old.address != new.address || old.username != new.username);
            kept.insert(0, new);
        })
    }

    /// Forgets a user, or all of them, at an address; gives the names of those that were there.
    pub(crate) fn forget(
        &self,
        address: &Address,
        user: Option<&str>,
    ) -> Result<Vec<String>, crate::Error> {
        let mut gone = Vec::new();
        self.change(|kept| {
            kept.retain(|old| {
                let goes = old.address == *address && user.is_none_or(|user| old.username == user);
                if goes {
                    gone.push(old.username.clone());
                }
                !goes
            });
        })?;
        Ok(gone)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Kept>)) -> Result<(), crate::Error> {
        let failed = |error: io::Error| KeepError { path: self.path(), reason: error.to_string() };
        own_directory(&self.directory).map_err(failed)?;
        let lock = own_file(&self.directory.join("credentials.lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut kept = self.all()?;
        change(&mut kept);
        self.write(&text(&kept)).map_err(failed)?;
        Ok(())
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let new = self.directory.join("credentials.toml.new");
        let mut file = own_file(&new)?;
        file.set_len(0)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, self.path())?;
        File::open(&self.directory)?.sync_all()
    }
}

impl Config {
    /// Gives agents without a secret what was kept for them, and adds the addresses that no agent has. A file
    /// that was found by chance gets what was kept only for what was kept with it: it cannot say whom to
    /// believe.
    #[must_use]
    pub(crate) fn with_kept(mut self, kept: &[Kept]) -> Self {
        let by_chance = self.by_chance;
        for agent in &mut self.agents {
            let login = &agent.login;
            let by_other_means = login.token.is_some() || login.certificate.is_some();
            let wanted = login.username.is_some() || !by_other_means;
            if login.password.is_none() && wanted {
                let fits = |one: &&Kept| {
                    let same = |user: &String| *user == one.username;
                    one.address == agent.address
                        && login.username.as_ref().is_none_or(same)
                        && (!by_chance || one.is_kept_so(agent))
                };
                if let Some(one) = kept.iter().find(fits) {
                    one.give_to(agent);
                }
            }
        }
        for one in kept {
            if self.agents.iter().all(|agent| agent.address != one.address) {
                let mut agent = Agent::stranger(one.address.clone());
                one.give_to(&mut agent);
                self.agents.push(agent);
            }
        }
        self
    }
}

impl Kept {
    /// Whether an agent says nothing else about TLS, and about how to prove oneself, than was kept.
    fn is_kept_so(&self, agent: &Agent) -> bool {
        let Agent { server_name, tls, login, .. } = agent;
        let same_mode = tls.mode.is_none() || tls.mode == self.tls;
        let same_authority = tls.ca_file.is_none() || tls.ca_file == self.ca_file;
        let same_mechanism = login.mechanism.is_none() || login.mechanism == self.mechanism;
        server_name.is_none() && same_mode && same_authority && same_mechanism
    }

    fn give_to(&self, agent: &mut Agent) {
        agent.login.username = Some(self.username.clone());
        agent.login.password = Some(Source::Here(self.password.clone()));
        agent.login.mechanism = agent.login.mechanism.or(self.mechanism);
        agent.tls.mode = agent.tls.mode.or(self.tls);
        if agent.tls.ca_file.is_none() && agent.tls.mode != Some(TlsMode::Never) {
            agent.tls.ca_file.clone_from(&self.ca_file);
        }
    }
}

const KEYS: &[&str] = &["address", "username", "password", "mechanism", "tls", "ca_file"];

fn parse(text: &str) -> Result<Vec<Kept>, Fault> {
    let mut root = toml_text::read(text)?.table()?;
    root.only(&["credentials"])?;
    let list = root.take("credentials").map_or(Ok(Vec::new()), Node::list)?;
    list.into_iter().map(one).collect()
}

fn one(node: Node) -> Result<Kept, Fault> {
    let mut table = node.table()?;
    table.only(KEYS)?;
    let address = table.need("address")?;
    let line = address.line;
    let address = address.text()?.parse::<Address>();
    Ok(Kept {
        address: address.map_err(|error| fault(line, error.to_string()))?,
        username: table.need("username")?.text()?.to_string(),
        password: Password::from(table.need("password")?.text()?),
        mechanism: table.take("mechanism").map(meaning::mechanism).transpose()?,
        tls: table.take("tls").map(meaning::tls_mode).transpose()?,
        ca_file: table
            .take("ca_file")
            .map(|node| meaning::path(node, Path::new("/")))
            .transpose()?,
    })
}

fn text(kept: &[Kept]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(ROOM));
    text.push_str("# Written by `fnua login` and `fnua logout`.\n");
    for one in kept {
        text.push_str("\n[[credentials]]\n");
        line(&mut text, "address", &one.address.to_string());
        line(&mut text, "username", &one.username);
        line(&mut text, "password", one.password.reveal());
        if let Some(mechanism) = one.mechanism {
            line(&mut text, "mechanism", mechanism.name());
        }
        if let Some(tls) = one.tls {
            line(&mut text, "tls", tls.name());
        }
        if let Some(path) = one.ca_file.as_deref().and_then(Path::to_str) {
            line(&mut text, "ca_file", path);
        }
    }
    text
}

/// A basic string of TOML.
fn line(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push_str(" = \"");
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => text.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push_str("\"\n");
}

#[cfg(unix)]
fn own_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn own_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

/// Opens a file that is the user's alone from its first moment.
#[cfg(unix)]
fn own_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(not(unix))]
fn own_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path)
}

/// A text that grows leaves copies of itself behind, which nobody wipes.
const ROOM: usize = 64 << 10;

#[cfg(test)]
mod tests;
