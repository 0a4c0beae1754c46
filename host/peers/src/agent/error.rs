//! Why another host was not reached, or said no: at which step, and whether the same may go well later.
//!
//! Holds nothing secret. What a peer said is shortened and has no line ends.

use std::fmt;
use std::time::Duration;

use fnap::reply::{Code, Failure};
use host_names::{FindError, LookupError};

/// A step on the way to another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// From a flow's name to hosts and addresses.
    Resolve,
    /// TCP.
    Connect,
    /// The handshake, and what proves the host's name.
    Tls,
    /// The greeting, and what the host says that it can do.
    Greeting,
    /// Who we are.
    Authenticate,
    /// A command.
    Command,
}

/// Another host that was not reached, or that refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {host}: {why}")]
pub struct PeerError {
    /// Where it ended.
    pub step: Step,
    /// `NAME:PORT (ADDRESS)`; the flow's name while no host is known.
    pub host: String,
    /// Why.
    pub why: Why,
}

/// Why a step did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// DNS does not lead to a host.
    #[error(transparent)]
    NotFound(#[from] FindError),
    /// DNS does not say which certificate is the host's, or what it says is refuted.
    #[error(transparent)]
    NoAnswer(#[from] LookupError),
    /// The connection cannot be made, or broke.
    #[error("{0}")]
    Broken(String),
    /// Nothing, or not all of it, came in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Slow(Duration),
    /// The certificate is not the host's.
    #[error("{0}")]
    Certificate(String),
    /// The host offers no TLS, and nobody speaks to strangers in clear text.
    #[error("the host offers no tls")]
    NoTls,
    /// The host does not let domains prove themselves by their certificates.
    #[error("the host offers no authentication by certificate (external)")]
    NoExternal,
    /// We have no certificate to show, and no secret in common.
    #[error("no certificate to prove who we are")]
    NoCertificate,
    /// Something of ours cannot be used: a file, or random numbers.
    #[error("{0}")]
    Ours(String),
    /// The host does not keep to the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The host says more than anybody has to hear.
    #[error("an answer over {0} octets")]
    TooMuch(usize),
    /// An earlier command has no answer: this connection is of no use any more.
    #[error("an earlier command has no answer")]
    OutOfStep,
    /// The host refuses.
    #[error("{0}")]
    Refused(Failure),
}

/// Whether the same may go well another time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Again {
    /// Not before somebody changes something.
    No,
    /// Soon, or later.
    Later,
    /// Not before so much time has passed.
    After(Duration),
    /// When the owner has said yes to this request.
    Pending(String),
}

impl PeerError {
    pub(crate) fn new(step: Step, host: impl Into<String>, why: impl Into<Why>) -> Self {
        Self { step, host: host.into(), why: why.into() }
    }

    /// Whether trying again may help, and when.
    #[must_use]
    pub fn again(&self) -> Again {
        match &self.why {
            Why::NotFound(error) if error.may_pass() => Again::Later,
            Why::NoAnswer(LookupError::Unavailable { .. } | LookupError::TooSlow) => Again::Later,
            Why::Broken(_) | Why::Slow(_) | Why::OutOfStep => Again::Later,
            Why::Refused(failure) => Again::of(failure),
            _ => Again::No,
        }
    }

    /// Whether the flow may be elsewhere by now, where it was looked for at a place that was remembered: nobody is there, or
    /// somebody else, or somebody who knows nothing of it.
    #[must_use]
    pub fn may_be_elsewhere(&self) -> bool {
        match &self.why {
            Why::Refused(_) => self.again() == Again::No,
            Why::Ours(_) | Why::NoCertificate => false,
            // What was said there may have been done.
            _ => !matches!(self.step, Step::Resolve | Step::Command),
        }
    }

    /// What the host said, where it was the host who said no.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Failure> {
        match &self.why {
            Why::Refused(failure) => Some(failure),
            _ => None,
        }
    }
}

impl Why {
    pub(crate) fn refused(failure: Failure) -> Self {
        let words = failure.words.chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect();
        Self::Refused(Failure { words, ..failure })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Greeting => "greeting",
            Self::Authenticate => "authenticate",
            Self::Command => "command",
        })
    }
}

