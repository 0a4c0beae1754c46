//! Why something failed, on one line: what a list, a log and an attribute of an event have room for.
//!
//! Leaves the frames of a trap out, which are addresses to most who read it, and says all the rest: a panic has its place on one line and
//! its message on the next.

use crate::trace::{CAUSE, FRAMES};

/// Octets of a reason: what tells a person what happened. Where a processor ran, its log has a trap with all frames.
pub const MAX_REASON: usize = 1024;

/// The words on one line, without the frames of a trap.
#[must_use]
pub fn of(words: &str) -> String {
    // The last one is the host's: what stands before it the guest may have said, mark and all.
    match words.rsplit_once(FRAMES) {
        Some((front, frames)) => {
            let cause = frames.split_once(CAUSE).map_or("", |(_, cause)| cause);
            one_line(&format!("{front} {cause}"), MAX_REASON)
        }
        None => one_line(words, MAX_REASON),
    }
}

/// Whether [`of`] leaves frames out.
#[must_use]
pub fn has_frames(words: &str) -> bool {
    words.contains(FRAMES)
}

/// At most so many octets of the words, each run of blanks, line ends, other control characters and noncharacters one blank. The latter two
/// have no place in an attribute (CloudEvents 1.0.2, "String").
#[must_use]
pub fn one_line(words: &str, most: usize) -> String {
    let mut line = String::new();
    let blank = |c: char| c == ' ' || c.is_control() || is_noncharacter(c);
    for word in words.split(blank).filter(|word| !word.is_empty()) {
        if line.len() > most {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line.truncate(line.floor_char_boundary(most));
    line
}

fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_keeps_its_message_and_loses_its_frames() {
        let trap = "trap: at src/lib.rs:18, in mine::process\nthread panicked at src/lib.rs:18:63:\nno \u{1b}price\n\
                    error while executing at wasm backtrace:\n    0:   0x1f - a.wasm!std::abort\n\n\
                    Caused by:\n    wasm trap: unreachable";
        let wanted = "trap: at src/lib.rs:18, in mine::process thread panicked at src/lib.rs:18:63: no price wasm trap: unreachable";
        assert_eq!(of(trap), wanted);
        let bare = "trap: error while executing at wasm backtrace:\n  0: x\n\nCaused by:\n    wasm trap: unreachable";
        assert_eq!(of(bare), "trap: wasm trap: unreachable");
        let its_own =
            trap.replace("no \u{1b}price", "error while executing at wasm backtrace: no price");
        let wanted =
            wanted.replace("no price", "error while executing at wasm backtrace: no price");
        assert_eq!(of(&its_own), wanted);
    }

    #[test]
    fn a_reason_is_a_line_of_some_length_whatever_the_words_are() {
        assert_eq!(
            of("expected=[\n    0x0,\n] actual=[\n\t0x1,\n]"),
            "expected=[ 0x0, ] actual=[ 0x1, ]"
        );
        let long = of(&"é\n".repeat(MAX_REASON));
        assert!(long.len() <= MAX_REASON && !long.contains('\n'), "{long}");
        assert_eq!(of(&"é".repeat(MAX_REASON)).chars().count(), MAX_REASON / 2);
    }
}
