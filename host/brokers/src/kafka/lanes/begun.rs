//! How far the beginning of the lanes came in a topic: which of its partitions are marked, and that none of them
//! ever held anything else.
//!
//! A partition to which nothing was ever written is as good as a marked one. One that holds something else, or
//! held something and is empty now, is not at its beginning: nothing may begin there.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use futures::future::try_join_all;

use super::mark::Mark;
use super::recover::Reader;
use crate::broker::{BrokerError, TopicRef};
use crate::kafka::cluster::Cluster;
use crate::kafka::native::admin::{Seen, TopicDescription};
use crate::kafka::topics;

/// Most consumers that read partitions at once: each costs threads, and what there is to read is little.
const READERS: usize = 4;

/// Which lanes are marked in a topic of which nothing else is known.
pub(super) enum Begun {
    Marked(BTreeSet<u32>),
    /// There is, or was, something else; says what.
    More(String),
}

/// What a partition holds.
enum Held {
    Marks,
    Nothing,
    Other,
}

/// Reads all partitions of a topic to which anything was written.
pub(super) async fn begun(
    cluster: &Cluster,
    topic: &TopicRef,
    there: &TopicDescription,
    key: &[u8],
    mark: &Mark,
) -> Result<Begun, BrokerError> {
    let spans = topics::spans(cluster, there, Seen::Everything).await?;
    let written = spans.iter().filter(|(_, (_, end))| *end > 0);
    let written: Vec<_> = written.filter_map(|(number, _)| u32::try_from(*number).ok()).collect();
    let each = written.len().div_ceil(READERS).max(1);
    let parts = written.chunks(each).map(|lanes| read(cluster, topic, lanes, key, mark));
    let mut marked = BTreeSet::new();
    for (lane, held) in try_join_all(parts).await?.into_iter().flatten() {
        let words = match held {
            Held::Marks => {
                marked.insert(lane);
                continue;
            }
            Held::Nothing => "it was emptied",
            Held::Other => "it has records, and lane 0 none that says how many lanes there are",
        };
        return Ok(Begun::More(format!("partition {lane}: {words}")));
    }
    Ok(Begun::Marked(marked))
}

/// What some partitions hold, read by one consumer.
async fn read(
    cluster: &Cluster,
    topic: &TopicRef,
    lanes: &[u32],
    key: &[u8],
    mark: &Mark,
) -> Result<Vec<(u32, Held)>, BrokerError> {
    let mut reader = Reader::open(cluster, &[topic], 0).await?;
    let mut found = Vec::with_capacity(lanes.len());
    let mut ended = Ok(());
    for lane in lanes {
        reader.turn_to(*lane);
        match held(&reader, cluster, topic, key, &mark.of(*lane)).await {
            Ok(held) => found.push((*lane, held)),
            Err(error) => {
                ended = Err(error);
                break;
            }
        }
    }
    reader.close();
    ended.map(|()| found)
}

async fn held(
    reader: &Reader,
    cluster: &Cluster,
    topic: &TopicRef,
    wanted: &[u8],
    mark: &Mark,
) -> Result<Held, BrokerError> {
    let mut held = Held::Nothing;
    let read = reader.read(cluster, topic, None, |key, value| {
        if *key != *wanted {
            held = Held::Other;
            return Ok(ControlFlow::Break(()));
        }
        mark.agree(value.as_deref().unwrap_or_default())?;
        held = Held::Marks;
        Ok(ControlFlow::Continue(()))
    });
    read.await?;
    Ok(held)
}
