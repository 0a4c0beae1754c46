//! One run of a case on a participant: the state before it, the command, and what is seen of both.

use serde_json::{Map, Value, json};
use stories::{Wire, events, eventually, eventually_holds, ids};

/// What a description says that does not differ from one run to the next,
/// beside `option.` and `config.`.
const LOOKED_AT: &[&str] = &[
    "namespace",
    "flow",
    "topic",
    "status",
    "broker",
    "partitions",
    "log",
    "used-by",
    "flows",
    "processor",
    "type",
    "state",
    "from",
    "to",
    "config",
    "desired",
    "dead-letters",
    "from-pattern",
    "to-pattern",
    "taken",
    "pattern",
    "trouble",
];

/// The names of one run.
#[derive(Clone, Copy)]
pub(super) struct Run(pub(super) usize);

impl Run {
    /// With the run's names in place.
    pub(super) fn named(self, line: &str) -> String {
        let mut text = String::new();
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            let domain = if letter == '%' { "example" } else { "flows.unix.ar" };
            match letters.next_if(|next| matches!(letter, '@' | '%') && next.is_ascii_lowercase()) {
                Some(name) => text += &format!("{name}-{}.{domain}", self.0),
                None => text.push(letter),
            }
        }
        text
    }

    /// Without them, as in the case.
    fn unnamed(self, text: &str) -> String {
        without_hashes(&without_ids(text))
            .replace(&format!("-{}.flows.unix.ar", self.0), "")
            .replace(&format!("-{}.dead.flows.unix.ar", self.0), ".dead")
            .replace(&format!("-{}.example", self.0), "")
    }

    fn owns(self, name: &str) -> bool {
        name.split('.').any(|label| label.ends_with(&format!("-{}", self.0)))
    }

    /// Does what a line says; it has to succeed.
    pub(super) fn perform(self, wire: &mut Wire, line: &str) {
        let line = self.subscribed(wire, &self.named(line)).expect("the host lives");
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["HOLDS", flow, count] => drop(eventually_holds(wire, flow, count.parse().unwrap())),
            ["TAKEN", processor, count] => eventually(&line, || {
                let seen = wire.describe(&format!("PROCESSOR {processor}"));
                let taken = seen["events-in"] == count.parse::<u64>().unwrap();
                if taken { Ok(()) } else { Err(seen.to_string()) }
            }),
            ["OPEN", processor, count] => eventually(&line, || {
                let seen = wire.describe(&format!("PROCESSOR {processor}"));
                let letters = &seen["dead-letters"];
                let open = letters["open"] == count.parse::<u64>().unwrap();
                if open && letters["replaying"].is_null() { Ok(()) } else { Err(seen.to_string()) }
            }),
            ["ENDS", processor, from, to, counts] => ends(wire, [processor, from, to], counts),
            _ => {
                let answer = ask(wire, &line).expect("the host lives");
                assert!(answer.starts_with("220 OK"), "{line}: {answer}");
            }
        }
    }

    /// Says a command; its answer without the run's names, or `None` where the host ended.
    pub(super) fn say(self, wire: &mut Wire, command: &str) -> Option<String> {
        let line = self.subscribed(wire, &self.named(command))?;
        ask(wire, &line).map(|answer| self.unnamed(&answer))
    }

    /// With the name of a subscription where `$flow` stands; `None` where the host ended.
    fn subscribed(self, wire: &mut Wire, line: &str) -> Option<String> {
        let Some((front, flow)) = line.split_once('$') else { return Some(line.to_owned()) };
        let rows = subscribers(wire, flow)?;
        Some(format!("{front}{}", rows[0]["subscription"].as_str().unwrap()))
    }

    /// Everything of the run as users see it; `None` where the host ended.
    pub(super) fn view(self, wire: &mut Wire) -> Option<Value> {
        let mut view = Map::new();
        for list in ["NAMESPACES", "FLOWS", "PROCESSORS"] {
            let answer = wire.try_ask::<&str>(&format!("GET {list}"), &[])?;
            for line in answer {
                let name = line.split(' ').next().unwrap();
                if self.owns(name) {
                    let seen = self.look(wire, &list[..list.len() - 1], name)?;
                    // One that a pattern has made has a hash for its name.
                    let made = seen.get("pattern").map(|_| format!("to {}", seen["to"]));
                    view.insert(made.unwrap_or_else(|| name.to_owned()), seen);
                }
            }
        }
        let text = self.unnamed(&Value::Object(view).to_string());
        Some(serde_json::from_str(&text).unwrap())
    }

    fn look(self, wire: &mut Wire, kind: &str, name: &str) -> Option<Value> {
        let answer = wire.try_ask::<&str>(&format!("DESCRIBE {kind} {name} FORMAT json"), &[])?;
        let Some(Ok(Value::Object(mut seen))) =
            answer.get(1).map(|line| serde_json::from_str(line))
        else {
            return Some(json!(answer));
        };
        seen.retain(|key, _| {
            LOOKED_AT.contains(&key.as_str()) && !(kind == "PROCESSOR" && key == "log")
                || ["option.", "config."].iter().any(|kind| key.starts_with(kind))
        });
        if seen.get("status").is_some_and(|status| status == "active") {
            let answer = wire.try_ask::<&str>(&format!("READ {name} FROM earliest"), &[])?;
            let events = answer.iter().filter_map(|line| serde_json::from_str(line).ok());
            let events: Vec<Value> = events.collect();
            seen.insert("ids".to_owned(), json!(told(&events)));
        }
        if kind == "FLOW" {
            let rows = subscribers(wire, name)?;
            let rows = rows.iter().map(|row| json!([row["state"], row["why"], row["ref"]]));
            seen.insert("subscribers".to_owned(), rows.collect());
        }
        Some(Value::Object(seen))
    }

    /// Takes everything of the run away, patterns first: they would make it again.
    pub(super) fn clean(self, wire: &mut Wire) {
        for seen in wire.json("GET PROCESSORS") {
            let name = seen["processor"].as_str().unwrap();
            if self.owns(name) && seen["from-pattern"].is_string() {
                wire.ok(&format!("DELETE PROCESSOR {name}"));
            }
        }
        for flow in wire.data("GET FLOWS").into_iter().filter(|flow| self.owns(flow)) {
            for row in subscribers(wire, &flow).expect("the host lives") {
                wire.ok(&format!("REMOVE SUBSCRIBER {}", row["subscription"].as_str().unwrap()));
            }
        }
        for (list, kind) in
            [("PROCESSORS", "PROCESSOR"), ("FLOWS", "FLOW"), ("NAMESPACES", "NAMESPACE")]
        {
            for line in wire.data(&format!("GET {list}")) {
                let name = line.split(' ').next().unwrap();
                if self.owns(name) {
                    wire.ok(&format!("DELETE {kind} {name}"));
                }
            }
        }
    }
}

