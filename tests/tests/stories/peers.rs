//! Hostile peers, alone and many: what each of them gets, that others go on, and that the host's memory
//! stays where it was.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use stories::{Config, Fnaad, PATIENCE, Wire, event, events, eventually, memory_mib, peak_mib};
use tempfile::TempDir;

const A: &str = "a.flows.unix.ar";

/// What a host may grow by for all of a test's peers together, in MiB: much less than they send. Four
/// passwords that are checked at once leave 76 behind.
const GROWTH: f64 = 128.0;

/// A host with the flow `a`, where another client works while peers do harm.
struct Hosted {
    other: Wire,
    before: f64,
    written: usize,
    host: Fnaad,
    config: Config,
    _dir: TempDir,
}

impl Hosted {
    /// With these limits.
    fn with(limits: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path());
        config.text.insert_str(0, "anonymous = true\n");
        config.text += &format!("[limits]\n{limits}");
        let host = Fnaad::serve(dir.path(), config.save());
        let mut other = host.login_as("test", "test");
        other.ok(&format!("CREATE FLOW {A}"));
        let mut hosted = Self { other, before: 0.0, written: 0, host, config, _dir: dir };
        hosted.others_go_on();
        hosted.before = memory_mib(hosted.host.id());
        hosted
    }

    fn login(&self) -> Wire {
        self.host.login_as("test", "test")
    }

    /// The same host, in another process.
    fn again(self) -> Self {
        let dir = self.host.kill();
        let host = Fnaad::serve(&dir, self.config.save());
        let other = host.login_as("test", "test");
        Self { other, before: memory_mib(host.id()), host, ..self }
    }

    /// Another client works as if nobody else were there.
    fn others_go_on(&mut self) {
        self.other.ok("NOOP");
        assert_eq!(self.other.write(A, &[event(self.written)]), "220 OK 1 events");
        self.written += 1;
    }

    fn has_not_grown(&self) {
        let grown = memory_mib(self.host.id()) - self.before;
        assert!(grown < GROWTH, "grown by {grown} MiB");
    }
}

#[test]
fn a_line_that_comes_byte_by_byte_is_answered_and_one_byte_more_is_refused() {
    let mut hosted = Hosted::with("");
    let mut slow = hosted.login();
    for (length, answer) in
        [(8192, "404 NOT_FOUND command "), (8193, "413 TOO_LARGE line over 8192 bytes")]
    {
        for sent in 0..length {
            slow.send(b"x");
            if sent % 1024 == 0 {
                hosted.others_go_on();
            }
        }
        slow.send(b"\r\n");
        let line = slow.line();
        assert!(line.starts_with(answer), "{length}: {line}");
    }
    slow.ok("NOOP");
    hosted.has_not_grown();
}

#[test]
fn a_write_that_never_ends_keeps_nothing_beyond_its_limit() {
    let mut hosted = Hosted::with("");
    let mut endless = hosted.login();
    endless.send(format!("WRITE {A}\r\n").as_bytes());
    assert!(endless.line().starts_with("330 "));
    let lines = format!("{}\r\n", "x".repeat(1022)).repeat(1024);
    for round in 0..64 {
        endless.send(lines.as_bytes());
        if round % 8 == 0 {
            hosted.others_go_on();
        }
    }
    hosted.has_not_grown();
    endless.send(b".\r\n");
    assert_eq!(endless.line(), "413 TOO_LARGE more than 512 events in one write");
    let written = hosted.written;
    assert_eq!(endless.read(A).len(), written);
}

#[test]
fn ten_thousand_pipelined_commands_are_answered_one_by_one() {
    const COMMANDS: usize = 10_000;
    let mut hosted = Hosted::with("");
    let mut wire = hosted.login();
    std::thread::scope(|scope| {
        let mut speaker = wire.speaker();
        scope.spawn(move || speaker.write_all(&b"NOOP\r\n".repeat(COMMANDS)).unwrap());
        for number in 0..COMMANDS {
            assert_eq!(wire.line(), "220 OK", "{number}");
            if number % 1_000 == 0 {
                hosted.others_go_on();
            }
        }
    });
    hosted.has_not_grown();
    wire.ok("NOOP");
}

