//! Which version of its plugin a processor stays with, which one runs beside it, and how the one follows the other: by
//! somebody's word, or by the rule `upgrade=shadow-first`.
//!
//! Compares nothing: what two versions did the host finds out, and says here.

use host_events::clock::now;
use serde::{Deserialize, Serialize};

use crate::error::RegistryError;
use crate::model::Processor;

/// The version that is to follow, where `upgrade=shadow-first`, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Successor {
    /// Its digest.
    pub digest: String,
    /// What it calls itself.
    pub version: String,
    /// Since when the two are compared, in milliseconds since 1970 UTC; what was counted before does not count.
    pub since: i64,
    /// Why it does not follow by itself any more.
    #[serde(default)]
    pub verdict: Option<Verdict>,
}

/// Why a version does not follow by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It does something else, in words that quote no event.
    Differs(String),
    /// Somebody has discarded it.
    Discarded,
}

/// A change of a processor's shadow: another version of its plugin that gets the same events, and whose
/// answers are compared with those that count and thrown away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShadowChange {
    /// The version with this digest runs from now on, in the place of another shadow.
    Begin(String),
    /// The shadow, which has this digest, takes over, and the processor stays with it: `upgrade=auto` becomes
    /// `pinned`, or the version that was there before would come back at once.
    Promote(String),
    /// It ends.
    Discard,
    /// What `upgrade=shadow-first` does.
    Rule(Rule),
}

/// A step of `upgrade=shadow-first`. One that meets something else than what it was decided for is a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A version is to follow, and runs as the shadow until then.
    Follow {
        /// Its digest.
        digest: String,
        /// What it calls itself.
        version: String,
    },
    /// The successor does something else.
    Differs {
        /// Its digest.
        digest: String,
        /// [`Successor::since`] of what was compared.
        since: i64,
        /// In words.
        why: String,
    },
    /// It has done the same for long enough: it takes over.
    Agrees {
        /// Its digest.
        digest: String,
        /// [`Successor::since`] of what was compared.
        since: i64,
        /// Whether the version before can go on with what it writes.
        returns: bool,
    },
    /// What runs is not to run any more: the version with this digest does again, which it has come from.
    Back(String),
    /// An operator has chosen this digest for everybody, or what runs is not to run any more.
    Chosen(String),
    /// There is nothing to follow any more.
    Nothing,
}

impl Successor {
    /// Whether the two are compared, and it follows by itself where they agree.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.verdict.is_none()
    }

    /// It is compared anew. Of what was compared before nothing counts, also within a millisecond.
    fn anew(&mut self) {
        self.since = now().max(self.since.saturating_add(1));
        self.verdict = None;
    }
}

