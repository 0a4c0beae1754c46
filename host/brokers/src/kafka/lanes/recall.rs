//! What this host's disk knows of a lane that it takes over, and the rest of the log; or all of the log.
//!
//! A file is read while the lane is waited for, and beside whatever else a take-over has to ask: what it says is
//! looked at when the lane is ours, and counts only where the log still is the one that it stands for. What does not
//! fit is told at `debug`, and all of the log is read.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::cache::{self, Known};
use super::keep::Kept;
use super::lane::World;
use super::moment::Moment;
use super::ours::{Ours, look};
use super::recover::{Check, Read, Reader};
use super::take::millis;
use super::truth::Truth;
use crate::broker::{BrokerError, TopicRef};
use crate::kafka::cluster::Cluster;
use crate::kafka::native::admin::{Seen, TopicDescription};
use crate::kafka::topics;

/// Files that are read or written at a time, by all lanes of this process: each keeps a core busy.
pub(super) static FILES: Semaphore = Semaphore::const_new(2);

/// How long what was read of the disk waits for its lane. Longer than a group needs to give an ended host up and to
/// share its lanes out; after that another host has the lane, and it is not worth the memory.
const WAITS: Duration = Duration::from_secs(30);

/// Octets of files, all lanes of this process together, that are read before their lanes are this host's: as many as one
/// file may have at most. Who restarts one of two hosts has room for what the other one holds, too; what is beyond that
/// is read when its lane is given.
const MOST_EARLY: u64 = cache::MOST;

/// What of that is taken.
static EARLY: Room = Room(AtomicU64::new(0));

/// A file that is being read, or was.
type Reading = JoinHandle<Result<Option<Known>, String>>;

/// Octets that are taken together.
struct Room(AtomicU64);

