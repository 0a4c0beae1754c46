//! Everything that can end a run, and the exit code each means.

use std::path::PathBuf;

use fnap::{Code, Failure};

use crate::agent::NoAgent;
use crate::config::{ConfigError, KeepError};
use crate::exit::Exit;

/// Why a run, or a connection, ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The arguments do not fit together.
    #[error("{0}")]
    Usage(String),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no host to talk to.
    #[error(transparent)]
    NoAgent(#[from] NoAgent),
    /// The input is not what it should be.
    #[error("{name}:{line}: {reason}")]
    Input {
        /// File, or `stdin`.
        name: String,
        /// Line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The input cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The host said no.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// Everything would travel in clear.
    #[error(
        "tls = \"never\", and {0} is not a loopback address: everything would travel in clear; set allow_plaintext = true as well if the network is trusted"
    )]
    Plaintext(String),
    /// TLS is not to be had there, or not with whom it should be.
    #[error("no tls with {address}: {reason}")]
    Tls {
        /// `host:port`.
        address: String,
        /// Why.
        reason: String,
    },
    /// The host has not proved to be the one it should be.
    #[error("{address} cannot be trusted: {reason}")]
    Distrusted {
        /// `host:port`.
        address: String,
        /// Why.
        reason: String,
    },
    /// The host takes nothing that one could prove oneself with.
    #[error("{address} does not take {wanted} here: it offers {offered}")]
    NoMechanism {
        /// `host:port`.
        address: String,
        /// Mechanisms.
        wanted: String,
        /// Mechanisms.
        offered: String,
    },
    /// A user without a password.
    #[error("no password for {user} at {address}: `fnua login {address} --user {user}` keeps one")]
    NoPassword {
        /// The user's name.
        user: String,
        /// `host:port`.
        address: String,
    },
    /// Kept credentials cannot be used.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// The host wants to know anew who one is: what one came in with has expired, or the user was changed.
    #[error("{0}")]
    PutOut(Failure),
    /// The host wants to know who one is, and nobody has logged in.
    #[error("{failure}: `fnua login {address} --user NAME` keeps a password")]
    NobodyYet {
        /// `host:port`.
        address: String,
        /// What the host said.
        failure: Failure,
    },
    /// Nothing in DNS leads to a host.
    #[error("no host of {name} found: {reason}")]
    NotFound {
        /// The flow.
        name: fnap::Name,
        /// Why.
        reason: host_names::FindError,
    },
    /// Names cannot be looked up.
    #[error("names: {0}")]
    Names(#[from] host_names::SetupError),
    /// The own host does not know the flow, and what is piped in can be read once only.
    #[error("{failure}: dns says that {address} has it: --agent {address}")]
    Elsewhere {
        /// What the own host said.
        failure: Failure,
        /// Who has it.
        address: String,
    },
    /// `trace` found a step that does not work.
    #[error("the way to {flow} ends at {step}")]
    Way {
        /// The flow.
        flow: fnap::Name,
        /// The step.
        step: &'static str,
    },
    /// Nobody answers at the address.
    #[error("cannot reach {address}: {reason}")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// The connection ended, or fell silent, in the middle.
    #[error("connection to {address} broken: {reason}")]
    Broken {
        /// `host:port`.
        address: String,
        /// What happened.
        reason: String,
    },
    /// Whoever listens there does not speak the protocol.
    #[error("{address} does not speak fnap: {reason}")]
    Protocol {
        /// `host:port`.
        address: String,
        /// What it said.
        reason: String,
    },
    /// `status` found things that somebody should look at.
    #[error("{things} {}", if *.things == 1 { "thing is wrong" } else { "things are wrong" })]
    Wrong {
        /// How many.
        things: usize,
    },
    /// `replay` found that two versions differ, or did not get through.
    #[error("{0}")]
    Differs(String),
    /// Somebody ended it before it was through.
    #[error("{0}")]
    Interrupted(String),
    /// stdout cannot be written.
    #[error("cannot write to stdout: {0}")]
    Output(#[source] std::io::Error),
    /// Nobody reads stdout any more.
    #[error("stdout closed")]
    OutputClosed,
}

impl Error {
    /// The exit code it means.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Config(_) | Self::NoAgent(_) | Self::Plaintext(_) => Exit::Usage,
            Self::NoMechanism { .. } | Self::NoPassword { .. } | Self::Keep(_) => Exit::Usage,
            Self::Tls { .. } | Self::Distrusted { .. } => Exit::Broken,
            Self::Input { .. } | Self::Unreadable { .. } => Exit::Usage,
            Self::Refused(failure) if failure.code == Code::Pending => Exit::Pending,
            Self::Refused(_) | Self::PutOut(_) | Self::NobodyYet { .. } => Exit::Refused,
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Protocol { .. } => Exit::Broken,
            Self::Wrong { .. } | Self::Way { .. } | Self::Differs(_) => Exit::Wrong,
            Self::NotFound { .. } => Exit::Broken,
            Self::Interrupted(_) => Exit::Interrupted,
            Self::Names(_) => Exit::Usage,
            Self::Elsewhere { .. } => Exit::Refused,
            Self::Output(_) => Exit::Broken,
            // What `head` does to those before it in a pipe is no fault.
            Self::OutputClosed => Exit::Done,
        }
    }

    /// Whether the host may be elsewhere by now: nobody is where it was, or somebody else.
    pub(crate) const fn may_be_elsewhere(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Broken { .. }
                | Self::Tls { .. }
                | Self::Distrusted { .. }
                | Self::Protocol { .. }
                | Self::NoMechanism { .. }
        )
    }

    /// Whether the same may go well on another connection a little later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            // Who is not let in again is refused, and that is the end.
            Self::Unreachable { .. } | Self::Broken { .. } | Self::PutOut(_) => true,
            Self::Refused(failure) => may_pass(failure),
            _ => false,
        }
    }
}

/// Whether the host's no is only for now.
pub(crate) fn may_pass(failure: &Failure) -> bool {
    matches!(failure.code, Code::Timeout | Code::RateLimit | Code::Unavailable)
}
