//! When what is true of a lane is kept on this host's disk: `cache` says how, `recall.rs` when it is taken from there.
//!
//! What does not work is told at `debug`; a take-over fails with it only where the lane's producer does.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use uuid::Uuid;

use super::cache::{self, Start};
use super::lane::{Held, record};
use super::mark::{POSITIONS_WORD, STATE_WORD};
use super::moment::Moment;
use super::recall::{FILES, keep_deletions_for, spans};
use super::recover::{Ends, Read};
use super::truth::Truth;
use super::turn::Turn;

/// Records that are worth keeping at once what was read of them: some hundred milliseconds of reading.
const MUCH: u64 = 10_000;

/// Offsets behind what the disk knows that are not worth a file: reading them takes some milliseconds.
const LITTLE: u64 = 1_000;

/// How long keeping may hold up whoever gets the lane next.
const RELEASE: Duration = Duration::from_secs(3);

/// What this host's disk knows of a lane that is held.
#[derive(Default)]
pub(super) struct Kept {
    ends: Option<Ends>,
    /// A file that is being written, and what it stands for.
    writing: Option<(Ends, JoinHandle<bool>)>,
}

impl Kept {
    pub(super) fn of(ends: Option<Ends>) -> Self {
        Self { ends, writing: None }
    }

    /// Up to where the lane is known, once what is being written is there.
    async fn ends(&mut self) -> Option<Ends> {
        if let Some((ends, writing)) = self.writing.take()
            && writing.await.unwrap_or(false)
        {
            self.ends = Some(ends);
        }
        self.ends
    }
}

/// Keeps what was just read of a lane, where that was much. Whether the lane is still held; nobody waits for the file.
pub(super) async fn after(turn: &Turn<'_>, held: &mut Held, read: Read) -> bool {
    if read.records < MUCH {
        return true;
    }
    let truth = held.truth.clone();
    keep(turn, held, truth, read.ends).await
}

/// Keeps what is true of a lane that is given up, unless the disk knows nearly all of it. The lane is of no use
/// after that.
pub(super) async fn at_the_end(turn: &Turn<'_>, mut held: Held) {
    let kept = async {
        let Some([(_, positions), (_, state)]) = spans(turn.cluster, turn.ours, turn.lane).await
        else {
            return;
        };
        let known = held.kept.ends().await;
        let more = known.map(|known| {
            let positions = positions.saturating_sub(known.positions);
            positions.saturating_add(state.saturating_sub(known.state))
        });
        let path = cache::path(turn.cluster.options(), turn.ours, turn.lane);
        if more.is_some_and(|more| more < LITTLE) && path.is_some_and(|path| path.exists()) {
            return;
        }
        let truth = std::mem::take(&mut held.truth);
        keep(turn, &mut held, truth, Ends { positions, state }).await;
        held.kept.ends().await;
    };
    if timeout(RELEASE, kept).await.is_err() {
        tracing::debug!(lane = turn.lane, "took too long to keep a lane on the disk");
    }
}

/// Begins to write what is true of a lane. Whether that is still held. Who was fenced commits no word, and so keeps
/// nothing: what he believes may not be true any more.
async fn keep(turn: &Turn<'_>, held: &mut Held, truth: Truth, ends: Ends) -> bool {
    let Turn { cluster, ours, lane, .. } = *turn;
    let Some(path) = cache::path(cluster.options(), ours, lane) else { return true };
    let Some(kept) = keep_deletions_for(cluster, ours).await else { return true };
    let Some(now) = Moment::now() else { return true };
    let age = truth.read_whole.ok_or("nobody knows when it was read").and_then(|at| at.age(&now));
    if let Err(cause) = age.map_err(str::to_owned).and_then(|age| cache::is_young(age, kept)) {
        not_kept(lane, &cause);
        return true;
    }
    let start = Start { ends, word: Uuid::new_v4() };
    let word = |key: &'static [u8]| {
        let value = Bytes::copy_from_slice(start.word.as_bytes());
        vec![record(Bytes::from_static(key), Some(value))]
    };
    let (is_held, said) = turn.write_alone(held, word(POSITIONS_WORD), word(STATE_WORD)).await;
    if let Err(error) = said {
        not_kept(lane, &error.to_string());
        return is_held;
    }
    let (identity, of) = (cluster.options().identity.clone(), ours.clone());
    let writing = tokio::spawn(async move {
        let Ok(permit) = FILES.acquire().await else { return false };
        let written = spawn_blocking(move || {
            let _permit = permit;
            cache::write(&path, &identity, &of, lane, (&truth, start, now, kept))
        });
        let written = written.await.map_err(std::io::Error::other).flatten();
        written.inspect_err(|error| not_kept(lane, &error.to_string())).is_ok()
    });
    held.kept.writing = Some((ends, writing));
    is_held
}

fn not_kept(lane: u32, cause: &str) {
    tracing::debug!(lane, cause, "did not keep a lane on the disk");
}
