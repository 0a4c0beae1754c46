//! What is done to a flow's events on the way to one subscriber: the components, in their order, with what each is
//! configured with.
//!
//! The owner's come first, so that a stranger's condition sees nothing that the owner takes out: it would tell him
//! what it was. Runs nothing.

use serde_json::json;

use crate::error::RegistryError;
use crate::model::Flow;
use crate::subscribers::Subscriber;

/// Setting of a flow: what is done to its events on the way to subscribers for whom nothing else was said.
pub const POLICY: &str = "policy";

/// The processor type that evaluates filters.
pub const FILTERS: &str = "bridge";

/// Whose component it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The owner of the flow wants it.
    Owners,
    /// The subscriber does: a stranger's words.
    Subscribers,
}

/// One component on the way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lens {
    /// Whose it is.
    pub whose: Whose,
    /// The processor type.
    pub kind: String,
    /// Its configuration, JSON.
    pub config: String,
}

impl Lens {
    /// A condition in CEL.
    #[must_use]
    pub fn filter(whose: Whose, filter: &str) -> Self {
        let config = json!({"filter": filter}).to_string();
        Self { whose, kind: FILTERS.to_owned(), config }
    }

    /// What an owner says: a processor type, and behind a blank its configuration.
    #[must_use]
    pub fn policy(text: &str) -> Self {
        let (kind, config) = text.split_once(' ').unwrap_or((text, "{}"));
        Self { whose: Whose::Owners, kind: kind.to_owned(), config: config.to_owned() }
    }
}

impl Subscriber {
    /// What happens to the events of his flow on the way to him: what the owner lets him see at most, the owner's policy
    /// (his own, else the flow's), then his own filter.
    #[must_use]
    pub fn view(&self, flow: &Flow) -> Vec<Lens> {
        let approval = self.approval.as_ref();
        let owners = approval.and_then(|approval| approval.filter.as_deref());
        let policy = approval.and_then(|approval| approval.policy.as_deref());
        let lenses = [
            owners.map(|filter| Lens::filter(Whose::Owners, filter)),
            policy.or(flow.policy()).map(Lens::policy),
            self.filter.as_deref().map(|filter| Lens::filter(Whose::Subscribers, filter)),
        ];
        lenses.into_iter().flatten().collect()
    }
}

impl Flow {
    /// What is done to its events on the way to subscribers for whom nothing else was said: a processor type, and
    /// behind a blank its configuration.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        self.config.get(POLICY).map(String::as_str)
    }
}

/// Whether it has the form of a policy; whether there is such a type, and whether that takes the configuration, is for
/// others to say.
pub(crate) fn check_policy(text: &str) -> Result<(), RegistryError> {
    let Lens { kind, config, .. } = Lens::policy(text);
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if kind.is_empty() || !kind.bytes().all(letter) {
        let words = format!("{POLICY} is a processor type, and behind a blank its configuration");
        return Err(RegistryError::invalid(words));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(&config)
        .map(drop)
        .map_err(|error| RegistryError::invalid(format!("{POLICY}: configuration: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_a_type_and_a_configuration() {
        let lens = Lens::policy("mask {\"fields\": [\"a\"]}");
        assert_eq!((&*lens.kind, &*lens.config), ("mask", "{\"fields\": [\"a\"]}"));
        assert_eq!(Lens::policy("mask").config, "{}");
        assert!(check_policy("mask").is_ok() && check_policy("mask-2 {}").is_ok());
        for wrong in ["", " {}", "Mask", "mask {", "mask a=1", "../mask"] {
            assert!(check_policy(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn quotes_in_a_filter_stay_in_it() {
        let lens = Lens::filter(Whose::Subscribers, r#"type == "a""#);
        assert_eq!(lens.config, r#"{"filter":"type == \"a\""}"#);
    }
}
