//! The steps as they are printed: a line each, or one JSON object for all.

use std::time::Duration;

use fnap::Name;
use serde_json::{Value, json};

use crate::io::printable;

/// Steps in DNS.
pub(super) const DNS: [&str; 6] = ["delegation", "ptr", "srv", "txt", "dnssec", "addresses"];

/// Steps at the host.
pub(super) const HOST: [&str; 6] =
    ["connect", "tls", "greeting", "authentication", "grant", "first-event"];

/// What a failure means, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) means: &'static str,
    pub(super) todo: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    Well,
    Failed(Advice),
    Skipped,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    step: &'static str,
    status: Status,
    took: Option<Duration>,
    said: String,
    records: Vec<String>,
}

impl Row {
    pub(super) fn well(step: &'static str, took: Duration, said: impl Into<String>) -> Self {
        let (status, said) = (Status::Well, said.into());
        Self { step, status, took: Some(took), said, records: Vec::new() }
    }

    pub(super) fn failed(step: &'static str, said: &str, advice: Advice) -> Self {
        let (status, said) = (Status::Failed(advice), said.to_owned());
        Self { step, status, took: None, said, records: Vec::new() }
    }

    pub(super) fn skipped(step: &'static str, said: &str) -> Self {
        let said = said.to_owned();
        Self { step, status: Status::Skipped, took: None, said, records: Vec::new() }
    }

    pub(super) fn after(self, took: Duration) -> Self {
        Self { took: Some(took), ..self }
    }

    pub(super) fn with(self, records: Vec<String>) -> Self {
        Self { records, ..self }
    }

    const fn word(&self) -> &'static str {
        match self.status {
            Status::Well => "ok",
            Status::Failed(_) => "failed",
            Status::Skipped => "skipped",
        }
    }

    fn milliseconds(&self) -> Option<f64> {
        self.took.map(|took| (took.as_secs_f64() * 10_000.0).round() / 10.0)
    }

    fn json(&self) -> Value {
        let mut object = json!({"step": self.step, "status": self.word()});
        let Some(fields) = object.as_object_mut() else { return object };
        if let Some(milliseconds) = self.milliseconds() {
            fields.insert("ms".to_owned(), milliseconds.into());
        }
        if !self.said.is_empty() {
            fields.insert("said".to_owned(), self.said.clone().into());
        }
        if !self.records.is_empty() {
            fields.insert("records".to_owned(), self.records.clone().into());
        }
        if let Status::Failed(advice) = &self.status {
            fields.insert("means".to_owned(), advice.means.into());
            fields.insert("do".to_owned(), advice.todo.into());
        }
        object
    }
}

/// All steps.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Row>);

impl Rows {
    pub(super) fn push(&mut self, row: Row) {
        self.0.push(row);
    }

    /// Brings the steps into their order, and says of those that are missing that they were skipped.
    pub(super) fn complete(&mut self) {
        for step in DNS.into_iter().chain(HOST) {
            if self.0.iter().all(|row| row.step != step) {
                self.0.push(Row::skipped(step, ""));
            }
        }
        let place = |row: &Row| DNS.iter().chain(&HOST).position(|step| *step == row.step);
        self.0.sort_by_key(place);
    }

    /// The first step that does not work.
    pub(super) fn failed(&self) -> Option<&'static str> {
        let failed = |row: &&Row| matches!(row.status, Status::Failed(_));
        self.0.iter().find(failed).map(|row| row.step)
    }

    pub(super) fn json(&self, flow: &Name) -> String {
        let steps: Vec<Value> = self.0.iter().map(Row::json).collect();
        let good = self.failed().is_none();
        format!("{}\n", json!({"flow": flow.as_str(), "good": good, "steps": steps}))
    }

    pub(super) fn text(&self, flow: &Name) -> String {
        let mut text = format!("{flow}\n");
        for row in &self.0 {
            let took = row.milliseconds().map_or_else(String::new, |ms| format!("{ms:.1} ms"));
            let line =
                format!("{:<8}{:<15}{took:>10}  {}", row.word(), row.step, printable(&row.said));
            let mut say = |line: &str| {
                text.push_str(line.trim_end());
                text.push('\n');
            };
            say(&line);
            for record in &row.records {
                say(&format!("{:8}{}", "", printable(record)));
            }
            if let Status::Failed(Advice { means, todo }) = &row.status {
                say(&format!("{:8}means: {means}", ""));
                say(&format!("{:8}do: {todo}", ""));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let mut rows = Rows::default();
        let advice = Advice { means: "nobody is there", todo: "look again" };
        rows.push(Row::failed("ptr", "gone\u{1b}[2J", advice).after(Duration::from_micros(12_340)));
        let records = vec!["unix.ar.\t300\tIN\tSOA\tns".to_owned()];
        rows.push(Row::well("delegation", Duration::from_millis(2), "zone unix.ar").with(records));
        rows.complete();
        rows
    }

    #[test]
    fn every_step_has_a_line_and_a_failure_says_what_to_do() {
        let text = rows().text(&"a.unix.ar".parse().unwrap());
        let wanted = "\
a.unix.ar
ok      delegation         2.0 ms  zone unix.ar
        unix.ar.\t300\tIN\tSOA\tns
failed  ptr               12.3 ms  gone\u{fffd}[2J
        means: nobody is there
        do: look again
skipped srv
";
        assert!(text.starts_with(wanted), "{text}");
        assert!(text.ends_with("skipped first-event\n"), "{text}");
        assert_eq!(rows().failed(), Some("ptr"));
    }

    #[test]
    fn json_has_all_steps_in_order() {
        let json = rows().json(&"a.unix.ar".parse().unwrap());
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["flow"], &json["good"]), (&"a.unix.ar".into(), &false.into()));
        let steps: Vec<_> =
            json["steps"].as_array().unwrap().iter().map(|row| &row["step"]).collect();
        assert_eq!(steps, DNS.iter().chain(&HOST).collect::<Vec<_>>());
        assert_eq!(json["steps"][1]["do"], "look again");
        assert_eq!(json["steps"][1]["ms"], 12.3);
        assert_eq!(json["steps"][2], json!({"step": "srv", "status": "skipped"}));
    }
}
