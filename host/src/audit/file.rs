//! The audit log as a file: one JSON object a line, only ever appended to.
//!
//! Who rotates it moves it away; the next change begins a new one. A line that a crash cut is written again, and a
//! change that is in the file already is not written twice. Whatever else stands there stays. Deletes nothing.

use std::fs::{File, Metadata, OpenOptions};
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

/// The file as it is open, and how it ended when it was last looked at.
#[derive(Debug)]
struct Open {
    file: File,
    end: End,
}

/// How a file ends.
#[derive(Debug, Default)]
struct End {
    /// Octets of all of it.
    length: u64,
    /// The last whole line: what is there already is known by it.
    last: Option<Vec<u8>>,
    /// What stands behind that: a line that a crash cut, or somebody else's words.
    rest: Vec<u8>,
}

impl AuditFile {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// Opens the file, or makes it, where it is not open already.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn ready(&mut self) -> Result<()> {
        self.append(Vec::new()).await
    }

    /// Writes changes behind what is there; safe on disk when it returns.
    ///
    /// # Errors
    /// When the file cannot be written; then none of them counts.
    pub async fn append(&mut self, rows: Vec<Audited>) -> Result<()> {
        // What was written of a failure is seen when the file is opened again.
        let (open, path) = (self.open.take(), self.path.clone());
        let written = spawn_blocking(move || write(open, &path, &rows)).await?;
        self.open = Some(written.with_context(|| self.path.display().to_string())?);
        Ok(())
    }
}

fn write(open: Option<Open>, path: &Path, rows: &[Audited]) -> Result<Open> {
    let mut open = match open.filter(|open| open.is_as_left_at(path)) {
        Some(open) => open,
        None => Open::at(path)?,
    };
    let mut lines: Vec<Vec<u8>> = Vec::with_capacity(rows.len());
    for line in rows.iter().map(|row| super::json(row).to_string().into_bytes()) {
        // Everything up to the line that is there already is there.
        if open.end.last.as_ref() == Some(&line) {
            lines.clear();
        } else {
            lines.push(line);
        }
    }
    let Some(last) = lines.last().cloned() else { return Ok(open) };
    open.put(&lines)?;
    let length = open.file.metadata()?.len();
    open.end = End { length, last: Some(last), rest: Vec::new() };
    Ok(open)
}

impl Open {
    fn at(path: &Path) -> Result<Self> {
        let mut file = open(path)?;
        let end = end(&mut file)?;
        Ok(Self { file, end })
    }

    /// Whether the file is still the one of that name, and nobody else has written to it.
    fn is_as_left_at(&self, path: &Path) -> bool {
        let same = |one: Metadata, other: Metadata| {
            (one.dev(), one.ino(), one.len()) == (other.dev(), other.ino(), self.end.length)
        };
        let ours = self.file.metadata();
        std::fs::metadata(path).is_ok_and(|there| ours.is_ok_and(|ours| same(ours, there)))
    }

    fn put(&mut self, lines: &[Vec<u8>]) -> Result<()> {
        let End { length, rest, .. } = &self.end;
        let mut text = lines.join(&b'\n');
        text.push(b'\n');
        match lines.first() {
            _ if rest.is_empty() => {}
            // The same line, which a crash cut, is written again.
            Some(line) if line.starts_with(rest) => {
                self.file.set_len(length - rest.len() as u64)?;
            }
            _ => {
                tracing::warn!(
                    "the audit file did not end with a whole line: what stands there stays"
                );
                text.insert(0, b'\n');
            }
        }
        self.file.seek(SeekFrom::End(0))?;
        self.file.write_all(&text)?;
        Ok(self.file.sync_data()?)
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
    if meta.mode() & 0o044 != 0 {
        let mode = format!("{:04o}", meta.mode() & 0o7777);
        tracing::warn!(file = %path.display(), mode, "others can read the audit file");
    }
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        File::open(dir)?.sync_all()?;
    }
    Ok(file)
}

/// The last whole line, and what stands behind it.
fn end(file: &mut File) -> Result<End> {
    let length = file.seek(SeekFrom::End(0))?;
    let begin = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(begin))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
    if whole == 0 && begin > 0 {
        bail!("its end is no line of an audit log");
    }
    let (lines, rest) = tail.split_at(whole);
    let last = lines.split(|octet| *octet == b'\n').rfind(|line| !line.is_empty());
    Ok(End { length, last: last.map(<[u8]>::to_vec), rest: rest.to_vec() })
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
        for cut in [7, 1, 0] {
            std::fs::write(&path, &text[..text.len() - cut]).unwrap();
            AuditFile::new(path.clone()).append(vec![row(3), row(4)]).await.unwrap();
            assert_eq!(numbers(&path), [1, 2, 3, 4]);
        }
    }

    #[tokio::test]
    async fn what_is_no_line_of_ours_stays_and_spoils_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let mut file = AuditFile::new(path.clone());
        file.append(vec![row(1), row(2)]).await.unwrap();
        let append = |text: &str| {
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append("a note");
        file.append(vec![row(3)]).await.unwrap();
        // A line that is carried for good, and cut afterwards.
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 7]).unwrap();
        drop(file);
        AuditFile::new(path.clone()).append(vec![row(4)]).await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[2]), (5, "a note"));
        assert!(lines[3].starts_with("{") && lines[3].contains("\"number\":3"), "{text}");
        for (line, number) in [(0, 1), (1, 2), (4, 4)] {
            let line: serde_json::Value = serde_json::from_str(lines[line]).unwrap();
            assert_eq!(line["number"], number);
        }
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
