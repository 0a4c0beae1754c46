//! Compares two answers about a batch, and shows what differs side by side.

use host_events::{Batch, CloudEvent, Record};

use super::answer::{Effect, Effects, New};
use super::report::{Difference, ShadowReport};

/// Longest text of one side of an example: it is one line of an answer to a command.
const SIDE_BYTES: usize = 600;

/// Longest piece of an event's data that is shown, around the first octet that differs.
const DATA_BYTES: usize = 160;
/// How much of what is the same is shown before it.
const DATA_BEFORE: usize = 24;

/// Where a batch comes from and goes.
pub(super) struct Scene<'a> {
    pub(super) flow: &'a str,
    pub(super) batch: &'a Batch,
    pub(super) outputs: &'a [String],
}

/// Adds to a report how two answers compare.
pub(super) fn compare(
    scene: &Scene<'_>,
    counts: &Effects,
    shadow: &Effects,
    into: &mut ShadowReport,
) {
    let before = into.differ + into.emitted_differ;
    let pairs = counts.by_event.iter().zip(&shadow.by_event);
    for (index, (counts, shadow)) in pairs.enumerate() {
        if counts == shadow {
            into.agree += 1;
            continue;
        }
        into.differ += 1;
        into.show(|| example(scene, index, counts, shadow));
    }
    let longer = counts.new.len().max(shadow.new.len());
    for index in 0..longer {
        let (counts, shadow) = (counts.new.get(index), shadow.new.get(index));
        if counts == shadow {
            into.emitted_agree += 1;
            continue;
        }
        into.emitted_differ += 1;
        into.show(|| new_example(scene, counts, shadow));
    }
    if counts.failed != shadow.failed {
        into.emitted_differ += 1;
        into.show(|| failed_example(scene, counts, shadow));
    }
    if before == into.differ + into.emitted_differ && !counts.same_order(shadow) {
        reordered(scene, into);
    }
}

/// Each event is treated alike, but they come out in another order.
fn reordered(scene: &Scene<'_>, into: &mut ShadowReport) {
    let events = scene.batch.records.len() as u64;
    into.agree = into.agree.saturating_sub(events);
    into.differ += events;
    into.show(|| Difference {
        event: place(scene, 0),
        counts: format!("{events} events in one order"),
        shadow: "the same in another order".to_owned(),
    });
}

fn example(scene: &Scene<'_>, index: usize, counts: &[Effect], shadow: &[Effect]) -> Difference {
    let side = |these: &[Effect], those: &[Effect]| match these {
        [] => "drop".to_owned(),
        _ => {
            let words = these.iter().enumerate().map(|(number, effect)| {
                let other = those.get(number).and_then(record_of);
                effect_words(scene, effect, other)
            });
            cut(&words.collect::<Vec<_>>().join(", "))
        }
    };
    Difference {
        event: place(scene, index),
        counts: side(counts, shadow),
        shadow: side(shadow, counts),
    }
}

fn new_example(scene: &Scene<'_>, counts: Option<&New>, shadow: Option<&New>) -> Difference {
    let side = |this: Option<&New>, that: Option<&New>| match this {
        None => "nothing".to_owned(),
        Some(New { output, key, record }) => {
            let name = output_name(scene, *output);
            let other_key = key.as_ref() != that.and_then(|that| that.key.as_ref());
            let key = key.as_deref().filter(|_| other_key).map(String::from_utf8_lossy);
            let key = key.map_or_else(String::new, |key| format!(" with the key {key:?}"));
            let words = record_words(record, that.map(|that| &that.record));
            cut(&format!("new event to {name}{key}{words}"))
        }
    };
    Difference {
        event: place(scene, 0),
        counts: side(counts, shadow),
        shadow: side(shadow, counts),
    }
}

fn failed_example(scene: &Scene<'_>, counts: &Effects, shadow: &Effects) -> Difference {
    let side = |side: &Effects| match &side.failed {
        Some(failed) => cut(&format!("failed: {}", failed.0)),
        None => format!("{} new events", side.new.len()),
    };
    Difference { event: place(scene, 0), counts: side(counts), shadow: side(shadow) }
}

fn record_of(effect: &Effect) -> Option<&Record> {
    match effect {
        Effect::Change { record, .. } => Some(record),
        Effect::Forward { .. } | Effect::Letter { .. } | Effect::Failed(_) => None,
    }
}

