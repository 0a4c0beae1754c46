//! SIGKILL between every pair of steps of every command: a process of its own is killed, and the next
//! one finishes what it left.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::world::Stop;
use super::*;

const DIR: &str = "REGISTRY_CRASH_DIR";
const WHAT: &str = "REGISTRY_CRASH_COMMAND";
const STOP: &str = "REGISTRY_CRASH_STOP";
const HERE: &str = "here it is to be killed";

#[tokio::test]
async fn whatever_a_kill_interrupts_is_pending_and_finished_after_the_next_start() {
    for what in COMMANDS {
        for stop in ["decided", "before", "after"] {
            let dir = tempfile::tempdir().unwrap();
            drop(furnished(dir.path()).await);
            kill_in_the_middle(dir.path(), what, stop);
            let registry = open(dir.path()).await;
            assert_eq!(registry.pending().len(), 1, "{what}, killed {stop}");
            let entry = registry.pending()[0].id;
            let world = World::at(dir.path());
            let reconciler = Reconciler::start(registry.clone(), Arc::new(world.clone()));
            reconciler.wait(entry).await.unwrap();
            assert_agreement(&registry, &world).await;
        }
    }
}

fn kill_in_the_middle(dir: &Path, what: &str, stop: &str) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["tests::crash::victim", "--exact", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env(WHAT, what)
        .env(STOP, stop)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    assert!(lines.any(|line| line.contains(HERE)), "the victim ended before it was killed");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
#[ignore = "runs as the process that is killed"]
async fn victim() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let (what, stop) = (std::env::var(WHAT).unwrap(), std::env::var(STOP).unwrap());
    let registry = open(dir).await;
    prepare(&registry, &World::at(dir), &what).await;
    let last = if what == "delete processor" { 1 } else { 0 };
    let world = match stop.as_str() {
        "before" => World::at(dir).stop_at(Stop::Before(last)),
        _ => World::at(dir).stop_at(Stop::After(last)),
    };
    command(&registry, &what).await.unwrap();
    let _reconciler = match stop.as_str() {
        "decided" => None,
        _ => Some(Reconciler::start(registry.clone(), Arc::new(world.clone()))),
    };
    if stop != "decided" {
        world.wait_for_stop().await;
    }
    println!("{HERE}");
    std::future::pending::<()>().await;
}
