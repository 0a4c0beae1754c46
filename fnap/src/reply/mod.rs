//! What a host answers: codes, replies, and how they are written on the wire.
//!
//! Nothing that is put into a reply can end its line or look like another reply: what would is
//! replaced here, so that no caller has to think of it.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

mod decode;

pub use decode::{ReplyDecoder, ReplyItem};

/// What stands before the data lines of a READ.
pub const DATA_START: &[u8] = b"220 DATA\r\n";

/// What ends the data lines of a READ that went well.
pub const DATA_END: &[u8] = b"220 OK\r\n";

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal;)*) => {
        /// The number of a reply, and the name that programs may rely on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
            /// A number that this version of the protocol does not know; from other hosts only.
            Other(u16),
        }

        impl Code {
            /// All codes of the protocol.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The three digits.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Other(number) => number,
                }
            }

            /// The word after the digits of an error, `OK` of a success, empty where unknown.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(_) => "",
                }
            }

            /// The code with a number.
            #[must_use]
            pub const fn from_number(number: u16) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    _ => Self::Other(number),
                }
            }
        }
    };
}

codes! {
    /// Success.
    Ok = 220 "OK";
    /// More input is asked for.
    More = 330 "MORE";
    /// Cannot be parsed; the words say at which word.
    BadFormat = 400 "BAD_FORMAT";
    /// The command needs authentication, or it failed.
    AuthRequired = 401 "AUTH_REQUIRED";
    /// This principal may not.
    Forbidden = 403 "FORBIDDEN";
    /// No such flow, namespace, processor, command or mechanism.
    NotFound = 404 "NOT_FOUND";
    /// Idle or too slow.
    Timeout = 408 "TIMEOUT";
    /// Exists already, or is in use.
    Conflict = 409 "CONFLICT";
    /// A line, event or batch over its limit.
    TooLarge = 413 "TOO_LARGE";
    /// The position is not in the log; the words carry `earliest=` and `latest=`.
    OutOfRange = 416 "OUT_OF_RANGE";
    /// Not a valid CloudEvent, or refused by the flow's profile.
    InvalidEvent = 422 "INVALID_EVENT";
    /// Plain-text credentials refused on an open connection.
    TlsRequired = 426 "TLS_REQUIRED";
    /// Quota; the words carry `retry-after=SECONDS`.
    RateLimit = 429 "RATE_LIMIT";
    /// Asked, waits for the owner's word; the words carry `request=`.
    Pending = 450 "PENDING";
    /// A fault of the host, with an incident id.
    ServerErr = 500 "SERVER_ERR";
    /// Known to the protocol, not supported by this host.
    NotImplemented = 501 "NOT_IMPLEMENTED";
    /// The remote agent, broker or name server could not be reached.
    ConnError = 502 "CONN_ERROR";
    /// Shutting down, or the broker is away; try again.
    Unavailable = 503 "UNAVAILABLE";
}

/// An error as it is sent: `404 NOT_FOUND flow time.flows.unix.ar`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct Failure {
    /// What kind of error.
    pub code: Code,
    /// For people, after the code's name.
    pub words: String,
}

impl Failure {
    /// An error with its words.
    pub fn new(code: Code, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }

    fn text(&self) -> String {
        let number = self.code.number();
        let words = [self.code.name(), &self.words];
        let words = words.iter().filter(|word| !word.is_empty());
        words.fold(number.to_string(), |text, word| text + " " + word)
    }
}

/// What answers a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `220` and a text.
    Ok(String),
    /// `220 DATA`, the lines, `220 OK`.
    Data(Vec<String>),
    /// `330` and a text: the host wants more.
    More(String),
    /// An error line.
    Error(Failure),
}

impl Reply {
    /// `220 OK`
    #[must_use]
    pub fn ok() -> Self {
        Self::Ok("OK".to_owned())
    }

    /// `220 OK` and what it is about, such as the name of what was made.
    #[must_use]
    pub fn ok_with(what: impl fmt::Display) -> Self {
        Self::Ok(format!("OK {what}"))
    }

    /// An error with its words.
    pub fn error(code: Code, words: impl Into<String>) -> Self {
        Self::Error(Failure::new(code, words))
    }

    /// A data reply with one line each.
    pub fn data<L: ToString>(lines: impl IntoIterator<Item = L>) -> Self {
        Self::Data(lines.into_iter().map(|line| line.to_string()).collect())
    }