#[test]
fn who_speaks_nonsense_has_to_wait_for_his_answers_and_nobody_else_has() {
    const LINES: usize = 3_000;
    let mut hosted = Hosted::with("");
    let mut nonsense = hosted.login();
    let mut speaker = nonsense.speaker();
    let said = std::thread::spawn(move || speaker.write_all(&b"\xff\r\n".repeat(LINES)));
    assert_eq!(nonsense.line(), "400 BAD_FORMAT line is not utf-8");
    // All of this comes between two answers to what was said before it: they have a pace.
    for _ in 0..20 {
        hosted.others_go_on();
    }
    said.join().unwrap().unwrap();
    // What has come so far, beyond the first read's worth that `line` took for itself.
    let mut answers = nonsense.speaker();
    answers.set_nonblocking(true).unwrap();
    let mut heard = Vec::new();
    let waiting = answers.read_to_end(&mut heard).map_err(|error| error.kind());
    assert_eq!(waiting, Err(ErrorKind::WouldBlock));
    let all = LINES * b"400 BAD_FORMAT line is not utf-8\r\n".len();
    assert!(heard.len() < all / 2, "{} of {all}", heard.len());
}

#[test]
fn who_is_held_to_a_pace_holds_up_no_end() {
    let hosted = Hosted::with("");
    let mut stranger = Wire::connect(hosted.host.address());
    stranger.send(&b"\n".repeat(60_000));
    for _ in 0..50 {
        assert!(stranger.line().starts_with("401 "));
    }
    // At his pace it would be twenty minutes until the host hears of its end.
    drop(hosted.other);
    assert!(hosted.host.end().success());
}

/// Says the same until nothing more is taken.
fn flood(stream: &mut TcpStream, said: &[u8]) {
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let began = Instant::now();
    let said = said.repeat(1000);
    while began.elapsed() < PATIENCE {
        match stream.write(&said) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // It was so slow that it was cut off in the meantime.
            Err(_) => return,
        }
    }
    panic!("a host takes commands for ever without being rid of its answers");
}

#[test]
fn who_asks_and_asks_and_never_reads_has_to_wait_and_is_then_cut_off() {
    let mut hosted = Hosted::with("stalled_seconds = 3\n");
    hosted.other.write(A, &events(0..500));
    let mut asks = hosted.login().speaker();
    // The longest answer to the shortest question.
    flood(&mut asks, b"HELP\r\n");
    hosted.others_go_on();
    let mut deaf = hosted.login().speaker();
    flood(&mut deaf, format!("READ {A} FROM earliest\r\n").as_bytes());
    hosted.others_go_on();
    hosted.has_not_grown();
    for mut stream in [asks, deaf] {
        eventually("the host to hang up", || {
            hosted.others_go_on();
            match stream.write(b"NOOP\r\n") {
                Err(error) if error.kind() != ErrorKind::WouldBlock => Ok(()),
                said => Err(format!("{said:?}")),
            }
        });
    }
    assert!(hosted.host.log().contains("the peer does not take what is sent"));
}

#[test]
fn followers_that_read_nothing_cost_the_writers_nothing() {
    let mut hosted = Hosted::with("");
    let deaf: Vec<Wire> = (0..8)
        .map(|_| {
            let mut deaf = hosted.login();
            deaf.send(format!("READ {A} FROM earliest FOLLOW\r\n").as_bytes());
            deaf
        })
        .collect();
    // Each has more to read than sockets hold.
    let long = |n: usize| event(n).replacen("told", &format!("told.{}", "x".repeat(4000)), 1);
    for batch in 0..40 {
        let lines: Vec<String> = (0..200).map(|n| long(batch * 200 + n)).collect();
        assert_eq!(hosted.other.write(A, &lines), "220 OK 200 events");
    }
    // What they have not read is still there for them.
    let mut one = deaf.into_iter().next().unwrap();
    assert_eq!(one.line(), "220 DATA");
    assert_eq!((0..8001).map(|_| one.line()).filter(|line| line.starts_with('{')).count(), 8001);
}

#[test]
fn who_come_in_one_after_another_leave_no_memory_behind_in_which_their_passwords_were_checked() {
    let hosted = Hosted::with("");
    let _users: Vec<Wire> = (0..64).map(|_| hosted.login()).collect();
    hosted.has_not_grown();
}

