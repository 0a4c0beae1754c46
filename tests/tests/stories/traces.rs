//! Traces: a collector that speaks OTLP gets a span of everything that happens to an event with a `traceparent`, and of
//! nothing else; the event stays as it was.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use stories::metrics::Metrics;
use stories::{Config, Fnaad, Following, PATIENCE, Wire, eventually, eventually_holds};
use tempfile::TempDir;

use crate::streams::anywhere;

const A: &str = "a.flows.unix.ar";
const B: &str = "b.flows.unix.ar";
const C: &str = "c.flows.unix.ar";

/// What takes spans, until the test ends.
struct Collector {
    address: String,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let requests = Arc::<Mutex<Vec<_>>>::default();
        let taken = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in socket.incoming() {
                let taken = Arc::clone(&taken);
                std::thread::spawn(move || take(stream.unwrap(), &taken));
            }
        });
        Self { address, requests }
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().unwrap();
        let scopes = requests.iter().flat_map(|request| &request.resource_spans);
        scopes.flat_map(|scope| &scope.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    fn eventually(&self, count: usize) -> Vec<Span> {
        eventually(&format!("{count} spans"), || match self.spans() {
            spans if spans.len() == count => Ok(spans),
            spans => Err(format!("{spans:?}")),
        })
    }

    /// The resource's attribute of this name.
    fn resource(&self, key: &str) -> String {
        let requests = self.requests.lock().unwrap();
        let resource = requests[0].resource_spans[0].resource.clone().unwrap();
        attribute(&resource.attributes, key)
    }
}

/// Requests on one connection, as long as they come.
fn take(mut stream: TcpStream, taken: &Mutex<Vec<ExportTraceServiceRequest>>) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        while let Some((head, body)) = split(&heard) {
            assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
            assert!(head.to_lowercase().contains("content-type: application/x-protobuf"), "{head}");
            let length = head.len() + 4 + body.len();
            taken.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
            heard.drain(..length);
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
        }
        match stream.read(&mut chunk) {
            Ok(count @ 1..) => heard.extend_from_slice(&chunk[..count]),
            _ => return,
        }
    }
}

/// The head and the body of the first request, once it is there.
fn split(heard: &[u8]) -> Option<(String, &[u8])> {
    let end = heard.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(heard[..end].to_vec()).unwrap();
    let lower = head.to_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let body = heard.get(end + 4..end + 4 + length.trim().parse::<usize>().unwrap())?;
    Some((head, body))
}

fn attribute(of: &[opentelemetry_proto::tonic::common::v1::KeyValue], key: &str) -> String {
    let found = of.iter().find(|attribute| attribute.key == key);
    match found.and_then(|found| found.value.clone()?.value) {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        other => panic!("{key} is {other:?} of {of:?}"),
    }
}

fn host(endpoint: &str, more: &str) -> (Wire, Fnaad, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path());
    config.text += "\n[observe]\nlisten = \"127.0.0.1:0\"\n";
    config.text += &format!("\n[traces]\nendpoint = \"http://{endpoint}/v1/traces\"\n{more}");
    let host = Fnaad::serve(dir.path(), config.save());
    let mut wire = host.login_as("test", "test");
    for flow in [A, B, C] {
        wire.ok(&format!("CREATE FLOW {flow}"));
    }
    (wire, host, dir)
}

fn parent(trace: u64, flags: &str) -> String {
    format!("00-{trace:032x}-00f067aa0ba902b7-{flags}")
}

fn event(id: &str, traceparent: &str) -> String {
    serde_json::json!({
        "specversion": "1.0", "id": id, "source": "/s", "type": "t", "traceparent": traceparent,
        "data": {"n": 1},
    })
    .to_string()
}

