//! Every command of the protocol, as a value.
//!
//! A command that exists is well formed: names are names, lists are bounded. Whether the thing named
//! exists, and whether this host can do it, is not decided here.

use std::str::FromStr;

use crate::name::{FlowName, Name, NamespaceName, ProcessorName, SubscriptionName};
use crate::pattern::Pattern;
use crate::rights::Object;
use crate::subject::Subject;
use crate::value::{Json, Settings, ValueError, Word};

mod error;
mod grants;
mod letters;
mod parse;
mod print;
mod processors;
mod start;
#[cfg(test)]
mod tests;
mod words;

pub use error::ParseError;
pub(crate) use error::shortened;
pub use grants::Grant;

pub use start::{NoOffset, NoTimestamp, Start, Timestamp, parse_offset};

/// Most names in one list of flows. A collector of more would be a tree of collectors.
pub const MAX_LIST: usize = 64;

/// Most places `p:n` in one command: dead letters that somebody looked through, or partitions. The
/// longest line of a command ends most lists earlier.
pub const MAX_PLACES: usize = 1000;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the words of the command's line, given above each")]
pub enum Command {
    /// `CAPABILITIES`
    Capabilities,
    /// `HELP [command]`
    Help { topic: Option<String> },
    /// `NOOP`
    Noop,
    /// `STARTTLS`
    StartTls,
    /// `AUTHENTICATE MECHANISM [initial-response]`
    Authenticate { mechanism: Word, initial: Option<InitialResponse> },
    /// `QUIT`
    Quit,

    /// `CREATE NAMESPACE ns [BROKER b]`
    CreateNamespace { namespace: NamespaceName, broker: Option<Word> },
    /// `UPDATE NAMESPACE ns key=value…`
    UpdateNamespace { namespace: NamespaceName, settings: Settings },
    /// `DELETE NAMESPACE ns`
    DeleteNamespace { namespace: NamespaceName },
    /// `DESCRIBE NAMESPACE ns`
    DescribeNamespace { namespace: NamespaceName, format: Format },
    /// `GET NAMESPACES`
    GetNamespaces { format: Format },

    /// `CREATE FLOW f [key=value…]`
    CreateFlow { flow: FlowName, settings: Settings },
    /// `UPDATE FLOW f key=value…`
    UpdateFlow { flow: FlowName, settings: Settings },
    /// `DELETE FLOW f`
    DeleteFlow { flow: FlowName },
    /// `DESCRIBE FLOW f`
    DescribeFlow { flow: FlowName, format: Format },
    /// `GET FLOWS [ns]`
    GetFlows { namespace: Option<NamespaceName>, format: Format },

    /// `SUBSCRIBE f [LOCAL l] [key=value…]`: with LOCAL to a flow anywhere, without it the offer
    /// that a remote agent asks for.
    Subscribe { flow: FlowName, local: Option<FlowName>, settings: Settings },
    /// `UNSUBSCRIBE s`; `UNSUBSCRIBE f REF=uuid` also where there is no more than a request
    Unsubscribe { subscription: SubscriptionName, settings: Settings },
    /// `GET SUBSCRIPTIONS`
    GetSubscriptions { format: Format },
    /// `GET SUBSCRIBERS f`
    GetSubscribers { flow: FlowName, format: Format },
    /// `GET CREDENTIALS s`
    GetCredentials { subscription: SubscriptionName, format: Format },
    /// `REMOVE SUBSCRIBER s`
    RemoveSubscriber { subscription: SubscriptionName },
    /// `GET REQUESTS`
    GetRequests { format: Format },
    /// `APPROVE R [FILTER …] [POLICY …]`
    Approve { request: Word, filter: Option<String>, policy: Option<String> },
    /// `DENY R [reason]`
    Deny { request: Word, reason: Option<String> },

    /// `PAUSE s`
    Pause { name: Name },
    /// `RESUME s`
    Resume { name: Name },
    /// `STOP s`
    Stop { name: Name },

    /// `READ f [FROM …] [LIMIT n] [FOLLOW]`
    Read(Read),
    /// `WRITE f [ID token]`. A server's performer gets [`crate::server::WriteBatch`] instead, with the events.
    Write { flow: FlowName, token: Option<Word> },
    /// `PURGE FLOW f CONFIRM f`
    PurgeFlow { flow: FlowName },

