//! One question: asked, followed through its aliases, and judged.
//!
//! hickory checks signatures and marks each record; which records count, and what an empty answer proves, is
//! decided here. Of an answer nothing is taken that was not asked for.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::NameServerPool;
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle as _, FirstAnswer as _, RetryDnsHandle};
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::DNSSECRData;
use hickory_resolver::proto::op::{DnsRequestOptions, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::CNAME;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use crate::LookupError;
use crate::records::Security;

/// Asks servers, and asks them again.
pub(crate) type Pool = RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>;

/// How some servers are asked.
#[derive(Clone)]
pub(crate) enum Handle {
    /// Every signature is checked, from a trust anchor down.
    Checked(DnssecDnsHandle<Pool>),
    /// They are believed as if nothing was signed.
    Unchecked(Pool),
}

/// Servers, and how they are asked.
#[derive(Clone)]
pub(crate) struct Servers {
    pub(crate) handle: Handle,
    pub(crate) addresses: Vec<SocketAddr>,
}

/// Asks: each zone that has servers of its own there, everything else elsewhere.
#[derive(Clone)]
pub(crate) struct Asker {
    usual: Servers,
    zones: Vec<(Name, Servers)>,
    options: DnsRequestOptions,
}

/// What there is under a name.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) records: Vec<RData>,
    pub(crate) security: Security,
    /// As the answer says it.
    pub(crate) ttl: Duration,
    /// Whether there is no such name at all (NXDOMAIN).
    pub(crate) missing: bool,
    /// Whether aliases led here.
    pub(crate) aliased: bool,
    /// The zone that says that there is nothing.
    pub(crate) zone: Option<Name>,
}

/// What one answer says.
enum Step {
    Records(Found),
    Alias(Name, Security, Duration),
}

impl fmt::Debug for Asker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Asker").finish_non_exhaustive()
    }
}

impl Asker {
    /// Asks the servers of the longest zone in `zones` that holds a name, else the usual ones.
    pub(crate) fn new(usual: Servers, zones: Vec<(Name, Servers)>) -> Self {
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.edns_set_dnssec_ok = true;
        options.max_request_depth = MAX_DEPTH;
        Self { usual, zones, options }
    }

    /// Who is asked about a name.
    pub(crate) fn servers(&self, name: &Name) -> &Servers {
        let holding = self.zones.iter().filter(|(zone, _)| zone.zone_of(name));
        let longest = holding.max_by_key(|(zone, _)| zone.num_labels());
        longest.map_or(&self.usual, |(_, servers)| servers)
    }

    /// What there is of a type under a name, by way of at most [`MAX_ALIASES`] aliases.
    pub(crate) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Found, LookupError> {
        let mut at = name.clone();
        let (mut security, mut ttl) = (Security::Secure, Duration::MAX);
        for aliases in 0..=MAX_ALIASES {
            match self.step(&at, kind).await? {
                Step::Records(found) => {
                    // A chain is as good as its worst link.
                    let security = security.min(found.security);
                    let (ttl, aliased) = (ttl.min(found.ttl), aliases > 0);
                    return Ok(Found { security, ttl, aliased, ..found });
                }
                Step::Alias(next, of_alias, ttl_of_alias) => {
                    at = next;
                    security = security.min(of_alias);
                    ttl = ttl.min(ttl_of_alias);
                }
            }
        }
        Err(LookupError::Aliases { what: what(name, kind) })
    }

    async fn step(&self, name: &Name, kind: RecordType) -> Result<Step, LookupError> {
        let query = Query::query(name.clone(), kind);
        match &self.servers(name).handle {
            Handle::Checked(handle) => {
                let answer = handle.lookup(query, self.options).first_answer().await;
                checked(answer.map(|answer| answer.into_message()), name, kind)
            }
            Handle::Unchecked(pool) => {
                let answer = pool.lookup(query, self.options).first_answer().await;
                unchecked(answer.map(|answer| answer.into_message()), name, kind)
            }
        }
    }
}

