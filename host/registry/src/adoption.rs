//! Which topics of a broker become flows of a namespace by themselves, and what they are called.
//!
//! Knows names only; who looks which topics there are is elsewhere.

use crate::Name;

/// Setting of a namespace: which topics become its flows.
pub const ADOPT: &str = "adopt";

/// Patterns of topics, as in `orders.*,payments,!*.internal`. A star stands for anything, also nothing; with
/// `!` in front it says which are not meant, whatever the others say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    meant: Vec<String>,
    not: Vec<String>,
}

impl Adoption {
    /// Reads the setting; an empty one means no topic.
    ///
    /// # Errors
    /// Names what is no pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut meant, mut not) = (Vec::new(), Vec::new());
        for pattern in text.split(',').filter(|_| !text.is_empty()) {
            let bare = pattern.strip_prefix('!').unwrap_or(pattern);
            let allowed = |c: char| c.is_ascii_alphanumeric() || "._-*".contains(c);
            if bare.is_empty() || !bare.chars().all(allowed) {
                return Err(format!("{ADOPT}: {} is no pattern of topics", pattern.escape_debug()));
            }
            let list = if bare.len() < pattern.len() { &mut not } else { &mut meant };
            list.push(bare.to_owned());
        }
        if meant.len() + not.len() > MAX_PATTERNS {
            return Err(format!("{ADOPT}: at most {MAX_PATTERNS} patterns"));
        }
        Ok(Self { meant, not })
    }

    /// Whether a topic is meant.
    #[must_use]
    pub fn means(&self, topic: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, topic));
        any(&self.meant) && !any(&self.not)
    }
}

/// What a topic is called as a flow of a namespace: lower case, and a hyphen for what no name can have.
///
/// # Errors
/// When that is no name.
pub fn flow_of_topic(topic: &str, namespace: &Name) -> Result<Name, String> {
    let label = topic.to_ascii_lowercase().replace('_', "-");
    format!("{label}.{namespace}").parse().map_err(|error| format!("{error}"))
}

/// Whether a text is what a pattern says. Stars are few, so this is no place to be clever.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

/// Patterns of one namespace.
const MAX_PATTERNS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_meant_by_their_patterns_and_not_where_another_one_says_so() {
        let adoption = Adoption::parse("orders.*,pay*ments*,Plain,!*.internal").unwrap();
        for topic in ["orders.eu", "orders.", "payments", "pay-x-ments.v2", "Plain"] {
            assert!(adoption.means(topic), "{topic}");
        }
        for topic in ["orders", "my.orders.eu", "orders.internal", "plain", "paymen"] {
            assert!(!adoption.means(topic), "{topic}");
        }
        assert!(!Adoption::parse("").unwrap().means("a"));
        assert!(Adoption::parse("*").unwrap().means("a"));
        for wrong in ["a,,b", "!", "a b", "a/b"] {
            assert!(Adoption::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_topic_has_a_name_where_one_can_be_made_of_it() {
        let namespace: Name = "a.example".parse().unwrap();
        assert_eq!(
            flow_of_topic("Orders_EU.v1", &namespace).unwrap().as_str(),
            "orders-eu.v1.a.example"
        );
        assert!(flow_of_topic("_x", &namespace).is_err());
        assert!(flow_of_topic("a..b", &namespace).is_err());
    }
}
