//! What a session wants done, and what it has to know about its host.

use bytes::Bytes;

use crate::command::Command;
use crate::line::MAX_DATA_LINE;
use crate::name::FlowName;
use crate::sasl::{Mechanism, Response};
use crate::value::Word;

/// What the connection has to do. `P` is the host's idea of a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<P> {
    /// Write these bytes to the peer.
    Send(Bytes),
    /// Begin an authentication, and give up one that was under way. Answer with
    /// [`challenge`](super::ServerSession::challenge), [`authenticated`](super::ServerSession::authenticated),
    /// [`refused`](super::ServerSession::refused) or [`not_checked`](super::ServerSession::not_checked).
    Authenticate {
        /// One that is offered on this connection.
        mechanism: Mechanism,
        /// What came with the command; none where nothing did.
        response: Option<Response>,
    },
    /// The client's response to the last challenge; to be answered like [`Action::Authenticate`].
    Respond(Response),
    /// The client sent something that is no response: the attempt has failed. Answer with
    /// [`refused`](super::ServerSession::refused), after as much time as a wrong password takes.
    Misread,
    /// Perform a command and answer with [`reply`](super::ServerSession::reply). A READ that goes well
    /// answers with [`read_started`](super::ServerSession::read_started), then the connection writes the
    /// data lines, then [`read_ended`](super::ServerSession::read_ended). A STREAM that is accepted answers
    /// with [`stream_accepted`](super::ServerSession::stream_accepted).
    Execute {
        /// Who asks.
        principal: P,
        /// What for. Never one that the session answers itself, and never WRITE.
        command: Command,
    },
    /// Write events and answer with [`reply`](super::ServerSession::reply). There may be several at
    /// once: they are begun and answered in the order of these actions.
    ExecuteWrite {
        /// Who asks.
        principal: P,
        /// The events.
        batch: WriteBatch,
    },
    /// The peer said DONE: end the READ that follows, then [`read_ended`](super::ServerSession::read_ended).
    StopFollowing,
    /// Flush, then do the TLS handshake as a server, then
    /// [`tls_established`](super::ServerSession::tls_established). Bytes that were read before are gone.
    StartTls,
    /// Flush, then speak frames: this session is over. Bytes that were read before are gone.
    StartStream {
        /// Who asked for it.
        principal: P,
    },
    /// Flush and close the connection.
    Close,
}

/// What one WRITE brought: at most [`super::MAX_WRITE_LINES`] lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteBatch {
    /// The flow to write to.
    pub flow: FlowName,
    /// What makes a repeat recognisable.
    pub token: Option<Word>,
    /// The lines without their ends: valid UTF-8 without NUL, anything else unchecked. They share the
    /// buffer that the connection read into.
    pub lines: Vec<Bytes>,
}

/// What the session has to know about its host and its connection.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The name in the greeting.
    pub hostname: String,
    /// What CAPABILITIES lists after `STARTTLS` and `AUTH=…`, which the session knows itself.
    pub capabilities: Vec<String>,
    /// The mechanisms of the host. EXTERNAL is withheld where the peer has shown no certificate.
    pub mechanisms: Vec<Mechanism>,
    /// Those of them that CAPABILITIES does not tell of. Who asks for one by its name may use it.
    pub unannounced: Vec<Mechanism>,
    /// Whether anybody may authenticate before TLS, as on a loopback address: who listens would get
    /// what PLAIN and OAUTHBEARER send, and what comes after any other.
    pub clear_text: bool,
    /// What is known of TLS on this connection.
    pub tls: Tls,
    /// Longest line of a WRITE in bytes: the largest event, and what JSON adds to it.
    pub max_data_line: usize,
    /// How many WRITEs may be performed at once, each of at most [`super::MAX_WRITE_BYTES`]. With 1 a
    /// pipelined WRITE waits for the answer to the one before.
    pub writes_at_once: usize,
    /// How many bytes may wait behind the command that is being performed.
    pub max_waiting: usize,
}

/// TLS on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Not configured: STARTTLS is 501.
    #[default]
    Unavailable,
    /// STARTTLS may be asked for.
    Offered,
    /// The connection is encrypted.
    Established {
        /// Whether the peer has proved to have the key of a certificate.
        certificate: bool,
    },
}

impl ServerOptions {
    /// The defaults: PLAIN, only under TLS, no TLS, data lines up to 1 MiB.
    pub fn new(hostname: impl Into<String>) -> Self {
        Self {
            hostname: hostname.into(),
            capabilities: Vec::new(),
            mechanisms: vec![Mechanism::Plain],
            unannounced: Vec::new(),
            clear_text: false,
            tls: Tls::Unavailable,
            max_data_line: MAX_DATA_LINE,
            writes_at_once: 1,
            max_waiting: 256 * 1024,
        }
    }
}

/// Where a session stands: the states of the draft's figure 13, completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody there: before the greeting, and after the end.
    Waiting,
    /// Greeted, not yet authenticated.
    Accepting,
    /// Authenticated, nothing to do.
    Ready,
    /// A command, or a SASL response, is being dealt with.
    CmdRecvd,
    /// More input was asked for: the events of a WRITE, a SASL response.
    Receiving,
    /// A READ sends what comes until DONE.
    Following,
    /// Waits for a TLS handshake, or has become a stream.
    Upgrading,
}
