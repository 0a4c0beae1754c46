//! What the configuration says, and what it means.

use flow_sdk::rules::Rules;
use flow_sdk::{Error, OutputNames, Setup};

use crate::{Router, Rule};

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    rules: Option<Vec<RuleConfig>>,
    mode: Option<Mode>,
    otherwise: Option<OutputNames>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleConfig {
    when: String,
    to: OutputNames,
}

/// Whether one rule is enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// The first rule that applies.
    #[default]
    First,
    /// All rules that apply.
    All,
}

/// Reads the configuration; none where every event goes everywhere.
pub(crate) fn read(setup: &Setup) -> Result<Option<Router>, Error> {
    let config: Config = setup.config()?;
    let Some(rules) = config.rules else {
        return match (config.mode, config.otherwise) {
            (None, None) => Ok(None),
            (Some(_), _) => Err(Error::config("mode", "says nothing without rules")),
            (None, Some(_)) => Err(Error::config("otherwise", "says nothing without rules")),
        };
    };
    if rules.is_empty() || rules.len() > RULES_MAX {
        let reason = format!("1 to {RULES_MAX} rules are possible: {}", rules.len());
        return Err(Error::config("rules", reason));
    }
    let otherwise = match config.otherwise {
        Some(names) if !names.is_word("drop") => names.resolve(setup, "otherwise")?,
        _ => Vec::new(),
    };
    let mut expressions = Rules::new();
    let mut compiled = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let when = expressions.compile(&format!("rules[{index}].when"), &rule.when)?;
        let to = rule.to.resolve(setup, &format!("rules[{index}].to"))?;
        compiled.push(Rule { when, to });
    }
    let mode = config.mode.unwrap_or_default();
    Ok(Some(Router { expressions, rules: compiled, mode, otherwise }))
}

/// Each rule is evaluated for each event, so there are not too many of them.
const RULES_MAX: usize = 256;
