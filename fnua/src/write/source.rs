//! The inputs of `fnua write`: files, and stdin.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// One input.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) reader: Box<dyn Read + Send>,
}

impl Source {
    /// The files, or stdin where none is named. All are opened now, so that a wrong name is known before
    /// anything is written.
    pub(super) fn open(files: &[PathBuf], stdin: Box<dyn Read + Send>) -> Result<Vec<Self>, Error> {
        let mut stdin = Some(stdin);
        let dash = [PathBuf::from("-")];
        let files = if files.is_empty() { &dash } else { files };
        files.iter().map(|path| Self::open_one(path, &mut stdin)).collect()
    }

    fn open_one(path: &Path, stdin: &mut Option<Box<dyn Read + Send>>) -> Result<Self, Error> {
        if path == Path::new("-") {
            let twice = || Error::Usage("stdin (-) is named twice".to_owned());
            return Ok(Self { name: "stdin".to_owned(), reader: stdin.take().ok_or_else(twice)? });
        }
        let unreadable = |reason: String| Error::Unreadable { path: path.to_owned(), reason };
        let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(unreadable("a directory".to_owned()));
        }
        Ok(Self { name: path.display().to_string(), reader: Box::new(file) })
    }
}

/// Whether every file is a plain one, so that batches end at the same lines in every run.
pub(super) fn all_plain(files: &[PathBuf]) -> bool {
    !files.is_empty() && files.iter().all(|path| path.is_file())
}
