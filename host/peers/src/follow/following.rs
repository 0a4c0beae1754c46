//! A partition that is followed, as its follower has it.

use std::sync::{Arc, Weak};

use fnap::name::FlowName;
use fnap::stream::Opened;
use host_events::Stored;
use tokio::sync::mpsc;

use super::budget::Share;
use super::hosts::Whose;
use super::link;
use super::notes::Notes;
use super::{Holds, Lost, Told};
use crate::trace;
use crate::wire::unpack;

/// Which partition of which flow, and the next offset.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) flow: FlowName,
    pub(crate) partition: u32,
    pub(crate) next: u64,
}

/// What came of a partition: records that are made as they are asked for.
pub(crate) struct Came {
    records: Opened,
    host: Option<Arc<str>>,
    own: Arc<str>,
    /// The position behind them.
    pub(crate) next: u64,
}

impl Came {
    /// The next record that was not here before. Nothing comes behind an error.
    pub(crate) fn record(&mut self) -> Option<Result<Stored, fnap::stream::StreamError>> {
        loop {
            match self.records.next()? {
                Ok(sent) => match trace::received(sent, self.host.as_deref(), &self.own) {
                    Some(stored) => return Some(Ok(stored)),
                    None => continue,
                },
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// A partition that is followed, until it is dropped. What waits in it is bounded by the stream's credit.
pub(crate) struct Following {
    notes: Arc<Notes>,
    follower: u64,
    hears: mpsc::UnboundedReceiver<Told>,
    own: Arc<str>,
    /// Through whom everything comes; none where it never left this host.
    host: Option<Arc<str>>,
    whose: Whose,
    pub(crate) incarnation: String,
    /// Whether its owner holds it is told there.
    holds: (Arc<Holds>, Place),
    /// How much may wait in it.
    _share: Share,
    left: bool,
}

impl Following {
    pub(super) fn new(
        notes: Arc<Notes>,
        (follower, hears): (u64, mpsc::UnboundedReceiver<Told>),
        own: Arc<str>,
        whose: Whose,
        (holds, _share): ((Arc<Holds>, Place), Share),
    ) -> Self {
        let (host, incarnation) = (Some(Arc::clone(&own)), String::new());
        let left = false;
        Self { notes, follower, hears, own, host, whose, incarnation, holds, _share, left }
    }

    /// Waits until the stream has begun.
    pub(super) async fn begin(&mut self) -> Result<(), Lost> {
        match self.hears.recv().await {
            Some(Told::Began { incarnation, host }) => {
                (self.incarnation, self.host) = (incarnation, host);
                Ok(())
            }
            Some(Told::Over(lost)) => Err(lost),
            Some(Told::Batch(_)) | None => Err(Lost::Away(link::closed())),
        }
    }

    /// Whose flow it is.
    pub(crate) const fn whose(&self) -> &Whose {
        &self.whose
    }

    /// The next batch. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Came, Lost> {
        match self.hears.recv().await {
            Some(Told::Batch(batch)) => {
                let records = batch.each(unpack).map_err(|error| self.wrong(error))?;
                self.notes.say(self.follower, |note| note.used += batch.cost);
                let (host, own) = (self.host.clone(), Arc::clone(&self.own));
                Ok(Came { records, host, own, next: batch.next })
            }
            Some(Told::Over(lost)) => Err(lost),
            Some(Told::Began { .. }) | None => Err(Lost::Away(link::closed())),
        }
    }

    /// What came is not what it should be: the connection ends with it.
    pub(crate) fn wrong(&self, error: fnap::stream::StreamError) -> Lost {
        let lost = Lost::Away(link::broke(self.host.as_deref(), &error));
        self.notes.say(self.follower, |note| note.wrong = Some(error));
        lost
    }

    /// Nothing more is wanted.
    pub(crate) fn leave(&mut self) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        // First of all: what the link says now is refused, so that a stream that begins just now ends, too.
        self.hears.close();
        let (holds, place) = &self.holds;
        holds.forget(place);
        self.notes.say(self.follower, |note| note.left = true);
    }

    /// Tells the other host how far this one is, as long as it is followed.
    pub(crate) fn teller(&self) -> Teller {
        Teller { notes: Arc::downgrade(&self.notes), follower: self.follower }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Says what is safe here.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    notes: Weak<Notes>,
    follower: u64,
}

impl Teller {
    /// All before `next` is safe. Said again and again; the link knows what is new.
    pub(crate) fn safe(&self, next: u64) {
        if let Some(notes) = self.notes.upgrade() {
            notes.say(self.follower, |note| note.safe = Some(next));
        }
    }

    /// Whether both are of one follower.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.follower == other.follower
    }
}
