//! The participant of the demo: `fnaad dev` in a process of its own, so that it can be killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::screen::Screen;
use crate::dev::DevBroker;

/// Longest time to `ready`: the first start compiles four plugins.
const START: Duration = Duration::from_secs(60);
/// Longest time for a clean end.
const END: Duration = Duration::from_secs(30);

/// Version of the bridge that is dropped in.
pub(super) const NEXT_BRIDGE: &str = "0.2.0";

pub(super) struct Participant {
    dir: PathBuf,
    namespace: String,
    child: Child,
    address: String,
}

impl Participant {
    pub(super) async fn start(
        dir: &Path,
        namespace: &str,
        broker: Option<&DevBroker>,
    ) -> Result<Self> {
        let (child, address) = launch(dir, namespace, broker).await?;
        Ok(Self { dir: dir.to_owned(), namespace: namespace.to_owned(), child, address })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Drops a new version of the bridge into the plugin directory, as an operator would.
    pub(super) fn drop_in_new_bridge(&self, screen: &Screen) -> Result<()> {
        let next = host_builtin::bridge_next();
        let plugins = self.dir.join("plugins");
        let partial = plugins.join(".bridge.wasm.new");
        std::fs::write(&partial, next.component).context("the new plugin version")?;
        std::fs::rename(&partial, plugins.join("bridge.wasm")).context("the new plugin version")?;
        screen.event("a new version of bridge.wasm was dropped into the plugin directory");
        Ok(())
    }

    /// `kill -9`, then the same command again.
    pub(super) async fn kill_and_restart(&mut self, screen: &Screen) -> Result<()> {
        self.child.kill().await.context("kill")?;
        screen.event("the host was killed with SIGKILL");
        (self.child, self.address) = launch(&self.dir, &self.namespace, None).await?;
        screen.event(&format!("started again, ready at {}", self.address));
        Ok(())
    }

    /// Leaves it running; gives its process id.
    pub(super) fn leave(self) -> u32 {
        let id = self.child.id().unwrap_or_default();
        // Its drop would kill the process.
        std::mem::forget(self.child);
        id
    }

    /// SIGTERM; it has to drain and end with 0.
    pub(super) async fn end(mut self) -> Result<()> {
        let id = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32));
        let id = id.context("the host has ended by itself")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM).context("SIGTERM")?;
        let ended = tokio::time::timeout(END, self.child.wait()).await;
        let status = ended.context("the host did not end after SIGTERM")??;
        if !status.success() {
            bail!("the host ended with {status}");
        }
        Ok(())
    }
}

/// The broker that was named at the first start is kept by the directory.
async fn launch(
    dir: &Path,
    namespace: &str,
    broker: Option<&DevBroker>,
) -> Result<(Child, String)> {
    std::fs::create_dir_all(dir).context("the demo's directory")?;
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("fnaad.log"));
    let mut child = Command::new(std::env::current_exe().context("own path")?)
        .arg("dev")
        .arg(dir)
        .args(["--namespace", namespace])
        .args(broker.map(|broker| format!("--broker={broker}")))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.context("the host's log")?)
        // In a process group of its own: Ctrl-C ends the demo, and the demo ends the host.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start fnaad dev")?;
    let stdout = child.stdout.take().context("no stdout")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = tokio::time::timeout(START, lines.next_line())
        .await
        .context("fnaad dev is not ready")??;
    let address = line.as_deref().and_then(|line| line.strip_prefix("ready fnap="));
    let address = address.and_then(|rest| rest.split(' ').next());
    let Some(address) = address else {
        let log = dir.join("fnaad.log");
        bail!("fnaad dev did not become ready; its log is {}", log.display());
    };
    Ok((child, address.to_owned()))
}
