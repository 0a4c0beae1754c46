//! A whole engine without listeners: registry, reconciler, catalog with the four plugins, supervisor, and
//! the embedded broker inside a faulty one. What a test appends and reads goes past the faults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use host_brokers::embedded::{Embedded, EmbeddedOptions};
use host_brokers::faulty::{Faulty, Record};
use host_brokers::{Append, BatchLimits, Broker, ShardId, TopicRef};
use host_events::CloudEvent;
use host_plugins::{Catalog, Engine, EngineOptions, Limits, MemoryStore, Outcome};
use host_processors::{Backoff, Options, Processors, Report, TrialHook};
use host_registry::{
    Config, FlowChange, JournalId, Name, NewFlow, NewNamespace, NewProcessor, Processor,
    Reconciler, Registry, RegistryError, Start,
};
use tempfile::TempDir;

/// How long anything may take before the test says that it hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct House {
    pub faulty: Arc<Faulty>,
    /// A second broker, for flows that are called `far…`.
    pub other: Arc<Faulty>,
    pub registry: Registry,
    pub processors: Processors,
    pub catalog: Catalog,
    reconciler: Reconciler,
    _dir: TempDir,
}

impl House {
    /// An engine that takes few events at a time, so that there is much to commit, and tries again soon.
    pub async fn new() -> Self {
        Self::retrying(Duration::from_millis(1), Duration::from_millis(5)).await
    }

    /// The same that waits so long, at first and at most, before it tries again.
    pub async fn retrying(first: Duration, longest: Duration) -> Self {
        let dir = TempDir::new().unwrap();
        let period = Duration::from_millis(20);
        let options = EmbeddedOptions { retention_period: period, ..EmbeddedOptions::default() };
        let open =
            async |name| Embedded::open(&dir.path().join(name), options.clone()).await.unwrap();
        let (faulty, other) = (Faulty::new(open("log").await), Faulty::new(open("other").await));
        let brokers = BTreeMap::from([
            ("main".to_owned(), Arc::clone(&faulty) as Arc<dyn Broker>),
            ("other".to_owned(), Arc::clone(&other) as Arc<dyn Broker>),
        ]);
        let registry = Registry::open(&dir.path().join("registry.db")).await.unwrap();
        let catalog = catalog().await;
        let options = Options {
            limits: Limits { batch_events: 8, ..Limits::default() },
            retry: Backoff { first, longest },
            ..Options::default()
        };
        let processors =
            Processors::new(registry.clone(), Arc::new(brokers), catalog.clone(), options);
        let following = processors.clone();
        // Ends with the test's runtime.
        drop(tokio::spawn(async move { following.watch().await }));
        let reconciler = Reconciler::start(registry.clone(), Arc::new(processors.clone()));
        let house = Self { faulty, other, registry, processors, catalog, reconciler, _dir: dir };
        let name = "n.test".parse().unwrap();
        let new = NewNamespace { name, broker: "main".into(), config: Config::new(), owner: None };
        house.carried_out(house.registry.create_namespace(new).await).await;
        house
    }

    /// Makes flows with so many partitions.
    pub async fn flows(&self, flows: &[(&str, u32)]) {
        for (flow, partitions) in flows {
            self.flow(flow, *partitions, &[]).await;
        }
    }

    /// Makes a flow with settings.
    pub async fn flow(&self, flow: &str, partitions: u32, config: &[(&str, &str)]) {
        let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let broker = flow.starts_with("far").then(|| "other".to_owned());
        let config = config.collect();
        let new = NewFlow { broker, partitions, config, ..NewFlow::named(name(flow)) };
        self.carried_out(self.registry.create_flow(new).await).await;
    }

    /// Sets one setting of a flow.
    pub async fn set(&self, flow: &str, key: &str, value: &str) {
        let config = [(key.to_owned(), value.to_owned())].into();
        let change = FlowChange { config, ..Default::default() };
        self.carried_out(self.registry.update_flow(&name(flow), change).await).await;
    }

    /// The broker of a flow, without faults.
    pub fn sound(&self, flow: &str) -> &Arc<dyn Broker> {
        if flow.starts_with("far") { self.other.sound() } else { self.faulty.sound() }
    }

    /// Waits until a command is carried out.
    pub async fn carried_out(&self, entry: Result<JournalId, RegistryError>) {
        if let Err(error) = self.reconciler.wait(entry.unwrap()).await {
            panic!("{error}: {:#?}", self.reports().await);
        }
    }

