//! Where a password or a token comes from: the configuration, a file, or a program.
//!
//! Reads one line, and at most [`MAX_SECRET`] of it. What a program says on stderr is shown when it fails; what
//! it says on stdout never.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::private;
use crate::config::{Agent, Source};
use crate::error::Error;
use crate::secret::Password;

/// Longest secret in octets: a token with hundreds of groups is shorter.
const MAX_SECRET: u64 = 16 << 10;

/// How long a program may take: it may ask somebody.
const PROGRAM_TAKES: Duration = Duration::from_secs(120);

pub(super) async fn password(agent: &Agent) -> Result<Password, Error> {
    match &agent.login.password {
        Some(source) => read("the password", source).await,
        None => Err(Error::NoPassword {
            user: agent.login.user().to_owned(),
            address: agent.address.to_string(),
        }),
    }
}

pub(super) async fn token(agent: &Agent) -> Result<Password, Error> {
    match &agent.login.token {
        Some(source) => read("the token", source).await,
        None => Err(Error::Usage("OAUTHBEARER needs a token_file or a token_command".to_owned())),
    }
}

async fn read(what: &str, source: &Source) -> Result<Password, Error> {
    let wrong =
        |reason: String| Error::Usage(format!("no {}: {reason}", what.trim_start_matches("the ")));
    let text = match source {
        Source::Here(password) => return Ok(password.clone()),
        Source::File(path) => file(path.clone()).await.map_err(wrong)?,
        Source::Command(words) => program(words).await.map_err(wrong)?,
    };
    let line = std::str::from_utf8(&text).map_err(|_| wrong("it is not utf-8".to_owned()))?;
    let line = line.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(wrong("its first line is empty".to_owned()));
    }
    Ok(Password::new(line.to_owned()))
}

/// It may be a pipe that somebody has to write to first.
async fn file(path: PathBuf) -> Result<Zeroizing<Vec<u8>>, String> {
    let read = tokio::task::spawn_blocking(move || private::read(&path, MAX_SECRET));
    read.await.map_err(|error| error.to_string())?
}

async fn program(words: &[String]) -> Result<Zeroizing<Vec<u8>>, String> {
    let (program, arguments) = words.split_first().ok_or("no program")?;
    let shown = |error: std::io::Error| format!("{program}: {error}");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(shown)?;
    let (mut text, mut said) = (Zeroizing::new(Vec::new()), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let run = async {
        let out = async {
            match out {
                Some(out) => out.take(MAX_SECRET).read_to_end(&mut text).await.map(drop),
                None => Ok(()),
            }
        };
        let err = async {
            match err {
                Some(err) => err.take(MAX_SECRET).read_to_end(&mut said).await.map(drop),
                None => Ok(()),
            }
        };
        let (out, err) = tokio::join!(out, err);
        out.and(err)?;
        child.wait().await
    };
    let status = timeout(PROGRAM_TAKES, run).await;
    let status =
        status.map_err(|_| format!("{program} takes over {} s", PROGRAM_TAKES.as_secs()))?;
    let status = status.map_err(shown)?;
    if !status.success() {
        let said = String::from_utf8_lossy(&said);
        let said = said.lines().next().unwrap_or("it says nothing");
        return Err(format!("{program}: {status}: {said}"));
    }
    Ok(text)
}
