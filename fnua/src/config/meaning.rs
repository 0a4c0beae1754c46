//! From what was written to [`Config`]: keys, what they need of each other, and where files lie.

use std::path::{Path, PathBuf};

use fnap::Name;
use fnap::sasl::Mechanism;

use super::node::{Node, Table, fault};
use super::{Agent, Certificate, Config, Fault, Login, Source, Tls, TlsMode};
use crate::address::Address;
use crate::secret::Password;

const TOP: &[&str] =
    &["agents", "namespaces", "nameservers", "resolve", "trust_anchor_file", "ca_file"];

const AGENT: &[&str] = &[
    "name",
    "fqdn",
    "address",
    "username",
    "password",
    "password_command",
    "token_file",
    "token_command",
    "certificate_file",
    "key_file",
    "as",
    "mechanism",
    "tls",
    "ca_file",
    "allow_plaintext",
    "prefix",
    "namespaces",
];

const NAMESPACE: &[&str] = &["name", "agent"];

/// `directory` is where files without a full path are looked for: beside the configuration.
pub(super) fn config(root: Node, directory: &Path) -> Result<Config, Fault> {
    let mut root = root.table()?;
    root.only(TOP)?;
    let mut agents: Vec<Agent> = Vec::new();
    for node in root.take("agents").map_or(Ok(Vec::new()), Node::list)? {
        let line = node.line;
        let agent = agent(node.table()?, directory)?;
        if agents.iter().any(|other| other.name == agent.name) {
            return Err(fault(line, format!("a second agent named {:?}", agent.name)));
        }
        agents.push(agent);
    }
    let names = super::names::read(&mut root, directory)?;
    for node in root.take("namespaces").map_or(Ok(Vec::new()), Node::list)? {
        namespace(node.table()?, &mut agents)?;
    }
    Ok(Config { agents, by_chance: false, names })
}

/// The draft's form: a namespace names its agent.
fn namespace(mut table: Table, agents: &mut [Agent]) -> Result<(), Fault> {
    table.only(NAMESPACE)?;
    let name = hosted(table.need("name")?)?;
    let node = table.need("agent")?;
    let line = node.line;
    let wanted = node.text()?;
    let Some(agent) = agents.iter_mut().find(|agent| agent.name == *wanted) else {
        return Err(fault(line, "no agent of that name"));
    };
    agent.namespaces.push(name);
    Ok(())
}

fn agent(mut table: Table, directory: &Path) -> Result<Agent, Fault> {
    table.only(AGENT)?;
    let line = table.line;
    let name = table.need("name")?.text()?.to_string();
    let (address, server_name) = address(&mut table)?;
    let namespaces = table.take("namespaces").map_or(Ok(Vec::new()), Node::list)?;
    let agent = Agent {
        name,
        address,
        server_name,
        at: Vec::new(),
        others: Vec::new(),
        namespaces: namespaces.into_iter().map(hosted).collect::<Result<_, _>>()?,
        prefix: table.take("prefix").map(prefix).transpose()?,
        tls: tls(&mut table, directory)?,
        login: login(&mut table, directory)?,
        origin: None,
    };
    if agent.tls.mode == Some(TlsMode::Never) && agent.login.certificate.is_some() {
        return Err(fault(line, "a client certificate needs tls, and tls = \"never\" is set"));
    }
    Ok(agent)
}

/// Where it listens, and the name that its certificate has to bear.
fn address(table: &mut Table) -> Result<(Address, Option<String>), Fault> {
    let read = |node: Node| {
        let line = node.line;
        let text = node.text()?;
        text.parse::<Address>().map_err(|error| fault(line, error.to_string()))
    };
    let fqdn = table.take("fqdn").map(read).transpose()?;
    let address = table.take("address").map(read).transpose()?;
    match (address, fqdn) {
        (Some(address), fqdn) => Ok((address, fqdn.map(|fqdn| fqdn.host().to_owned()))),
        (None, Some(fqdn)) => Ok((fqdn, None)),
        (None, None) => Err(fault(table.line, "missing field `address`, or `fqdn`")),
    }
}

fn tls(table: &mut Table, directory: &Path) -> Result<Tls, Fault> {
    let line = table.line;
    let mode = table.take("tls").map(tls_mode).transpose()?;
    let ca_file = table.take("ca_file").map(|node| path(node, directory)).transpose()?;
    let plaintext_line = table.entries.iter().find(|entry| entry.key == "allow_plaintext");
    let plaintext_line = plaintext_line.map_or(line, |entry| entry.line);
    let allow_plaintext = table.take("allow_plaintext").map_or(Ok(false), Node::flag)?;
    if allow_plaintext && mode != Some(TlsMode::Never) {
        return Err(fault(plaintext_line, "allow_plaintext goes with tls = \"never\" only"));
    }
    if ca_file.is_some() && mode == Some(TlsMode::Never) {
        return Err(fault(line, "a ca_file, and tls = \"never\": one of them is not meant"));
    }
    Ok(Tls { mode, ca_file, allow_plaintext })
}

