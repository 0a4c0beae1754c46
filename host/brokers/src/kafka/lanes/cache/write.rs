//! Writing a lane's file: in the order of the keys of each shard, so that whoever reads it looks for nothing.

use std::io::{self, Write};
use std::path::Path;

use host_store::{SUM, Summed};

use super::{Header, MAGIC, MOST, POSITIONS, STATE, Start};
use crate::kafka::lanes::disk;
use crate::kafka::lanes::moment::Moment;
use crate::kafka::lanes::ours::Ours;
use crate::kafka::lanes::truth::Truth;

/// Writes what is true of a lane as of a start, and of a moment that is no later. What is more than a file takes,
/// and what nobody knows the age of, is not written.
pub(in crate::kafka::lanes) fn write(
    path: &Path,
    identity: &str,
    ours: &Ours,
    lane: u32,
    (truth, start, written, kept): (&Truth, Start, Moment, u64),
) -> io::Result<()> {
    let no = |why: String| Err(io::Error::other(why));
    let (Some(positions), Some(state)) = (ours.positions.id, ours.state.id) else {
        return no("the topics have no ids".to_owned());
    };
    let Some(read_whole) = truth.read_whole else {
        return no("nobody knows when it was read".to_owned());
    };
    let (identity, lanes) = (identity.to_owned(), ours.lanes);
    let header =
        Header { identity, lanes, lane, positions, state, start, written, read_whole, kept };
    let header = serde_json::to_vec(&header)?;
    let size = truth.entries().map(|(_, key, value)| 9 + key.len() + value.len()).sum::<usize>();
    if (MAGIC.len() + 4 + header.len() + size + SUM) as u64 > MOST {
        return no(format!("it is larger than {MOST} bytes"));
    }
    // Its sum tells one that the machine's end has torn, and after that none counts.
    disk::replace_at_ease(path, |file| {
        let mut file = Summed::new(file);
        file.write_all(MAGIC)?;
        file.write_all(&length(header.len())?)?;
        file.write_all(&header)?;
        for (is_state, key, value) in truth.entries() {
            file.write_all(&[if is_state { STATE } else { POSITIONS }])?;
            file.write_all(&length(key.len())?)?;
            file.write_all(&length(value.len())?)?;
            file.write_all(&key)?;
            file.write_all(&value)?;
        }
        let (file, sum) = file.end();
        file.write_all(&sum)
    })
}

/// The length of what follows, as it is written.
fn length(len: usize) -> io::Result<[u8; 4]> {
    u32::try_from(len).map(u32::to_be_bytes).map_err(io::Error::other)
}
