//! Looks at the plugin directory: which files have settled, what lies in them, which are gone.
//!
//! Blocking; knows nothing of plugins. A file has settled when two looks, some time apart, saw the
//! same.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};

use crate::limits::MAX_COMPONENT;
use crate::log::is_plain;

/// A directory and what is known of its files.
#[derive(Debug)]
pub(crate) struct Inbox {
    dir: PathBuf,
    /// As the latest look saw them.
    seen: BTreeMap<String, Stamp>,
    /// As they were when they were handled.
    handled: BTreeMap<String, Stamp>,
    /// Those whose names nobody could be shown: how many there are, and one of them.
    unshown: Option<(usize, String)>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What one look found.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Files to be handled now.
    pub(crate) settled: Vec<(String, Stamp)>,
    /// Whether others are still changing.
    pub(crate) unsettled: bool,
    /// Files that are gone since the look before.
    pub(crate) gone: Vec<String>,
}

/// Why a file gives no bytes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    /// It changed or went away meanwhile: look again.
    #[error("changed while it was read")]
    Changed,
    /// It never will, as it is.
    #[error("{0}")]
    Refused(String),
}

impl Inbox {
    /// Makes the directory where there is none.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let (seen, handled) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { dir: dir.to_owned(), seen, handled, unshown: None })
    }

    /// Looks at every file `*.wasm`, the first time and later.
    pub(crate) fn look(&mut self) -> io::Result<Look> {
        let now = self.list()?;
        let mut look = Look::default();
        for (file, stamp) in &now {
            if self.handled.get(file) == Some(stamp) {
                continue;
            }
            if self.seen.get(file) == Some(stamp) || stamp.is_old() {
                look.settled.push((file.clone(), *stamp));
            } else {
                look.unsettled = true;
            }
        }
        look.gone = self.seen.keys().filter(|file| !now.contains_key(*file)).cloned().collect();
        self.handled.retain(|file, _| now.contains_key(file));
        self.seen = now;
        Ok(look)
    }

    /// A file needs no other look before it changes.
    pub(crate) fn handled(&mut self, file: String, stamp: Stamp) {
        self.handled.insert(file, stamp);
    }

    /// Everything needs another look.
    pub(crate) fn forget(&mut self) {
        self.handled.clear();
    }

    fn list(&mut self) -> io::Result<BTreeMap<String, Stamp>> {
        let (mut found, mut unshown) = (BTreeMap::new(), None);
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let file = entry.file_name();
            if !is_plugin(&file) {
                continue;
            }
            let Some(name) = shown(&file) else {
                let (number, _) = unshown.get_or_insert_with(|| (0, format!("{file:?}")));
                *number += 1;
                continue;
            };
            // Not followed: a link is refused, and its own stamp says when it changes.
            if let Ok(metadata) = entry.metadata() {
                found.insert(name, Stamp::of(&metadata));
            }
            if found.len() >= MAX_FILES {
                tracing::warn!(dir = %self.dir.display(), MAX_FILES, "too many plugin files");
                break;
            }
        }
        self.tell_of(unshown);
        Ok(found)
    }

    /// Once, until there are more or fewer.
    fn tell_of(&mut self, unshown: Option<(usize, String)>) {
        let number = |told: &Option<(usize, String)>| told.as_ref().map(|(number, _)| *number);
        if number(&unshown) != number(&self.unshown)
            && let Some((files, one)) = &unshown
        {
            tracing::warn!(dir = %self.dir.display(), files, one, "plugin files whose names are no plain text are left alone");
        }
        self.unshown = unshown;
    }
}

fn is_plugin(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".wasm") && !name.starts_with(b".")
}

/// A name as it is said to everybody, in tables and in lines: one that a terminal obeys, or that goes on in the next line, could say anything.
fn shown(name: &OsStr) -> Option<String> {
    name.to_str().filter(|name| name.chars().all(is_plain)).map(str::to_owned)
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether nothing has touched the file for a while: then one look is enough.
    fn is_old(&self) -> bool {
        let seconds = u64::try_from(self.changed.0).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        SystemTime::now().duration_since(changed).is_ok_and(|age| age > OLD)
    }
}

/// Reads a file once, if it is still what `stamp` says.
pub(crate) fn read(path: &Path, stamp: Stamp) -> Result<Bytes, ReadError> {
    let refused = |reason: String| ReadError::Refused(reason);
    let kind = fs::symlink_metadata(path).map_err(|error| failed(&error))?.file_type();
    if kind.is_symlink() {
        return Err(refused("a symbolic link: what it points to could change unseen".to_owned()));
    }
    if !kind.is_file() {
        let kind = if kind.is_dir() { "a directory" } else { "no regular file" };
        return Err(refused(kind.to_owned()));
    }
    if stamp.size > MAX_COMPONENT {
        let size = stamp.size;
        let words =
            format!("limit passed: component_bytes={MAX_COMPONENT}: the file has {size} bytes");
        return Err(refused(words));
    }
    // A pipe that takes the file's place meanwhile must not make the open wait.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file =
        rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(&error.into()))?;
    let mut file = File::from(file);
    let mut bytes = Vec::with_capacity(usize::try_from(stamp.size).unwrap_or(0));
    let limit = stamp.size.saturating_add(1);
    (&mut file).take(limit).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    let after = file.metadata().map_err(|error| failed(&error))?;
    if Stamp::of(&after) != stamp || bytes.len() as u64 != stamp.size {
        return Err(ReadError::Changed);
    }
    Ok(bytes.into())
}

fn failed(error: &io::Error) -> ReadError {
    match error.kind() {
        io::ErrorKind::NotFound => ReadError::Changed,
        _ => ReadError::Refused(error.to_string()),
    }
}

/// Files of one directory; each is read, hashed and compiled.
const MAX_FILES: usize = 1_000;

/// Age at which a file counts as settled at the first look, so that a start needs no wait. A copy that
/// takes longer between two writes is read half, rejected, and read again when it goes on.
const OLD: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
