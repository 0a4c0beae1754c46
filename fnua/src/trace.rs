//! The dialogue with the host on stderr, as `-d` asks for it: `C: …` and `S: …`.
//!
//! Never shows a credential: what answers a SASL challenge is `<credentials>`, and the challenges are hidden as
//! well, because a password can be guessed with them.

use memchr::memchr;

use crate::io::Words;

/// Longest part of a line that is shown; an event may have a megabyte.
const SHOWN: usize = 2000;

/// Where the dialogue goes; silent unless asked for.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    words: Option<Words>,
    // The line of the host that is not complete yet, at most SHOWN bytes of it.
    partial: Vec<u8>,
    // An exchange is under way.
    hiding: bool,
}

impl Trace {
    /// Shows nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self::default()
    }

    pub(crate) const fn to(words: Words) -> Self {
        Self { words: Some(words), partial: Vec::new(), hiding: false }
    }

    /// Says what fnua does.
    pub(crate) fn note(&self, text: impl FnOnce() -> String) {
        if let Some(words) = &self.words {
            words.say(&text());
        }
    }

    /// Shows lines that are sent. Not for what answers a SASL challenge: see [`Self::credentials`].
    pub(crate) fn client(&self, bytes: &[u8]) {
        let Some(words) = &self.words else { return };
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            words.say(&shown("C: ", line));
        }
    }

    /// Shows that credentials are sent.
    pub(crate) fn credentials(&self) {
        self.note(|| "C: <credentials>".to_owned());
    }

    /// Whether what the host asks for is hidden.
    pub(crate) const fn hide(&mut self, hide: bool) {
        self.hiding = hide;
    }

    /// Shows lines as they come, however they are cut.
    pub(crate) fn server(&mut self, mut bytes: &[u8]) {
        let Some(words) = &self.words else { return };
        while let Some(at) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(at);
            keep(&mut self.partial, line);
            if self.hiding && self.partial.starts_with(b"330") {
                words.say("S: 330 <challenge>");
            } else {
                words.say(&shown("S: ", &self.partial));
            }
            self.partial.clear();
            bytes = rest.get(1..).unwrap_or_default();
        }
        keep(&mut self.partial, bytes);
    }
}

fn keep(partial: &mut Vec<u8>, bytes: &[u8]) {
    let room = (SHOWN + 1).saturating_sub(partial.len());
    partial.extend(bytes.iter().take(room));
}

fn shown(mark: &str, line: &[u8]) -> String {
    let cut = line.get(..SHOWN).unwrap_or(line);
    let text = String::from_utf8_lossy(cut);
    let more = if cut.len() < line.len() { "…" } else { "" };
    format!("{mark}{}{more}", text.trim_end_matches('\r'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Io;

    #[test]
    fn lines_are_shown_whole_however_they_are_cut() {
        let (io, _, stderr) = Io::captured(Vec::new());
        let mut trace = Trace::to(Words::new(io.stderr));
        for byte in b"220 a\r\n220 b\r\n22" {
            trace.server(&[*byte]);
        }
        trace.client(b"NOOP\r\nQUIT\r\n");
        assert_eq!(stderr.text(), "S: 220 a\nS: 220 b\nC: NOOP\nC: QUIT\n");
    }

    #[test]
    fn challenges_are_hidden_while_somebody_authenticates() {
        let (io, _, stderr) = Io::captured(Vec::new());
        let mut trace = Trace::to(Words::new(io.stderr));
        trace.hide(true);
        trace.server(b"330 dj02cnJpVFJCaTIz\r\n220 OK\r\n");
        trace.hide(false);
        trace.server(b"330 Send\r\n");
        assert_eq!(stderr.text(), "S: 330 <challenge>\nS: 220 OK\nS: 330 Send\n");
    }

    #[test]
    fn a_long_line_is_cut() {
        let (io, _, stderr) = Io::captured(Vec::new());
        let mut trace = Trace::to(Words::new(io.stderr));
        trace.server(&vec![b'x'; 1 << 20]);
        trace.server(b"\n");
        assert_eq!(stderr.text().len(), "S: ".len() + SHOWN + "…\n".len());
    }
}
