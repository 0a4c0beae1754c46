//! Room on the disk: what brings more is refused while there is still enough to take something away.
//!
//! Deleting writes too, and the write-ahead log must be moved into the database before its room can be
//! used again. So the last of the room is nobody's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

/// Bytes that are left for taking away, and for commits into pages that were freed.
const LAST: u64 = 2 * 1024 * 1024;

/// Bytes beyond that, which nothing gets that makes the database larger.
const SPARE: u64 = 6 * 1024 * 1024;

/// How often, and after which pause, the write-ahead log is tried to be made short: the checkpointer is
/// at it for some milliseconds at a time.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(10);

/// The disk that a database lies on.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    dir: PathBuf,
    wal: PathBuf,
    page: u64,
}

impl Disk {
    pub(crate) fn of(database: &Path, page: u32) -> Self {
        let mut wal = database.as_os_str().to_owned();
        wal.push("-wal");
        let dir = database.parent().unwrap_or(database).to_owned();
        Self { dir, wal: wal.into(), page: page.into() }
    }

    /// Whether a transaction of so many bytes would take the last of the room. A disk that does not tell
    /// is taken to have room.
    pub(crate) fn refuses(&self, connection: &Connection, bytes: usize) -> bool {
        self.lacks(connection, bytes).unwrap_or(false)
    }

    fn lacks(&self, connection: &Connection, bytes: usize) -> Option<bool> {
        let bytes = bytes as u64;
        if self.free()? >= LAST + SPARE + self.wal().saturating_add(bytes.saturating_mul(2)) {
            return Some(false);
        }
        // A write-ahead log that has been moved is in the way itself.
        shorten(connection);
        let pages: u64 =
            connection.query_row("PRAGMA freelist_count", [], |row| row.get(0)).ok()?;
        // Into the write-ahead log, and from there into the database.
        let grows =
            self.wal().saturating_add(bytes).saturating_sub(pages.saturating_mul(self.page));
        let spare = if grows > 0 { grows.saturating_add(SPARE) } else { 0 };
        Some(self.free()? < LAST.saturating_add(bytes).saturating_add(spare))
    }

    fn free(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.dir).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn wal(&self) -> u64 {
        std::fs::metadata(&self.wal).map_or(0, |file| file.len())
    }
}

/// Makes the write-ahead log short, as soon as nobody else is moving it.
fn shorten(connection: &Connection) {
    for _ in 0..TRIES {
        let busy = connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
        match busy {
            Ok(true) => std::thread::sleep(PAUSE),
            Ok(false) => return,
            Err(error) => {
                tracing::debug!(cause = %error, "write-ahead log stays on a disk with little room");
                return;
            }
        }
    }
}
