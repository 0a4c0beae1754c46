//! What is compared: a way to copy a topic, as a process that can be started and ended.

/// A way to copy a topic.
pub struct Contender {
    /// What the table calls it.
    pub name: &'static str,
    /// Starts it; what it gives ends it when dropped.
    pub start: fn(&Task<'_>) -> Box<dyn Running>,
    /// Rounds of which the best counts.
    pub rounds: usize,
}

/// A contender at work.
pub trait Running {
    /// The process that does the work.
    fn id(&self) -> u32;
}

/// What to copy. The target is `ALIAS.SOURCE`, as MirrorMaker wants it, and is there already.
pub struct Task<'a> {
    /// The node.
    pub servers: &'a str,
    /// The topic to read, from its beginning.
    pub source: &'a str,
    /// Names this run among all runs.
    pub alias: &'a str,
    /// What is promised.
    pub mode: Mode,
    /// What the settings are for.
    pub pace: Pace,
}

impl Task<'_> {
    /// The topic to write.
    pub fn target(&self) -> String {
        format!("{}.{}", self.alias, self.source)
    }
}

/// What a contender promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A failure may repeat records.
    AtLeastOnce,
    /// Outputs and positions in transactions.
    ExactlyOnce,
}

impl Mode {
    /// The word for the mode.
    pub fn word(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at-least-once",
            Self::ExactlyOnce => "exactly-once",
        }
    }
}

/// What a contender that cannot find out by itself is tuned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As much as possible.
    Full,
    /// Each record soon.
    Prompt,
}

/// A child process, killed when dropped.
pub struct Killed(pub std::process::Child);

impl Running for Killed {
    fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
