//! One question of a search, as it is shown to people.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::rr::{RData, RecordType};

use crate::LookupError;
use crate::asking::Found as Records;
use crate::records::{Security, written};

/// What a question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Which zone the name is in.
    Delegation,
    /// Where the pointer at the flow leads.
    Pointer,
    /// Which hosts there are.
    Service,
    /// Which hosts a namespace has.
    Namespace,
    /// What is said about the hosts.
    Words,
    /// Which broker there is.
    Queue,
    /// Where a host is.
    Address,
}

/// A question and its answer.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it is for.
    pub stage: Stage,
    /// The name that was asked about, without a dot at its end.
    pub owner: String,
    /// The type of record, such as `SRV`.
    pub kind: String,
    /// The number of the type.
    pub code: u16,
    /// Who is asked about such names.
    pub servers: Vec<SocketAddr>,
    /// What there is, as in a zone file, each field behind a tab; at most [`SHOWN`].
    pub records: Vec<String>,
    /// Whether there is no such name at all.
    pub missing: bool,
    /// The zone that the name is in; of [`Stage::Delegation`] alone.
    pub zone: Option<String>,
    /// What DNSSEC says about the answer.
    pub security: Option<Security>,
    /// How long it took.
    pub took: Duration,
    /// Why there is no answer, or none that may be used.
    pub problem: Option<String>,
}

impl Step {
    pub(super) fn new(
        stage: Stage,
        owner: &str,
        kind: RecordType,
        servers: Vec<SocketAddr>,
        took: Duration,
        answer: &Result<Arc<Records>, LookupError>,
    ) -> Self {
        let shown = |answer: &Arc<Records>| {
            let line = |data: &RData| {
                let (ttl, kind) = (answer.ttl.as_secs(), data.record_type());
                format!("{owner}.\t{ttl}\tIN\t{kind}\t{}", text(data))
            };
            answer.records.iter().take(SHOWN).map(line).collect()
        };
        Self {
            stage,
            owner: owner.to_owned(),
            kind: kind.to_string(),
            code: kind.into(),
            servers,
            records: answer.as_ref().map(shown).unwrap_or_default(),
            missing: answer.as_ref().is_ok_and(|answer| answer.missing),
            zone: None,
            security: answer.as_ref().ok().map(|answer| answer.security),
            took,
            problem: answer.as_ref().err().map(ToString::to_string),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Delegation => "delegation",
            Self::Pointer => "ptr",
            Self::Service => "srv",
            Self::Namespace => "namespace",
            Self::Words => "txt",
            Self::Queue => "queue",
            Self::Address => "address",
        })
    }
}

fn text(data: &RData) -> String {
    match data {
        RData::PTR(target) => format!("{}.", written(&target.0)),
        RData::TXT(text) => {
            let quoted = text.txt_data.iter().map(|part| format!("\"{}\"", part.escape_ascii()));
            quoted.collect::<Vec<_>>().join(" ")
        }
        other => other.to_string().escape_debug().to_string(),
    }
}

/// Records of one answer that are shown.
pub const SHOWN: usize = 8;
