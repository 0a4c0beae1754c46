//! What one input line becomes on the wire: an event as it is, or any line wrapped as one.
//!
//! Events are not parsed here, the host does that; only what would break the lines of the protocol, or is
//! plainly no event, is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How input lines are understood.
#[derive(Debug)]
pub(super) enum Form {
    /// Each line is a CloudEvent in JSON.
    Events,
    /// Each line is the data of an event.
    Raw(Wrapper),
}

/// Wraps lines as CloudEvents.
#[derive(Debug)]
pub(super) struct Wrapper {
    // The event's beginning up to its id, and what stands between id and data.
    head: Vec<u8>,
    middle: Vec<u8>,
    count: u64,
    line: Vec<u8>,
}

impl Form {
    /// The line as it is sent, nothing for a blank line, or what is wrong with it.
    pub(super) fn convert<'a>(
        &'a mut self,
        line: &'a [u8],
    ) -> Result<Option<&'a [u8]>, &'static str> {
        match self {
            Self::Events => event(line),
            Self::Raw(wrapper) => Ok(Some(wrapper.wrap(line))),
        }
    }
}

fn event(line: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    let line = line.trim_ascii();
    match (line.first(), line.last()) {
        (None, _) => return Ok(None),
        (Some(b'{'), Some(b'}')) => {}
        (Some(b'['), _) => {
            return Err("a json array, expected one event a line (jq -c '.[]' makes lines of it)");
        }
        (Some(b'{'), _) => {
            return Err(
                "no whole json object on the line, expected one event a line (jq -c . makes lines of them)",
            );
        }
        _ => {
            return Err("no json object, expected one event a line (--format raw wraps any lines)");
        }
    }
    if memchr::memchr(0, line).is_some() {
        return Err("a nul byte");
    }
    match std::str::from_utf8(line) {
        Ok(_) => Ok(Some(line)),
        Err(_) => Err("not utf-8"),
    }
}

impl Wrapper {
    /// For events `id` of the run and a number, with this source and type.
    pub(super) fn new(run: &str, source: &str, r#type: &str) -> Self {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let run = quoted(run);
        let run = run.strip_suffix('"').unwrap_or(&run);
        Self {
            head: format!("{{\"specversion\":\"1.0\",\"id\":{run}-").into_bytes(),
            middle: format!("\",\"source\":{},\"type\":{}", quoted(source), quoted(r#type))
                .into_bytes(),
            count: 0,
            line: Vec::new(),
        }
    }

    fn wrap(&mut self, data: &[u8]) -> &[u8] {
        self.count += 1;
        self.line.clear();
        self.line.extend_from_slice(&self.head);
        self.line.extend_from_slice(self.count.to_string().as_bytes());
        self.line.extend_from_slice(&self.middle);
        match std::str::from_utf8(data) {
            Ok(text) => {
                self.line.extend_from_slice(b",\"datacontenttype\":\"text/plain\",\"data\":");
                // Writing a string into a vector cannot fail.
                drop(serde_json::to_writer(&mut self.line, text));
                self.line.push(b'}');
            }
            Err(_) => {
                self.line.extend_from_slice(
                    b",\"datacontenttype\":\"application/octet-stream\",\"data_base64\":\"",
                );
                self.line.extend_from_slice(STANDARD.encode(data).as_bytes());
                self.line.extend_from_slice(b"\"}");
            }
        }
        &self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_sent_as_it_is_without_blanks_around_it() {
        assert_eq!(event(b" {\"a\": 1}\t\r"), Ok(Some(&b"{\"a\": 1}"[..])));
        assert_eq!(event(b" \r"), Ok(None));
    }

    #[test]
    fn arrays_pretty_json_and_other_things_are_refused() {
        for wrong in [&b"[{}]"[..], b"{", b"  \"a\": 1", b"}", b"hello", b"{\"\xff\"}", b"{\0}"] {
            assert!(event(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn any_line_is_wrapped_as_an_event() {
        let mut wrapper = Wrapper::new("ru\"n", "/a\"b", "t");
        let text: serde_json::Value =
            serde_json::from_slice(wrapper.wrap(b"say \"hi\"\t")).unwrap();
        let wanted = serde_json::json!({"specversion": "1.0", "id": "ru\"n-1", "source": "/a\"b", "type": "t",
            "datacontenttype": "text/plain", "data": "say \"hi\"\t"});
        assert_eq!(text, wanted);
        let bytes: serde_json::Value = serde_json::from_slice(wrapper.wrap(b"\xff\0")).unwrap();
        assert_eq!(
            (bytes["id"].as_str(), bytes["data_base64"].as_str()),
            (Some("ru\"n-2"), Some("/wA="))
        );
    }
}
