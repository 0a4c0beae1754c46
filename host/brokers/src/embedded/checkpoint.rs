//! Moves what the write-ahead log gathered into the database, on a connection of its own.
//!
//! Checkpoints inside the writer make single commits wait 40 to 80 ms; a passive one every few
//! milliseconds does not. A passive one never shrinks a log that is always in use, so past a size one
//! waits for readers and starts it over.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use host_store::StoreError;
use rusqlite::Connection;

use super::schema::SCHEMA;

/// Pause between checkpoints.
const PERIOD: Duration = Duration::from_millis(20);

/// How long a start-over waits for readers; the writer waits with it.
const PATIENCE: Duration = Duration::from_millis(50);

/// Size of the write-ahead log from which on it is started over: a second or two of full load.
const RESTART_BYTES: u64 = 256 * 1024 * 1024;

/// Ends its thread when dropped.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    alive: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.alive.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the broker's checkpointer panicked");
        }
    }
}

impl Checkpointer {
    pub(crate) fn start(database: &Path) -> Result<Self, StoreError> {
        let connection = host_store::open(database, &SCHEMA)?;
        connection.busy_timeout(PATIENCE)?;
        let mut wal = database.as_os_str().to_owned();
        wal.push("-wal");
        let (alive, ended) = sync_channel(0);
        let spawned =
            std::thread::Builder::new().name("broker-checkpoint".into()).spawn(move || {
                let wal = PathBuf::from(wal);
                let mut last = None;
                while matches!(ended.recv_timeout(PERIOD), Err(RecvTimeoutError::Timeout)) {
                    last = checkpoint(&connection, &wal, last);
                }
            });
        let started = |thread| Self { alive: Some(alive), thread: Some(thread) };
        spawned.map(started).map_err(|error| StoreError::CannotOpen {
            path: database.display().to_string(),
            reason: error.to_string(),
        })
    }
}

/// One look; an idle log is left alone.
fn checkpoint(
    connection: &Connection,
    wal: &Path,
    last: Option<std::time::SystemTime>,
) -> Option<std::time::SystemTime> {
    let seen = std::fs::metadata(wal).ok()?;
    let changed = seen.modified().ok();
    if changed == last {
        return last;
    }
    let restart = seen.len() > RESTART_BYTES;
    let mode =
        if restart { "PRAGMA wal_checkpoint(TRUNCATE)" } else { "PRAGMA wal_checkpoint(PASSIVE)" };
    if let Err(error) = connection.query_row(mode, [], |_| Ok(())) {
        tracing::debug!(cause = %error, "checkpoint put off");
    }
    changed
}
