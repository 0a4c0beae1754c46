//! The contract can grow: components built for released versions run on every host to come.

use super::*;
use crate::version::Version;
use crate::{Action, LoadError, ShardState, SharedState};
use wasmtime::component::HasSelf;

/// Components of every version that was ever released; the next one adds a row.
const RELEASED: &[(&str, &[u8])] = &[
    ("0.1.0", include_bytes!("../../tests/fixtures/v0_1_0.wasm")),
    ("0.1.0", include_bytes!("../../tests/fixtures/v0_1_0_whole.wasm")),
    ("1.0.0", include_bytes!("../../tests/fixtures/v1_0_0.wasm")),
];

/// Those that export every optional interface, see tests/fixtures/whole.rs.
fn whole() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    RELEASED.iter().copied().filter(|(_, component)| {
        let timer = b"flow:processor/timer@";
        component.windows(timer.len()).any(|window| window == timer)
    })
}

/// A version that does not exist: other types under known names, and an interface more.
mod later {
    wasmtime::component::bindgen!({
        inline: "
            package flow:processor@0.2.0;
            interface events {
                resource batch {
                    len: func() -> u64;
                }
                variant action { all, none }
            }
            interface calendar {
                today: func() -> string;
            }
            interface lifecycle {
                use events.{batch, action};
                process: func(batch: batch, day: u32) -> action;
            }
            world processor {
                import events;
                import calendar;
                export lifecycle;
            }
        ",
        imports: { default: trappable },
        exports: { default: async },
    });
}

use later::flow::processor::{calendar, events};

impl events::Host for crate::host::Host {}

impl events::HostBatch for crate::host::Host {
    fn len(&mut self, _: wasmtime::component::Resource<events::Batch>) -> wasmtime::Result<u64> {
        Ok(7)
    }

