//! The terminal that `top` fills, given back as it was.

use std::io::Write;

use crate::error::Error;
use crate::output;

/// Another screen, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the first place; the rest of a line; the rest of the screen.
const HOME: &str = "\x1b[H";
const LINE_END: &str = "\x1b[K\r\n";
const REST: &str = "\x1b[J";

/// Where the tables go.
pub(super) struct Screen {
    stdout: Box<dyn Write + Send>,
    terminal: bool,
}

impl Screen {
    pub(super) fn enter(stdout: Box<dyn Write + Send>, terminal: bool) -> Result<Self, Error> {
        let mut screen = Self { stdout, terminal };
        if terminal {
            screen.write(ENTER)?;
        }
        Ok(screen)
    }

    /// Rows and columns there are; none where it is no terminal.
    pub(super) fn size(&self) -> Option<(usize, usize)> {
        // What does not say its size is taken for the smallest that is usual.
        self.terminal.then(|| crate::io::size().unwrap_or((24, 80)))
    }

    /// Shows a text: instead of the last one on a terminal, else behind it.
    pub(super) fn show(&mut self, text: &str) -> Result<(), Error> {
        match self.size() {
            Some(size) => self.write(&frame(text, size)),
            None => self.write(text),
        }
    }

    fn write(&mut self, text: &str) -> Result<(), Error> {
        output::bytes(self.stdout.as_mut(), text.as_bytes())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.terminal {
            // Nobody is left to be told.
            drop(self.write(LEAVE));
        }
    }
}

fn frame(text: &str, (rows, columns): (usize, usize)) -> String {
    let lines = text.lines().take(rows);
    let lines: Vec<String> = lines.map(|line| line.chars().take(columns).collect()).collect();
    format!("{HOME}{}{}{REST}", lines.join(LINE_END), "\x1b[K")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Io;

    #[test]
    fn a_frame_is_no_larger_than_the_screen() {
        assert_eq!(frame("abc\nd\ne\n", (2, 2)), "\x1b[Hab\x1b[K\r\nd\x1b[K\x1b[J");
    }

    #[test]
    fn the_terminal_is_given_back() {
        let (io, stdout, _) = Io::captured(Vec::new());
        drop(Screen::enter(io.stdout, true).unwrap());
        assert_eq!(stdout.text(), format!("{ENTER}{LEAVE}"));
        let (io, stdout, _) = Io::captured(Vec::new());
        Screen::enter(io.stdout, false).unwrap().show("a\n").unwrap();
        assert_eq!(stdout.text(), "a\n");
    }
}
