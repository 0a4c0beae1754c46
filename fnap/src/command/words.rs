//! A command line, word by word. Knows where it is, so that errors can say it.

use std::fmt::Display;
use std::str::FromStr;

use super::start::{Start, Timestamp, parse_offset};
use super::{Format, MAX_LIST, ParseError};
use crate::name::Name;
use crate::pattern::Pattern;
use crate::rights::{Object, Rights};
use crate::subject::Subject;
use crate::value::{Json, Settings, Word};

type Parsed<T> = Result<T, ParseError>;

/// What has not been read of a line.
pub(super) struct Words<'a> {
    rest: &'a str,
    /// How many words were taken.
    taken: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { rest: line.trim_matches(blank), taken: 0 }
    }

    pub(super) fn peek(&self) -> Option<&'a str> {
        let word = self.rest.split(blank).next()?;
        (!word.is_empty()).then_some(word)
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.skip(word.len());
        Some(word)
    }

    /// Takes the next word if it is this literal, in any case.
    pub(super) fn literal(&mut self, literal: &str) -> bool {
        let found = self.peek().is_some_and(|word| word.eq_ignore_ascii_case(literal));
        found && self.next().is_some()
    }

    pub(super) fn expect(&mut self, literal: &str) -> Parsed<()> {
        if self.literal(literal) { Ok(()) } else { Err(self.missing(literal)) }
    }

    /// Any word at all.
    pub(super) fn any(&mut self, what: &str) -> Parsed<&'a str> {
        self.next().ok_or_else(|| self.missing(what))
    }

    pub(super) fn name(&mut self, what: &str) -> Parsed<Name> {
        self.value(what)
    }

    pub(super) fn word(&mut self, what: &str) -> Parsed<Word> {
        self.value(what)
    }

    /// A processor's name or the name of its type: a URI can only be the former.
    pub(super) fn processor_or_type(&mut self) -> Parsed<Word> {
        const WHAT: &str = "a processor or its type";
        if self.peek().is_some_and(|word| word.contains("://")) {
            let name = self.name(WHAT)?;
            return name.as_str().parse().map_err(|error| self.wrong(error));
        }
        self.word(WHAT)
    }

    /// `read,write`
    pub(super) fn rights(&mut self) -> Parsed<Rights> {
        self.value("read, write, subscribe or administer")
    }

    /// A name, or `*`.
    pub(super) fn object(&mut self) -> Parsed<Object> {
        self.value("a name or *")
    }

    pub(super) fn subject(&mut self) -> Parsed<Subject> {
        self.value("user:NAME, group:NAME, domain:NAME, anonymous or everybody")
    }

    pub(super) fn pattern(&mut self, what: &str) -> Parsed<Pattern> {
        self.value(what)
    }

    /// `a,b,…`
    pub(super) fn names(&mut self, what: &str) -> Parsed<Vec<Name>> {
        let list = self.any(what)?;
        if list.split(',').count() > MAX_LIST {
            return Err(self.wrong(format_args!("more than {MAX_LIST} names")));
        }
        let mut names = Vec::new();
        for text in list.split(',') {
            let name: Name = text.parse().map_err(|error| self.wrong(error))?;
            if names.contains(&name) {
                return Err(self.wrong(format_args!("{name} given twice")));
            }
            names.push(name);
        }
        Ok(names)
    }

    /// A bare word, or a JSON string.
    pub(super) fn text(&mut self, what: &str) -> Parsed<String> {
        if !self.rest.starts_with('"') {
            return self.any(what).map(str::to_owned);
        }
        let text = self.quoted()?;
        self.taken += 1;
        Ok(text)
    }

    /// As many `key=value` as there are.
    pub(super) fn settings(&mut self) -> Parsed<Settings> {
        let mut settings = Settings::new();
        while self.setting(&mut settings)? {}
        Ok(settings)
    }

    pub(super) fn some_settings(&mut self) -> Parsed<Settings> {
        let settings = self.settings()?;
        if settings.is_empty() { Err(self.missing("key=value")) } else { Ok(settings) }
    }

    /// One `key=value`, if there is one.
    pub(super) fn setting(&mut self, settings: &mut Settings) -> Parsed<bool> {
        let Some((key, value)) = self.peek().and_then(|word| word.split_once('=')) else {
            return Ok(false);
        };
        self.taken += 1;
        self.rest = self.rest.get(key.len() + 1..).unwrap_or_default();
        let value = if self.rest.starts_with('"') {
            self.quoted()?
        } else {
            self.advance(value.len());
            value.to_owned()
        };
        settings.insert(key, value).map_err(|error| self.wrong(error))?;
        Ok(true)
    }

    /// `earliest`, `latest`, `OFFSET p:n`, `TIME rfc3339`
    pub(super) fn start(&mut self) -> Parsed<Start> {
        if self.literal("EARLIEST") {
            return Ok(Start::Earliest);
        }
        if self.literal("LATEST") {
            return Ok(Start::Latest);
        }
        if self.literal("OFFSET") {
            let text = self.any("partition:offset")?;
            return parse_offset(text).map_err(|error| self.wrong(error));
        }
        if self.literal("TIME") {
            return self.value::<Timestamp>("a time").map(Start::Time);
        }
        Err(self.missing("earliest, latest, OFFSET or TIME"))
    }

    pub(super) fn number(&mut self, what: &str) -> Parsed<u64> {
        let text = self.any(what)?;
        super::start::number(text).map_err(|_| self.wrong(format_args!("no number for {what}")))
    }

    /// A trailing `FORMAT json`, then the end.
    pub(super) fn format(&mut self) -> Parsed<Format> {
        let format = match self.literal("FORMAT") {
            false => Format::Text,
            true if self.literal("JSON") => Format::Json,
            true if self.literal("TEXT") => Format::Text,
            true => return Err(self.missing("json or text")),
        };
        self.end(format)
    }

    /// The rest of the line as JSON.
    pub(super) fn json(&mut self) -> Parsed<Json> {
        if self.rest.is_empty() {
            return Err(self.missing("json"));
        }
        self.taken += 1;
        std::mem::take(&mut self.rest).parse().map_err(|error| self.wrong(error))
    }

    /// The rest of the line, if there is any. A CR in it becomes a blank, as it does where such a text
    /// is sent.
    pub(super) fn remainder(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.rest).replace('\r', " ");
        let rest = rest.trim_matches(blank);
        (!rest.is_empty()).then(|| rest.to_owned())
    }

    /// Nothing may follow.
    pub(super) fn end<T>(&self, value: T) -> Parsed<T> {
        if self.rest.is_empty() { Ok(value) } else { Err(self.at_next("nothing more expected")) }
    }

    /// Something else should stand at the next word.
    pub(super) fn missing(&self, what: impl Display) -> ParseError {
        self.at_next(format_args!("expected {what}"))
    }

    pub(super) fn at_next(&self, why: impl Display) -> ParseError {
        ParseError::syntax(self.taken + 1, why)
    }

    /// The word just taken is wrong.
    pub(super) fn wrong(&self, why: impl Display) -> ParseError {
        ParseError::syntax(self.taken, why)
    }

    fn value<T: FromStr<Err: Display>>(&mut self, what: &str) -> Parsed<T> {
        let text = self.any(what)?;
        text.parse().map_err(|error| self.wrong(error))
    }

    fn quoted(&mut self) -> Parsed<String> {
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<String>();
        let Some(Ok(text)) = values.next() else {
            return Err(self.at_next("unfinished quoted text"));
        };
        let len = values.byte_offset();
        let behind = self.rest.get(len..).unwrap_or_default();
        if !behind.is_empty() && !behind.starts_with(blank) {
            return Err(self.at_next("text behind the closing quote"));
        }
        self.advance(len);
        Ok(text)
    }

    fn skip(&mut self, len: usize) {
        self.taken += 1;
        self.advance(len);
    }

    fn advance(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default().trim_start_matches(blank);
    }
}

fn blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// Fills a place that may be filled once.
pub(super) fn once<T>(
    place: &mut Option<T>,
    value: T,
    twice: ParseError,
) -> Result<(), ParseError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(twice),
    }
}
