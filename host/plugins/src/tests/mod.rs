//! Real components in a real engine. The guest that does what it is told is in tests/guest.

mod bombs;
mod calls;
mod contract;
mod cost;
mod growth;
mod hostile;
mod lies;
mod load;
mod migrate;
mod neighbours;
mod probation;
mod reconfigure;
mod reload;
mod ticks;
mod traced;
mod usage;
mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use host_events::{Batch, CloudEvent, Incarnation, Record, Stored, Value};
use tempfile::TempDir;
use uuid::Uuid;

use crate::log::{LogLine, LogSink};
use crate::{CallError, Engine, EngineOptions, Instance, Limits, Plugin, Setup};

/// The guest's component, built once.
pub(crate) static GUEST: LazyLock<Bytes> = LazyLock::new(build_guest);

/// An engine and its cache, shared by tests that do not look at the cache.
static ENGINE: LazyLock<(Engine, TempDir)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new(&EngineOptions::new(dir.path().join("cache"))).unwrap();
    (engine, dir)
});

fn build_guest() -> Bytes {
    build("plugin-tests", &[])
}

/// Builds the guest in a directory of its own, with other settings than usual.
fn build(directory: &str, settings: &[&str]) -> Bytes {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    // A directory of its own: another cargo may hold the lock of the usual one.
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join(directory);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "-p", "test-guest", "--target", "wasm32-wasip2", "--profile", "guest"]);
    cargo.args(settings);
    // Flags of the native build (coverage, sanitizers) mean nothing to the guest.
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
    let built = cargo.current_dir(workspace).env("CARGO_TARGET_DIR", &target).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let file: PathBuf = target.join("wasm32-wasip2/guest/test_guest.wasm");
    std::fs::read(file).unwrap().into()
}

/// The same component with other bytes: a custom section is added.
pub(crate) fn noted(component: &[u8], note: &str) -> Bytes {
    let name = b"note";
    let mut bytes = component.to_vec();
    bytes.push(0);
    let mut length = 1 + name.len() + note.len();
    while length > 0x7f {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.extend([length as u8, name.len() as u8]);
    bytes.extend(name);
    bytes.extend(note.as_bytes());
    bytes.into()
}

pub(crate) fn engine() -> &'static Engine {
    &ENGINE.0
}

async fn plugin() -> Plugin {
    engine().load(GUEST.clone()).await.unwrap()
}

fn setup(config: &str) -> Setup {
    Setup { config: config.to_owned(), outputs: vec!["out".to_owned()], ..Setup::empty("p") }
}

async fn instance(setup: Setup) -> Instance {
    plugin().await.instantiate(setup).await.unwrap()
}

async fn acting(act: &str) -> Instance {
    instance(setup(&format!(r#"{{"act":"{act}"}}"#))).await
}

async fn limited(act: &str, times: u32, limits: Limits) -> Instance {
    let config = format!(r#"{{"act":"{act}","times":{times}}}"#);
    instance(Setup { limits, ..setup(&config) }).await
}

/// A batch of events with six attributes and data.
fn batch(len: usize, data: usize) -> Batch {
    let records: Arc<[Stored]> = (0..len)
        .map(|offset| Stored { offset: offset as u64, record: record(offset, data) })
        .collect();
    Batch { flow: Incarnation(Uuid::nil()), partition: 0, records, next: len as u64 }
}

fn record(number: usize, data: usize) -> Record {
    let mut event = CloudEvent::new(&number.to_string(), "/test", "measured").unwrap();
    event.set("subject", Value::String("a thing".to_owned())).unwrap();
    event.set("datacontenttype", Value::String("text/plain".to_owned())).unwrap();
    event.set_data(Some(vec![b'd'; data].into()));
    event.to_record(1_700_000_000_000)
}

async fn process(instance: &mut Instance, batch: Batch) -> Result<Vec<crate::Action>, CallError> {
    instance.process(0, &Arc::from("in"), batch).await
}

#[derive(Default)]
struct Kept(Mutex<Vec<LogLine>>);

impl LogSink for Kept {
    fn log(&self, line: LogLine) {
        self.0.lock().unwrap().push(line);
    }
}

impl Kept {
    fn messages(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|line| line.message.clone()).collect()
    }
}
