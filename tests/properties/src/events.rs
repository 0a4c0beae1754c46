//! Events as lines of WRITE and as records of a broker: whatever is taken is given back on one line, as
//! the same event.

use bytes::Bytes;
use host_events::{EventRef, Headers, Record, Stored, from_write_line, write_read_line};
use serde_json::value::RawValue;

use crate::input::Input;

/// A line of WRITE.
pub fn json(data: &[u8]) {
    let Ok(line) = from_write_line(data) else { return };
    // Line ends between tokens become blanks where others are written on one line.
    let one_line = !data.contains(&b'\r') && !data.contains(&b'\n');
    let record = line.into_record(0);
    let read = read_line(&record);
    let again = from_write_line(&read).expect("what was written can be read and written again");
    let again = again.into_record(0);
    assert!(again == record || !one_line, "{}", String::from_utf8_lossy(&read));
    assert_eq!(read_line(&again), read);
}

/// A record as it lies on a broker: so many bytes of headers as the first control says, then the value.
pub fn kafka(data: &[u8]) {
    let input = Input::of(data);
    let length = usize::from(input.choice(0)).min(input.payload.len());
    let (headers, value) = input.payload.split_at(length);
    let Ok(headers) = Headers::decode(Bytes::copy_from_slice(headers)) else { return };
    assert!(headers.iter().all(|(name, value)| headers.get(name).is_some() || value.is_none()));
    let some = |bytes: &[u8]| Some(Bytes::copy_from_slice(bytes));
    let (key, value) = match input.choice(1) % 4 {
        0 => (None, some(value)),
        1 => (some(b"k"), some(value)),
        2 => (some(value), None),
        _ => (None, None),
    };
    let record = Record { key, value, headers, timestamp: 0 };
    let is_event = matches!(EventRef::of(&record), Ok(Some(_)));
    let read = read_line(&record);
    match from_write_line(&read) {
        Ok(line) if is_event => {
            let copy = line.into_record(0);
            let line = from_write_line(&read_line(&copy)).expect("a copy of an event is one");
            assert_eq!(line.into_record(0), copy);
        }
        Ok(line) => {
            let copy = line.into_record(0);
            assert_eq!((&copy.key, &copy.value), (&record.key, &record.value));
            // Lengths may be written in several ways, so their bytes need not be the same.
            assert!(copy.headers.iter().eq(record.headers.iter()));
        }
        // An empty partition key means nothing to WRITE.
        Err(error) => assert!(is_event, "{error}: {}", String::from_utf8_lossy(&read)),
    }
}

fn read_line(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    write_read_line(&Stored { offset: 7, record: record.clone() }, 3, &mut out);
    assert!(!out.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    let text = std::str::from_utf8(&out).expect("text");
    serde_json::from_str::<&RawValue>(text).expect("json");
    out
}
