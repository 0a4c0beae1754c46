//! The commands about processors, from words to values.

use super::words::{Words, once};
use super::{
    Command, KeepState, MirrorTo, NewKind, NewMirror, NewProcessor, Origin, ParseError, ShadowStep,
};
use crate::value::Settings;

type Parsed = Result<Command, ParseError>;

/// Behind `CREATE PROCESSOR`.
pub(super) fn create(words: &mut Words<'_>) -> Parsed {
    let name = words.name("a processor")?;
    words.expect("TYPE")?;
    let kind = NewKind::Create(words.word("a type")?);
    let mut new = from_to(words, kind)?;
    new.name = Some(name);
    options(words, new)
}

/// Behind `UPDATE PROCESSOR`.
pub(super) fn update(words: &mut Words<'_>) -> Parsed {
    let processor = words.name("a processor")?;
    if words.literal("CONFIG") {
        return Ok(Command::ConfigureProcessor { processor, config: words.json()? });
    }
    if words.literal("POSITION") {
        let position = words.start()?;
        let state = match words.literal("STATE") {
            false => None,
            true if words.literal("KEEP") => Some(KeepState::Keep),
            true if words.literal("RESET") => Some(KeepState::Reset),
            true => return Err(words.missing("keep or reset")),
        };
        return words.end(Command::MoveProcessor { processor, position, state });
    }
    if let Some(step) = shadow(words)? {
        return words.end(Command::ShadowProcessor { processor, step });
    }
    let settings = words.settings()?;
    if settings.is_empty() {
        return Err(words.missing("CONFIG, POSITION, SHADOW, PROMOTE, DISCARD or key=value"));
    }
    words.end(Command::UpdateProcessor { processor, settings })
}

fn shadow(words: &mut Words<'_>) -> Result<Option<ShadowStep>, ParseError> {
    if words.literal("SHADOW") {
        return Ok(Some(ShadowStep::Begin(words.word("a version or the beginning of a digest")?)));
    }
    if words.literal("PROMOTE") {
        let meant = match words.peek() {
            Some(_) => Some(words.word("a version or the beginning of a digest")?),
            None => None,
        };
        return Ok(Some(ShadowStep::Promote(meant)));
    }
    Ok(words.literal("DISCARD").then_some(ShadowStep::Discard))
}

/// Behind COMPARE.
pub(super) fn compare(words: &mut Words<'_>) -> Parsed {
    let processor = words.name("a processor")?;
    if words.literal("STOP") {
        return words.end(Command::StopComparing { processor });
    }
    words.expect("VERSION")?;
    let version = words.word("a version or the beginning of a digest")?;
    let from = if words.literal("FROM") {
        Some(Origin::Start(words.start()?))
    } else if words.literal("SNAPSHOT") {
        Some(Origin::Snapshot(words.number("a snapshot")?))
    } else {
        None
    };
    let to = if words.literal("TO") { Some(words.start()?) } else { None };
    words.end(Command::Compare { processor, version, from, to })
}

/// Behind SNAPSHOT.
pub(super) fn snapshot(words: &mut Words<'_>) -> Parsed {
    let processor = words.name("a processor")?;
    let forget = if words.literal("FORGET") { Some(words.number("a snapshot")?) } else { None };
    words.end(Command::Snapshot { processor, forget })
}

/// Behind REPLICATE, COLLECT and DISTRIBUTE.
pub(super) fn make(words: &mut Words<'_>, kind: NewKind) -> Parsed {
    if kind != NewKind::Distribute && words.peek().is_some_and(|word| word.contains('*')) {
        return mirror(words, kind);
    }
    let one = |names: Vec<_>, words: &Words<'_>| match names.len() {
        1 => Ok(names),
        _ => Err(words.wrong("expected one flow only")),
    };
    let mut inputs = words.names("flows to read")?;
    if kind != NewKind::Collect {
        inputs = one(inputs, words)?;
    }
    let mut outputs = words.names("flows to write")?;
    if kind != NewKind::Distribute {
        outputs = one(outputs, words)?;
    }
    options(words, NewProcessor::new(kind, inputs, outputs))
}

/// Behind REPLICATE and COLLECT, where the first word is a pattern.
fn mirror(words: &mut Words<'_>, kind: NewKind) -> Parsed {
    let from = words.pattern("a pattern of flows to read")?;
    let to = match kind {
        NewKind::Collect => MirrorTo::One(words.name("a flow to write")?),
        _ => MirrorTo::Each(words.pattern("a pattern of flows to write")?),
    };
    let options = options(words, NewProcessor::new(kind, Vec::new(), Vec::new()))?;
    let Command::CreateProcessor(NewProcessor { name, start, settings, config, .. }) = options
    else {
        return Err(words.missing("options"));
    };
    Ok(Command::CreateMirror(NewMirror { from, to, name, start, settings, config }))
}

/// Behind SIGNAL.
pub(super) fn signal(words: &mut Words<'_>) -> Parsed {
    let kind = NewKind::Signal(words.word("a type")?);
    let new = from_to(words, kind)?;
    options(words, new)
}

fn from_to(words: &mut Words<'_>, kind: NewKind) -> Result<NewProcessor, ParseError> {
    words.expect("FROM")?;
    let inputs = words.names("flows to read")?;
    words.expect("TO")?;
    let outputs = words.names("flows to write")?;
    Ok(NewProcessor::new(kind, inputs, outputs))
}

fn options(words: &mut Words<'_>, mut new: NewProcessor) -> Parsed {
    // Where FROM names the inputs it cannot name the start too.
    let from_names_inputs = matches!(new.kind, NewKind::Signal(_) | NewKind::Create(_));
    let mut settings = Settings::new();
    loop {
        let twice = words.at_next("given twice");
        if words.literal("AS") {
            once(&mut new.name, words.name("a processor")?, twice)?;
        } else if words.literal("START") || (!from_names_inputs && words.literal("FROM")) {
            once(&mut new.start, words.start()?, twice)?;
        } else if words.literal("CONFIG") {
            new.config = Some(words.json()?);
        } else if !words.setting(&mut settings)? {
            new.settings = settings;
            return words.end(Command::CreateProcessor(new));
        }
    }
}
