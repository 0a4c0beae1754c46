//! What is wrong on a host, out of what it says of flows, processors and types.

use serde_json::{Value, json};

use super::{Thing, cell, dead_letters, glimpse, word};

/// States of a processor and a flow that somebody asked for, or that pass by themselves.
const FINE: [&str; 7] =
    ["starting", "running", "paused", "stopped", "active", "creating", "pattern"];

/// One thing that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The flow, processor or file.
    pub(crate) about: String,
    /// What is wrong with it.
    pub(crate) what: String,
}

impl Wrong {
    fn new(about: String, what: String) -> Self {
        Self { about, what }
    }

    pub(crate) fn json(&self) -> Value {
        json!({"about": self.about, "what": self.what})
    }
}

/// Everything that is wrong, processors first.
pub(crate) fn wrong(flows: &[Thing], processors: &[Thing], types: &[Thing]) -> Vec<Wrong> {
    let processors = processors.iter().flat_map(processor);
    let types = types.iter().filter_map(|file| {
        let rejected = word(file, "health") == Some("rejected");
        let reason = glimpse(word(file, "reason").unwrap_or_default());
        rejected.then(|| Wrong::new(cell(file, "file"), format!("refused: {reason}")))
    });
    let flows = flows.iter().filter_map(|flow| {
        let status = word(flow, "status").filter(|status| !FINE.contains(status));
        let what = status.map(crate::io::printable);
        // Its broker does not say what it is asked.
        let what = what.or_else(|| word(flow, "problem").map(glimpse))?;
        Some(Wrong::new(cell(flow, "flow"), what))
    });
    processors.chain(types).chain(flows).collect()
}

fn processor(processor: &Thing) -> Vec<Wrong> {
    let name = cell(processor, "processor");
    let state = word(processor, "state").unwrap_or_default();
    let reason = word(processor, "reason").map(glimpse);
    let mut wrong = Vec::new();
    if !FINE.contains(&state) || reason.is_some() {
        let words = [Some(cell(processor, "state")), reason];
        let words: Vec<String> =
            words.into_iter().flatten().filter(|word| !word.is_empty()).collect();
        wrong.push(Wrong::new(name.clone(), words.join(": ")));
    }
    match dead_letters(processor) {
        None | Some(0) => {}
        Some(1) => wrong.push(Wrong::new(name, "1 dead letter".to_owned())),
        Some(letters) => wrong.push(Wrong::new(name, format!("{letters} dead letters"))),
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn things(value: Value) -> Vec<Thing> {
        value.as_array().unwrap().iter().map(|thing| thing.as_object().unwrap().clone()).collect()
    }

    #[test]
    fn what_somebody_asked_for_is_not_wrong() {
        let processors = ["running", "paused", "stopped", "starting", "pattern"]
            .map(|state| json!({"processor": "p.b", "state": state, "dead-letters": 0}));
        let flows = things(
            json!([{"flow": "a.b", "status": "active"}, {"flow": "c.b", "status": "paused"}]),
        );
        let types = things(json!([{"type": "bridge", "health": "ok"}]));
        assert_eq!(wrong(&flows, &things(json!(processors)), &types), []);
    }

    #[test]
    fn failures_dead_letters_refused_files_and_odd_flows_are_wrong() {
        let processors = things(json!([
            {"processor": "p.b", "state": "failed", "reason": "trap\nwasm backtrace: x", "dead-letters": {"open": 2}},
            {"processor": "q.b", "state": "unknown"},
        ]));
        let types =
            things(json!([{"file": "x.wasm", "health": "rejected", "reason": "no component"}]));
        let flows = things(json!([
            {"flow": "a.b", "status": "deleting"},
            {"flow": "c.b", "status": "active", "problem": "broker k: refused"},
        ]));
        let found = wrong(&flows, &processors, &types);
        let found: Vec<_> =
            found.iter().map(|one| format!("{}: {}", one.about, one.what)).collect();
        let wanted = [
            "p.b: failed: trap",
            "p.b: 2 dead letters",
            "q.b: unknown",
            "x.wasm: refused: no component",
            "a.b: deleting",
            "c.b: broker k: refused",
        ];
        assert_eq!(found, wanted);
    }
}
