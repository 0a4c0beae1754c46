//! Taking a snapshot: every shard is asked for what is committed, it is written down, and then it is one.
//!
//! By somebody's word, or by the rule `snapshots=hourly|daily`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host_events::clock::now;
use host_failpoints::failpoint;
use host_registry::{Desired, Processor};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    MANIFEST, PART, SNAPSHOT_BYTES, SNAPSHOTS, ShardSnapshot, Snapshot, SnapshotError,
    SnapshotShard, file, forget, kept, name, written,
};
use crate::reconfigure::Ask;
use crate::supervisor::Processors;

/// How long a shard may take to answer: it answers between two batches, and a batch may take its limit of time for
/// each event.
const PATIENCE: Duration = Duration::from_secs(15);

/// Time between two looks whether one is due: who wants one by rule gets the first at once, and a host that starts soon
/// runs what it is taken of.
const LOOK: Duration = Duration::from_secs(5);

/// Longest pause between two tries where one fails after the other.
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);

impl Processors {
    /// Takes a snapshot, and gives its number.
    ///
    /// # Errors
    /// Says why there is none; nothing is left of it then.
    pub async fn take_snapshot(&self, processor: &Processor) -> Result<u64, SnapshotError> {
        let dir = self.0.snapshots.of(processor.id).ok_or(SnapshotError::Nowhere)?;
        let _turn = self.0.snapshots.turn(processor.id).await;
        let asked = self.asks_of(processor.id).await;
        let taken = states(processor.name.as_str(), &asked).await?;
        let written = tokio::task::spawn_blocking(move || write(&dir, &taken)).await;
        let number = written.map_err(io::Error::other)??;
        tracing::info!(processor = %processor.name, number, "snapshot is taken");
        Ok(number)
    }

