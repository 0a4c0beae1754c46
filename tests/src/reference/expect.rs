//! Lines of an example against what a host says: words in angle brackets stand for what is another one each time.

use base64::Engine;
use fnap::command::Timestamp;

/// Whether a host's line is the one that was expected.
///
/// # Panics
/// When there is a placeholder that nobody knows.
pub(super) fn is(expected: &str, found: &str) -> bool {
    let Some((front, name, behind)) = placeholder(expected) else { return expected == found };
    let Some(rest) = found.strip_prefix(front) else { return false };
    // It ends where what follows can begin; the ends of lines are few enough to try each.
    let ends = rest.char_indices().map(|(at, _)| at).skip(1).chain([rest.len()]);
    ends.filter(|end| *end > 0).any(|end| fits(name, &rest[..end]) && is(behind, &rest[end..]))
}

/// The first placeholder of a line, with what stands before it and behind it.
pub(super) fn placeholder(line: &str) -> Option<(&str, &str, &str)> {
    for (at, _) in line.match_indices('<') {
        let (name, behind) = line[at + 1..].split_once('>')?;
        let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == ' ' || c == '-';
        if !name.is_empty() && name.chars().all(sound) {
            return Some((&line[..at], name, behind));
        }
    }
    None
}

/// Whether a text is what a placeholder stands for.
fn fits(name: &str, text: &str) -> bool {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    match name {
        "time" => text.ends_with('Z') && text.parse::<Timestamp>().is_ok(),
        "number" => text.bytes().all(|byte| byte.is_ascii_digit()),
        "lag" => text == "unknown" || text.parse::<f64>().is_ok_and(|number| number >= 0.0),
        "id" => {
            let letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
            text.len() == 16 && text.bytes().all(letter)
        }
        "uuid" => text.len() == 36 && text.chars().all(|c| hex(c) || c == '-'),
        "digest" => matches!(text.len(), 12 | 64) && text.chars().all(hex),
        "hash" => text.len() >= 8 && text.chars().all(hex),
        "version" => text.split('.').count() == 3 && !text.contains(' '),
        "json" => serde_json::from_str::<serde_json::Value>(text).is_ok(),
        "base64" => base64::prelude::BASE64_STANDARD.decode(text).is_ok(),
        "addresses" => text.split(',').all(|one| one.rsplit_once(':').is_some()),
        other => panic!("no placeholder <{other}>"),
    }
}