impl Processor {
    /// Whether it stays with one version of its plugin until something is done.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.option("upgrade") == Some("pinned") || self.is_shadow_first()
    }

    /// Whether it takes a new version when that has done the same as a shadow.
    #[must_use]
    pub fn is_shadow_first(&self) -> bool {
        self.option("upgrade") == Some("shadow-first")
    }

    /// The version that its shadow was begun for by the rule.
    #[must_use]
    pub fn followed(&self) -> Option<&Successor> {
        self.successor
            .as_deref()
            .filter(|successor| self.shadow.as_ref() == Some(&successor.digest))
    }

    /// Begins or ends a shadow.
    pub(crate) fn settle_shadow(&mut self, change: ShadowChange) -> Result<(), RegistryError> {
        match change {
            ShadowChange::Begin(digest) => self.begin_shadow(digest),
            ShadowChange::Promote(digest) => {
                let shadow = self.shadow.take().ok_or_else(|| self.no_shadow())?;
                if shadow != digest {
                    return Err(self.is_otherwise("shadow is another version by now"));
                }
                self.take_over(digest, false);
            }
            ShadowChange::Discard => {
                let shadow = self.shadow.take().ok_or_else(|| self.no_shadow())?;
                let meant = self.successor.as_mut().filter(|found| found.digest == shadow);
                if let Some(successor) = meant {
                    successor.verdict = Some(Verdict::Discarded);
                }
            }
            ShadowChange::Rule(step) => self.settle_rule(step)?,
        }
        Ok(())
    }

    /// By hand. The successor is compared anew; in the place of another version it begins again later.
    fn begin_shadow(&mut self, digest: String) {
        match &mut self.successor {
            Some(successor) if successor.digest == digest => {
                successor.anew();
            }
            Some(successor) if successor.verdict == Some(Verdict::Discarded) => {}
            _ => self.successor = None,
        }
        self.shadow = Some(digest);
    }

    fn settle_rule(&mut self, step: Rule) -> Result<(), RegistryError> {
        if !self.is_shadow_first() {
            return Err(self.is_otherwise("upgrade is not shadow-first any more"));
        }
        match step {
            Rule::Follow { digest, version } => {
                let by_hand = self.shadow.is_some() && self.followed().is_none();
                if by_hand && self.shadow.as_ref() != Some(&digest) {
                    return Err(self.is_otherwise("shadow was set by hand"));
                }
                self.shadow = Some(digest.clone());
                let new = Successor { digest, version, since: now(), verdict: None };
                self.successor = Some(Box::new(new));
            }
            Rule::Differs { digest, since, why } if self.compares(&digest, since) => {
                if let Some(successor) = &mut self.successor {
                    successor.verdict = Some(Verdict::Differs(why));
                }
            }
            Rule::Agrees { digest, since, returns } if self.compares(&digest, since) => {
                self.take_over(digest, returns);
            }
            Rule::Differs { .. } | Rule::Agrees { .. } => {
                return Err(self.is_otherwise("something else is compared by now"));
            }
            Rule::Back(digest) if self.before.as_ref() == Some(&digest) => {
                self.take_over(digest, false);
            }
            Rule::Back(_) => return Err(self.is_otherwise("it came from another version")),
            Rule::Chosen(digest) => self.take_over(digest, false),
            Rule::Nothing => self.follow_nothing(),
        }
        Ok(())
    }

    /// Whether this is what is compared now.
    fn compares(&self, digest: &str, since: i64) -> bool {
        self.followed().is_some_and(|successor| {
            successor.is_open() && successor.digest == digest && successor.since == since
        })
    }

    fn take_over(&mut self, digest: String, returns: bool) {
        self.follow_nothing();
        self.before = self.pinned.take().filter(|_| returns);
        self.shadow = self.shadow.take().filter(|shadow| *shadow != digest);
        if !self.is_shadow_first() {
            self.options.insert("upgrade".to_owned(), "pinned".to_owned());
        }
        self.pinned = Some(digest);
    }

    /// Ends what the rule has begun.
    fn follow_nothing(&mut self) {
        if self.followed().is_some() {
            self.shadow = None;
        }
        self.successor = None;
    }

    /// Fixes or forgets the version, as the options say. One that is pinned already stays where it is.
    pub(crate) fn settle_pin(&mut self, running: Option<String>) -> Result<(), RegistryError> {
        let before = self.pinned.take();
        if self.is_pinned() {
            let unknown = || RegistryError::conflict("no version of the plugin runs to be pinned");
            self.pinned = Some(before.or(running).ok_or_else(unknown)?);
        }
        if !self.is_shadow_first() {
            self.follow_nothing();
            self.before = None;
        }
        Ok(())
    }

    /// What was compared before it was changed says nothing about it any more.
    pub(crate) fn compare_anew(&mut self, before: &Self) {
        if self.config == before.config && self.options == before.options {
            return;
        }
        if let Some(successor) = &mut self.successor
            && successor.verdict != Some(Verdict::Discarded)
        {
            successor.anew();
        }
    }

    fn no_shadow(&self) -> RegistryError {
        RegistryError::conflict(format!("processor {} has no shadow", self.name))
    }

    fn is_otherwise(&self, words: &str) -> RegistryError {
        RegistryError::conflict(format!("processor {}: {words}", self.name))
    }
}

#[cfg(test)]
mod tests;
