//! How most stories begin: a host of their own, that has done some commands.

use tempfile::TempDir;

use crate::{Fnaad, Wire};

/// Flow `a` of many stories.
pub const A: &str = "a.flows.unix.ar";
/// Flow `b`.
pub const B: &str = "b.flows.unix.ar";
/// The processor between them.
pub const P: &str = "p.flows.unix.ar";

/// A connection, its host, and the host's directory.
pub type Hosted = (Wire, Fnaad, TempDir);

/// A host in a directory of its own, after commands that all went well.
#[must_use]
pub fn host_after(commands: &[&str]) -> Hosted {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    commands.iter().for_each(|command| drop(wire.ok(command)));
    (wire, host, dir)
}

/// A host with flows of so many partitions.
#[must_use]
pub fn host_with(flows: &[&str], partitions: u32) -> Hosted {
    let create = |flow: &&str| format!("CREATE FLOW {flow} partitions={partitions}");
    let commands: Vec<String> = flows.iter().map(create).collect();
    host_after(&commands.iter().map(String::as_str).collect::<Vec<_>>())
}
