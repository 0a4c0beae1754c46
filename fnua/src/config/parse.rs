//! TOML text to [`Config`]: what was written, then what it means.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::{Agent, Config, Credentials, Fault};
use crate::secret::Password;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    #[serde(default)]
    agents: Vec<Spanned<RawAgent>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAgent {
    name: String,
    address: Spanned<String>,
    username: Option<String>,
    password: Option<Password>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default)]
    allow_plaintext: bool,
}

pub(super) fn parse(text: &str) -> Result<Config, Fault> {
    let raw: RawConfig = toml::from_str(text).map_err(|error| Fault {
        line: line_of(text, error.span()),
        // Only the message: the error's own Display repeats the line, which may hold a password.
        reason: unvalued(error.message()),
    })?;
    let mut agents: Vec<Agent> = Vec::new();
    for spanned in raw.agents {
        let span = spanned.span();
        let agent = meaning(spanned.into_inner(), text, &span)?;
        if agents.iter().any(|other| other.name == agent.name) {
            let reason = format!("a second agent named {:?}", agent.name);
            return Err(Fault { line: line_of(text, Some(span)), reason });
        }
        agents.push(agent);
    }
    Ok(Config { agents })
}

fn meaning(raw: RawAgent, text: &str, span: &Range<usize>) -> Result<Agent, Fault> {
    let address_span = raw.address.span();
    let address =
        raw.address.into_inner().parse().map_err(|error: crate::address::AddressError| Fault {
            line: line_of(text, Some(address_span)),
            reason: error.to_string(),
        })?;
    let credentials = match (raw.username, raw.password) {
        (Some(username), Some(password)) => Some(Credentials { username, password }),
        (None, None) => None,
        _ => {
            let reason = format!("agent {:?} needs username and password, or neither", raw.name);
            return Err(Fault { line: line_of(text, Some(span.clone())), reason });
        }
    };
    let namespaces = raw.namespaces.iter().map(|name| name.to_ascii_lowercase()).collect();
    Ok(Agent {
        name: raw.name,
        address,
        credentials,
        namespaces,
        allow_plaintext: raw.allow_plaintext,
    })
}

/// The message without the value that serde quotes in type errors.
fn unvalued(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    match (first.strip_prefix("invalid type: "), first.find(", expected ")) {
        (Some(found), Some(at)) => {
            let kind = found.split([' ', ',']).next().unwrap_or_default();
            format!("invalid type: {kind}{}", first.get(at..).unwrap_or_default())
        }
        _ => first.to_owned(),
    }
}

fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let before = text.get(..span.map_or(0, |span| span.start)).unwrap_or(text);
    before.matches('\n').count() + 1
}
