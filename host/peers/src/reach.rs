//! What is asked of other participants' hosts, however they are found and whoever we are to them.

use std::time::Duration;

use async_trait::async_trait;
use fnap::command::Command;
use fnap::name::Name;
use fnap::reply::{Code, Failure};
use host_names::{Age, Found};
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection's octets, clear or encrypted.
pub trait Octets: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Octets for T {}

/// A connection on which STREAM was accepted.
pub struct Opened {
    /// The octets.
    pub octets: Box<dyn Octets>,
    /// The host at the other end, as it is called in traces; none where that is this one.
    pub host: Option<String>,
}

/// What is said to a host that can do this and that, such as `STREAM=1`; or why nothing is.
pub type Choice<'a> = &'a (dyn Fn(&[String]) -> Result<Command, Failure> + Send + Sync);

/// The way to the hosts of others.
#[async_trait]
pub trait Reach: Send + Sync {
    /// Says one command to the host of a flow, and gives the lines of its answer. Where nobody is found, or somebody who knows
    /// nothing of the flow, by what DNS has said a while ago, it is asked anew, and the host that it names now.
    async fn ask(&self, flow: &Name, command: &Command) -> Result<Vec<String>, Unreached>;
    /// Says a command that depends on what the host of a flow says that it can do.
    async fn ask_able(&self, flow: &Name, choose: Choice<'_>) -> Result<Vec<String>, Unreached>;
    /// Which hosts have a flow, by answers of DNS that may be so old.
    async fn find(&self, flow: &Name, age: Age) -> Result<Found, Unreached>;
    /// Opens a stream to one of the hosts that were found.
    async fn stream(&self, found: &Found) -> Result<Opened, Unreached>;
}

/// Why something was not answered as it should be.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{failure}")]
pub struct Unreached {
    /// What the other host said, or what a user is told.
    pub failure: Failure,
    /// After how long another try may do better; none where no try will.
    pub again: Option<Duration>,
    /// Whether it may have been heard and done all the same: it was sent, and no answer came that can be read.
    pub heard: bool,
}

/// A way to nobody: of a host that does not say who it is.
#[derive(Debug)]
pub struct Nowhere;

impl Nowhere {
    fn no<T>() -> Result<T, Unreached> {
        let words = "flows of other participants: this host has no [peers]";
        Err(Unreached::never(Failure::new(Code::NotImplemented, words)))
    }
}

#[async_trait]
impl Reach for Nowhere {
    async fn ask(&self, _: &Name, _: &Command) -> Result<Vec<String>, Unreached> {
        Self::no()
    }

    async fn ask_able(&self, _: &Name, _: Choice<'_>) -> Result<Vec<String>, Unreached> {
        Self::no()
    }

    async fn find(&self, _: &Name, _: Age) -> Result<Found, Unreached> {
        Self::no()
    }

    async fn stream(&self, _: &Found) -> Result<Opened, Unreached> {
        Self::no()
    }
}

impl Unreached {
    /// Something that another try does not change.
    #[must_use]
    pub fn never(failure: Failure) -> Self {
        Self { failure, again: None, heard: false }
    }
}
