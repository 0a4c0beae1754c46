//! What a shadow was found to do, for people who ask. Counts are since it was set or the host started.

use std::time::SystemTime;

/// Examples that are kept: enough to see a pattern, few enough to read.
const EXAMPLES: usize = 5;

/// What became of an event with both versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The event, as `flow:partition:offset`; of events that are new, the first of their batch.
    pub event: String,
    /// What the version that counts did.
    pub counts: String,
    /// What the shadow would have done.
    pub shadow: String,
}

/// How a shadow does.
#[derive(Clone, Debug)]
pub struct ShadowReport {
    /// Its digest.
    pub digest: String,
    /// Its version.
    pub version: String,
    /// What it is compared for: of another round nothing counts.
    pub(crate) round: i64,
    /// Since when it is looked at.
    pub since: SystemTime,
    /// Why it does not run, where it does not.
    pub problem: Option<String>,
    /// Whether that may be otherwise soon, without anybody's doing.
    pub is_passing: bool,
    /// Whether it was looked at for long enough, and runs no more.
    pub is_ended: bool,
    /// How often both are called by the clock, where that differs, in words.
    pub ticks: Option<String>,
    /// Events with which both versions did the same.
    pub agree: u64,
    /// Events with which they did not.
    pub differ: u64,
    /// New events that are the same.
    pub emitted_agree: u64,
    /// New events that are not, or that only one of them made.
    pub emitted_differ: u64,
    /// Batches after which they had changed the state in different ways.
    pub state_differ: u64,
    /// Events that passed by while the shadow was behind.
    pub skipped: u64,
    /// The first that differed.
    pub examples: Vec<Difference>,
}

impl ShadowReport {
    pub(crate) fn new(digest: &str, version: &str, round: i64) -> Self {
        Self {
            digest: digest.to_owned(),
            version: version.to_owned(),
            round,
            since: SystemTime::now(),
            problem: None,
            is_passing: false,
            is_ended: false,
            ticks: None,
            agree: 0,
            differ: 0,
            emitted_agree: 0,
            emitted_differ: 0,
            state_differ: 0,
            skipped: 0,
            examples: Vec::new(),
        }
    }

    /// Keeps an example, while there are not enough.
    pub(super) fn show(&mut self, example: impl FnOnce() -> Difference) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }

    /// Adds what another shard found, or what one batch showed.
    pub fn add(&mut self, other: Self) {
        self.since = self.since.min(other.since);
        // What passes is told only where nothing worse is.
        if self.problem.is_none() || self.is_passing && other.problem.is_some() {
            self.is_passing = other.is_passing;
            self.problem = other.problem;
        }
        self.is_ended |= other.is_ended;
        self.ticks = self.ticks.take().or(other.ticks);
        self.agree += other.agree;
        self.differ += other.differ;
        self.emitted_agree += other.emitted_agree;
        self.emitted_differ += other.emitted_differ;
        self.state_differ += other.state_differ;
        self.skipped += other.skipped;
        let room = EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(room));
    }

    /// Why a version must not take over by itself, if that is so; quotes no event. One that reads the state otherwise
    /// writes it otherwise.
    pub(crate) fn objection(&self, migrates: bool) -> Option<String> {
        let differ = |differ: u64, alike: u64, what: &str| {
            (differ > 0)
                .then(|| format!("{differ} of {} {what} differ", differ.saturating_add(alike)))
        };
        let cannot = self.problem.is_some() && !self.is_passing;
        let state = || match migrates {
            true => None,
            false => {
                (self.state_differ > 0).then(|| "it changes the state in other ways".to_owned())
            }
        };
        cannot
            .then(|| "it cannot run".to_owned())
            .or_else(|| differ(self.differ, self.agree, "events"))
            .or_else(|| differ(self.emitted_differ, self.emitted_agree, "new events"))
            .or_else(state)
            .or_else(|| {
                self.ticks.is_some().then(|| "it acts by the clock at other times".to_owned())
            })
    }
}
