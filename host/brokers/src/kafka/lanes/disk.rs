//! Files of this host that are there whole, as they were or as they are to be, whenever it dies.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Opens a file; `None` where there is none. One that is larger than `most` is refused.
pub(super) fn open(path: &Path, most: u64) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match file.metadata()?.len() > most {
        true => Err(io::Error::other(format!("larger than {most} bytes"))),
        false => Ok(Some(file)),
    }
}

/// Reads a file, as above.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open(path, most)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes a file anew. What fails, or is killed, leaves what was there; a name of its own for what is being
/// written keeps two that write the same file apart.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    replace_with(path, File::sync_all, write)
}

/// The same where nobody waits for the disk: what the end of the machine leaves may be torn.
pub(super) fn replace_at_ease(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    replace_with(path, |_| Ok(()), write)
}

fn replace_with(
    path: &Path,
    settle: fn(&File) -> io::Result<()>,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    remove_leftovers(path);
    let temporary = temporary(path);
    let written = write_and_rename(path, &temporary, settle, write);
    if written.is_err() {
        // It may not be there at all.
        drop(fs::remove_file(&temporary));
    }
    written
}

fn write_and_rename(
    path: &Path,
    temporary: &Path,
    settle: fn(&File) -> io::Result<()>,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = BufWriter::new(File::create_new(temporary)?);
    write(&mut file)?;
    file.flush()?;
    settle(file.get_ref())?;
    drop(file);
    fs::rename(temporary, path)?;
    match path.parent() {
        Some(dir) => settle(&File::open(dir)?),
        None => Ok(()),
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", Uuid::new_v4().simple()));
    name.into()
}

/// What hosts left that were killed while they wrote. Another one that writes the same file at this moment fails,
/// and leaves what was there.
fn remove_leftovers(path: &Path) {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return };
    let begins = format!("{}.", name.to_string_lossy());
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&begins) && name.ends_with(".tmp") {
            // It costs room alone.
            drop(fs::remove_file(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::process::{Child, Command, Stdio};
    use std::thread::sleep;
    use std::time::{Duration, Instant, SystemTime};

    use super::*;

    const CHILD: &str = "FLOW_LANES_DISK_TEST";

    /// A child that writes nothing for so long never will.
    const HANGS: Duration = Duration::from_secs(60);

    /// A child, until it is dropped.
    struct Killed(Child);

    impl Killed {
        fn begin(path: &Path) -> Self {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "kafka::lanes::disk::tests::child", "--ignored"]);
            Self(command.env(CHILD, path).stdout(Stdio::null()).spawn().unwrap())
        }
    }

    impl Drop for Killed {
        fn drop(&mut self) {
            // It may have ended by itself.
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    /// Which file lies there: another one of the same name differs.
    fn which(path: &Path) -> Option<(u64, SystemTime)> {
        let found = fs::metadata(path).ok()?;
        Some((found.ino(), found.modified().unwrap()))
    }

    /// Writes one file anew until it is killed. Not a test by itself.
    #[test]
    #[ignore = "the parent starts it"]
    fn child() {
        let Ok(path) = std::env::var(CHILD) else { return };
        for round in 0_u64.. {
            let octet = u8::try_from(round % 251).unwrap();
            replace(Path::new(&path), |file| file.write_all(&vec![octet; 3_000_000])).unwrap();
        }
    }

    #[test]
    fn killed_at_any_moment_a_file_is_what_it_was_or_what_it_was_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for _ in 0..8 {
            let before = which(&path);
            let mut child = Killed::begin(&path);
            let begun = Instant::now();
            while which(&path) == before {
                assert!(child.0.try_wait().unwrap().is_none(), "it ended by itself");
                assert!(begun.elapsed() < HANGS, "it writes nothing");
                sleep(Duration::from_millis(1));
            }
            // Somewhere in the files after its first one.
            sleep(Duration::from_micros(Uuid::new_v4().as_u64_pair().1 % 40_000));
            drop(child);
            let bytes = read(&path, 3_000_000).unwrap().unwrap();
            let first = *bytes.first().unwrap();
            assert!(bytes.len() == 3_000_000 && bytes.iter().all(|octet| *octet == first));
        }
        replace(&path, |file| file.write_all(b"x")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "leftovers");
    }

    #[test]
    fn what_fails_leaves_what_was_there_and_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert_eq!(read(&path, 9).unwrap(), None);
        replace(&path, |file| file.write_all(b"before")).unwrap();
        replace(&path, |file| {
            file.write_all(b"aft")?;
            Err(io::Error::other("it broke"))
        })
        .unwrap_err();
        assert_eq!(read(&path, 9).unwrap().unwrap(), b"before");
        assert!(read(&path, 5).unwrap_err().to_string().contains("larger than 5"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
