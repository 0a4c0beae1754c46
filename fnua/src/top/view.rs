//! One look at a host and what became of its counters, as tables and as JSON.

use std::cmp::Ordering;

use fnap::command::Timestamp;
use serde_json::{Value, json};

use super::rates::{Counters, shown};
use crate::cli::looking::Sort;
use crate::look::table::table;
use crate::look::{
    Thing, Wrong, cell, count, dead_letters, glimpse, lag_seconds, number, word, wrong,
};

/// Things that are wrong are named up to here: the tables are to be seen, too.
const WRONG_LINES: usize = 3;

/// One look.
pub(super) struct View {
    /// Milliseconds since 1970.
    pub(super) time: i64,
    processors: Vec<Row>,
    flows: Vec<Row>,
    wrong: Vec<Wrong>,
}

/// A thing and its rates.
struct Row {
    thing: Thing,
    seen: Option<f64>,
    made: Option<f64>,
}

impl View {
    pub(super) fn new(
        time: i64,
        (flows, processors): (Vec<Thing>, Vec<Thing>),
        now: &Counters,
        before: Option<&Counters>,
        sort: Sort,
    ) -> Self {
        let mut wrong = wrong(&flows, &processors, &[]);
        // One that begins again and again is hardly ever seen as failed.
        for processor in &processors {
            let failed = now.grown(before, ("processor", processor), "failures").unwrap_or(0);
            if failed > 0 && word(processor, "state") != Some("failed") {
                let what = format!("failures since the last look: {failed}; see fnua logs");
                wrong.push(Wrong { about: cell(processor, "processor"), what });
            }
        }
        let row = |key: &'static str, counters: [&'static str; 2]| {
            move |thing: Thing| {
                let [seen, made] = counters.map(|counter| now.rate(before, (key, &thing), counter));
                Row { thing, seen, made }
            }
        };
        let rows = processors.into_iter().map(row("processor", ["events-in", "events-out"]));
        let mut processors: Vec<Row> = rows.collect();
        processors.sort_by(|one, other| order(sort, "processor", one, other));
        let mut flows: Vec<Row> =
            flows.into_iter().map(row("flow", ["events", "events"])).collect();
        flows.sort_by(|one, other| order(sort, "flow", one, other));
        Self { time, processors, flows, wrong }
    }

    /// One line about the whole, and the first things that are wrong.
    pub(super) fn head(&self) -> String {
        let time = Timestamp::from_unix_millis(self.time - self.time.rem_euclid(1000));
        let time = time.map_or_else(String::new, |time| time.to_string());
        let total = |rate: fn(&Row) -> Option<f64>| {
            let rates: Vec<f64> = self.processors.iter().filter_map(rate).collect();
            shown((!rates.is_empty()).then(|| rates.iter().sum()))
        };
        let many = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let processors = many(self.processors.len(), "processor");
        let flows = many(self.flows.len(), "flow");
        let rates = [total(|row| row.seen), total(|row| row.made)];
        let mut text =
            format!("{time}  {processors}, in {}/s out {}/s  {flows}\n", rates[0], rates[1]);
        for Wrong { about, what } in self.wrong.iter().take(WRONG_LINES) {
            text += &format!("! {about}: {what}\n");
        }
        match self.wrong.len().saturating_sub(WRONG_LINES) {
            0 => text,
            more => text + &format!("! and {more} more: fnua status\n"),
        }
    }

    /// The tables; flows are left out beyond a number of lines, processors beyond what is left then.
    pub(super) fn tables(&self, lines: Option<usize>) -> String {
        // Two heads and the line between them.
        let room = lines.map_or(usize::MAX, |lines| lines.saturating_sub(3));
        let flows =
            self.flows.len().min((room / 3).max(room.saturating_sub(self.processors.len())));
        let mut text = String::new();
        let head = [
            "PROCESSOR",
            "STATE",
            " IN/S",
            " OUT/S",
            " LAG",
            " BEHIND",
            " DEAD",
            " FAILED",
            "VERSION",
            "REASON",
        ];
        let rows = self.processors.iter().take(room.saturating_sub(flows));
        table(&mut text, head, &rows.map(Row::processor).collect::<Vec<_>>());
        text.push('\n');
        let rows = self.flows.iter().take(flows);
        let head = ["FLOW", "STATUS", " EVENTS/S", " EVENTS", " PARTITIONS"];
        table(&mut text, head, &rows.map(Row::flow).collect::<Vec<_>>());
        text
    }

    /// One object, with what the host said and the rates.
    pub(super) fn json(&self) -> Value {
        let time = Timestamp::from_unix_millis(self.time).map(Timestamp::with_millis);
        let processors: Vec<Value> = self
            .processors
            .iter()
            .map(|row| {
                row.json(&[("events-in-per-second", row.seen), ("events-out-per-second", row.made)])
            })
            .collect();
        let flows: Vec<Value> =
            self.flows.iter().map(|row| row.json(&[("events-per-second", row.seen)])).collect();
        json!({"time": time, "processors": processors, "flows": flows})
    }
}