#[test]
fn an_event_leaves_a_span_at_every_step_and_is_left_as_it_is() {
    let collector = Collector::start();
    let (mut wire, host, _dir) = host(&collector.address, "");
    wire.ok(&format!("REPLICATE {A} {B} AS ab.flows.unix.ar"));
    wire.ok(&format!("REPLICATE {B} {C} AS bc.flows.unix.ar"));
    let traceparent = parent(0x4bf9_2f35, "01");
    assert_eq!(wire.write(A, &[event("1", &traceparent)]), "220 OK 1 events");
    eventually_holds(&mut wire, C, 1);
    assert_eq!(wire.read(C)[0]["traceparent"], *traceparent);
    collector.eventually(2);
    // Somebody follows the last flow: it leaves the host.
    let mut following = Following::begin(host.login_as("test", "test"));
    let stream = following.attach(C, &anywhere(), 64 << 10);
    following.attached(stream);
    let records = following.until(stream, 0, 1);
    let headers = &records[0].1.headers;
    let carried = headers.iter().find(|header| &*header.name == b"ce_traceparent").unwrap();
    assert_eq!(carried.value.as_deref(), Some(traceparent.as_bytes()));
    let spans = collector.eventually(3);
    let mut names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
    names.sort_unstable();
    assert_eq!(names, [format!("process {A}"), format!("process {B}"), format!("send {C}")]);
    for span in &spans {
        assert_eq!(span.trace_id, u128::from(0x4bf9_2f35_u32).to_be_bytes(), "{span:?}");
        assert_eq!(span.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes(), "{span:?}");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
        assert!(span.start_time_unix_nano > 0, "{span:?}");
        assert_eq!(attribute(&span.attributes, "messaging.system"), "fnaa");
        assert_eq!(attribute(&span.attributes, "messaging.batch.message_count"), "1");
        let took = span.name.starts_with("process ");
        let kind = if took { SpanKind::Consumer } else { SpanKind::Producer };
        assert_eq!(span.kind, kind as i32, "{span:?}");
    }
    let first = spans.iter().find(|span| span.name == format!("process {A}")).unwrap();
    for (key, fact) in [
        ("fnaa.processor", "ab.flows.unix.ar"),
        ("fnaa.processor.type", "bridge"),
        ("fnaa.outcome", "committed"),
        ("messaging.destination.name", A),
        ("fnaa.offset", "0"),
    ] {
        assert_eq!(attribute(&first.attributes, key), fact, "{first:?}");
    }
    assert_eq!(collector.resource("service.name"), "fnaad");
    assert_eq!(collector.resource("service.instance.id"), "fnaa.unix.ar");
}

#[test]
fn what_is_no_traceparent_or_not_to_be_recorded_leaves_nothing() {
    let collector = Collector::start();
    let (mut wire, host, _dir) = host(&collector.address, "sample = 0.5\n");
    wire.ok(&format!("REPLICATE {A} {B}"));
    let lines = [
        event("nonsense", &"00-".repeat(2_000)),
        event("zero", &parent(0, "01")),
        event("unsampled", &parent(1, "00")),
        // The lower half of its id is above the share that is sent.
        event("other half", &format!("00-{}-00f067aa0ba902b7-01", "f".repeat(32))),
        serde_json::json!({"specversion": "1.0", "id": "bare", "source": "/s", "type": "t"})
            .to_string(),
        event("sent", &parent(7, "01")),
        event("sent too", &parent(7, "01")),
    ];
    assert_eq!(wire.write(A, &lines), "220 OK 7 events");
    eventually_holds(&mut wire, B, 7);
    let spans = collector.eventually(1);
    assert_eq!(attribute(&spans[0].attributes, "messaging.batch.message_count"), "2");
    assert_eq!(attribute(&spans[0].attributes, "fnaa.offset"), "5");
    let metrics = Metrics::of(host.observe());
    metrics.is("fnaa_spans_total", 1.0).unwrap();
    metrics.is("fnaa_span_export_failures_total", 0.0).unwrap();
    let read = wire.read(B);
    assert_eq!(read[0]["traceparent"], "00-".repeat(2_000), "as it came");
}

#[test]
fn a_collector_that_is_away_is_told_of_and_holds_up_nothing() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (mut wire, host, _dir) = host(&away, "");
    wire.ok(&format!("REPLICATE {A} {B}"));
    let lines: Vec<String> =
        (0..400).map(|number| event(&number.to_string(), &parent(number + 1, "01"))).collect();
    for _ in 0..10 {
        wire.write(A, &lines);
    }
    eventually_holds(&mut wire, B, 4_000);
    eventually("a failure that is counted", || {
        let failures = Metrics::of(host.observe()).get("fnaa_span_export_failures_total");
        if failures > Some(0.0) { Ok(()) } else { Err(format!("{failures:?}")) }
    });
    assert_eq!(host.log().matches("traces cannot be sent").count(), 1);
    assert!(host.end().success());
}
