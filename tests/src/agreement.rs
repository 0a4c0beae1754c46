//! What the included plugins make of events at an author's desk (`fnaad plugin run`) and on a host is the same.

use serde_json::{Value, json};

use crate::{Tools, Wire, eventually_holds, unplaced};

/// A plugin, its configuration, and how many flows it has on either side.
const PLUGINS: [(&str, &str, usize, usize); 4] = [
    ("bridge", r#"{"filter": "data.mag >= 3"}"#, 1, 1),
    ("collector", r#"{"origin-attribute": "origin"}"#, 2, 1),
    (
        "distributor",
        r#"{"rules": [{"when": "data.mag >= 4", "to": 0}, {"when": "data.mag >= 2", "to": 1}], "mode": "all"}"#,
        1,
        2,
    ),
    (
        "signal",
        r#"{"rules": [{"name": "swarm", "when": "data.mag >= 3", "count": {"at-least": 2, "within": 20, "by": "subject"},
            "emit": {"type": "alert.swarm", "subject": "subject", "data": {"magnitude": "data.mag"}}}]}"#,
        1,
        1,
    ),
];

/// Sends the same events through each of them, here and there, and compares every output.
pub fn desk_and_host_agree(wire: &mut Wire, name: &str) {
    let tools = Tools::new();
    for (plugin, config, inputs, outputs) in PLUGINS {
        let flow = |side: &str, n: usize| format!("{name}-{plugin}-{side}{n}.flows.unix.ar");
        let inputs: Vec<String> = (0..inputs).map(|n| flow("in", n)).collect();
        let outputs: Vec<String> = (0..outputs).map(|n| flow("out", n)).collect();
        for flow in inputs.iter().chain(&outputs) {
            wire.ok(&format!("CREATE FLOW {flow}"));
        }
        for (number, input) in inputs.iter().enumerate() {
            wire.write(input, &measurements(number));
        }
        let config = serde_json::from_str::<Value>(config).unwrap().to_string();
        let (from, to) = (inputs.join(","), outputs.join(","));
        let processor = flow("p", 0);
        wire.ok(&format!(
            "CREATE PROCESSOR {processor} TYPE {plugin} FROM {from} TO {to} CONFIG {config}"
        ));
        let made = at_the_desk(&tools, wire, (plugin, &config), (&inputs, &outputs), &processor);
        for (output, expected) in outputs.iter().zip(made) {
            assert!(!expected.is_empty(), "{plugin}: nothing in {output}");
            let mut found: Vec<String> =
                eventually_holds(wire, output, expected.len()).iter().map(comparable).collect();
            let mut expected = expected;
            if inputs.len() > 1 {
                // Whose turn it is when is not said anywhere.
                found.sort_unstable();
                expected.sort_unstable();
            }
            assert_eq!(found, expected, "{plugin}: {output}");
        }
    }
}

fn measurements(input: usize) -> Vec<String> {
    let event = |n: usize| {
        json!({"specversion": "1.0", "id": format!("{input}-{n}"), "source": "/s", "type": "quake", "subject": format!("s{}", n % 3),
            "partitionkey": format!("k{}", n % 4), "time": format!("2026-01-01T00:{:02}:00Z", n % 60), "data": {"mag": (n % 6) as f64}})
    };
    (0..40).map(|n| event(n).to_string()).collect()
}

/// Events of each output, as they are compared.
fn at_the_desk(
    tools: &Tools,
    wire: &mut Wire,
    (plugin, config): (&str, &str),
    (inputs, outputs): (&[String], &[String]),
    processor: &str,
) -> Vec<Vec<String>> {
    let file = tools.included(plugin);
    let mut args = vec!["run".to_owned(), file, "--config".to_owned(), config.to_owned()];
    args.extend(["--processor".to_owned(), processor.to_owned()]);
    for input in inputs {
        let lines: String = wire.read(input).iter().map(|event| event.to_string() + "\n").collect();
        let path = tools.file(&format!("{input}.jsonl"), lines.as_bytes());
        args.extend(["--input".to_owned(), format!("{input}={path}")]);
    }
    for output in outputs {
        args.extend(["--output".to_owned(), output.clone()]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let said = tools.run(&args, "");
    assert_eq!(said.code, 0, "{plugin}: {said:?}");
    let mut made = vec![Vec::new(); outputs.len()];
    for line in said.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let output = usize::try_from(line["output"].as_u64().unwrap()).unwrap();
        assert_eq!(line["flow"], *outputs[output]);
        made[output].push(comparable(&line["event"]));
    }
    made
}

fn comparable(event: &Value) -> String {
    unplaced(event).to_string()
}