#[test]
fn deaf_followers_share_what_readers_may_hold_and_miss_nothing_when_they_listen() {
    const FOLLOWERS: usize = 64;
    const EVENTS: usize = 8_000;
    let mut hosted = Hosted::with("");
    let long = |n: usize| event(n).replacen("told", &format!("told.{}", "x".repeat(4000)), 1);
    for batch in 0..EVENTS / 200 {
        let lines: Vec<String> = (0..200).map(|n| long(batch * 200 + n)).collect();
        assert_eq!(hosted.other.write(A, &lines), "220 OK 200 events");
    }
    hosted.written += EVENTS;
    // What the writing has left behind in memory shall not count.
    let mut hosted = hosted.again();
    let mut deaf: Vec<Wire> = (0..FOLLOWERS).map(|_| hosted.login()).collect();
    let before = memory_mib(hosted.host.id());
    // Each from a place of its own, so that none of them shares anything with another one by chance.
    for (number, follower) in deaf.iter_mut().enumerate() {
        follower.send(format!("READ {A} FROM OFFSET 0:{} FOLLOW\r\n", number * 20).as_bytes());
        assert_eq!(follower.line(), "220 DATA");
        assert!(follower.line().contains(&format!("\"flowoffset\":\"{}\"", number * 20)));
        hosted.others_go_on();
    }
    let good = hosted.login().read(A).len();
    assert!(good > EVENTS, "who listens is served beside them: {good}");
    let grown = peak_mib(hosted.host.id()) - before;
    println!("{FOLLOWERS} deaf followers: {before:.0} MiB and {grown:.0} MiB more at the most");
    assert!(grown < GROWTH, "grown by {grown} MiB");
    for (number, follower) in deaf.into_iter().enumerate().step_by(21) {
        let mut follower = follower;
        for offset in number * 20 + 1..=EVENTS {
            let line = follower.line();
            assert!(line.contains(&format!("\"flowoffset\":\"{offset}\"")), "{offset}: {line}");
        }
    }
}

#[test]
fn who_says_nothing_or_half_of_something_is_told_408_and_closed() {
    let hosted = Hosted::with("idle_seconds = 4\n");
    let mut peers: Vec<Wire> = ["", "NO", "AUTHENTICATE PLAIN"]
        .into_iter()
        .map(|said| {
            let mut peer = hosted.host.connect();
            peer.send(said.as_bytes());
            peer
        })
        .collect();
    for said in ["WRITE", "NOOP\r"] {
        let mut peer = hosted.login();
        peer.send(said.as_bytes());
        peers.push(peer);
    }
    let mut writing = hosted.login();
    writing.send(format!("WRITE {A}\r\n{}\r\n", event(0)).as_bytes());
    assert!(writing.line().starts_with("330 "));
    peers.push(writing);
    for mut peer in peers {
        assert_eq!(peer.line(), "408 TIMEOUT nothing was said for too long");
        assert!(peer.is_closed());
    }
    // Half a WRITE is none.
    let written = hosted.written;
    assert_eq!(hosted.login().read(A).len(), written);
}

#[test]
fn bytes_that_are_no_text_are_refused_wherever_they_stand() {
    let mut hosted = Hosted::with("");
    let mut wire = hosted.login();
    for (said, answer) in [
        (&b"\xc3\x28\r\n"[..], "400 BAD_FORMAT line is not utf-8"),
        (b"NO\0OP\r\n", "400 BAD_FORMAT line with a nul"),
        (b"CREATE FLOW \xed\xa0\x80.flows.unix.ar\r\n", "400 BAD_FORMAT line is not utf-8"),
    ] {
        wire.send(said);
        assert_eq!(wire.line(), answer);
    }
    for (event, answer) in [
        (&b"{\"id\":\"\xff\"}"[..], "422 INVALID_EVENT line 1: line is not utf-8"),
        (b"{\"id\":\"\0\"}", "422 INVALID_EVENT line 1: line with a nul"),
        (b"{\"id\":\"\\ud800\"}", "422 INVALID_EVENT line 1: "),
    ] {
        wire.send(&[format!("WRITE {A}\r\n").as_bytes(), event, b"\r\n.\r\n"].concat());
        assert!(wire.line().starts_with("330 "));
        let line = wire.line();
        assert!(line.starts_with(answer), "{line}");
    }
    hosted.others_go_on();
    let written = hosted.written;
    assert_eq!(wire.read(A).len(), written);
}

#[test]
fn who_comes_when_every_place_is_taken_is_told_so_and_those_inside_go_on() {
    let mut hosted = Hosted::with("connections = 8\n");
    let mut inside: Vec<Wire> = (0..7).map(|_| hosted.host.connect()).collect();
    for _ in 0..50 {
        let late = hosted.host.connect();
        assert_eq!(late.greeting, "503 UNAVAILABLE too many connections");
    }
    hosted.others_go_on();
    inside.iter_mut().for_each(|wire| drop(wire.ok("NOOP")));
    drop(inside);
    eventually("a free place", || {
        let wire = hosted.host.connect();
        if wire.greeting.starts_with("220 ") { Ok(()) } else { Err(wire.greeting) }
    });
    hosted.has_not_grown();
}

