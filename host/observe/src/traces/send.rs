//! Sends spans by HTTP, from the thread that gathers them.
//!
//! Follows no redirection, reads a bounded answer in a bounded time. That a collector is away is said once a minute.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use host_http::{TIMEOUT, shown};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};

use super::TraceOptions;

/// Octets of an answer: it says how many spans were refused.
const MAX_ANSWER: u64 = 64 * 1024;

/// Between two lines of the log about a collector that does not take what is sent.
const REMIND: Duration = Duration::from_secs(60);

/// What makes requests of spans.
pub(super) fn exporter(
    options: &TraceOptions,
    failures: Arc<AtomicU64>,
) -> Result<SpanExporter, String> {
    let endpoint = options.endpoint.clone();
    let http = host_http::Client::new(options.ca_file.as_deref())?;
    let client = Client { http, endpoint: shown(&endpoint), failures, told: Mutex::default() };
    let built = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(endpoint)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(TIMEOUT)
        // The next spans are waiting.
        .with_retry_policy(RetryPolicy::default().with_max_retries(1))
        .build();
    built.map_err(|error| error.to_string())
}

struct Client {
    http: host_http::Client,
    /// As the log may hold it.
    endpoint: String,
    failures: Arc<AtomicU64>,
    told: Mutex<Option<Instant>>,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // It is polled by a thread that does nothing else.
        let answer = self.post(request);
        match &answer {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => self.failed(&format!("status {}", answer.status().as_u16())),
            Err(error) => self.failed(&error.to_string()),
        }
        answer
    }
}

impl Client {
    fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.http.send(request.map(|body| body.to_vec()), MAX_ANSWER)?;
        Ok(answer.map(Bytes::from))
    }

    fn failed(&self, cause: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= REMIND) {
            *told = Some(Instant::now());
            tracing::warn!(endpoint = self.endpoint, cause, "traces cannot be sent");
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
