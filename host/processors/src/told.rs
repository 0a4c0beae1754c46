//! What the host tells of by itself in the dead-letter flow: gaps in inputs, and ticks that a broker refused. There is nothing in
//! them to replay.

use host_events::clock::now;
use host_events::{CloudEvent, Invalid, Record, Value};

use crate::dead::{Kind, one_line, time_of};

/// A gap in an input, as an event for the dead-letter flow.
pub(crate) fn gap(processor: &str, flow: &str, partition: u32, data: &serde_json::Value) -> Record {
    let words = data.get("words").and_then(serde_json::Value::as_str).unwrap_or_default();
    let mut told = Told::new(GAP_TYPE, processor, "gap", words);
    told.set("subject", format!("flow://{flow}"));
    told.set("deadflow", flow.to_owned());
    told.set("deadpartition", partition.to_string());
    told.record(data)
}

/// A tick whose outputs a broker refused, as an event for the dead-letter flow.
pub(crate) fn tick(processor: &str, shard: u32, at: i64, cause: &str) -> Record {
    let told = Told::new(TICK_TYPE, processor, Kind::Broker.word(), cause);
    told.record(
        &serde_json::json!({ "shard": shard, "time": time_of(at), "words": one_line(cause) }),
    )
}

/// An event of the host's own.
struct Told {
    event: Result<CloudEvent, Invalid>,
    now: i64,
}

impl Told {
    fn new(kind: &str, processor: &str, dead: &str, words: &str) -> Self {
        let (id, now) = (uuid::Uuid::new_v4().to_string(), now());
        let event = CloudEvent::new(&id, &format!("flow://{processor}"), kind);
        let mut told = Self { event, now };
        told.set("datacontenttype", "application/json".to_owned());
        told.set("deadprocessor", processor.to_owned());
        told.set("deadkind", dead.to_owned());
        told.set("deadreason", one_line(words));
        told.set("deadtime", time_of(now));
        told
    }

    fn set(&mut self, name: &str, value: String) {
        if let Ok(event) = &mut self.event
            && let Err(error) = event.set(name, Value::String(value))
        {
            self.event = Err(error);
        }
    }

    fn record(self, data: &serde_json::Value) -> Record {
        let event = self.event.map(|mut event| {
            event.set_data(Some(data.to_string().into()));
            event
        });
        // The names are the registry's: they are within every rule of an attribute.
        event.map(|event| event.to_record(self.now)).unwrap_or_default()
    }
}

/// Type of the event that stands for a gap.
const GAP_TYPE: &str = "flow.processor.gap";

/// Type of the event that stands for a tick that was refused.
const TICK_TYPE: &str = "flow.processor.tick";
