//! The bridge: one flow into another, all of it or what a filter lets through.
//!
//! Without a filter nothing of an event is read; with one, what the filter asks for. An event that
//! the filter does not let through is dropped.

use flow_sdk::rules::{Expression, Rules};
use flow_sdk::{Action, Batch, Error, Info, Processor, Setup};

/// Forwards events.
#[derive(Debug)]
pub struct Bridge {
    filter: Option<Filter>,
}

#[derive(Debug)]
struct Filter {
    rules: Rules,
    expression: Expression,
}

/// What the configuration says.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    filter: Option<String>,
}

impl Processor for Bridge {
    fn describe() -> Info {
        Info::new("bridge", VERSION)
            .summary("forwards one flow to another, all of it or what a filter lets through")
            .config_schema(include_str!("schema.json"))
            .unnamed_dropped()
    }

    fn init(setup: &Setup) -> Result<Self, Error> {
        let config: Config = setup.config()?;
        let filter = config.filter.as_deref().map(Filter::compile).transpose()?;
        Ok(Self { filter })
    }

    fn process(&mut self, batch: &Batch) -> Result<Vec<Action>, Error> {
        Ok(match &self.filter {
            None => vec![Action::forward_all(OUTPUT)],
            Some(filter) => filter.pass(batch),
        })
    }
}

impl Filter {
    fn compile(source: &str) -> Result<Self, Error> {
        let mut rules = Rules::new();
        let expression = rules.compile("filter", source)?;
        Ok(Self { rules, expression })
    }

    fn pass(&self, batch: &Batch) -> Vec<Action> {
        let events = self.rules.read(batch);
        let passed: Vec<Action> = (0..batch.len())
            .filter(|index| self.expression.matches(&events.at(*index)))
            .map(|index| Action::forward(index, OUTPUT))
            .collect();
        if passed.len() == batch.len() as usize {
            return vec![Action::forward_all(OUTPUT)];
        }
        passed
    }
}

flow_sdk::export!(Bridge);

/// A bridge has one output.
const OUTPUT: u32 = 0;

#[cfg(not(feature = "next"))]
const VERSION: &str = env!("CARGO_PKG_VERSION");
#[cfg(feature = "next")]
const VERSION: &str = "0.2.0";

#[cfg(test)]
mod tests {
    use super::*;
    use flow_sdk::Event;
    use flow_sdk::testing::{Batches, Harness};

    fn quakes() -> Batch {
        let quake = |id: &str, magnitude: &str| {
            let data = format!(r#"{{"properties":{{"mag":{magnitude}}}}}"#);
            Event::new(id, "/feed", "quake").with_data("application/json", data)
        };
        Batches::new()
            .event(quake("1", "4.9"))
            .event(quake("2", "5"))
            .foreign("no event")
            .event(quake("3", "6.1"))
            .build()
    }

    fn process(config: &str, batch: &Batch) -> Vec<Action> {
        Harness::<Bridge>::new(config).unwrap().process(batch).unwrap()
    }

    fn refusal(config: &str) -> String {
        Harness::<Bridge>::new(config).unwrap_err().to_string()
    }

    #[test]
    fn without_a_filter_everything_goes_on_in_one_action() {
        assert_eq!(process("{}", &quakes()), [Action::forward_all(0)]);
        assert_eq!(process(r#"{"filter":null}"#, &quakes()), [Action::forward_all(0)]);
    }

    #[test]
    fn a_filter_lets_through_what_it_is_true_for() {
        let strong = process(r#"{"filter":"data.properties.mag >= 5"}"#, &quakes());
        assert_eq!(strong, [Action::forward(1, 0), Action::forward(3, 0)]);
        let foreign = process(r#"{"filter":"type == null"}"#, &quakes());
        assert_eq!(foreign, [Action::forward(2, 0)]);
    }

    #[test]
    fn a_filter_that_lets_all_through_takes_one_action() {
        assert_eq!(process(r#"{"filter":"true"}"#, &quakes()), [Action::forward_all(0)]);
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_the_path() {
        assert_eq!(refusal(r#"{"filter":"typo()"}"#), "filter: unknown function: typo");
        assert_eq!(
            refusal(r#"{"filter":1}"#),
            "filter: invalid type: integer `1`, expected a string"
        );
        assert!(refusal(r#"{"fliter":"true"}"#).starts_with("fliter: unknown field `fliter`"));
    }
}
