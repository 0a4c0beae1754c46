//! From a file in the directory to the version that runs.

use super::*;
use crate::catalog::{NoTrial, Snapshot};
use crate::store::{Activation, Known, MemoryStore, PluginStore, TypeState};
use crate::watch::Watcher;
use crate::{Catalog, Trial};
use async_trait::async_trait;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Semaphore;

struct Scene {
    catalog: Catalog,
    store: Arc<MemoryStore>,
    watcher: Watcher,
    dir: TempDir,
}

impl Scene {
    async fn new(trial: impl Trial + 'static) -> Self {
        let store = Arc::new(MemoryStore::default());
        Self::on(store, tempfile::tempdir().unwrap(), trial).await
    }

    async fn on(store: Arc<MemoryStore>, dir: TempDir, trial: impl Trial + 'static) -> Self {
        let kept = Arc::clone(&store) as Arc<dyn PluginStore>;
        let catalog = Catalog::open(engine().clone(), kept, Arc::new(trial)).await.unwrap();
        let watcher = Watcher::start(catalog.clone(), dir.path(), &[]).await.unwrap();
        Self { catalog, store, watcher, dir }
    }

    fn put(&self, file: &str, bytes: &[u8]) {
        std::fs::write(self.dir.path().join(file), bytes).unwrap();
    }

    async fn until(&self, what: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut changes = self.catalog.subscribe();
        let found = changes.wait_for(|snapshot| what(snapshot));
        let found = tokio::time::timeout(Duration::from_secs(60), found).await;
        Arc::clone(&found.expect("the catalog never became so").unwrap())
    }

    async fn until_generation(&self, generation: u64) -> Arc<Snapshot> {
        self.until(|now| now.types.get("guest").is_some_and(|a| a.generation == generation)).await
    }

    async fn until_rejected(&self, file: &str) -> String {
        let snapshot = self.until(|now| now.rejected.contains_key(file)).await;
        snapshot.rejected[file].reason.clone()
    }
}

struct Refusing;

#[async_trait]
impl Trial for Refusing {
    async fn trial(&self, _: &Plugin) -> Result<(), String> {
        Err("processor p: config: no".to_owned())
    }
}

#[tokio::test]
async fn a_file_becomes_a_type_and_a_changed_file_its_next_generation() {
    let scene = Scene::new(NoTrial).await;
    scene.put("guest.wasm", &GUEST);
    let first = scene.until_generation(1).await;
    scene.put("guest.wasm", &noted(&GUEST, "two"));
    let second = scene.until_generation(2).await;
    let digest = |snapshot: &Snapshot| snapshot.types["guest"].plugin.digest().clone();
    assert_ne!(digest(&first), digest(&second));
    assert!(scene.store.get(&digest(&first)).await.unwrap().is_some());
    let mut instance = second.types["guest"].plugin.instantiate(setup("{}")).await.unwrap();
    process(&mut instance, batch(1, 0)).await.unwrap();
}

#[tokio::test]
async fn a_broken_file_keeps_the_old_and_is_shown_with_its_reason() {
    let scene = Scene::new(NoTrial).await;
    scene.put("guest.wasm", &GUEST);
    scene.until_generation(1).await;
    scene.put("guest.wasm", b"not wasm");
    let reason = scene.until_rejected("guest.wasm").await;
    assert!(reason.contains("not a WebAssembly component"), "{reason}");
    // What it should have been, and what it is.
    assert!(reason.contains("expected=") && reason.contains("actual=[ 0x6e,"), "{reason}");
    let active = scene.catalog.active("guest").unwrap();
    assert_eq!((active.generation, active.available), (1, true));
    scene.put("guest.wasm", &GUEST);
    scene.until(|now| now.rejected.is_empty()).await;
    assert_eq!(scene.catalog.active("guest").unwrap().generation, 1);
}

/// A trial that takes until it is told, as compiling does.
#[derive(Clone)]
struct Slow {
    begun: Arc<Semaphore>,
    done: Arc<Semaphore>,
}

impl Slow {
    fn new() -> Self {
        Self { begun: Arc::new(Semaphore::new(0)), done: Arc::new(Semaphore::new(0)) }
    }
}

