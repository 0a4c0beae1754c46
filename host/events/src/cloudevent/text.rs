//! JSON as text: escaping, one line, depth. The grammar itself is serde_json's.

use serde_json::value::RawValue;

/// Appends a JSON string.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    // Looks at every byte rather than stopping at the first: that is what the compiler vectorises.
    if !rest.iter().fold(false, |found, byte| found | needs_escape(*byte)) {
        out.extend_from_slice(rest);
        rest = &[];
    }
    while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
        let (plain, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        rest = match tail.split_first() {
            Some((byte, tail)) => {
                push_escaped(out, *byte);
                tail
            }
            None => &[],
        };
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Appends a JSON string of base64.
pub(crate) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    use base64::Engine;
    out.push(b'"');
    let at = out.len();
    let length = bytes.len().div_ceil(3) * 4;
    out.resize(at + length, b'=');
    if let Some(room) = out.get_mut(at..) {
        // The room is exactly what padded base64 takes.
        if base64::prelude::BASE64_STANDARD.encode_slice(bytes, room).is_err() {
            out.truncate(at);
        }
    }
    out.push(b'"');
}

/// Appends a decimal number.
pub(crate) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let at = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(at..) {
        digits.reverse();
    }
}

/// Whether these bytes are one JSON value that nests no deeper than `depth`.
pub(crate) fn is_json(bytes: &[u8], depth: usize) -> bool {
    serde_json::from_slice::<&RawValue>(bytes).is_ok() && !nests_deeper(bytes, depth)
}

/// Appends valid JSON on one line: as it is, or without its blanks where it holds line ends.
pub(crate) fn push_on_one_line(out: &mut Vec<u8>, json: &[u8]) {
    // Valid JSON has raw line ends between tokens only.
    if memchr::memchr2(b'\n', b'\r', json).is_none() {
        out.extend_from_slice(json.trim_ascii());
        return;
    }
    let mut strings = Strings::default();
    out.extend(json.iter().filter(|byte| strings.inside(**byte) || !byte.is_ascii_whitespace()));
}

/// Whether valid JSON nests deeper than `depth`.
pub(crate) fn nests_deeper(json: &[u8], depth: usize) -> bool {
    // Brackets in strings count too here, which only means to look closer.
    if memchr::memchr2_iter(b'[', b'{', json).nth(depth).is_none() {
        return false;
    }
    let (mut strings, mut level) = (Strings::default(), 0_usize);
    json.iter().any(|byte| {
        if !strings.inside(*byte) {
            match byte {
                b'[' | b'{' => level += 1,
                b']' | b'}' => level = level.saturating_sub(1),
                _ => {}
            }
        }
        level > depth
    })
}

/// Tells what is inside strings, byte after byte.
#[derive(Default)]
struct Strings {
    open: bool,
    escaped: bool,
}

impl Strings {
    fn inside(&mut self, byte: u8) -> bool {
        let inside = self.open;
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = self.open,
            b'"' => self.open = !self.open,
            _ => {}
        }
        inside
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn push_escaped(out: &mut Vec<u8>, byte: u8) {
    let hex = |digit: u8| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one_line(json: &str) -> String {
        let mut out = Vec::new();
        push_on_one_line(&mut out, json.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn line_ends_between_tokens_are_taken_out_and_strings_stay() {
        assert_eq!(one_line("{\n \"a \\\" b\" : [ 1 ,\r\n 2 ] }\n"), r#"{"a \" b":[1,2]}"#);
        assert_eq!(one_line(r#"{"a": "b  c\n"}"#), r#"{"a": "b  c\n"}"#);
        assert_eq!(one_line("\"a\\\\\"\n"), r#""a\\""#);
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!nests_deeper(nested(128).as_bytes(), 128));
        assert!(nests_deeper(nested(129).as_bytes(), 128));
        assert!(!nests_deeper(format!("[{:?}]", "[".repeat(500)).as_bytes(), 128));
        assert!(!nests_deeper("[]".repeat(500).as_bytes(), 128));
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_its_json_string(text in any::<String>()) {
            let mut out = Vec::new();
            push_string(&mut out, &text);
            prop_assert!(!out.contains(&b'\n'));
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn numbers_are_written_as_the_standard_library_does(number: u64) {
            let mut out = Vec::new();
            push_number(&mut out, number);
            prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }

        #[test]
        fn base64_is_padded(bytes: Vec<u8>) {
            use base64::Engine;
            let mut out = Vec::new();
            push_base64(&mut out, &bytes);
            let text: String = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(base64::prelude::BASE64_STANDARD.decode(text).unwrap(), bytes);
        }
    }
}
