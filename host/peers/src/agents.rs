//! Other hosts, as they are reached through DNS.

use std::time::Duration;

use async_trait::async_trait;
use fnap::command::Command;
use fnap::name::Name;
use fnap::reply::{Code, Failure};
use host_names::{Age, Found};

use crate::agent::{Again, Agents, PeerError, Step, Why};
use crate::reach::{Choice, Opened, Reach, Unreached};
use crate::trace::is_host;

/// Wait before a host is tried again that may do better by itself.
const SOON: Duration = Duration::from_secs(2);

#[async_trait]
impl Reach for Agents {
    async fn ask(&self, flow: &Name, command: &Command) -> Result<Vec<String>, Unreached> {
        self.ask_able(flow, &|_| Ok(command.clone())).await
    }

    async fn ask_able(&self, flow: &Name, choose: Choice<'_>) -> Result<Vec<String>, Unreached> {
        let found = Self::find(self, flow, Age::Any).await.map_err(unreached)?;
        let answer = match self.asked(&found, choose).await {
            Err(error) => match self.elsewhere(flow, &found, &error).await {
                Some(now) => self.asked(&now, choose).await,
                None => Err(error),
            },
            answer => answer,
        };
        answer.map_err(unreached)
    }

    async fn find(&self, flow: &Name, age: Age) -> Result<Found, Unreached> {
        Self::find(self, flow, age).await.map_err(unreached)
    }

    async fn stream(&self, found: &Found) -> Result<Opened, Unreached> {
        let peer = self.connect(found).await.map_err(unreached)?;
        // What it calls itself: it is what stands in the traces of what it passes on.
        let host = peer.greeting().split_whitespace().next().unwrap_or_default().to_owned();
        if !is_host(&host) {
            let words = "the other host's greeting does not say what it is called";
            return Err(Unreached::never(Failure::new(Code::ConnError, words)));
        }
        let octets = peer.into_stream().await.map_err(unreached)?;
        Ok(Opened { octets: Box::new(octets), host: Some(host) })
    }
}

impl Unreached {
    /// What a host of a flow has said to a command.
    pub(crate) fn refused(failure: Failure) -> Self {
        let again = wait(&Again::of(&failure));
        Self { failure, again, heard: false }
    }
}

const fn wait(again: &Again) -> Option<Duration> {
    match again {
        Again::No => None,
        Again::Later | Again::Pending(_) => Some(SOON),
        Again::After(time) => Some(*time),
    }
}

impl Agents {
    /// Says a command at one of these hosts.
    async fn asked(&self, found: &Found, choose: Choice<'_>) -> Result<Vec<String>, PeerError> {
        let mut peer = self.connect(found).await?;
        let command = choose(peer.capabilities());
        let command = command
            .map_err(|failure| PeerError::new(Step::Command, peer.host(), Why::refused(failure)))?;
        Ok(peer.command(&command).await?.data)
    }
}

fn unreached(error: PeerError) -> Unreached {
    let again = wait(&error.again());
    // The other host's own word is what its owner wants said.
    let heard = error.step == Step::Command && error.refusal().is_none();
    let failure = error.refusal().cloned();
    let failure = failure.unwrap_or_else(|| Failure::new(Code::ConnError, error.to_string()));
    Unreached { failure, again, heard }
}
