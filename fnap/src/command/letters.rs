//! What concerns a processor's dead letters and its log, from words to values.

use super::words::Words;
use super::{Command, MAX_LETTERS, ParseError, Start, parse_offset};

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

/// `OFFSET p:n[,p:n…]`; nothing where not said, which means all that are open.
fn letters(words: &mut Words<'_>) -> Result<Vec<(u32, u64)>, ParseError> {
    if !words.literal("OFFSET") {
        return Ok(Vec::new());
    }
    let list = words.any("partition:offset")?;
    if list.split(',').count() > MAX_LETTERS {
        return Err(words.wrong(format_args!("more than {MAX_LETTERS} letters")));
    }
    let mut letters = Vec::new();
    for text in list.split(',') {
        match parse_offset(text) {
            Ok(Start::Offset { partition, offset }) => letters.push((partition, offset)),
            Ok(_) => {}
            Err(error) => return Err(words.wrong(error)),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    if let Some((partition, offset)) = letters.iter().find(|letter| !seen.insert(**letter)) {
        return Err(words.wrong(format_args!("{partition}:{offset} given twice")));
    }
    Ok(letters)
}
