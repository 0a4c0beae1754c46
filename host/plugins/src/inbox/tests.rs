//! A directory as it changes under one who looks at it.

use super::*;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

fn inbox() -> (Inbox, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Inbox::open(dir.path()).unwrap(), dir)
}

fn settled(inbox: &mut Inbox) -> Vec<String> {
    inbox.look().unwrap().settled.into_iter().map(|(file, _)| file).collect()
}

fn refusal(inbox: &mut Inbox, file: &str) -> String {
    inbox.look().unwrap();
    let look = inbox.look().unwrap();
    let (_, stamp) = look.settled.iter().find(|(settled, _)| settled == file).unwrap();
    match read(&inbox.dir.join(file), *stamp) {
        Err(ReadError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_settles_when_two_looks_see_the_same() {
    let (mut inbox, dir) = inbox();
    let path = dir.path().join("a.wasm");
    fs::write(&path, "1").unwrap();
    assert!(inbox.look().unwrap().unsettled);
    fs::write(&path, "12").unwrap();
    assert!(inbox.look().unwrap().unsettled);
    let look = inbox.look().unwrap();
    let [(file, stamp)] = look.settled.as_slice() else { panic!("{look:?}") };
    assert_eq!(read(&path, *stamp).unwrap(), "12");
    inbox.handled(file.clone(), *stamp);
    assert_eq!(settled(&mut inbox), Vec::<String>::new());
    inbox.forget();
    assert_eq!(settled(&mut inbox), ["a.wasm"]);
}

#[test]
fn a_file_that_changes_while_it_is_read_gives_nothing() {
    let (mut inbox, dir) = inbox();
    let path = dir.path().join("a.wasm");
    fs::write(&path, "1").unwrap();
    inbox.look().unwrap();
    let (_, stamp) = inbox.look().unwrap().settled.pop().unwrap();
    fs::write(&path, "123").unwrap();
    assert_eq!(read(&path, stamp), Err(ReadError::Changed));
    fs::remove_file(&path).unwrap();
    assert_eq!(read(&path, stamp), Err(ReadError::Changed));
}

#[test]
fn a_file_that_goes_is_told_once_and_may_come_again() {
    let (mut inbox, dir) = inbox();
    let path = dir.path().join("a.wasm");
    fs::write(&path, "1").unwrap();
    inbox.look().unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(inbox.look().unwrap().gone, ["a.wasm"]);
    assert!(inbox.look().unwrap().gone.is_empty());
}

#[test]
fn links_directories_pipes_and_huge_files_are_refused_with_a_reason() {
    let (mut inbox, dir) = inbox();
    let path = |name: &str| dir.path().join(name);
    symlink("/etc/passwd", path("link.wasm")).unwrap();
    fs::create_dir(path("dir.wasm")).unwrap();
    File::create(path("huge.wasm")).unwrap().set_len(MAX_COMPONENT + 1).unwrap();
    assert!(refusal(&mut inbox, "link.wasm").contains("symbolic link"));
    assert_eq!(refusal(&mut inbox, "dir.wasm"), "a directory");
    let huge = refusal(&mut inbox, "huge.wasm");
    assert!(huge.contains("component_bytes=") && huge.contains("has 67108865"), "{huge}");
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path("pipe.wasm"), pipe, Mode::RUSR, 0).unwrap();
    assert_eq!(refusal(&mut inbox, "pipe.wasm"), "no regular file");
}

#[test]
fn names_that_cannot_be_shown_are_left_alone_and_counted() {
    let (mut inbox, dir) = inbox();
    fs::write(dir.path().join("a.wasm"), "1").unwrap();
    let names: [&[u8]; 3] = [b"e\x1b[2J.wasm", b"a ok\nbridge 9.9.9 ok.wasm", b"\xff.wasm"];
    for name in names {
        fs::write(dir.path().join(OsStr::from_bytes(name)), "1").unwrap();
    }
    inbox.look().unwrap();
    assert_eq!(settled(&mut inbox), ["a.wasm"]);
    assert!(matches!(&inbox.unshown, Some((3, one)) if one.chars().all(is_plain)));
}

#[test]
fn other_names_are_not_looked_at() {
    let (mut inbox, dir) = inbox();
    for name in ["a.txt", ".a.wasm", "a.wasm.part"] {
        fs::write(dir.path().join(name), "1").unwrap();
    }
    let look = inbox.look().unwrap();
    assert!(!look.unsettled && look.settled.is_empty());
}