/// Some of them, given back when dropped.
struct Taken(&'static Room, u64);

impl Room {
    fn take(&'static self, octets: u64) -> Option<Taken> {
        let fits = |taken: u64| taken.checked_add(octets).filter(|all| *all <= MOST_EARLY);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.is_ok().then(|| Taken(self, octets))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// What is read of the disk before a lane is this host's: once, when its lanes are first waited for.
#[derive(Default)]
pub(super) struct Early {
    has_begun: AtomicBool,
    reading: Mutex<Option<(Reading, Taken)>>,
}

impl Early {
    /// Begins to read a lane's file, where there is one, and room for it: the first time.
    pub(super) fn begin(world: &Arc<World>) {
        if world.early.has_begun.swap(true, Ordering::Relaxed) {
            return;
        }
        let Some(path) = path(world) else { return };
        let Some(taken) = path.metadata().ok().and_then(|file| EARLY.take(file.len())) else {
            return;
        };
        let (ended, end) = oneshot::channel();
        *world.early.lock() = Some((begin(world, path, Some(ended)), taken));
        let world = Arc::downgrade(world);
        tokio::spawn(async move {
            // However it ended.
            drop(end.await);
            sleep(WAITS).await;
            if let Some(world) = world.upgrade() {
                drop(world.early.lock().take());
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Reading, Taken)>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a lane's file lies, if it does.
fn path(World { number, cluster, ours, .. }: &World) -> Option<PathBuf> {
    cache::path(cluster.options(), ours, *number).filter(|path| path.exists())
}

/// Begins to read a file; `ended` goes when that has ended.
fn begin(world: &World, path: PathBuf, ended: Option<oneshot::Sender<()>>) -> Reading {
    let World { number, cluster, ours, .. } = world;
    let (identity, ours, lane) = (cluster.options().identity.clone(), Arc::clone(ours), *number);
    tokio::spawn(async move {
        let _ended = ended;
        let permit = FILES.acquire().await.map_err(|error| error.to_string())?;
        let read = spawn_blocking(move || {
            // Let go when it is done, also where nobody waits for it any more.
            let _permit = permit;
            let (now, begun) = (Moment::now().ok_or("nobody knows how old it is")?, Instant::now());
            let known = cache::read(&path, &identity, &ours, lane, &now);
            let ms = millis(begun.elapsed());
            tracing::debug!(lane, ms, "read what the disk knows of a lane");
            known
        });
        read.await.unwrap_or_else(|error| Err(error.to_string()))
    })
}

/// What the disk knows of a lane, where that may be true as far as can be said without reading the log.
pub(super) async fn known(world: &World) -> Option<Known> {
    let World { number, cluster, ours, early, .. } = world;
    let early = early.lock().take();
    // What is taken over now is no longer early.
    let reading = match early {
        Some((reading, _)) => reading,
        None => begin(world, path(world)?, None),
    };
    let asked =
        async { tokio::join!(keep_deletions_for(cluster, ours), spans(cluster, ours, *number)) };
    let (read, (kept, spans)) = tokio::join!(reading, asked);
    let (kept, [positions, state]) = kept.zip(spans)?;
    let known = match read.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(found) => found?,
        Err(why) => return left_aside(*number, &why),
    };
    let Some(now) = Moment::now() else { return left_aside(*number, "nobody knows how old it is") };
    if let Err(why) = known.is_sound(kept, &now) {
        return left_aside(*number, &why);
    }
    let is_in = |(begin, end): (u64, u64), at: u64| begin <= at && at <= end;
    let ends = known.start.ends;
    if !is_in(positions, ends.positions) || !is_in(state, ends.state) {
        return left_aside(*number, "the log begins behind it, or ends before it");
    }
    Some(known)
}

/// What is true of a lane that is ours: what was known and the rest of the log where that is sound, else all of the
/// log.
pub(super) async fn read(
    World { number: lane, cluster, ours, .. }: &World,
    reader: &Reader,
    known: Option<Known>,
) -> Result<(Truth, Read, Kept), BrokerError> {
    if let Some(Known { mut truth, start, .. }) = known {
        let mut check = Check::of_rest(ours, *lane, start.word);
        let cause = match reader.rest(cluster, &mut check, &mut truth, start.ends).await {
            Ok(Some(read)) => return Ok((truth, read, Kept::of(Some(start.ends)))),
            Ok(None) => "the log is not the one that it stands for".to_owned(),
            Err(error @ (BrokerError::Unavailable(_) | BrokerError::Refused(_))) => {
                return Err(error);
            }
            Err(error) => error.to_string(),
        };
        left_aside::<()>(*lane, &cause);
    }
    let mut truth = Truth::of_whole_log();
    let read = reader.whole(cluster, &mut Check::of_log(ours, *lane), &mut truth).await?;
    Ok((truth, read, Kept::default()))
}

fn left_aside<T>(lane: u32, cause: &str) -> Option<T> {
    tracing::debug!(lane, cause, "left aside what the disk knows of a lane, and read all of it");
    None
}

/// How far both logs of a lane reach.
pub(super) async fn spans(cluster: &Cluster, ours: &Ours, lane: u32) -> Option<[(u64, u64); 2]> {
    let [positions, state] = look(cluster, [&ours.positions, &ours.state]).await.ok()?;
    let (positions, state) = tokio::join!(
        span(cluster, &ours.positions, positions?, lane),
        span(cluster, &ours.state, state?, lane)
    );
    Some([positions?, state?])
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
pub(super) async fn keep_deletions_for(cluster: &Cluster, ours: &Ours) -> Option<u64> {
    let kept = async |topic: &TopicRef| -> Option<u64> {
        let settings = topics::settings(cluster, &topic.topic).await.ok()?;
        let kept = settings.iter().find(|setting| setting.name == "delete.retention.ms")?;
        kept.value.parse().ok()
    };
    let (positions, state) = tokio::join!(kept(&ours.positions), kept(&ours.state));
    Some(positions?.min(state?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_read_early_have_room_for_so_many_octets_together() {
        static ROOM: Room = Room(AtomicU64::new(0));
        let (half, other) = (ROOM.take(MOST_EARLY / 2), ROOM.take(MOST_EARLY / 2));
        assert!(half.is_some() && other.is_some());
        assert!(ROOM.take(1).is_none() && ROOM.take(u64::MAX).is_none());
        drop(other);
        assert!(ROOM.take(MOST_EARLY / 2 + 1).is_none());
        assert!(ROOM.take(MOST_EARLY / 2).is_some());
        drop(half);
        assert!(ROOM.take(MOST_EARLY).is_some());
    }
}
