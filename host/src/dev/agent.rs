//! `fnua.toml` and `users.toml`: the two ends of one generated password, and whom the user agent believes to be
//! this host.
//!
//! Other agents and users that somebody added stay (their comments do not), and nothing is written
//! where nothing changes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fnap::name::Name;
use host_names::ZoneServers;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::Table;
use zeroize::Zeroizing;

use super::DEFAULT_NAMESPACE;
use crate::files;

/// `fnua.toml`, as it is and as it shall be.
pub(super) struct AgentFile {
    path: PathBuf,
    document: Agents,
    saved: Option<Agents>,
}

#[derive(Clone, Default, PartialEq, Deserialize, Serialize)]
struct Agents {
    #[serde(default)]
    agents: Vec<Agent>,
    #[serde(flatten)]
    rest: Table,
}

#[derive(Clone, Default, PartialEq, Deserialize, Serialize)]
struct Agent {
    name: String,
    #[serde(default)]
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<String>,
    #[serde(default)]
    namespaces: Vec<Name>,
    #[serde(flatten)]
    rest: Table,
}

#[derive(Default, Deserialize, Serialize)]
struct Users {
    #[serde(default)]
    users: Vec<User>,
    #[serde(flatten)]
    rest: Table,
}

#[derive(Deserialize, Serialize)]
struct User {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    verifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scram: Option<String>,
    #[serde(flatten)]
    rest: Table,
}

impl AgentFile {
    /// Reads the file. Where there is none, or no users file, both are made. What an earlier version left out is
    /// added: the authority, and the verifier of SCRAM-SHA-256.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("fnua.toml");
        let saved: Option<Agents> = read(&path)?;
        let mut agents = Self { document: saved.clone().unwrap_or_default(), saved, path };
        let users = dir.join("users.toml");
        let own = agents.own()?;
        match &own.password {
            Some(password) if users.exists() => add_scram(&users, password)?,
            _ => {
                let password = generate()?;
                save_verifiers(&users, &password)?;
                own.username = Some(USER.to_owned());
                own.password = Some(password.to_string());
            }
        }
        // Where somebody wants no tls, an authority would be a contradiction, and refused.
        if own.rest.get("tls").and_then(toml::Value::as_str) != Some("never") {
            own.ca_file.get_or_insert_with(|| AUTHORITY.to_owned());
        }
        Ok(agents)
    }

    /// Adds to the namespaces of the last start; where there were none and none is added, the default.
    /// Gives them all.
    pub(super) fn add_namespaces(&mut self, namespaces: &[Name]) -> Result<Vec<Name>> {
        let own = self.own()?;
        for name in namespaces {
            if !own.namespaces.contains(name) {
                own.namespaces.push(name.clone());
            }
        }
        if own.namespaces.is_empty() {
            own.namespaces.push(DEFAULT_NAMESPACE.parse()?);
        }
        Ok(own.namespaces.clone())
    }

    pub(super) fn set_address(&mut self, address: SocketAddr) -> Result<()> {
        self.own()?.address = address.to_string();
        Ok(())
    }

    /// Has the user agent ask about zones where the host itself asks, and about its own where it has them. What an earlier
    /// start wrote goes; what somebody else has written stays.
    pub(super) fn set_resolved(&mut self, dir: &Path, zones: &[ZoneServers]) -> Result<()> {
        let path = dir.join(RESOLVED);
        let lines = |zone: &ZoneServers| {
            let line = |server| format!("{}={server}", zone.name);
            zone.servers.iter().map(line).collect::<Vec<_>>()
        };
        let now: Vec<String> = zones.iter().flat_map(lines).collect();
        let before = files::read(&path)?.unwrap_or_default();
        let rest = &mut self.document.rest;
        let mut all: Vec<String> = match rest.get(RESOLVE) {
            Some(written) => written.clone().try_into().context("fnua.toml: resolve")?,
            None => Vec::new(),
        };
        all.retain(|one| !before.lines().any(|old| old == one) && !now.contains(one));
        all.extend(now.iter().cloned());
        match all.is_empty() {
            true => drop(rest.remove(RESOLVE)),
            false => drop(rest.insert(RESOLVE.to_owned(), all.into())),
        }
        let text: String = now.iter().map(|line| format!("{line}\n")).collect();
        if text != before { files::replace(&path, text.as_bytes()) } else { Ok(()) }
    }

    pub(super) fn save(&mut self) -> Result<()> {
        if self.saved.as_ref() != Some(&self.document) {
            let text = Zeroizing::new(toml::to_string(&self.document)?);
            files::replace(&self.path, text.as_bytes())?;
            self.saved = Some(self.document.clone());
        }
        Ok(())
    }

    /// Our entry of the list, made where it is missing.
    fn own(&mut self) -> Result<&mut Agent> {
        let agents = &mut self.document.agents;
        if !agents.iter().any(|agent| agent.name == USER) {
            agents.insert(0, Agent { name: USER.to_owned(), ..Agent::default() });
        }
        agents.iter_mut().find(|agent| agent.name == USER).context("no own agent")
    }
}

// The document holds the password.
impl std::fmt::Debug for AgentFile {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("AgentFile").field("path", &self.path).finish_non_exhaustive()
    }
}

fn save_verifiers(path: &Path, password: &str) -> Result<()> {
    let mut document: Users = read(path)?.unwrap_or_default();
    document.users.retain(|user| user.name != USER);
    document.users.push(User {
        name: USER.to_owned(),
        verifier: Some(host_iam::hash_password(password)?),
        scram: Some(host_iam::scram_verifier(password)?),
        rest: Table::new(),
    });
    files::replace(path, toml::to_string(&document)?.as_bytes())
}

/// Adds what SCRAM-SHA-256 needs to a user who has only the other verifier, if it is that of the password.
fn add_scram(path: &Path, password: &str) -> Result<()> {
    let mut document: Users = read(path)?.unwrap_or_default();
    let own = document.users.iter_mut().find(|user| user.name == USER && user.scram.is_none());
    let Some(own) = own else { return Ok(()) };
    let verifier = own.verifier.as_deref().map(host_iam::Verifier::parse).transpose()?;
    if !verifier.is_some_and(|verifier| verifier.accepts(password)) {
        return Ok(());
    }
    own.scram = Some(host_iam::scram_verifier(password)?);
    files::replace(path, toml::to_string(&document)?.as_bytes())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(text) = files::read(path)?.map(Zeroizing::new) else { return Ok(None) };
    // Neither the line (the error's Display) nor a value (its message): it may be the password.
    toml::from_str(&text).map(Some).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        anyhow::anyhow!("{}:{line}: not as it was written here", path.display())
    })
}

fn generate() -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0_u8; PASSWORD_OCTETS]);
    getrandom::fill(bytes.as_mut()).context("random numbers")?;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    Ok(Zeroizing::new(base64::Engine::encode(&engine, bytes.as_ref())))
}

/// The user that is generated, and what its agent is called.
pub(crate) const USER: &str = "dev";

/// The key of the configuration that says whom to ask about a zone, and the file with what was written there.
const RESOLVE: &str = "resolve";
const RESOLVED: &str = "resolve";

/// The authority of the host's certificate, seen from the configuration.
const AUTHORITY: &str = "tls/ca.pem";

/// Random octets of a generated password: 144 bits, nobody guesses that.
const PASSWORD_OCTETS: usize = 18;
