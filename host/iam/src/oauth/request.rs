//! A client's message in OAUTHBEARER (RFC 7628, section 3.1). Keys that nobody knows are passed over.
//!
//! So are `host` and `port`, though the RFC wants them to be the server's: they protect tokens that sign what is asked
//! for, and bearer tokens sign nothing. Whoever has taken one from a client writes what he likes there; against him
//! stand TLS and the token's audience. A host has more names than it knows (aliases, addresses, mapped
//! ports), and would refuse clients that are right.

use zeroize::Zeroizing;

/// What a client asks for.
#[derive(PartialEq, Eq)]
pub struct Request {
    /// Whom the user wants to act as; empty for himself.
    pub authorize: String,
    /// The token.
    pub token: Zeroizing<String>,
}

impl Request {
    /// Reads a message; none where it is none.
    #[must_use]
    pub fn parse(message: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?;
        let (header, rest) = text.split_once('\x01')?;
        let (flag, authorize) = header.strip_suffix(',')?.split_once(',')?;
        if !["n", "y"].contains(&flag) {
            return None;
        }
        let authorize = match authorize {
            "" => "",
            given => given.strip_prefix("a=")?,
        };
        let pairs = rest.strip_suffix("\x01\x01")?;
        let mut token = None;
        for pair in pairs.split('\x01') {
            let (key, value) = pair.split_once('=')?;
            if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return None;
            }
            if key == "auth" && token.replace(bearer(value)?).is_some() {
                return None;
            }
        }
        let authorize = authorize.replace("=2C", ",").replace("=3D", "=");
        Some(Self { authorize, token: Zeroizing::new(token?.to_owned()) })
    }
}

/// The token behind its scheme (RFC 6750, section 2.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let sound = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
    (sound && token.bytes().all(known)).then_some(token)
}

impl std::fmt::Debug for Request {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Request").field("authorize", &self.authorize).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_the_rfc_is_read() {
        let message = b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\
            auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
        let request = Request::parse(message).unwrap();
        assert_eq!(request.authorize, "user@example.com");
        assert_eq!(*request.token, "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
        assert!(!format!("{request:?}").contains("vF9d"));
        assert_eq!(*Request::parse(b"n,,\x01auth=bearer a.b\x01\x01").unwrap().token, "a.b");
        assert!(Request::parse(b"n,,\x01x=a=b\x01auth=Bearer a\x01\x01").is_some());
    }

    #[test]
    fn what_is_none_is_refused() {
        for message in [
            "",
            "\x01",
            "n,,",
            "n,,\x01\x01",
            "n,,\x01auth=Bearer a\x01",
            "n,,\x01auth=Basic a\x01\x01",
            "n,,\x01auth=Bearer \x01\x01",
            "n,,\x01auth=Bearer a b\x01\x01",
            "n,\x01auth=Bearer a\x01\x01",
            "p=x,,\x01auth=Bearer a\x01\x01",
            "n,b=x,\x01auth=Bearer a\x01\x01",
            "n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01",
            "n,,\x01auth\x01auth=Bearer a\x01\x01",
        ] {
            assert_eq!(Request::parse(message.as_bytes()), None, "{message:?}");
        }
        assert_eq!(Request::parse(b"n,,\x01auth=Bearer \xff\x01\x01"), None);
    }
}
