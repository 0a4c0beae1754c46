//! Events that are written to hosts, each with the time at which it was made and noise.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use stories::Wire;

/// How many events of which size.
#[derive(Clone, Copy)]
pub struct Load {
    /// How many.
    pub events: u64,
    /// Octets of each one's data.
    pub octets: usize,
}

/// Events of one WRITE: the most that go into it.
const AT_ONCE: u64 = 512;
/// Connections that write side by side.
const WRITERS: usize = 4;
/// Octets of noise that events are cut out of.
const NOISE: usize = 1 << 20;

/// Writes all of them, as fast as a few connections can.
pub fn write(login: impl Fn() -> Wire + Sync, flow: &str, load: Load) {
    let noise = noise(NOISE);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let mut wire = login();
                loop {
                    let from = next.fetch_add(AT_ONCE, Ordering::Relaxed);
                    let to = load.events.min(from + AT_ONCE);
                    if from >= to {
                        return;
                    }
                    let lines: Vec<String> =
                        (from..to).map(|number| line(number, &noise, load.octets)).collect();
                    let answer = wire.write(flow, &lines);
                    assert!(answer.starts_with("220 "), "{answer}");
                }
            });
        }
    });
}

/// An event as a line: its number, the time, and noise.
pub fn line(number: u64, noise: &str, octets: usize) -> String {
    let from = (number as usize).wrapping_mul(octets + 1) % (noise.len() - octets);
    let data = &noise[from..from + octets];
    format!(
        r#"{{"specversion":"1.0","id":"{number}","source":"/bench","type":"measured","partitionkey":"{}","made":"{}","datacontenttype":"text/plain","data":"{data}"}}"#,
        number % 64,
        now()
    )
}

/// Microseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

/// Text that nothing makes much smaller.
pub fn noise(octets: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + (state >> 58) as u8)
    };
    (0..octets).map(letter).map(|letter| if letter == '\\' { 'z' } else { letter }).collect()
}
