//! The users of a running host: made at its start, and taken over again when their file changes.
//!
//! A file that is wrong changes nothing; that is logged once for each state of the file.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use host_iam::{Changes, SECRET, Settings, Users};
use host_peers::dev::SharedSecret;
use tokio::time::{Interval, MissedTickBehavior};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::files;

/// The users of a configuration.
///
/// # Errors
/// When they cannot be read, or the data directory cannot be written.
pub(crate) fn open(config: &Config) -> Result<Users> {
    let list = config.all_users().context("users")?;
    let secret = secret(&config.data_dir)?;
    let certificates = config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let settings = Settings { certificates, ..config.identities.clone() };
    let users = Users::with(list, settings, &secret).context("users")?;
    if let Some(path) = &config.peers.secret_file {
        let secret = SharedSecret::open(path).context("secret of the hosts on this machine")?;
        users.trust_neighbours(secret.expose()).context("secret of the hosts on this machine")?;
    }
    Ok(users)
}

/// What makes up challenges for users who do not exist: the same after every start, or a stranger would
/// see who does.
fn secret(data_dir: &Path) -> Result<Zeroizing<[u8; SECRET]>> {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    let path = data_dir.join("users.secret");
    if let Some(text) = files::read(&path)?.map(Zeroizing::new) {
        let octets = engine.decode(text.trim_end()).ok().map(Zeroizing::new);
        let octets = octets.and_then(|octets| <[u8; SECRET]>::try_from(octets.as_slice()).ok());
        let Some(octets) = octets else { bail!("{}: not as it was written", path.display()) };
        return Ok(Zeroizing::new(octets));
    }
    files::make_dir(data_dir)?;
    let mut octets = Zeroizing::new([0; SECRET]);
    getrandom::fill(octets.as_mut()).context("random numbers")?;
    let text = Zeroizing::new(engine.encode(octets.as_ref()));
    files::replace(&path, text.as_bytes())?;
    Ok(octets)
}

/// Takes the users over as they are written now, and says what is different.
pub(crate) fn take_over(config: &Config, users: &Users) -> Result<()> {
    let changes = users.replace(config.all_users().context("users")?);
    if !changes.is_empty() {
        let Changes { added, removed, disabled, changed } = &changes;
        let [added, removed, disabled, changed] =
            [added, removed, disabled, changed].map(|list| names(list));
        tracing::info!(added, removed, disabled, changed, "users changed");
    }
    Ok(())
}

fn names(names: &[String]) -> String {
    let mut shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(" ");
    if names.len() > SHOWN {
        shown += &format!(" and {} more", names.len() - SHOWN);
    }
    shown
}

/// Looks at the users file every now and then.
pub(crate) struct Lookout {
    ticks: Interval,
    seen: Option<Stamp>,
}

/// When it was changed, how large it is, and which file it is at all.
type Stamp = (i64, i64, i64, i64, u64, u64);

impl Lookout {
    /// Counts from what the file is now.
    pub(crate) async fn new(config: &Config) -> Self {
        let mut ticks = tokio::time::interval(LOOKED_AT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, seen: stamp(config).await }
    }

    /// Waits until the file is another one than it was when this last said so. May be dropped.
    pub(crate) async fn changed(&mut self, config: &Config) {
        loop {
            self.ticks.tick().await;
            let now = stamp(config).await;
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

async fn stamp(config: &Config) -> Option<Stamp> {
    let found = tokio::fs::metadata(config.users_file.as_ref()?).await.ok()?;
    let (modified, changed) = (found.mtime(), found.ctime());
    Some((modified, found.mtime_nsec(), changed, found.ctime_nsec(), found.len(), found.ino()))
}

/// How soon a changed users file counts, at the latest.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// Names of one change that a line of the log shows.
const SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_made_once_and_only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let first = secret(&data).unwrap();
        assert_eq!(secret(&data).unwrap(), first);
        let path = data.join("users.secret");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(&path).unwrap();
        assert_ne!(secret(&data).unwrap(), first);
        std::fs::write(&path, "c2hvcnQ=").unwrap();
        assert!(secret(&data).is_err());
    }
}
