//! WASI 0.2 with nothing behind it, because languages other than Rust need it to start.
//!
//! No files, network, environment or arguments. The clock stands at the batch's timestamp and only
//! sleeping moves it; random numbers follow from processor, shard and position: a retry decides the
//! same. Nothing waits. What a guest prints becomes lines of its log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWrite;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::{clocks, random};
use wasmtime_wasi::p2::{
    DynPollable, OutputStream, Pollable, StreamError, StreamResult, subscribe,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::host::Host;
use crate::log::{Gate, Level};

/// Adds WASI to what components may import.
pub(crate) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    clocks::wall_clock::add_to_linker::<Host, HasWasi>(linker, |host| &mut host.wasi)?;
    clocks::monotonic_clock::add_to_linker::<Host, HasWasi>(linker, |host| &mut host.wasi)?;
    random::random::add_to_linker::<Host, HasWasi>(linker, |host| &mut host.wasi)?;
    random::insecure::add_to_linker::<Host, HasWasi>(linker, |host| &mut host.wasi)?;
    random::insecure_seed::add_to_linker::<Host, HasWasi>(linker, |host| &mut host.wasi)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The WASI part of a store.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    /// Nanoseconds since 1970: the batch's timestamp and what was slept since.
    wall: u64,
    /// The same, but it never goes back, as guests may rely on.
    monotonic: u64,
    random: Random,
}

impl Wasi {
    pub(crate) fn new(log: &Arc<Mutex<Gate>>, seed: &[&[u8]]) -> Self {
        let ctx = WasiCtx::builder()
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .stdout(Printed::new(Level::Info, log))
            .stderr(Printed::new(Level::Warn, log))
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Self { ctx, table, wall: 0, monotonic: 0, random: Random::new(seed) }
    }

    /// Sets the clock to a batch's timestamp in milliseconds, and what random numbers follow from.
    pub(crate) fn begin(&mut self, timestamp: i64, seed: &[&[u8]]) {
        self.wall = u64::try_from(timestamp).unwrap_or(0).saturating_mul(1_000_000);
        self.monotonic = self.monotonic.max(self.wall);
        self.random = Random::new(seed);
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi.ctx, table: &mut self.wasi.table }
    }
}

struct HasWasi;

impl HasData for HasWasi {
    type Data<'a> = &'a mut Wasi;
}

impl clocks::wall_clock::Host for Wasi {
    fn now(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        let nanoseconds = u32::try_from(self.wall % SECOND).unwrap_or(0);
        Ok(clocks::wall_clock::Datetime { seconds: self.wall / SECOND, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        Ok(clocks::wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl clocks::monotonic_clock::Host for Wasi {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.monotonic)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1_000_000)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        // A guest that sleeps in a loop until a moment would otherwise never see it come.
        let slept = when.saturating_sub(self.monotonic);
        self.monotonic = self.monotonic.saturating_add(slept);
        self.wall = self.wall.saturating_add(slept);
        let ready = self.table.push(Ready)?;
        subscribe(&mut self.table, ready)
    }

    fn subscribe_duration(&mut self, time: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let when = self.monotonic.saturating_add(time);
        clocks::monotonic_clock::Host::subscribe_instant(self, when)
    }
}

impl random::random::Host for Wasi {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.number())
    }
}

impl random::insecure::Host for Wasi {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.number())
    }
}

impl random::insecure_seed::Host for Wasi {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.random.number(), self.random.number()))
    }
}

/// A pollable that is always ready: nothing makes a call wait.
struct Ready;

#[async_trait::async_trait]
impl Pollable for Ready {
    async fn ready(&mut self) {}
}

/// Numbers that follow from a seed: SHA-256 over the seed and a counter.
#[derive(Debug)]
struct Random {
    seed: [u8; 32],
    block: u64,
}

impl Random {
    fn new(seed: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in seed {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self { seed: hash.finalize().into(), block: 0 }
    }

    fn next(&mut self) -> [u8; 32] {
        let block = Sha256::new().chain_update(self.seed).chain_update(self.block.to_le_bytes());
        self.block += 1;
        block.finalize().into()
    }

    fn number(&mut self) -> u64 {
        self.next().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        wasmtime::ensure!(len <= MAX_RANDOM, "asked for {len} random bytes, at most {MAX_RANDOM}");
        let len = usize::try_from(len)?;
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let block = self.next();
            bytes.extend(block.iter().take(len - bytes.len()));
        }
        Ok(bytes)
    }
}

/// One of the guest's printed streams; every handle to it writes to the same lines.
#[derive(Clone)]
struct Printed(Arc<Mutex<Lines>>);

struct Lines {
    level: Level,
    log: Arc<Mutex<Gate>>,
    open: Vec<u8>,
}

impl Printed {
    fn new(level: Level, log: &Arc<Mutex<Gate>>) -> Self {
        let log = Arc::clone(log);
        Self(Arc::new(Mutex::new(Lines { level, log, open: Vec::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_LINE.saturating_sub(self.open.len());
            self.open.extend(piece.iter().take(room));
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.open)).trim_end().to_owned();
        if !line.is_empty() {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.log(self.level, &line, Vec::new());
        }
    }
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::empty())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

#[async_trait::async_trait]
impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > MAX_WRITE {
            return Err(StreamError::trap("wrote more than the stream allowed"));
        }
        self.lock().write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_WRITE)
    }
}

const SECOND: u64 = 1_000_000_000;

/// Handles a guest may hold at once: streams and pollables. A leak ends in a trap, not in the host's
/// memory.
const MAX_RESOURCES: usize = 4096;

/// Random bytes of one call: a key or a seed, not a file.
const MAX_RANDOM: u64 = 64 * 1024;

/// Bytes of one printed line; the rest is left out.
const MAX_LINE: usize = 8 * 1024;

/// Bytes of one write: what WASI's own streams take.
const MAX_WRITE: usize = 64 * 1024;

#[cfg(test)]
mod tests;