fn effect_words(scene: &Scene<'_>, effect: &Effect, other: Option<&Record>) -> String {
    match effect {
        Effect::Forward { output } => format!("forward to {}", output_name(scene, *output)),
        Effect::Change { output, record } => {
            let key = other_key(record, other);
            let words = record_words(record, other);
            format!("change to {}{key}{words}", output_name(scene, *output))
        }
        Effect::Letter { reason } => format!("dead letter: {reason}"),
        Effect::Failed(failed) => format!("failed: {}", failed.0),
    }
}

/// The key, where another record has another one.
fn other_key(record: &Record, other: Option<&Record>) -> String {
    let differs = other.is_some_and(|other| other.key != record.key);
    match record.key.as_deref() {
        _ if !differs => String::new(),
        Some(key) => format!(" with the key {:?}", String::from_utf8_lossy(key)),
        None => " without a key".to_owned(),
    }
}

/// What of an event differs from another one; all of it where there is none.
fn record_words(record: &Record, other: Option<&Record>) -> String {
    let event = |record: &Record| CloudEvent::from_record(record).ok().flatten();
    let (Some(this), other) = (event(record), other.and_then(event)) else {
        return format!(" {} octets", record.size());
    };
    let that = |name: &str| other.as_ref().and_then(|other| other.attribute(name));
    let changed = this.attributes().filter(|(name, value)| that(name) != Some(*value));
    let mut words: String =
        changed.map(|(name, value)| format!(" {name}={}", value.canonical())).collect();
    let before = other.iter().flat_map(CloudEvent::attributes);
    let gone = before.filter(|(name, _)| this.attribute(name).is_none());
    words.extend(gone.map(|(name, _)| format!(" without {name}")));
    let (data, before) = (this.data(), other.as_ref().and_then(CloudEvent::data));
    if data != before || other.is_none() {
        words.push_str(&data_words(data.map(AsRef::as_ref), before.map(AsRef::as_ref)));
    }
    words
}

fn data_words(data: Option<&[u8]>, other: Option<&[u8]>) -> String {
    let Some(data) = data else { return " without data".to_owned() };
    let other = other.unwrap_or_default();
    let same = data.iter().zip(other).take_while(|(this, that)| this == that).count();
    let from = same.saturating_sub(DATA_BEFORE);
    let shown = data.iter().skip(from).take(DATA_BYTES).copied().collect::<Vec<u8>>();
    let before = if from > 0 { "…" } else { "" };
    let after = if from + shown.len() < data.len() { "…" } else { "" };
    format!(" data={before}{}{after}", String::from_utf8_lossy(&shown))
}

fn output_name<'a>(scene: &'a Scene<'_>, output: u32) -> &'a str {
    scene.outputs.get(output as usize).map_or("?", String::as_str)
}

fn place(scene: &Scene<'_>, index: usize) -> String {
    let offset = scene.batch.records.get(index).map_or(scene.batch.next, |stored| stored.offset);
    format!("{}:{}:{offset}", scene.flow, scene.batch.partition)
}

/// Control characters come from plugins and from events; an answer is a line.
fn cut(words: &str) -> String {
    let plain = words.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short = String::new();
    for c in plain {
        if short.len() + c.len_utf8() > SIDE_BYTES {
            short.push('…');
            break;
        }
        short.push(c);
    }
    short
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use host_events::Incarnation;

    use super::*;

    #[test]
    fn where_only_the_key_differs_it_is_shown() {
        let flow = Incarnation(uuid::Uuid::nil());
        let batch = Batch { flow, partition: 0, records: [].into(), next: 7 };
        let outputs = ["b.a".to_owned()];
        let scene = Scene { flow: "a.a", batch: &batch, outputs: &outputs };
        let with = |key: Option<&'static str>| {
            let record = Record { key: key.map(Bytes::from), ..Record::default() };
            [Effect::Change { output: 0, record }]
        };
        let shown = example(&scene, 0, &with(Some("k")), &with(Some("l")));
        assert!(shown.counts.starts_with("change to b.a with the key \"k\""), "{shown:?}");
        assert!(shown.shadow.starts_with("change to b.a with the key \"l\""), "{shown:?}");
        let shown = example(&scene, 0, &with(Some("k")), &with(None));
        assert!(shown.shadow.starts_with("change to b.a without a key"), "{shown:?}");
        let shown = example(&scene, 0, &with(Some("k")), &[]);
        assert!(!shown.counts.contains("key"), "{shown:?}");
    }
}
