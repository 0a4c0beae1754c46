//! Events out of lines, as `fnua` writes and reads them, put into batches.
//!
//! A batch is what a host would read at once: a piece of one partition, within the limits of events and octets. A line says
//! where its event stood, if it comes from a flow; else events are counted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result, bail};
use host_events::{CloudEvent, Record, Value, from_write_line};
use host_processors::Letter;
use serde::Deserialize;

/// An event and where it stood.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) record: Record,
}

/// The lines of one input.
pub(crate) struct Lines {
    name: String,
    from: BufReader<Box<dyn Read + Send>>,
    number: u64,
    /// Whether they are dead letters, whose events are meant.
    are_letters: bool,
    /// The first event of the next batch.
    ahead: Option<Event>,
    /// Where a partition goes on whose lines do not say.
    next: BTreeMap<u32, u64>,
    /// The clock of an event that does not say when it was.
    now: i64,
}

/// Where an event stood, if it comes from a flow.
#[derive(Deserialize)]
struct Place<'a> {
    #[serde(default)]
    flowpartition: u32,
    #[serde(borrow, default)]
    flowoffset: Option<Cow<'a, str>>,
}

impl Lines {
    pub(crate) fn new(name: &str, from: Box<dyn Read + Send>, are_letters: bool) -> Self {
        let from = BufReader::new(from);
        Self {
            name: name.to_owned(),
            from,
            number: 0,
            are_letters,
            ahead: None,
            next: BTreeMap::new(),
            now: 0,
        }
    }

    /// The next batch; empty at the end.
    pub(crate) fn batch(&mut self, most: usize, bytes: u64) -> Result<Vec<Event>> {
        let (mut batch, mut room) = (Vec::new(), bytes);
        while batch.len() < most {
            let Some(event) = (match self.ahead.take() {
                Some(event) => Some(event),
                None => self.event()?,
            }) else {
                break;
            };
            let size = event.record.size() as u64;
            let same = batch.last().is_none_or(|last: &Event| {
                last.partition == event.partition && last.offset < event.offset
            });
            // One event that is larger than a batch comes alone.
            if !batch.is_empty() && (!same || size > room) {
                self.ahead = Some(event);
                break;
            }
            room = room.saturating_sub(size);
            batch.push(event);
        }
        Ok(batch)
    }

    fn event(&mut self) -> Result<Option<Event>> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.from).take(MAX_LINE + 1).read_until(b'\n', &mut line);
            let read = read.with_context(|| self.name.clone())?;
            self.number += 1;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 > MAX_LINE {
                bail!("{}:{}: longer than {MAX_LINE} octets", self.name, self.number);
            }
            let line = line.trim_ascii();
            if !line.is_empty() {
                let event = self.read(line);
                return event.with_context(|| format!("{}:{}", self.name, self.number)).map(Some);
            }
        }
    }

    fn read(&mut self, line: &[u8]) -> Result<Event> {
        let record = from_write_line(line)?.into_record(self.now);
        if self.are_letters {
            let Some(letter) = Letter::of(&record) else { bail!("no dead letter") };
            return self.open(letter);
        }
        if let Some(time) = time_of(&record) {
            self.now = time;
        }
        let record = Record { timestamp: self.now, ..record };
        let place: Place<'_> =
            serde_json::from_slice(line).unwrap_or(Place { flowpartition: 0, flowoffset: None });
        let next = self.next.entry(place.flowpartition).or_default();
        let said = place.flowoffset.and_then(|offset| offset.parse().ok());
        let offset = said.filter(|offset| *offset < u64::MAX).unwrap_or(*next);
        *next = offset + 1;
        Ok(Event { partition: place.flowpartition, offset, record })
    }

    fn open(&mut self, letter: Letter) -> Result<Event> {
        if letter.is_truncated {
            bail!(
                "only a part of the event is in this letter: read it from {} where it still lies",
                letter.flow
            );
        }
        let (partition, offset) = (letter.partition, letter.stored.offset);
        let Letter { processor, flow, kind, reason, digest, stored, .. } = letter;
        // Its frames come again, below.
        let front = reason.split("error while executing").next().unwrap_or_default().trim_end();
        let front = front.strip_prefix(&format!("{kind}: ")).unwrap_or(front);
        super::printer::say(&format!(
            "dead letter of {processor}: {flow}:{partition}:{offset}, plugin {digest}, {kind}: {front}"
        ));
        Ok(Event { partition, offset: offset.min(u64::MAX - 1), record: stored.record })
    }
}

fn time_of(record: &Record) -> Option<i64> {
    let event = CloudEvent::from_record(record).ok()??;
    match event.attribute("time")? {
        Value::Timestamp(time) => Some(time.unix_millis()),
        _ => None,
    }
}

/// Octets of a line: the largest record that any flow takes, as base64.
const MAX_LINE: u64 = 96 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Lines {
        Lines::new("in", Box::new(std::io::Cursor::new(text.as_bytes().to_vec())), false)
    }

    fn event(id: u32, more: &str) -> String {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/s\",\"type\":\"t\"{more}}}\n"
        )
    }

    fn places(batch: &[Event]) -> Vec<(u32, u64)> {
        batch.iter().map(|event| (event.partition, event.offset)).collect()
    }

    #[test]
    fn batches_end_at_their_size_and_where_the_partition_changes() {
        let place = |p, n| format!(",\"flowpartition\":{p},\"flowoffset\":\"{n}\"");
        let text = [
            event(1, &place(1, 5)),
            event(2, &place(1, 7)),
            event(3, &place(0, 2)),
            "\n".into(),
            event(4, ""),
        ]
        .concat();
        let mut lines = lines(&text);
        assert_eq!(places(&lines.batch(9, 1000).unwrap()), [(1, 5), (1, 7)]);
        assert_eq!(places(&lines.batch(1, 1000).unwrap()), [(0, 2)]);
        assert_eq!(places(&lines.batch(9, 1000).unwrap()), [(0, 3)]);
        assert_eq!(places(&lines.batch(9, 1000).unwrap()), []);
    }

    #[test]
    fn an_event_larger_than_a_batch_comes_alone() {
        let large = event(2, &format!(",\"data\":\"{}\"", "x".repeat(500)));
        let mut lines = lines(&[event(1, ""), large, event(3, "")].concat());
        let sizes: Vec<_> = (0..4).map(|_| lines.batch(9, 200).unwrap().len()).collect();
        assert_eq!(sizes, [1, 1, 1, 0]);
    }

    #[test]
    fn the_clock_is_the_events_own_and_stands_where_there_is_none() {
        let mut lines =
            lines(&[event(1, ",\"time\":\"1970-01-01T00:00:02Z\""), event(2, "")].concat());
        let batch = lines.batch(9, 1000).unwrap();
        assert_eq!(
            batch.iter().map(|event| event.record.timestamp).collect::<Vec<_>>(),
            [2000, 2000]
        );
    }

    #[test]
    fn a_wrong_line_is_told_with_its_number() {
        let mut lines = lines(&(event(1, "") + "{}\n"));
        assert_eq!(lines.batch(1, 1000).unwrap().len(), 1);
        assert!(format!("{:#}", lines.batch(1, 1000).unwrap_err()).starts_with("in:2: "));
    }
}
