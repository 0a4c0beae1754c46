//! A disk that is full, and one that is read-only: clear words, no damage, and on when there is room.

use std::io::Write;
use std::path::Path;

use stories::{
    A, B, Fnaad, Refused, Wire, break_off, event, eventually_holds, ids, in_private_mounts,
    mount_image, mount_small, remount, unmount,
};

/// Megabytes of the file system with the data: the start of a host takes some six.
const SMALL: u32 = 24;

/// Writes events one at a time with tokens, until one is refused; gives the first that was not taken
/// and the refusal.
fn write_until_refused(wire: &mut Wire, first: usize) -> (usize, String) {
    for n in first.. {
        let answer = wire.write(&format!("{A} ID t{n}"), &[large(n)]);
        if answer != "220 OK 1 events" {
            return (n, answer);
        }
    }
    unreachable!()
}

/// Event `n`, with 100 kB of data.
fn large(n: usize) -> String {
    event(n).replace(r#""n":"#, &format!(r#""fill":"{}","n":"#, "x".repeat(100_000)))
}

/// Takes whatever room there is; gives it back when the file is removed.
fn fill(path: &Path) {
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
}

fn bridged(wire: &mut Wire) {
    wire.ok(&format!("CREATE FLOW {A}"));
    wire.ok(&format!("CREATE FLOW {B}"));
    wire.ok(&format!("REPLICATE {A} {B}"));
}

fn says_full(answer: &str) -> bool {
    answer.starts_with("503 UNAVAILABLE ") && answer.contains("full")
}

#[test]
fn on_a_full_disk_it_says_so_reads_on_and_goes_on_when_there_is_room() {
    if !in_private_mounts("disk::on_a_full_disk_it_says_so_reads_on_and_goes_on_when_there_is_room")
    {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (data, filler) = (dir.path().join("data"), dir.path().join("data/filler"));
    mount_small(&data, SMALL);
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    bridged(&mut wire);
    let (mut written, refused) = write_until_refused(&mut wire, 0);
    assert!(written > 10 && says_full(&refused), "event {written}: {refused}");
    fill(&filler);
    // As often as clients like to try: one line in the log tells the operator.
    for _ in 0..20 {
        let refused = wire.write(&format!("{A} ID t{written}"), &[large(written)]);
        assert!(says_full(&refused), "{refused}");
    }
    let refused = wire.refused("CREATE FLOW c.flows.unix.ar");
    assert!(says_full(&refused), "{refused}");
    assert_eq!(wire.read(A).len(), written);
    let log = host.log();
    let told = log.lines().filter(|line| line.contains("nothing can be written")).count();
    assert!((1..=2).contains(&told), "{told} lines tell of it:\n{log}");
    // Killed while it is full, and started while it is.
    host.kill();
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    assert_eq!(wire.read(A).len(), written);
    let refused = wire.write(&format!("{A} ID t{written}"), &[large(written)]);
    assert!(says_full(&refused), "{refused}");
    std::fs::remove_file(&filler).unwrap();
    // Room again, for some: the same word writes the same event once.
    remount(&data, "size=64m");
    for n in written..written + 10 {
        assert_eq!(wire.write(&format!("{A} ID t{n}"), &[large(n)]), "220 OK 1 events");
        assert_eq!(wire.write(&format!("{A} ID t{n}"), &[large(n)]), "220 OK 1 events");
    }
    written += 10;
    let wanted: Vec<String> = (0..written).map(|n| format!("e{n}")).collect();
    assert_eq!(ids(&eventually_holds(&mut wire, B, written)), wanted);
    assert_eq!(ids(&wire.read(A)), wanted);
    wire.ok("CREATE FLOW c.flows.unix.ar");
    assert!(host.log().lines().any(|line| line.contains("written again")), "{}", host.log());
}

#[test]
fn on_a_read_only_disk_a_start_is_refused_in_one_line() {
    if !in_private_mounts("disk::on_a_read_only_disk_a_start_is_refused_in_one_line") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for used in [false, true] {
        mount_small(&data, SMALL);
        if used {
            assert!(Fnaad::dev(dir.path()).end().success());
        }
        remount(&data, "ro");
        let Refused { code, stdout, stderr } =
            Fnaad::refused(&["dev".as_ref(), dir.path().as_ref()]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        let told = stderr.lines().filter(|line| line.to_lowercase().contains("read-only")).count();
        assert_eq!(told, 1, "{stderr}");
    }
}

#[test]
fn a_disk_that_becomes_read_only_under_it_does_no_damage() {
    if !in_private_mounts("disk::a_disk_that_becomes_read_only_under_it_does_no_damage") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (data, image) = (dir.path().join("data"), dir.path().join("image"));
    mount_image(&data, &image, 64);
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    bridged(&mut wire);
    let count = 5;
    for n in 0..count {
        assert_eq!(wire.write(&format!("{A} ID t{n}"), &[event(n)]), "220 OK 1 events");
    }
    eventually_holds(&mut wire, B, count);
    break_off(&data);
    for _ in 0..20 {
        let refused = wire.write(&format!("{A} ID t{count}"), &[event(count)]);
        let clear = refused.starts_with("503 UNAVAILABLE ") && refused.contains("read-only");
        assert!(clear, "{refused}");
    }
    let refused = wire.refused("CREATE FLOW c.flows.unix.ar");
    assert!(refused.starts_with("503 UNAVAILABLE ") && refused.contains("read-only"), "{refused}");
    assert_eq!(wire.read(A).len(), count);
    let log = host.log();
    let told = log.lines().filter(|line| line.contains("nothing can be written")).count();
    assert!((1..=2).contains(&told), "{told} lines tell of it:\n{log}");
    // Such a file system is unmounted, checked and mounted again: nobody can do that under a host.
    host.kill();
    unmount(&data);
    mount_image(&data, &image, 64);
    let host = Fnaad::dev(dir.path());
    let mut wire = host.login();
    assert_eq!(wire.read(A).len(), count);
    for _ in 0..2 {
        let answer = wire.write(&format!("{A} ID t{count}"), &[event(count)]);
        assert_eq!(answer, "220 OK 1 events");
    }
    let wanted: Vec<String> = (0..=count).map(|n| format!("e{n}")).collect();
    assert_eq!(ids(&wire.read(A)), wanted);
    assert_eq!(ids(&eventually_holds(&mut wire, B, count + 1)), wanted);
    wire.ok("CREATE FLOW c.flows.unix.ar");
    drop(host);
    unmount(&data);
}