    fn drop(&mut self, _: wasmtime::component::Resource<events::Batch>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl calendar::Host for crate::host::Host {
    fn today(&mut self) -> wasmtime::Result<String> {
        Ok("monday".to_owned())
    }
}

/// An engine that offers the version that does not exist beside all others.
fn later_engine() -> (Engine, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions::new(dir.path().join("cache"));
    let engine = Engine::serving(&options, |linker| {
        later::Processor::add_to_linker::<_, HasSelf<_>>(linker, |host| host)
    });
    (engine.unwrap(), dir)
}

fn told(kind: &str) -> Stored {
    let mut event = CloudEvent::new("1", "/test", "told").unwrap();
    event.set("kind", Value::String(kind.to_owned())).unwrap();
    event.set_data(Some(Bytes::from_static(b"four")));
    Stored { offset: 0, record: event.to_record(1) }
}

/// Everything that the first plugin does, see tests/fixtures/first.rs and whole.rs.
async fn does_what_it_did(engine: &Engine, contract: &str, component: &'static [u8]) {
    let plugin = engine.load(Bytes::from_static(component)).await.unwrap();
    assert_eq!((plugin.info().name.as_str(), plugin.contract()), ("first", contract));
    let kept = Arc::new(Kept::default());
    let state = SharedState::new(ShardState::default());
    let log = Arc::clone(&kept) as Arc<dyn LogSink>;
    let setup = Setup { log, state: state.clone(), ..setup(r#"{"a":1}"#) };
    let mut instance = plugin.instantiate(setup).await.unwrap();
    assert_eq!(kept.messages(), ["started"]);
    let records = ["drop", "letter", "rewrite", "none"].map(told);
    let four = Batch { records: records.into(), ..batch(0, 0) };
    for before in 0..2 {
        state.lock().begin();
        let actions = process(&mut instance, four.clone()).await.unwrap();
        let [drop, letter, rewrite, forward, emit] = actions.as_slice() else {
            panic!("{actions:?}")
        };
        assert_eq!(*drop, Action::Drop { index: 0 });
        let reason = "as it was told".to_owned();
        assert_eq!(*letter, Action::DeadLetter { index: 1, reason });
        assert!(matches!(rewrite, Action::Rewrite { index: 2, .. }), "{rewrite:?}");
        assert_eq!(*forward, Action::Forward { index: 3, output: 0 });
        let Action::Emit { record, .. } = emit else { panic!("{emit:?}") };
        let said = format!(r#"4 {before} 1 16 {{"a":1}}"#);
        assert_eq!(record.value.as_deref(), Some(said.as_bytes()));
    }
    instance.pause().await.unwrap();
    instance.resume().await.unwrap();
    let fatal = instance.process(0, &Arc::from("fatal"), four).await.unwrap_err();
    assert_eq!(fatal, CallError::Fatal("as it was told".to_owned()));
}

#[test]
fn there_is_a_component_for_every_version_that_is_served() {
    let served = Version::KNOWN.map(|(version, _)| version).to_vec();
    let mut released: Vec<_> = RELEASED.iter().map(|row| row.0).collect();
    released.dedup();
    assert_eq!(released, served);
    let mut wholly: Vec<_> = whole().map(|row| row.0).collect();
    wholly.dedup();
    assert_eq!(wholly, served);
}

#[tokio::test]
async fn components_of_every_released_version_do_what_they_did() {
    for (contract, component) in RELEASED {
        does_what_it_did(engine(), contract, component).await;
    }
}

#[tokio::test]
async fn components_of_every_released_version_do_the_same_beside_a_later_one() {
    let (engine, _dir) = later_engine();
    for (contract, component) in RELEASED {
        does_what_it_did(&engine, contract, component).await;
    }
}

#[tokio::test]
async fn optional_interfaces_of_every_released_version_are_called() {
    for (contract, component) in whole() {
        let plugin = engine().load(Bytes::from_static(component)).await.unwrap();
        assert_eq!(plugin.interfaces(), ["timer", "reconfigure", "migrate"], "{contract}");
        let state = SharedState::new(ShardState::default());
        state.lock().begin();
        let takes_over = Some("0.0.9".to_owned());
        let setup = Setup { state, takes_over, ..setup(r#"{"tick":1}"#) };
        let refused = plugin.instantiate(Setup { config: "refuse".to_owned(), ..setup.clone() });
        let words = "cannot read the state of 0.0.9".to_owned();
        assert_eq!(refused.await.map(drop), Err(CallError::Fatal(words)));
        let mut instance = plugin.instantiate(setup).await.unwrap();
        assert_eq!(instance.interval(), Some(std::time::Duration::from_millis(100)));
        instance.reconfigure(r#"{"tick":2}"#).await.unwrap();
        let refused = instance.reconfigure("refuse").await;
        assert_eq!(refused, Err(CallError::Fatal("refuse: as it was told".to_owned())));
        let actions = instance.tick(7).await.unwrap();
        let [Action::Emit { record, .. }] = actions.as_slice() else { panic!("{actions:?}") };
        let said = format!(r#"7 {} 0.0.9 {{"tick":2}}"#, plugin.info().version);
        assert_eq!(record.value.as_deref(), Some(said.as_bytes()));
    }
}

/// Only 1.0.0 says that a key follows its attribute; what was built before goes on as it was.
#[tokio::test]
async fn a_rewrite_that_sets_the_partition_key_gives_the_record_that_key_from_1_0_0_on() {
    for (contract, component) in whole() {
        let plugin = engine().load(Bytes::from_static(component)).await.unwrap();
        let state = SharedState::new(ShardState::default());
        state.lock().begin();
        let mut instance = plugin.instantiate(Setup { state, ..setup("{}") }).await.unwrap();
        let mut stored = told("key");
        stored.record.key = Some(Bytes::from_static(b"old"));
        let same = stored.clone();
        let one = Batch { records: [stored].into(), ..batch(0, 0) };
        let actions = process(&mut instance, one).await.unwrap();
        let [Action::Rewrite { record, keyed, .. }, _] = actions.as_slice() else {
            panic!("{actions:?}")
        };
        let key: &[u8] = if contract == "0.1.0" { b"old" } else { b"another" };
        assert_eq!((record.key.as_deref(), *keyed), (Some(key), contract != "0.1.0"));
        assert_eq!(record.timestamp, same.record.timestamp);
    }
}

/// What 0.1.0 says without its comments, under the name of 1.0.0.
#[test]
fn the_types_and_functions_of_0_1_0_are_those_of_1_0_0() {
    let said = |wit: &str| -> Vec<String> {
        let lines = wit.lines().map(str::trim).filter(|line| !line.starts_with("///"));
        lines.filter(|line| !line.is_empty()).map(|line| line.replace("@0.1.0", "@1.0.0")).collect()
    };
    let before = said(include_str!("../../../../wit/0.1.0/processor.wit"));
    assert!(before.len() > 100, "{before:?}");
    assert_eq!(said(include_str!("../../../../wit/processor.wit")), before);
}

#[tokio::test]
async fn a_component_may_export_more_than_it_must() {
    let name = b"flow:processor/extra@1.0.0";
    assert!(
        GUEST.windows(name.len()).any(|window| window == name),
        "the guest exports nothing more"
    );
    let mut instance = acting("").await;
    assert!(process(&mut instance, batch(1, 0)).await.is_ok());
}

#[tokio::test]
async fn a_version_that_nobody_knows_is_refused_by_name_also_where_its_imports_are_there() {
    let later = wat::parse_str(
        "(component
            (import \"flow:processor/calendar@0.2.0\" (instance))
            (instance $i)
            (export \"flow:processor/lifecycle@0.2.0\" (instance $i)))",
    );
    let later = Bytes::from(later.unwrap());
    let (offering, _dir) = later_engine();
    for engine in [engine(), &offering] {
        let refused = engine.load(later.clone()).await.unwrap_err();
        let LoadError::UnknownVersion { name, known } = refused else { panic!("{refused}") };
        assert_eq!(name, "flow:processor/lifecycle@0.2.0");
        assert_eq!(known, Version::KNOWN.map(|(version, _)| version).join(", "));
    }
}
