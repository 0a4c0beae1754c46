//! How many octets of a stream may be under way, as each side counts it.
//!
//! What a frame of records costs is [`FRAME_COST`](super::FRAME_COST) and the octets of its body once unpacked: what it makes the
//! follower hold. **The rule**: a frame may be sent when its cost is at most what is left; or when nothing is under way (as
//! much is left as Attach gave, or more) and it holds at most one record. The second lets a record pass that is
//! larger than the whole credit, alone; less than nothing is left then, until the follower has given it back. So that the second ever
//! comes true, a follower gives back everything once it has used up all that came.

use super::limits::MAX_CREDIT;

/// What may be sent to a stream now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What one frame may cost.
    pub octets: u64,
    /// Whether nothing is under way: then one record may go alone, whatever it costs.
    pub idle: bool,
}

impl Room {
    /// Whatever a frame can hold.
    pub const WHOLE: Self = Self { octets: u64::MAX, idle: true };
}

/// One stream's credit, on either side.
#[derive(Debug)]
pub(super) struct Account {
    window: i64,
    left: i64,
}

impl Account {
    /// None where Attach gives nothing, or too much.
    pub(super) fn new(credit: u64) -> Option<Self> {
        let window = i64::try_from(credit).ok().filter(|_| (1..=MAX_CREDIT).contains(&credit))?;
        Some(Self { window, left: window })
    }

    pub(super) fn room(&self) -> Room {
        Room { octets: u64::try_from(self.left).unwrap_or(0), idle: self.left >= self.window }
    }

    /// What is left, below zero after a record that was larger.
    pub(super) fn left(&self) -> i64 {
        self.left
    }

    /// Takes a frame's cost off, if the rule allows the frame.
    pub(super) fn take(&mut self, cost: u64, records: usize) -> bool {
        let room = self.room();
        let allowed = cost <= room.octets || (room.idle && records <= 1);
        if allowed {
            self.left = self.left.saturating_sub_unsigned(cost);
        }
        allowed
    }

    /// Adds credit, if what is left then stays within [`MAX_CREDIT`].
    pub(super) fn add(&mut self, octets: u64) -> bool {
        let left = self.left.saturating_add_unsigned(octets);
        let allowed = octets > 0 && left <= MAX_CREDIT as i64;
        if allowed {
            self.left = left;
        }
        allowed
    }
}

/// What a follower has got and not given back yet.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) account: Account,
    /// Got, and not used up.
    held: u64,
    /// Used up, and not given back.
    owed: u64,
}

impl Taken {
    pub(super) fn new(account: Account) -> Self {
        Self { account, held: 0, owed: 0 }
    }

    /// A frame has come. False when it is beyond the credit.
    pub(super) fn came(&mut self, cost: u64, records: usize) -> bool {
        let allowed = self.account.take(cost, records);
        self.held += if allowed { cost } else { 0 };
        allowed
    }

    /// So much is used up. True when it is time to give back.
    pub(super) fn used(&mut self, cost: u64) -> bool {
        let cost = cost.min(self.held);
        self.held -= cost;
        self.owed += cost;
        self.owed > 0 && (self.held == 0 || self.owed >= self.account.window.unsigned_abs() / 2)
    }

    /// What is to be given back now.
    pub(super) fn give_back(&mut self) -> u64 {
        let owed = std::mem::take(&mut self.owed);
        self.account.left = self.account.left.saturating_add_unsigned(owed);
        owed
    }
}
