//! The audit log as a file: one JSON object a line, only ever appended to.
//!
//! Who rotates it moves it away; the next change begins a new one. A line that a crash cut is taken back, and a
//! change that is in the file already is not written twice. Deletes nothing.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use host_registry::Audited;
use tokio::task::spawn_blocking;

/// The end of a file that is looked at: longer than a change can be.
const TAIL: u64 = 64 * 1024;

/// The file, opened when there is something to write.
#[derive(Debug)]
pub struct AuditFile {
    path: PathBuf,
    open: Option<Open>,
}

/// The file as it is open, and its last line: what is there already is known by it.
#[derive(Debug)]
struct Open {
    file: File,
    last: Option<Vec<u8>>,
}

impl AuditFile {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// Writes changes behind what is there; safe on disk when it returns.
    ///
    /// # Errors
    /// When the file cannot be written; then none of them counts.
    pub async fn append(&mut self, rows: Vec<Audited>) -> Result<()> {
        // What was written of a failure is taken back when the file is opened again.
        let (open, path) = (self.open.take(), self.path.clone());
        let written = spawn_blocking(move || write(open, &path, &rows)).await?;
        self.open = Some(written.with_context(|| self.path.display().to_string())?);
        Ok(())
    }
}

fn write(open: Option<Open>, path: &Path, rows: &[Audited]) -> Result<Open> {
    let mut open = match open.filter(|open| is_at(&open.file, path)) {
        Some(open) => open,
        None => Open::at(path)?,
    };
    let mut lines: Vec<Vec<u8>> = Vec::with_capacity(rows.len());
    for line in rows.iter().map(|row| super::json(row).to_string().into_bytes()) {
        // Everything up to the line that is there already is there.
        if open.last.as_ref() == Some(&line) {
            lines.clear();
        } else {
            lines.push(line);
        }
    }
    let Some(last) = lines.last().cloned() else { return Ok(open) };
    // The end of each line, too.
    lines.push(Vec::new());
    open.file.seek(SeekFrom::End(0))?;
    open.file.write_all(&lines.join(&b'\n'))?;
    open.file.sync_data()?;
    open.last = Some(last);
    Ok(open)
}

impl Open {
    fn at(path: &Path) -> Result<Self> {
        let mut file = open(path)?;
        let last = last_line(&mut file)?;
        Ok(Self { file, last })
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    let file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        bail!("not a regular file");
    }
    if meta.mode() & 0o022 != 0 {
        bail!("mode is {:04o}: others may change it (chmod 600)", meta.mode() & 0o7777);
    }
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        File::open(dir)?.sync_all()?;
    }
    Ok(file)
}

/// Whether the file is still the one of that name.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |one: std::fs::Metadata, other: std::fs::Metadata| {
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    };
    std::fs::metadata(path).is_ok_and(|there| file.metadata().is_ok_and(|ours| same(ours, there)))
}

/// The last whole line; what stands behind it is cut off.
fn last_line(file: &mut File) -> Result<Option<Vec<u8>>> {
    let length = file.seek(SeekFrom::End(0))?;
    let begin = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(begin))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole == 0 && begin > 0 {
        bail!("its end is no line of an audit log");
    }
    if whole < tail.len() {
        file.set_len(begin + whole as u64)?;
    }
    let lines = tail.get(..whole).unwrap_or_default();
    let mut lines = lines.split(|byte| *byte == b'\n');
    Ok(lines.rfind(|line| !line.is_empty()).map(<[u8]>::to_vec))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64) -> Audited {
        let text = |text: &str| text.to_owned();
        Audited {
            number,
            at: 1_000,
            who: text("user:ana"),
            origin: text("127.0.0.1"),
            subject: text("a.test"),
            change: text("creation"),
            command: text("CREATE FLOW a.test"),
        }
    }

    fn numbers(path: &Path) -> Vec<u64> {
        let text = std::fs::read_to_string(path).unwrap();
        let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        text.lines().map(|line| parse(line)["number"].as_u64().unwrap()).collect()
    }

    #[tokio::test]
    async fn what_is_in_the_file_is_not_written_again_and_a_line_that_was_cut_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        AuditFile::new(path.clone()).append(vec![row(1), row(2)]).await.unwrap();
        // As after a crash between the file and the note that it was written.
        AuditFile::new(path.clone()).append(vec![row(1), row(2), row(3)]).await.unwrap();
        assert_eq!(numbers(&path), [1, 2, 3]);
        // As after a note that failed while the host went on.
        let mut file = AuditFile::new(path.clone());
        for _ in 0..2 {
            file.append(vec![row(2), row(3)]).await.unwrap();
        }
        assert_eq!(numbers(&path), [1, 2, 3]);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 7]).unwrap();
        AuditFile::new(path.clone()).append(vec![row(3), row(4)]).await.unwrap();
        assert_eq!(numbers(&path), [1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("audit.log"), dir.path().join("audit.log.1"));
        let mut file = AuditFile::new(path.clone());
        file.append(vec![row(1)]).await.unwrap();
        std::fs::rename(&path, &old).unwrap();
        file.append(vec![row(2)]).await.unwrap();
        assert_eq!((numbers(&old), numbers(&path)), (vec![1], vec![2]));
    }

    #[tokio::test]
    async fn a_file_that_others_may_change_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        let error = AuditFile::new(path).append(vec![row(1)]).await.unwrap_err();
        assert!(format!("{error:#}").contains("mode is 0666"), "{error:#}");
    }
}
