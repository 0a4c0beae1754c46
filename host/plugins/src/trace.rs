//! What a trap says: where in the plugin's source it happened, what the plugin said last, and its frames.
//!
//! The engine gives functions and places in the file; lines come from [`crate::lines`], in the slow lane, because going
//! through tables takes milliseconds. Nothing is looked up before something fails.

use std::sync::Arc;

use wasmtime::WasmBacktrace;

use crate::call::MAX_TRAP;
use crate::engine::Engine;
use crate::lines::{Lines, Place, is_foreign};
use crate::log::{cut, is_plain};

/// The engine's words, with a source line behind each frame that has one; the first line says where the plugin's own
/// code was.
pub(crate) async fn told(error: &wasmtime::Error, lines: &Arc<Lines>, engine: &Engine) -> String {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else {
        return cut(&format!("{error:?}"), MAX_TRAP).to_owned();
    };
    let words = frames(trace, &error.root_cause().to_string());
    if lines.is_empty() {
        return words;
    }
    let frames: Vec<_> = trace.frames().iter().map(wasmtime::FrameInfo::module_offset).collect();
    let lines = Arc::clone(lines);
    let found = engine.slow_lane().work(move || lines.find(&frames)).await;
    with_lines(&words, &found.unwrap_or_default())
}

/// The frames as the engine numbers them, and the cause. The engine's own words are not asked for: they expand names that
/// the component's author chose, and a short name may say that it is a very long one.
fn frames(trace: &WasmBacktrace, cause: &str) -> String {
    let mut words = format!("{FRAMES}\n");
    for (number, frame) in trace.frames().iter().enumerate() {
        let at = frame.module_offset().map_or_else(String::new, |at| format!("{at:#8x} - "));
        let module = shown(frame.module().name().unwrap_or("<unknown>"));
        let name = frame.func_name().map(|name| function_name(cut(name, MAX_NAME)));
        let name = name.unwrap_or_else(|| format!("<wasm function {}>", frame.func_index()));
        words.push_str(&format!("  {number:>3}: {at}{module}!{name}\n"));
    }
    words.push_str(&format!("\n{CAUSE}\n    {cause}"));
    words
}

/// What stands before the frames, and what behind them.
pub(crate) const FRAMES: &str = "error while executing at wasm backtrace:";
pub(crate) const CAUSE: &str = "Caused by:";

/// A Rust function's name as its author wrote it; all others as they are.
fn function_name(name: &str) -> String {
    let written = rustc_demangle::demangle(name).to_string();
    shown(&written)
}

/// A name in one line, because a line is a frame.
fn shown(name: &str) -> String {
    cut(name, MAX_NAME).chars().filter(|c| is_plain(*c)).collect()
}

/// Octets of a function's name that are looked at or shown: generic Rust has names of some hundred.
const MAX_NAME: usize = 1024;

/// Everything there is to say, the place first: what shows a line of it only shows that.
pub(crate) fn words(trace: &str, last_words: &str) -> String {
    match trace.split_once('\n') {
        Some((place, trace)) if place.starts_with(AT) => format!("{place}\n{last_words}{trace}"),
        _ => format!("{last_words}{trace}"),
    }
}

/// Frames are numbered in the words, each on a line of its own.
fn with_lines(words: &str, found: &[Option<Place>]) -> String {
    let mut told = String::with_capacity(words.len() + found.len() * 80);
    let (mut frame, mut place) = (0, None);
    for line in words.lines() {
        told.push_str(line);
        if line.trim_start().starts_with(&format!("{frame}: ")) {
            if let Some(Some(Place { file, line: number })) = found.get(frame) {
                told.push_str(&format!(" at {file}:{number}"));
                if place.is_none() && !is_foreign(file) {
                    place = Some(format!("{AT}{file}:{number}{}", function(line)));
                }
            }
            frame += 1;
        }
        told.push('\n');
    }
    told.truncate(told.trim_end().len());
    match place {
        Some(place) => format!("{place}\n{told}"),
        None => told,
    }
}

