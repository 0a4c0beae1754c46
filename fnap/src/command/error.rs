//! Why a line is no command.

use std::fmt::Display;

use crate::reply::{Code, Failure};

/// Longest piece of a peer's text that is said back to it.
const MAX_ECHO: usize = 64;

/// Why a line is no command, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The first word is no command of the protocol.
    #[error("command {verb}")]
    UnknownCommand {
        /// The word, shortened.
        verb: String,
    },
    /// A word is missing, wrong or too much.
    #[error("{why} at word {word}")]
    Syntax {
        /// Which word, counted from 1.
        word: usize,
        /// What is wrong with it.
        why: String,
    },
}

impl ParseError {
    pub(super) fn unknown(verb: &str) -> Self {
        Self::UnknownCommand { verb: shortened(verb) }
    }

    pub(super) fn syntax(word: usize, why: impl Display) -> Self {
        Self::Syntax { word, why: why.to_string() }
    }
}

impl From<ParseError> for Failure {
    fn from(error: ParseError) -> Self {
        let code = match error {
            ParseError::UnknownCommand { .. } => Code::NotFound,
            ParseError::Syntax { .. } => Code::BadFormat,
        };
        Self::new(code, error.to_string())
    }
}

/// As much of a peer's text as may stand in an answer.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(MAX_ECHO).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
