//! The streams a run reads and writes, real or in memory.
//!
//! Nothing else in this crate touches the process's own stdin, stdout or stderr, so that another
//! program can call [`crate::run`] and keep what it says.

use std::io::{self, Cursor, IsTerminal, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

/// Standard streams of one run.
pub struct Io {
    /// Where `write` reads events when no file is named.
    pub stdin: Box<dyn Read + Send>,
    /// Data.
    pub stdout: Box<dyn Write + Send>,
    /// Words for people.
    pub stderr: Box<dyn Write + Send>,
    /// Whether a progress line may be drawn on the process's stderr.
    pub progress: bool,
    /// Whether stdout is a screen: what a host sends is then shown without control characters.
    pub screen: bool,
    /// Whether somebody sits before the process's stdin and stderr, and can be asked.
    pub ask: bool,
}

impl Io {
    /// The process's own streams.
    #[must_use]
    pub fn real() -> Self {
        Self {
            stdin: Box::new(io::stdin()),
            stdout: Box::new(io::stdout()),
            stderr: Box::new(io::stderr()),
            progress: io::stderr().is_terminal(),
            screen: io::stdout().is_terminal(),
            ask: io::stdin().is_terminal() && io::stderr().is_terminal(),
        }
    }

    /// Streams in memory: `stdin` is read, and what is said can be taken from the two [`Captured`]
    /// (stdout, then stderr).
    #[must_use]
    pub fn captured(stdin: Vec<u8>) -> (Self, Captured, Captured) {
        let (stdout, stderr) = (Captured::default(), Captured::default());
        let io = Self {
            stdin: Box::new(Cursor::new(stdin)),
            stdout: Box::new(stdout.clone()),
            stderr: Box::new(stderr.clone()),
            progress: false,
            screen: false,
            ask: false,
        };
        (io, stdout, stderr)
    }
}

impl std::fmt::Debug for Io {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Io").field("progress", &self.progress).finish_non_exhaustive()
    }
}

/// A stream kept in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// Everything written so far; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stdout that can be given away again as long as nothing went through it; clones share it.
#[derive(Clone)]
pub(crate) struct Once(Arc<Mutex<(Box<dyn Write + Send>, bool)>>);

impl Once {
    pub(crate) fn new(stdout: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Mutex::new((stdout, true))))
    }

    /// Whether nothing was written yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

impl Write for Once {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.1 &= bytes.is_empty();
        inner.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.flush()
    }
}

/// The words a run says, shared by its parts; a stderr that is gone is no reason to stop.
#[derive(Clone)]
pub(crate) struct Words(Arc<Mutex<Box<dyn Write + Send>>>);

impl Words {
    pub(crate) fn new(stderr: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Mutex::new(stderr)))
    }

    /// Says one line.
    pub(crate) fn say(&self, line: &str) {
        let mut text = printable(line);
        text.push('\n');
        let mut stderr = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
    }
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Words")
    }
}

/// Asks whoever sits before the terminal.
pub(crate) fn ask(question: &str) -> io::Result<String> {
    let terminal = console::Term::stderr();
    terminal.write_str(question)?;
    Ok(terminal.read_line()?.trim().to_owned())
}

/// Asks for something that the terminal must not show.
pub(crate) fn ask_secret(question: &str) -> io::Result<Zeroizing<String>> {
    let terminal = console::Term::stderr();
    terminal.write_str(question)?;
    terminal.read_secure_line().map(Zeroizing::new)
}

/// Rows and columns of the terminal that the process's stdout is.
pub(crate) fn size() -> Option<(usize, usize)> {
    let (rows, columns) = console::Term::stdout().size_checked()?;
    Some((rows.into(), columns.into()))
}

/// Columns of the same.
pub(crate) fn columns() -> Option<usize> {
    size().map(|(_, columns)| columns)
}

/// The text with control characters replaced: a host's words must not steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    let show = |c: char| {
        if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }
    };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_host_cannot_steer_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\u{9b}c\td"), "a\u{fffd}[2Jb\u{fffd}c\td");
    }

    #[test]
    fn what_is_said_is_captured() {
        let (io, _, stderr) = Io::captured(Vec::new());
        Words::new(io.stderr).say("fnua: hello");
        assert_eq!(stderr.text(), "fnua: hello\n");
    }
}