    pub async fn process(&self, kind: &str, inputs: &[&str], output: &str, config: &str) -> Name {
        self.process_from(Start::Earliest, kind, inputs, output, config).await
    }

    pub async fn process_from(
        &self,
        start: Start,
        kind: &str,
        inputs: &[&str],
        output: &str,
        config: &str,
    ) -> Name {
        let new = NewProcessor { start, ..new_processor(kind, inputs, &[output], config) };
        self.process_as(new).await
    }

    pub async fn process_as(&self, new: NewProcessor) -> Name {
        let processor = new.name.clone();
        self.carried_out(self.registry.create_processor(new).await).await;
        processor
    }

    pub async fn processor(&self, name: &Name) -> Processor {
        self.registry.processor(name).await.unwrap().unwrap()
    }

    pub async fn report(&self, name: &Name) -> Report {
        let id = self.processor(name).await.id;
        // A look does not wait for a processor that is being told something.
        loop {
            match self.processors.report(id).await {
                Some(report) => return report,
                None => pause().await,
            }
        }
    }

    /// Waits until the faulty broker was asked or did something.
    pub async fn happened(&self, so: impl Fn(&Record) -> bool) {
        if tokio::time::timeout(PATIENCE, self.faulty.until(so)).await.is_err() {
            panic!("{:#?} {:#?}", self.faulty.record(), self.reports().await);
        }
    }

    pub async fn topic(&self, flow: &str) -> TopicRef {
        let flow = self.registry.flow(&name(flow)).await.unwrap().unwrap();
        host_processors::topic_of(&flow)
    }

    /// Appends events, called `flow/partition.number`.
    pub async fn write(&self, flow: &str, partition: u32, numbers: std::ops::Range<u32>) {
        self.write_large(flow, partition, numbers, &[]).await;
    }

