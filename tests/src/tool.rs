//! `fnaad plugin …` as a process: what authors of plugins use beside hosts.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Said, program};

/// The tools, with a directory for the files they are given.
pub struct Tools {
    dir: tempfile::TempDir,
}

impl Tools {
    /// With no file yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Puts a file there and gives its path.
    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A path there.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// An included plugin's file.
    pub fn included(&self, name: &str) -> String {
        self.file(&format!("{name}.wasm"), included(name))
    }

    /// Runs `fnaad plugin` to its end.
    #[must_use]
    pub fn run(&self, args: &[&str], stdin: &str) -> Said {
        let mut command = Command::new(program("fnaad"));
        command.arg("plugin").args(args).env("XDG_CACHE_HOME", cache()).env_remove("FNUA_CONFIG");
        command.current_dir(self.dir.path());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let stdin = stdin.to_owned();
        let feeding = std::thread::spawn(move || drop(pipe.write_all(stdin.as_bytes())));
        let output = child.wait_with_output().unwrap();
        feeding.join().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs it with `--format json`, and gives the exit code and the object.
    #[must_use]
    pub fn json(&self, args: &[&str]) -> (i32, Value) {
        let said = self.run(&[args, &["--format", "json"]].concat(), "");
        let value = serde_json::from_str(&said.stdout);
        (said.code, value.unwrap_or_else(|error| panic!("{args:?}: {error}: {said:?}")))
    }
}

/// An included plugin's component.
pub(crate) fn included(name: &str) -> &'static [u8] {
    let found = host_builtin::all().into_iter().find(|plugin| plugin.name == name);
    found.expect("an included plugin").component
}

/// Compiled code, shared by the stories: compiling takes longer than most of them.
fn cache() -> PathBuf {
    let build = program("fnaad").parent().and_then(Path::parent).unwrap().to_owned();
    build.join("tmp/stories-tools")
}
