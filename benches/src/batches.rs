//! Batches and instances as the measurements of the boundary and of neighbours use them.

use std::sync::Arc;

use bytes::Bytes;
use host_events::{Batch, CloudEvent, Incarnation, Record, Stored, Value};
use host_plugins::{Action, Engine, EngineOptions, Instance, Limits, Plugin, Setup};
use tempfile::TempDir;
use uuid::Uuid;

/// The plugin that does what it is told, in an engine of its own.
pub struct Bench {
    plugin: Plugin,
    _cache: TempDir,
}

impl Bench {
    /// Compiles the plugin.
    pub async fn new() -> Self {
        Self::of(Bytes::from_static(stories::guest())).await
    }

    /// The same with another plugin that does what it is told.
    pub async fn of(component: Bytes) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let engine = Engine::new(&EngineOptions::new(cache.path().join("cache"))).unwrap();
        let plugin = engine.load(component).await.unwrap();
        Self { plugin, _cache: cache }
    }

    /// An instance that does one thing with every batch.
    pub async fn acting(&self, act: &str, limits: Limits) -> Instance {
        let setup = Setup {
            config: format!(r#"{{"act":"{act}"}}"#),
            outputs: vec!["out".to_owned()],
            limits,
            ..Setup::empty("p")
        };
        self.plugin.instantiate(setup).await.unwrap()
    }
}

/// Hands a batch over.
pub async fn process(instance: &mut Instance, batch: Batch) -> Vec<Action> {
    instance.process(0, &Arc::from("in"), batch).await.unwrap()
}

/// Events with six attributes and so many bytes of data.
pub fn batch(len: usize, data: usize) -> Batch {
    let stored = |number| Stored { offset: number as u64, record: record(number, data) };
    let records: Arc<[Stored]> = (0..len).map(stored).collect();
    Batch { flow: Incarnation(Uuid::nil()), partition: 0, records, next: len as u64 }
}

fn record(number: usize, data: usize) -> Record {
    let mut event = CloudEvent::new(&number.to_string(), "/bench", "measured").unwrap();
    event.set("subject", Value::String("a thing".to_owned())).unwrap();
    event.set("datacontenttype", Value::String("text/plain".to_owned())).unwrap();
    event.set_data(Some(vec![b'd'; data].into()));
    event.to_record(1_700_000_000_000)
}
