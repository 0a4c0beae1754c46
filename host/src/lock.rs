//! One host for each directory, also after `kill -9`.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A directory that is ours until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes a directory; one that does not exist is made, mode 0700.
    ///
    /// # Errors
    /// When another host has it, named by its process id.
    pub fn take(dir: &Path) -> Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.with_context(|| dir.display().to_string())?;
        let path = dir.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).with_context(|| path.display().to_string())?;
        match flock_patiently(&file) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                bail!("{} is in use by another host{}", dir.display(), holder(&mut file))
            }
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
        // For people who ask who it is; the lock itself is the kernel's.
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()))
            .with_context(|| path.display().to_string())?;
        Ok(Self { _file: file })
    }

    /// Who has a directory: ` (process N)`, or nothing where he does not say. `None` where nobody has it.
    /// Changes nothing, though for an instant it keeps others from taking it.
    #[must_use]
    pub fn holder(dir: &Path) -> Option<String> {
        let mut file = File::open(dir.join("lock")).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => Some(holder(&mut file)),
            _ => None,
        }
    }
}

/// Somebody who only looks has it for an instant.
fn flock_patiently(file: &File) -> Result<(), Errno> {
    let lock = || flock(file, FlockOperation::NonBlockingLockExclusive);
    match lock() {
        Err(Errno::WOULDBLOCK) => {
            std::thread::sleep(LOOK);
            lock()
        }
        done => done,
    }
}

/// Longer than a look at a lock takes.
const LOOK: Duration = Duration::from_millis(50);

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(20).read_to_string(&mut text);
    let process = text.trim().parse::<u32>();
    match (read, process) {
        (Ok(_), Ok(process)) => format!(" (process {process})"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_host_is_refused_until_the_first_one_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("made");
        let first = DirLock::take(&dir).unwrap();
        let error = DirLock::take(&dir).unwrap_err().to_string();
        let process = format!("(process {})", std::process::id());
        assert!(error.contains("in use by another host") && error.contains(&process), "{error}");
        drop(first);
        DirLock::take(&dir).unwrap();
    }
}
