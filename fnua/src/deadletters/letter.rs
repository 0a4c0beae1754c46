//! One dead letter, out of a line that READ sent of the flow they lie in.
//!
//! The event comes from strangers, and so may the line: whatever is missing or odd is left out, and only a
//! line that does not say where it stood is no letter.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fnap::log::OneLine;
use serde::Deserialize;
use serde_json::Value;

/// What became of one event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) partition: u32,
    pub(super) offset: u64,
    /// The attributes that are there, without `dead`.
    pub(super) about: Vec<(&'static str, String)>,
}

impl Letter {
    /// Reads a line; none where it does not say where it stood.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        let line: Line<'_> = serde_json::from_slice(line).ok()?;
        let offset = line.flowoffset.parse().ok()?;
        let mut letter = Self { partition: line.flowpartition, offset, about: Vec::new() };
        for (name, value) in line.attributes() {
            let found = (!value.is_null()).then(|| text(value)).or_else(|| line.header(name));
            letter.about.extend(found.map(|value| (name, value)));
        }
        Some(letter)
    }

    /// `0:12`
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.partition, self.offset)
    }

    /// An attribute without its `dead`, empty where it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.about.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// `flow:partition:offset`
    pub(super) fn source(&self) -> String {
        [self.get("flow"), self.get("partition"), self.get("offset")].join(":")
    }

    /// One line for the list: name, time, kind, source, reason.
    pub(super) fn line(&self) -> String {
        let reason = super::glimpse(self.get("reason"));
        let [name, time, kind] = [self.name(), self.field("time"), self.field("kind")];
        let source = OneLine(&self.source()).to_string();
        format!("{name:<8}  {time:<24}  {kind:<8}  {source}  {reason}")
    }

    /// One JSON object for the list.
    pub(super) fn json(&self, open: bool) -> Value {
        let mut object = serde_json::json!({"letter": self.name(), "open": open});
        if let Some(object) = object.as_object_mut() {
            for (name, value) in &self.about {
                object.insert((*name).to_owned(), value.as_str().into());
            }
        }
        object
    }

    fn field(&self, name: &str) -> String {
        OneLine(self.get(name)).to_string()
    }
}

/// As much of a line as is needed; an event's data is passed over.
#[derive(Deserialize)]
struct Line<'a> {
    flowpartition: u32,
    #[serde(borrow)]
    flowoffset: Cow<'a, str>,
    /// Of a record that is no CloudEvent; an event may have an attribute of that name.
    #[serde(default)]
    headers: Value,
    #[serde(default)]
    deadprocessor: Value,
    #[serde(default)]
    deadtype: Value,
    #[serde(default)]
    deadversion: Value,
    #[serde(default)]
    deaddigest: Value,
    #[serde(default)]
    deadflow: Value,
    #[serde(default)]
    deadpartition: Value,
    #[serde(default)]
    deadoffset: Value,
    #[serde(default)]
    deadkind: Value,
    #[serde(default)]
    deadreason: Value,
    #[serde(default)]
    deadtime: Value,
}

impl Line<'_> {
    /// The attributes without their `dead`, in the order they are shown.
    fn attributes(&self) -> [(&'static str, &Value); 10] {
        [
            ("processor", &self.deadprocessor),
            ("type", &self.deadtype),
            ("version", &self.deadversion),
            ("digest", &self.deaddigest),
            ("flow", &self.deadflow),
            ("partition", &self.deadpartition),
            ("offset", &self.deadoffset),
            ("kind", &self.deadkind),
            ("reason", &self.deadreason),
            ("time", &self.deadtime),
        ]
    }

    /// The same of a record that is no CloudEvent: `ce_dead…` among its headers.
    fn header(&self, short: &str) -> Option<String> {
        let mut headers = self.headers.as_array()?.iter();
        let name = |header: &Value| {
            let name = header.get(0).and_then(Value::as_str);
            name.and_then(|name| name.strip_prefix("ce_dead")) == Some(short)
        };
        // The host's own comes last: what the record had before by that name is not believed.
        let value = headers.rfind(|header| name(header))?.get(1)?.as_str()?;
        Some(String::from_utf8_lossy(&STANDARD.decode(value).ok()?).into_owned())
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","deadflow":"a.b","deadpartition":2,"deadoffset":"7","deadkind":"trap","deadreason":"unreachable\nwasm backtrace:\n 0: x","deadtime":"2026-01-31T12:00:00Z","headers":"mine","flowpartition":1,"flowoffset":"12","data":{"deadkind":"no"}}"#;

    #[test]
    fn a_letter_says_where_it_lies_what_happened_and_where_it_came_from() {
        let letter = Letter::of(EVENT.as_bytes()).unwrap();
        assert_eq!((letter.name().as_str(), letter.source().as_str()), ("1:12", "a.b:2:7"));
        let wanted = "1:12      2026-01-31T12:00:00Z      trap      a.b:2:7  unreachable";
        assert_eq!(letter.line(), wanted);
        let json = letter.json(true);
        assert_eq!((&json["letter"], &json["kind"]), (&"1:12".into(), &"trap".into()));
        assert_eq!(json["reason"], "unreachable\nwasm backtrace:\n 0: x");
        assert!(json.get("digest").is_none());
    }

    #[test]
    fn a_record_that_is_no_event_has_them_as_headers_and_the_last_one_counts() {
        let [forged, real] = ["asked", "limit"].map(|text| STANDARD.encode(text));
        let line = format!(
            r#"{{"flowpartition":0,"flowoffset":"3","key_base64":null,"value_base64":"AA==","headers":[["x",null],["ce_deadkind","{forged}"],["ce_deadkind","{real}"],["ce_deadtime",null],7]}}"#
        );
        let letter = Letter::of(line.as_bytes()).unwrap();
        assert_eq!(letter.about, [("kind", "limit".to_owned())]);
    }

    #[test]
    fn a_line_without_a_place_is_no_letter_and_a_hostile_one_steers_nothing() {
        for wrong in ["", "{}", r#"{"flowpartition":-1,"flowoffset":"1"}"#] {
            assert_eq!(Letter::of(wrong.as_bytes()), None, "{wrong}");
        }
        let line = r#"{"flowpartition":0,"flowoffset":"1","deadreason":"a\u001b[2J","deadkind":"\u202e\n"}"#;
        let shown = Letter::of(line.as_bytes()).unwrap().line();
        assert!(!shown.contains(['\u{1b}', '\n', '\u{202e}']), "{shown:?}");
    }
}
