//! WRITEs that are being performed, and what has to be said after their answers.
//!
//! A client that pipelines need not wait for the disk between two WRITEs, but replies keep the order of
//! the commands: what belongs to a later one waits here.

use std::collections::VecDeque;

use bytes::Bytes;

/// The WRITEs under way, oldest first.
#[derive(Debug, Default)]
pub(super) struct Posted {
    /// One entry for each: what is to be sent once it is answered, before the next one's answer.
    behind: VecDeque<Vec<Bytes>>,
    /// What the replies that wait take.
    held: usize,
}

impl Posted {
    pub(super) fn any(&self) -> bool {
        !self.behind.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.behind.len()
    }

    /// Bytes of the replies that wait, and of what keeps each.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn post(&mut self) {
        self.behind.push_back(Vec::new());
    }

    /// Keeps a reply behind the newest WRITE; gives it back when there is none.
    pub(super) fn hold(&mut self, reply: Bytes) -> Option<Bytes> {
        match self.behind.back_mut() {
            Some(behind) => {
                self.held += cost(&reply);
                behind.push(reply);
                None
            }
            None => Some(reply),
        }
    }

    /// The oldest was answered: what may be said now.
    pub(super) fn answered(&mut self) -> Vec<Bytes> {
        let behind = self.behind.pop_front().unwrap_or_default();
        self.held -= behind.iter().map(cost).sum::<usize>().min(self.held);
        behind
    }
}

/// A short reply costs more than its bytes.
fn cost(reply: &Bytes) -> usize {
    reply.len() + size_of::<Bytes>()
}
