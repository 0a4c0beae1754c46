//! Spans of what became of events that carry a `traceparent`: from when the plugin got them to the commit.
//!
//! Where traces are off nothing is looked at. What a commit that failed would have done leaves no span.

use std::sync::Arc;
use std::time::SystemTime;

use host_events::{Batch, text_of};
use host_observe::traces::{Marked, Traces, Work};

use crate::spec::Spec;

/// The attribute of CloudEvents' extension for distributed tracing.
const TRACEPARENT: &str = "traceparent";

/// Traced events of one batch that wait for their commit.
#[derive(Debug)]
pub(crate) struct Traced {
    marked: Vec<Marked>,
    flow: Arc<str>,
    partition: u32,
    began: SystemTime,
    outcome: &'static str,
}

impl Traced {
    /// Those of a batch; none where there are none.
    pub(crate) fn of(
        traces: &Traces,
        (flow, batch): (&Arc<str>, &Batch),
        began: SystemTime,
        outcome: &'static str,
    ) -> Option<Self> {
        if !traces.is_on() {
            return None;
        }
        let events = batch.records.iter();
        let events = events.map(|stored| (stored.offset, text_of(&stored.record, TRACEPARENT)));
        let marked = traces.marked(events);
        let (flow, partition) = (Arc::clone(flow), batch.partition);
        (!marked.is_empty()).then_some(Self { marked, flow, partition, began, outcome })
    }

    /// They are committed.
    pub(crate) fn done(&self, traces: &Traces, spec: &Spec) {
        let facts = [
            ("fnaa.processor", &*spec.name),
            ("fnaa.processor.type", spec.kind.as_str()),
            ("fnaa.outcome", self.outcome),
        ];
        let Self { marked, flow, partition, began, .. } = self;
        let (partition, began) = (*partition, *began);
        let work = Work { verb: "process", takes: true, flow, partition, began, facts: &facts };
        traces.done(marked, &work);
    }
}
