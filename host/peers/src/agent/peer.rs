//! Another participant's host, reached and told who we are.

use std::time::Duration;

use fnap::Command;
use fnap::name::Name;

use super::error::{PeerError, Step};
use super::stream::PeerStream;
use super::talk::{Answer, Talk};

/// A connection to another host, on which we are known.
///
/// A command that failed with anything but a refusal of the host leaves the connection out of step: what is asked
/// afterwards fails. So does a command whose future was dropped.
#[derive(Debug)]
pub struct Peer {
    pub(super) name: Name,
    pub(super) host: String,
    pub(super) greeting: String,
    pub(super) capabilities: Vec<String>,
    pub(super) talk: Talk,
    pub(super) most: Duration,
}

impl Peer {
    /// The host's name, as DNS has it and as its certificate proves it. (Between hosts of one user on one machine the
    /// secret that they share proves it.)
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// `NAME:PORT (ADDRESS)`, for the log.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What the host calls itself, which proves nothing.
    #[must_use]
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// Whether the host said that it can do that, such as `STREAM=1`.
    #[must_use]
    pub fn offers(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|word| word.eq_ignore_ascii_case(capability))
    }

    /// What it said that it can do, line by line.
    #[must_use]
    pub fn capabilities(&self) -> &[String] {
        &self.capabilities
    }

    /// Asks for something and waits for the answer.
    ///
    /// # Errors
    /// When the host refuses, is too slow, says too much or nonsense, or the connection breaks.
    pub async fn command(&mut self, command: &Command) -> Result<Answer, PeerError> {
        let answer = self.talk.command(command, self.most).await;
        answer.map_err(|why| PeerError::new(Step::Command, &self.host, why))
    }

    /// Says STREAM; what follows are frames.
    ///
    /// # Errors
    /// As [`Self::command`]; a host that has no streams refuses with 501, or 404.
    pub async fn into_stream(mut self) -> Result<PeerStream, PeerError> {
        self.command(&Command::Stream).await?;
        Ok(self.talk.into_stream())
    }
}
