//! Where a host listens: a name or an IP address, and a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The port by habit, when an address names none (fnap has no assigned port).
pub const DEFAULT_PORT: u16 = 61000;

/// `host:port`; an IPv6 address stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// A host and a port that came from elsewhere; none where they make no address.
    pub(crate) fn new(host: &str, port: u16) -> Option<Self> {
        let plain = split(host).is_some_and(|(_, port)| port.is_none()) && port != 0;
        plain.then(|| Self { host: host.to_owned(), port })
    }

    /// Host name or IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether nobody has to be asked where it is.
    pub(crate) fn is_literal(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse::<IpAddr>().is_ok()
    }
}

/// The text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address (host:port, [ipv6]:port): {0}")]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError(text.to_owned());
        let (host, port) = split(text).ok_or_else(wrong)?;
        let port = match port {
            Some(digits) => digits.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?,
            None => DEFAULT_PORT,
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return match after {
            "" => Some((host, None)),
            _ => Some((host, Some(after.strip_prefix(':')?))),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!host.is_empty() && host.bytes().all(plain)).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_with_ports_are_read() {
        for text in ["fnaa.unix.ar:61000", "127.0.0.1:5", "[::1]:61000"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_missing_port_is_the_usual_one() {
        assert_eq!("fnaa.unix.ar".parse::<Address>().unwrap().port(), DEFAULT_PORT);
        assert_eq!("::1".parse::<Address>().unwrap().to_string(), "[::1]:61000");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", ":1", "a:b", "a:0", "a:70000", "[::1", "[x]:1", "a b:1", "a:1:2"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
