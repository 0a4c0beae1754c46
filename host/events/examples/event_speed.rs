//! How long one event of 1 KiB takes in each direction: `cargo run --release --example event_speed`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for the terminal")]

use std::hint::black_box;
use std::time::Instant;

use host_events::{CloudEvent, EventRef, Stored, attribute_of, from_write_line, write_read_line};

fn main() {
    let text = "lorem ipsum dolor sit amet ".repeat(30);
    let data = format!(r#"{{"magnitude":5.1,"place":"here","tags":["a","b"],"text":"{text}"}}"#);
    let json = format!(
        r#"{{"specversion":"1.0","id":"uw61345682","source":"https://example.org/feed","type":"org.example.quake","time":"2021-12-10T17:31:00Z","partitionkey":"k","data":{data}}}"#
    );
    let record = from_write_line(json.as_bytes()).unwrap().into_record(0);
    let stored = Stored { offset: 123_456, record: record.clone() };
    let event = CloudEvent::from_json(json.as_bytes()).unwrap();
    let mut out = Vec::new();
    write_read_line(&stored, 0, &mut out);
    println!("json {} bytes, read line {} bytes", json.len(), out.len());
    time("from_json", || drop(black_box(CloudEvent::from_json(black_box(json.as_bytes())))));
    time("from_write_line + into_record", || {
        drop(black_box(from_write_line(black_box(json.as_bytes())).unwrap().into_record(0)));
    });
    time("write_json", || {
        out.clear();
        black_box(&event).write_json(&mut out);
    });
    time("write_read_line", || {
        out.clear();
        write_read_line(black_box(&stored), 0, &mut out);
    });
    time("EventRef::of", || drop(black_box(EventRef::of(black_box(&record)))));
    time("attribute_of", || drop(black_box(attribute_of(black_box(&record), "type"))));
    time("from_record", || drop(black_box(CloudEvent::from_record(black_box(&record)))));
}

fn time(what: &str, mut run: impl FnMut()) {
    const ROUNDS: u32 = 300_000;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        run();
    }
    println!("{what:32} {:6.0} ns", start.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
}