/// `, in every::seen`, of a frame that has a name.
fn function(frame: &str) -> String {
    match frame.split_once('!') {
        Some((_, name)) if !name.starts_with('<') || name.contains(" as ") => {
            format!(", in {}", without_hash(name))
        }
        _ => String::new(),
    }
}

/// Compilers end the names of functions that are made several times with a hash.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((name, hash))
            if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            name
        }
        _ => name,
    }
}

const AT: &str = "at ";

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = "error while executing at wasm backtrace:\n    0:   0x1f - a.wasm!std::abort\n    1:   0x2f - \
                         a.wasm!every::seen::h6ee16f142399121c\n    2:   0x3f - <unknown>!<wasm function 7>\n\nCaused by:\n    wasm trap";

    fn place(file: &str, line: u64) -> Option<Place> {
        Some(Place { file: file.to_owned(), line })
    }

    #[test]
    fn the_first_line_says_where_the_plugins_own_code_was() {
        let found = [place("/rustc/1/library/std/src/abort.rs", 3), place("src/lib.rs", 7), None];
        let told = with_lines(WORDS, &found);
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines[0], "at src/lib.rs:7, in every::seen");
        assert!(lines[2].ends_with("std::abort at /rustc/1/library/std/src/abort.rs:3"), "{told}");
        assert!(lines[3].ends_with("every::seen::h6ee16f142399121c at src/lib.rs:7"), "{told}");
        assert!(lines[4].ends_with("<wasm function 7>"), "{told}");
        let all = words(&told, "panicked\n");
        assert!(all.starts_with("at src/lib.rs:7, in every::seen\npanicked\nerror while"), "{all}");
    }

    #[test]
    fn without_lines_it_is_what_the_engine_says() {
        assert_eq!(with_lines(WORDS, &[]), WORDS);
        assert_eq!(words(WORDS, "panicked\n"), format!("panicked\n{WORDS}"));
    }

    /// Of 400 octets that say: a tuple of three, thirty times into each other.
    fn expanding() -> String {
        let mut name = "_RINvC1a1f".to_owned();
        let mut before = name.len() - 2;
        name.push_str("TaaaE");
        for _ in 0..30 {
            let at = name.len() - 2;
            name.push_str(&format!("T{0}{0}{0}E", back(before)));
            before = at;
        }
        name.push('E');
        name
    }

    /// A reference to what begins at an octet behind `_R`.
    fn back(at: usize) -> String {
        const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let digit = |n: usize| char::from(DIGITS[n % 62]);
        match at {
            0 => "B_".to_owned(),
            1..=62 => format!("B{}_", digit(at - 1)),
            _ => format!("B{}{}_", digit((at - 1) / 62), digit(at - 1)),
        }
    }

    #[test]
    fn a_name_that_expands_is_cut() {
        let name = expanding();
        assert!(name.len() < 512, "{name}");
        // That it means what it is said to: far more than is shown.
        assert!(rustc_demangle::demangle(&name).to_string().len() > 100 * MAX_NAME);
        let shown = function_name(&name);
        assert!(shown.starts_with("a::f::<(i8, i8, i8), "), "{shown}");
        assert_eq!(shown.len(), MAX_NAME);
        // Names of other languages are never expanded: there, too, a few octets can mean all memory.
        let other = "_Z1fISt5tupleIJS_S0_S0_S1_S1_EEE";
        assert_eq!(function_name(other), other);
    }

    #[test]
    fn a_name_has_nothing_that_a_terminal_obeys_or_that_ends_a_line() {
        assert_eq!(function_name("a\u{1b}[2J\n  1: b\u{9b}\u{202e}c"), "a[2J  1: bc");
        assert_eq!(shown(&"é".repeat(MAX_NAME)).len(), MAX_NAME);
    }
}
