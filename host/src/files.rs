//! Files and directories that only their owner can read, and certificates; replaced as a whole.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Makes a directory, mode 0700, and those above it; one that is there stays as it is.
pub(crate) fn make_dir(dir: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| dir.display().to_string())
}

/// Replaces a file, mode 0600: after a crash it is the old one or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes, 0o600).with_context(|| path.display().to_string())
}

/// The same for a file that everybody may read, mode 0644.
pub(crate) fn replace_for_all(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes, 0o644).with_context(|| path.display().to_string())
}

/// Replaces a file, mode 0600, that stays its owner's: an operator may be root, the host that has to read it
/// is not.
pub(crate) fn replace_for_its_owner(path: &Path, bytes: &[u8]) -> Result<()> {
    let owner = std::fs::metadata(path).ok().map(|old| (old.uid(), old.gid()));
    write_for(owner, path, bytes, 0o600).with_context(|| path.display().to_string())
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    write_for(None, path, bytes, mode)
}

fn write_for(
    owner: Option<(u32, u32)>,
    path: &Path,
    bytes: &[u8],
    mode: u32,
) -> std::io::Result<()> {
    if is_so(path, bytes, mode) {
        return Ok(());
    }
    let partial = path.with_added_extension("new");
    // A leftover may have been made with another mode.
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial)?;
    if let Some((user, group)) = owner {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (user, group) {
            fchown(&file, Some(user), Some(group))?;
        }
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

/// Whether it is that file already: a full disk must not keep a host from starting again.
fn is_so(path: &Path, bytes: &[u8], mode: u32) -> bool {
    let plain = |meta: &std::fs::Metadata| meta.is_file() && meta.mode() & 0o777 == mode;
    let same_size = |meta: &std::fs::Metadata| meta.len() == bytes.len() as u64;
    let found = std::fs::symlink_metadata(path).is_ok_and(|meta| plain(&meta) && same_size(&meta));
    found && std::fs::read(path).is_ok_and(|now| now == bytes)
}

/// A small text file; `None` where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<String>> {
    let shown = || path.display().to_string();
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.with_context(shown)?,
    };
    let mut text = String::new();
    let length = file.take(MAX_FILE + 1).read_to_string(&mut text).with_context(shown)?;
    if length as u64 > MAX_FILE {
        bail!("{}: larger than {MAX_FILE} octets", shown());
    }
    Ok(Some(text))
}

/// Octets of a file that we wrote ourselves and people may have added to.
const MAX_FILE: u64 = 1024 * 1024;
