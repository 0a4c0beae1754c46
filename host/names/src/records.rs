//! Records as the host uses them, and how far an answer can be trusted.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata;

/// What DNSSEC says about an answer that may be used. (What it refutes is an error.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Security {
    /// Proven not to be signed: whoever sits between may have changed it.
    Insecure,
    /// Signed, from the trust anchor down; of an empty answer: proven that there is nothing.
    Secure,
}

/// What there is under a name; nothing, where there is nothing of the type or no such name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The records.
    pub records: Vec<T>,
    /// How far all of it can be trusted, aliases on the way included.
    pub security: Security,
    /// How long it may be remembered.
    pub ttl: Duration,
}

/// Where a service is (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Srv {
    /// The lowest is tried first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// TCP port.
    pub port: u16,
    /// Name of the host, lower-case, without a dot at the end; empty where the record says that the service
    /// is not available at all.
    pub target: String,
}

/// Words about a service (RFC 1035): the strings of one record, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Txt(pub Vec<Vec<u8>>);

/// Which certificate is used (RFC 6698, section 2.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tlsa {
    /// 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE.
    pub usage: u8,
    /// 0 the whole certificate, 1 its public key.
    pub selector: u8,
    /// 0 as it is, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// What is compared.
    pub data: Vec<u8>,
}

/// A type of record that is asked for, and how it is read.
pub(crate) trait Kind: Sized {
    fn read(data: &RData) -> Option<Self>;
}

impl Kind for Srv {
    fn read(data: &RData) -> Option<Self> {
        let RData::SRV(rdata::SRV { priority, weight, port, target, .. }) = data else {
            return None;
        };
        let target = written(target);
        Some(Self { priority: *priority, weight: *weight, port: *port, target })
    }
}

/// Where a pointer leads (RFC 1035), as [`Srv::target`] is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ptr(pub String);

impl Kind for Ptr {
    fn read(data: &RData) -> Option<Self> {
        let RData::PTR(rdata::PTR(target)) = data else { return None };
        Some(Self(written(target)))
    }
}

impl Kind for IpAddr {
    fn read(data: &RData) -> Option<Self> {
        match data {
            RData::A(rdata::A(address)) => Some((*address).into()),
            RData::AAAA(rdata::AAAA(address)) => Some((*address).into()),
            _ => None,
        }
    }
}

/// Lower-case, without the dot at the end.
pub(crate) fn written(name: &hickory_resolver::proto::rr::Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

impl Kind for Txt {
    fn read(data: &RData) -> Option<Self> {
        let RData::TXT(text) = data else { return None };
        Some(Self(text.txt_data.iter().map(|part| part.to_vec()).collect()))
    }
}

impl Kind for Tlsa {
    fn read(data: &RData) -> Option<Self> {
        let RData::TLSA(rdata::TLSA { cert_usage, selector, matching, cert_data, .. }) = data
        else {
            return None;
        };
        Some(Self {
            usage: (*cert_usage).into(),
            selector: (*selector).into(),
            matching: (*matching).into(),
            data: cert_data.clone(),
        })
    }
}
