//! GRANT, REVOKE and GET GRANTS: from words to values and back.

use std::fmt::{self, Display, Formatter};

use super::words::Words;
use super::{Command, ParseError};
use crate::rights::{Object, Rights};
use crate::subject::Subject;

/// Rights that are given or taken: `read,write ON flows.unix.ar TO user:ana`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// At least one.
    pub rights: Rights,
    /// A name and all below it, or the whole host.
    pub object: Object,
    /// Whose.
    pub subject: Subject,
}

/// Behind GRANT.
pub(super) fn grant(words: &mut Words<'_>) -> Result<Command, ParseError> {
    rights(words, "TO").map(Command::Grant)
}

/// Behind REVOKE.
pub(super) fn revoke(words: &mut Words<'_>) -> Result<Command, ParseError> {
    rights(words, "FROM").map(Command::Revoke)
}

/// Behind `GET GRANTS`.
pub(super) fn list(words: &mut Words<'_>) -> Result<Command, ParseError> {
    let object = if words.literal("ON") { Some(words.object()?) } else { None };
    let subject = if words.literal("TO") { Some(words.subject()?) } else { None };
    Ok(Command::GetGrants { object, subject, format: words.format()? })
}

fn rights(words: &mut Words<'_>, whose: &str) -> Result<Grant, ParseError> {
    let rights: Rights = words.rights()?;
    words.expect("ON")?;
    let object = words.object()?;
    words.expect(whose)?;
    let subject = words.subject()?;
    words.end(Grant { rights, object, subject })
}

/// `GRANT read ON f TO user:ana`, or with the words of REVOKE.
pub(super) fn print(
    out: &mut Formatter<'_>,
    verb: &str,
    grant: &Grant,
    whose: &dyn Display,
) -> fmt::Result {
    let Grant { rights, object, subject } = grant;
    write!(out, "{verb} {rights} ON {object} {whose} {subject}")
}
