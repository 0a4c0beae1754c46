//! Files that are small and want to be large, or are no files for this host at all.

use super::*;
use crate::LoadError;

/// A component that runs, and compiles faster than the guest.
const SMALL: &[u8] = include_bytes!("../../tests/fixtures/v0_1_0.wasm");

/// It with a core module appended, and so many instances of it.
fn with_module(module: &str, instances: usize) -> Bytes {
    let module = wat::parse_str(module).unwrap();
    let mut bytes = SMALL.to_vec();
    bytes.push(1);
    leb(&mut bytes, module.len());
    bytes.extend(module);
    let mut section = Vec::new();
    leb(&mut section, instances);
    for _ in 0..instances {
        section.push(0);
        leb(&mut section, modules(SMALL));
        section.push(0);
    }
    bytes.push(2);
    leb(&mut bytes, section.len());
    bytes.extend(section);
    bytes.into()
}

/// How many core modules a component has itself.
fn modules(component: &[u8]) -> usize {
    use wasmparser::{Parser, Payload};
    let payloads = Parser::new(0).parse_all(component).map(Result::unwrap);
    payloads.filter(|payload| matches!(payload, Payload::ModuleSection { .. })).count()
}

fn leb(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// An engine without a pool of instances, which refuses the same at other moments.
static POOLLESS: LazyLock<(Engine, TempDir)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions { pool: 0, ..EngineOptions::new(dir.path().join("cache")) };
    (Engine::new(&options).unwrap(), dir)
});

async fn refused(component: Bytes, limit: &str) {
    for engine in [engine(), &POOLLESS.0] {
        let error = engine.load(component.clone()).await.unwrap_err().to_string();
        assert!(error.contains(&format!("limit passed: {limit}=")), "{error}");
    }
    assert!(process(&mut acting("").await, batch(1, 0)).await.is_ok());
}

#[tokio::test]
async fn a_large_first_memory_is_refused() {
    refused(with_module("(module (memory 4096))", 1), "memory").await;
    refused(with_module("(module (memory 65536))", 1), "memory").await;
}

#[tokio::test]
async fn large_tables_are_refused() {
    refused(with_module("(module (table 90000 funcref))", 2), "table_elements").await;
    refused(with_module("(module (table 10000000 funcref))", 1), "table_elements").await;
}

#[tokio::test]
async fn many_instances_memories_and_tables_are_refused() {
    refused(with_module("(module)", 40), "instances").await;
    refused(with_module("(module (memory 1))", 5), "memories").await;
    refused(with_module("(module (table 1 funcref) (table 1 funcref))", 20), "tables").await;
}

#[tokio::test]
async fn a_function_without_end_is_refused_before_it_is_compiled() {
    let long = format!("(module (func {}))", "nop ".repeat(crate::limits::MAX_FUNCTION + 1));
    refused(with_module(&long, 1), "function_bytes").await;
}

#[tokio::test]
async fn components_inside_each_other_without_end_are_refused() {
    const PREAMBLE: &[u8] = b"\0asm\x0d\0\x01\0";
    let mut component = PREAMBLE.to_vec();
    for _ in 0..1_000 {
        let mut outer = PREAMBLE.to_vec();
        outer.push(4);
        leb(&mut outer, component.len());
        outer.extend(&component);
        component = outer;
    }
    refused(component.into(), "nesting").await;
}

#[tokio::test]
async fn a_file_that_takes_the_compiler_for_ever_is_given_up_and_others_are_compiled() {
    let dir = tempfile::tempdir().unwrap();
    let patient = EngineOptions::new(dir.path().join("cache"));
    // Found in the cache later, so that only what is tested takes time.
    Engine::new(&patient).unwrap().load(Bytes::from_static(SMALL)).await.unwrap();
    let compile = std::time::Duration::from_secs(1);
    let engine = Engine::new(&EngineOptions { compile, ..patient }).unwrap();
    let depth = 100_000;
    let deep = format!("(module (func {} {}))", "block ".repeat(depth), "end ".repeat(depth));
    let error = engine.load(with_module(&deep, 1)).await.unwrap_err();
    assert_eq!(error, LoadError::limit("compile_ms", 1_000));
    engine.load(Bytes::from_static(SMALL)).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_cut_off_anywhere_is_refused() {
    for part in 1..20 {
        let cut = Bytes::from_static(&SMALL[..SMALL.len() * part / 20]);
        let error = engine().load(cut).await.unwrap_err();
        let known = matches!(error, LoadError::NotWasm(_) | LoadError::NotAProcessor);
        assert!(known || matches!(error, LoadError::Compile(_)), "{error}");
    }
}

#[tokio::test]
async fn what_no_plugin_is_given_cannot_be_imported() {
    let wanting = wat::parse_str(
        "(component
            (import \"wasi:http/outgoing-handler@0.2.0\" (instance))
            (instance $i)
            (export \"flow:processor/lifecycle@1.0.0\" (instance $i)))",
    );
    let error = engine().load(wanting.unwrap().into()).await.unwrap_err();
    assert_eq!(error, LoadError::UnknownImport("wasi:http/outgoing-handler@0.2.0".to_owned()));
}

/// Every file below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn compiled_code_that_is_broken_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions::new(dir.path().join("cache"));
    Engine::new(&options).unwrap().load(Bytes::from_static(SMALL)).await.unwrap();
    let breaks: [fn(&Path); 3] = [
        |file| std::fs::write(file, b"").unwrap(),
        |file| std::fs::write(file, b"not what it was").unwrap(),
        |file| {
            let whole = std::fs::read(file).unwrap();
            std::fs::write(file, &whole[..whole.len() / 2]).unwrap();
        },
    ];
    for damage in breaks {
        files(dir.path()).iter().for_each(|file| damage(file));
        let engine = Engine::new(&options).unwrap();
        let plugin = engine.load(Bytes::from_static(SMALL)).await.unwrap();
        let setup = setup("{}");
        setup.state.lock().begin();
        let mut instance = plugin.instantiate(setup).await.unwrap();
        assert_eq!(process(&mut instance, batch(1, 0)).await.unwrap().len(), 2);
        assert_eq!(engine.cache_hits(), 0);
    }
}
