//! What every record of a lane has to be.
//!
//! Passes nothing over: a lane that does not begin as it was begun, and a record that belongs to another lane, are
//! refused.

use bytes::Bytes;
use uuid::Uuid;

use crate::broker::{BrokerError, TopicRef};
use crate::kafka::cluster::Cluster;
use crate::kafka::lanes::format::{self, Key, Malformed};
use crate::kafka::lanes::mark::{POSITIONS_KEY, POSITIONS_WORD, STATE_KEY, STATE_WORD};
use crate::kafka::lanes::ours::{Ours, lost};
use crate::kafka::lanes::truth::Truth;

/// What every record of a lane has to be.
pub(in crate::kafka::lanes) struct Check<'a> {
    ours: &'a Ours,
    lane: u32,
    /// Whether what a lane begins with has to come, and whether it came.
    needs_mark: bool,
    has_mark: bool,
    /// A word that has to lie in both partitions, and how often it was found.
    word: Option<Uuid>,
    words: u32,
}

impl<'a> Check<'a> {
    pub(in crate::kafka::lanes) fn of_log(ours: &'a Ours, lane: u32) -> Self {
        Self { ours, lane, needs_mark: true, has_mark: false, word: None, words: 0 }
    }

    /// Of what lies behind known offsets.
    pub(in crate::kafka::lanes) fn of_rest(ours: &'a Ours, lane: u32, word: Uuid) -> Self {
        Self { word: Some(word), ..Self::of_cache(ours, lane) }
    }

    /// Of what is known without the log.
    pub(in crate::kafka::lanes) fn of_cache(ours: &'a Ours, lane: u32) -> Self {
        Self { needs_mark: false, ..Self::of_log(ours, lane) }
    }

    pub(super) fn ours(&self) -> &'a Ours {
        self.ours
    }

    /// Whether the word was found in both partitions.
    pub(super) fn has_words(&self) -> bool {
        self.words >= 2
    }

    /// Takes in a record of the positions topic.
    pub(in crate::kafka::lanes) fn position(
        &mut self,
        truth: &mut Truth,
        key: &Bytes,
        value: Option<Bytes>,
    ) -> Result<(), Malformed> {
        if *key == *POSITIONS_KEY {
            return self.mark(value.as_ref());
        }
        if *key == *POSITIONS_WORD {
            self.word(value.as_ref());
            return Ok(());
        }
        let shard = format::read_shard_key(key)?;
        self.is_here(self.ours.lane_of(shard), value.is_some())?;
        truth.position(shard, value.as_deref())
    }

    /// Takes in a record of the state topic.
    pub(in crate::kafka::lanes) fn state(
        &mut self,
        truth: &mut Truth,
        key: &Bytes,
        value: Option<Bytes>,
    ) -> Result<(), Malformed> {
        match self.state_key(key, value.as_ref())? {
            Some(key) => truth.state(key, value),
            None => Ok(()),
        }
    }

    /// What a record of the state topic is about; nothing where it says something of the lane itself.
    pub(in crate::kafka::lanes) fn state_key(
        &mut self,
        key: &Bytes,
        value: Option<&Bytes>,
    ) -> Result<Option<Key>, Malformed> {
        if *key == *STATE_KEY {
            return self.mark(value).map(|()| None);
        }
        if *key == *STATE_WORD {
            self.word(value);
            return Ok(None);
        }
        let key = format::read_key(key)?;
        // A token lies in the lane of whoever gave it, and does not say who that was. Old ones lie here and there.
        if let Key::State(shard, _) = &key {
            self.is_here(self.ours.lane_of(*shard), value.is_some())?;
        }
        Ok(Some(key))
    }

    fn mark(&mut self, value: Option<&Bytes>) -> Result<(), Malformed> {
        let value = value.map(|value| &**value).unwrap_or_default();
        self.ours.mark(self.lane).agree(value)?;
        self.has_mark = true;
        Ok(())
    }

    /// One of somebody else says nothing here.
    fn word(&mut self, value: Option<&Bytes>) {
        let found = value.and_then(|value| Uuid::from_slice(value).ok());
        self.words += u32::from(found.is_some() && found == self.word);
    }

    /// What is deleted in the wrong place says nothing.
    fn is_here(&self, lane: u32, is_there: bool) -> Result<(), Malformed> {
        if lane == self.lane || !is_there { Ok(()) } else { Err(Malformed::Elsewhere(lane)) }
    }

    /// Refuses a partition that did not begin as lanes do, and is ready for the next one.
    pub(super) fn done(&mut self, cluster: &Cluster, topic: &TopicRef) -> Result<(), BrokerError> {
        if std::mem::take(&mut self.has_mark) || !self.needs_mark {
            return Ok(());
        }
        let words = format!("partition {}: what it begins with is not there", self.lane);
        Err(lost(cluster, topic, &words))
    }
}
