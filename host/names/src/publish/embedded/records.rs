//! A change of a zone's records in memory, as RFC 2136 says what it means (section 3.4.2).
//!
//! Only types of records that are ours come here, so that a zone cannot lose its SOA and NS records.

use std::collections::BTreeMap;
use std::sync::Arc;

use hickory_server::proto::rr::rdata::{NS, SOA};
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordSet, RecordType, RrKey};

use crate::AGENT_SERVICE;
use crate::publish::records::ID;
use crate::publish::wire::{impossible, name, record_type, records};
use crate::publish::{Change, Doubt, Outcome, Owner, PublishError, Set};

type Records = BTreeMap<RrKey, Arc<RecordSet>>;

/// What an empty zone has.
pub(super) fn apex(
    origin: &Name,
    server: &Owner,
    serial: u32,
) -> Result<BTreeMap<RrKey, RecordSet>, PublishError> {
    let server = name(server)?;
    let contact = Name::from_labels([&b"hostmaster"[..]].into_iter().chain(origin.iter()))
        .map_err(|error| impossible(error.to_string()))?;
    let (refresh, retry, expire) = INTERVALS;
    let soa = SOA::new(server.clone(), contact, serial, refresh, retry, expire, NOTHING_FOR);
    let set = |data: RData| {
        let key = RrKey::new(LowerName::new(origin), data.record_type());
        let mut set = RecordSet::with_ttl(origin.clone(), key.record_type, APEX_TTL);
        set.add_rdata(data);
        (key, set)
    };
    Ok([set(RData::SOA(soa)), set(RData::NS(NS(server)))].into())
}

/// Makes a change, or nothing of it; the serial rises where something is different afterwards.
pub(super) fn change(
    zone: &mut Records,
    origin: &Name,
    change: &Change,
    now: u32,
) -> Result<Outcome, PublishError> {
    let recognised = sort_out(zone, change)?;
    // What may fail comes before what is changed.
    let add = prepared(&change.add)?;
    let mut remove = prepared(&change.remove)?;
    for Doubt { flow, id, remove: doubtful } in &change.doubtful {
        if has_id(zone, flow, id)? {
            remove.extend(prepared(doubtful)?);
        }
    }
    let mut changed = false;
    for (key, records) in remove {
        changed |= take(zone, key, &records);
    }
    for (key, records) in add {
        changed |= put(zone, key, records);
    }
    if changed {
        raise(zone, origin, now);
    }
    Ok(Outcome { recognised })
}

fn sort_out(zone: &Records, change: &Change) -> Result<Vec<Owner>, PublishError> {
    let (mut ours, mut taken) = (Vec::new(), Vec::new());
    for (flow, id) in &change.fresh {
        let lower = LowerName::new(&name(flow)?);
        let first = RrKey::new(lower.clone(), RecordType::Unknown(u16::MIN));
        let here = zone.range(first..).map(|(key, _)| key).take_while(|key| key.name == lower);
        // Those of the zone itself do not make its name somebody's.
        let of_zone = [RecordType::SOA, RecordType::NS];
        let in_use = here.into_iter().any(|key| !of_zone.contains(&key.record_type));
        if in_use {
            if has_id(zone, flow, id)? { &mut ours } else { &mut taken }.push(flow.clone());
        }
    }
    if taken.is_empty() {
        Ok(ours)
    } else {
        Err(PublishError::Taken { owners: taken, partly: false })
    }
}

fn has_id(zone: &Records, flow: &Owner, id: &str) -> Result<bool, PublishError> {
    let service: Owner = format!("{AGENT_SERVICE}.{flow}")
        .parse()
        .map_err(|error| impossible(format!("{flow}: {error}")))?;
    let key = RrKey::new(LowerName::new(&name(&service)?), RecordType::TXT);
    let wanted = format!("{ID}={id}");
    let says = |record: &Record| match &record.data {
        RData::TXT(text) => text.txt_data.iter().any(|string| **string == *wanted.as_bytes()),
        _ => false,
    };
    Ok(zone.get(&key).is_some_and(|set| set.records_without_rrsigs().any(says)))
}

fn prepared(sets: &[Set]) -> Result<Vec<(RrKey, Vec<Record>)>, PublishError> {
    let prepare = |set: &Set| {
        let key = RrKey::new(LowerName::new(&name(&set.owner)?), record_type(set.kind()));
        Ok((key, records(set)?))
    };
    sets.iter().map(prepare).collect()
}

fn take(zone: &mut Records, key: RrKey, records: &[Record]) -> bool {
    let Some(set) = zone.get_mut(&key) else { return false };
    let set = Arc::make_mut(set);
    let mut changed = false;
    for record in records {
        changed |= set.remove(record, 0);
    }
    if set.is_empty() {
        zone.remove(&key);
    }
    changed
}

fn put(zone: &mut Records, key: RrKey, records: Vec<Record>) -> bool {
    let Some(first) = records.first() else { return false };
    let ttl = first.ttl;
    let empty = || Arc::new(RecordSet::with_ttl(first.name.clone(), key.record_type, ttl));
    let set = Arc::make_mut(zone.entry(key.clone()).or_insert_with(empty));
    let mut changed = set.ttl() != ttl;
    for record in records {
        changed |= set.insert(record, 0);
    }
    set.set_ttl(ttl);
    changed
}

fn raise(zone: &mut Records, origin: &Name, now: u32) {
    let key = RrKey::new(LowerName::new(origin), RecordType::SOA);
    let Some(set) = zone.get_mut(&key) else { return };
    let Some(RData::SOA(soa)) = set.records_without_rrsigs().next().map(|record| &record.data)
    else {
        return;
    };
    let mut soa = soa.clone();
    soa.serial = soa.serial.wrapping_add(1).max(now);
    let mut next = RecordSet::with_ttl(origin.clone(), RecordType::SOA, APEX_TTL);
    next.add_rdata(RData::SOA(soa));
    *set = Arc::new(next);
}

/// TTL of SOA and NS records, in seconds: they change when somebody configures something else.
const APEX_TTL: u32 = 300;

/// How long it may be remembered that there is nothing, in seconds: who made a flow does not wait an hour to be found.
const NOTHING_FOR: u32 = 30;

/// Refresh, retry and expire, in seconds: for secondary servers, of which there are none.
const INTERVALS: (i32, i32, i32) = (3_600, 600, 86_400);
