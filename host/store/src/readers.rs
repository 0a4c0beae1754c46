//! A few read-only connections shared by many tasks.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::blocking::blocking;
use crate::error::StoreError;
use crate::open::{Schema, open_reader};

/// Read-only connections that are opened when they are first needed and kept. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Readers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    schema: Schema,
    idle: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    /// At most `limit` connections to a database that exists already.
    #[must_use]
    pub fn new(path: PathBuf, schema: Schema, limit: usize) -> Self {
        let turns = Arc::new(Semaphore::new(limit));
        Self(Arc::new(Inner { path, schema, idle: Mutex::default(), turns }))
    }

    /// Runs a closure with a connection, away from the async threads. Waits for its turn; a caller that
    /// goes away leaves the turn taken until the closure has ended.
    ///
    /// # Errors
    /// What the closure gives, or why no connection could be had.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        let turn = Arc::clone(&inner.turns).acquire_owned().await;
        let turn = turn.map_err(|_| StoreError::Stopped)?;
        blocking(move || {
            let _turn = turn;
            let connection = match inner.idle().pop() {
                Some(connection) => connection,
                None => open_reader(&inner.path, &inner.schema)?,
            };
            let answer = work(&connection);
            inner.idle().push(connection);
            answer
        })
        .await
    }
}

impl Inner {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // Pushing and popping leave the list sound wherever a thread ends.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::open;

    #[tokio::test]
    async fn readers_see_what_is_committed_and_cannot_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let migrations = &["CREATE TABLE x (y INTEGER) STRICT;"];
        let schema = Schema { name: "x", application_id: 1, migrations };
        let writer = open(&path, &schema).unwrap();
        let readers = Readers::new(path, schema, 2);
        for expected in 0..5_i64 {
            let count = |connection: &Connection| {
                let count = connection.query_row("SELECT count(*) FROM x", [], |row| row.get(0));
                Ok::<i64, StoreError>(count?)
            };
            assert_eq!(readers.read(count).await.unwrap(), expected);
            writer.execute("INSERT INTO x VALUES (1)", []).unwrap();
        }
        let delete = |connection: &Connection| {
            connection.execute("DELETE FROM x", []).map_err(StoreError::from)
        };
        assert!(matches!(readers.read(delete).await, Err(StoreError::ReadOnly(_))));
        assert_eq!(readers.0.idle().len(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn readers_whose_callers_went_away_still_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let migrations = &["CREATE TABLE x (y INTEGER) STRICT;"];
        let schema = Schema { name: "x", application_id: 1, migrations };
        open(&path, &schema).unwrap();
        let readers = Readers::new(path, schema, 1);
        let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
        let (release, released) = std::sync::mpsc::channel::<()>();
        let first = readers.clone();
        let first = tokio::spawn(async move {
            let held = move |_: &Connection| {
                begun.blocking_send(()).unwrap();
                released.recv().ok();
                Ok::<(), StoreError>(())
            };
            first.read(held).await
        });
        has_begun.recv().await.unwrap();
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(readers.0.turns.available_permits(), 0);
        drop(release);
        readers.read(|_| Ok::<(), StoreError>(())).await.unwrap();
    }
}
