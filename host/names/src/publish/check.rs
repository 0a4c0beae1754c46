//! What should be in DNS, compared with what a name server answers.
//!
//! Asks one server, which should be one of the zone's own: another's memory shows what was. Changes nothing, and
//! proves nothing: answers are taken as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_net::proto::op::{Message, ResponseCode};
use hickory_net::proto::rr::{RData, RecordType};

use super::questions::Questions;
use super::records::SERVICE_TYPES;
use super::text::lines;
use super::wire::{owner, record_type, shown};
use super::{Data, Kind, Owner, PublishError, QUEUE_SERVICE, Set, sign_of};

/// What is not as it should be with the records of one owner and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Whose records.
    pub owner: Owner,
    /// Of which type.
    pub kind: Kind,
    /// What is wrong with them.
    pub found: Found,
}

/// What is wrong with some records.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// Some are not there, and none is there instead.
    Missing(Vec<String>),
    /// Some are there that should not; where others add theirs to a set, such as the list of a namespace, they may.
    TooMuch(Vec<String>),
    /// Others are there instead.
    Different {
        /// What should be there.
        wanted: Vec<String>,
        /// What is there instead.
        found: Vec<String>,
    },
    /// They are remembered for longer than they should be, in seconds.
    Ttl {
        /// What it should be.
        wanted: u32,
        /// What it is.
        found: u32,
    },
    /// An alias is in their place.
    Alias(String),
    /// The server does not answer for this name.
    NoAnswer(String),
}

/// Asks a server for everything in `wanted`, for the owners and types of `gone`, none of whose records should be
/// there, and for what lies under names of ours alone ([`Own`]); some questions at a time, answered within `limit` together.
/// `progress` is told how many of how many were answered.
///
/// # Errors
/// [`PublishError::Away`] when the server does not answer at all.
pub async fn compare(
    server: SocketAddr,
    wanted: &[Set],
    gone: &[Set],
    own: &BTreeSet<Own>,
    limit: Duration,
    progress: &mut (dyn FnMut((usize, usize)) + Send),
) -> Result<Vec<Difference>, PublishError> {
    let wishes: Vec<((Owner, Kind), Wish)> = wishes(wanted, gone, own).into_iter().collect();
    let (mut questions, mut differences) = (Questions::new(server, limit), Vec::new());
    for (asked, some) in wishes.chunks(AT_ONCE).enumerate() {
        let about: Vec<(&Owner, Kind)> =
            some.iter().map(|((owner, kind), _)| (owner, *kind)).collect();
        for (((owner, kind), wish), answer) in some.iter().zip(questions.ask(&about).await?) {
            let found = match answer {
                Some(answer) => wish.differences(&answer, *kind),
                None => vec![Found::NoAnswer("no message of dns".to_owned())],
            };
            let of = |found| Difference { owner: owner.clone(), kind: *kind, found };
            differences.extend(found.into_iter().map(of));
        }
        progress((asked * AT_ONCE + some.len(), wishes.len()));
    }
    Ok(differences)
}

/// Questions that are under way: a server far away is asked some hundred a round trip and not one, and holds little for it.
const AT_ONCE: usize = 64;

/// An owner and a type of which nothing may be there but what is wanted: nobody else has the name.
pub type Own = (Owner, Kind);

/// What a host has under its flows and namespaces alone, of those that these sets are about.
#[must_use]
pub fn own_names(wanted: &[Set]) -> BTreeSet<Own> {
    let mut own = BTreeSet::new();
    for set in wanted {
        if let (Data::Ptr(services), Some(_)) =
            (&set.data, set.owner.as_str().strip_prefix(SERVICE_TYPES))
        {
            // The list of a namespace.
            own.extend(services.iter().map(|service| (service.clone(), Kind::Ptr)));
        }
    }
    for (_, flow, _) in wanted.iter().filter_map(|set| sign_of([set])) {
        // There may be no room for it.
        if let Ok(queue) = format!("{QUEUE_SERVICE}.{flow}").parse::<Owner>() {
            own.extend([Kind::Srv, Kind::Txt].map(|kind| (queue.clone(), kind)));
        }
    }
    own
}

/// What should be there of one owner and type.
#[derive(Default)]
struct Wish {
    wanted: BTreeSet<String>,
    gone: BTreeSet<String>,
    is_own: bool,
    ttl: Option<u32>,
}

/// Several units have records in one set, so that they are looked at together.
fn wishes(wanted: &[Set], gone: &[Set], own: &BTreeSet<Own>) -> BTreeMap<(Owner, Kind), Wish> {
    let mut wishes: BTreeMap<(Owner, Kind), Wish> = BTreeMap::new();
    for set in wanted {
        let wish = wishes.entry((set.owner.clone(), set.kind())).or_default();
        wish.wanted.extend(lines(&set.data));
        wish.ttl = Some(wish.ttl.map_or(set.ttl, |ttl| ttl.max(set.ttl)));
    }
    for set in gone {
        let wish = wishes.entry((set.owner.clone(), set.kind())).or_default();
        wish.gone.extend(lines(&set.data));
    }
    for one in own {
        wishes.entry(one.clone()).or_default().is_own = true;
    }
    wishes
}

impl Wish {
    fn differences(&self, answer: &Message, kind: Kind) -> Vec<Found> {
        if !matches!(answer.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return vec![Found::NoAnswer(answer.response_code.to_string())];
        }
        if let Some(target) = answer.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) => Some(owner(&target.0)),
            _ => None,
        }) {
            return vec![Found::Alias(target)];
        }
        let of_kind = |record: &RecordType| *record == record_type(kind);
        let records = answer.answers.iter().filter(|record| of_kind(&record.record_type()));
        let mut there = BTreeSet::new();
        let mut longest = 0;
        for record in records {
            there.extend(shown(&record.data));
            longest = longest.max(record.ttl);
        }
        let mut found: Vec<Found> = self.records(&there).into_iter().collect();
        let ttl = self.ttl.filter(|wanted| longest > *wanted);
        found.extend(ttl.map(|wanted| Found::Ttl { wanted, found: longest }));
        found
    }

    fn records(&self, there: &BTreeSet<String>) -> Option<Found> {
        let missing: Vec<String> = self.wanted.difference(there).cloned().collect();
        let too_much = there.difference(&self.wanted);
        // Of what nothing is wanted, others may have records; ours have to be gone.
        let all = self.is_own || !self.wanted.is_empty();
        let too_much = too_much.filter(|one| all || self.gone.contains(*one));
        let too_much: Vec<String> = too_much.cloned().collect();
        match (missing.is_empty(), too_much.is_empty()) {
            (true, true) => None,
            (false, true) => Some(Found::Missing(missing)),
            (true, false) => Some(Found::TooMuch(too_much)),
            (false, false) => Some(Found::Different { wanted: missing, found: too_much }),
        }
    }
}

/// One line, such as `_flow._tcp.f.example. SRV: missing 30 30 61000 fnaa.example.`.
impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}: {}", self.owner, self.kind, self.found)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(wanted) => write!(out, "missing {}", wanted.join(", ")),
            Self::TooMuch(found) => write!(out, "too much {}", found.join(", ")),
            Self::Different { wanted, found } => {
                write!(out, "{} instead of {}", found.join(", "), wanted.join(", "))
            }
            Self::Ttl { wanted, found } => write!(out, "ttl {found} instead of {wanted}"),
            Self::Alias(target) => write!(out, "an alias of {target} is in its place"),
            Self::NoAnswer(reason) => write!(out, "no answer: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests;
