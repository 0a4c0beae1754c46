//! Configurations for `fnaad serve`, as an operator writes them.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program;

/// A configuration with the draft's host, namespace and user.
pub struct Config {
    path: PathBuf,
    /// Its text.
    pub text: String,
}

impl Config {
    /// `test` may come in with `test`, everything lies in `dir`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let verifier = hash_password("test");
        let text = format!(
            "hostname = \"fnaa.unix.ar\"\nlisten = [\"127.0.0.1:0\"]\ndata_dir = \"data\"\nadministrators = [\"user:test\"]\n\
             \n[[namespaces]]\nname = \"flows.unix.ar\"\n\
             \n[[users]]\nname = \"test\"\nverifier = \"{verifier}\"\n"
        );
        Self { path: dir.join("fnaad.toml"), text }
    }

    /// More users, who may come in with `test`, too, and may nothing until somebody grants it.
    #[must_use]
    pub fn with_users(mut self, names: &[&str]) -> Self {
        let verifier = hash_password("test");
        for name in names {
            self.text += &format!("\n[[users]]\nname = \"{name}\"\nverifier = \"{verifier}\"\n");
        }
        self
    }

    /// Writes it where only its owner can read it.
    pub fn save(&self) -> &Path {
        std::fs::write(&self.path, &self.text).unwrap();
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&self.path, mode).unwrap();
        &self.path
    }
}

/// `fnaad hash-password`.
#[must_use]
pub fn hash_password(password: &str) -> String {
    let mut command = Command::new(program("fnaad"));
    command.arg("hash-password").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("fnaad starts");
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
