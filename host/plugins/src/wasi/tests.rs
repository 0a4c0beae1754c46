use super::*;
use crate::log::{LogLine, LogSink};

#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

impl LogSink for Kept {
    fn log(&self, line: LogLine) {
        self.0.lock().unwrap().push(line.message);
    }
}

fn wasi(seed: &[&[u8]]) -> Wasi {
    let gate = Gate::new(Arc::new(Kept::default()), 10);
    Wasi::new(&Arc::new(Mutex::new(gate)), seed)
}

fn printed() -> (Printed, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let gate = Gate::new(Arc::clone(&kept) as Arc<dyn LogSink>, 10);
    (Printed::new(Level::Warn, &Arc::new(Mutex::new(gate))), kept)
}

#[test]
fn random_numbers_follow_from_the_seed() {
    let numbers = |seed: &[&[u8]]| wasi(seed).random.bytes(100).unwrap();
    assert_eq!(numbers(&[b"p", b"0"]), numbers(&[b"p", b"0"]));
    assert_ne!(numbers(&[b"p", b"0"]), numbers(&[b"p0", b""]));
    assert!(wasi(&[]).random.bytes(MAX_RANDOM + 1).is_err());
}

#[test]
fn the_clock_stands_at_the_batch_and_only_sleeping_moves_it() {
    use clocks::monotonic_clock::Host as Monotonic;
    use clocks::wall_clock::Host as Wall;
    let mut wasi = wasi(&[]);
    wasi.begin(1_500, &[]);
    assert_eq!(Monotonic::now(&mut wasi).unwrap(), 1_500_000_000);
    wasi.subscribe_duration(7).unwrap();
    assert_eq!(Monotonic::now(&mut wasi).unwrap(), 1_500_000_007);
    assert_eq!(Wall::now(&mut wasi).unwrap().nanoseconds, 500_000_007);
    wasi.begin(-5, &[]);
    assert_eq!(Monotonic::now(&mut wasi).unwrap(), 1_500_000_007);
    assert_eq!(Wall::now(&mut wasi).unwrap().seconds, 0);
}

#[test]
fn what_is_printed_becomes_lines() {
    let (printed, kept) = printed();
    printed.lock().write(b"thread pani");
    printed.lock().write(b"cked\n\nat lib.rs\nopen");
    assert_eq!(*kept.0.lock().unwrap(), ["thread panicked", "at lib.rs"]);
}

#[test]
fn a_line_without_an_end_is_cut() {
    let (printed, kept) = printed();
    for _ in 0..100 {
        printed.lock().write(&[b'x'; 1_000]);
    }
    printed.lock().write(b"\n");
    assert_eq!(kept.0.lock().unwrap()[0].len(), MAX_LINE);
}

#[test]
fn handles_that_are_never_given_back_run_out() {
    use clocks::monotonic_clock::Host as _;
    let mut wasi = wasi(&[]);
    let leaked = (0..=MAX_RESOURCES).find(|_| wasi.subscribe_duration(1).is_err());
    assert!(leaked.is_some());
}
