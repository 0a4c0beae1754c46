//! The record that every lane begins with: how many lanes there are, which one it is, and in which lives of the
//! two topics. A lane without it has lost what it held; one with another one is not the lane that it was.
//!
//! It lies in both partitions of a lane, written once, before anything is committed. Lane 0 is marked last, so
//! what is marked there is marked everywhere.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::format::{self, Malformed};

/// Its key in the positions topic, where the other keys are shards.
pub(super) const POSITIONS_KEY: &[u8] = b"lane";

/// Its key in the state topic: a version and a letter, as of the other keys there.
pub(super) const STATE_KEY: &[u8] = &[1, b'l'];

/// Where a host says which offsets the file on its own disk stands for: `cache/mod.rs`.
pub(super) const POSITIONS_WORD: &[u8] = b"cache";
pub(super) const STATE_WORD: &[u8] = &[1, b'c'];

/// What is written at the beginning of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    v: u64,
    pub(super) lanes: u32,
    pub(super) lane: u32,
    /// The ids of the topics, where the cluster has any.
    pub(super) positions: Option<Uuid>,
    pub(super) state: Option<Uuid>,
}

impl Mark {
    pub(super) fn new(lanes: u32, lane: u32, positions: Option<Uuid>, state: Option<Uuid>) -> Self {
        Self { v: format::VERSION.into(), lanes, lane, positions, state }
    }

    pub(super) fn write(&self) -> Bytes {
        // Numbers and texts can be written.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub(super) fn read(value: &[u8]) -> Result<Self, Malformed> {
        format::known_version(value)?;
        serde_json::from_slice(value).map_err(|_| Malformed::Broken("its value marks no lane"))
    }

    /// The same of another lane.
    pub(super) fn of(&self, lane: u32) -> Self {
        Self { lane, ..self.clone() }
    }

    /// Refuses the value of a mark that is not as this one.
    pub(super) fn agree(&self, value: &[u8]) -> Result<(), Malformed> {
        let found = Self::read(value)?;
        self.differs(&found).map_or(Ok(()), |words| Err(Malformed::Other(words)))
    }

    /// Says what of a mark that was found is not as it has to be.
    pub(super) fn differs(&self, found: &Self) -> Option<String> {
        let other = |what: &str, found: Option<Uuid>, is: Option<Uuid>| {
            let (found, is) = found.zip(is)?;
            let words = format!(
                "its lanes were begun beside a {what} topic of id {found}, there is one of id {is}"
            );
            (found != is).then_some(words)
        };
        if found.lanes != self.lanes {
            return Some(uneven(self.lanes, found.lanes));
        }
        if found.lane != self.lane {
            return Some(format!("what lies in lane {} was written to {}", self.lane, found.lane));
        }
        other("positions", found.positions, self.positions)
            .or_else(|| other("state", found.state, self.state))
    }
}

/// What is said of a topic that has not as many partitions as lanes were begun in it.
pub(super) fn uneven(partitions: u32, lanes: u32) -> String {
    format!("it has {partitions} partitions, and {lanes} lanes were begun in it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_tells_what_differs() {
        let (one, two) = (Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2)));
        let mark = Mark::new(8, 3, one, two);
        assert_eq!(Mark::read(&mark.write()), Ok(mark.clone()));
        assert_eq!(mark.differs(&mark), None);
        for (other, words) in [
            (Mark::new(9, 3, one, two), "it has 8 partitions, and 9 lanes were begun in it"),
            (Mark::new(8, 4, one, two), "what lies in lane 3 was written to 4"),
            (Mark::new(8, 3, two, two), "beside a positions topic of id"),
            (Mark::new(8, 3, one, one), "beside a state topic of id"),
        ] {
            let differs = mark.differs(&other).unwrap();
            assert!(differs.contains(words), "{differs}");
        }
        assert_eq!(mark.differs(&Mark::new(8, 3, None, two)), None, "nobody knew an id then");
    }

    #[test]
    fn a_newer_mark_is_refused_by_its_number_and_anything_else_as_none() {
        assert_eq!(Mark::read(br#"{"v":2}"#), Err(Malformed::Newer(2, 1)));
        assert!(matches!(Mark::read(b"x"), Err(Malformed::Broken(_))));
    }
}
