//! The signal processor: watches flows and emits new events when its rules fire.
//!
//! A rule looks at attributes and JSON data, and fires at once or when it has matched often enough
//! within a number of events. The events that are watched go nowhere.

mod config;
mod emit;
mod window;

use flow_sdk::rules::{Rules, Scope};
use flow_sdk::{Action, Batch, Error, Info, Processor, Setup};

use crate::config::{Count, Rule};

/// Emits events when rules fire.
#[derive(Debug)]
pub struct Signal {
    expressions: Rules,
    rules: Vec<Rule>,
    /// The number of the shard's last event, where a rule counts.
    last: Option<u64>,
}

impl Processor for Signal {
    fn describe() -> Info {
        Info::new("signal", env!("CARGO_PKG_VERSION"))
            .summary("emits new events when rules over attributes and data fire")
            .config_schema(include_str!("schema.json"))
            .many_inputs()
            .many_outputs()
            .unnamed_dropped()
    }

    fn init(setup: &Setup) -> Result<Self, Error> {
        let (expressions, rules) = config::read(setup)?;
        let counts = rules.iter().any(|rule| rule.count.is_some());
        Ok(Self { expressions, rules, last: counts.then(window::last_number) })
    }

    fn process(&mut self, batch: &Batch) -> Result<Vec<Action>, Error> {
        let events = self.expressions.read(batch);
        let mut number = self.last.unwrap_or(0);
        let mut actions = Vec::new();
        for index in 0..batch.len() {
            number = number.saturating_add(1);
            let event = events.at(index);
            for rule in &mut self.rules {
                if let Some(by) = fires(rule, &event, number)? {
                    actions.extend(rule.emission.actions(batch, index, &event, by)?);
                }
            }
        }
        if self.last.is_some() {
            self.last = Some(number);
            window::keep_last_number(number)?;
        }
        for count in self.rules.iter_mut().filter_map(|rule| rule.count.as_mut()) {
            count.window.forget(number)?;
        }
        Ok(actions)
    }
}

/// Whether a rule fires for the event of this number, and the value it counted by.
fn fires(
    rule: &mut Rule,
    event: &Scope<'_>,
    number: u64,
) -> Result<Option<Option<serde_json::Value>>, Error> {
    if !rule.when.matches(event) {
        return Ok(None);
    }
    let Some(Count { window, by }) = &mut rule.count else {
        return Ok(Some(None));
    };
    let Some(by) = by else {
        return Ok(window.count(number, None)?.then_some(None));
    };
    let Some(value) = by.json(event) else {
        return Ok(None);
    };
    Ok(window.count(number, Some(&value.to_string()))?.then_some(Some(value)))
}

flow_sdk::export!(Signal);

#[cfg(test)]
mod tests;