#[async_trait]
impl Trial for Slow {
    async fn trial(&self, _: &Plugin) -> Result<(), String> {
        self.begun.add_permits(1);
        self.done.acquire().await.map(drop).map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn a_file_that_takes_long_holds_up_neither_the_start_nor_others() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(MemoryStore::default()));
    std::fs::write(dir.path().join("guest.wasm"), &*GUEST).unwrap();
    let slow = Slow::new();
    let started = Scene::on(store, dir, slow.clone());
    let scene = tokio::time::timeout(Duration::from_secs(50), started).await.unwrap();
    assert!(scene.catalog.active("guest").is_none());
    slow.begun.acquire().await.unwrap().forget();
    scene.put("other.wasm", b"not wasm");
    assert!(scene.until_rejected("other.wasm").await.contains("not a WebAssembly component"));
    assert!(scene.catalog.active("guest").is_none());
    // A newer file of the name waits for the one before, and comes after it.
    let newer = noted(&GUEST, "newer");
    scene.put("guest.wasm", &newer);
    slow.done.add_permits(1);
    let active = scene.until_generation(2).await;
    assert_eq!(*active.types["guest"].plugin.digest(), crate::engine::digest(&newer));
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_by_its_size_while_another_large_one_is_compiled() {
    let slow = Slow::new();
    let scene = Scene::new(slow.clone()).await;
    scene.put("guest.wasm", &noted(&GUEST, &"x".repeat(3 << 20)));
    slow.begun.acquire().await.unwrap().forget();
    // All of it is a hole: reading it would find nothing but zeros.
    let huge = std::fs::File::create(scene.dir.path().join("huge.wasm")).unwrap();
    huge.set_len(70_000_000).unwrap();
    let reason = scene.until_rejected("huge.wasm").await;
    assert_eq!(reason, "limit passed: component_bytes=67108864: the file has 70000000 bytes");
    assert!(scene.catalog.active("guest").is_none());
    slow.done.add_permits(1);
    scene.until_generation(1).await;
}

#[tokio::test]
async fn a_file_that_goes_while_it_is_looked_at_is_not_there_afterwards() {
    let slow = Slow::new();
    let scene = Scene::new(slow.clone()).await;
    scene.put("guest.wasm", &GUEST);
    slow.begun.acquire().await.unwrap().forget();
    scene.put("other.wasm", b"not wasm");
    scene.until_rejected("other.wasm").await;
    for file in ["guest.wasm", "other.wasm"] {
        std::fs::remove_file(scene.dir.path().join(file)).unwrap();
    }
    scene.until(|now| now.rejected.is_empty()).await;
    slow.done.add_permits(1);
    scene.until(|now| now.types.get("guest").is_some_and(|active| !active.available)).await;
}

#[tokio::test]
async fn a_file_must_be_named_as_the_type_describes_itself() {
    let scene = Scene::new(NoTrial).await;
    scene.put("other.wasm", &GUEST);
    let reason = scene.until_rejected("other.wasm").await;
    assert_eq!(reason, "describes itself as guest, so its file must be guest.wasm");
    scene.put("Bad_Name.wasm", &GUEST);
    assert!(scene.until_rejected("Bad_Name.wasm").await.starts_with("the file's stem must be"));
    std::fs::remove_file(scene.dir.path().join("other.wasm")).unwrap();
    scene.until(|now| !now.rejected.contains_key("other.wasm")).await;
}

#[tokio::test]
async fn a_version_that_fails_its_trial_never_runs() {
    let scene = Scene::new(Refusing).await;
    scene.put("guest.wasm", &GUEST);
    assert_eq!(scene.until_rejected("guest.wasm").await, "processor p: config: no");
    assert!(scene.catalog.active("guest").is_none());
    assert_eq!(scene.store.active().await.unwrap(), []);
}

#[tokio::test]
async fn a_removed_file_takes_no_running_type_away() {
    let scene = Scene::new(NoTrial).await;
    scene.put("guest.wasm", &GUEST);
    scene.until_generation(1).await;
    std::fs::remove_file(scene.dir.path().join("guest.wasm")).unwrap();
    let gone = scene.until(|now| !now.types["guest"].available).await;
    gone.types["guest"].plugin.instantiate(setup("{}")).await.unwrap();
    scene.put("guest.wasm", &GUEST);
    let back = scene.until(|now| now.types["guest"].available).await;
    assert_eq!(back.types["guest"].generation, 1);
}

#[tokio::test]
async fn a_start_goes_on_with_what_the_store_says_and_what_the_directory_holds() {
    let Scene { store, dir, watcher, .. } = {
        let scene = Scene::new(NoTrial).await;
        scene.put("guest.wasm", &GUEST);
        scene.until_generation(1).await;
        scene
    };
    drop(watcher);
    std::fs::remove_file(dir.path().join("guest.wasm")).unwrap();
    let again = Scene::on(Arc::clone(&store), dir, NoTrial).await;
    let active = again.catalog.active("guest").unwrap();
    assert_eq!((active.generation, active.available), (1, false));
    let Scene { dir, watcher, .. } = again;
    drop(watcher);
    std::fs::write(dir.path().join("guest.wasm"), noted(&GUEST, "while away")).unwrap();
    let third = Scene::on(store, dir, NoTrial).await;
    let active = third.catalog.active("guest").unwrap();
    assert_eq!((active.generation, active.available), (2, true));
}

/// Writes a file again and again until it is dropped, much faster than a file settles.
struct Rewriting(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Rewriting {
    fn start(file: PathBuf) -> Self {
        std::fs::write(&file, b"0").unwrap();
        let enough = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&enough);
        let writing = std::thread::spawn(move || {
            for number in 1_u64.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                std::fs::write(&file, number.to_string()).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self(enough, Some(writing))
    }
}

impl Drop for Rewriting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.take().unwrap().join().unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_written_without_end_holds_up_neither_a_start_nor_others_nor_a_rescan() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.wasm");
    let rewriting = Rewriting::start(file);
    let scene = Scene::on(Arc::new(MemoryStore::default()), dir, NoTrial).await;
    scene.put("guest.wasm", &GUEST);
    scene.until_generation(1).await;
    scene.put("guest.wasm", &noted(&GUEST, "two"));
    scene.until_generation(2).await;
    scene.watcher.rescan().await;
    drop(rewriting);
    assert!(scene.until_rejected("a.wasm").await.contains("not a WebAssembly component"));
}

#[tokio::test]
async fn a_rescan_tries_rejected_files_again() {
    let scene = Scene::new(Refusing).await;
    scene.put("guest.wasm", &GUEST);
    scene.until_rejected("guest.wasm").await;
    let first = scene.catalog.snapshot().rejected["guest.wasm"].at;
    scene.watcher.rescan().await;
    assert!(scene.catalog.snapshot().rejected["guest.wasm"].at > first);
}

#[tokio::test]
async fn a_version_the_store_cannot_give_is_shown_and_the_others_run() {
    let store = Arc::new(MemoryStore::default());
    store.put("0bad", Bytes::from_static(b"rotten")).await.unwrap();
    let activation = |name: &str, digest: &str| Activation {
        name: name.to_owned(),
        version: Known { digest: digest.to_owned(), version: "0.1.0".to_owned() },
        state: TypeState::default(),
        why: String::new(),
    };
    store.activate(activation("gone", "0bad")).await.unwrap();
    let digest = crate::engine::digest(&GUEST);
    store.put(&digest, GUEST.clone()).await.unwrap();
    store.activate(activation("guest", &digest)).await.unwrap();
    let kept = store as Arc<dyn PluginStore>;
    let catalog = Catalog::open(engine().clone(), kept, Arc::new(NoTrial)).await.unwrap();
    let snapshot = catalog.snapshot();
    assert!(snapshot.types.contains_key("guest"));
    assert!(snapshot.rejected["gone.wasm"].reason.contains("not a WebAssembly component"));
}

#[tokio::test]
async fn types_are_taken_up_beside_each_other_at_a_start() {
    let store = Arc::new(MemoryStore::default());
    for name in ["guest", "other"] {
        let component = noted(&GUEST, name);
        let digest = crate::engine::digest(&component).to_string();
        store.put(&digest, component).await.unwrap();
        let version = Known { digest, version: "0.1.0".to_owned() };
        let (name, state) = (name.to_owned(), TypeState::default());
        store.activate(Activation { version, name, state, why: String::new() }).await.unwrap();
    }
    // Neither gets its bytes before the other has asked for its own.
    store.meet(2);
    let opened = Catalog::open(engine().clone(), store, Arc::new(NoTrial));
    let opened = tokio::time::timeout(Duration::from_secs(60), opened).await;
    let snapshot = opened.expect("one waits for the other").unwrap().snapshot();
    assert!(snapshot.types.contains_key("guest"));
    assert!(snapshot.rejected["other.wasm"].reason.contains("describes itself as guest"));
}

#[tokio::test]
async fn where_nothing_can_be_gone_back_to_no_version_is_on_probation() {
    let scene = Scene::new(NoTrial).await;
    scene.put("guest.wasm", &GUEST);
    let first = scene.until_generation(1).await.types["guest"].plugin.digest().to_string();
    scene.put("guest.wasm", &noted(&GUEST, "two"));
    scene.until_generation(2).await;
    assert!(scene.catalog.state("guest").rollout.is_some());
    let Scene { store, dir, watcher, .. } = scene;
    drop(watcher);
    store.lose(&first);
    let scene = Scene::on(store, dir, NoTrial).await;
    assert_eq!(scene.catalog.state("guest").rollout, None);
    assert_eq!(scene.store.states().await.unwrap()["guest"].rollout, None);
    assert_eq!(scene.catalog.active("guest").unwrap().generation, 2);
}
