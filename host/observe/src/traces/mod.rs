//! Traces: what happens to events that carry a `traceparent`, as spans that are sent away by OTLP over HTTP.
//!
//! The extension attribute of an event names the span of whoever made it; it is left as it is, so every span here has
//! that one as its parent, on whichever host it is made. An event without one costs a look at its headers, and where
//! traces are off nothing is looked at. Nobody ever waits for whoever collects: what has no room in the queue is lost.
//! The only place that names opentelemetry.

mod parent;
mod send;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, TraceContextExt, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};

pub use parent::Parent;

use crate::text::{Exposition, Kind};

/// Parents of one batch that get a span of their own; events with further ones are not traced. A producer that traces
/// each of its events fills a batch with as many, and what is learnt from sixty-four is what there is to learn.
pub const MOST_PARENTS: usize = 64;

/// Spans that wait to be sent, about 1 KiB each. A collector that is away has the host lose what comes after them.
const QUEUE: usize = 2_048;

/// Spans of one request.
const AT_ONCE: usize = 512;

/// How long a span waits for others.
const DELAY: Duration = Duration::from_secs(1);

/// How long the end of the host waits for the last ones to be sent.
const LAST: Duration = Duration::from_secs(2);

/// Where spans go, and which.
#[derive(Clone, PartialEq)]
pub struct TraceOptions {
    /// The URL that takes them, as in `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// Share of the traces that is sent, 0 to 1; by the trace's id, so that all hosts choose the same.
    pub sample: f64,
    /// Authorities for an endpoint of https; the system's where it is absent.
    pub ca_file: Option<PathBuf>,
    /// The host's name.
    pub host: String,
}

impl fmt::Debug for TraceOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = host_http::shown(&self.endpoint);
        out.debug_struct("TraceOptions").field("endpoint", &endpoint).finish_non_exhaustive()
    }
}

/// Whether spans can be sent there. A user in it would be a secret that stands in the log.
///
/// # Errors
/// What it has to be.
pub fn check_endpoint(url: &str) -> Result<(), &'static str> {
    const WANTED: &str =
        "a URL of http or https without a user, as in http://127.0.0.1:4318/v1/traces";
    if host_http::is_bare(url) { Ok(()) } else { Err(WANTED) }
}

/// Where spans are made. Cloning shares it.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<On>>);

struct On {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// Half of a trace's id has to be below it.
    below: u64,
    made: AtomicU64,
    failures: Arc<AtomicU64>,
}

/// Events of one batch that have the same parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    parent: Parent,
    /// How many they are.
    pub count: u64,
    /// Offset of the first.
    pub first: u64,
}

/// What was done with them.
#[derive(Debug)]
pub struct Work<'a> {
    /// `process` or `send`; the span's name is this and the flow's.
    pub verb: &'static str,
    /// Whether events came in by it or went out.
    pub takes: bool,
    /// The flow.
    pub flow: &'a str,
    /// Its partition.
    pub partition: u32,
    /// When it began.
    pub began: SystemTime,
    /// What else there is to know.
    pub facts: &'a [(&'static str, &'a str)],
}

impl Traces {
    /// Starts sending.
    ///
    /// # Errors
    /// What is wrong with the options, in words.
    pub fn start(options: &TraceOptions) -> Result<Self, String> {
        let failures = Arc::<AtomicU64>::default();
        let exporter = send::exporter(options, Arc::clone(&failures))?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(AT_ONCE)
            .with_scheduled_delay(DELAY)
            .build();
        let resource = Resource::builder_empty()
            .with_service_name("fnaad")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", options.host.clone()))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(
                BatchSpanProcessor::builder(exporter).with_batch_config(batches).build(),
            )
            .with_resource(resource)
            // Which ones is decided before anything is made.
            .with_sampler(Sampler::AlwaysOn)
            .build();
        let tracer = provider.tracer("fnaad");
        let below = (options.sample.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64;
        Ok(Self(Some(Arc::new(On { provider, tracer, below, made: AtomicU64::new(0), failures }))))
    }

    /// Whether anything is traced at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Those events of a batch that are traced, by their parents. Each has its offset, and its `traceparent` as it
    /// stands there.
    pub fn marked<T: AsRef<[u8]>>(
        &self,
        events: impl Iterator<Item = (u64, Option<T>)>,
    ) -> Vec<Marked> {
        let mut marked: Vec<Marked> = Vec::new();
        let Some(on) = &self.0 else { return marked };
        for (first, text) in events {
            let parent = text.and_then(|text| Parent::parse(text.as_ref()));
            let Some(parent) = parent.filter(|parent| on.wants(*parent)) else { continue };
            // Events of one trace often come together.
            let full = marked.len() >= MOST_PARENTS;
            match marked.iter_mut().rev().find(|known| known.parent == parent) {
                Some(known) => known.count += 1,
                None if !full => {
                    marked.push(Marked { parent, count: 1, first });
                }
                None => {}
            }
        }
        marked
    }

