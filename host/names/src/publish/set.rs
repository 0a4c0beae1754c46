//! Records of one owner and one type.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::Owner;

/// Records of one owner and one type; in a zone others may have added theirs to them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Set {
    /// Whose records they are.
    pub owner: Owner,
    /// How long they may be remembered, in seconds.
    pub ttl: u32,
    /// What they say.
    pub data: Data,
}

/// What records of one type say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Data {
    /// Other names (RFC 1035).
    Ptr(BTreeSet<Owner>),
    /// Hosts and ports (RFC 2782).
    Srv(BTreeSet<Service>),
    /// Texts (RFC 1035), each of one or more strings of at most 255 octets.
    Txt(BTreeSet<Vec<String>>),
    /// Addresses.
    A(BTreeSet<Ipv4Addr>),
    /// Addresses of IPv6.
    Aaaa(BTreeSet<Ipv6Addr>),
}

/// Where a service is (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Service {
    /// The lowest is tried first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// TCP port.
    pub port: u16,
    /// The host.
    pub target: Owner,
}

/// A type of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they are called what they are")]
pub enum Kind {
    Ptr,
    Srv,
    Txt,
    A,
    Aaaa,
}

impl Set {
    /// The type of the records.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.data {
            Data::Ptr(_) => Kind::Ptr,
            Data::Srv(_) => Kind::Srv,
            Data::Txt(_) => Kind::Txt,
            Data::A(_) => Kind::A,
            Data::Aaaa(_) => Kind::Aaaa,
        }
    }

    pub(crate) fn ptr(owner: Owner, ttl: u32, target: Owner) -> Self {
        Self { owner, ttl, data: Data::Ptr([target].into()) }
    }

    pub(crate) fn srv(owner: Owner, ttl: u32, service: Service) -> Self {
        Self { owner, ttl, data: Data::Srv([service].into()) }
    }

    pub(crate) fn txt(owner: Owner, ttl: u32, strings: Vec<String>) -> Self {
        Self { owner, ttl, data: Data::Txt([strings].into()) }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Ptr => "PTR",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
            Self::A => "A",
            Self::Aaaa => "AAAA",
        })
    }
}
