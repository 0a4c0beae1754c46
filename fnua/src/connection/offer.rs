//! What a host says that it can do, as far as it matters for a connection.
//!
//! Believes only what it is given: what was said in clear is forgotten when TLS is established.

use fnap::sasl::Mechanism;
use fnap::server::PIPELINING;
use fnap::{Code, Failure};

/// The answer to CAPABILITIES.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(super) starttls: bool,
    /// None of a host that does not know the question.
    pub(super) mechanisms: Option<Vec<Mechanism>>,
    /// Whether WRITEs may be sent ahead of their answers.
    pub(crate) pipelining: bool,
}

impl Offer {
    pub(super) fn read(words: &[String]) -> Self {
        let says = |wanted: &str| words.iter().any(|word| word.eq_ignore_ascii_case(wanted));
        let mechanism = |word: &String| {
            let (key, name) = word.split_once('=')?;
            if key.eq_ignore_ascii_case("AUTH") { Mechanism::from_name(name) } else { None }
        };
        Self {
            starttls: says("STARTTLS"),
            mechanisms: Some(words.iter().filter_map(mechanism).collect()),
            pipelining: says(PIPELINING),
        }
    }

    /// Whether a host that answers so does not know the question: the proof of concept says 404.
    pub(super) const fn is_unknown(failure: &Failure) -> bool {
        matches!(
            failure.code,
            Code::BadFormat
                | Code::AuthRequired
                | Code::NotFound
                | Code::NotImplemented
                | Code::ServerErr
                | Code::Other(_)
        )
    }

    /// Whether a mechanism may be tried. Hosts that do not say have PLAIN: it is all that the draft shows.
    pub(super) fn has(&self, mechanism: Mechanism) -> bool {
        match &self.mechanisms {
            Some(offered) => offered.contains(&mechanism),
            None => mechanism == Mechanism::Plain,
        }
    }

    /// The mechanisms for people.
    pub(super) fn names(&self) -> String {
        match self.mechanisms.as_deref() {
            None => "only what it does not say".to_owned(),
            Some([]) => "none".to_owned(),
            Some(offered) => offered.iter().map(|one| one.name()).collect::<Vec<_>>().join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_read_in_any_case_and_unknown_words_are_passed_over() {
        let words = ["starttls", "auth=scram-sha-256", "AUTH=NTLM", "Auth=PLAIN", "STREAM=1"];
        let offer = Offer::read(&words.map(str::to_owned));
        assert!(offer.starttls && !offer.pipelining);
        assert_eq!(offer.names(), "SCRAM-SHA-256, PLAIN");
        assert!(offer.has(Mechanism::Plain) && !offer.has(Mechanism::Anonymous));
        assert_eq!(Offer::read(&[]).names(), "none");
        assert!(Offer::default().has(Mechanism::Plain));
    }
}
