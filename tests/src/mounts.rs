//! File systems of a story's own: small, and full or read-only when the story wants it.

use std::path::Path;
use std::process::Command;

/// Tells the process that is run again where it is.
const INSIDE: &str = "STORIES_PRIVATE_MOUNTS";

/// Whether this process may mount; otherwise the story was run by another process that may, with the
/// name of the test, and is over.
///
/// # Panics
/// When the story fails, or in one line when no process here may mount: nothing is skipped.
#[must_use]
pub fn in_private_mounts(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let unshare = if rustix::process::getuid().is_root() { "-m" } else { "-rm" };
    let may =
        Command::new("unshare").args([unshare, "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    match may {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "missing: the right to mount (root, or user namespaces); unshare {unshare}: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        ),
        Err(error) => panic!("missing: unshare (util-linux): {error}"),
    }
    let mut inner = Command::new("unshare");
    inner.arg(unshare).arg(std::env::current_exe().unwrap());
    let inner = inner.args([test, "--exact", "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&inner.stdout),
        String::from_utf8_lossy(&inner.stderr)
    );
    assert!(inner.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// Mounts a file system of so many megabytes.
pub fn mount_small(dir: &Path, megabytes: u32) {
    std::fs::create_dir_all(dir).unwrap();
    mount(&["-t", "tmpfs", "-o", &format!("size={megabytes}m,mode=700"), "none"], dir);
}

/// Mounts it with other options.
pub fn remount(dir: &Path, options: &str) {
    mount(&["-o", &format!("remount,{options}")], dir);
}

/// Mounts a file with a file system of a real disk in it, which is made with so many megabytes where there
/// is none.
///
/// # Panics
/// In one line where the right to a loop device is missing.
pub fn mount_image(dir: &Path, image: &Path, megabytes: u64) {
    std::fs::create_dir_all(dir).unwrap();
    if !image.exists() {
        std::fs::File::create(image).unwrap().set_len(megabytes << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image).output();
        assert!(made.is_ok_and(|made| made.status.success()), "missing: mkfs.ext4 (e2fsprogs)");
    }
    let mut loops = Command::new("mount");
    loops.args(["-t", "ext4", "-o", "loop,errors=remount-ro"]).arg(image).arg(dir);
    let output = loops.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "missing: root with a loop device: {}", words.trim_end());
}

/// Makes the kernel do to a mounted image what it does after a fault of the disk: files that are open can
/// no longer be written either.
pub fn break_off(dir: &Path) {
    mount(&["-o", "remount,abort"], dir);
}

/// Takes a file system away that nobody uses.
pub fn unmount(dir: &Path) {
    let output = Command::new("umount").arg(dir).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "umount {}: {words}", dir.display());
}

fn mount(args: &[&str], dir: &Path) {
    let output = Command::new("mount").args(args).arg(dir).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "mount {args:?} {}: {words}", dir.display());
}
