//! The page of metrics. Labels are names that the operator and his users gave, never what a peer sends;
//! one look at each thing, no lock is held from one to the next.

use std::time::Duration;

use host_brokers::TopicInfo;
use host_observe::{Exposition, Kind, process};
use host_plugins::Snapshot;
use host_processors::{Lag, Phase, Report, ShardReport};
use host_registry::{Desired, Flow, Processor};

use super::{Stage, Up, brokers, series, subscriptions};

/// Words for a processor's state; `unknown` while it is being changed.
const STATES: [&str; 6] = ["starting", "running", "paused", "stopped", "failed", "unknown"];

/// Processors or flows after which other tasks get a turn.
const TURN: usize = 128;

pub(super) async fn page(stage: &Stage) -> String {
    let mut page = Exposition::default();
    let help = "The host's version.";
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    page.family("fnaa_build_info", Kind::Gauge, help).sample(&version, 1_u64);
    process::write(&mut page);
    let (ready, up) = match stage {
        Stage::Up(up) => (true, Some(up)),
        Stage::Draining(up) => (false, Some(up)),
        Stage::Starting | Stage::Ended => (false, None),
    };
    let help = "1 while the host accepts work: neither starting nor shutting down.";
    page.single("fnaa_accepting", Kind::Gauge, help, ready);
    if let Some(up) = up {
        running(&mut page, up).await;
    }
    page.into_text()
}

async fn running(page: &mut Exposition, up: &Up) {
    up.services.traffic.write(page);
    if let Some(tls) = &up.tls {
        let help = "Seconds until the certificate that is shown expires; below 0 once it has.";
        page.single("fnaa_certificate_expires_seconds", Kind::Gauge, help, tls.expires_in() as f64);
    }
    brokers::write(page, &up.brokers);
    plugins(page, &up.services.catalog.snapshot());
    let kept = up.services.registry.kept_plugins().await.unwrap_or_default();
    let help = "Versions of processor types whose bytes are kept.";
    page.single("fnaa_plugin_versions_kept", Kind::Gauge, help, kept.versions);
    let help = "Bytes of them.";
    page.single("fnaa_plugin_versions_kept_bytes", Kind::Gauge, help, kept.bytes);
    let help = "Time that events of a shard waited while another version of its plugin took over.";
    let mut family = page.family("fnaa_plugin_swap_pause_seconds", Kind::Histogram, help);
    family.histogram(&[], up.services.processors.swaps());
    let pending = up.services.registry.pending().len() as u64;
    let help = "Changes that were decided and are not carried out yet.";
    page.single("fnaa_changes_pending", Kind::Gauge, help, pending);
    let (looks, without) = looks(up).await;
    processors(page, &looks).await;
    let mut flows = up.services.registry.flows(None).await.unwrap_or_default();
    let age = |flow: &Flow| (flow.created_at, flow.name.clone());
    let omitted = series::oldest(&mut flows, series::MOST_FLOWS, age);
    let infos = up.services.look_at_flows(&flows).await;
    self::flows(page, &flows, &infos).await;
    let mut left_out = vec![("processor", without), ("flow", omitted)];
    left_out.extend(subscriptions::write(page, up, &flows, &infos).await);
    series::write(page, &left_out);
}

fn plugins(page: &mut Exposition, snapshot: &Snapshot) {
    let help = "The version of a processor type that runs.";
    let mut family = page.family("fnaa_plugin_info", Kind::Gauge, help);
    for (kind, active) in &snapshot.types {
        let (version, digest) = (&active.plugin.info().version, active.plugin.digest());
        family.sample(&[("type", kind), ("version", version), ("digest", digest)], 1_u64);
    }
    let help = "How many versions of a processor type there have been.";
    let mut family = page.family("fnaa_plugin_generation", Kind::Gauge, help);
    for (kind, active) in &snapshot.types {
        family.sample(&[("type", kind)], active.generation);
    }
    let help =
        "1 when the newest file of a processor type runs; 0 when it is gone or was rejected.";
    let mut family = page.family("fnaa_plugin_healthy", Kind::Gauge, help);
    for (kind, active) in &snapshot.types {
        let rejected = snapshot.rejected.contains_key(&format!("{kind}.wasm"));
        family.sample(&[("type", kind)], active.available && !rejected);
    }
    let help = "Files in the plugin directory that were rejected.";
    let rejected = snapshot.rejected.len() as u64;
    page.single("fnaa_plugin_files_rejected", Kind::Gauge, help, rejected);
}

