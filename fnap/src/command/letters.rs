//! Lists of places, and what concerns a processor's dead letters and its log, from words to values.

use std::collections::BTreeSet;

use super::words::Words;
use super::{Command, MAX_PLACES, ParseError, Read, Start, parse_offset};

type Parsed = Result<Command, ParseError>;

/// Behind REPLAY.
pub(super) fn replay(words: &mut Words<'_>) -> Parsed {
    let processor = words.name("a processor")?;
    let letters = letters(words)?;
    words.end(Command::Replay { processor, letters })
}

/// Behind DISCARD.
pub(super) fn discard(words: &mut Words<'_>) -> Parsed {
    let processor = words.name("a processor")?;
    let letters = letters(words)?;
    words.end(Command::Discard { processor, letters })
}

/// Behind `GET LOG`.
pub(super) fn log(words: &mut Words<'_>) -> Parsed {
    let processor = words.name("a processor")?;
    let since = if words.literal("SINCE") { Some(words.number("SINCE")?) } else { None };
    Ok(Command::GetLog { processor, since, format: words.format()? })
}

/// Behind `READ f FROM`: one place, or the places of several partitions.
pub(super) fn from(words: &mut Words<'_>, read: &mut Read) -> Result<(), ParseError> {
    let places = letters(words)?;
    match places.as_slice() {
        [] => read.from = Some(words.start()?),
        [(partition, offset)] => {
            read.from = Some(Start::Offset { partition: *partition, offset: *offset });
        }
        _ => {
            let mut seen = BTreeSet::new();
            if let Some((twice, _)) = places.iter().find(|(partition, _)| !seen.insert(*partition))
            {
                return Err(words.wrong(format_args!("partition {twice} given twice")));
            }
            read.places = places;
        }
    }
    Ok(())
}

/// `OFFSET p:n[,p:n…]`; nothing where not said, which for dead letters means all that are open.
fn letters(words: &mut Words<'_>) -> Result<Vec<(u32, u64)>, ParseError> {
    if !words.literal("OFFSET") {
        return Ok(Vec::new());
    }
    let list = words.any("partition:offset")?;
    if list.split(',').count() > MAX_PLACES {
        return Err(words.wrong(format_args!("more than {MAX_PLACES} places")));
    }
    let mut letters = Vec::new();
    for text in list.split(',') {
        match parse_offset(text) {
            Ok(Start::Offset { partition, offset }) => letters.push((partition, offset)),
            Ok(_) => {}
            Err(error) => return Err(words.wrong(error)),
        }
    }
    let mut seen = BTreeSet::new();
    if let Some((partition, offset)) = letters.iter().find(|letter| !seen.insert(**letter)) {
        return Err(words.wrong(format_args!("{partition}:{offset} given twice")));
    }
    Ok(letters)
}
