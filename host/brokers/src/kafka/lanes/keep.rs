//! When what is true of a lane is kept on this host's disk, and when it is taken from there: `cache.rs` says how.
//!
//! What does not work is told at `debug`, and the log is read; a take-over fails with it only where the lane's
//! producer does.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use uuid::Uuid;

use super::cache::{self, Start};
use super::lane::{Held, record};
use super::mark::{POSITIONS_WORD, STATE_WORD};
use super::moment::Moment;
use super::ours::{Ours, look};
use super::recover::{self, Ends, Read};
use super::truth::Truth;
use super::turn::Turn;
use crate::broker::{BrokerError, TopicRef};
use crate::kafka::cluster::Cluster;
use crate::kafka::native::admin::{Seen, TopicDescription};
use crate::kafka::topics;

/// Records that are worth keeping at once what was read of them: some hundred milliseconds of reading.
const MUCH: u64 = 10_000;

/// How long keeping may hold up whoever gets the lane next.
const RELEASE: Duration = Duration::from_secs(3);

/// Files that are read or written at a time, by all lanes of this process: one that is read is in memory as a
/// whole, beside what is made of it.
static FILES: Semaphore = Semaphore::const_new(2);

/// What is true of a lane that is ours, from this host's disk and the rest of the log where that is sound, else
/// from the whole log.
pub(super) async fn read(
    cluster: &Cluster,
    ours: &Ours,
    lane: u32,
) -> Result<(Truth, Read), BrokerError> {
    if let Some((mut truth, start)) = from_disk(cluster, ours, lane).await {
        match recover::read_rest(cluster, ours, lane, &mut truth, start).await {
            Ok(Some(read)) => return Ok((truth, read)),
            Ok(None) => left_aside(lane, "the log is not the one that it stands for"),
            Err(error @ (BrokerError::Unavailable(_) | BrokerError::Refused(_))) => {
                return Err(error);
            }
            Err(error) => left_aside(lane, &error.to_string()),
        }
    }
    let mut truth = Truth::of_whole_log();
    let read = recover::read(cluster, ours, lane, &mut truth).await?;
    Ok((truth, read))
}

async fn from_disk(cluster: &Cluster, ours: &Ours, lane: u32) -> Option<(Truth, Start)> {
    let path = cache::path(cluster.options(), ours, lane)?;
    if !path.exists() {
        return None;
    }
    let kept = keep_deletions_for(cluster, ours).await?;
    let (identity, of) = (cluster.options().identity.clone(), ours.clone());
    let permit = FILES.acquire().await.ok()?;
    let read = spawn_blocking(move || {
        // Let go when it is done, also where nobody waits for it any more.
        let _permit = permit;
        let now = Moment::now().ok_or("nobody knows how old it is")?;
        cache::read(&path, &identity, &of, lane, (kept, now))
    });
    let read = read.await;
    let (truth, start) = match read.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(found) => found?,
        Err(why) => {
            left_aside(lane, &why);
            return None;
        }
    };
    let [positions, state] = spans(cluster, ours, lane).await?;
    let is_in = |(begin, end): (u64, u64), at: u64| begin <= at && at <= end;
    if !is_in(positions, start.ends.positions) || !is_in(state, start.ends.state) {
        left_aside(lane, "the log begins behind it, or ends before it");
        return None;
    }
    Some((truth, start))
}

fn left_aside(lane: u32, cause: &str) {
    tracing::debug!(lane, cause, "left aside what the disk knows of a lane, and read all of it");
}

/// Keeps what was just read of a lane, where that was much. Whether the lane is still held.
pub(super) async fn after(turn: &Turn<'_>, held: &mut Held, read: Read) -> bool {
    if read.records < MUCH {
        return true;
    }
    let truth = held.truth.clone();
    keep(turn, held, truth, read.ends).await
}

/// Keeps what is true of a lane that is given up. The lane is of no use after that.
pub(super) async fn at_the_end(turn: &Turn<'_>, mut held: Held) {
    let kept = async {
        let Some([(_, positions), (_, state)]) = spans(turn.cluster, turn.ours, turn.lane).await
        else {
            return;
        };
        let truth = std::mem::take(&mut held.truth);
        keep(turn, &mut held, truth, Ends { positions, state }).await;
    };
    if timeout(RELEASE, kept).await.is_err() {
        tracing::debug!(lane = turn.lane, "took too long to keep a lane on the disk");
    }
}

/// Whether the lane is still held. Who was fenced commits no word, and so keeps nothing: what he believes may
/// not be true any more.
async fn keep(turn: &Turn<'_>, held: &mut Held, truth: Truth, ends: Ends) -> bool {
    let Turn { cluster, ours, lane, .. } = *turn;
    let Some(path) = cache::path(cluster.options(), ours, lane) else { return true };
    let Some(kept) = keep_deletions_for(cluster, ours).await else { return true };
    let Some(now) = Moment::now() else { return true };
    let age = truth.read_whole.ok_or("nobody knows when it was read").and_then(|at| at.age(&now));
    if let Err(cause) = age.map_err(str::to_owned).and_then(|age| cache::is_young(age, kept)) {
        tracing::debug!(lane, cause, "did not keep a lane on the disk");
        return true;
    }
    let start = Start { ends, word: Uuid::new_v4() };
    let word = |key: &'static [u8]| {
        let value = Bytes::copy_from_slice(start.word.as_bytes());
        vec![record(Bytes::from_static(key), Some(value))]
    };
    let (is_held, said) = turn.write_alone(held, word(POSITIONS_WORD), word(STATE_WORD)).await;
    let cause = match said {
        Err(error) => error.to_string(),
        Ok(()) => {
            let (identity, of) = (cluster.options().identity.clone(), ours.clone());
            let Ok(permit) = FILES.acquire().await else { return is_held };
            let written = spawn_blocking(move || {
                let _permit = permit;
                cache::write(&path, &identity, &of, lane, (&truth, start, now, kept))
            });
            match written.await.map_err(std::io::Error::other).flatten() {
                Ok(()) => return is_held,
                Err(error) => error.to_string(),
            }
        }
    };
    tracing::debug!(lane, cause, "did not keep a lane on the disk");
    is_held
}

/// How far both logs of a lane reach.
async fn spans(cluster: &Cluster, ours: &Ours, lane: u32) -> Option<[(u64, u64); 2]> {
    let [positions, state] = look(cluster, [&ours.positions, &ours.state]).await.ok()?;
    let positions = span(cluster, &ours.positions, positions?, lane).await?;
    Some([positions, span(cluster, &ours.state, state?, lane).await?])
}

async fn span(
    cluster: &Cluster,
    topic: &TopicRef,
    found: TopicDescription,
    lane: u32,
) -> Option<(u64, u64)> {
    let found = cluster.alive(topic, Some(found)).ok()?;
    let spans = topics::spans(cluster, &found, Seen::Everything).await.ok()?;
    let (begin, end) = spans.get(&i32::try_from(lane).ok()?)?;
    Some((u64::try_from(*begin).ok()?, u64::try_from(*end).ok()?))
}

/// How long both topics keep deletions at least, in milliseconds.
async fn keep_deletions_for(cluster: &Cluster, ours: &Ours) -> Option<u64> {
    let mut least = u64::MAX;
    for topic in [&ours.positions, &ours.state] {
        let settings = topics::settings(cluster, &topic.topic).await.ok()?;
        let kept = settings.iter().find(|setting| setting.name == "delete.retention.ms")?;
        least = least.min(kept.value.parse().ok()?);
    }
    Some(least)
}
