//! Ends a node with the program that started it, however that program ends.
//!
//! A shell waits at the end of a pipe for it: the kernel closes the other end when the program is
//! gone, killed or not. (A signal on the parent's death would not do: it is sent when the *thread*
//! that spawned the node ends, and tests spawn from threads.)

use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Reads the node's process id each time it changes; at the end, kills that and removes the folder.
const SCRIPT: &str = r#"
while read -r line; do pid=$line; done
[ "${pid:-0}" = 0 ] || kill -KILL "$pid" 2>/dev/null
until rm -rf -- "$1" 2>/dev/null; do sleep 0.1; done
"#;

#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Watches over what happens in `dir`.
    pub(crate) fn over(dir: &Path) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "kafka-node"])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a shell");
        let pipe = shell.stdin.take();
        Self { shell, pipe }
    }

    /// `pid` runs now; 0 when nothing does.
    pub(crate) fn tell(&mut self, pid: u32) {
        writeln!(self.pipe.as_mut().expect("open until dropped"), "{pid}")
            .expect("the guard lives");
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        drop(self.shell.wait());
    }
}
