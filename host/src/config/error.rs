//! Why a configuration cannot be used.

/// Named by what the operator can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The file says something wrong; a line for each fault, `file:line: what`.
    #[error("{}", lines(path, faults))]
    Wrong {
        /// The file.
        path: String,
        /// What is wrong, in the order of the lines.
        faults: Vec<Fault>,
    },
    /// The file holds verifiers and others can read it.
    #[error(
        "{path}: holds verifiers and its mode is {mode:04o}: only its owner may read it (chmod 600)"
    )]
    Exposed {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
}

/// What is wrong in a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

fn lines(path: &str, faults: &[Fault]) -> String {
    let line = |fault: &Fault| format!("{path}:{}: {}", fault.line, fault.what);
    faults.iter().map(line).collect::<Vec<_>>().join("\n")
}
