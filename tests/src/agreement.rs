//! What plugins make of events at an author's desk (`fnaad plugin run`) and on a host is the same: the included ones, and
//! those of `examples/`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Tools, Wire, eventually, eventually_holds, example, included, unplaced};

/// A plugin with a configuration under which it has something to do with measurements.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Its type.
    pub name: &'static str,
    /// Its configuration.
    pub config: &'static str,
    /// Flows on either side.
    flows: (usize, usize),
    /// What is the same wherever it runs.
    same: Same,
}

#[derive(Clone, Copy, Debug)]
enum Same {
    /// Every event, in order.
    All,
    /// What is said last of each key: how often depends on the batches.
    LastOfKey,
}

/// The included plugins.
pub const INCLUDED: [Subject; 4] = [
    subject("bridge", r#"{"filter": "data.mag >= 3"}"#),
    Subject { flows: (2, 1), ..subject("collector", r#"{"origin-attribute": "origin"}"#) },
    Subject {
        flows: (1, 2),
        ..subject(
            "distributor",
            r#"{"rules": [{"when": "data.mag >= 4", "to": 0}, {"when": "data.mag >= 2", "to": 1}], "mode": "all"}"#,
        )
    },
    subject(
        "signal",
        r#"{"rules": [{"name": "swarm", "when": "data.mag >= 3", "count": {"at-least": 2, "within": 20, "by": "subject"},
            "emit": {"type": "alert.swarm", "subject": "subject", "data": {"magnitude": "data.mag"}}}]}"#,
    ),
];

/// Those of `examples/`, in every language.
pub const EXAMPLES: [Subject; 7] = [
    subject("checksum", "{}"),
    subject("convert", r#"{"convert": [{"field": "mag", "from": "degF", "to": "degC"}]}"#),
    subject("dedup", "{}"),
    Subject { same: Same::LastOfKey, ..subject("keyed-count", "{}") },
    subject("mask", r#"{"fields": ["email"]}"#),
    subject("rate-of-change", r#"{"field": "mag", "per-second": 0.01}"#),
    // Closed by the clock, once the events have come to an end.
    subject("tumbling-window", r#"{"seconds": 600, "sum": "/mag", "idle": 5}"#),
];

const fn subject(name: &'static str, config: &'static str) -> Subject {
    Subject { name, config, flows: (1, 1), same: Same::All }
}

impl Subject {
    /// Its component.
    #[must_use]
    pub fn component(&self) -> Vec<u8> {
        match INCLUDED.iter().any(|plugin| plugin.name == self.name) {
            true => included(self.name).to_vec(),
            false => example(self.name),
        }
    }

    /// Sends the same events through it, here and there, and compares every output.
    pub fn agrees(&self, wire: &mut Wire, name: &str) {
        let (kind, (inputs, outputs)) = (self.name, self.flows);
        let flow = |side: &str, n: usize| format!("{name}-{kind}-{side}{n}.flows.unix.ar");
        let inputs: Vec<String> = (0..inputs).map(|n| flow("in", n)).collect();
        let outputs: Vec<String> = (0..outputs).map(|n| flow("out", n)).collect();
        for flow in inputs.iter().chain(&outputs) {
            wire.ok(&format!("CREATE FLOW {flow}"));
        }
        for (number, input) in inputs.iter().enumerate() {
            wire.write(input, &measurements(number));
        }
        let config = serde_json::from_str::<Value>(self.config).unwrap().to_string();
        let (from, to) = (inputs.join(","), outputs.join(","));
        let processor = flow("p", 0);
        wire.ok(&format!(
            "CREATE PROCESSOR {processor} TYPE {kind} FROM {from} TO {to} CONFIG {config}"
        ));
        let made = self.at_the_desk(wire, &config, (&inputs, &outputs), &processor);
        for (output, expected) in outputs.iter().zip(made) {
            assert!(!expected.is_empty(), "{kind}: nothing in {output}");
            self.compare(wire, output, expected, inputs.len() > 1);
        }
    }

    fn compare(&self, wire: &mut Wire, output: &str, mut expected: Vec<Value>, any_order: bool) {
        if let Same::LastOfKey = self.same {
            let expected = last_of_keys(&expected);
            return eventually(output, || match last_of_keys(&wire.read(output)) {
                found if found == expected => Ok(()),
                found => Err(format!("{found:?}, not {expected:?}")),
            });
        }
        let mut found = eventually_holds(wire, output, expected.len());
        if any_order {
            // Whose turn it is when is not said anywhere.
            let text = |event: &Value| unplaced(event).to_string();
            found.sort_by_key(text);
            expected.sort_by_key(text);
        }
        let [found, expected] =
            [found, expected].map(|events| events.iter().map(unplaced).collect::<Vec<_>>());
        assert_eq!(found, expected, "{}: {output}", self.name);
    }

    /// Events of each output.
    fn at_the_desk(
        &self,
        wire: &mut Wire,
        config: &str,
        (inputs, outputs): (&[String], &[String]),
        processor: &str,
    ) -> Vec<Vec<Value>> {
        let tools = Tools::new();
        let file = tools.file(&format!("{}.wasm", self.name), &self.component());
        let mut args =
            ["run", &file, "--config", config, "--processor", processor, "--idle", "3600"]
                .map(str::to_owned)
                .to_vec();
        for input in inputs {
            let lines: String =
                wire.read(input).iter().map(|event| event.to_string() + "\n").collect();
            let path = tools.file(&format!("{input}.jsonl"), lines.as_bytes());
            args.extend(["--input".to_owned(), format!("{input}={path}")]);
        }
        for output in outputs {
            args.extend(["--output".to_owned(), output.clone()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let said = tools.run(&args, "");
        assert_eq!(said.code, 0, "{}: {said:?}", self.name);
        let mut made = vec![Vec::new(); outputs.len()];
        for line in said.stdout.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["action"] != "dead-letter" {
                let output = usize::try_from(line["output"].as_u64().unwrap()).unwrap();
                assert_eq!(line["flow"], *outputs[output]);
                made[output].push(line["event"].clone());
            }
        }
        made
    }
}

/// Measurements of three things, one a minute; some of them come twice.
fn measurements(input: usize) -> Vec<String> {
    let event = |n: usize| {
        json!({"specversion": "1.0", "id": format!("{input}-{n}"), "source": "/s", "type": "quake", "subject": format!("s{}", n % 3),
            "partitionkey": format!("k{}", n % 4), "time": format!("2026-01-01T00:{:02}:00Z", n % 60),
            "data": {"mag": (n % 6) as f64, "email": "ana@example.org"}})
    };
    (0..40).chain(36..40).map(|n| event(n).to_string()).collect()
}

fn last_of_keys(events: &[Value]) -> BTreeMap<String, Value> {
    let key = |event: &Value| (event["partitionkey"].to_string(), unplaced(event));
    events.iter().map(key).collect()
}
