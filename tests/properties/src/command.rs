//! The command parser: what it takes it prints so that it takes the same again, and what it refuses it
//! refuses in one short line.

use fnap::command::Command;
use fnap::reply::{Failure, Reply};

/// One command line.
pub fn command(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A line has neither: the decoder sees to it.
    if text.contains(['\n', '\0']) {
        return;
    }
    match text.parse::<Command>() {
        Ok(command) => same_again(&command),
        Err(error) => {
            let reply = Reply::from(Failure::from(error)).to_bytes();
            let line = reply.strip_suffix(b"\r\n").unwrap();
            assert!(line.len() < LONGEST_REFUSAL, "{} bytes", line.len());
            assert!(!line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
    }
}

/// What is printed is one line that means the same.
pub(crate) fn same_again(command: &Command) {
    let printed = command.to_string();
    assert!(!printed.contains(['\n', '\0']), "{printed:?}");
    let again: Command = printed.parse().unwrap_or_else(|error| panic!("{printed:?}: {error}"));
    assert_eq!(again, *command, "{printed:?}");
    assert_eq!(again.to_string(), printed);
}

/// A refusal repeats a word at most, shortened.
const LONGEST_REFUSAL: usize = 512;