/// Subscriptions to a flow; `None` where the host ended.
fn subscribers(wire: &mut Wire, flow: &str) -> Option<Vec<Value>> {
    let answer = wire.try_ask::<&str>(&format!("GET SUBSCRIBERS {flow} FORMAT json"), &[])?;
    Some(answer.iter().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Names of subscriptions without what is another one each time.
fn without_ids(text: &str) -> String {
    let is_id = |word: &str| {
        word.len() == 16 && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
    };
    let parts: Vec<String> = text
        .split('.')
        .map(|part| match part.rsplit_once(' ') {
            Some((front, word)) if is_id(word) => format!("{front} ID"),
            _ => part.to_owned(),
        })
        .collect();
    parts.join(".")
}

/// Names that a host makes of a type and a hash, without the hash: it follows from the run's names.
fn without_hashes(text: &str) -> String {
    let mut parts = text.split('-');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        plain += if digits == 10 { &part[10..] } else { "-" };
        if digits != 10 {
            plain += part;
        }
    }
    plain
}

/// Ids in an order of their own: partitions take turns as they like. A signal's follows from the run's
/// names.
fn told(events: &[Value]) -> Vec<&str> {
    let mut ids: Vec<&str> =
        ids(events).into_iter().map(|id| if id.len() < 8 { id } else { "a signal" }).collect();
    ids.sort_unstable();
    ids
}

/// One more event is the last to come, and everything before it came as often as one of `counts` says.
fn ends(wire: &mut Wire, [processor, from, to]: [&str; 3], counts: &str) {
    // One for each partition of `from`: both halves have ended then.
    assert_eq!(wire.write(from, &events(100..116)), "220 OK 16 events");
    let seen = eventually(&format!("the end of {to}"), || {
        let read = wire.read(to);
        let last = ids(&read).iter().filter(|id| id.len() == 4).count();
        if last == 16 { Ok(read.len() - 16) } else { Err(format!("{last} of 16 in {to}")) }
    });
    let allowed = counts.split('|').any(|count| count.parse() == Ok(seen));
    assert!(allowed, "{seen} events of {processor}, not {counts}");
}

/// The last line of the answer to a command or WRITE; `None` where the host ended.
fn ask(wire: &mut Wire, line: &str) -> Option<String> {
    let (command, written) = match line.rsplit_once(' ') {
        Some((command, range)) if line.starts_with("WRITE ") => {
            let (first, last) = range.split_once("..").expect("a range");
            (command, events(first.parse().unwrap()..last.parse().unwrap()))
        }
        _ => (line, Vec::new()),
    };
    wire.try_ask(command, &written)?.pop()
}
