//! One host for each directory, also after `kill -9`.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A directory that is ours until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes a directory; one that does not exist is made, mode 0700. Where another process has it, that is waited for a while,
    /// and told.
    ///
    /// # Errors
    /// When another host has it and keeps it, named by its process id.
    pub fn take(dir: &Path, tell: impl FnOnce(&str)) -> Result<Self> {
        Self::take_within(dir, ENDING, tell)
    }

    fn take_within(dir: &Path, wait: Duration, tell: impl FnOnce(&str)) -> Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.with_context(|| dir.display().to_string())?;
        let path = dir.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).with_context(|| path.display().to_string())?;
        let locked = flock_patiently(&mut file, wait, |holder| {
            let seconds = wait.as_secs();
            tell(&format!(
                "{} is in use by another host{holder}: waiting up to {seconds} s, in case it is ending",
                dir.display()
            ));
        });
        match locked {
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

/// Somebody who only looks has it for an instant, which is not worth a word; one that was killed may have it for seconds.
fn flock_patiently(file: &mut File, wait: Duration, tell: impl FnOnce(&str)) -> Result<(), Errno> {
    let lock = |file: &File| flock(file, FlockOperation::NonBlockingLockExclusive);
    let until = Instant::now() + wait;
    for _ in 0..2 {
        match lock(file) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOOK),
            done => return done,
        }
    }
    tell(&holder(file));
    loop {
        match lock(file) {
            Err(Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(LOOK),
            done => return done,
        }
    }
}

/// Longer than a look at a lock takes.
const LOOK: Duration = Duration::from_millis(50);

/// How long the end of the process is waited for that has the directory: one that was killed gives its memory back first,
/// and has its locks until then. One or two seconds were seen; whatever supervises a host starts it again at once.
const ENDING: Duration = Duration::from_secs(10);

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let begun = file.seek(SeekFrom::Start(0));
    let read = begun.and_then(|_| file.take(20).read_to_string(&mut text));
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
        let unheard = |_: &str| {};
        let first = DirLock::take(&dir, unheard).unwrap();
        let refused = DirLock::take_within(&dir, Duration::ZERO, unheard);
        let error = refused.unwrap_err().to_string();
        let process = format!("(process {})", std::process::id());
        assert!(error.contains("in use by another host") && error.contains(&process), "{error}");
        drop(first);
        DirLock::take(&dir, unheard).unwrap();
    }

    #[test]
    fn a_host_that_is_ending_is_waited_for_and_that_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Some(DirLock::take(dir.path(), |_| panic!("it is free")).unwrap());
        let mut told = Vec::new();
        DirLock::take(dir.path(), |words| {
            told.push(words.to_owned());
            drop(first.take());
        })
        .unwrap();
        let [words] = told.as_slice() else { panic!("{told:?}") };
        let process = format!("in use by another host (process {})", std::process::id());
        assert!(words.contains(&process) && words.contains("waiting up to 10 s"), "{words}");
    }
}
