//! Media types as RFC 2045 and 2046 write them: `type/subtype; name=value`.

/// The parts of a valid media type that decide how data travels in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MediaType<'a> {
    kind: &'a str,
    subtype: &'a str,
    charset: Option<&'a str>,
}

impl<'a> MediaType<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (essence, mut rest) = match text.find(';') {
            Some(at) => text.split_at_checked(at)?,
            None => (text, ""),
        };
        let (kind, subtype) = essence.trim_ascii_end().split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut charset = None;
        while let Some(parameter) = rest.strip_prefix(';') {
            let (name, value, after) = split_parameter(parameter.trim_ascii_start())?;
            if name.eq_ignore_ascii_case("charset") {
                charset = charset.or(Some(value));
            }
            rest = after.trim_ascii_start();
        }
        rest.is_empty().then_some(Self { kind, subtype, charset })
    }

    /// `*/json` or `*/*+json`.
    pub(crate) fn is_json(&self) -> bool {
        self.subtype.eq_ignore_ascii_case("json") || has_suffix(self.subtype, "+json")
    }

    /// Characters rather than bytes, so that people can read it in JSON.
    pub(crate) fn is_text(&self) -> bool {
        self.kind.eq_ignore_ascii_case("text")
            || self.subtype.eq_ignore_ascii_case("xml")
            || has_suffix(self.subtype, "+xml")
    }

    /// Whether its characters are UTF-8 (of which ASCII is a part).
    pub(crate) fn is_utf8(&self) -> bool {
        self.charset.is_none_or(|charset| {
            ["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))
        })
    }

    /// `application/cloudevents+json`.
    pub(crate) fn is_cloudevents_json(&self) -> bool {
        self.kind.eq_ignore_ascii_case("application")
            && self.subtype.eq_ignore_ascii_case("cloudevents+json")
    }
}

fn has_suffix(text: &str, suffix: &str) -> bool {
    text.len()
        .checked_sub(suffix.len())
        .and_then(|at| text.split_at_checked(at))
        .is_some_and(|(_, tail)| tail.eq_ignore_ascii_case(suffix))
}

/// Name, value without its quotes (escapes left in), and what follows.
fn split_parameter(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('=')?;
    if !is_token(name) {
        return None;
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        let end = closing_quote(quoted)?;
        let (value, rest) = quoted.split_at_checked(end)?;
        return Some((name, value, rest.strip_prefix('"')?));
    }
    let end = rest.find(|c: char| !is_token_char(c)).unwrap_or(rest.len());
    let (value, rest) = rest.split_at_checked(end)?;
    (!value.is_empty()).then_some((name, value, rest))
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| is_token_char(char::from(byte)))
}

/// RFC 2045 section 5.1: printable ASCII without tspecials.
fn is_token_char(c: char) -> bool {
    let special = matches!(
        c,
        '(' | ')' | '<' | '>' | '@' | ',' | ';' | ':' | '\\' | '"' | '/' | '[' | ']' | '?' | '='
    );
    c.is_ascii_graphic() && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_recognised_by_its_subtype_whatever_the_case_and_parameters() {
        for text in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "text/json",
            "application/vnd.example+json;charset=\"utf-8\"",
            "application/geo+JSON",
        ] {
            assert!(MediaType::parse(text).unwrap().is_json(), "{text}");
        }
        for text in ["text/xml", "application/jsonx", "application/json-seq", "text/plain"] {
            assert!(!MediaType::parse(text).unwrap().is_json(), "{text}");
        }
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        for text in [
            "",
            "xyz",
            "/",
            "a/",
            "/b",
            "a/b/c",
            "a b/c",
            "a/b;",
            "a/b; x",
            "a/b; x=",
            "a/b; =x",
            "a/b; x=\"y",
            "a/b; x=y z",
            "a/b c",
            "\u{e9}/b",
        ] {
            assert!(MediaType::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_charset_decides_whether_text_is_utf_8() {
        let utf8 = |text| MediaType::parse(text).unwrap().is_utf8();
        assert!(utf8("text/plain"));
        assert!(utf8("text/plain; charset=\"UTF-8\""));
        assert!(!utf8("text/plain; format=flowed; charset=iso-8859-1"));
    }
}
