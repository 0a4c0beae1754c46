//! SASL: what a client proves itself with, and how challenges and responses travel (RFC 4422).
//!
//! Decodes and encodes; whether a password is right is for others to say. Nothing here shows a
//! secret in an error or in `Debug`, and what may be one is wiped when it is dropped.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Longest user name in octets.
pub const MAX_USER: usize = 255;

/// Longest password in octets: verifiers hash it with a slow function, which must not get a novel.
pub const MAX_PASSWORD: usize = 1024;

/// Longest line of a challenge or a response in octets, as base64 (RFC 4954, section 4): the token of an
/// identity provider fits. An initial response has to fit a command line.
pub const MAX_RESPONSE: usize = 12_288;

/// The line that stands for an empty challenge or response (RFC 4954).
const EMPTY: &str = "=";

/// A response, decoded. May be a password: never shown, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Response(Zeroizing<Vec<u8>>);

impl Response {
    /// Decodes a line: strict base64, or `=` for an empty response.
    ///
    /// # Errors
    /// When it is neither, or longer than [`MAX_RESPONSE`].
    pub fn decode(line: &str) -> Result<Self, MalformedResponse> {
        let bytes = match line {
            "" => return Err(MalformedResponse),
            EMPTY => Vec::new(),
            line if line.len() > MAX_RESPONSE => return Err(MalformedResponse),
            line => STANDARD.decode(line).map_err(|_| MalformedResponse)?,
        };
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// The octets. Not to be logged.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(hidden)")
    }
}

/// The line of a challenge or a response: base64, `=` where it is empty.
#[must_use]
pub fn encode(octets: &[u8]) -> Zeroizing<String> {
    if octets.is_empty() { EMPTY.to_owned().into() } else { STANDARD.encode(octets).into() }
}

/// Who says to be whom, with a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainCredentials {
    authorize: String,
    user: String,
    password: Zeroizing<String>,
}

/// The response is not one of the mechanism. Says nothing more: it may be somebody's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed sasl response")]
pub struct MalformedResponse;

/// The mechanisms of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// A password, as it is (RFC 4616).
    Plain,
    /// A password that never travels (RFC 7677).
    ScramSha256,
    /// A token of an identity provider (RFC 7628).
    OauthBearer,
    /// The client's certificate (RFC 4422, appendix A).
    External,
    /// Nothing (RFC 4505).
    Anonymous,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Plain, Self::ScramSha256, Self::OauthBearer, Self::External, Self::Anonymous];

    /// The mechanism of a name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(name))
    }

    /// Its registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::OauthBearer => "OAUTHBEARER",
            Self::External => "EXTERNAL",
            Self::Anonymous => "ANONYMOUS",
        }
    }
}

impl PlainCredentials {
    /// Credentials of a user who acts as himself.
    ///
    /// # Errors
    /// When a part is empty, too long, or holds a NUL.
    pub fn new(user: &str, password: &str) -> Result<Self, MalformedResponse> {
        Self::checked("", user, password)
    }

    /// Decodes one base64 line; `=` alone stands for an empty response, which PLAIN does not have.
    ///
    /// # Errors
    /// When it is no strict base64 of `authzid NUL authcid NUL passwd` within the limits.
    pub fn decode(line: &str) -> Result<Self, MalformedResponse> {
        let bytes = STANDARD.decode(line).map_err(|_| MalformedResponse)?;
        Self::parse(&Zeroizing::new(bytes))
    }

    /// Takes a decoded response apart.
    ///
    /// # Errors
    /// When it is not `authzid NUL authcid NUL passwd` within the limits.
    pub fn parse(response: &[u8]) -> Result<Self, MalformedResponse> {
        let text = std::str::from_utf8(response).map_err(|_| MalformedResponse)?;
        let mut parts = text.split('\0');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(authorize), Some(user), Some(password), None) => {
                Self::checked(authorize, user, password)
            }
            _ => Err(MalformedResponse),
        }
    }

    /// The base64 line that a client sends.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        let plain = format!("{}\0{}\0{}", self.authorize, self.user, *self.password);
        Zeroizing::new(STANDARD.encode(Zeroizing::new(plain).as_bytes()))
    }

    /// Whom the user wants to act as; empty for himself.
    #[must_use]
    pub fn authorize(&self) -> &str {
        &self.authorize
    }

    /// The user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password. Not to be logged.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    fn checked(authorize: &str, user: &str, password: &str) -> Result<Self, MalformedResponse> {
        let name = |text: &str| text.len() <= MAX_USER && !text.contains(char::is_control);
        let secret = |text: &str| text.len() <= MAX_PASSWORD && !text.contains('\0');
        if user.is_empty() || password.is_empty() {
            return Err(MalformedResponse);
        }
        if !name(authorize) || !name(user) || !secret(password) {
            return Err(MalformedResponse);
        }
        let password = Zeroizing::new(password.to_owned());
        Ok(Self { authorize: authorize.to_owned(), user: user.to_owned(), password })
    }
}