/// What came of a question whose answer was checked.
fn checked(
    answer: Result<Message, NetError>,
    name: &Name,
    kind: RecordType,
) -> Result<Step, LookupError> {
    match answer {
        Ok(message) => read(&message, name, kind, Security::Secure),
        // Proven, but by more rounds of a hash than anybody has to count: as good as unsigned (RFC 9276).
        Err(NetError::Dns(DnsError::Nsec { response, proof: Proof::Insecure, .. })) => {
            read(&response, name, kind, Security::Insecure)
        }
        Err(NetError::Dns(DnsError::Nsec { response, .. })) if is_referral(&response, name) => {
            Err(unavailable(name, kind, REFERRAL))
        }
        Err(NetError::Dns(DnsError::Nsec { response, .. })) => {
            Err(distrusted(&response, name, kind))
        }
        Err(NetError::Dns(DnsError::DnssecBogus)) => Err(bogus(name, kind)),
        Err(error) => Err(unavailable(name, kind, error)),
    }
}

/// What came of a question to servers that are believed.
fn unchecked(
    answer: Result<Message, NetError>,
    name: &Name,
    kind: RecordType,
) -> Result<Step, LookupError> {
    match answer {
        Ok(mut message) => {
            message.answers.iter_mut().for_each(|record| record.proof = Proof::Insecure);
            read(&message, name, kind, Security::Insecure)
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
            let NoRecords { soa, ns, negative_ttl, response_code, .. } = nothing;
            if soa.is_none() && ns.is_some() {
                return Err(unavailable(name, kind, REFERRAL));
            }
            Ok(Step::Records(Found {
                records: Vec::new(),
                security: Security::Insecure,
                ttl: Duration::from_secs(negative_ttl.unwrap_or(0).into()),
                missing: response_code == ResponseCode::NXDomain,
                aliased: false,
                zone: soa.map(|soa| soa.name.clone()).filter(|zone| zone.zone_of(name)),
            }))
        }
        Err(error) => Err(unavailable(name, kind, error)),
    }
}

/// The records of an answer that nobody has checked; none where it is an alias.
pub(crate) fn told(
    answer: Result<Message, NetError>,
    name: &Name,
    kind: RecordType,
) -> Result<Vec<RData>, LookupError> {
    match unchecked(answer, name, kind)? {
        Step::Records(found) => Ok(found.records),
        Step::Alias(..) => Ok(Vec::new()),
    }
}

/// What an answer says about `name`, trusted at most as far as `most`.
fn read(
    message: &Message,
    name: &Name,
    kind: RecordType,
    most: Security,
) -> Result<Step, LookupError> {
    let code = message.metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return Err(unavailable(name, kind, code));
    }
    let of = |kind: RecordType| {
        let is_meant = move |record: &&Record| record.name == *name && record.record_type() == kind;
        message.answers.iter().filter(is_meant)
    };
    let records: Vec<&Record> = of(kind).collect();
    if !records.is_empty() {
        let security = judged(&records).ok_or_else(|| distrusted(message, name, kind))?;
        if security == Security::Secure && is_unproven_wildcard(message, name) {
            return Err(bogus(name, kind));
        }
        let security = security.min(most);
        let ttl = shortest(&records);
        let records = records.into_iter().map(|record| record.data.clone()).collect();
        let (missing, aliased, zone) = (false, false, None);
        return Ok(Step::Records(Found { records, security, ttl, missing, aliased, zone }));
    }
    if let Some(alias) = of(RecordType::CNAME).next()
        && let RData::CNAME(CNAME(next)) = &alias.data
    {
        let security = judged(&[alias]).ok_or_else(|| distrusted(message, name, kind))?;
        if security == Security::Secure && is_unproven_wildcard(message, name) {
            return Err(bogus(name, kind));
        }
        let security = security.min(most);
        return Ok(Step::Alias(next.clone(), security, shortest(&[alias])));
    }
    nothing(message, name, kind)
        .map(|found| Step::Records(Found { security: found.security.min(most), ..found }))
}

