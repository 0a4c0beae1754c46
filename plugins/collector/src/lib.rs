//! The collector: several flows into one, and each event says which flow it came from.
//!
//! A record that is no CloudEvent has no place for that and goes on byte for byte.

use flow_sdk::{Action, Batch, Error, Info, Processor, Setup};

/// Forwards events of all inputs.
#[derive(Debug)]
pub struct Collector {
    origin_attribute: String,
}

/// What the configuration says.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(rename = "origin-attribute", default = "origin_attribute")]
    origin_attribute: String,
}

impl Processor for Collector {
    fn describe() -> Info {
        Info::new("collector", env!("CARGO_PKG_VERSION"))
            .summary("gathers several flows in one and marks where each event came from")
            .config_schema(include_str!("schema.json"))
            .many_inputs()
    }

    fn init(setup: &Setup) -> Result<Self, Error> {
        let Config { origin_attribute } = setup.config()?;
        check_name(&origin_attribute)
            .map_err(|reason| Error::config("origin-attribute", reason))?;
        Ok(Self { origin_attribute })
    }

    fn process(&mut self, batch: &Batch) -> Result<Vec<Action>, Error> {
        if self.origin_attribute.is_empty() {
            return Ok(vec![Action::forward_all(OUTPUT)]);
        }
        let flow = batch.flow();
        // Every event has an id, so its column tells events from other records in one call.
        let ids = batch.attributes("id");
        let mark = |(index, id): (u32, &Option<_>)| match id {
            Some(_) => {
                Action::rewrite(index, OUTPUT).set(&self.origin_attribute, flow.as_str()).into()
            }
            None => Action::forward(index, OUTPUT),
        };
        Ok((0..).zip(&ids).map(mark).collect())
    }
}

/// An extension's name as CloudEvents allow it (section 3), and not one that means something else.
fn check_name(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if name.len() > NAME_MAX {
        return Err(format!("longer than {NAME_MAX}: {name}"));
    }
    if !name.bytes().all(allowed) {
        return Err(format!("only lower-case letters and digits are allowed: {name}"));
    }
    if RESERVED.contains(&name) {
        return Err(format!("is not an extension: {name}"));
    }
    Ok(())
}

fn origin_attribute() -> String {
    "sourceflow".to_owned()
}

flow_sdk::export!(Collector);

/// A collector has one output.
const OUTPUT: u32 = 0;

/// What CloudEvents recommend as the longest attribute name.
const NAME_MAX: usize = 20;

/// The attributes of CloudEvents itself, and the names its formats use beside them.
const RESERVED: [&str; 9] = [
    "data",
    "datacontenttype",
    "dataschema",
    "id",
    "source",
    "specversion",
    "subject",
    "time",
    "type",
];

#[cfg(test)]
mod tests {
    use super::*;
    use flow_sdk::Event;
    use flow_sdk::testing::{Batches, Harness};

    fn harness(config: &str) -> Result<Harness<Collector>, Error> {
        Harness::builder().config(config).inputs(&["a.example", "b.example"]).build()
    }

    fn from_b() -> Batch {
        let event = Event::new("1", "/s", "t").with("sourceflow", "elsewhere.example");
        Batches::new().input(1, "b.example").event(event).foreign("bytes").build()
    }

    #[test]
    fn an_event_says_which_flow_it_came_from_and_a_foreign_record_stays_as_it_is() {
        let actions = harness("{}").unwrap().process(&from_b()).unwrap();
        let marked = Action::rewrite(0, 0).set("sourceflow", "b.example");
        assert_eq!(actions, [marked.into(), Action::forward(1, 0)]);
    }

    #[test]
    fn the_attribute_has_the_name_that_was_configured() {
        let mut collector = harness(r#"{"origin-attribute":"origin"}"#).unwrap();
        let actions = collector.process(&from_b()).unwrap();
        assert_eq!(actions.first(), Some(&Action::rewrite(0, 0).set("origin", "b.example").into()));
    }

    #[test]
    fn an_empty_name_leaves_everything_as_it_is() {
        let mut collector = harness(r#"{"origin-attribute":""}"#).unwrap();
        assert_eq!(collector.process(&from_b()).unwrap(), [Action::forward_all(0)]);
    }

    #[test]
    fn a_name_that_is_no_extension_is_refused_with_its_path() {
        let refusal = |name: &str| {
            let config = format!(r#"{{"origin-attribute":"{name}"}}"#);
            harness(&config).unwrap_err().to_string()
        };
        assert_eq!(refusal("type"), "origin-attribute: is not an extension: type");
        assert!(refusal("source-flow").starts_with("origin-attribute: only lower-case"));
        assert!(refusal(&"x".repeat(21)).starts_with("origin-attribute: longer than 20"));
    }
}
