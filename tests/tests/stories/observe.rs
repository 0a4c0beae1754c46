//! What an operator sees: metrics, probes, lag, the log.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stories::metrics::{Metrics, ask, get};
use stories::{Config, Fnaad, PATIENCE, Wire, events, eventually, eventually_holds, program};

const PROCESSOR: &str = "processor=\"p.flows.unix.ar\",type=\"bridge\"";

fn bridged(host: &Fnaad) -> Wire {
    let mut wire = host.login();
    wire.ok("CREATE FLOW a.flows.unix.ar partitions=2");
    wire.ok("CREATE FLOW b.flows.unix.ar partitions=2");
    wire.ok("REPLICATE a.flows.unix.ar b.flows.unix.ar AS p.flows.unix.ar");
    wire
}

fn of_processor(name: &str) -> String {
    format!("{name}{{{PROCESSOR}}}")
}

/// The names in the operator's table.
fn documented() -> BTreeSet<String> {
    let rows = include_str!("../../../docs/metrics.md").lines();
    let names = rows.filter(|row| row.starts_with("| `fnaa_") || row.starts_with("| `process_"));
    let first = names.filter_map(|row| row.split('|').nth(1));
    let words = first.flat_map(|cell| cell.split([',', ' ', '`']));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// An address that is free now.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn observed(dir: &Path, address: &str) -> Config {
    let mut config = Config::new(dir);
    config.text += &format!("\n[observe]\nlisten = \"{address}\"\n");
    config
}

#[test]
fn metrics_follow_what_is_written_and_carried() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = bridged(&host);
    let lines = events(0..100);
    let octets: usize = lines.iter().map(String::len).sum();
    wire.write("a.flows.unix.ar", &lines);
    eventually_holds(&mut wire, "b.flows.unix.ar", 100);
    assert!(wire.refused("DELETE FLOW none.flows.unix.ar").starts_with("404 "));
    let mut stranger = host.connect();
    assert!(stranger.refused("AUTHENTICATE PLAIN AHRlc3QAd3Jvbmc=").starts_with("401 "));
    let metrics = eventually("the metrics of 100 events", || {
        let metrics = Metrics::of(host.observe());
        metrics.is(&of_processor("fnaa_processor_events_in_total"), 100.0)?;
        metrics.is(&of_processor("fnaa_processor_events_out_total"), 100.0)?;
        metrics.is(&of_processor("fnaa_processor_lag_events"), 0.0)?;
        metrics.is(&of_processor("fnaa_processor_lag_seconds"), 0.0)?;
        Ok(metrics)
    });
    let state = |state: &str| format!("fnaa_processor_state{{{PROCESSOR},state=\"{state}\"}}");
    let read = metrics.get("fnaa_read_events_total").unwrap();
    assert!(read >= 100.0 && metrics.get("fnaa_read_bytes_total").unwrap() > read * 50.0);
    for (series, value) in [
        (state("running").as_str(), 1.0),
        (&state("failed"), 0.0),
        (&of_processor("fnaa_processor_shards"), 2.0),
        (&of_processor("fnaa_processor_instances_total"), 2.0),
        (&of_processor("fnaa_processor_traps_total"), 0.0),
        (&of_processor("fnaa_processor_limits_passed_total"), 0.0),
        (&of_processor("fnaa_processor_retries_total"), 0.0),
        (&of_processor("fnaa_processor_recycled_total"), 0.0),
        ("fnaa_series_omitted{of=\"processor\"}", 0.0),
        ("fnaa_flow_records_total{flow=\"a.flows.unix.ar\"}", 100.0),
        ("fnaa_flow_records_total{flow=\"b.flows.unix.ar\"}", 100.0),
        ("fnaa_flow_partitions{flow=\"b.flows.unix.ar\"}", 2.0),
        ("fnaa_write_events_total", 100.0),
        ("fnaa_write_bytes_total", octets as f64),
        ("fnaa_commands_total{verb=\"CREATE FLOW\",outcome=\"ok\"}", 2.0),
        ("fnaa_commands_total{verb=\"WRITE\",outcome=\"ok\"}", 1.0),
        ("fnaa_commands_total{verb=\"DELETE FLOW\",outcome=\"refused\"}", 1.0),
        ("fnaa_connections_open", 2.0),
        ("fnaa_connections_total", 2.0),
        ("fnaa_authentications_total", 1.0),
        ("fnaa_authentication_failures_total", 1.0),
        ("fnaa_append_duration_seconds_count{broker=\"embedded\"}", 1.0),
        ("fnaa_broker_full{broker=\"embedded\"}", 0.0),
        ("fnaa_plugin_healthy{type=\"bridge\"}", 1.0),
        ("fnaa_plugin_files_rejected", 0.0),
        ("fnaa_accepting", 1.0),
    ] {
        metrics.is(series, value).unwrap();
    }
    let of = |name: &str| metrics.get(&of_processor(&format!("fnaa_processor_{name}"))).unwrap();
    assert!(of("bytes_in_total") > 100.0 * 10.0);
    assert_eq!(of("bytes_in_total"), of("bytes_out_total"), "a bridge changes nothing");
    assert!(of("calls_total") > 4.0 && of("cpu_seconds_total") > 0.0);
    assert!(of("commit_seconds_total") > 0.0);
    assert!(of("memory_peak_bytes") >= of("memory_bytes") && of("memory_bytes") > 65_536.0);
    let usage = &wire.describe("PROCESSOR p.flows.unix.ar");
    assert_eq!(usage["usage"]["bytes-in"], of("bytes_in_total"), "{usage}");
    assert_eq!(usage["usage"]["instances"], 2, "{usage}");
    assert_eq!(usage["usage.1"]["instances"], 1, "{usage}");
    let commits = metrics.get("fnaa_commit_duration_seconds_count{broker=\"embedded\"}").unwrap();
    let counted =
        metrics.get("fnaa_broker_commits_total{broker=\"embedded\",outcome=\"committed\"}");
    assert!(commits >= 1.0 && counted == Some(commits));
    assert!(metrics.get("fnaa_flow_bytes{flow=\"a.flows.unix.ar\"}").unwrap() > 1000.0);
    assert!(metrics.get("process_resident_memory_bytes").unwrap() > 1e6);
    assert_eq!(*metrics.families(), documented());
}

