//! What the configuration says, and what it means.

use std::collections::{BTreeMap, BTreeSet};

use flow_sdk::rules::{Expression, Rules};
use flow_sdk::{Error, OutputNames, Setup};

use crate::emit::Emission;
use crate::window::Window;

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    rules: Vec<RuleConfig>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleConfig {
    name: String,
    when: String,
    count: Option<CountConfig>,
    emit: EmitConfig,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct CountConfig {
    #[serde(rename = "at-least")]
    at_least: u32,
    within: u32,
    by: Option<String>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct EmitConfig {
    #[serde(rename = "type")]
    event_type: String,
    to: Option<OutputNames>,
    subject: Option<String>,
    data: Option<BTreeMap<String, String>>,
}

/// A rule, compiled.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) when: Expression,
    pub(crate) count: Option<Count>,
    pub(crate) emission: Emission,
}

/// How often a rule has to match before it fires.
#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) window: Window,
    pub(crate) by: Option<Expression>,
}

/// Reads the configuration and compiles its expressions.
pub(crate) fn read(setup: &Setup) -> Result<(Rules, Vec<Rule>), Error> {
    let config: Config = setup.config()?;
    if config.rules.is_empty() || config.rules.len() > RULES_MAX {
        let reason = format!("1 to {RULES_MAX} rules are possible: {}", config.rules.len());
        return Err(Error::config("rules", reason));
    }
    let mut expressions = Rules::new();
    let mut names = BTreeSet::new();
    let mut rules = Vec::new();
    for (index, rule) in config.rules.into_iter().enumerate() {
        let path = format!("rules[{index}]");
        check_name(&rule.name).map_err(|reason| Error::config(&format!("{path}.name"), reason))?;
        if !names.insert(rule.name.clone()) {
            let reason = format!("another rule has this name: {}", rule.name);
            return Err(Error::config(&format!("{path}.name"), reason));
        }
        rules.push(compile(rule, &path, setup, &mut expressions)?);
    }
    Ok((expressions, rules))
}

fn compile(
    rule: RuleConfig,
    path: &str,
    setup: &Setup,
    expressions: &mut Rules,
) -> Result<Rule, Error> {
    let when = expressions.compile(&format!("{path}.when"), &rule.when)?;
    let count = match rule.count {
        Some(count) => Some(compile_count(&count, &rule.name, path, expressions)?),
        None => None,
    };
    let emission = compile_emission(rule.emit, rule.name, path, setup, expressions)?;
    Ok(Rule { when, count, emission })
}

fn compile_count(
    count: &CountConfig,
    rule: &str,
    path: &str,
    expressions: &mut Rules,
) -> Result<Count, Error> {
    let CountConfig { at_least, within, by } = count;
    if !(1..=AT_LEAST_MAX).contains(at_least) {
        let reason = format!("must be 1 to {AT_LEAST_MAX}: {at_least}");
        return Err(Error::config(&format!("{path}.count.at-least"), reason));
    }
    if !(*at_least..=WITHIN_MAX).contains(within) {
        let reason = format!("must be {at_least} (at-least) to {WITHIN_MAX}: {within}");
        return Err(Error::config(&format!("{path}.count.within"), reason));
    }
    let by = by.as_ref().map(|by| expressions.compile(&format!("{path}.count.by"), by));
    Ok(Count { window: Window::new(rule, *at_least, *within), by: by.transpose()? })
}

fn compile_emission(
    emit: EmitConfig,
    rule: String,
    path: &str,
    setup: &Setup,
    expressions: &mut Rules,
) -> Result<Emission, Error> {
    let EmitConfig { event_type, to, subject, data } = emit;
    if event_type.is_empty() {
        return Err(Error::config(&format!("{path}.emit.type"), "is empty"));
    }
    let to = match to {
        Some(names) => names.resolve(setup, &format!("{path}.emit.to"))?,
        None => (0..).take(setup.outputs.len()).collect(),
    };
    let mut compile =
        |name: &str, source: &str| expressions.compile(&format!("{path}.emit.{name}"), source);
    let subject = subject.map(|source| compile("subject", &source)).transpose()?;
    let member = |(name, source): (String, String)| {
        let expression = compile(&format!("data.{name}"), &source);
        expression.map(|expression| (name, expression))
    };
    let data = data.map(|members| members.into_iter().map(member).collect()).transpose()?;
    let processor = setup.processor.clone();
    Ok(Emission { processor, rule, event_type, to, subject, data })
}

fn check_name(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=NAME_MAX).contains(&name.len());
    if !fits || name.starts_with('-') || !name.bytes().all(allowed) {
        let reason =
            format!("must be 1 to {NAME_MAX} lower-case letters, digits and inner hyphens");
        return Err(format!("{reason}: {name:?}"));
    }
    Ok(())
}

/// Each rule is evaluated for each event, so there are not too many of them.
const RULES_MAX: usize = 256;

/// Longest name of a rule: it is part of keys in the state.
const NAME_MAX: usize = 63;

/// Most matches to wait for. Each is a number of eight bytes in the state, read and written with
/// every match.
const AT_LEAST_MAX: u32 = 1000;

/// Longest stretch of events to count within: as many matches can be in the state at once.
const WITHIN_MAX: u32 = 1_000_000;
