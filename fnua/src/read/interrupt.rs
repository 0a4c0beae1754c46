//! Ctrl-C, while a READ follows.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C presses, from the moment it is made; until then, and where it listens to nothing, Ctrl-C ends the
/// process as usual.
#[cfg(unix)]
pub(super) struct Interrupt(Option<Signal>);

#[cfg(unix)]
impl Interrupt {
    pub(super) fn listen() -> Self {
        Self(signal(SignalKind::interrupt()).ok())
    }

    pub(super) const fn never() -> Self {
        Self(None)
    }

    /// Waits for the next press.
    pub(super) async fn wait(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// Ctrl-C presses, where it listens.
#[cfg(not(unix))]
pub(super) struct Interrupt(bool);

#[cfg(not(unix))]
impl Interrupt {
    pub(super) const fn listen() -> Self {
        Self(true)
    }

    pub(super) const fn never() -> Self {
        Self(false)
    }

    pub(super) async fn wait(&mut self) {
        if self.0 {
            drop(tokio::signal::ctrl_c().await);
        } else {
            std::future::pending::<()>().await;
        }
    }
}
