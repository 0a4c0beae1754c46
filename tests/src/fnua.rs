//! `fnua` as a process.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::program;

/// The user agent with a configuration.
#[derive(Clone)]
pub struct Fnua {
    config: PathBuf,
}

/// What a run said.
#[derive(Debug)]
pub struct Said {
    /// Exit code.
    pub code: i32,
    /// Data.
    pub stdout: String,
    /// Words.
    pub stderr: String,
}

impl Fnua {
    /// Uses a configuration file.
    #[must_use]
    pub fn new(config: PathBuf) -> Self {
        Self { config }
    }

    /// User and password of its first agent.
    #[must_use]
    pub fn credentials(&self) -> (String, String) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            let value = line.and_then(|rest| rest.trim().strip_prefix('='));
            value.map(|value| value.trim().trim_matches('"').to_owned()).expect("a credential")
        };
        (value("username"), value("password"))
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, "")
    }

    /// The same with standard input.
    #[must_use]
    pub fn run_with(&self, args: &[&str], stdin: &str) -> Said {
        let mut child = self.spawn(args);
        let mut pipe = child.stdin.take().unwrap();
        let stdin = stdin.to_owned();
        // A reader that ends early closes the pipe: that is its answer, not an error of the test.
        let feeding = std::thread::spawn(move || drop(pipe.write_all(stdin.as_bytes())));
        let output = child.wait_with_output().unwrap();
        feeding.join().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts it with pipes.
    #[must_use]
    pub fn spawn(&self, args: &[&str]) -> Child {
        let mut command = Command::new(program("fnua"));
        command.arg("--config").arg(&self.config).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("fnua starts")
    }

    /// Runs it; it has to succeed. Gives its data.
    pub fn ok(&self, args: &[&str]) -> String {
        self.ok_with(args, "")
    }

    /// The same with standard input.
    pub fn ok_with(&self, args: &[&str], stdin: &str) -> String {
        let said = self.run_with(args, stdin);
        assert_eq!(said.code, 0, "fnua {args:?} said {said:?}");
        said.stdout
    }
}
