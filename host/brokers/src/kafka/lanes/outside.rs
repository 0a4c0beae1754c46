//! What is known and done about a lane that another host of the identity holds.
//!
//! Takes nothing from its holder and writes nothing with the lane's transactional id.

use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use super::begin::write;
use super::ours::Ours;
use super::truth::Truth;
use super::{format, lane, recover};
use crate::broker::{BrokerError, Output};
use crate::kafka::cluster::Cluster;
use crate::kafka::native::admin;

/// How long who needs a lane waits before he asks whether another host has it, and between two questions: a
/// group that shares lanes out anew is done in less, where no host has died.
const ASKS_AFTER: Duration = Duration::from_secs(2);

/// Deletes what a lane holds of a processor that was deleted, without holding the lane.
///
/// This is sound because of what deletions here are. A processor's id never comes again, so nothing that is
/// true later is deleted with it, in whatever order this and a commit of the holder reach the log. Its keys are
/// read from the log; what a holder who still ran it added after that stays, is of no processor, and costs room
/// alone. Such records are in no transaction, so they hide nothing from whoever reads the lane, and a holder is
/// not fenced by them: he goes on with what he knows, which is the same but for that processor.
pub(super) async fn forget(
    cluster: &Cluster,
    ours: &Ours,
    number: u32,
    processor: Uuid,
) -> Result<(), BrokerError> {
    ours.confirm(cluster).await?;
    let mut truth = Truth::default();
    recover::read(cluster, ours, number, &mut truth).await?;
    let (positions, state) = deletions(&truth, processor);
    let outputs = [(&ours.positions, positions), (&ours.state, state)];
    let outputs =
        outputs.map(|(topic, records)| Output { topic: topic.clone(), partition: number, records });
    write(cluster, outputs.into()).await
}

/// Records that delete what a lane holds of a processor.
pub(super) fn deletions(
    truth: &Truth,
    processor: Uuid,
) -> (Vec<host_events::Record>, Vec<host_events::Record>) {
    let (mut positions, mut state) = (Vec::new(), Vec::new());
    for (shard, truth) in truth.shards.iter().filter(|(shard, _)| shard.processor == processor) {
        positions.push(lane::record(format::shard_key(*shard), None));
        let keys = truth.state.keys();
        state.extend(keys.map(|key| lane::record(format::state_key(*shard, key), None)));
    }
    (positions, state)
}

/// Which other host has a lane, told once the group says that one has: who, and where from.
pub(super) async fn holder(cluster: &Cluster, ours: &Ours, number: u32) -> String {
    loop {
        sleep(ASKS_AFTER).await;
        // Who is not answered waits on.
        if let Ok(Some(holder)) = ask_holder(cluster, ours, number).await {
            return holder;
        }
    }
}

async fn ask_holder(
    cluster: &Cluster,
    ours: &Ours,
    number: u32,
) -> Result<Option<String>, BrokerError> {
    let options = cluster.options();
    let group = format!("fnaa.{}", options.identity);
    let asked =
        cluster.ask_coordinator(async |handle| admin::describe_groups(&handle, &[&group]).await);
    let groups = asked.await.map_err(|fault| cluster.fault("", &fault))?;
    let has_it = |given: &admin::Given| {
        given.topic == *ours.positions.topic
            && u32::try_from(given.partition) == Ok(number)
            && given.instance != options.instance
    };
    let given = groups.into_iter().find_map(|group| group.given.into_iter().find(has_it));
    Ok(given.map(|given| format!("{} at {}", given.instance, given.host.trim_start_matches('/'))))
}