impl Again {
    /// What a host's no says of another time.
    pub(crate) fn of(failure: &Failure) -> Self {
        match failure.code {
            Code::RateLimit => {
                let seconds = fact(&failure.words, "retry-after");
                seconds.and_then(|text| text.parse().ok()).map_or(Self::Later, |seconds| {
                    Self::After(Duration::from_secs(seconds).min(LONGEST_WAIT))
                })
            }
            Code::Pending => match fact(&failure.words, "request") {
                Some(request) if request.len() <= MAX_REQUEST => Self::Pending(request.to_owned()),
                _ => Self::Later,
            },
            Code::Timeout | Code::ServerErr | Code::ConnError | Code::Unavailable => Self::Later,
            _ => Self::No,
        }
    }
}

/// The value of `key=value` in words.
fn fact<'a>(words: &'a str, key: &str) -> Option<&'a str> {
    let value = |word: &'a str| word.strip_prefix(key)?.strip_prefix('=');
    words.split_whitespace().find_map(value).filter(|value| !value.is_empty())
}

/// Characters of a refusal that are kept: the longest of our own has two names and a few words.
const MAX_WORDS: usize = 800;

/// Longest wait that a host can bid us: beyond it, it is asked once a day.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// Characters of a request's name: those of this host have sixteen.
const MAX_REQUEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn again(code: Code, words: &str) -> Again {
        let why = Why::refused(Failure::new(code, words));
        PeerError::new(Step::Command, "a.test:1", why).again()
    }

    #[test]
    fn a_refusal_says_whether_and_when_to_come_again() {
        let secs = |seconds| Again::After(Duration::from_secs(seconds));
        assert_eq!(again(Code::RateLimit, "retry-after=7"), secs(7));
        assert_eq!(again(Code::RateLimit, "too many, retry-after=99999999 or so"), secs(86_400));
        assert_eq!(again(Code::RateLimit, "retry-after=-1"), Again::Later);
        assert_eq!(again(Code::Pending, "request=r1"), Again::Pending("r1".to_owned()));
        assert_eq!(again(Code::Pending, &format!("request={}", "r".repeat(129))), Again::Later);
        assert_eq!(again(Code::Unavailable, ""), Again::Later);
        for code in [Code::AuthRequired, Code::Forbidden, Code::NotFound, Code::NotImplemented] {
            assert_eq!(again(code, "retry-after=7"), Again::No, "{code:?}");
        }
    }

    #[test]
    fn only_who_was_not_met_or_decidedly_says_no_may_be_elsewhere() {
        let elsewhere = |step, why: Why| PeerError::new(step, "a.test:1", why).may_be_elsewhere();
        let refused = |code| Why::refused(Failure::new(code, "no"));
        let broken = || Why::Broken("gone".to_owned());
        for (step, why) in [
            (Step::Connect, broken()),
            (Step::Tls, Why::Certificate("another name".to_owned())),
            (Step::Greeting, Why::Protocol("HTTP".to_owned())),
            (Step::Authenticate, refused(Code::AuthRequired)),
            (Step::Command, refused(Code::NotFound)),
        ] {
            assert!(elsewhere(step, why.clone()), "{step} {why}");
        }
        for (step, why) in [
            (Step::Resolve, Why::NoAnswer(LookupError::TooSlow)),
            (Step::Tls, Why::Ours("no such file".to_owned())),
            (Step::Authenticate, Why::NoCertificate),
            (Step::Greeting, refused(Code::Unavailable)),
            (Step::Command, refused(Code::Pending)),
            (Step::Command, broken()),
        ] {
            assert!(!elsewhere(step, why.clone()), "{step} {why}");
        }
    }

    #[test]
    fn an_error_names_step_and_host_and_keeps_little_of_what_a_peer_said() {
        let failure = Failure::new(Code::NotFound, format!("a\u{1b}\u{7}{}", "x".repeat(9_000)));
        let error = PeerError::new(Step::Command, "a.test:1 (192.0.2.1)", Why::refused(failure));
        let text = error.to_string();
        assert!(text.starts_with("command: a.test:1 (192.0.2.1): 404 NOT_FOUND ax"), "{text}");
        assert!(text.len() < 900);
    }
}