/// One look at one processor.
struct Look {
    processor: Processor,
    report: Option<Report>,
    lag: Lag,
}

impl Look {
    fn labels(&self) -> [(&'static str, &str); 2] {
        [("processor", self.processor.name.as_str()), ("type", &self.processor.kind)]
    }

    fn shards(&self) -> &[ShardReport] {
        self.report.as_ref().map_or(&[], |report| &report.shards)
    }

    fn total(&self, of: fn(&ShardReport) -> u64) -> u64 {
        self.shards().iter().map(of).sum()
    }
}

/// Those with series of their own, and how many have none.
async fn looks(up: &Up) -> (Vec<Look>, u64) {
    let mut processors = up.services.registry.processors().await.unwrap_or_default();
    processors.retain(|processor| processor.desired != Desired::Deleted);
    let age = |processor: &Processor| (processor.created_at, processor.name.clone());
    let omitted = series::oldest(&mut processors, series::MOST_PROCESSORS, age);
    let mut looks = Vec::with_capacity(processors.len());
    for processor in processors {
        let report = up.services.processors.report(processor.id).await;
        let lag = up.services.processors.lag(processor.id);
        looks.push(Look { processor, report, lag });
        turn(looks.len()).await;
    }
    (looks, omitted)
}

/// Name and help of a counter, and what is added up over the shards.
type Total = (&'static str, &'static str, fn(&ShardReport) -> u64);

async fn processors(page: &mut Exposition, looks: &[Look]) {
    states(page, looks);
    let counters: [Total; 13] = [
        ("fnaa_processor_events_in_total", "Events taken in and committed.", |shard| {
            shard.events_in
        }),
        ("fnaa_processor_events_out_total", "Events committed to outputs.", |shard| {
            shard.events_out
        }),
        ("fnaa_processor_dead_letters_total", "Events that became dead letters.", |shard| {
            shard.dead_letters
        }),
        (
            "fnaa_processor_bytes_in_total",
            "Octets of keys, values and headers of the events taken in and committed.",
            |shard| shard.bytes_in,
        ),
        (
            "fnaa_processor_bytes_out_total",
            "Octets of keys, values and headers of what was committed, dead letters included.",
            |shard| shard.bytes_out,
        ),
        ("fnaa_processor_calls_total", "Calls into plugin instances.", |shard| shard.used.calls),
        ("fnaa_processor_traps_total", "Calls that ended in a trap.", |shard| shard.used.traps),
        ("fnaa_processor_limits_passed_total", "Calls that passed a limit.", |shard| {
            shard.used.limits
        }),
        ("fnaa_processor_retries_total", "Batches that the plugin wanted again, later.", |shard| {
            shard.used.retries
        }),
        ("fnaa_processor_instances_total", "Plugin instances that were made.", |shard| {
            shard.used.instances
        }),
        (
            "fnaa_processor_recycled_total",
            "Instances that were made anew because the one before had grown.",
            |shard| shard.recycled,
        ),
        ("fnaa_processor_commits_total", "Commits.", |shard| shard.commits),
        (
            "fnaa_processor_failures_total",
            "Times that a shard began again after a failure.",
            |shard| shard.failures,
        ),
    ];
    for (name, help, of) in counters {
        let mut family = page.family(name, Kind::Counter, help);
        looks.iter().for_each(|look| family.sample(&look.labels(), look.total(of)));
        tokio::task::yield_now().await;
    }
    times(page, looks);
    let help =
        "Offsets between the committed positions and the ends of the inputs. Absent where unknown.";
    let mut family = page.family("fnaa_processor_lag_events", Kind::Gauge, help);
    for look in looks {
        look.lag.events.into_iter().for_each(|events| family.sample(&look.labels(), events));
    }
    let help = "Age of the oldest event that is not committed, 0 when there is none. Absent where unknown.";
    let mut family = page.family("fnaa_processor_lag_seconds", Kind::Gauge, help);
    for look in looks {
        look.lag.seconds.into_iter().for_each(|seconds| family.sample(&look.labels(), seconds));
    }
    tokio::task::yield_now().await;
    let help = "Linear memory of the processor's plugin instances.";
    let mut family = page.family("fnaa_processor_memory_bytes", Kind::Gauge, help);
    looks
        .iter()
        .for_each(|look| family.sample(&look.labels(), look.total(|shard| shard.used.memory)));
    let help = "The most linear memory that the processor's plugin instances had, shard by shard.";
    let mut family = page.family("fnaa_processor_memory_peak_bytes", Kind::Gauge, help);
    looks.iter().for_each(|look| {
        family.sample(&look.labels(), look.total(|shard| shard.used.most_memory));
    });
    let help = "Share of calls that ended in the slow lane, the highest of the shards.";
    let mut family = page.family("fnaa_processor_slow_ratio", Kind::Gauge, help);
    for look in looks {
        let slowest = look.shards().iter().map(|shard| shard.slow_share).fold(0.0, f64::max);
        family.sample(&look.labels(), slowest);
    }
}

/// Name and help of a counter of seconds, and what is added up over the shards.
type Time = (&'static str, &'static str, fn(&ShardReport) -> Duration);

fn times(page: &mut Exposition, looks: &[Look]) {
    let counters: [Time; 2] = [
        (
            "fnaa_processor_cpu_seconds_total",
            "Processor time in which plugin instances ran, or the host for them.",
            |shard| shard.used.cpu,
        ),
        (
            "fnaa_processor_commit_seconds_total",
            "Time that commits took, however they ended.",
            |shard| shard.commit_time,
        ),
    ];
    for (name, help, of) in counters {
        let mut family = page.family(name, Kind::Counter, help);
        for look in looks {
            let all: Duration = look.shards().iter().map(of).sum();
            family.sample(&look.labels(), all.as_secs_f64());
        }
    }
}

fn states(page: &mut Exposition, looks: &[Look]) {
    let help = "1 for the state that the processor is in, the worst of its shards.";
    let mut family = page.family("fnaa_processor_state", Kind::Gauge, help);
    for look in looks {
        let phase = look.report.as_ref().map(Report::phase);
        let now = phase.as_ref().map_or("unknown", Phase::word);
        let [processor, kind] = look.labels();
        for state in STATES.into_iter().chain((!STATES.contains(&now)).then_some(now)) {
            family.sample(&[processor, kind, ("state", state)], state == now);
        }
    }
    let help = "The version of its type that the processor's first shard runs.";
    let mut family = page.family("fnaa_processor_info", Kind::Gauge, help);
    for look in looks {
        let [processor, kind] = look.labels();
        if let Some(ShardReport { version, digest, .. }) = look.shards().first() {
            family.sample(&[processor, kind, ("version", version), ("digest", digest)], 1_u64);
        }
    }
    let help = "Shards of the processor.";
    let mut family = page.family("fnaa_processor_shards", Kind::Gauge, help);
    looks.iter().for_each(|look| family.sample(&look.labels(), look.shards().len() as u64));
}

async fn flows(page: &mut Exposition, flows: &[Flow], infos: &[Option<TopicInfo>]) {
    let help =
        "Records written to the flow since it was made: the sum of its partitions' next offsets.";
    let mut family = page.family("fnaa_flow_records_total", Kind::Counter, help);
    for ((flow, info), count) in flows.iter().zip(infos).zip(1_usize..) {
        if let Some(info) = info {
            let records: u64 = info.partitions.iter().map(|log| log.latest).sum();
            family.sample(&[("flow", flow.name.as_str())], records);
        }
        turn(count).await;
    }
    let mut family = page.family("fnaa_flow_partitions", Kind::Gauge, "Partitions of the flow.");
    for (flow, count) in flows.iter().zip(1_usize..) {
        family.sample(&[("flow", flow.name.as_str())], u64::from(flow.partitions));
        turn(count).await;
    }
    let help = "Bytes that the flow takes at its broker, where the broker knows.";
    let mut family = page.family("fnaa_flow_bytes", Kind::Gauge, help);
    for ((flow, info), count) in flows.iter().zip(infos).zip(1_usize..) {
        if let Some(bytes) = info.as_ref().and_then(|info| info.bytes) {
            family.sample(&[("flow", flow.name.as_str())], bytes);
        }
        turn(count).await;
    }
}

async fn turn(count: usize) {
    if count.is_multiple_of(TURN) {
        tokio::task::yield_now().await;
    }
}
