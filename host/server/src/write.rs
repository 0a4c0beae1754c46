//! WRITE: events in, a batch at a time, all or none.

use std::sync::atomic::Ordering;

use fnap::reply::{Code, Failure, Reply};
use fnap::rights::Right;
use fnap::server::WriteBatch;
use host_brokers::{Append, Token};
use host_events::clock::now;
use host_events::{Record, from_write_line, partition_for_key};
use host_iam::Principal;
use host_registry::FlowStatus;

use crate::line::Place;
use crate::may;
use crate::perform::{broker_failure, count, find_flow};
use crate::services::Services;

/// Writes the events of one WRITE, behind those of its connection that came before, and answers when they are safe.
pub(crate) async fn write(
    services: &Services,
    principal: &Principal,
    batch: WriteBatch,
    place: Place,
) -> Reply {
    let octets: usize = batch.lines.iter().map(|line| line.len()).sum();
    let written = try_write(services, principal, batch, place).await;
    count(services, &"WRITE", written.as_ref().err().map(|failure| failure.code));
    match written {
        Ok(count) => {
            services.traffic.events_written.add(count);
            services.traffic.bytes_written.add(octets as u64);
            Reply::ok_with(format_args!("{count} events"))
        }
        Err(failure) => failure.into(),
    }
}

async fn try_write(
    services: &Services,
    principal: &Principal,
    batch: WriteBatch,
    place: Place,
) -> Result<u64, Failure> {
    may::on_flow(services, principal, Right::Write, &batch.flow)?;
    let flow = find_flow(services, &batch.flow).await?;
    if flow.status == FlowStatus::Paused {
        return Err(Failure::new(Code::Unavailable, format!("flow {} is paused", flow.name)));
    }
    let (broker, topic) = services.topic_of(&flow)?;
    // Events without a key stay together, as Kafka's sticky partitioner keeps a batch together.
    let turn = services.spread.fetch_add(1, Ordering::Relaxed) % flow.partitions.max(1);
    let now = now();
    let mut records = Vec::with_capacity(batch.lines.len());
    for (line, number) in batch.lines.iter().zip(1..) {
        let event = from_write_line(line)
            .map_err(|error| Failure::new(Code::InvalidEvent, format!("line {number}: {error}")))?;
        let record = event.into_record(now);
        records.push((partition_of(&record, flow.partitions, turn), record));
    }
    let token = batch
        .token
        .map(|token| Token { principal: principal.to_string(), token: token.as_str().to_owned() });
    let appended = place.append(&*broker, &topic, Append { records, token }).await;
    appended.map(|appended| appended.count).map_err(|error| broker_failure(&error))
}

fn partition_of(record: &Record, partitions: u32, turn: u32) -> u32 {
    record.key.as_ref().map_or(turn, |key| partition_for_key(key, partitions))
}
