//! What an operator wants of the host that runs, as it stands in the registry.

use serde::{Deserialize, Serialize};

/// A wish, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// The user of this machine.
    pub(crate) uid: u32,
    /// What.
    #[serde(flatten)]
    pub(crate) verb: Verb,
}

/// What is wanted of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum Verb {
    Pin { name: String, version: String },
    Unpin { name: String },
    Rollback { name: String },
    Remove { name: String, force: bool },
}

/// What became of it, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    Done(String),
    Refused(String),
}

impl Wish {
    pub(crate) fn of_this_user(verb: Verb) -> Self {
        Self { uid: rustix::process::getuid().as_raw(), verb }
    }

    /// As it was typed, for the audit log.
    pub(crate) fn command(&self) -> String {
        match &self.verb {
            Verb::Pin { name, version } => format!("fnaad plugins pin {name} {version}"),
            Verb::Unpin { name } => format!("fnaad plugins unpin {name}"),
            Verb::Rollback { name } => format!("fnaad plugins rollback {name}"),
            Verb::Remove { name, force: true } => format!("fnaad plugins remove {name} --force"),
            Verb::Remove { name, force: false } => format!("fnaad plugins remove {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_as_it_was_written() {
        let wish = Wish { uid: 7, verb: Verb::Remove { name: "mask".into(), force: true } };
        let text = serde_json::to_string(&wish).unwrap();
        assert_eq!(serde_json::from_str::<Wish>(&text).unwrap(), wish);
        assert_eq!(wish.command(), "fnaad plugins remove mask --force");
    }
}
