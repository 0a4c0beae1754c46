//! How sure it is that an event takes effect once, and what is written outside of the commit for it.
//!
//! Outputs, positions and state of one broker are one commit: exactly once. What lies on another broker is
//! appended and safe before the commit, and again after a crash between the two: at least once. Which of
//! the two it is, is decided here and shown; nothing becomes weaker without a word.

use std::sync::Arc;

use futures::future::try_join_all;
use host_brokers::{Append, Broker, BrokerError, TopicRef};
use host_events::Record;

use crate::spec::SpecError;

/// How often an event may take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Once, for readers of committed records.
    ExactlyOnce,
    /// Once, and again what was under way in a crash.
    AtLeastOnce {
        /// Somebody asked for it; else it cannot be otherwise.
        asked: bool,
        /// Why.
        why: String,
    },
}

impl Delivery {
    /// What a processor gets that wants this and whose outputs lie on these brokers.
    pub(crate) fn decide(wanted: Option<&str>, brokers: &[&str]) -> Result<Self, SpecError> {
        if wanted == Some("at-least-once") {
            let why = "delivery=at-least-once is set".to_owned();
            return Ok(Self::AtLeastOnce { asked: true, why });
        }
        let Some(first) = brokers.first() else { return Err(SpecError::NoOutput) };
        match brokers.iter().find(|broker| broker != &first) {
            None => Ok(Self::ExactlyOnce),
            Some(other) if wanted == Some("exactly-once") => {
                Err(SpecError::TwoTargets((*first).to_owned(), (*other).to_owned()))
            }
            Some(other) => {
                let why = format!("outputs on brokers {first} and {other}: no commit spans both");
                Ok(Self::AtLeastOnce { asked: false, why })
            }
        }
    }

    /// Its value of the setting.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::ExactlyOnce => "exactly-once",
            Self::AtLeastOnce { .. } => "at-least-once",
        }
    }

    /// Why it is no better; none where it is the best there is.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::ExactlyOnce => None,
            Self::AtLeastOnce { why, .. } => Some(why),
        }
    }

    /// Whether an output is written outside of the commit.
    pub(crate) fn is_aside(&self, on_target: bool) -> bool {
        match self {
            Self::ExactlyOnce => false,
            Self::AtLeastOnce { asked, .. } => *asked || !on_target,
        }
    }
}

/// Records that are appended before the commit.
pub(crate) struct Aside {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) topic: TopicRef,
    /// Partition and record; order within a partition is kept.
    pub(crate) records: Vec<(u32, Record)>,
}

/// Appends all, and returns when they are safe.
pub(crate) async fn append(asides: Vec<Aside>) -> Result<(), BrokerError> {
    let appends = asides.into_iter().map(|Aside { broker, topic, records }| async move {
        broker.append(&topic, Append { records, token: None }).await
    });
    try_join_all(appends).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_exactly_once_where_it_can_be_and_says_why_where_it_cannot() {
        let decide = |wanted, brokers: &[&str]| Delivery::decide(wanted, brokers);
        assert_eq!(decide(None, &["a", "a"]).unwrap(), Delivery::ExactlyOnce);
        assert_eq!(decide(Some("auto"), &["a"]).unwrap(), Delivery::ExactlyOnce);
        let weaker = decide(Some("auto"), &["a", "b"]).unwrap();
        assert_eq!(weaker.why(), Some("outputs on brokers a and b: no commit spans both"));
        assert!(!weaker.is_aside(true) && weaker.is_aside(false));
        let asked = decide(Some("at-least-once"), &["a"]).unwrap();
        assert!(asked.is_aside(true) && asked.word() == "at-least-once");
        let refused = decide(Some("exactly-once"), &["a", "b"]).unwrap_err().to_string();
        assert!(refused.contains("a, b"), "{refused}");
    }
}
