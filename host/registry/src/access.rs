//! What somebody gets of a flow who has no grant on it.

use std::str::FromStr;

use crate::Name;

/// Setting of a flow: what somebody gets who has no grant.
pub const ACCESS: &str = "access";

/// Domains that one flow names. More than these are a group of partners, and a grant each.
pub const MAX_DOMAINS: usize = 64;

/// What [`ACCESS`] says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Everybody reads and subscribes, whoever he is.
    Open,
    /// Nobody learns that it exists.
    Closed,
    /// Who wants to subscribe asks its owner.
    #[default]
    Ask,
    /// These subscribe without asking.
    Domains(Vec<Name>),
}

impl FromStr for Access {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{ACCESS} is open, closed, ask or domains=NAME,…");
        match text {
            "open" => return Ok(Self::Open),
            "closed" => return Ok(Self::Closed),
            "ask" => return Ok(Self::Ask),
            _ => {}
        }
        let list = text.strip_prefix("domains=").ok_or_else(wrong)?;
        if list.split(',').count() > MAX_DOMAINS {
            return Err(format!("{ACCESS}: at most {MAX_DOMAINS} domains"));
        }
        let name = |text: &str| text.parse().map_err(|error| format!("{ACCESS}: {error}"));
        list.split(',').map(name).collect::<Result<_, _>>().map(Self::Domains)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_is_one_of_four_and_names_so_many_domains() {
        assert_eq!("open".parse(), Ok(Access::Open));
        assert_eq!("closed".parse(), Ok(Access::Closed));
        assert_eq!("ask".parse(), Ok(Access::Ask));
        let domains = vec!["a.example".parse().unwrap(), "b.example".parse().unwrap()];
        assert_eq!("domains=A.example,b.example".parse(), Ok(Access::Domains(domains)));
        for wrong in ["", "Open", "domains=", "domains=a..b", "domains", "ask,open"] {
            assert!(wrong.parse::<Access>().is_err(), "{wrong}");
        }
        let many = |count: usize| format!("domains={}", vec!["a.b"; count].join(","));
        assert!(many(MAX_DOMAINS).parse::<Access>().is_ok());
        assert!(many(MAX_DOMAINS + 1).parse::<Access>().is_err());
    }
}
