//! TLS at the door: which certificate is shown, and what a handshake shows of the peer.
//!
//! TLS 1.2 and 1.3 only (RFC 9325). Knows no word of the protocol; whom a client's certificate means is
//! not decided here, only that he has its key and whether the operator's authority signed it.

mod any_client;
mod handshake;
mod material;
mod stream;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Mutex;

pub(crate) use handshake::welcome;
use material::Loaded;
pub use material::TlsError;
pub(crate) use stream::Stream;

/// The files of a certificate, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and an authority.
    pub certificate: PathBuf,
    /// Its key, without a password.
    pub key: PathBuf,
    /// The authorities whose word on clients is taken.
    pub client_ca: Option<PathBuf>,
}

/// A certificate that is looked after: new connections get what its files say.
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<Loaded>>,
    seen: Mutex<Seen>,
}

struct Seen {
    /// What the files were when they were last looked at, good or not: each state is told once.
    files: Result<[u8; 32], String>,
    /// What stands in them, where only its time keeps it from being shown.
    waits: Option<Loaded>,
}

impl Tls {
    /// Reads the files. To be followed by [`Self::watch`].
    ///
    /// # Errors
    /// When a file cannot be read, or they do not belong together.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = material::read(&files)?;
        let seen = Mutex::new(Seen { files: Ok(contents.digest()), waits: None });
        let current = RwLock::new(Arc::new(material::load(&files, &contents)?));
        Ok(Self { files, current, seen })
    }

    /// Looks at the files again and again, without end; warns every day of a certificate that is about
    /// to expire.
    pub async fn watch(&self) {
        let mut warned = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            self.look().await;
            if warned.elapsed() >= DAY {
                warned = Instant::now();
                self.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
            }
        }
    }

    /// Looks at the files now. What changed counts for new connections; what is broken changes nothing
    /// and is logged. So does a certificate that clients refuse for its time, as long as they take the one that is shown.
    pub async fn look(&self) {
        let mut seen = self.seen.lock().await;
        let files = self.files.clone();
        // A disk may be slow, and connections are not to wait for it.
        let read = tokio::task::spawn_blocking(move || material::read(&files));
        let Ok(read) = read.await else { return };
        let now = read.as_ref().map(material::Contents::digest).map_err(ToString::to_string);
        if seen.files == now {
            if let Some(loaded) = seen.waits.take_if(|loaded| self.keeps_out(loaded).is_none()) {
                self.take(loaded);
            }
            return;
        }
        *seen = Seen { files: now, waits: None };
        match read.and_then(|contents| material::load(&self.files, &contents)) {
            Ok(loaded) => match self.keeps_out(&loaded) {
                None => self.take(loaded),
                Some(why) => {
                    let cause = format!("the certificate in {} {why}", self.shown());
                    tracing::error!(cause, "kept the certificate that is shown");
                    seen.waits = Some(loaded);
                }
            },
            Err(error) => tracing::error!(cause = %error, "kept the certificate that is shown"),
        }
    }

    /// Why a certificate is not to be shown in place of the one that is.
    fn keeps_out(&self, loaded: &Loaded) -> Option<String> {
        let now = unix_now();
        loaded.out_of_time(now).filter(|_| self.current().out_of_time(now).is_none())
    }

    /// Seconds until the certificate expires; below zero once it has.
    #[must_use]
    pub fn expires_in(&self) -> i64 {
        self.current().not_after.saturating_sub(unix_now())
    }

    /// What an operator should know of the files though they can be used.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let (shown, left) = (self.shown(), self.expires_in());
        if let Some(why) = self.current().out_of_time(unix_now()) {
            warnings.push(format!("the certificate in {shown} {why}: clients refuse it"));
        } else if left < self.current().warn_before {
            let days = left / DAY.as_secs().cast_signed();
            warnings.push(format!("the certificate in {shown} expires in {days} days"));
        }
        warnings
    }

    fn take(&self, loaded: Loaded) {
        let loaded = Arc::new(loaded);
        let (file, not_after) = (self.shown(), loaded.not_after_text());
        tracing::info!(%file, not_after, "took over a certificate");
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        self.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    }

    fn shown(&self) -> std::path::Display<'_> {
        self.files.certificate.display()
    }

    fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs().cast_signed()
}

/// How often files are looked at. Their contents, not their times: what mounts secrets swaps links.
const LOOK: Duration = Duration::from_secs(3);

const DAY: Duration = Duration::from_secs(86_400);
