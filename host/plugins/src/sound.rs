//! Whether compiled code on disk is what was written there.
//!
//! The engine runs cached code as it lies and has no sum over it; after a power cut or a flipped bit it
//! would run something else. So each file gets a sum beside the cache, and what does not match its sum is
//! removed before the engine looks: it is compiled again. Against somebody who can write there this
//! guards nothing.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The cache directory: the engine's code, and the sums.
#[derive(Debug)]
pub(crate) struct Sound {
    code: PathBuf,
    sums: PathBuf,
}

impl Sound {
    /// Opens a directory that is ours alone, and removes what is damaged or half written.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let sound = Self { code: dir.join("code"), sums: dir.join("sums") };
        for dir in [&sound.code, &sound.sums] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        sound.check()?;
        Ok(sound)
    }

    /// Where the engine keeps its code.
    pub(crate) fn code(&self) -> &Path {
        &self.code
    }

    /// Gives what was compiled since a sum. Without one it would be compiled again at the next start,
    /// which is no harm.
    pub(crate) fn keep(&self) {
        if let Err(error) = self.sum_up() {
            tracing::debug!(%error, "compiled code has no sum yet");
        }
    }

    fn sum_up(&self) -> io::Result<()> {
        for (file, name) in files(&self.code)? {
            let sum = self.sums.join(&name);
            if is_code(&name) && !sum.exists() {
                fs::write(&sum, sum_of(&fs::read(&file)?))?;
            }
        }
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        let files = files(&self.code)?;
        for (file, name) in &files {
            if is_code(name) && !self.is_sound(file, name)? || is_half_written(name) {
                remove(file)?;
            }
        }
        for entry in fs::read_dir(&self.sums)? {
            let entry = entry?;
            let of = |(file, name): &(PathBuf, String)| {
                file.exists() && entry.file_name() == OsStr::new(name)
            };
            if !files.iter().any(of) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn is_sound(&self, file: &Path, name: &str) -> io::Result<bool> {
        // No sum: the host ended between writing the one and the other.
        let Ok(sum) = fs::read_to_string(self.sums.join(name)) else { return Ok(false) };
        let sound = sum == sum_of(&fs::read(file)?);
        if !sound {
            tracing::warn!(file = %file.display(), "compiled code is damaged, compiling again");
        }
        Ok(sound)
    }
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The engine's code files have no extension.
fn is_code(name: &str) -> bool {
    !name.contains('.')
}

/// What the engine writes before it renames; one that is left over would keep it from writing again.
fn is_half_written(name: &str) -> bool {
    name.contains(".wip-")
}

fn sum_of(bytes: &[u8]) -> String {
    format!("{} {:08x}", bytes.len(), crc32fast::hash(bytes))
}

/// Every file below a directory, with its name.
fn files(dir: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let (mut folders, mut found) = (vec![dir.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if let Ok(name) = entry.file_name().into_string() {
                found.push((entry.path(), name));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with the files `one` and `two`, and their sums.
    fn kept() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let sound = Sound::open(dir.path()).unwrap();
        let code = sound.code().join("modules/engine-1");
        fs::create_dir_all(&code).unwrap();
        for name in ["one", "two"] {
            fs::write(code.join(name), name).unwrap();
        }
        sound.keep();
        (dir, code)
    }

    #[test]
    fn what_is_as_it_was_written_stays() {
        let (dir, code) = kept();
        Sound::open(dir.path()).unwrap();
        assert!(code.join("one").exists() && code.join("two").exists());
    }

    #[test]
    fn what_is_damaged_goes_with_its_sum_and_the_rest_stays() {
        let (dir, code) = kept();
        fs::write(code.join("one"), "onE").unwrap();
        Sound::open(dir.path()).unwrap();
        assert!(!code.join("one").exists() && code.join("two").exists());
        assert!(!dir.path().join("sums/one").exists() && dir.path().join("sums/two").exists());
    }

    #[test]
    fn what_has_no_sum_goes_and_so_does_what_is_half_written() {
        let (dir, code) = kept();
        fs::remove_file(dir.path().join("sums/one")).unwrap();
        fs::write(code.join("two.wip-atomic-write-mod"), "tw").unwrap();
        Sound::open(dir.path()).unwrap();
        assert!(!code.join("one").exists() && code.join("two").exists());
        assert!(!code.join("two.wip-atomic-write-mod").exists());
    }
}
