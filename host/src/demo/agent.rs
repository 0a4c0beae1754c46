//! The user agent of the demo: `fnua` itself, called in this process.

use std::io::{PipeReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use fnua::{Captured, Exit, Io};

use super::screen::Screen;

pub(super) struct Agent {
    config: PathBuf,
    screen: Screen,
}

impl Agent {
    pub(super) fn new(dir: &Path, screen: Screen) -> Self {
        Self { config: dir.join("fnua.toml"), screen }
    }

    /// Runs a command that has to succeed, shows it, and gives what it wrote.
    pub(super) async fn say(&self, words: &[&str]) -> Result<String> {
        self.screen.command(&format!("fnua {}", shown(words)));
        self.run(words, Io::captured(Vec::new())).await
    }

    /// Runs a command quietly and gives what it wrote.
    pub(super) async fn ask(&self, words: &[&str]) -> Result<String> {
        self.run(words, Io::captured(Vec::new())).await
    }

    /// Runs a command whose standard input comes through a pipe.
    pub(super) async fn pipe(&self, words: &[&str], stdin: PipeReader) -> Result<()> {
        self.screen.command(&format!("fnua {} < earthquakes", shown(words)));
        let (mut io, stdout, stderr) = Io::captured(Vec::new());
        io.stdin = Box::new(stdin);
        self.run(words, (io, stdout, stderr)).await.map(drop)
    }

    async fn run(&self, words: &[&str], io: (Io, Captured, Captured)) -> Result<String> {
        let (io, stdout, stderr) = io;
        let config = self.config.to_string_lossy();
        let args = ["fnua", "--config", &config].into_iter().chain(words.iter().copied());
        match fnua::run(args.map(Into::into), io).await {
            Exit::Done => Ok(stdout.text()),
            exit => {
                bail!("fnua {} ended with {}: {}", shown(words), exit.code(), stderr.text().trim())
            }
        }
    }
}

fn shown(words: &[&str]) -> String {
    let quoted = |word: &&str| match word.contains(['{', ' ', '"']) {
        true => format!("'{word}'"),
        false => (*word).to_owned(),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// Writes everything or says that the reader is gone.
pub(super) fn write_all(pipe: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    pipe.write_all(bytes)?;
    pipe.flush()
}
