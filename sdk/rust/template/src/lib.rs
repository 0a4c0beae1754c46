//! Passes on the events whose type begins with a prefix, and counts them.

use flow_sdk::{Action, Batch, Error, Info, Processor, Setup, log, state};

/// One shard of a processor. What has to last is in the state.
pub struct MyPlugin {
    prefix: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    prefix: String,
}

const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": { "prefix": { "type": "string", "default": "" } }
}"#;

impl Processor for MyPlugin {
    fn describe() -> Info {
        Info::new("my-plugin", env!("CARGO_PKG_VERSION"))
            .summary("passes on the events whose type begins with a prefix")
            .config_schema(SCHEMA)
            .unnamed_dropped()
    }

    fn init(setup: &Setup) -> Result<Self, Error> {
        let Config { prefix } = setup.config()?;
        log::info("ready", &[("prefix", &prefix)]);
        Ok(Self { prefix })
    }

    fn process(&mut self, batch: &Batch) -> Result<Vec<Action>, Error> {
        let begins = |kind: Option<String>| kind.is_some_and(|kind| kind.starts_with(&self.prefix));
        // A column: one call for the whole batch.
        let kinds = (0..).zip(batch.texts("type"));
        let actions: Vec<Action> =
            kinds.filter(|(_, kind)| begins(kind.clone())).map(|(i, _)| Action::forward(i, 0)).collect();
        let seen = state::get(b"seen").and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
        state::set(b"seen", &(seen + actions.len() as u64).to_be_bytes())?;
        Ok(actions)
    }
}

flow_sdk::export!(MyPlugin);

#[cfg(test)]
mod tests {
    use super::*;
    use flow_sdk::Event;
    use flow_sdk::testing::{Batches, Harness};

    #[test]
    fn what_begins_with_the_prefix_goes_on() -> Result<(), Error> {
        let mut plugin = Harness::<MyPlugin>::new(r#"{"prefix":"alert."}"#)?;
        let event = |kind| Event::new("1", "/house", kind);
        let batch = Batches::new().event(event("knock")).event(event("alert.fire")).foreign("no event").build();
        assert_eq!(plugin.process(&batch)?, [Action::forward(1, 0)]);
        Ok(())
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_path() {
        let refusal = Harness::<MyPlugin>::new(r#"{"prefix":7}"#).map(drop).unwrap_err();
        assert_eq!(refusal.to_string(), "prefix: invalid type: integer `7`, expected a string");
    }
}