impl Row {
    fn processor(&self) -> [String; 10] {
        let thing = &self.thing;
        let [name, state, version] = ["processor", "state", "version"].map(|key| cell(thing, key));
        let [lag, failures] = ["lag-events", "failures"].map(|key| count(number(thing, key)));
        let reason = glimpse(word(thing, "reason").unwrap_or_default());
        let dead = count(dead_letters(thing));
        let (seen, made) = (shown(self.seen), shown(self.made));
        [name, state, seen, made, lag, lag_seconds(thing), dead, failures, version, reason]
    }

    fn flow(&self) -> [String; 5] {
        let [name, status, partitions] =
            ["flow", "status", "partitions"].map(|key| cell(&self.thing, key));
        [name, status, shown(self.seen), count(number(&self.thing, "events")), partitions]
    }

    fn json(&self, rates: &[(&str, Option<f64>)]) -> Value {
        let mut thing = self.thing.clone();
        for (name, rate) in rates {
            thing.insert((*name).to_owned(), json!(rate));
        }
        Value::Object(thing)
    }

    fn failed(&self) -> bool {
        word(&self.thing, "state") == Some("failed")
    }
}

/// Unless by name, what has failed stands first, then the most; what is equal stands by name.
fn order(sort: Sort, key: &str, one: &Row, other: &Row) -> Ordering {
    let most = |value: fn(&Row) -> f64| value(other).total_cmp(&value(one));
    let by = match sort {
        Sort::Name => Ordering::Equal,
        Sort::Lag => other.failed().cmp(&one.failed()).then(most(lag)).then(most(rate)),
        Sort::Rate => other.failed().cmp(&one.failed()).then(most(rate)),
    };
    by.then_with(|| word(&one.thing, key).cmp(&word(&other.thing, key)))
}

fn rate(row: &Row) -> f64 {
    row.seen.unwrap_or_default() + row.made.unwrap_or_default()
}

fn lag(row: &Row) -> f64 {
    number(&row.thing, "lag-events").unwrap_or_default() as f64
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn things(value: Value) -> Vec<Thing> {
        value.as_array().unwrap().iter().map(|thing| thing.as_object().unwrap().clone()).collect()
    }

    fn view(sort: Sort) -> View {
        let processors = |add: u64| {
            things(json!([
                {"processor": "b.x", "state": "running", "events-in": 10 + add, "events-out": add,
                    "lag-events": 7, "lag-seconds": 1.5, "dead-letters": 0, "failures": add / 20, "version": "0.1.0"},
                {"processor": "a.x", "state": "running", "events-in": 0, "events-out": 0},
                {"processor": "c.x", "state": "failed", "events-in": 5, "reason": "gap: x"},
            ]))
        };
        let flows = |events: u64| {
            things(json!([{"flow": "f.x", "status": "active", "partitions": 2, "events": events}]))
        };
        let counters = |at, flows: &[Thing], processors: &[Thing]| {
            let things = [("flow", flows), ("processor", processors)];
            Counters::note(at, &things, &super::super::COUNTERS)
        };
        let start = Instant::now();
        let before = counters(start, &flows(100), &processors(0));
        let (flows, processors) = (flows(300), processors(40));
        let now = counters(start + Duration::from_secs(2), &flows, &processors);
        View::new(1_769_860_800_000, (flows, processors), &now, Some(&before), sort)
    }

    #[test]
    fn processors_and_flows_have_rates_and_what_failed_stands_first() {
        let wanted = "\
PROCESSOR  STATE    IN/S  OUT/S  LAG  BEHIND  DEAD  FAILED  VERSION  REASON
c.x        failed      0      -    -       -     -       -           gap: x
b.x        running    20     20    7   1.5 s     0       2  0.1.0
a.x        running     0      0    -       -     -       -

FLOW  STATUS  EVENTS/S  EVENTS  PARTITIONS
f.x   active       100     300           2
";
        assert_eq!(view(Sort::Lag).tables(None), wanted);
        let head = "2026-01-31T12:00:00Z  3 processors, in 20/s out 20/s  1 flow\n! c.x: failed: gap: x\n\
            ! b.x: failures since the last look: 2; see fnua logs\n";
        assert_eq!(view(Sort::Lag).head(), head);
    }

    #[test]
    fn rows_are_sorted_as_asked_and_cut_to_the_screen() {
        let first = |sort| view(sort).tables(Some(5)).lines().nth(1).unwrap()[..3].to_owned();
        assert_eq!([Sort::Name, Sort::Rate, Sort::Lag].map(first), ["a.x", "c.x", "c.x"]);
        for lines in 0..10 {
            assert!(
                view(Sort::Name).tables(Some(lines)).lines().count() <= lines.max(3),
                "{lines}"
            );
        }
    }

    #[test]
    fn json_has_what_the_host_said_and_the_rates() {
        let json = view(Sort::Name).json();
        assert_eq!(json["processors"][1]["events-in-per-second"], 20.0);
        assert_eq!(json["processors"][1]["lag-events"], 7);
        assert_eq!(json["processors"][2]["events-out-per-second"], Value::Null);
        assert_eq!(json["flows"][0]["events-per-second"], 100.0);
        assert_eq!(json["time"], "2026-01-31T12:00:00.000Z");
    }
}