    /// Takes snapshots of those that want them by rule, until the future is dropped.
    pub async fn watch_snapshots(&self) {
        let mut known = Latest::default();
        loop {
            let mut rows = self.0.registry.processors().await.unwrap_or_default();
            rows.retain(|row| row.desired == Desired::Running && every(row).is_some());
            known.retain(|id, _| rows.iter().any(|row| row.id == *id));
            for row in &rows {
                self.take_if_due(row, known.entry(row.id).or_default()).await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn take_if_due(&self, row: &Processor, known: &mut Known) {
        let Some(every) = every(row) else { return };
        if !is_due(known.at, every, now()) || known.failed.as_ref().is_some_and(Failed::waits) {
            return;
        }
        // It may have been looked at before it was known, or one was taken by somebody's word.
        known.at = self.snapshots(row.id).await.last().map(|latest| latest.at);
        if !is_due(known.at, every, now()) {
            return;
        }
        match self.take_snapshot(row).await {
            Ok(_) => *known = Known { at: Some(now()), failed: None },
            Err(cause) => {
                let failed = Failed::after(known.failed.take(), cause.to_string());
                if failed.is_news {
                    let wait_ms = failed.pause.as_millis();
                    tracing::warn!(processor = %row.name, %cause, wait_ms, "no snapshot is taken yet");
                }
                known.failed = Some(failed);
            }
        }
    }
}

/// What is known of those that want one by rule, so that nobody reads the disk at every look.
type Latest = BTreeMap<Uuid, Known>;

#[derive(Default)]
struct Known {
    /// When the latest was taken.
    at: Option<i64>,
    /// Why there is none yet.
    failed: Option<Failed>,
}

/// The latest of some failures in a row.
struct Failed {
    cause: String,
    /// It is another cause than before.
    is_news: bool,
    pause: Duration,
    since: Instant,
}

impl Failed {
    /// One more. Trying asks all shards, and may write a gigabyte before it fails: each pause is twice as long as the last.
    fn after(before: Option<Self>, cause: String) -> Self {
        let is_news = before.as_ref().is_none_or(|before| before.cause != cause);
        let pause = before.map_or(LOOK, |before| (before.pause * 2).min(LONGEST_PAUSE));
        Self { cause, is_news, pause, since: Instant::now() }
    }

    fn waits(&self) -> bool {
        self.since.elapsed() < self.pause
    }
}

/// Whether it is time for one. Where the clock was set back, too, by as much.
fn is_due(latest: Option<i64>, every: Duration, now: i64) -> bool {
    latest.is_none_or(|at| u128::from(now.abs_diff(at)) >= every.as_millis())
}

/// How often a processor wants one.
fn every(row: &Processor) -> Option<Duration> {
    match row.option("snapshots")? {
        "hourly" => Some(Duration::from_secs(60 * 60)),
        "daily" => Some(Duration::from_secs(24 * 60 * 60)),
        _ => None,
    }
}

/// What is committed in each shard.
async fn states(
    processor: &str,
    shards: &[mpsc::Sender<Ask>],
) -> Result<Vec<ShardSnapshot>, SnapshotError> {
    let ended = || SnapshotError::NotRunning(processor.to_owned());
    let busy = || SnapshotError::Busy(processor.to_owned());
    let mut answers = Vec::new();
    for shard in shards {
        let (answer, answered) = oneshot::channel();
        shard.try_send(Ask::State(answer)).map_err(|error| match error {
            TrySendError::Full(_) => busy(),
            TrySendError::Closed(_) => ended(),
        })?;
        answers.push(answered);
    }
    let deadline = Instant::now() + PATIENCE;
    let mut states = Vec::new();
    for answered in answers {
        let answered = tokio::time::timeout_at(deadline, answered).await;
        states.push(answered.map_err(|_| busy())?.map_err(|_| ended())?);
    }
    match states.is_empty() {
        true => Err(ended()),
        false => Ok(states),
    }
}

/// Writes all of it, and makes room for it.
fn write(dir: &Path, taken: &[ShardSnapshot]) -> Result<u64, SnapshotError> {
    let shards: Vec<SnapshotShard> = taken.iter().map(described).collect();
    let bytes: u64 = shards.iter().map(|shard| shard.bytes).sum();
    if bytes > SNAPSHOT_BYTES {
        return Err(SnapshotError::TooLarge(bytes));
    }
    fs::create_dir_all(dir)?;
    leftovers(dir)?;
    let before = kept(dir);
    let number = before.last().map_or(0, |last| last.number).saturating_add(1);
    let part = dir.join(format!("{number}{PART}"));
    let written = write_parts(&part, taken, number, shards);
    if let Err(error) = written {
        fs::remove_dir_all(&part).ok();
        return Err(error.into());
    }
    failpoint!("snapshots.written");
    fs::rename(&part, dir.join(number.to_string()))?;
    sync(dir)?;
    failpoint!("snapshots.kept");
    make_room(dir, &before, bytes)?;
    Ok(number)
}

fn write_parts(
    part: &PathBuf,
    taken: &[ShardSnapshot],
    number: u64,
    shards: Vec<SnapshotShard>,
) -> io::Result<()> {
    fs::create_dir(part)?;
    for (shard, taken) in (0..).zip(taken) {
        file::write(&part.join(name(shard)), taken)?;
    }
    let version = taken.first().map(|taken| taken.version.clone()).unwrap_or_default();
    let snapshot = Snapshot { format: file::FORMAT, number, at: now(), version, shards };
    let manifest = part.join(MANIFEST);
    fs::write(&manifest, serde_json::to_vec(&snapshot)?)?;
    fs::File::open(&manifest)?.sync_all()?;
    sync(part)
}

fn described(taken: &ShardSnapshot) -> SnapshotShard {
    let size = |(key, value): &(bytes::Bytes, bytes::Bytes)| (key.len() + value.len()) as u64;
    SnapshotShard {
        positions: written(&taken.positions),
        entries: taken.entries.len() as u64,
        bytes: taken.entries.iter().map(size).sum(),
    }
}

/// Forgets the oldest, until there are few enough with the new one, and they are small enough.
fn make_room(dir: &Path, before: &[Snapshot], new: u64) -> io::Result<()> {
    let (mut count, mut bytes) = (1, new);
    for snapshot in before.iter().rev() {
        count += 1;
        bytes = bytes.saturating_add(snapshot.bytes());
        if count > SNAPSHOTS || bytes > SNAPSHOT_BYTES {
            forget(dir, snapshot.number)?;
        }
    }
    Ok(())
}

/// What a crash has left half written, or half taken away.
fn leftovers(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(PART) {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// Has the names of a folder on the disk.
fn sync(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn state(octets: usize) -> Vec<ShardSnapshot> {
        let entries = vec![(Bytes::from("k"), Bytes::from(vec![7; octets]))];
        vec![ShardSnapshot { entries, ..ShardSnapshot::default() }]
    }

    #[test]
    fn one_is_due_at_once_and_then_when_the_time_has_passed_whatever_is_done_to_the_clock() {
        let hour = Duration::from_secs(3_600);
        assert!(is_due(None, hour, 0));
        let due = |passed: i64| is_due(Some(1_780_000_000_000), hour, 1_780_000_000_000 + passed);
        assert_eq!([0, 3_599_999, 3_600_000].map(due), [false, false, true]);
        assert_eq!([-1, -3_600_000].map(due), [false, true]);
        assert!(is_due(Some(i64::MIN), hour, i64::MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_busy_is_not_told_to_be_ended() {
        let told = async |shards: &[_]| states("p.example", shards).await.unwrap_err().to_string();
        let (busy, _asked) = mpsc::channel(1);
        let asked = [busy];
        for _ in 0..2 {
            // The question waits there; then there is room for none.
            assert!(told(&asked).await.contains("the end of its batch"));
        }
        let (ended, _) = mpsc::channel(1);
        assert!(told(&[ended]).await.contains("not running"));
        assert!(told(&[]).await.contains("not running"));
    }

    #[test]
    fn the_oldest_go_and_numbers_never_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("p");
        for number in 1..=SNAPSHOTS as u64 + 3 {
            assert_eq!(write(&dir, &state(9)).unwrap(), number);
        }
        let numbers: Vec<u64> = kept(&dir).iter().map(|snapshot| snapshot.number).collect();
        assert_eq!(numbers, (4..=SNAPSHOTS as u64 + 3).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_too_large_together_makes_the_oldest_go() {
        let dir = tempfile::tempdir().unwrap();
        let before: Vec<Snapshot> = (1..=3)
            .map(|number| {
                std::fs::create_dir(dir.path().join(number.to_string())).unwrap();
                let shards =
                    vec![SnapshotShard { positions: Vec::new(), entries: 1, bytes: 400 << 20 }];
                Snapshot { format: file::FORMAT, number, at: 0, version: String::new(), shards }
            })
            .collect();
        make_room(dir.path(), &before, 200 << 20).unwrap();
        let left: Vec<bool> =
            (1..=3).map(|number: u32| dir.path().join(number.to_string()).exists()).collect();
        assert_eq!(left, [false, true, true]);
    }

    #[test]
    fn what_a_crash_has_left_is_none_and_goes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("1.part")).unwrap();
        std::fs::create_dir(dir.path().join("7")).unwrap();
        assert!(kept(dir.path()).is_empty());
        assert_eq!(write(dir.path(), &state(1)).unwrap(), 1);
        assert!(!dir.path().join("1.part").exists());
        assert_eq!(kept(dir.path()).len(), 1);
    }

    #[test]
    fn one_that_fails_is_tried_with_longer_and_longer_pauses_and_told_of_once_for_a_cause() {
        let mut failed = Failed::after(None, "not running".to_owned());
        assert!(failed.is_news && failed.pause == LOOK);
        for _ in 0..10 {
            failed = Failed::after(Some(failed), "not running".to_owned());
            assert!(!failed.is_news && failed.waits());
        }
        assert_eq!(failed.pause, LONGEST_PAUSE);
        assert!(Failed::after(Some(failed), "no room".to_owned()).is_news);
    }
}
