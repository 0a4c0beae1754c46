//! One participant of the demo: `fnaad dev` in a process of its own, so that it can be killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::screen::Screen;

/// Longest time to `ready`: the first start compiles four plugins.
const START: Duration = Duration::from_secs(90);
/// Longest time for a clean end.
const END: Duration = Duration::from_secs(30);

/// Version of the bridge that is dropped in.
pub(super) const NEXT_BRIDGE: &str = "0.2.0";

/// What a participant is started with, each time.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) dir: PathBuf,
    /// Behind `fnaad dev DIR`.
    pub(super) args: Vec<String>,
}

pub(super) struct Participant {
    settings: Settings,
    child: Child,
    ready: String,
}

impl Participant {
    pub(super) async fn start(settings: Settings) -> Result<Self> {
        let (child, ready) = launch(&settings).await?;
        Ok(Self { settings, child, ready })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.settings.dir
    }

    /// What it said when it accepted.
    pub(super) fn ready(&self) -> &str {
        &self.ready
    }

    /// Drops a new version of the bridge into the plugin directory, as an operator would.
    pub(super) fn drop_in_new_bridge(&self) -> Result<()> {
        let next = host_builtin::bridge_next();
        let plugins = self.dir().join("plugins");
        let partial = plugins.join(".bridge.wasm.new");
        std::fs::write(&partial, next.component).context("the new plugin version")?;
        std::fs::rename(&partial, plugins.join("bridge.wasm")).context("the new plugin version")
    }

    /// `kill -9`, then the same command again.
    pub(super) async fn kill_and_restart(&mut self, name: &str, screen: &Screen) -> Result<()> {
        self.child.kill().await.context("kill")?;
        screen.event(&format!("the host of {name} was killed with SIGKILL"));
        (self.child, self.ready) = launch(&self.settings).await?;
        screen.event(&format!("the host of {name} was started again"));
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

/// Gives the process and what it says behind `ready`.
async fn launch(settings: &Settings) -> Result<(Child, String)> {
    let Settings { dir, args } = settings;
    std::fs::create_dir_all(dir).context("the demo's directory")?;
    let path = dir.join("fnaad.log");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let mut child = Command::new(std::env::current_exe().context("own path")?)
        .arg("dev")
        .arg(dir)
        .args(args)
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
    let Some(ready) = line.as_deref().and_then(|line| line.strip_prefix("ready ")) else {
        let said = std::fs::read_to_string(&path).unwrap_or_default();
        let last = said.lines().last().unwrap_or_default();
        bail!("fnaad dev did not become ready: {last} (its log is {})", path.display());
    };
    Ok((child, ready.to_owned()))
}
