//! The registry with a world outside of it that can fail, refuse and stop at every step.

mod audit;
mod crash;
mod dead;
mod grants;
mod lent;
mod mirrors;
mod reconcile;
mod reports;
mod stored;
mod subscribers;
mod subscriptions;
mod transitions;
mod world;

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::*;
use world::World;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn config(entries: &[(&str, &str)]) -> Config {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn new_namespace(text: &str) -> NewNamespace {
    NewNamespace {
        name: name(text),
        broker: "embedded".to_owned(),
        config: Config::new(),
        owner: None,
    }
}

fn new_flow(text: &str) -> NewFlow {
    NewFlow::named(name(text))
}

fn new_processor(text: &str, inputs: &[&str], outputs: &[&str]) -> NewProcessor {
    let names = |flows: &[&str]| flows.iter().map(|text| name(text)).collect();
    NewProcessor::named(name(text), "bridge", names(inputs), names(outputs))
}

async fn open(dir: &Path) -> Registry {
    Registry::open(&dir.join("registry.db")).await.unwrap()
}

/// Namespace `n.test`; flows `a`, `b`, `c` of ours and `taken`, which is not; processor `p` from `a`
/// to `b`.
async fn furnished(dir: &Path) -> Registry {
    let registry = open(dir).await;
    let reconciler = Reconciler::start(registry.clone(), Arc::new(World::at(dir)));
    let mut entries = vec![registry.create_namespace(new_namespace("n.test")).await];
    for flow in ["a.n.test", "b.n.test", "c.n.test"] {
        entries.push(registry.create_flow(new_flow(flow)).await);
    }
    let taken = NewFlow { owned: false, ..new_flow("taken.n.test") };
    entries.push(registry.create_flow(taken).await);
    for entry in entries {
        reconciler.wait(entry.unwrap()).await.unwrap();
    }
    let new = new_processor("p.n.test", &["a.n.test"], &["b.n.test"]);
    let entry = registry.create_processor(new).await.unwrap();
    reconciler.wait(entry).await.unwrap();
    registry
}

/// Every command that has something to be made outside, on what is furnished.
const COMMANDS: &[&str] = &[
    "create flow",
    "update flow",
    "take over another topic",
    "purge flow",
    "delete flow",
    "release flow",
    "create processor",
    "update processor",
    "pause processor",
    "stop processor",
    "move processor",
    "delete processor",
];

async fn command(registry: &Registry, what: &str) -> Result<JournalId, RegistryError> {
    let (a, c, p, q) = (name("a.n.test"), name("c.n.test"), name("p.n.test"), name("q.n.test"));
    match what {
        "create flow" => registry.create_flow(new_flow("new.n.test")).await,
        "update flow" => {
            let config = config(&[("retention.ms", "9")]);
            let change = FlowChange { partitions: Some(4), config, taken: None };
            registry.update_flow(&a, change).await
        }
        "take over another topic" => {
            let taken =
                Taken { topic: "other".into(), id: Some(Uuid::from_u128(7)), partitions: 3 };
            let change = FlowChange { taken: Some(taken), ..Default::default() };
            registry.update_flow(&name("taken.n.test"), change).await
        }
        "purge flow" => registry.purge_flow(&a).await,
        "delete flow" => registry.delete_flow(&c).await,
        "release flow" => registry.delete_flow(&name("taken.n.test")).await,
        "create processor" => {
            registry.create_processor(new_processor(q.as_str(), &["b.n.test"], &["c.n.test"])).await
        }
        "update processor" => {
            let change = ProcessorChange { config: Some("[1]".to_owned()), ..Default::default() };
            registry.update_processor(&p, change).await
        }
        "pause processor" => registry.set_desired(&p, Desired::Paused).await,
        "stop processor" => registry.set_desired(&p, Desired::Stopped).await,
        "move processor" => registry.move_processor(&p, Start::Latest, true).await,
        "delete processor" => registry.delete_processor(&p).await,
        other => panic!("no command {other}"),
    }
}

/// What a command needs to be before.
async fn prepare(registry: &Registry, world: &World, what: &str) {
    if what == "move processor" {
        let reconciler = Reconciler::start(registry.clone(), Arc::new(world.clone()));
        let paused = registry.set_desired(&name("p.n.test"), Desired::Paused).await;
        reconciler.wait(paused.unwrap()).await.unwrap();
    }
}

/// Nothing is half done, and the world is what the registry says.
async fn assert_agreement(registry: &Registry, world: &World) {
    assert!(registry.pending().is_empty());
    let flows = registry.flows(None).await.unwrap();
    assert!(flows.iter().all(|flow| flow.status == FlowStatus::Active), "{flows:?}");
    // The world gives a topic the id of its life.
    let known = |flow: &Flow| !flow.owned || flow.topic_id == Some(flow.incarnation.0);
    assert!(flows.iter().all(known), "{flows:?}");
    world.assert_topics(&flows);
    let processors = registry.processors().await.unwrap();
    assert!(processors.iter().all(|processor| processor.desired != Desired::Deleted));
    world.assert_processors(&processors);
}
