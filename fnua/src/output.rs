//! What goes to stdout.

use std::io::{ErrorKind, Write};

use crate::cli::Format;
use crate::connection::Answer;
use crate::error::Error;
use crate::io::printable;
use crate::run::Setting;

/// Writes bytes as they are.
pub(crate) fn bytes(stdout: &mut (dyn Write + Send), bytes: &[u8]) -> Result<(), Error> {
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed)
}

/// Writes what a host answered to one command: its data lines, else what it named.
pub(crate) fn answer(
    stdout: &mut (dyn Write + Send),
    answer: &Answer,
    setting: &Setting,
) -> Result<(), Error> {
    let text = match setting.format {
        Format::Json => json(answer),
        Format::Text | Format::Raw => text(answer),
    };
    let text = if setting.screen {
        text.lines().map(printable).map(|line| line + "\n").collect()
    } else {
        text
    };
    bytes(stdout, text.as_bytes())
}

/// The error for what went wrong on stdout.
pub(crate) fn failed(error: std::io::Error) -> Error {
    if error.kind() == ErrorKind::BrokenPipe { Error::OutputClosed } else { Error::Output(error) }
}

fn text(answer: &Answer) -> String {
    let subject =
        (answer.data.is_empty() && !answer.subject().is_empty()).then(|| answer.subject());
    answer.data.iter().map(String::as_str).chain(subject).map(|line| format!("{line}\n")).collect()
}

/// The host's own JSON where it sent some; else one object that says what it said.
fn json(answer: &Answer) -> String {
    let objects = answer.data.iter().all(|line| line.starts_with('{'));
    if !answer.data.is_empty() && objects {
        return answer.data.iter().map(|line| format!("{line}\n")).collect();
    }
    if answer.data.is_empty() && answer.text == "OK" {
        // An empty list is no object at all; a command without a subject has nothing more to say either.
        return String::new();
    }
    let mut object = serde_json::json!({"code": 220, "text": answer.text});
    if let Some(fields) = object.as_object_mut() {
        if answer.data.is_empty() {
            fields.insert("name".to_owned(), answer.subject().into());
        } else {
            fields.insert("data".to_owned(), answer.data.clone().into());
        }
    }
    format!("{object}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str, data: &[&str]) -> Answer {
        Answer { text: text.to_owned(), data: data.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[test]
    fn a_made_thing_is_named_and_data_is_printed_line_by_line() {
        assert_eq!(text(&answered("OK time.flows.unix.ar", &[])), "time.flows.unix.ar\n");
        assert_eq!(text(&answered("OK", &["flow=a", "type=b"])), "flow=a\ntype=b\n");
        assert_eq!(text(&answered("OK", &[])), "");
    }

    #[test]
    fn json_is_the_hosts_own_or_says_what_it_said() {
        assert_eq!(json(&answered("OK", &["{\"flow\":\"a\"}"])), "{\"flow\":\"a\"}\n");
        assert_eq!(
            json(&answered("OK a.b", &[])),
            "{\"code\":220,\"text\":\"OK a.b\",\"name\":\"a.b\"}\n"
        );
        assert_eq!(
            json(&answered("OK", &["x"])),
            "{\"code\":220,\"text\":\"OK\",\"data\":[\"x\"]}\n"
        );
        assert_eq!(json(&answered("OK", &[])), "");
    }
}
