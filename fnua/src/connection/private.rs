//! Files with a secret: those that others can read are refused, as ssh does with keys.
//!
//! A group may read one that root owns, as what mounts secrets makes them.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

/// The beginning of a file that only its owner can read, at most so many octets of it; else why not, with its name.
pub(super) fn read(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>, String> {
    let shown = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(shown)?;
    refuse_if_others_can_read(&file.metadata().map_err(shown)?)
        .map_err(|reason| format!("{}: {reason}", path.display()))?;
    let mut text = Zeroizing::new(Vec::new());
    file.take(most).read_to_end(&mut text).map_err(shown)?;
    Ok(text)
}

#[cfg(unix)]
fn refuse_if_others_can_read(metadata: &Metadata) -> Result<(), String> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let mode = metadata.permissions().mode() & 0o7777;
    let others = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    // A pipe is of whoever made it, and gone when it was read.
    if metadata.is_file() && mode & others != 0 {
        return Err(format!("others can read it (mode {mode:04o}): chmod 600"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_if_others_can_read(_: &Metadata) -> Result<(), String> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn a_file_that_others_can_read_is_refused_by_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "abc").unwrap();
        let of_root = std::fs::metadata(&path).unwrap().uid() == 0;
        for (mode, taken) in [(0o600, true), (0o400, true), (0o640, of_root), (0o644, false)] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let said = read(&path, 2).map(|text| text.to_vec());
            assert_eq!(said.is_ok(), taken, "{mode:o}");
            match said {
                Ok(text) => assert_eq!(text, b"ab"),
                Err(why) => assert!(why.contains(&format!("mode {mode:04o}")), "{why}"),
            }
        }
        assert!(read(&dir.path().join("none"), 2).is_err());
    }
}
