//! Reading a lane's file: whole or not at all.
//!
//! What it says is taken in as it comes, and given to nobody before its sum has turned out to be right.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use bytes::{Bytes, BytesMut};
use host_store::{SUM, Summed};

use super::{Header, Known, MAGIC, MOST, POSITIONS, STATE};
use crate::broker::ShardId;
use crate::kafka::lanes::disk;
use crate::kafka::lanes::format::Key;
use crate::kafka::lanes::moment::Moment;
use crate::kafka::lanes::ours::Ours;
use crate::kafka::lanes::recover::Check;
use crate::kafka::lanes::truth::Truth;

/// What is read from the disk at once.
const AT_ONCE: usize = 256 << 10;

/// Keys that lie together in memory: as long as one of them is there, all of them are.
const SHELF: usize = 16 << 10;

/// What a file holds that fits, or why it is of no use. Whether the log is still the one that it stands for, and
/// whether that keeps deletions for long enough, is for whoever asks the cluster.
pub(in crate::kafka::lanes) fn read(
    path: &Path,
    identity: &str,
    ours: &Ours,
    lane: u32,
    now: &Moment,
) -> Result<Option<Known>, String> {
    let Some(file) = disk::open(path, MOST).map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let mut body = Body::of(&file).map_err(damaged)?;
    let Header { start, written, read_whole, kept, .. } = match body.header().map_err(damaged)? {
        header if header.is_of(identity, ours, lane) => header,
        _ => return Err("it is of another lane, or of other topics".to_owned()),
    };
    let mut known = Known { truth: Truth::default(), start, written, read_whole, kept };
    known.is_sound(kept, now)?;
    known.truth = body.truth(&mut Check::of_cache(ours, lane)).map_err(damaged)?;
    known.truth.read_whole = Some(read_whole);
    // Nothing of it is believed before.
    body.end_whole().map_err(damaged)?;
    Ok(Some(known))
}

impl Header {
    fn is_of(&self, identity: &str, ours: &Ours, lane: u32) -> bool {
        self.identity == identity
            && (self.lanes, self.lane) == (ours.lanes, lane)
            && Some(self.positions) == ours.positions.id
            && Some(self.state) == ours.state.id
    }
}

fn damaged(cause: io::Error) -> String {
    format!("it is damaged, or of another format: {cause}")
}

/// What lies in a file, before its sum.
struct Body<'a> {
    file: &'a File,
    octets: BufReader<Summed<io::Take<&'a File>>>,
    len: u64,
}

impl<'a> Body<'a> {
    fn of(file: &'a File) -> io::Result<Self> {
        let len = file.metadata()?.len().saturating_sub(SUM as u64);
        let octets = BufReader::with_capacity(AT_ONCE, Summed::new(file.take(len)));
        Ok(Self { file, octets, len })
    }

    fn header(&mut self) -> io::Result<Header> {
        let magic = self.octets(MAGIC.len())?;
        if magic != MAGIC {
            return Err(io::Error::other("it begins otherwise"));
        }
        let header = self.length()?;
        Ok(serde_json::from_slice(&self.octets(header)?)?)
    }

    fn truth(&mut self, check: &mut Check<'_>) -> io::Result<Truth> {
        let (mut truth, mut run, mut shelf) = (Truth::default(), Run::default(), BytesMut::new());
        while let Some(kind) = self.octet()? {
            let (key, value) = (self.length()?, self.length()?);
            let key = self.shelved(&mut shelf, key)?;
            let value = self.octets(value)?;
            let taken = match kind {
                POSITIONS => check.position(&mut truth, &key, Some(value)),
                STATE => match check.state_key(&key, Some(&value)) {
                    Ok(Some(Key::State(shard, key))) => {
                        run.add(&mut truth, shard, key, value);
                        Ok(())
                    }
                    Ok(Some(token)) => truth.state(token, Some(value)),
                    other => other.map(|_| ()),
                },
                _ => return Err(io::Error::other("an entry of another kind")),
            };
            taken.map_err(io::Error::other)?;
        }
        run.end(&mut truth);
        Ok(truth)
    }

    /// Refuses a file whose sum is not that of what was read.
    fn end_whole(self) -> io::Result<()> {
        let (_, sum) = self.octets.into_inner().end();
        let mut written = [0; SUM];
        let mut file = self.file;
        file.read_exact(&mut written)?;
        match sum == written {
            true => Ok(()),
            false => Err(io::Error::other("its sum is another one")),
        }
    }

    /// Reads one octet; nothing at the end.
    fn octet(&mut self) -> io::Result<Option<u8>> {
        let mut octet = [0];
        Ok((self.octets.read(&mut octet)? == 1).then_some(octet[0]))
    }

    /// Reads a length. One beyond the file is damage: nothing is made ready for it.
    fn length(&mut self) -> io::Result<usize> {
        let mut len = [0; 4];
        self.octets.read_exact(&mut len)?;
        let len = u32::from_be_bytes(len);
        match u64::from(len) <= self.len {
            true => usize::try_from(len).map_err(io::Error::other),
            false => Err(io::Error::other("a length beyond the file")),
        }
    }

    /// Reads so many octets.
    fn octets(&mut self, len: usize) -> io::Result<Bytes> {
        let mut octets = vec![0; len];
        self.octets.read_exact(&mut octets)?;
        Ok(octets.into())
    }

    /// The same for a key, which lies with others. Keys of a state seldom go; its values do, and lie alone.
    fn shelved(&mut self, shelf: &mut BytesMut, len: usize) -> io::Result<Bytes> {
        if shelf.capacity() < len {
            *shelf = BytesMut::with_capacity(SHELF.max(len));
        }
        shelf.resize(len, 0);
        self.octets.read_exact(shelf)?;
        Ok(shelf.split().freeze())
    }
}

/// Entries of one shard in a row. They lie in the order of their keys, so a map is made of all at once, and no key
/// is looked for: with a million of them that is most of the time that reading takes.
#[derive(Default)]
struct Run {
    shard: Option<ShardId>,
    entries: Vec<(Bytes, Bytes)>,
}

impl Run {
    fn add(&mut self, truth: &mut Truth, shard: ShardId, key: Bytes, value: Bytes) {
        if self.shard != Some(shard) {
            self.end(truth);
            self.shard = Some(shard);
        }
        self.entries.push((key, value));
    }

    fn end(&mut self, truth: &mut Truth) {
        let Some(shard) = self.shard.take() else { return };
        let entries = std::mem::take(&mut self.entries);
        let state = &mut truth.shards.entry(shard).or_default().state;
        match state.is_empty() {
            true => *state = entries.into_iter().collect(),
            false => state.extend(entries),
        }
    }
}
