//! A user agent of the demo: `fnua` itself, called in this process.

use std::io::{PipeReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fnua::{Captured, Exit, Io};
use serde_json::Value;

use super::screen::Screen;

#[derive(Clone)]
pub(super) struct Agent {
    config: PathBuf,
    /// Whose user it is.
    domain: &'static str,
    screen: Screen,
}

impl Agent {
    pub(super) fn new(dir: &Path, domain: &'static str, screen: Screen) -> Self {
        Self { config: dir.join("fnua.toml"), domain, screen }
    }

    pub(super) const fn domain(&self) -> &'static str {
        self.domain
    }

    /// Runs a command that has to succeed, shows it, and gives what it wrote.
    pub(super) async fn say(&self, words: &[&str]) -> Result<String> {
        self.show(words, "");
        self.ask(words).await
    }

    /// The same, and shows what it wrote.
    pub(super) async fn say_aloud(&self, words: &[&str]) -> Result<String> {
        let said = self.say(words).await?;
        said.lines().for_each(|line| self.screen.note(line));
        Ok(said)
    }

    /// Runs a command that the host refuses, shows both, and gives the host's words.
    pub(super) async fn say_in_vain(&self, words: &[&str]) -> Result<String> {
        self.show(words, "");
        let (io, _, stderr) = Io::captured(Vec::new());
        match self.run(words, io).await {
            Exit::Refused | Exit::Pending => {
                let said = stderr.text();
                self.screen.note(said.trim());
                Ok(said)
            }
            exit => bail!("fnua {} ended with {}", shown(words), exit.code()),
        }
    }

    /// Runs a command quietly and gives what it wrote.
    pub(super) async fn ask(&self, words: &[&str]) -> Result<String> {
        let (io, stdout, stderr) = Io::captured(Vec::new());
        self.well(words, io, &stderr).await?;
        Ok(stdout.text())
    }

    /// The same as JSON, one value a line.
    pub(super) async fn list(&self, words: &[&str]) -> Result<Vec<Value>> {
        let text = self.ask(&[&["--format", "json"], words].concat()).await?;
        let read = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        read.with_context(|| format!("answer to fnua {}", shown(words)))
    }

    /// Runs a command whose standard input comes through a pipe.
    pub(super) async fn pipe(&self, words: &[&str], stdin: PipeReader) -> Result<()> {
        self.show(words, " < earthquakes");
        let (mut io, _, stderr) = Io::captured(Vec::new());
        io.stdin = Box::new(stdin);
        self.well(words, io, &stderr).await
    }

    fn show(&self, words: &[&str], more: &str) {
        self.screen.command(&format!("{:<11} $ fnua {}{more}", self.domain, shown(words)));
    }

    async fn well(&self, words: &[&str], io: Io, stderr: &Captured) -> Result<()> {
        match self.run(words, io).await {
            Exit::Done => Ok(()),
            exit => {
                let said = stderr.text();
                bail!(
                    "{}: fnua {} ended with {}: {}",
                    self.domain,
                    shown(words),
                    exit.code(),
                    said.trim()
                )
            }
        }
    }

    async fn run(&self, words: &[&str], io: Io) -> Exit {
        let config = self.config.to_string_lossy();
        let args = ["fnua", "--config", &config].into_iter().chain(words.iter().copied());
        fnua::run(args.map(Into::into), io).await
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