#[test]
fn lag_appears_while_a_processor_is_held_and_goes_away() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = bridged(&host);
    wire.ok("PAUSE p.flows.unix.ar");
    wire.write("a.flows.unix.ar", &events(0..10));
    let lag = |wire: &mut Wire| {
        let described = wire.describe("PROCESSOR p.flows.unix.ar");
        (described["lag-events"].clone(), described["lag-seconds"].clone())
    };
    eventually("a lag of 10 events that grows older", || match lag(&mut wire) {
        (events, seconds) if events == 10 && seconds.as_f64() > Some(1.0) => Ok(()),
        seen => Err(format!("{seen:?}")),
    });
    let metrics = Metrics::of(host.observe());
    metrics.is(&of_processor("fnaa_processor_lag_events"), 10.0).unwrap();
    assert!(metrics.get(&of_processor("fnaa_processor_lag_seconds")).unwrap() > 1.0);
    let listed = wire.json("GET PROCESSORS").swap_remove(0);
    assert_eq!(listed["lag-events"], 10, "{listed}");
    let told = wire.data("DESCRIBE PROCESSOR p.flows.unix.ar");
    assert!(told.contains(&"lag-events=10".to_owned()), "{told:?}");
    wire.ok("RESUME p.flows.unix.ar");
    eventually("no lag", || match lag(&mut wire) {
        (events, seconds) if events == 0 && seconds == 0.0 => Ok(()),
        seen => Err(format!("{seen:?}")),
    });
}

#[test]
fn a_list_of_flows_says_how_much_is_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let mut wire = bridged(&host);
    wire.ok("STOP p.flows.unix.ar");
    wire.write("a.flows.unix.ar", &events(0..7));
    let flows = wire.json("GET FLOWS");
    let summary = |flow: &Value| (flow["events"].clone(), flow["partitions"].clone());
    assert_eq!(summary(&flows[0]), (7.into(), 2.into()), "{flows:?}");
    assert_eq!(summary(&flows[1]), (0.into(), 2.into()), "{flows:?}");
    assert!(flows[0]["bytes"].as_u64() > Some(100) && flows[1]["bytes"] == 0, "{flows:?}");
    assert_eq!(flows[0]["status"], "active");
}

