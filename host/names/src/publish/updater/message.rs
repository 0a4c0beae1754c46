//! A change as messages of RFC 2136.
//!
//! One message is made as a whole or not at all, so a change is one message where it fits. One that does not fit is
//! split between pieces, and a piece never: whatever has a fresh flow's name travels with the flow's prerequisite and
//! with the record by which it is recognised. A change that ends between two messages leaves whole flows
//! behind, and to make it again completes it.

use std::collections::BTreeSet;

use hickory_net::proto::op::{Message, MessageType, OpCode, Query};
use hickory_net::proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_net::proto::serialize::binary::BinEncodable as _;

use crate::publish::wire::{impossible, name, record_type, records};
use crate::publish::{Change, Kind, Owner, PublishError, Set, Zone};

/// What has to be true before a message is made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    /// The name of a flow has no records.
    Free(Owner),
    /// The name of a flow that is a zone's, too, has no records of the types that flows have there.
    Absent(Owner, Kind),
    /// A name has records of a type; where something is said of them, those and no others.
    There(Set, bool),
    /// A name has no alias, which would make the server ignore what is added (RFC 2136, section 3.4.2.2).
    NoAlias(Owner),
}

/// What belongs in one message.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) conditions: BTreeSet<Condition>,
    updates: Vec<Record>,
    octets: usize,
}

impl Condition {
    pub(super) fn owner(&self) -> &Owner {
        match self {
            Self::Free(owner) | Self::Absent(owner, _) | Self::NoAlias(owner) => owner,
            Self::There(set, _) => &set.owner,
        }
    }

    fn records(&self) -> Result<Vec<Record>, PublishError> {
        let (kind, class) = match self {
            Self::Free(_) => (RecordType::ANY, DNSClass::NONE),
            Self::Absent(_, kind) => (record_type(*kind), DNSClass::NONE),
            Self::NoAlias(_) => (RecordType::CNAME, DNSClass::NONE),
            Self::There(set, false) => (record_type(set.kind()), DNSClass::ANY),
            Self::There(set, true) => {
                let mut all = records(set)?;
                all.iter_mut().for_each(|record| record.ttl = 0);
                return Ok(all);
            }
        };
        let mut record = Record::update0(name(self.owner())?, 0, kind);
        record.dns_class = class;
        Ok(vec![record])
    }

    /// Octets of it at most, as it travels.
    pub(super) fn octets(&self) -> usize {
        let said = match self {
            Self::There(set, true) => set.to_string().len(),
            _ => 0,
        };
        self.owner().as_str().len() + FIXED + said
    }
}

impl Piece {
    /// Only conditions: a message that asks whether they are true.
    pub(super) fn question(conditions: &[Condition]) -> Self {
        Self { conditions: conditions.iter().cloned().collect(), ..Self::default() }
    }

    pub(super) fn message(&self, id: u16, zone: &Zone) -> Result<Message, PublishError> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Update);
        message.add_query(Query::query(zone_name(zone)?, RecordType::SOA));
        for condition in &self.conditions {
            message.add_answers(condition.records()?);
        }
        message.add_authorities(self.updates.iter().cloned());
        Ok(message)
    }

    fn add(&mut self, set: &Set) -> Result<(), PublishError> {
        self.condition(Condition::NoAlias(set.owner.clone()));
        records(set)?.into_iter().try_for_each(|record| self.update(record))
    }

    fn remove(&mut self, set: &Set) -> Result<(), PublishError> {
        records(set)?.into_iter().try_for_each(|mut record| {
            record.dns_class = DNSClass::NONE;
            record.ttl = 0;
            self.update(record)
        })
    }

    fn update(&mut self, record: Record) -> Result<(), PublishError> {
        // Without compression, which makes it less.
        let octets = record.to_bytes().map_err(|error| impossible(error.to_string()))?.len();
        self.octets += octets;
        self.updates.push(record);
        Ok(())
    }

    fn condition(&mut self, condition: Condition) {
        let octets = condition.octets();
        if self.conditions.insert(condition) {
            self.octets += octets;
        }
    }

    fn append(&mut self, other: Self) {
        self.octets += other.octets;
        self.conditions.extend(other.conditions);
        self.updates.extend(other.updates);
    }
}

/// The messages of a change of a zone, in order; `recognised` are fresh flows whose names are known to be in use by ourselves.
pub(super) fn pieces(
    zone: &Zone,
    change: &Change,
    recognised: &BTreeSet<Owner>,
) -> Result<Vec<Piece>, PublishError> {
    let mut small = Vec::new();
    for set in &change.remove {
        let mut piece = Piece::default();
        piece.remove(set)?;
        small.push(piece);
    }
    let mut rest: Vec<&Set> = change.add.iter().collect();
    for (flow, _) in &change.fresh {
        let of_flow = |owner: &Owner| {
            let front = owner.as_str().strip_suffix(flow.as_str());
            front.is_some_and(|front| front.is_empty() || front.ends_with(OF_FLOW))
        };
        let mut piece = Piece::default();
        if !recognised.contains(flow) {
            free(flow, zone).into_iter().for_each(|condition| piece.condition(condition));
        }
        let (own, others) = rest.into_iter().partition(|set| of_flow(&set.owner));
        rest = others;
        let own: Vec<&Set> = own;
        own.into_iter().try_for_each(|set| piece.add(set))?;
        small.push(piece);
    }
    for set in rest {
        let mut piece = Piece::default();
        piece.add(set)?;
        small.push(piece);
    }
    pack(small)
}

/// That nobody has the name of a flow. The name of a zone is always in use: there it is the types of a flow's records.
fn free(flow: &Owner, zone: &Zone) -> Vec<Condition> {
    match *flow == Owner::from(zone.name()) {
        true => [Kind::Ptr, Kind::Srv].map(|kind| Condition::Absent(flow.clone(), kind)).into(),
        false => vec![Condition::Free(flow.clone())],
    }
}

fn pack(small: Vec<Piece>) -> Result<Vec<Piece>, PublishError> {
    let mut packed: Vec<Piece> = Vec::new();
    for piece in small {
        match packed.last_mut() {
            _ if piece.octets > MAX_OCTETS => {
                return Err(impossible(
                    "records that belong together and do not fit into one message",
                ));
            }
            Some(last) if last.octets + piece.octets <= MAX_OCTETS => last.append(piece),
            _ => packed.push(piece),
        }
    }
    Ok(packed)
}

fn zone_name(zone: &Zone) -> Result<Name, PublishError> {
    name(&Owner::from(zone.name()))
}

/// How the draft's names of a flow end before the flow's own: those of its service and of its queue.
const OF_FLOW: &str = "_flow._tcp.";

/// Octets of a record besides its name and data: type, class, TTL and length.
const FIXED: usize = 10;

/// Most octets of a message's records: with the header, the zone and the signature it has to stay below 64 KiB.
pub(super) const MAX_OCTETS: usize = 60 * 1_024;

#[cfg(test)]
mod tests;