pub(super) fn tls_mode(node: Node) -> Result<TlsMode, Fault> {
    let line = node.line;
    let text = node.text()?;
    let known = TlsMode::ALL.into_iter().find(|mode| mode.name() == *text);
    known.ok_or_else(|| fault(line, "tls is one of starttls, implicit, never"))
}

fn login(table: &mut Table, directory: &Path) -> Result<Login, Fault> {
    let line = table.line;
    let username = table.take("username").map(Node::text).transpose()?;
    let username = username.map(|name| name.to_string());
    let said = table.take("password").map(password).transpose()?;
    let password_command = table.take("password_command").map(command).transpose()?;
    let token_file = table.take("token_file").map(|node| path(node, directory)).transpose()?;
    let token_command = table.take("token_command").map(command).transpose()?;
    let password = one(line, "password, password_command", said, password_command)?;
    let token =
        one(line, "token_file, token_command", token_file.map(Source::File), token_command)?;
    if password.is_some() && username.is_none() {
        return Err(fault(line, "a password needs its username"));
    }
    let certificate = certificate(table, directory)?;
    let acts_as = table.take("as").map(Node::text).transpose()?.map(|name| name.to_string());
    let mechanism = table.take("mechanism").map(mechanism).transpose()?;
    let login = Login { username, password, token, certificate, acts_as, mechanism };
    match login.mechanism.and_then(|mechanism| login.lacks(mechanism)) {
        Some(missing) => Err(fault(line, format!("the mechanism needs {missing}"))),
        None => Ok(login),
    }
}

fn one(
    line: usize,
    names: &str,
    first: Option<Source>,
    second: Option<Source>,
) -> Result<Option<Source>, Fault> {
    match (first, second) {
        (Some(_), Some(_)) => Err(fault(line, format!("only one of {names} can be meant"))),
        (first, second) => Ok(first.or(second)),
    }
}

fn certificate(table: &mut Table, directory: &Path) -> Result<Option<Certificate>, Fault> {
    let line = table.line;
    let certificate = table.take("certificate_file").map(|node| path(node, directory));
    let key = table.take("key_file").map(|node| path(node, directory));
    match (certificate.transpose()?, key.transpose()?) {
        (Some(chain), Some(key)) => Ok(Some(Certificate { chain, key })),
        (None, None) => Ok(None),
        _ => Err(fault(line, "certificate_file and key_file go together")),
    }
}

fn password(node: Node) -> Result<Source, Fault> {
    Ok(Source::Here(Password::from(node.text()?)))
}

fn command(node: Node) -> Result<Source, Fault> {
    let line = node.line;
    let words = node.list()?.into_iter().map(|word| Ok(word.text()?.to_string()));
    let words = words.collect::<Result<Vec<_>, Fault>>()?;
    if words.first().is_none_or(String::is_empty) {
        return Err(fault(line, "a command is a list: the program, then its arguments"));
    }
    Ok(Source::Command(words))
}

pub(super) fn mechanism(node: Node) -> Result<Mechanism, Fault> {
    let line = node.line;
    Mechanism::from_name(&node.text()?).ok_or_else(|| {
        let names = Mechanism::ALL.map(Mechanism::name).join(", ");
        fault(line, format!("mechanism is one of {names}"))
    })
}

pub(super) fn path(node: Node, directory: &Path) -> Result<PathBuf, Fault> {
    let line = node.line;
    let text = node.text()?;
    if text.is_empty() {
        return Err(fault(line, "an empty path"));
    }
    if let Some(rest) = text.strip_prefix("~/") {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        let home = home.ok_or_else(|| fault(line, "~ without $HOME"))?;
        return Ok(Path::new(&home).join(rest));
    }
    Ok(directory.join(text.as_str()))
}

fn hosted(node: Node) -> Result<String, Fault> {
    let line = node.line;
    let name: Name = node
        .text()?
        .parse()
        .map_err(|error: fnap::name::NameError| fault(line, error.to_string()))?;
    Ok(name.to_string())
}

/// What stands in front of a remote flow's name makes a local name, so it must be the beginning of one.
fn prefix(node: Node) -> Result<String, Fault> {
    let line = node.line;
    let text = node.text()?.to_ascii_lowercase();
    match format!("{text}x").parse::<Name>() {
        Ok(_) => Ok(text),
        Err(error) => Err(fault(line, error.to_string())),
    }
}