/// `fnaad serve` that nobody waits for.
struct Starting(Child);

impl Starting {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether it lives, is ready, and what it says to that.
fn probes(address: &str) -> Result<(u16, u16, String), String> {
    let words = |error: std::io::Error| error.to_string();
    let live = get(address, "/livez").map_err(words)?;
    let ready = get(address, "/readyz").map_err(words)?;
    Ok((live.status, ready.status, ready.body))
}

#[test]
fn probes_tell_a_start_a_run_and_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let address = free();
    let config = observed(dir.path(), &address);
    let plugins = dir.path().join("data/plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    let mut command = Command::new(program("fnaad"));
    command.arg("serve").arg("--config").arg(config.save()).stdin(Stdio::null());
    let log = std::fs::File::create(dir.path().join("fnaad.log")).unwrap();
    command.stdout(Stdio::piped()).stderr(log);
    let settled = AtomicBool::new(false);
    let expect = |what: &str, wanted: (u16, u16, &str)| {
        eventually(what, || match probes(&address)? {
            (live, ready, words) if (live, ready, words.as_str()) == wanted => Ok(()),
            seen => Err(format!("{seen:?}")),
        });
    };
    std::thread::scope(|scope| {
        // A plugin that is still being copied holds the start up.
        scope.spawn(|| {
            let mut size = 0;
            while !settled.load(Ordering::Relaxed) {
                size += 1;
                std::fs::write(plugins.join("large.wasm"), vec![0; size]).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        let mut host = Starting(command.spawn().unwrap());
        let mut stdout = std::io::BufReader::new(host.0.stdout.take().unwrap());
        expect("a start", (200, 503, "starting\n"));
        settled.store(true, Ordering::Relaxed);
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        assert!(line.trim_end().ends_with(&format!(" observe={address}")), "{line}");
        expect("a run", (200, 200, "ok\n"));
        let fnap = line.split(' ').find_map(|word| word.strip_prefix("fnap=")).unwrap();
        let mut wire = Wire::connect(fnap);
        wire.authenticate("test", "test");
        wire.ok("CREATE FLOW a.flows.unix.ar");
        let long = format!(
            "{{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\",\"data\":\"{}\"}}",
            "x".repeat(500_000)
        );
        for _ in 0..40 {
            assert_eq!(wire.write("a.flows.unix.ar", &[&long]), "220 OK 1 events");
        }
        // Who does not take what he asked for is waited for, once the system's buffers are full.
        wire.send(b"READ a.flows.unix.ar\r\n");
        assert_eq!(wire.line(), "220 DATA");
        let mut same = (0.0, 0);
        eventually("a reader that holds the host up", || {
            let read = Metrics::of(&address).get("fnaa_read_bytes_total").unwrap();
            same = if same.0 == read { (read, same.1 + 1) } else { (read, 0) };
            if read > 0.0 && same.1 > 25 { Ok(()) } else { Err(format!("{same:?}")) }
        });
        host.signal(Signal::TERM);
        expect("an end under way", (200, 503, "shutting down\n"));
        drop(wire);
        assert!(host.0.wait().unwrap().success());
        assert!(TcpStream::connect(&address).is_err());
    });
}

#[test]
fn a_log_in_json_is_objects_with_what_an_operator_must_know() {
    let dir = tempfile::tempdir().unwrap();
    let host =
        Fnaad::dev_with(dir.path(), &["--namespace", "flows.unix.ar", "--log-format", "json"]);
    let _wire = bridged(&host);
    stories::drop_in(&dir.path().join("plugins"), "broken.wasm", b"no component");
    eventually("the rejected plugin", || {
        Metrics::of(host.observe()).is("fnaa_plugin_files_rejected", 1.0)
    });
    let log = dir.path().join("fnaad.log");
    assert!(host.end().success());
    let log = std::fs::read_to_string(log).unwrap();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        let format = &time::format_description::well_known::Rfc3339;
        let stamp = line["timestamp"].as_str().expect("a time");
        time::OffsetDateTime::parse(stamp, format).unwrap_or_else(|_| panic!("{line}"));
        for key in ["level", "target", "message"] {
            assert!(line[key].is_string(), "{key} in {line}");
        }
        assert!(line.as_object().unwrap().values().all(|value| !value.is_object()), "{line}");
    }
    let find = |message: &str| {
        let mut found = lines.iter().filter(|line| line["message"] == message);
        let line = found.next().unwrap_or_else(|| panic!("no {message} in {log}"));
        assert!(found.next().is_none(), "{message} twice in {log}");
        line
    };
    assert_eq!(find("starting")["version"], env!("CARGO_PKG_VERSION"));
    let ready = find("ready");
    assert!(ready["fnap"].as_str().unwrap().starts_with("127."), "{ready}");
    assert!(ready["observe"].is_string() && ready["took_ms"].is_u64(), "{ready}");
    assert_eq!(ready["namespaces"], 1, "{ready}");
    let rejected = find("plugin rejected, nothing changes");
    assert_eq!((&rejected["file"], &rejected["level"]), (&"broken.wasm".into(), &"WARN".into()));
    assert_eq!(find("shutdown begun")["reason"], "SIGTERM");
    assert!(find("shutdown ended")["took_ms"].is_u64());
}

#[test]
fn bad_requests_are_refused_and_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(dir.path());
    let address = host.observe();
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 404),
        ("GET /metrics/x HTTP/1.1\r\n\r\n", 404),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd", 405),
        ("DELETE /readyz HTTP/1.1\r\n\r\n", 405),
        ("\u{1}\u{2}\u{3}\r\n\r\n", 400),
        ("AUTHENTICATE PLAIN AHRlc3QAd3Jvbmc=\r\n\r\n", 400),
        (&format!("GET /livez HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000)), 431),
    ] {
        let page = ask(address, request.as_bytes()).unwrap();
        assert_eq!(page.status, status, "{request:?}: {page:?}");
    }
    let head = ask(address, b"HEAD /metrics HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    // A head without an end: whatever of it is taken, it is not all.
    let mut endless = TcpStream::connect(address).unwrap();
    let sent = (0..10_000).take_while(|_| endless.write_all(&[b'x'; 1024]).is_ok()).count();
    assert!(sent < 10_000);
    // A hundred who say nothing hold up neither each other for long nor the host.
    let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    host.login().ok("NOOP");
    for mut stream in silent {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut said = Vec::new();
        // Closed without a word, or told that it takes too long.
        drop(stream.read_to_end(&mut said));
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408 "), "{said:?}");
    }
    // Their places are free once the host has seen them go.
    eventually("an answer", || match get(address, "/readyz") {
        Ok(page) if page.body == "ok\n" => Ok(()),
        seen => Err(format!("{seen:?}")),
    });
}

#[test]
fn two_hosts_cannot_share_the_observe_address() {
    let dir = tempfile::tempdir().unwrap();
    let host = Fnaad::dev(&dir.path().join("first"));
    let config = observed(dir.path(), host.observe());
    let arguments: [&std::ffi::OsStr; 3] =
        ["serve".as_ref(), "--config".as_ref(), config.save().as_ref()];
    let refused = Fnaad::refused(&arguments);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    let wanted = format!("cannot listen on {} for metrics and probes", host.observe());
    assert!(refused.stderr.contains(&wanted), "{refused:?}");
    assert_eq!(get(host.observe(), "/readyz").unwrap().status, 200);
}

#[test]
fn a_host_that_was_not_asked_shows_nothing_and_check_sees_that_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path());
    let check = || {
        let arguments: [&std::ffi::OsStr; 3] =
            ["check".as_ref(), "--config".as_ref(), config.save().as_ref()];
        let said = Fnaad::refused(&arguments);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.stderr
    };
    let host = Fnaad::serve(dir.path(), config.save());
    assert!(!host.log().contains("observe="), "{}", host.log());
    assert!(check().contains("in use by another host (process "));
    host.login_as("test", "test").ok("NOOP");
    assert!(host.end().success());
    assert_eq!(check(), "");
}