    /// `REPLICATE`, `COLLECT`, `DISTRIBUTE`, `SIGNAL` and `CREATE PROCESSOR`
    CreateProcessor(NewProcessor),
    /// `REPLICATE` and `COLLECT` with a pattern: flows that come later are taken in, too.
    CreateMirror(NewMirror),
    /// `UPDATE PROCESSOR p key=value…`
    UpdateProcessor { processor: ProcessorName, settings: Settings },
    /// `UPDATE PROCESSOR p CONFIG json`
    ConfigureProcessor { processor: ProcessorName, config: Json },
    /// `UPDATE PROCESSOR p POSITION … [STATE keep|reset]`
    MoveProcessor { processor: ProcessorName, position: Start, state: Option<KeepState> },
    /// `UPDATE PROCESSOR p SHADOW version`, `… PROMOTE` and `… DISCARD`
    ShadowProcessor { processor: ProcessorName, step: ShadowStep },
    /// `COMPARE p VERSION v [FROM start|SNAPSHOT n] [TO start]`
    Compare { processor: ProcessorName, version: Word, from: Option<Origin>, to: Option<Start> },
    /// `COMPARE p STOP`
    StopComparing { processor: ProcessorName },
    /// `SNAPSHOT p`, `SNAPSHOT p FORGET n`
    Snapshot { processor: ProcessorName, forget: Option<u64> },
    /// `DELETE PROCESSOR p`
    DeleteProcessor { processor: ProcessorName },
    /// `DESCRIBE PROCESSOR p|t`: the name of a running one, or an installed type.
    DescribeProcessor { processor: Word, format: Format },
    /// `REPLAY p [OFFSET p:n[,p:n…]]`: each letter by partition and offset in the flow of the dead
    /// letters, at most [`MAX_PLACES`]; none named means all that are open.
    Replay { processor: ProcessorName, letters: Vec<(u32, u64)> },
    /// `DISCARD p [OFFSET p:n[,p:n…]]`: as [`Self::Replay`].
    Discard { processor: ProcessorName, letters: Vec<(u32, u64)> },
    /// `GET LOG p [SINCE n]`: lines whose number is `n` or more.
    GetLog { processor: ProcessorName, since: Option<u64>, format: Format },
    /// `GET PROCESSORS`
    GetProcessors { format: Format },
    /// `GET PROCESSOR TYPES`
    GetProcessorTypes { format: Format },

    /// `GRANT right[,right…] ON name|* TO subject`
    Grant(Grant),
    /// `REVOKE right[,right…] ON name|* FROM subject`
    Revoke(Grant),
    /// `GET GRANTS [ON name|*] [TO subject]`
    GetGrants { object: Option<Object>, subject: Option<Subject>, format: Format },

    /// `GET BROKERS`
    GetBrokers { format: Format },
    /// `DESCRIBE BROKER b`
    DescribeBroker { broker: Word, format: Format },
    /// `GET AGENTS`
    GetAgents { format: Format },
    /// `DESCRIBE AGENT ns`
    DescribeAgent { namespace: NamespaceName, format: Format },
    /// `DESCRIBE NAMESERVER ns`
    DescribeNameserver { namespace: NamespaceName, format: Format },

    /// `STREAM`
    Stream,
}

/// How lists and descriptions are wanted: any GET or DESCRIBE takes a trailing `FORMAT json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One name or one `key=value` a line.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `READ f [FROM earliest|latest|OFFSET p:n[,p:n…]|TIME rfc3339] [LIMIT n] [FOLLOW]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Which flow.
    pub flow: FlowName,
    /// Where from; the host's default where not said.
    pub from: Option<Start>,
    /// Instead of `from`: the next offset of each partition that is wanted, at most [`MAX_PLACES`].
    /// What a reader goes on with that has seen several partitions.
    pub places: Vec<(u32, u64)>,
    /// At most so many events.
    pub limit: Option<u64>,
    /// Whether to go on with what comes, until `DONE`.
    pub follow: bool,
}

