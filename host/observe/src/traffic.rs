//! What goes through the host's door: connections, commands, events in and out.

use crate::commands::Commands;
use crate::counts::{Counter, Gauge};
use crate::text::{Exposition, Kind};
use crate::traces::Traces;

/// Counts of all connections together. Names of peers and users are never kept.
#[derive(Debug)]
pub struct Traffic {
    /// Connections that are open.
    pub connections_open: Gauge,
    /// Connections that were accepted.
    pub connections: Counter,
    /// Connections over the limit, refused.
    pub connections_refused: Counter,
    /// TLS handshakes that failed.
    pub handshake_failures: Counter,
    /// Right passwords.
    pub authentications: Counter,
    /// Wrong ones.
    pub authentication_failures: Counter,
    /// Commands by verb.
    pub commands: Commands,
    /// Events that WRITE took.
    pub events_written: Counter,
    /// Octets of their JSON lines.
    pub bytes_written: Counter,
    /// Events that READ gave.
    pub events_read: Counter,
    /// Octets of their JSON lines.
    pub bytes_read: Counter,
    /// Streams that other hosts follow.
    pub streams_open: Gauge,
    /// Events that were sent there.
    pub stream_events: Counter,
    /// Octets of them as they were sent.
    pub stream_bytes: Counter,
    /// Spans of them.
    pub traces: Traces,
}

impl Traffic {
    /// Counts by these verbs, see [`Commands::new`].
    #[must_use]
    pub fn new(syntax: &[&str]) -> Self {
        Self {
            connections_open: Gauge::default(),
            connections: Counter::default(),
            connections_refused: Counter::default(),
            handshake_failures: Counter::default(),
            authentications: Counter::default(),
            authentication_failures: Counter::default(),
            commands: Commands::new(syntax),
            events_written: Counter::default(),
            bytes_written: Counter::default(),
            events_read: Counter::default(),
            bytes_read: Counter::default(),
            streams_open: Gauge::default(),
            stream_events: Counter::default(),
            stream_bytes: Counter::default(),
            traces: Traces::default(),
        }
    }

    /// The same, and spans go there.
    #[must_use]
    pub fn with_traces(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Writes all of it.
    pub fn write(&self, page: &mut Exposition) {
        let open = "Connections of clients that are open.";
        page.single("fnaa_connections_open", Kind::Gauge, open, &self.connections_open);
        let streams = "Streams of flows that other hosts follow.";
        page.single("fnaa_streams_open", Kind::Gauge, streams, &self.streams_open);
        let counters = [
            ("fnaa_connections_total", "Connections of clients accepted.", &self.connections),
            (
                "fnaa_connections_refused_total",
                "Connections refused because there were too many.",
                &self.connections_refused,
            ),
            (
                "fnaa_tls_handshake_failures_total",
                "TLS handshakes of clients that failed.",
                &self.handshake_failures,
            ),
            (
                "fnaa_authentications_total",
                "Authentications that went well.",
                &self.authentications,
            ),
            (
                "fnaa_authentication_failures_total",
                "Authentications with a wrong user or password.",
                &self.authentication_failures,
            ),
            (
                "fnaa_write_events_total",
                "Events that WRITE took and made safe.",
                &self.events_written,
            ),
            (
                "fnaa_write_bytes_total",
                "Octets of the events that WRITE took.",
                &self.bytes_written,
            ),
            ("fnaa_read_events_total", "Events that READ gave.", &self.events_read),
            ("fnaa_read_bytes_total", "Octets of the events that READ gave.", &self.bytes_read),
            ("fnaa_stream_events_total", "Events sent on streams.", &self.stream_events),
            (
                "fnaa_stream_bytes_total",
                "Octets of the events sent on streams, as they were sent.",
                &self.stream_bytes,
            ),
        ];
        for (name, help, counter) in counters {
            page.single(name, Kind::Counter, help, counter);
        }
        self.commands.write(page);
        self.traces.write(page);
    }
}