    /// The same, some of them with so many bytes of data more.
    pub async fn write_large(
        &self,
        flow: &str,
        partition: u32,
        numbers: std::ops::Range<u32>,
        large: &[(u32, usize)],
    ) {
        let event = |number| {
            let mut event = CloudEvent::new(&id(flow, partition, number), "/test", "t").unwrap();
            let more = large.iter().find(|(large, _)| *large == number);
            let more = "x".repeat(more.map_or(0, |(_, bytes)| *bytes));
            event.set_data(Some(Bytes::from(format!(r#"{{"n":{number},"more":"{more}"}}"#))));
            (partition, event.to_record(1_780_000_000_000))
        };
        let append = Append { records: numbers.map(event).collect(), token: None };
        self.sound(flow).append(&self.topic(flow).await, append).await.unwrap();
    }

    /// Ids of the events of a partition, or what an attribute of them says.
    pub async fn read(&self, flow: &str, partition: u32, attribute: &str) -> Vec<String> {
        let (broker, topic) = (self.sound(flow), self.topic(flow).await);
        let ends = broker.describe(&topic).await.unwrap().partitions[partition as usize];
        let mut source = broker.source(&topic, partition, ends.earliest).await.unwrap();
        let (mut seen, mut next) = (Vec::new(), ends.earliest);
        while next < ends.latest {
            let batch = source.next(BatchLimits { records: 1000, bytes: 1 << 20 }).await.unwrap();
            next = batch.next;
            seen.extend(batch.records.iter().map(|stored| text(&stored.record, attribute)));
        }
        seen
    }

    /// Waits until a flow holds so many events.
    pub async fn holds(&self, flow: &str, count: u64) {
        let (broker, topic) = (self.sound(flow), self.topic(flow).await);
        let look = || async {
            let info = broker.describe(&topic).await.unwrap();
            info.partitions.iter().map(|ends| ends.latest).sum::<u64>()
        };
        let until = async {
            while look().await < count {
                pause().await
            }
        };
        if tokio::time::timeout(PATIENCE, until).await.is_err() {
            let reports = self.reports().await;
            panic!("{flow} holds {} events, not {count}: {reports:#?}", look().await);
        }
    }

    /// Bytes of data of the last event of a flow's first partition.
    pub async fn last_data(&self, flow: &str) -> usize {
        let (broker, topic) = (self.sound(flow), self.topic(flow).await);
        let last = broker.describe(&topic).await.unwrap().partitions[0].latest - 1;
        let mut source = broker.source(&topic, 0, last).await.unwrap();
        let batch = source.next(BatchLimits { records: 1, bytes: 1 }).await.unwrap();
        batch.records[0].record.value.as_ref().map_or(0, |value| value.len())
    }

    async fn reports(&self) -> Vec<(Name, Option<Report>)> {
        let mut reports = Vec::new();
        for processor in self.registry.processors().await.unwrap() {
            reports.push((processor.name.clone(), self.processors.report(processor.id).await));
        }
        reports
    }

    /// Waits until something is so of a processor.
    pub async fn until(&self, name: &Name, so: impl Fn(&Report) -> bool) {
        let until = async {
            while !so(&self.report(name).await) {
                pause().await
            }
        };
        if tokio::time::timeout(PATIENCE, until).await.is_err() {
            panic!("{:#?}", self.report(name).await);
        }
    }

    /// Takes a shard away from whoever has it, and gives it back at once.
    pub async fn steal(&self, processor: &Name, shard: u32) {
        let id = ShardId { processor: self.processor(processor).await.id, shard };
        drop(self.faulty.sound().open(id).await.unwrap());
    }

    /// Ends everything that runs; what is in flight is finished.
    pub async fn end(&self) {
        self.faulty.calm();
        self.other.calm();
        let drained = tokio::time::timeout(PATIENCE, self.processors.drain()).await;
        drained.expect("the processors do not end");
    }

    /// After the end: every position of a processor is at the end of its inputs.
    pub async fn assert_at_end(&self, name: &Name) {
        let processor = self.processor(name).await;
        for flow in &processor.inputs {
            let topic = self.topic(flow.as_str()).await;
            let ends = self.sound(flow.as_str()).describe(&topic).await.unwrap().partitions;
            let target = self.sound(processor.outputs[0].as_str());
            for (shard, ends) in (0..).zip(ends) {
                let id = ShardId { processor: processor.id, shard };
                let opened = target.open(id).await.unwrap();
                let position = opened.positions.get(topic.incarnation, shard);
                assert_eq!(position, Some(ends.latest), "{name} {flow} {shard}");
            }
        }
    }
}

/// The compiled code is kept: compiling takes most of the time of these tests.
async fn catalog() -> Catalog {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let engine = Engine::new(&EngineOptions { pool: 0, ..EngineOptions::new(cache) }).unwrap();
    let trial = Arc::new(TrialHook::default());
    let catalog = Catalog::open(engine, Arc::new(MemoryStore::default()), trial).await.unwrap();
    for plugin in host_builtin::all() {
        let file = format!("{}.wasm", plugin.name);
        let outcome = catalog.offer(&file, Bytes::from_static(plugin.component)).await;
        assert!(matches!(outcome, Outcome::Activated { .. }), "{outcome:?}");
    }
    catalog
}

/// A processor called after its first output.
pub fn new_processor(kind: &str, inputs: &[&str], outputs: &[&str], config: &str) -> NewProcessor {
    let names = |flows: &[&str]| flows.iter().map(|flow| name(flow)).collect();
    let named = name(&format!("to-{}", outputs[0]));
    let named = NewProcessor::named(named, kind, names(inputs), names(outputs));
    NewProcessor { config: config.into(), ..named }
}

pub fn options(options: &[(&str, &str)]) -> Config {
    options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn id(flow: &str, partition: u32, number: u32) -> String {
    format!("{flow}/{partition}.{number}")
}

pub fn ids(flow: &str, partition: u32, numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| id(flow, partition, number)).collect()
}

/// Says of two lists where they differ, and not all of them.
pub fn assert_same(seen: &[String], expected: &[String], what: &str) {
    if seen == expected {
        return;
    }
    let at = seen.iter().zip(expected).take_while(|(seen, expected)| seen == expected).count();
    let (has, wants): (BTreeSet<_>, BTreeSet<_>) =
        (seen.iter().collect(), expected.iter().collect());
    let lost: Vec<_> = wants.difference(&has).take(10).collect();
    let (count, distinct, wanted) = (seen.len(), has.len(), expected.len());
    let around = |list: &[String]| {
        list.iter().skip(at.saturating_sub(2)).take(8).cloned().collect::<Vec<_>>()
    };
    panic!(
        "{what}: {count} seen, {distinct} of them distinct, {wanted} expected; from {at} on {:?}, not {:?}; lost: {lost:?}",
        around(seen),
        around(expected),
    );
}

fn text(record: &host_events::Record, attribute: &str) -> String {
    let event = CloudEvent::from_record(record).unwrap().unwrap();
    event.attribute(attribute).map(|value| value.canonical().to_string()).unwrap_or_default()
}

/// Before looking again at what others do in their own time.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(3)).await;
}
