//! Opens a database: durability, the format stamp, migrations.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::StoreError;

/// What a database is for, and the steps that made it what it is.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// What errors and logs call it.
    pub name: &'static str,
    /// Tells our files from others'; written into the file's header. Never 0.
    pub application_id: i32,
    /// SQL of each format, in order: step 0 makes format 1 out of nothing. Steps are never changed
    /// once released, only added to.
    pub migrations: &'static [&'static str],
}

/// Opens a database for writing, creates it where it is absent (mode 0600) and brings it to the
/// newest format. Write-ahead log, `synchronous=FULL`: what is committed is on disk.
///
/// # Errors
/// [`StoreError::NewerFormat`] and [`StoreError::Foreign`] leave the file as it is.
pub fn open(path: &Path, schema: &Schema) -> Result<Connection, StoreError> {
    open_paged(path, schema, DEFAULT_PAGE)
}

/// As [`open`], with pages of `page_size` bytes (a power of two from 512 to 65536) where the database
/// is new: larger ones cost less for large blobs.
///
/// # Errors
/// As [`open`].
pub fn open_paged(path: &Path, schema: &Schema, page_size: u32) -> Result<Connection, StoreError> {
    create_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = connect(path, flags)?;
    // Before anything is written: somebody else's file stays as it is.
    check_stamp(&connection, schema)?;
    connection.pragma_update(None, "page_size", page_size)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(cannot_open(path, format!("journal mode is {mode}, not wal")));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    migrate(&mut connection, schema)?;
    // After the migrations: a step that rebuilds a table must not cascade.
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Opens a database that exists for reading only. Safe beside one writer.
///
/// # Errors
/// As [`open`]; also when the file is absent or of an older format, because a reader migrates nothing.
pub fn open_reader(path: &Path, schema: &Schema) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(path, flags)?;
    let found = check_stamp(&connection, schema)?;
    if (found as usize) < schema.migrations.len() {
        return Err(cannot_open(path, format!("format {found} has not been brought up to date")));
    }
    Ok(connection)
}

// Everything of a host may hold secrets or other people's events. SQLite gives -wal and -shm the
// mode of the database file.
fn create_private(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop).map_err(|error| {
        match error.kind() {
            std::io::ErrorKind::StorageFull => StoreError::Full(error.to_string()),
            std::io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly(error.to_string()),
            _ => cannot_open(path, error.to_string()),
        }
    })
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags)
        .map_err(|error| cannot_open(path, error.to_string()))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // A file that was tampered with must not make us run its functions or rewrite its schema.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    Ok(connection)
}

/// The format in the file; 0 where it is new.
fn check_stamp(connection: &Connection, schema: &Schema) -> Result<u32, StoreError> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let application_id = number("application_id")?;
    let version = number("user_version")?;
    if application_id != schema.application_id && !(version == 0 && is_empty(connection)?) {
        return Err(StoreError::Foreign {
            name: schema.name,
            found: application_id,
            expected: schema.application_id,
        });
    }
    let known = schema.migrations.len() as u32;
    match u32::try_from(version) {
        Ok(found) if found <= known => Ok(found),
        _ => Err(StoreError::NewerFormat { name: schema.name, found: version as u32, known }),
    }
}

fn is_empty(connection: &Connection) -> Result<bool, StoreError> {
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(objects == 0)
}

fn migrate(connection: &mut Connection, schema: &Schema) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Again under the lock: two hosts may open a new file at once.
    let found = check_stamp(&transaction, schema)?;
    for (index, step) in schema.migrations.iter().enumerate().skip(found as usize) {
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", index as u32 + 1)?;
    }
    if found == 0 {
        transaction.pragma_update(None, "application_id", schema.application_id)?;
    }
    transaction.commit()?;
    Ok(())
}

fn cannot_open(path: &Path, reason: String) -> StoreError {
    StoreError::CannotOpen { path: path.display().to_string(), reason }
}

/// How long a statement waits for another process or connection that holds the lock. Our own writers
/// hold it for milliseconds; an operator's `sqlite3` shell may take longer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// SQLite's own choice, right for small rows.
const DEFAULT_PAGE: u32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const V1: &str = "CREATE TABLE pet (name TEXT PRIMARY KEY) STRICT;";
    const V2: &str = "ALTER TABLE pet ADD COLUMN age INTEGER;";
    const ONE: Schema = Schema { name: "pets", application_id: 0x7e57, migrations: &[V1] };
    const TWO: Schema = Schema { name: "pets", application_id: 0x7e57, migrations: &[V1, V2] };

    #[test]
    fn an_older_format_is_brought_up_to_date_and_keeps_its_rows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        open(&path, &ONE).unwrap().execute("INSERT INTO pet VALUES ('rex')", []).unwrap();
        let connection = open(&path, &TWO).unwrap();
        let found: (String, Option<i64>) = connection
            .query_row("SELECT name, age FROM pet", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(found, ("rex".into(), None));
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        drop(open(&path, &TWO).unwrap());
        let error = open(&path, &ONE).unwrap_err().to_string();
        assert_eq!(error, "database pets has format 2, this host knows up to 1");
        assert!(matches!(open_reader(&path, &ONE), Err(StoreError::NewerFormat { .. })));
    }

    #[test]
    fn another_programs_database_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(open(&path, &ONE), Err(StoreError::Foreign { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_file_that_is_no_database_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        std::fs::write(&path, vec![b'x'; 4096]).unwrap();
        assert!(matches!(open(&path, &ONE), Err(StoreError::Damaged(_))));
    }

    #[test]
    fn a_full_disk_and_a_reader_that_writes_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let writer = open(&path, &ONE).unwrap();
        let pages: i64 = writer.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        writer.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
        let insert = "INSERT INTO pet VALUES (hex(randomblob(100000)))";
        assert!(matches!(
            writer.execute(insert, []).map_err(StoreError::from),
            Err(StoreError::Full(_))
        ));
        let reader = open_reader(&path, &ONE).unwrap();
        assert!(matches!(
            reader.execute(insert, []).map_err(StoreError::from),
            Err(StoreError::ReadOnly(_))
        ));
    }

    #[test]
    fn connections_are_durable_private_and_check_foreign_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let connection = open(&path, &ONE).unwrap();
        let number =
            |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        assert_eq!(number("synchronous").unwrap(), 2);
        assert_eq!(number("foreign_keys").unwrap(), 1);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_reader_of_an_absent_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = open_reader(&dir.path().join("none.db"), &ONE).unwrap_err();
        assert!(matches!(error, StoreError::CannotOpen { .. }), "{error}");
    }

    #[test]
    fn a_step_that_fails_leaves_the_format_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let broken = Schema { migrations: &[V1, "CREATE TABLE half (x); nonsense"], ..ONE };
        assert!(open(&path, &broken).is_err());
        let connection = open(&path, &TWO).unwrap();
        assert!(connection.prepare("SELECT * FROM half").is_err());
    }
}