impl fmt::Debug for PlainCredentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PlainCredentials")
            .field("authorize", &self.authorize)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(plain: &[u8]) -> Result<PlainCredentials, MalformedResponse> {
        PlainCredentials::decode(&STANDARD.encode(plain))
    }

    #[test]
    fn the_drafts_token_is_user_test_with_password_test() {
        let credentials = PlainCredentials::decode("AHRlc3QAdGVzdA==").unwrap();
        assert_eq!((credentials.user(), credentials.password()), ("test", "test"));
        assert_eq!(credentials.authorize(), "");
        assert_eq!(*credentials.encode(), "AHRlc3QAdGVzdA==");
        assert_eq!(PlainCredentials::new("test", "test"), Ok(credentials));
    }

    #[test]
    fn a_response_is_strict_base64_or_one_equals_sign() {
        assert_eq!(Response::decode("AHRlc3QAdGVzdA==").unwrap().expose(), b"\0test\0test");
        assert_eq!(Response::decode("=").unwrap().expose(), b"");
        for line in [
            "",
            "==",
            "*",
            "AHRlc3QAdGVzdA",
            "AHRlc3QAdGVzdA== ",
            "AHRlc3QAdGVzdB==",
            "AA=A",
            "\u{e9}",
        ] {
            assert_eq!(Response::decode(line), Err(MalformedResponse), "{line}");
        }
        assert_eq!(format!("{:?}", Response::decode("c2VjcmV0").unwrap()), "(hidden)");
        for octets in [&b""[..], b"\0", b"ab", b"\xff\xfe\xfd"] {
            assert_eq!(Response::decode(&encode(octets)).unwrap().expose(), octets);
        }
    }

    #[test]
    fn a_response_has_at_most_12288_octets_of_base64() {
        let longest = STANDARD.encode(vec![7; MAX_RESPONSE / 4 * 3]);
        assert_eq!(longest.len(), MAX_RESPONSE);
        assert!(Response::decode(&longest).is_ok());
        assert!(Response::decode(&(longest + "AAAA")).is_err());
    }

    #[test]
    fn debug_shows_no_password() {
        let credentials = PlainCredentials::new("ana", "s3cret").unwrap();
        let shown = format!("{credentials:?}");
        assert!(shown.contains("ana") && !shown.contains("s3cret"));
    }

    #[test]
    fn what_is_not_strict_base64_of_three_parts_is_refused() {
        for line in
            ["", "=", "*", "AHRlc3QAdGVzdA", "AHRlc3QAdGVzdA== ", "AHRlc3QAdGVzdB==", "\u{e9}"]
        {
            assert_eq!(PlainCredentials::decode(line), Err(MalformedResponse), "{line}");
        }
        for plain in [&b"a\0b"[..], b"\0\0b", b"\0a\0", b"\0a\0b\0c", b"\0\xff\0b", b"\0a\nb\0c"] {
            assert_eq!(decode(plain), Err(MalformedResponse), "{plain:?}");
        }
        assert_eq!(decode(b"root\0ana\0b").unwrap().authorize(), "root");
    }

    #[test]
    fn a_user_has_at_most_255_octets_and_a_password_at_most_1024() {
        let (user, password) = ("u".repeat(MAX_USER), "p".repeat(MAX_PASSWORD));
        assert!(PlainCredentials::new(&user, &password).is_ok());
        assert!(PlainCredentials::new(&(user.clone() + "u"), &password).is_err());
        assert!(PlainCredentials::new(&user, &(password + "p")).is_err());
    }
}
