//! The state of one shard in a file, with the positions it stands for.
//!
//! A line of JSON that says what it is, the entries, and a SHA-256 over all of it: a file that is cut or damaged is
//! refused as a whole. Written beside its place and moved there by whoever calls.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use bytes::Bytes;
use host_events::{Incarnation, Position};
use host_store::{SUM, Summed, sum_of};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Of the format of these files.
pub(super) const FORMAT: u32 = 1;

/// The state of a shard at one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShardSnapshot {
    /// What was committed with it.
    pub(crate) positions: Position,
    /// Digest of the plugin that made it.
    pub(crate) digest: String,
    /// What that calls itself.
    pub(crate) version: String,
    pub(crate) entries: Vec<(Bytes, Bytes)>,
}

/// What stands in the first line.
#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    positions: Vec<(Uuid, u32, u64)>,
    digest: String,
    version: String,
    entries: usize,
}

/// Why a file is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is damaged")]
    Damaged,
    #[error("it has format {0}, and this host knows {FORMAT}")]
    Format(u32),
}

/// Writes a file, and has it on the disk.
pub(super) fn write(path: &Path, taken: &ShardSnapshot) -> io::Result<()> {
    let positions = taken.positions.0.iter();
    let head = Head {
        format: FORMAT,
        positions: positions.map(|((life, partition), next)| (life.0, *partition, *next)).collect(),
        digest: taken.digest.clone(),
        version: taken.version.clone(),
        entries: taken.entries.len(),
    };
    let mut out = Summed::new(BufWriter::new(File::create(path)?));
    serde_json::to_writer(&mut out, &head)?;
    out.write_all(b"\n")?;
    for (key, value) in &taken.entries {
        for piece in [key, value] {
            out.write_all(&(piece.len() as u64).to_be_bytes())?;
            out.write_all(piece)?;
        }
    }
    let (mut out, sum) = out.end();
    out.write_all(&sum)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// Reads it again, whole or not at all.
pub(super) fn read(path: &Path) -> Result<ShardSnapshot, ReadError> {
    let all = Bytes::from(std::fs::read(path)?);
    let end = all.len().checked_sub(SUM).ok_or(ReadError::Damaged)?;
    let (mut rest, sum) = (all.slice(..end), all.slice(end..));
    if sum_of(&rest)[..] != sum[..] {
        return Err(ReadError::Damaged);
    }
    let line = rest.iter().position(|octet| *octet == b'\n').ok_or(ReadError::Damaged)?;
    let head = rest.split_to(line);
    drop(rest.split_to(1));
    let head: Head = serde_json::from_slice(&head).map_err(|_| ReadError::Damaged)?;
    if head.format != FORMAT {
        return Err(ReadError::Format(head.format));
    }
    let mut positions = Position::default();
    for (life, partition, next) in head.positions {
        positions.set(Incarnation(life), partition, next);
    }
    let mut entries = Vec::new();
    for _ in 0..head.entries {
        entries.push((piece(&mut rest)?, piece(&mut rest)?));
    }
    Ok(ShardSnapshot { positions, digest: head.digest, version: head.version, entries })
}

fn piece(rest: &mut Bytes) -> Result<Bytes, ReadError> {
    if rest.len() < 8 {
        return Err(ReadError::Damaged);
    }
    let length = rest.split_to(8);
    let length: [u8; 8] = length[..].try_into().map_err(|_| ReadError::Damaged)?;
    let length = usize::try_from(u64::from_be_bytes(length)).map_err(|_| ReadError::Damaged)?;
    if length > rest.len() {
        return Err(ReadError::Damaged);
    }
    Ok(rest.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken() -> ShardSnapshot {
        let mut positions = Position::default();
        positions.set(Incarnation(Uuid::from_u128(7)), 3, 1 << 40);
        let entries = vec![
            (Bytes::from("k"), Bytes::from(vec![0; 70_000])),
            (Bytes::from("l"), Bytes::new()),
        ];
        ShardSnapshot { positions, digest: "d".to_owned(), version: "1.0.0".to_owned(), entries }
    }

    #[test]
    fn what_was_written_is_read_and_what_is_damaged_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.state");
        write(&path, &taken()).unwrap();
        assert_eq!(read(&path).unwrap(), taken());
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 1, SUM, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(matches!(read(&path), Err(ReadError::Damaged)), "{cut}");
        }
        for at in [0, 40, whole.len() / 2, whole.len() - 1] {
            let mut other = whole.clone();
            other[at] ^= 1;
            std::fs::write(&path, &other).unwrap();
            assert!(matches!(read(&path), Err(ReadError::Damaged)), "{at}");
        }
    }

    #[test]
    fn one_of_a_later_host_is_refused_by_its_format() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.state");
        let text =
            b"{\"format\":9,\"positions\":[],\"digest\":\"\",\"version\":\"\",\"entries\":0}\n";
        let mut bytes = text.to_vec();
        bytes.extend_from_slice(&sum_of(text));
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(read(&path), Err(ReadError::Format(9))));
    }

    #[test]
    fn lengths_that_are_lies_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.state");
        for length in [9_u64, u64::MAX] {
            let head = "{\"format\":1,\"positions\":[],\"digest\":\"\",\"version\":\"\",\"entries\":18446744073709551615}\n";
            let mut bytes = head.as_bytes().to_vec();
            bytes.extend_from_slice(&length.to_be_bytes());
            let sum = sum_of(&bytes);
            bytes.extend_from_slice(&sum);
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(read(&path), Err(ReadError::Damaged)), "{length}");
        }
    }
}
