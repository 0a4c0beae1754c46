//! Looks at the plugin directory: which files have settled, what lies in them, which are gone.
//!
//! Blocking; knows nothing of plugins. A file has settled when two looks, some time apart, saw the
//! same.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};

use crate::limits::MAX_COMPONENT;

/// A directory and what is known of its files.
#[derive(Debug)]
pub(crate) struct Inbox {
    dir: PathBuf,
    /// As the latest look saw them.
    seen: BTreeMap<String, Stamp>,
    /// As they were when they were handled.
    handled: BTreeMap<String, Stamp>,
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
        Ok(Self { dir: dir.to_owned(), seen: BTreeMap::new(), handled: BTreeMap::new() })
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

    fn list(&self) -> io::Result<BTreeMap<String, Stamp>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !name.ends_with(".wasm") || name.starts_with('.') {
                continue;
            }
            // Not followed: a link is refused, and its own stamp says when it changes.
            if let Ok(metadata) = entry.metadata() {
                found.insert(name, Stamp::of(&metadata));
            }
            if found.len() >= MAX_FILES {
                tracing::warn!(dir = %self.dir.display(), MAX_FILES, "too many plugin files");
                break;
            }
        }
        Ok(found)
    }
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
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn inbox() -> (Inbox, TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (Inbox::open(dir.path()).unwrap(), dir)
    }

    fn settled(inbox: &mut Inbox) -> Vec<String> {
        inbox.look().unwrap().settled.into_iter().map(|(file, _)| file).collect()
    }

    fn refusal(inbox: &mut Inbox, file: &str) -> String {
        inbox.look().unwrap();
        let look = inbox.look().unwrap();
        let (_, stamp) = look.settled.iter().find(|(settled, _)| settled == file).unwrap();
        match read(&inbox.dir.join(file), *stamp) {
            Err(ReadError::Refused(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_settles_when_two_looks_see_the_same() {
        let (mut inbox, dir) = inbox();
        let path = dir.path().join("a.wasm");
        fs::write(&path, "1").unwrap();
        assert!(inbox.look().unwrap().unsettled);
        fs::write(&path, "12").unwrap();
        assert!(inbox.look().unwrap().unsettled);
        let look = inbox.look().unwrap();
        let [(file, stamp)] = look.settled.as_slice() else { panic!("{look:?}") };
        assert_eq!(read(&path, *stamp).unwrap(), "12");
        inbox.handled(file.clone(), *stamp);
        assert_eq!(settled(&mut inbox), Vec::<String>::new());
        inbox.forget();
        assert_eq!(settled(&mut inbox), ["a.wasm"]);
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_gives_nothing() {
        let (mut inbox, dir) = inbox();
        let path = dir.path().join("a.wasm");
        fs::write(&path, "1").unwrap();
        inbox.look().unwrap();
        let (_, stamp) = inbox.look().unwrap().settled.pop().unwrap();
        fs::write(&path, "123").unwrap();
        assert_eq!(read(&path, stamp), Err(ReadError::Changed));
        fs::remove_file(&path).unwrap();
        assert_eq!(read(&path, stamp), Err(ReadError::Changed));
    }

    #[test]
    fn a_file_that_goes_is_told_once_and_may_come_again() {
        let (mut inbox, dir) = inbox();
        let path = dir.path().join("a.wasm");
        fs::write(&path, "1").unwrap();
        inbox.look().unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(inbox.look().unwrap().gone, ["a.wasm"]);
        assert!(inbox.look().unwrap().gone.is_empty());
    }

    #[test]
    fn links_directories_pipes_and_huge_files_are_refused_with_a_reason() {
        let (mut inbox, dir) = inbox();
        let path = |name: &str| dir.path().join(name);
        symlink("/etc/passwd", path("link.wasm")).unwrap();
        fs::create_dir(path("dir.wasm")).unwrap();
        File::create(path("huge.wasm")).unwrap().set_len(MAX_COMPONENT + 1).unwrap();
        assert!(refusal(&mut inbox, "link.wasm").contains("symbolic link"));
        assert_eq!(refusal(&mut inbox, "dir.wasm"), "a directory");
        let huge = refusal(&mut inbox, "huge.wasm");
        assert!(huge.contains("component_bytes=") && huge.contains("has 67108865"), "{huge}");
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe.wasm"), pipe, Mode::RUSR, 0).unwrap();
        assert_eq!(refusal(&mut inbox, "pipe.wasm"), "no regular file");
    }

    #[test]
    fn other_names_are_not_looked_at() {
        let (mut inbox, dir) = inbox();
        for name in ["a.txt", ".a.wasm", "a.wasm.part"] {
            fs::write(dir.path().join(name), "1").unwrap();
        }
        let look = inbox.look().unwrap();
        assert!(!look.unsettled && look.settled.is_empty());
    }
}
