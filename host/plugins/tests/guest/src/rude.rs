//! What the guest says in words that a terminal would obey, where its act is called `rude-…`.

use flow_sdk::{Action, Batch, Error, log};

/// Clears the screen, begins a line as the host would, and clears it again in another way.
pub(crate) const WORDS: &str = "\u{1b}[2J\r\nfnaad: ok\u{9b}2J\u{202e}";

pub(crate) fn init(act: &str) -> Result<(), Error> {
    if act == "rude-init" { Err(Error::fatal(WORDS)) } else { Ok(()) }
}

pub(crate) fn process(act: &str, batch: &Batch) -> Result<Vec<Action>, Error> {
    match act {
        "rude-fatal" => return Err(Error::fatal(WORDS)),
        "rude-log" => log::warn(WORDS, &[(WORDS, WORDS)]),
        _ => return Ok((0..batch.len()).map(|index| Action::dead_letter(index, WORDS)).collect()),
    }
    Ok(vec![Action::forward_all(0)])
}
