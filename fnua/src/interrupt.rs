//! Ctrl-C, while a run goes on until somebody ends it.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C presses, from the moment it is made; until then, and where it listens to nothing, Ctrl-C ends the
/// process as usual.
#[cfg(unix)]
pub(crate) struct Interrupt {
    pressed: Option<Signal>,
    asked: Option<Signal>,
}

#[cfg(unix)]
impl Interrupt {
    pub(crate) fn listen() -> Self {
        Self { pressed: signal(SignalKind::interrupt()).ok(), asked: None }
    }

    /// The polite end that others ask for, too: for a run that has something to put right.
    pub(crate) fn listen_to_all() -> Self {
        Self { asked: signal(SignalKind::terminate()).ok(), ..Self::listen() }
    }

    pub(crate) const fn never() -> Self {
        Self { pressed: None, asked: None }
    }

    /// Waits for the next press.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            () = next(&mut self.pressed) => {}
            () = next(&mut self.asked) => {}
        }
    }
}

#[cfg(unix)]
async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Ctrl-C presses, where it listens.
#[cfg(not(unix))]
pub(crate) struct Interrupt(bool);

#[cfg(not(unix))]
impl Interrupt {
    pub(crate) const fn listen() -> Self {
        Self(true)
    }

    pub(crate) const fn listen_to_all() -> Self {
        Self(true)
    }

    pub(crate) const fn never() -> Self {
        Self(false)
    }

    pub(crate) async fn wait(&mut self) {
        if self.0 {
            drop(tokio::signal::ctrl_c().await);
        } else {
            std::future::pending::<()>().await;
        }
    }
}