/// What an answer without records proves.
///
/// hickory has looked for proofs already, but passes an answer on whose authority section holds nothing but
/// unsigned records, of whatever zone: such an answer counts only where they are of a zone that holds the name.
fn nothing(message: &Message, name: &Name, kind: RecordType) -> Result<Found, LookupError> {
    let authorities = &message.authorities;
    let of_type = |kind| authorities.iter().filter(move |record| record.record_type() == kind);
    let soa = of_type(RecordType::SOA).find(|record| record.name.zone_of(name));
    if is_referral(message, name) {
        return Err(unavailable(name, kind, REFERRAL));
    }
    let is_unsigned = |record: &Record| record.proof == Proof::Insecure;
    let all_unsigned = !authorities.is_empty() && authorities.iter().all(is_unsigned);
    let security = match soa {
        _ if is_proof_there(message) => Security::Secure,
        None if all_unsigned => return Err(distrusted(message, name, kind)),
        // No authority at all: hickory has seen that the zone is not signed, or it would have refused.
        _ => Security::Insecure,
    };
    let ttl = soa.map_or(Duration::ZERO, negative_ttl);
    let missing = message.metadata.response_code == ResponseCode::NXDomain;
    let zone = soa.map(|soa| soa.name.clone());
    Ok(Found { records: Vec::new(), security, ttl, missing, aliased: false, zone })
}

/// Whether there is a proof that something does not exist; that it fits, hickory has seen to.
fn is_proof_there(message: &Message) -> bool {
    message.authorities.iter().any(|record| {
        record.proof == Proof::Secure
            && matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3)
    })
}

/// Whether a signature is that of a wildcard, which says nothing about `name` itself, and no proof is there that
/// there is no such name. hickory sees to it, but not where all authorities are unsigned.
fn is_unproven_wildcard(message: &Message, name: &Name) -> bool {
    let is_wildcard = |record: &Record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => {
            record.name == *name && signature.input().num_labels < name.num_labels()
        }
        _ => false,
    };
    message.answers.iter().any(is_wildcard) && !is_proof_there(message)
}

/// Whether the server only says who else might know.
fn is_referral(message: &Message, name: &Name) -> bool {
    let has = |kind| {
        let of_kind = |record: &Record| record.record_type() == kind && record.name.zone_of(name);
        message.authorities.iter().any(of_kind)
    };
    message.answers.is_empty() && has(RecordType::NS) && !has(RecordType::SOA)
}

/// Of a set of records: all of one kind, or nothing is believed.
fn judged(records: &[&Record]) -> Option<Security> {
    let is = |proof| records.iter().all(|record| record.proof == proof);
    match () {
        () if is(Proof::Secure) => Some(Security::Secure),
        () if is(Proof::Insecure) => Some(Security::Insecure),
        () => None,
    }
}

fn shortest(records: &[&Record]) -> Duration {
    let ttl = records.iter().map(|record| record.ttl).min().unwrap_or(0);
    Duration::from_secs(ttl.into())
}

/// RFC 2308, section 5.
fn negative_ttl(soa: &Record) -> Duration {
    let minimum = match &soa.data {
        RData::SOA(soa) => soa.minimum,
        _ => 0,
    };
    Duration::from_secs(soa.ttl.min(minimum).into())
}

fn what(name: &Name, kind: RecordType) -> String {
    format!("{name} {kind}")
}

fn bogus(name: &Name, kind: RecordType) -> LookupError {
    LookupError::Bogus { what: what(name, kind) }
}

/// Why an answer counts for nothing: something is signed and does not fit, or nothing is.
fn distrusted(message: &Message, name: &Name, kind: RecordType) -> LookupError {
    let is_of_dnssec = |record: &Record| matches!(record.data, RData::DNSSEC(_));
    match message.answers.iter().chain(&message.authorities).any(is_of_dnssec) {
        true => bogus(name, kind),
        false => LookupError::Unproven { what: what(name, kind) },
    }
}

fn unavailable(name: &Name, kind: RecordType, reason: impl ToString) -> LookupError {
    LookupError::Unavailable { what: what(name, kind), reason: reason.to_string() }
}

/// What a server says that has not the zone.
const REFERRAL: &str = "the server knows nothing and refers to others";

/// Aliases that are followed. One is usual, and each is another question.
const MAX_ALIASES: usize = 4;

/// How deep signatures are followed: a name has at most 127 labels, but nobody's zones lie a dozen deep.
const MAX_DEPTH: usize = 26;

#[cfg(test)]
mod tests;
