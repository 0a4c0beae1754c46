//! Whether a text is a URI-reference or an absolute URI of RFC 3986. Nothing is normalised.

use std::net::Ipv6Addr;

/// RFC 3986 section 4.1. Empty is one too; attributes have a rule of their own for that.
pub(crate) fn is_uri_reference(text: &str) -> bool {
    let (before, fragment) = split_once(text, '#');
    let (hier, query) = split_once(before, '?');
    let tail_is_sound = [fragment, query].into_iter().flatten().all(|part| all(part, is_query));
    let rest = match split_scheme(hier) {
        Some((scheme, rest)) if is_scheme(scheme) => rest,
        // A colon in the first segment would be read as a scheme.
        Some(_) => return false,
        None => hier,
    };
    tail_is_sound && is_hierarchy(rest)
}

/// RFC 3986 section 4.3: with a scheme, without a fragment.
pub(crate) fn is_absolute_uri(text: &str) -> bool {
    split_scheme(text).is_some() && !text.contains('#') && is_uri_reference(text)
}

fn split_once(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// What stands before the first colon, where that comes before any slash or question mark.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (before, after) = text.split_once(':')?;
    (!before.contains(['/', '?', '#'])).then_some((before, after))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn is_hierarchy(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("//") else {
        return all(text, is_path);
    };
    let end = rest.find('/').unwrap_or(rest.len());
    rest.split_at_checked(end)
        .is_some_and(|(authority, path)| is_authority(authority) && all(path, is_path))
}

fn is_authority(text: &str) -> bool {
    let (user, host_port) = text.rsplit_once('@').unwrap_or(("", text));
    if !all(user, |byte| is_plain(byte) || byte == b':') {
        return false;
    }
    let (host, port) = match host_port.strip_prefix('[') {
        Some(literal) => {
            let Some((address, port)) = literal.split_once(']') else {
                return false;
            };
            if !is_ip_literal(address) {
                return false;
            }
            match port.strip_prefix(':') {
                Some(port) => ("", port),
                None if port.is_empty() => ("", ""),
                None => return false,
            }
        }
        None => host_port.split_once(':').unwrap_or((host_port, "")),
    };
    all(host, is_plain) && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_ip_literal(text: &str) -> bool {
    let future = |rest: &str| {
        rest.split_once('.').is_some_and(|(version, address)| {
            !version.is_empty()
                && version.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !address.is_empty()
                && address.bytes().all(|byte| is_plain(byte) || byte == b':')
        })
    };
    match text.strip_prefix(['v', 'V']) {
        Some(rest) => future(rest),
        None => text.parse::<Ipv6Addr>().is_ok(),
    }
}

/// Every byte is allowed, or part of a percent-encoded octet.
fn all(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                after
            }
            _ if allowed(first) => after,
            _ => return false,
        };
    }
    true
}

/// unreserved and sub-delims.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'$' | b'&'..=b'.' | b';' | b'=' | b'_' | b'~')
}

fn is_path(byte: u8) -> bool {
    is_plain(byte) || matches!(byte, b':' | b'@' | b'/')
}

fn is_query(byte: u8) -> bool {
    is_path(byte) || byte == b'?'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_references_of_the_rfc_are_taken() {
        for text in [
            "",
            "ftp://ftp.is.co.za/rfc/rfc1808.txt",
            "ldap://[2001:db8::7]/c=GB?objectClass?one",
            "mailto:John.Doe@example.com",
            "tel:+1-816-555-1212",
            "telnet://192.0.2.16:80/",
            "urn:oasis:names:specification:docbook:dtd:xml:4.1.2",
            "urn:nld:oin:00000001823288444000:systeem:BRP-component",
            "urn:nld:gemeente-Bergen%20%28L%29.burgerzakensysteem",
            "/sensors/tn-1234567/alerts",
            "../a?b#c",
            "//user:pw@host:8080/x",
            "http://[v7.a:b]/",
            "1-555-123-4567",
            "a/b:c",
            "?q=a:b",
        ] {
            assert!(is_uri_reference(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_uri_reference_is_refused() {
        for text in [
            "urn:nld:gemeente-Bergen (L)",
            "ht tp://x",
            "1a:b",
            ":a",
            "%",
            "%4",
            "%zz",
            "a#b#c",
            "http://[::1",
            "http://[nonsense]/",
            "http://[::1]x/",
            "http://host:port/",
            "a[b]",
            "\u{e9}",
            "a\\b",
            "a\"b",
            "<a>",
        ] {
            assert!(!is_uri_reference(text), "{text}");
        }
    }

    #[test]
    fn an_absolute_uri_has_a_scheme_and_no_fragment() {
        assert!(is_absolute_uri("https://example.nl/schema/persoon/1?x=1"));
        assert!(is_absolute_uri("urn:a:b"));
        for text in ["", "/schema/1", "schema", "https://example.nl/schema#1", "//example.nl/x"] {
            assert!(!is_absolute_uri(text), "{text}");
        }
    }
}
