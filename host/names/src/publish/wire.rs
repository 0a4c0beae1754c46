//! Our records as hickory's, and hickory's as text.

use hickory_net::proto::rr::rdata::{A, AAAA, PTR, SRV, TXT};
use hickory_net::proto::rr::{Name, RData, Record, RecordType};

use super::records::MAX_STRING;
use super::text::quoted;
use super::{Data, Kind, Owner, PublishError, Service, Set};

/// A name as it travels.
pub(crate) fn name(owner: &Owner) -> Result<Name, PublishError> {
    Name::from_labels(owner.labels()).map_err(|error| impossible(format!("{owner}: {error}")))
}

pub(crate) fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::Ptr => RecordType::PTR,
        Kind::Srv => RecordType::SRV,
        Kind::Txt => RecordType::TXT,
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
    }
}

/// A set's records, one by one.
pub(crate) fn records(set: &Set) -> Result<Vec<Record>, PublishError> {
    let owner = name(&set.owner)?;
    // The first bit must be zero (RFC 2181, section 8).
    let ttl = set.ttl.min(u32::MAX >> 1);
    let data = rdata(&set.data)?;
    Ok(data.into_iter().map(|data| Record::from_rdata(owner.clone(), ttl, data)).collect())
}

/// What a record says, as zone files write it; None of a type that is none of ours.
pub(crate) fn shown(data: &RData) -> Option<String> {
    match data {
        RData::PTR(PTR(target)) => Some(owner(target)),
        RData::SRV(SRV { priority, weight, port, target, .. }) => {
            Some(format!("{priority} {weight} {port} {}", owner(target)))
        }
        RData::TXT(text) => Some(quoted(text.txt_data.iter().map(AsRef::as_ref))),
        RData::A(A(address)) => Some(address.to_string()),
        RData::AAAA(AAAA(address)) => Some(address.to_string()),
        _ => None,
    }
}

/// A name that came, as zone files write it.
pub(crate) fn owner(name: &Name) -> String {
    Owner::from_labels(name.iter()).map_or_else(|_| ".".to_owned(), |owner| owner.to_string())
}

fn rdata(data: &Data) -> Result<Vec<RData>, PublishError> {
    match data {
        Data::Ptr(names) => names.iter().map(|target| Ok(RData::PTR(PTR(name(target)?)))).collect(),
        Data::Srv(services) => services.iter().map(srv).collect(),
        Data::Txt(texts) => texts.iter().map(|strings| txt(strings)).collect(),
        Data::A(addresses) => Ok(addresses.iter().map(|ip| RData::A(A(*ip))).collect()),
        Data::Aaaa(addresses) => Ok(addresses.iter().map(|ip| RData::AAAA(AAAA(*ip))).collect()),
    }
}

fn srv(service: &Service) -> Result<RData, PublishError> {
    let Service { priority, weight, port, target } = service;
    Ok(RData::SRV(SRV::new(*priority, *weight, *port, name(target)?)))
}

fn txt(strings: &[String]) -> Result<RData, PublishError> {
    match strings {
        [] => Ok(RData::TXT(TXT::new(vec![String::new()]))),
        strings if strings.iter().any(|string| string.len() > MAX_STRING) => {
            Err(impossible(format!("a string of more than {MAX_STRING} octets in a txt record")))
        }
        strings => Ok(RData::TXT(TXT::new(strings.to_vec()))),
    }
}

pub(crate) fn impossible(reason: impl Into<String>) -> PublishError {
    PublishError::Impossible { reason: reason.into() }
}
