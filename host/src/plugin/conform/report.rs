//! The rules, and what came of each.

use std::path::Path;

use host_plugins::Plugin;
use serde::Serialize;

/// A rule of the contract that a component can be held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Rule {
    Name,
    Schema,
    Describe,
    Init,
    InitRefuses,
    Accounts,
    GoesOn,
    NeverTraps,
    Limits,
    Order,
    OddEvents,
    LargeEvent,
    SameAgain,
    Recycling,
    PauseAndResume,
    Destroy,
    StateOutside,
    Ticks,
    TicksAnew,
    Reconfigure,
    ReconfigureRefuses,
    Migrate,
}

impl Rule {
    /// All of them, in the order they are tried.
    const ALL: [(Self, &'static str, &'static str); 22] = [
        (Self::Name, "name", "the file is NAME.wasm, and describe says the same name"),
        (Self::Schema, "schema", "the schema of the configuration is a JSON Schema"),
        (Self::Describe, "describe", "describe says the same each time"),
        (Self::Init, "init", "init takes the configuration, in every shard, each time"),
        (
            Self::InitRefuses,
            "init-refuses",
            "init refuses a configuration that the schema forbids, as `path: reason`",
        ),
        (
            Self::Accounts,
            "accounts",
            "every event is accounted for, and no action names what does not exist",
        ),
        (
            Self::GoesOn,
            "goes-on",
            "ordinary events neither stop the plugin (fatal) nor hold it up (retry)",
        ),
        (
            Self::NeverTraps,
            "never-traps",
            "ordinary events lead to no trap, in batches of 1, 7 and 512",
        ),
        (Self::Limits, "limits", "batches of 1, 7 and 512 stay within the limits"),
        (Self::Order, "order", "events of one key leave in the order in which they came"),
        (
            Self::OddEvents,
            "odd-events",
            "records without data, without headers, that are no CloudEvents, of every type are decided",
        ),
        (
            Self::LargeEvent,
            "large-event",
            "an event of a mebibyte, and one larger than a batch, are decided",
        ),
        (
            Self::SameAgain,
            "same-again",
            "the same batch on the same state is decided in the same way, as after an aborted commit",
        ),
        (
            Self::Recycling,
            "recycling",
            "a fresh instance on the committed state decides as the old one",
        ),
        (
            Self::PauseAndResume,
            "pause-and-resume",
            "pause and resume succeed and change no decision",
        ),
        (Self::Destroy, "destroy", "destroy succeeds, after events and without any"),
        (Self::StateOutside, "state-outside", "state is written only while a batch is processed"),
        (
            Self::Ticks,
            "ticks",
            "a tick is decided within the limits, and all that it answers can be sent",
        ),
        (
            Self::TicksAnew,
            "ticks-anew",
            "a fresh instance on the committed state tells by the clock what the old one would have",
        ),
        (
            Self::Reconfigure,
            "reconfigure",
            "reconfigure takes the configuration that runs, and changes neither state nor decisions by it",
        ),
        (
            Self::ReconfigureRefuses,
            "reconfigure-refuses",
            "reconfigure refuses what init refuses, and goes on with the configuration before",
        ),
        (
            Self::Migrate,
            "migrate",
            "migrate leaves the state of its own version as it is, or refuses it, the same each time",
        ),
    ];
}

/// What came of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Passed,
    Failed,
    NotApplicable,
}

/// Everything that came of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    file: String,
    name: String,
    version: String,
    digest: String,
    ok: bool,
    rules: Vec<Tried>,
}

#[derive(Debug, Serialize)]
struct Tried {
    rule: Rule,
    says: &'static str,
    result: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Report {
    pub(super) fn of(file: &Path, plugin: &Plugin) -> Self {
        Self {
            file: file.display().to_string(),
            name: plugin.info().name.clone(),
            version: plugin.info().version.clone(),
            digest: plugin.digest().to_string(),
            ok: true,
            rules: Vec::new(),
        }
    }

    /// Whether no rule is broken.
    pub(super) fn is_well(&self) -> bool {
        self.ok
    }

    /// The rule holds, or is broken for this reason.
    pub(super) fn held(&mut self, rule: Rule, broken: Option<String>) {
        self.ok &= broken.is_none();
        let result = if broken.is_none() { Verdict::Passed } else { Verdict::Failed };
        self.add(rule, result, broken);
    }

    /// There is nothing to look at.
    pub(super) fn not_applicable(&mut self, rule: Rule, reason: &str) {
        self.add(rule, Verdict::NotApplicable, Some(reason.to_owned()));
    }

    /// There is nothing to look at for any of these.
    pub(super) fn none_applicable(&mut self, rules: &[Rule], reason: &str) {
        rules.iter().for_each(|rule| self.not_applicable(*rule, reason));
    }

    /// No rule that was not looked at can be.
    pub(super) fn rest_is_not_applicable(&mut self, reason: &str) {
        for (rule, ..) in Rule::ALL {
            if !self.rules.iter().any(|tried| tried.rule == rule) {
                self.not_applicable(rule, reason);
            }
        }
    }

    fn add(&mut self, rule: Rule, result: Verdict, reason: Option<String>) {
        let says =
            Rule::ALL.iter().find(|(known, ..)| *known == rule).map_or("", |(_, _, says)| says);
        self.rules.push(Tried { rule, says, result, reason });
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let count = |verdict| self.rules.iter().filter(|tried| tried.result == verdict).count();
        for Tried { rule, says, result, reason } in &self.rules {
            let word = match result {
                Verdict::Passed => "passed",
                Verdict::Failed => "FAILED",
                Verdict::NotApplicable => "n/a",
            };
            let id = Rule::ALL.iter().find(|(known, ..)| known == rule).map_or("", |(_, id, _)| id);
            text += &format!("{word:<7} {id:<19} {says}\n");
            for line in reason.iter().flat_map(|reason| reason.lines()) {
                text += &format!("{:<27} {line}\n", "");
            }
        }
        let [passed, failed, not] =
            [Verdict::Passed, Verdict::Failed, Verdict::NotApplicable].map(count);
        text + &format!(
            "{} {}: {passed} rules hold, {failed} are broken, {not} not applicable\n",
            self.name, self.version
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_the_name_that_json_gives_it() {
        for (rule, id, _) in Rule::ALL {
            assert_eq!(serde_json::to_value(rule).unwrap(), id);
        }
    }
}
