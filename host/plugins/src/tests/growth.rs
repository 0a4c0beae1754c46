//! The contract can grow: components built for released versions run on every host to come.

use super::*;
use crate::version::Version;
use crate::{Action, LoadError, ShardState, SharedState};
use wasmtime::component::HasSelf;

/// A component for each version that was ever released; the next one adds a row.
const RELEASED: &[(&str, &[u8])] = &[("0.1.0", include_bytes!("../../tests/fixtures/v0_1_0.wasm"))];

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

/// Everything that the first plugin does, see tests/fixtures/first.rs.
async fn does_what_it_did(engine: &Engine, component: &'static [u8]) {
    let plugin = engine.load(Bytes::from_static(component)).await.unwrap();
    assert_eq!(plugin.info().name, "first");
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
    let served = Version::KNOWN.map(|(version, _)| version);
    assert_eq!(served.as_slice(), RELEASED.iter().map(|row| row.0).collect::<Vec<_>>());
}

#[tokio::test]
async fn components_of_every_released_version_do_what_they_did() {
    for (_, component) in RELEASED {
        does_what_it_did(engine(), component).await;
    }
}

#[tokio::test]
async fn components_of_every_released_version_do_the_same_beside_a_later_one() {
    let (engine, _dir) = later_engine();
    for (_, component) in RELEASED {
        does_what_it_did(&engine, component).await;
    }
}

#[tokio::test]
async fn a_component_may_export_more_than_it_must() {
    let name = b"flow:processor/extra@0.1.0";
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
