//! The distributor: one flow into several, to all of them or by rules.
//!
//! Events are passed on byte for byte. One that no rule applies to is dropped, by name, unless the
//! configuration says where else it goes.

mod config;

use flow_sdk::rules::{Expression, Rules, Scope};
use flow_sdk::{Action, Batch, Error, Info, Processor, Setup};

use crate::config::Mode;

/// Forwards events to some of its outputs.
#[derive(Debug)]
pub struct Distributor {
    outputs: u32,
    /// None where every event goes to every output.
    router: Option<Router>,
}

#[derive(Debug)]
struct Router {
    expressions: Rules,
    rules: Vec<Rule>,
    mode: Mode,
    otherwise: Vec<u32>,
}

#[derive(Debug)]
struct Rule {
    when: Expression,
    to: Vec<u32>,
}

impl Processor for Distributor {
    fn describe() -> Info {
        Info::new("distributor", env!("CARGO_PKG_VERSION"))
            .summary("sends one flow to several, to all of them or by rules")
            .config_schema(include_str!("schema.json"))
            .many_outputs()
    }

    fn init(setup: &Setup) -> Result<Self, Error> {
        let outputs =
            u32::try_from(setup.outputs.len()).map_err(|_| Error::fatal("too many outputs"))?;
        Ok(Self { outputs, router: config::read(setup)? })
    }

    fn process(&mut self, batch: &Batch) -> Result<Vec<Action>, Error> {
        Ok(match &self.router {
            None => (0..self.outputs).map(Action::forward_all).collect(),
            Some(router) => router.route(batch),
        })
    }
}

impl Router {
    fn route(&self, batch: &Batch) -> Vec<Action> {
        let events = self.expressions.read(batch);
        let mut actions = Vec::with_capacity(batch.len() as usize);
        for index in 0..batch.len() {
            let outputs = self.outputs(&events.at(index));
            if outputs.is_empty() {
                actions.push(Action::drop(index));
            }
            actions.extend(outputs.into_iter().map(|output| Action::forward(index, output)));
        }
        actions
    }

    /// Each output once, in order.
    fn outputs(&self, event: &Scope<'_>) -> Vec<u32> {
        let mut applying = self.rules.iter().filter(|rule| rule.when.matches(event));
        let Some(first) = applying.next() else {
            return self.otherwise.clone();
        };
        let mut outputs = first.to.clone();
        if self.mode == Mode::All {
            outputs.extend(applying.flat_map(|rule| &rule.to));
            outputs.sort_unstable();
            outputs.dedup();
        }
        outputs
    }
}

flow_sdk::export!(Distributor);

#[cfg(test)]
mod tests {
    use super::*;
    use flow_sdk::Event;
    use flow_sdk::testing::{Batches, Harness};

    fn harness(config: &str) -> Result<Harness<Distributor>, Error> {
        Harness::builder().config(config).outputs(&["weak", "strong", "all"]).build()
    }

    /// Magnitudes 1, 5 and 7, and a record that is no event.
    fn quakes() -> Batch {
        let quake = |magnitude: u8| {
            Event::new("1", "/s", "quake")
                .with_json(&serde_json::json!({ "mag": magnitude }))
                .unwrap()
        };
        Batches::new().event(quake(1)).event(quake(5)).event(quake(7)).foreign("x").build()
    }

    fn routes(config: &str) -> Vec<(u32, u32)> {
        let actions = harness(config).unwrap().process(&quakes()).unwrap();
        let route = |action| match action {
            Action::Forward { index, output } => (index, output),
            Action::Drop { index } => (index, DROPPED),
            other => panic!("{other:?}"),
        };
        actions.into_iter().map(route).collect()
    }

    fn refusal(config: &str) -> String {
        harness(config).unwrap_err().to_string()
    }

    const DROPPED: u32 = 99;

    #[test]
    fn without_rules_every_event_goes_to_every_output() {
        let actions = harness("{}").unwrap().process(&quakes()).unwrap();
        assert_eq!(actions, [0, 1, 2].map(Action::forward_all));
    }

    #[test]
    fn an_event_follows_the_first_rule_that_applies_and_is_dropped_without_one() {
        let config = r#"{"rules":[
            {"when":"data.mag >= 5","to":["strong",2]},
            {"when":"data.mag >= 1 && data.mag < 6","to":"weak"}]}"#;
        assert_eq!(routes(config), [(0, 0), (1, 1), (1, 2), (2, 1), (2, 2), (3, DROPPED)]);
    }

    #[test]
    fn in_mode_all_an_event_follows_every_rule_but_reaches_an_output_once() {
        let config = r#"{"mode":"all","rules":[
            {"when":"data.mag >= 5","to":["strong","all"]},
            {"when":"data.mag >= 1","to":["all","weak"]}]}"#;
        let expected =
            [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, DROPPED)];
        assert_eq!(routes(config), expected);
    }

    #[test]
    fn otherwise_says_where_the_rest_goes() {
        let rest = r#"{"rules":[{"when":"data.mag >= 5","to":1}],"otherwise":["weak"]}"#;
        assert_eq!(routes(rest), [(0, 0), (1, 1), (2, 1), (3, 0)]);
        let drop = r#"{"rules":[{"when":"data.mag >= 5","to":1}],"otherwise":"drop"}"#;
        assert_eq!(routes(drop), [(0, DROPPED), (1, 1), (2, 1), (3, DROPPED)]);
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_the_path() {
        let second =
            |rule: &str| refusal(&format!(r#"{{"rules":[{{"when":"true","to":0}},{rule}]}}"#));
        assert!(second(r#"{"when":"(","to":0}"#).starts_with("rules[1].when: Syntax error"));
        assert!(
            second(r#"{"when":"true","to":"x"}"#).starts_with("rules[1].to: no such output: x")
        );
        assert!(
            second(r#"{"when":"true","to":[0,{}]}"#).starts_with("rules[1].to[1]: invalid type")
        );
        assert_eq!(second(r#"{"when":"true"}"#), "rules[1]: missing field `to`");
        assert!(refusal(r#"{"rules":[]}"#).starts_with("rules: 1 to 256 rules"));
        assert_eq!(refusal(r#"{"otherwise":"drop"}"#), "otherwise: says nothing without rules");
        assert!(refusal(r#"{"mode":"any"}"#).starts_with("mode: unknown variant `any`"));
    }

    #[test]
    fn more_than_rules_max_are_refused() {
        let rules = vec![r#"{"when":"true","to":0}"#; 257].join(",");
        let text = refusal(&format!(r#"{{"rules":[{rules}]}}"#));
        assert_eq!(text, "rules: 1 to 256 rules are possible: 257");
    }
}