#[test]
fn one_address_cannot_take_the_places_of_all() {
    let mut hosted = Hosted::with("connections = 100\n");
    let mut held: Vec<Wire> = Vec::new();
    let refused = loop {
        let next = hosted.host.connect();
        if !next.greeting.starts_with("220 ") {
            break next.greeting;
        }
        held.push(next);
    };
    assert_eq!(refused, "503 UNAVAILABLE too many connections");
    assert_eq!(held.len(), 25, "a quarter of all places");
    // From elsewhere there is still room, and who has authenticated does not count.
    let elsewhere = Wire::connect_from("127.9.8.7", hosted.host.address());
    assert!(elsewhere.greeting.starts_with("220 "), "{}", elsewhere.greeting);
    held.pop().unwrap().authenticate("test", "test");
    hosted.others_go_on();
}

#[test]
fn who_comes_in_without_a_name_counts_as_a_stranger_all_the_same() {
    let mut hosted = Hosted::with("connections = 100\n");
    let mut held: Vec<Wire> = Vec::new();
    loop {
        let mut next = hosted.host.connect();
        if !next.greeting.starts_with("220 ") {
            break;
        }
        assert_eq!(next.ask("AUTHENTICATE ANONYMOUS ="), ["220 Authenticated"]);
        held.push(next);
    }
    assert_eq!(held.len(), 25, "a quarter of all places");
    hosted.others_go_on();
}

#[test]
fn a_peer_whose_machine_is_gone_is_looked_for() {
    let hosted = Hosted::with("");
    let wire = hosted.login();
    let port = |address: &str| address.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let (here, there) = (port(hosted.host.address()), wire.speaker().local_addr().unwrap().port());
    eventually("probes for a silent peer", || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let of_the_host = |line: &&str| {
            let mut words = line.split_whitespace().skip(1);
            let mut is = |port: u16| {
                words.next().is_some_and(|word| word.ends_with(&format!(":{port:04X}")))
            };
            is(here) && is(there)
        };
        let line = sockets.lines().find(of_the_host).expect("the host's socket");
        // The sixth word is the timer that runs, 2 is the one that asks whether the peer is there.
        let timer = line.split_whitespace().nth(5).unwrap();
        if timer.starts_with("02:") { Ok(()) } else { Err(line.to_owned()) }
    });
}

/// How many files and sockets a process has open.
fn open_files(host: &Fnaad) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", host.id())).unwrap().count()
}

#[test]
fn strangers_by_the_hundred_who_speak_nonsense_and_leave_leave_nothing_behind() {
    let mut hosted = Hosted::with("");
    let before = open_files(&hosted.host);
    let nonsense: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: fnaa\r\n\r\n",
        b"\x16\x03\x01\x00\xf5\x01\x00\x00\xf1\x03\x03",
        b"\0\0\0\x24\0\x12\0\x04\0\0\0\x01",
        b"",
        b"AUTHENTICATE PLAIN\r\n",
        b"QUIT\r\nQUIT\r\n",
    ];
    for round in 0..100 {
        let peers: Vec<TcpStream> = nonsense
            .iter()
            .map(|said| {
                let mut stream = TcpStream::connect(hosted.host.address()).unwrap();
                // A host that has hung up already, on QUIT, is no failure of this test.
                drop(stream.write_all(said));
                stream
            })
            .collect();
        // Half of them leave by a reset, for the greeting is unread.
        if round % 2 == 0 {
            peers.into_iter().for_each(|mut peer| {
                peer.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut greeting = [0; 9];
                peer.read_exact(&mut greeting).unwrap();
                assert_eq!(&greeting, b"220 fnaa.");
            });
        }
        if round % 10 == 0 {
            hosted.others_go_on();
        }
    }
    eventually("all strangers to be gone", || {
        let now = open_files(&hosted.host);
        if now <= before + 2 { Ok(()) } else { Err(format!("{now} files, {before} before")) }
    });
    hosted.others_go_on();
    hosted.has_not_grown();
}

#[test]
fn a_host_takes_as_many_files_as_the_system_lets_it_have() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev_with_files(dir.path(), 200);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", host.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[3], words[4], "{line}");
}
