//! Why a store did not do it.

use std::fs::File;
use std::io::ErrorKind;

use rusqlite::{Connection, ErrorCode};

/// Named by what the caller can do: make room, give permission, try again, or look at the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk (or the quota) has no room; nothing of the transaction was written.
    #[error("disk is full: {0}")]
    Full(String),
    /// The file or its directory cannot be written.
    #[error("database is read-only: {0}")]
    ReadOnly(String),
    /// Somebody else held the lock for longer than [`crate::open`] waits.
    #[error("database is busy: {0}")]
    Busy(String),
    /// The file cannot be opened: it is absent, or no permission.
    #[error("cannot open database {path}: {reason}")]
    CannotOpen {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// What is stored is no sound database.
    #[error("database is damaged: {0}")]
    Damaged(String),
    /// The file is a database of something else.
    #[error(
        "database {name} is not one of ours: application id is {found:#010x}, not {expected:#010x}"
    )]
    Foreign {
        /// What it should have been.
        name: &'static str,
        /// The application id in the file.
        found: i32,
        /// The application id expected.
        expected: i32,
    },
    /// A newer host wrote it.
    #[error("database {name} has format {found}, this host knows up to {known}")]
    NewerFormat {
        /// Which database.
        name: &'static str,
        /// The format in the file.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// A uniqueness, foreign key or check constraint said no.
    #[error("constraint failed: {0}")]
    Constraint(String),
    /// The work on a blocking thread ended without an answer: it panicked, or the runtime stops.
    #[error("blocking work ended without an answer")]
    Stopped,
    /// Anything else: a statement that is wrong, a value of another type, a failing disk.
    #[error("database failed: {0}")]
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        // Our tables are STRICT and our statements ask for what their columns hold.
        if let rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) = error
        {
            return Self::Damaged(text);
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(text),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly(text),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(text),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(text),
            Some(ErrorCode::ConstraintViolation) => Self::Constraint(text),
            _ => Self::Sqlite(error),
        }
    }
}

/// Says more of a failed write than SQLite does, which calls a disk that has become read-only a failing
/// one, and a full one too where its shared memory does not fit.
#[must_use]
pub fn explained(connection: &Connection, error: StoreError) -> StoreError {
    let StoreError::Sqlite(rusqlite::Error::SqliteFailure(code, _)) = &error else { return error };
    if code.code != ErrorCode::SystemIoFailure && code.code != ErrorCode::CannotOpen {
        return error;
    }
    if code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE {
        return StoreError::Full(error.to_string());
    }
    let opened = connection.path().map(|path| File::options().append(true).open(path));
    match opened {
        Some(Err(cause)) if cause.kind() == ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly(cause.to_string())
        }
        _ => error,
    }
}
