//! Reading what is true of a lane, after its producer has settled what was left behind.
//!
//! Reads committed records until the end that the log had then. A transaction of somebody else in the
//! partition would hide newer records: then it waits, and says so at last. Nothing is passed over: a lane that
//! does not begin as it was begun, and a record that belongs to another lane, are refused.

mod check;
mod reader;

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::mark::Mark;
use super::ours::Ours;
use super::truth::Truth;
use crate::broker::{BrokerError, TopicRef};
use crate::kafka::cluster::Cluster;

pub(super) use check::Check;
pub(super) use reader::Reader;

/// Offsets up to which a lane is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ends {
    pub(super) positions: u64,
    pub(super) state: u64,
}

/// What was read of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) ends: Ends,
    pub(super) records: u64,
}

/// What reads a lane: made before it is needed, because connecting takes time.
pub(super) async fn reader(
    cluster: &Cluster,
    ours: &Ours,
    lane: u32,
) -> Result<Reader, BrokerError> {
    Reader::open(cluster, &[&ours.positions, &ours.state], lane).await
}

/// Reads a lane.
pub(super) async fn read(
    cluster: &Cluster,
    ours: &Ours,
    lane: u32,
    truth: &mut Truth,
) -> Result<Read, BrokerError> {
    let reader = reader(cluster, ours, lane).await?;
    let read = reader.whole(cluster, &mut Check::of_log(ours, lane), truth).await;
    reader.close();
    read
}

impl Reader {
    /// Reads all of a lane.
    pub(super) async fn whole(
        &self,
        cluster: &Cluster,
        check: &mut Check<'_>,
        truth: &mut Truth,
    ) -> Result<Read, BrokerError> {
        self.read_lane(cluster, check, truth, None).await
    }

    /// Reads what came to a lane after what is known of it; nothing where it is not the lane that is known.
    pub(super) async fn rest(
        &self,
        cluster: &Cluster,
        check: &mut Check<'_>,
        truth: &mut Truth,
        from: Ends,
    ) -> Result<Option<Read>, BrokerError> {
        match self.read_lane(cluster, check, truth, Some(from)).await {
            Ok(_) if !check.has_words() => Ok(None),
            read => read.map(Some),
        }
    }

    async fn read_lane(
        &self,
        cluster: &Cluster,
        check: &mut Check<'_>,
        truth: &mut Truth,
        from: Option<Ends>,
    ) -> Result<Read, BrokerError> {
        let (ours, mut records) = (check.ours(), 0);
        let begin = from.map(|from| from.positions);
        let positions = self.read(cluster, &ours.positions, begin, |key, value| {
            records += 1;
            check.position(truth, key, value).map(ControlFlow::Continue)
        });
        let positions = positions.await?;
        check.done(cluster, &ours.positions)?;
        let begin = from.map(|from| from.state);
        let state = self.read(cluster, &ours.state, begin, |key, value| {
            records += 1;
            check.state(truth, key, value).map(ControlFlow::Continue)
        });
        let state = state.await?;
        check.done(cluster, &ours.state)?;
        Ok(Read { ends: Ends { positions, state }, records })
    }
}

/// What lane 0 begins with in a topic, if it begins at all.
pub(super) async fn mark(
    cluster: &Cluster,
    topic: &TopicRef,
    wanted: &[u8],
) -> Result<Option<Mark>, BrokerError> {
    let (reader, mut mark) = (Reader::open(cluster, &[topic], 0).await?, None);
    let read = reader.read(cluster, topic, None, |key, value| {
        if *key != *wanted {
            return Ok(ControlFlow::Continue(()));
        }
        mark = value.as_deref().map(Mark::read).transpose()?;
        Ok(ControlFlow::Break(()))
    });
    let read = read.await;
    reader.close();
    read.map(|_| mark)
}