/// A processor to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProcessor {
    /// Which of the commands asked for it, and with that its type.
    pub kind: NewKind,
    /// What it reads: at least one, at most [`MAX_LIST`].
    pub inputs: Vec<FlowName>,
    /// What it writes: at least one, at most [`MAX_LIST`].
    pub outputs: Vec<FlowName>,
    /// `AS name`; always there after `CREATE PROCESSOR`.
    pub name: Option<ProcessorName>,
    /// `FROM …` or `START …`; the host's default where not said.
    pub start: Option<Start>,
    /// `key=value…`, such as `delivery=at-least-once`.
    pub settings: Settings,
    /// `CONFIG json`
    pub config: Option<Json>,
}

/// Processors for all flows that a pattern means, now and later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMirror {
    /// Which flows are read.
    pub from: Pattern,
    /// Where to.
    pub to: MirrorTo,
    /// `AS name`
    pub name: Option<ProcessorName>,
    /// `FROM …` or `START …`, for flows that are there already; later ones are read from their beginning.
    pub start: Option<Start>,
    /// `key=value…` of each processor.
    pub settings: Settings,
    /// `CONFIG json` of each processor.
    pub config: Option<Json>,
}

/// What becomes of the flows that a pattern means.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MirrorTo {
    /// `REPLICATE a-* b-*`: each has a flow and a bridge of its own.
    Each(Pattern),
    /// `COLLECT a-* b`: all come together in one.
    One(FlowName),
}

/// The five ways to ask for a processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewKind {
    /// `REPLICATE a b`: a bridge.
    Replicate,
    /// `COLLECT a,b,… c`: a collector.
    Collect,
    /// `DISTRIBUTE a b,c,…`: a distributor.
    Distribute,
    /// `SIGNAL type FROM a,b,… TO c,d,…`
    Signal(Word),
    /// `CREATE PROCESSOR p TYPE t FROM … TO …`
    Create(Word),
}

impl FromStr for Command {
    type Err = ParseError;

    /// Reads one command line, without its end.
    fn from_str(line: &str) -> Result<Self, ParseError> {
        parse::command(line)
    }
}

impl Read {
    /// The whole flow, without any of the options.
    #[must_use]
    pub fn new(flow: FlowName) -> Self {
        Self { flow, from: None, places: Vec::new(), limit: None, follow: false }
    }
}

impl NewProcessor {
    /// One without any of the options.
    #[must_use]
    pub fn new(kind: NewKind, inputs: Vec<FlowName>, outputs: Vec<FlowName>) -> Self {
        let (name, start, settings, config) = (None, None, Settings::new(), None);
        Self { kind, inputs, outputs, name, start, settings, config }
    }

    /// The type of plugin that does it: `bridge`, `collector`, `distributor`, or the one given.
    #[must_use]
    pub fn processor_type(&self) -> &str {
        match &self.kind {
            NewKind::Replicate => "bridge",
            NewKind::Collect => "collector",
            NewKind::Distribute => "distributor",
            NewKind::Signal(named) | NewKind::Create(named) => named.as_str(),
        }
    }
}

/// Where a comparison over past events begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// There, with an empty state.
    Start(Start),
    /// With the state and the positions of a snapshot.
    Snapshot(u64),
}

/// What becomes of a version that runs beside the one that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShadowStep {
    /// It runs from now on: a version, or the beginning of a digest.
    Begin(Word),
    /// It takes over; only where it is this version, or its digest begins so.
    Promote(Option<Word>),
    /// It ends, and nothing else changes.
    Discard,
}

/// What becomes of a processor's state when it is moved to another position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepState {
    /// `STATE keep`
    Keep,
    /// `STATE reset`
    Reset,
}

/// What a client sends at once with AUTHENTICATE. May be a password: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct InitialResponse(zeroize::Zeroizing<String>);

impl InitialResponse {
    /// Takes what stands after the mechanism: base64, or `=` for an empty response.
    ///
    /// # Errors
    /// When it is empty, or is not of visible ASCII.
    pub fn new(text: &str) -> Result<Self, ValueError> {
        if text.is_empty() {
            return Err(ValueError::Empty);
        }
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            // The character is not named: this may be somebody's password.
            return Err(ValueError::Character { found: '?' });
        }
        Ok(Self(text.to_owned().into()))
    }

    /// The text as sent: base64, or `=` for an empty response.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for InitialResponse {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("(hidden)")
    }
}