    /// Writes the reply as it goes over the wire.
    pub fn write_to(&self, out: &mut BytesMut) {
        match self {
            // `220 DATA` alone would open a data reply that nothing ends.
            Self::Ok(text) if text.trim().eq_ignore_ascii_case("DATA") => {
                write_line(out, "220 OK DATA");
            }
            Self::Ok(text) => write_line(out, &format!("220 {text}")),
            Self::More(text) => write_line(out, &format!("330 {text}")),
            Self::Error(failure) => write_line(out, &failure.text()),
            Self::Data(lines) => {
                out.put_slice(DATA_START);
                for line in lines {
                    write_data_line(out, line.as_bytes());
                }
                out.put_slice(DATA_END);
            }
        }
    }

    /// The reply as it goes over the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.write_to(&mut out);
        out.freeze()
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        Self::Error(failure)
    }
}

/// Writes one data line with its end. Line ends inside become blanks (in JSON they can only stand
/// between tokens), and what looks like a reply gets a blank in front.
pub fn write_data_line(out: &mut BytesMut, line: &[u8]) {
    out.reserve(line.len() + 3);
    if looks_like_reply(line) {
        out.put_u8(b' ');
    }
    put_without_line_ends(out, line);
    out.put_slice(b"\r\n");
}

/// Writes one event of a WRITE with its line end. A dot alone, which would end the WRITE, gets company: it is
/// no event either way, and the host is to be the one who says so.
pub(crate) fn write_event_line(out: &mut BytesMut, line: &[u8]) {
    out.reserve(line.len() + 3);
    if line.trim_ascii() == b"." {
        out.put_u8(b'.');
    }
    put_without_line_ends(out, line);
    out.put_slice(b"\r\n");
}

/// Three digits and a blank, which no data line begins with.
fn looks_like_reply(line: &[u8]) -> bool {
    matches!(line, [a, b, c, b' ' | b'\t' | b'\r' | b'\n' | 0, ..] if [a, b, c].iter().all(|x| x.is_ascii_digit()))
}

fn write_line(out: &mut BytesMut, text: &str) {
    put_without_line_ends(out, text.trim_end().as_bytes());
    out.put_slice(b"\r\n");
}

fn put_without_line_ends(out: &mut BytesMut, mut bytes: &[u8]) {
    while let Some(at) = memchr::memchr3(b'\r', b'\n', 0, bytes) {
        let (front, rest) = bytes.split_at(at);
        out.put_slice(front);
        out.put_u8(b' ');
        bytes = rest.get(1..).unwrap_or_default();
    }
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply) -> String {
        String::from_utf8(reply.to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn replies_are_written_as_the_draft_shows_them() {
        assert_eq!(wire(&Reply::ok()), "220 OK\r\n");
        assert_eq!(wire(&Reply::ok_with("time.flows.unix.ar")), "220 OK time.flows.unix.ar\r\n");
        assert_eq!(wire(&Reply::data(["a=b"])), "220 DATA\r\na=b\r\n220 OK\r\n");
        let error = Reply::error(Code::NotFound, "flow time.flows.unix.ar");
        assert_eq!(wire(&error), "404 NOT_FOUND flow time.flows.unix.ar\r\n");
        assert_eq!(wire(&Reply::error(Code::Timeout, "")), "408 TIMEOUT\r\n");
        assert_eq!(wire(&Reply::More("Send".into())), "330 Send\r\n");
    }

    #[test]
    fn nothing_in_a_reply_can_end_its_line_or_open_another() {
        assert_eq!(
            wire(&Reply::error(Code::NotFound, "x\r\n220 OK")),
            "404 NOT_FOUND x  220 OK\r\n"
        );
        assert_eq!(wire(&Reply::Ok(" data ".into())), "220 OK DATA\r\n");
        let data = Reply::data(["a\nb\0c", "220 OK", "2200 x", "123", "220\rOK"]);
        assert_eq!(
            wire(&data),
            "220 DATA\r\na b c\r\n 220 OK\r\n2200 x\r\n123\r\n 220 OK\r\n220 OK\r\n"
        );
    }

    #[test]
    fn every_code_is_found_by_its_number() {
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), *code);
            assert!(!code.name().is_empty());
        }
        assert_eq!(Code::from_number(599), Code::Other(599));
        assert_eq!(Failure::new(Code::Other(599), "ODD thing").to_string(), "599 ODD thing");
    }
}
