//! What a failure means, and what to do about it, for those who have not read any of the standards.

use fnap::Code;
use host_names::{FindError, LookupError};

use super::row::Advice;
use crate::error::Error;

/// About a search in DNS.
pub(super) fn of_search(error: &FindError) -> Advice {
    let (means, todo) = match error {
        FindError::NoSuchName { .. } => (
            "nobody has published the name: there is no such flow, it is not published, or the name is misspelt",
            "look at the name; where a name server of your own has it, name that one: --nameserver or --resolve",
        ),
        FindError::NoService { .. } => (
            "the name is in dns, but neither it nor a namespace above it says which host has it",
            "its owner has to publish an srv record (fnaad dns export prints all that are needed)",
        ),
        FindError::Dangling { .. } => (
            "the pointer is left over from a flow that is gone, or half of the records are missing",
            "its owner has to publish the srv record, or take the pointer away",
        ),
        FindError::Closed { .. } => (
            "whoever published it says that there is decidedly no such service (rfc 2782)",
            "ask its owner",
        ),
        FindError::Alias { .. } => (
            "the target of an srv record has to be a host's own name (rfc 2782)",
            "its owner has to name the host that the alias stands for",
        ),
        FindError::NoAddress { .. } => (
            "the host that the srv record names has neither an a nor an aaaa record",
            "its owner has to publish its address",
        ),
        FindError::Nonsense { .. } => (
            "the srv record's target is no host name, or its port is 0",
            "its owner has to correct the record",
        ),
        FindError::Lookup { source, .. } => return of_lookup(source),
        _ => ("the name servers answer too slowly", "try again; another name server: --nameserver"),
    };
    Advice { means, todo }
}

fn of_lookup(error: &LookupError) -> Advice {
    let (means, todo) = match error {
        LookupError::Bogus { .. } => (
            "the signatures do not fit: the answer was changed on its way, or its zone is wrongly or no more signed",
            "trust nothing of it; compare with `delv`; the zone's owner has to sign it again; a name server that \
             removes signatures has to be replaced: --nameserver",
        ),
        LookupError::Unproven { .. } => (
            "the name server keeps signatures back, or the zone is one that no root knows, as those that people make up \
             for trying things out",
            "a zone of your own, or of another `fnaad dev`: --resolve ZONE=IP:PORT (its ready line says dns=IP:PORT); else another \
             name server: --nameserver",
        ),
        LookupError::Aliases { .. } => (
            "aliases lead in a ring, or through more hands than anybody needs",
            "its owner has to correct the cname records",
        ),
        LookupError::NoName(_) => ("the name is too long for dns", "look at the name"),
        _ => (
            "no name server that was asked answers for the zone: it is down, out of reach, or does not have the zone",
            "look at the delegation (dig +trace); another name server: --nameserver, for this zone alone: --resolve",
        ),
    };
    Advice { means, todo }
}

/// About a host.
pub(super) fn of_error(error: &Error) -> Advice {
    let (means, todo) = match error {
        Error::Names(_) => (
            "names cannot be looked up on this machine",
            "name a name server: --nameserver, or nameservers in the configuration",
        ),
        Error::Unreachable { .. } => (
            "nobody listens at the addresses and the port that are published, or something in between refuses",
            "the host may be down, or its records out of date: ask its operator; look at firewalls on both sides",
        ),
        Error::Tls { .. } => (
            "nothing proves that the host is the one that its record names",
            "its operator has to show a certificate for that name by a known authority; name another authority with ca_file",
        ),
        Error::Plaintext(_) => (
            "the host is reached over a network, and tls is switched off for it",
            "take tls = \"never\" out of the configuration",
        ),
        Error::Distrusted { .. } => {
            ("somebody else may be answering in its place", "send nothing there; ask its operator")
        }
        Error::NoMechanism { .. } | Error::NoPassword { .. } | Error::NobodyYet { .. } => (
            "the host wants to know who you are, and nothing that you have is what it takes",
            "fnua login HOST:PORT --user NAME, or a certificate or token in the configuration",
        ),
        Error::Protocol { .. } => (
            "something else listens there, or the host begins with tls and its record does not say so",
            "ask its operator whether the port is right, and for the txt word tls where tls begins at once",
        ),
        Error::Broken { .. } => {
            ("the connection ended in the middle", "try again; the host's log says why it ended it")
        }
        Error::Refused(failure) | Error::PutOut(failure) => return of_code(failure.code),
        _ => ("it does not work as the configuration has it", "see docs/fnua.md"),
    };
    Advice { means, todo }
}

fn of_code(code: Code) -> Advice {
    let (means, todo) = match code {
        Code::AuthRequired => (
            "the host does not let you in as who you say you are, or at all without saying it",
            "fnua login HOST:PORT --user NAME; look at user and password",
        ),
        Code::Forbidden => (
            "you are known there, and may not do this",
            "ask the flow's owner for a grant: fnua grant read FLOW user:NAME",
        ),
        Code::NotFound => (
            "the host does not have the flow, or does not tell you about it: who may see nothing of it gets the same answer",
            "the records may be left over from a flow that is gone; else ask its owner for a grant",
        ),
        Code::Pending => ("the owner has been asked and has not answered", "wait, or ask him"),
        Code::RateLimit => ("you have asked too often", "wait as long as it says"),
        Code::Unavailable => ("the host or its broker is away for now", "try again"),
        _ => ("the host refuses", "its code and words say why: docs/fnap.md has all codes"),
    };
    Advice { means, todo }
}
