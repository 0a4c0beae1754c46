//! How a run of fnua ends, as the shell sees it.

use std::process::{ExitCode, Termination};

/// The exit codes of fnua.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: the host said no; its code and words are on stderr.
    Refused,
    /// 2: the arguments, the configuration or the input are wrong.
    Usage,
    /// 3: the host cannot be reached, or the connection broke.
    Broken,
    /// 4: `status` or `trace` could look, and something is wrong.
    Wrong,
    /// 5: asked; the owner of the flow has to say his word, and the host goes on by itself when he has.
    Pending,
    /// 130: ended by Ctrl-C or SIGTERM before it was through; what a shell says of every program that Ctrl-C ends.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Broken => 3,
            Self::Wrong => 4,
            Self::Pending => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}
