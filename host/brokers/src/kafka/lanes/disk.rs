//! Files of this host that are there whole, as they were or as they are to be, whenever it dies.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Reads a file; `None` where there is none. One that is larger than `most` is refused.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    if file.take(most.saturating_add(1)).read_to_end(&mut bytes)? as u64 > most {
        return Err(io::Error::other(format!("larger than {most} bytes")));
    }
    Ok(Some(bytes))
}

/// Writes a file anew. What fails, or is killed, leaves what was there; a name of its own for what is being
/// written keeps two that write the same file apart.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = temporary(path);
    let written = write_and_rename(path, &temporary, write);
    if written.is_err() {
        // It may not be there at all.
        drop(fs::remove_file(&temporary));
    }
    written
}

fn write_and_rename(
    path: &Path,
    temporary: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = BufWriter::new(File::create_new(temporary)?);
    write(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    drop(file);
    fs::rename(temporary, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.tmp", Uuid::new_v4().simple()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
