//! What a component says, as it may be shown: with nothing in it that a terminal obeys, or that looks like words of ours.
//!
//! Names, messages, reasons and configurations are a stranger's. Escapes are shown as Rust writes them; nothing is left out.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write;

use anyhow::{Context, Result};
use host_plugins::is_plain;
use serde::Serialize;

use crate::cli::ListFormat;

/// Prints a report as it was asked for.
pub(crate) fn print<R: Serialize>(
    report: &R,
    text: impl FnOnce(&R) -> String,
    format: ListFormat,
    out: &mut impl Write,
) -> Result<()> {
    match format {
        ListFormat::Json => writeln!(out, "{}", json(serde_json::to_string(report)?)),
        ListFormat::Text => write!(out, "{}", visible(&text(report))),
    }
    .context("stdout")
}

/// In one line.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    written(text, is_plain)
}

/// Where there are more lines (frames, a traceback), each but the first is indented: none begins as ours do.
pub(crate) fn indented(text: &str) -> String {
    visible(text.trim_end()).replace('\n', "\n    ")
}

/// With its lines, for what has our own ones.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    written(text, |c| c == '\n' || is_plain(c))
}

/// JSON on a line, with escapes of its own for what JSON leaves as it is.
pub(crate) fn json(line: String) -> String {
    if line.chars().all(is_plain) {
        return line;
    }
    let mut plain = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if is_plain(c) {
            plain.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            write!(plain, "\\u{unit:04x}").ok();
        }
    }
    plain
}

fn written(text: &str, is_plain: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&is_plain) {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_plain(c) {
            plain.push(c);
        } else if c.is_ascii() {
            plain.extend(c.escape_default());
        } else {
            plain.extend(c.escape_unicode());
        }
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{9b}2J\r\nfnaad: ok\u{7f}\u{202e}\u{2028}ü";

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        let line = r"a\u{1b}[2J\u{9b}2J\r\nfnaad: ok\u{7f}\u{202e}\u{2028}ü";
        assert_eq!(one_line(HOSTILE), line);
        assert_eq!(one_line("as it is"), "as it is");
        assert_eq!(visible(HOSTILE), line.replace(r"\n", "\n"));
        assert_eq!(indented("one\ntwo\u{1b}\n\n"), "one\n    two\\u{1b}");
    }

    #[test]
    fn json_means_the_same_with_more_escapes() {
        let text = serde_json::to_string(HOSTILE).unwrap();
        let plain = json(text.clone());
        assert!(plain.chars().all(is_plain), "{plain}");
        let same = |text: &str| serde_json::from_str::<String>(text).unwrap();
        assert_eq!(same(&plain), same(&text));
        assert_eq!(json("{\"a\":1}".to_owned()), "{\"a\":1}");
    }
}
