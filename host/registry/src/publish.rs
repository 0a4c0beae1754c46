//! What of a flow stands in DNS.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// Setting of a flow: what of it is published.
pub const PUBLISH: &str = "publish";

/// What [`PUBLISH`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Publish {
    /// The flow, and the flows of its subscriptions.
    #[default]
    Full,
    /// The flow alone: who subscribes is nobody's business.
    Flow,
    /// Nothing.
    None,
}

impl Publish {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Flow => "flow",
            Self::None => "none",
        }
    }
}

impl Display for Publish {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Publish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::Full, Self::Flow, Self::None];
        let found = known.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| format!("{PUBLISH} is full, flow or none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_one_of_three() {
        for one in [Publish::Full, Publish::Flow, Publish::None] {
            assert_eq!(one.to_string().parse(), Ok(one));
        }
        for wrong in ["", "Full", "all", "flow,none"] {
            assert!(wrong.parse::<Publish>().is_err(), "{wrong}");
        }
    }
}