    /// Makes the spans of work that is done now.
    pub fn done(&self, marked: &[Marked], work: &Work<'_>) {
        let Some(on) = &self.0 else { return };
        let now = SystemTime::now();
        for marked in marked {
            on.span(*marked, work, now);
        }
    }

    /// Sends what waits, for a short time. Blocks: not for an async thread.
    pub fn end(&self) {
        if let Some(on) = &self.0
            && let Err(error) = on.provider.shutdown_with_timeout(LAST)
        {
            tracing::info!(cause = %error, "the last traces were not sent");
        }
    }

    /// Writes how many there were.
    pub fn write(&self, page: &mut Exposition) {
        let count = |of: fn(&On) -> u64| self.0.as_deref().map_or(0, of);
        let help = "Spans that were made of events with a traceparent.";
        let made = count(|on| on.made.load(Ordering::Relaxed));
        page.single("fnaa_spans_total", Kind::Counter, help, made);
        let help = "Requests with spans that the collector did not take.";
        let failures = count(|on| on.failures.load(Ordering::Relaxed));
        page.single("fnaa_span_export_failures_total", Kind::Counter, help, failures);
    }
}

impl On {
    fn wants(&self, parent: Parent) -> bool {
        parent.is_sampled() && parent.half() >> 1 < self.below
    }

    fn span(&self, marked: Marked, work: &Work<'_>, now: SystemTime) {
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut attributes = vec![
            KeyValue::new("messaging.system", "fnaa"),
            KeyValue::new("messaging.operation.name", work.verb),
            KeyValue::new("messaging.operation.type", work.verb),
            KeyValue::new("messaging.destination.name", work.flow.to_owned()),
            KeyValue::new("messaging.destination.partition.id", work.partition.to_string()),
            KeyValue::new("messaging.batch.message_count", whole(marked.count)),
            KeyValue::new("fnaa.offset", whole(marked.first)),
        ];
        let facts = work.facts.iter();
        attributes.extend(facts.map(|(key, fact)| KeyValue::new(*key, (*fact).to_owned())));
        let kind = if work.takes { SpanKind::Consumer } else { SpanKind::Producer };
        let parent = Context::new().with_remote_span_context(marked.parent.context());
        let mut span = SpanBuilder::from_name(format!("{} {}", work.verb, work.flow))
            .with_kind(kind)
            .with_start_time(work.began)
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &parent);
        span.end_with_timestamp(now);
        self.made.fetch_add(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Traces").field(&self.is_on()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody listens there.
    fn traces(sample: f64) -> Traces {
        let endpoint = "http://127.0.0.1:9/v1/traces".to_owned();
        let host = "fnaa.test".to_owned();
        Traces::start(&TraceOptions { endpoint, sample, ca_file: None, host }).unwrap()
    }

    fn text(number: u64) -> String {
        format!("00-{number:032x}-00000000000000ff-01")
    }

    #[test]
    fn events_of_one_parent_are_one_and_a_batch_has_so_many_parents_and_no_more() {
        let many = (1..=1_000_u64).flat_map(|number| [number, number]);
        let events: Vec<_> = (0..).zip(many.map(|number| Some(text(number)))).collect();
        let marked = traces(1.0).marked(events.into_iter());
        assert_eq!(marked.len(), MOST_PARENTS);
        assert!(marked.iter().all(|marked| marked.count == 2));
        assert_eq!(marked.last().map(|marked| marked.first), Some(126));
    }

    #[test]
    fn what_nobody_wants_traced_is_not() {
        let one = || [(0, Some(text(1)))].into_iter();
        assert!(Traces::default().marked(one()).is_empty());
        assert!(traces(0.0).marked(one()).is_empty());
        let not_sampled = text(1).replace("-01", "-00");
        assert!(traces(1.0).marked([(0, Some(not_sampled))].into_iter()).is_empty());
        assert!(traces(1.0).marked([(0, None::<String>)].into_iter()).is_empty());
        // By the lower half of the trace's id, whatever the host.
        let low = format!("00-{:016x}{:016x}-00000000000000ff-01", 1, 1);
        let high = format!("00-{:016x}{:016x}-00000000000000ff-01", 1, u64::MAX);
        let half = traces(0.5).marked([(0, Some(low)), (1, Some(high))].into_iter());
        assert_eq!(half.iter().map(|marked| marked.first).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_collector_that_is_away_holds_nobody_up() {
        let traces = traces(1.0);
        let marked = traces.marked([(0, Some(text(1)))].into_iter());
        let began = SystemTime::now();
        let work =
            Work { verb: "process", takes: true, flow: "f.test", partition: 0, began, facts: &[] };
        for _ in 0..QUEUE * 50 {
            traces.done(&marked, &work);
        }
        let mut page = Exposition::default();
        traces.write(&mut page);
        let made = format!("fnaa_spans_total {}\n", QUEUE * 50);
        assert!(page.into_text().contains(&made));
    }
}
