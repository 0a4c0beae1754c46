//! The secret that the hosts of one user on one machine share, so that they need no certificates for each other.
//!
//! It lies in a file that only its user can read, made at the first start. A file that others could have read or written is
//! refused, never mended: nobody knows who has seen it.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// A secret of the user whom the operating system runs us for. Cloning shares it; the last one wipes it.
#[derive(Clone)]
pub struct SharedSecret(Arc<Zeroizing<String>>);

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// It cannot be read, or made.
    #[error("{}: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others than its user can read or write it.
    #[error("{}: mode is {mode:04o}: others may have read the secret (remove it, and a new one is made)", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is somebody else's, or no plain file.
    #[error("{}: not a file of this user", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Something else stands there.
    #[error("{}: not as it was written", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl SharedSecret {
    /// Reads the file; makes it, and the directories that it lies in, where there is none. Of several who do so at once
    /// one makes it, and all have the same.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn open(path: &Path) -> Result<Self, SecretError> {
        let unusable = |source| SecretError::Unusable { path: path.to_owned(), source };
        match read(path) {
            Err(SecretError::Unusable { source, .. }) if source.kind() == ErrorKind::NotFound => {
                make(path).map_err(unusable)?;
                read(path)
            }
            read => read,
        }
    }

    /// Where it lies when nobody says where: in the user's directory for state (XDG). None where the user has no home.
    #[must_use]
    pub fn usual_path() -> Option<PathBuf> {
        let absolute = |name: &str| {
            let dir = PathBuf::from(std::env::var_os(name)?);
            dir.is_absolute().then_some(dir)
        };
        let state = absolute("XDG_STATE_HOME");
        let state = state.or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
        Some(state.join("fnaa").join("peers.secret"))
    }

    /// The secret itself, as a password.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SharedSecret")
    }
}

fn read(path: &Path) -> Result<SharedSecret, SecretError> {
    let own = || path.to_owned();
    let unusable = |source| SecretError::Unusable { path: own(), source };
    // A link would show another file than the one that was looked at, and a pipe would wait for ever.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = flags.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unusable)?;
    let found = file.metadata().map_err(unusable)?;
    if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(SecretError::Foreign { path: own() });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Exposed { path: own(), mode });
    }
    let malformed = || SecretError::Malformed { path: own() };
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_FILE).read_to_string(&mut text).map_err(|_| malformed())?;
    let text = text.strip_suffix('\n').ok_or_else(malformed)?;
    let octets = STANDARD.decode(text).map(Zeroizing::new).map_err(|_| malformed())?;
    if octets.len() != OCTETS {
        return Err(malformed());
    }
    Ok(SharedSecret(Arc::new(Zeroizing::new(text.to_owned()))))
}

/// Makes the file whole beside its place and links it there, unless somebody was faster.
fn make(path: &Path) -> std::io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    if let Some(dir) = dir {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let mut octets = Zeroizing::new([0_u8; OCTETS]);
    getrandom::fill(octets.as_mut())?;
    let text = Zeroizing::new(STANDARD.encode(octets.as_ref()) + "\n");
    let partial = path.with_added_extension(format!("{:016x}.new", getrandom::u64()?));
    let written = write(&partial, text.as_bytes());
    let linked = written.and_then(|()| match std::fs::hard_link(&partial, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = std::fs::remove_file(&partial);
    linked.and(removed)?;
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

fn write(path: &Path, octets: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

/// Random octets of a secret: 256 bits, nobody guesses that.
const OCTETS: usize = 32;

/// Octets of the file: more than it ever has.
const MAX_FILE: u64 = 256;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_secret_is_made_once_and_only_its_user_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/fnaa/peers.secret");
        let first = SharedSecret::open(&path).unwrap();
        assert_eq!(SharedSecret::open(&path).unwrap().expose(), first.expose());
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(!format!("{first:?}").contains(first.expose()));
        let other = dir.path().join("other");
        assert_ne!(SharedSecret::open(&other).unwrap().expose(), first.expose());
    }

    #[test]
    fn of_many_who_start_at_once_all_have_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fnaa/peers.secret");
        let open = || SharedSecret::open(&path).unwrap().expose().to_owned();
        let all: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|one| *one == all[0]));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.secret");
        let secret = SharedSecret::open(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602] {
            set_mode(&path, mode);
            let error = SharedSecret::open(&path).unwrap_err();
            assert!(matches!(error, SecretError::Exposed { mode: found, .. } if found == mode));
            assert!(!format!("{error} {error:?}").contains(secret.expose()));
        }
        set_mode(&path, 0o600);
        for text in ["", "\n", "c2hvcnQ=\n", secret.expose(), &"x".repeat(10_000)] {
            std::fs::write(&path, text).unwrap();
            let error = SharedSecret::open(&path).unwrap_err();
            assert!(matches!(error, SecretError::Malformed { .. }), "{text:?}: {error}");
        }
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(SharedSecret::open(&link).is_err());
        let folder = dir.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        assert!(matches!(SharedSecret::open(&folder), Err(SecretError::Foreign { .. })));
    }
}
